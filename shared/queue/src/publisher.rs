//! Publishing with confirms: a message counts as sent when the broker confirms it.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tracing::Span;

use super::broker::Broker;
use super::message::{Wakeup, encode};
use khata_domain::failpoints::{self, Failpoint};
use khata_telemetry as telemetry;

/// Maximum wait for the broker's confirm, and for a connection.
const TIMEOUT: Duration = Duration::from_secs(5);
/// AMQP: keep the message on disk.
const PERSISTENT: u8 = 2;

/// Why a message is not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("broker: {0}")]
    Amqp(#[from] lapin::Error),
    /// No confirm or connection in time.
    #[error("the broker did not respond within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error("the broker rejected the message")]
    Rejected,
}

impl BrokerError {
    /// Returns a short code for `error.type`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Amqp(_) => "amqp",
            Self::TimedOut => "timeout",
            Self::Rejected => "refused",
        }
    }
}

/// A publishing connection; opened at first use, and again after an error.
#[derive(Debug)]
pub struct Publisher {
    broker: Broker,
    name: &'static str,
    open: Option<(Connection, Channel)>,
}

impl Publisher {
    /// Creates a publisher for `broker` with this connection name.
    pub fn new(broker: Broker, name: &'static str) -> Self {
        Self {
            broker,
            name,
            open: None,
        }
    }

    /// Connects unless it is connected.
    pub async fn connect(&mut self) -> Result<(), BrokerError> {
        self.channel().await.map(drop)
    }

    /// Returns a future that ends with the open connection, or at once if there is none.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let open = self.open.as_ref();
        // First the listener: an error between the two calls is in either.
        let events: Option<BoxStream<'static, Event>> =
            open.map(|(connection, _)| connection.events_listener().boxed());
        let events = events.filter(|_| open.is_some_and(is_usable));
        async move {
            let Some(mut events) = events else { return };
            loop {
                match events.next().await {
                    Some(Event::Error(_)) | None => return,
                    Some(_) => {}
                }
            }
        }
    }

    /// Publishes one message for these validations and waits for its confirm. After an error it is unknown whether the message
    /// was sent; the scheduler publishes another wake-up later.
    pub async fn publish(&mut self, wakeups: &[Wakeup]) -> Result<(), BrokerError> {
        self.publish_to(&self.broker.queue(), wakeups).await
    }

    /// The same for validations that a caller waits for, which have their own queue.
    pub async fn publish_awaited(&mut self, wakeups: &[Wakeup]) -> Result<(), BrokerError> {
        self.publish_to(&self.broker.awaited_queue(), wakeups).await
    }

    async fn publish_to(&mut self, queue: &str, wakeups: &[Wakeup]) -> Result<(), BrokerError> {
        let message_id = uuid::Uuid::now_v7().to_string();
        let span = |wakeup| publish_span(wakeup, queue, &message_id);
        let spans: Vec<Option<Span>> = wakeups.iter().map(span).collect();
        let body = encode(wakeups.iter().zip(&spans).map(|(wakeup, span)| Wakeup {
            key: wakeup.key,
            trace_parent: span.as_ref().and_then(telemetry::trace_parent_of),
        }));
        let result = self.send(queue, message_id, &body).await;
        if let Err(error) = &result {
            self.open = None;
            for span in spans.iter().flatten() {
                telemetry::fail(span, error.code());
            }
        }
        result
    }

    /// Returns the number of messages in the queue.
    pub async fn depth(&mut self) -> Result<u32, BrokerError> {
        self.messages_in(self.broker.queue()).await
    }

    /// Returns the number of messages in the queue of awaited validations.
    pub async fn awaited_depth(&mut self) -> Result<u32, BrokerError> {
        self.messages_in(self.broker.awaited_queue()).await
    }

    /// Returns the number of dead letters.
    pub async fn dead_letters(&mut self) -> Result<u32, BrokerError> {
        self.messages_in(self.broker.dead_letters()).await
    }

    async fn messages_in(&mut self, queue: String) -> Result<u32, BrokerError> {
        let channel = self.channel().await?;
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let declared = within(async {
            Ok(channel
                .queue_declare(queue.as_str().into(), passive, FieldTable::default())
                .await?)
        })
        .await;
        if declared.is_err() {
            self.open = None;
        }
        Ok(declared?.message_count())
    }

    /// Closes the connection.
    pub async fn close(mut self) {
        if let Some((connection, _)) = self.open.take() {
            let _ = tokio::time::timeout(TIMEOUT, connection.close(200, "closing".into())).await;
        }
    }

    async fn send(
        &mut self,
        queue: &str,
        message_id: String,
        body: &[u8],
    ) -> Result<(), BrokerError> {
        let channel = self.channel().await?;
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_message_id(message_id.into())
            .with_delivery_mode(PERSISTENT);
        within(async {
            failpoints::pass(Failpoint::WAKEUP_BEFORE_PUBLISH).await;
            let confirm = channel
                .basic_publish(
                    "".into(),
                    queue.into(),
                    BasicPublishOptions {
                        mandatory: true,
                        ..BasicPublishOptions::default()
                    },
                    body,
                    properties,
                )
                .await?;
            failpoints::pass(Failpoint::WAKEUP_BEFORE_CONFIRM).await;
            let confirm = confirm.await?;
            failpoints::pass(Failpoint::WAKEUP_AFTER_CONFIRM).await;
            match confirm {
                Confirmation::Ack(None) => Ok(()),
                _ => Err(BrokerError::Rejected),
            }
        })
        .await
    }

    async fn channel(&mut self) -> Result<&Channel, BrokerError> {
        let open = match self.open.take().filter(is_usable) {
            Some(open) => open,
            None => {
                within(async {
                    let (connection, channel) = self.broker.connect(self.name).await?;
                    let options = ConfirmSelectOptions::default();
                    channel.confirm_select(options).await?;
                    Ok((connection, channel))
                })
                .await?
            }
        };
        Ok(&self.open.insert(open).1)
    }
}

/// Whether the connection and its channel are open. The status of a broken connection changes first.
fn is_usable((connection, channel): &(Connection, Channel)) -> bool {
    connection.status().connected() && channel.status().connected()
}

pub(super) async fn within<T>(
    work: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    tokio::time::timeout(TIMEOUT, work)
        .await
        .unwrap_or(Err(BrokerError::TimedOut))
}

/// Makes the span of publishing one wake-up, in the account's own trace.
fn publish_span(wakeup: &Wakeup, queue: &str, message_id: &str) -> Option<Span> {
    telemetry::in_trace(wakeup.trace_parent.as_deref(), || {
        tracing::info_span!(
            "publish",
            otel.name = format!("publish {queue}"),
            otel.kind = "producer",
            otel.status_code = tracing::field::Empty,
            error.r#type = tracing::field::Empty,
            messaging.system = "rabbitmq",
            messaging.operation.name = "publish",
            messaging.operation.r#type = "send",
            // By the default exchange, whose routing keys are the queues' names.
            messaging.destination.name = queue,
            messaging.rabbitmq.destination.routing_key = queue,
            messaging.message.id = message_id,
            khata.merchant_id = %wakeup.key.merchant,
            khata.validation_id = %wakeup.key.id,
        )
    })
}
