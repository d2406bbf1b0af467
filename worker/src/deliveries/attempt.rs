//! One attempt to deliver an event: call the endpoint, decide, record the result.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use khata_crypto::{Keyring, Purpose};
use khata_domain::backoff::Backoff;
use khata_domain::events::{DeliveryState, DisabledBy};
use khata_domain::failpoints::{self, Failpoint};
use khata_domain::mutants::{self, Mutant};
use khata_store::group_commit::{BatchError, Lane};
use khata_store::webhooks::{Attempted, NO_BODY, StartedDelivery};
use khata_telemetry as telemetry;
use khata_webhooks::{
    AfterAttempt, DeliveryRequest, EndpointReply, OutgoingMessage, WebhookClient, after_attempt,
};
use tracing::{Instrument, Span, debug, error, warn};

use super::body::Started;
use super::commits::{CommitResult, DeliveryCommits, Request};
use super::disable::report_disabled;
use super::sender::EndpointSender;
use super::signals::Signals;
use super::slot::Slot;
use super::spans;
use crate::clock::DatabaseClock;
use crate::labels::AttemptResult;
use crate::metrics::Metrics;

const SETTLE_RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// Makes attempts; shared by all tasks of the worker.
pub(crate) struct Attempts {
    pub(crate) lane: Lane<DeliveryCommits>,
    pub(crate) client: WebhookClient,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) clock: Arc<DatabaseClock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) sandbox_mode: bool,
}

/// The end of an attempt.
struct Outcome {
    after: AfterAttempt,
    /// Why it failed, one word.
    failure: Option<&'static str>,
    reply: Option<EndpointReply>,
    latency: Duration,
    /// The body of a failed attempt, encrypted.
    sealed_body: Option<Vec<u8>>,
    /// Whether the call went to the account's own URL; `None`: there was no call.
    to_account_url: Option<bool>,
}

/// Statuses of a reply that concern one URL: where it is an account's own, the endpoint may be well.
const OF_ONE_URL: [u16; 2] = [404, 410];

impl Outcome {
    /// Whether the result is about the endpoint, and not about one URL of its host or about Khata.
    fn concerns_endpoint(&self) -> bool {
        let status = self.reply.as_ref().map(|reply| reply.status);
        let is_of_one_url = status.is_some_and(|status| OF_ONE_URL.contains(&status));
        self.to_account_url
            .is_some_and(|to_account| !(to_account && is_of_one_url))
    }
}

impl Attempts {
    /// Makes an attempt and records its result. The slot counts it as in progress.
    pub(super) async fn make(&self, sender: &EndpointSender, mut started: Started, mut slot: Slot) {
        let span = spans::deliver(&started);
        async {
            self.count(&started);
            let outcome = self.call(sender, &mut started).await;
            slot.called(
                outcome
                    .concerns_endpoint()
                    .then_some(outcome.failure.is_none()),
            );
            let is_gone = outcome.after == AfterAttempt::Gone;
            let attempted = self.attempted(&started.delivery, outcome);
            self.record(&attempted);
            self.settle(&attempted, &mut slot).await;
            if is_gone {
                self.disable(&attempted).await;
            }
        }
        .instrument(span)
        .await;
    }

    fn count(&self, started: &Started) {
        let delivery = &started.delivery;
        if delivery.is_repeated {
            self.metrics.attempt_repeated();
            warn!(
                merchant_id = %delivery.key.merchant, webhook_endpoint_id = %delivery.key.endpoint, event_id = %delivery.event,
                attempt = delivery.number,
                "delivery repeated: the result of the attempt before was lost, and the endpoint may have got it"
            );
        }
        if delivery.number == 1
            && let Some(event) = started.event()
        {
            let delay = self.clock.now() - event.created_at;
            self.metrics
                .first_attempt(delay, event.trace_parent.as_deref());
        }
    }

    async fn call(&self, sender: &EndpointSender, started: &mut Started) -> Outcome {
        let delivery = &started.delivery;
        let (merchant, event) = (delivery.key.merchant, delivery.event);
        let number = u32::try_from(delivery.number).unwrap_or(1);
        let was_sealed = delivery.sealed_body.is_some();
        let content = started.account_url(&self.keyring).and_then(|url| {
            let body = started.body(&self.keyring, sender.payload)?;
            Ok((url.and_then(|url| sender.url_of(&url)), body))
        });
        let (account_url, body) = match content {
            Ok((url, body)) if number > 1 && mutants::is_on(Mutant::ChangedBody) => {
                (url, [&body[..], b" "].concat().into())
            }
            Ok(content) => content,
            Err(failure) => {
                error!(merchant_id = %merchant, event_id = %event, error = %failure, "event not delivered: it has no body; retrying");
                return self.failed(&started.delivery, NO_BODY);
            }
        };
        let sent_at = self.clock.now();
        let message = OutgoingMessage::new(&event.to_string(), sent_at, body.clone());
        let message = match message {
            Ok(message) => message,
            Err(failure) => {
                error!(merchant_id = %merchant, event_id = %event, error = %failure, "event not delivered: its id is no webhook id");
                return self.failed(&started.delivery, NO_BODY);
            }
        };
        let request = DeliveryRequest {
            message: &message,
            attempt: number,
            secrets: &sender.secrets,
            credentials: sender.credentials.as_ref(),
        };
        failpoints::pass(Failpoint::DELIVERY_BEFORE_REQUEST).await;
        let began = Instant::now();
        let url = account_url.as_ref().unwrap_or(&sender.url);
        let result = self.client.send(url, &request).await;
        let latency = began.elapsed();
        failpoints::pass(Failpoint::DELIVERY_AFTER_REPLY).await;
        let (reply, failure) = match result {
            Ok(reply) => {
                let failure = reply.failure();
                (Some(reply), failure)
            }
            Err(failure) => (None, Some(failure)),
        };
        let failure = failure.map(|failure| failure.word());
        let after = match self.decide(&started.delivery, reply.as_ref()) {
            // The account's URL is gone, and not the endpoint.
            AfterAttempt::Gone if account_url.is_some() => AfterAttempt::GiveUp,
            after => after,
        };
        let sealed_body = (failure.is_some() && !was_sealed).then(|| {
            self.keyring
                .encrypt(merchant, event.0, Purpose::Delivery, &body)
        });
        Outcome {
            after,
            failure,
            reply,
            latency,
            sealed_body,
            to_account_url: Some(account_url.is_some()),
        }
    }

    /// Ends an attempt without a call.
    fn failed(&self, delivery: &StartedDelivery, failure: &'static str) -> Outcome {
        Outcome {
            after: self.decide(delivery, None),
            failure: Some(failure),
            reply: None,
            latency: Duration::ZERO,
            sealed_body: None,
            to_account_url: None,
        }
    }

    fn decide(&self, delivery: &StartedDelivery, reply: Option<&EndpointReply>) -> AfterAttempt {
        if mutants::is_on(Mutant::AnyReplyDelivers) {
            return AfterAttempt::Delivered;
        }
        decide(delivery, reply, self.clock.now(), rand::random())
    }

    fn attempted(&self, delivery: &StartedDelivery, outcome: Outcome) -> Attempted {
        let concerns_endpoint = outcome.concerns_endpoint();
        let (state, delay) = match outcome.after {
            AfterAttempt::Delivered => (DeliveryState::Delivered, Duration::ZERO),
            AfterAttempt::RetryIn(delay) => (DeliveryState::Open, delay),
            AfterAttempt::GiveUp => (DeliveryState::GivenUp, Duration::ZERO),
            // The delivery waits until the endpoint is enabled again.
            AfterAttempt::Gone => match self.decide(delivery, None) {
                AfterAttempt::RetryIn(delay) => (DeliveryState::Open, delay),
                _ => (DeliveryState::GivenUp, Duration::ZERO),
            },
        };
        let (merchant, event) = (delivery.key.merchant, delivery.event);
        let excerpt = outcome.reply.as_ref().map(|reply| &reply.excerpt);
        let excerpt = excerpt.filter(|excerpt| !excerpt.is_empty());
        let sealed_reply = excerpt.map(|excerpt| {
            let excerpt = excerpt.as_bytes();
            self.keyring
                .encrypt(merchant, event.0, Purpose::Delivery, excerpt)
        });
        let status = outcome.reply.as_ref().map(|reply| reply.status);
        Attempted {
            key: delivery.key,
            event,
            number: delivery.number,
            state,
            delay,
            failure: outcome.failure,
            status: status.and_then(|status| i16::try_from(status).ok()),
            latency_ms: i32::try_from(outcome.latency.as_millis()).unwrap_or(i32::MAX),
            sealed_reply,
            sealed_body: outcome.sealed_body,
            to_account_url: outcome.to_account_url,
            concerns_endpoint,
        }
    }

    /// Records the result in the span, the log and the metrics.
    fn record(&self, attempted: &Attempted) {
        let span = Span::current();
        if let Some(status) = attempted.status {
            span.record("http.response.status_code", status);
        }
        if let Some(failure) = attempted.failure {
            telemetry::fail(&span, failure);
        }
        let key = attempted.key;
        let result = match attempted.state {
            DeliveryState::Delivered => AttemptResult::Delivered,
            DeliveryState::Open => AttemptResult::Failed,
            DeliveryState::GivenUp => AttemptResult::GivenUp,
        };
        self.metrics.attempted(result, attempted.failure);
        match attempted.state {
            DeliveryState::Delivered => {}
            DeliveryState::Open => debug!(
                merchant_id = %key.merchant, webhook_endpoint_id = %key.endpoint, event_id = %attempted.event,
                attempt = attempted.number, failure = attempted.failure, status = attempted.status,
                retry_in_s = attempted.delay.as_secs(),
                "delivery attempt failed"
            ),
            DeliveryState::GivenUp => warn!(
                merchant_id = %key.merchant, webhook_endpoint_id = %key.endpoint, event_id = %attempted.event,
                attempt = attempted.number, failure = attempted.failure, status = attempted.status,
                "delivery given up: every attempt failed; replay the event when the endpoint works"
            ),
        }
    }

    /// Stores the result, and retries as long as the process lives: a lost result would repeat the call.
    async fn settle(&self, attempted: &Attempted, slot: &mut Slot) {
        let (key, event_id) = (attempted.key, attempted.event);
        let mut tries = 0;
        loop {
            let request = Request::Settle(Box::new(attempted.clone()));
            let span = telemetry::database("settle delivery");
            match self.lane.submit(request).instrument(span).await {
                Ok(CommitResult::Settled(settled)) => {
                    failpoints::pass(Failpoint::DELIVERY_AFTER_COMMIT).await;
                    slot.settled.is_stored = true;
                    slot.settled.has_successor =
                        settled.is_some_and(|settled| settled.has_successor);
                    return;
                }
                Err(BatchError::Rejected(failure)) => {
                    error!(
                        merchant_id = %key.merchant, %event_id, error = %failure,
                        "delivery result not stored: the database rejected the statement; the attempt is repeated"
                    );
                    return;
                }
                Err(BatchError::Unavailable | BatchError::QueueFull) | Ok(_) => {
                    if tries == 0 {
                        warn!(merchant_id = %key.merchant, %event_id, "delivery result not stored yet: database unavailable; retrying");
                    }
                    tokio::time::sleep(SETTLE_RETRY.wait(tries, rand::random())).await;
                    tries += 1;
                }
            }
        }
    }

    /// Disables an endpoint that replied 410. If that fails, its next reply does it.
    async fn disable(&self, attempted: &Attempted) {
        let key = attempted.key.endpoint();
        let request = Request::Disable(key, DisabledBy::Gone);
        match self.lane.submit(request).await {
            Ok(CommitResult::Disabled(true)) => {
                report_disabled(&self.metrics, key, DisabledBy::Gone);
                // The merchant's other endpoints get an event.
                self.signals.has_deliveries(key.merchant);
            }
            Ok(_) => {}
            Err(failure) => {
                warn!(merchant_id = %key.merchant, webhook_endpoint_id = %key.id, error = %failure, "webhook endpoint not disabled");
            }
        }
    }
}

/// Decides what follows an attempt that ends at `now`. The schedule counts failed attempts since the first one or the replay, and
/// no lost ones.
fn decide(
    delivery: &StartedDelivery,
    reply: Option<&EndpointReply>,
    now: DateTime<Utc>,
    jitter: f64,
) -> AfterAttempt {
    let place = u32::try_from(delivery.failures).unwrap_or(0) + 1;
    let began = delivery.failing_since.unwrap_or(delivery.started_at);
    let since_first = (now - began).to_std().unwrap_or_default();
    after_attempt(place, since_first, reply, jitter)
}
