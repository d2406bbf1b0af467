//! Messages: ids and trace contexts, persistent, and dead-lettered if no worker can read them.

use futures_util::StreamExt;
use khata_queue::{Publisher, Wakeup};
use khata_telemetry as telemetry;
use lapin::options::{BasicAckOptions, BasicNackOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
use khata_testing::Queues;
use khata_testing::queues::{dead_letter_reason, delivered, wakeups};

/// A consumer without acknowledgements leaves the message in the queue.
const RETURN: BasicNackOptions = BasicNackOptions {
    multiple: false,
    requeue: true,
};
const PUT_ASIDE: BasicNackOptions = BasicNackOptions {
    multiple: false,
    requeue: false,
};

/// Records spans on this thread until dropped.
fn traced() -> tracing::subscriber::DefaultGuard {
    let provider = SdkTracerProvider::builder().build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing::subscriber::set_default(tracing_subscriber::registry().with(spans))
}

fn keys(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[tokio::test]
async fn a_message_is_persistent_and_has_only_ids() {
    let queues = Queues::new();
    let broker = queues.broker();
    let mut publisher = Publisher::new(broker.clone(), "test");
    let two = wakeups(2);
    publisher.publish(&two).await.unwrap();
    let message = queues.tap().await.next(&broker.queue()).await;
    let properties = &message.delivery.properties;
    assert_eq!(*properties.delivery_mode(), Some(2), "persistent");
    // The broker's own delivery count is the only limit.
    let headers = properties.headers().clone().unwrap_or_default();
    assert!(
        headers
            .inner()
            .keys()
            .all(|name| name.as_str() == "x-delivery-count")
    );
    assert_eq!(
        properties.content_type().as_ref().unwrap().as_str(),
        "application/json"
    );
    for nothing in [
        properties.correlation_id(),
        properties.app_id(),
        properties.user_id(),
        properties.reply_to(),
    ] {
        assert_eq!(*nothing, None);
    }
    let body: Value = serde_json::from_slice(&message.delivery.data).unwrap();
    assert_eq!(keys(&body), ["type", "v", "validations"]);
    let entries = body["validations"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for (entry, wakeup) in entries.iter().zip(&two) {
        assert_eq!(keys(entry), ["m", "v"]);
        assert_eq!(entry["m"], wakeup.key.merchant.0.to_string());
        assert_eq!(entry["v"], wakeup.key.id.0.to_string());
    }
}

#[tokio::test]
async fn only_a_recorded_trace_is_in_the_message() {
    let _spans = traced();
    let queues = Queues::new();
    let broker = queues.broker();
    let mut three = wakeups(3);
    three[0].trace_parent = Some(TRACE.into());
    three[1].trace_parent = Some(format!("{}00", &TRACE[..TRACE.len() - 2]));
    Publisher::new(broker.clone(), "test")
        .publish(&three)
        .await
        .unwrap();

    let (_connection, _channel, mut consumer) = broker.consume("test", 10).await.unwrap();
    let delivery = delivered(&mut consumer).await;
    let body: Value = serde_json::from_slice(&delivery.data).unwrap();
    assert_eq!(keys(&body["validations"][0]), ["m", "t", "v"]);
    let wakeup = Wakeup::decode(&delivery.data).unwrap();
    delivery
        .acker
        .ack(BasicAckOptions::default())
        .await
        .unwrap();
    let found: Vec<_> = wakeup.iter().map(|wakeup| wakeup.key).collect();
    assert_eq!(
        found,
        three.iter().map(|wakeup| wakeup.key).collect::<Vec<_>>()
    );
    let parent = wakeup[0].trace_parent.as_deref().unwrap();
    assert!(telemetry::is_recorded(parent));
    let part = |trace: &str, n: usize| trace.split('-').nth(n).unwrap().to_owned();
    assert_eq!(part(parent, 1), part(TRACE, 1), "the account's trace");
    assert_ne!(part(parent, 2), part(TRACE, 2), "the span of publishing");
    assert_eq!(
        (&wakeup[1].trace_parent, &wakeup[2].trace_parent),
        (&None, &None)
    );
}

#[tokio::test]
async fn the_queues_are_durable_quorum_queues_and_lose_nothing() {
    let queues = Queues::new();
    let broker = queues.broker();
    let (_connection, _channel) = broker.connect("test").await.unwrap();
    let text = |value: &str| AMQPValue::LongString(value.into());
    let dead = broker.dead_letters();
    let wanted: [(&str, AMQPValue, AMQPValue); 6] = [
        ("x-queue-type", text("quorum"), text("classic")),
        ("x-dead-letter-exchange", text(""), text("other")),
        ("x-dead-letter-routing-key", text(&dead), text("other")),
        (
            "x-dead-letter-strategy",
            text("at-least-once"),
            text("at-most-once"),
        ),
        ("x-overflow", text("reject-publish"), text("drop-head")),
        (
            "x-delivery-limit",
            AMQPValue::LongInt(20),
            AMQPValue::LongInt(3),
        ),
    ];
    // The broker compares a declaration with the existing queue and rejects a different one.
    let declare = async |queue: &str, durable: bool, changed: Option<usize>, count: usize| {
        let mut arguments = FieldTable::default();
        for (index, (name, right, wrong)) in wanted.iter().take(count).enumerate() {
            let value = if changed == Some(index) { wrong } else { right };
            arguments.insert((*name).into(), value.clone());
        }
        let options = QueueDeclareOptions {
            durable,
            ..QueueDeclareOptions::default()
        };
        let tap = queues.tap().await;
        tap.channel
            .queue_declare(queue.into(), options, arguments)
            .await
            .is_ok()
    };
    assert!(declare(&broker.queue(), true, None, 6).await);
    assert!(declare(&broker.awaited_queue(), true, None, 6).await);
    assert!(!declare(&broker.queue(), false, None, 6).await, "durable");
    for (index, (name, ..)) in wanted.iter().enumerate() {
        assert!(
            !declare(&broker.queue(), true, Some(index), 6).await,
            "{name}"
        );
    }
    assert!(declare(&dead, true, None, 1).await);
    assert!(
        !declare(&dead, true, Some(0), 1).await,
        "dead letters are kept as well"
    );
}

#[tokio::test]
async fn an_unreadable_message_is_dead_lettered() {
    let queues = Queues::new();
    let broker = queues.broker();
    let (_connection, _channel, mut consumer) = broker.consume("test", 10).await.unwrap();
    let tap = queues.tap().await;
    tap.put(&broker.queue(), b"{\"v\":2}").await;
    let delivery = delivered(&mut consumer).await;
    assert!(Wakeup::decode(&delivery.data).is_err());
    delivery.acker.nack(PUT_ASIDE).await.unwrap();
    let dead = tap.next(&broker.dead_letters()).await;
    assert_eq!(dead.delivery.data, b"{\"v\":2}");
    assert_eq!(dead_letter_reason(&dead), "rejected");
    assert!(tap.now(&broker.queue()).await.is_none());
}

#[tokio::test]
async fn a_message_beyond_the_delivery_limit_is_dead_lettered() {
    let queues = Queues::new();
    let broker = queues.broker();
    let (_connection, _channel, mut consumer) = broker.consume("test", 1).await.unwrap();
    let tap = queues.tap().await;
    tap.put(&broker.queue(), b"again").await;
    for _ in 0..21 {
        let delivery = delivered(&mut consumer).await;
        delivery.acker.nack(RETURN).await.unwrap();
    }
    let dead = tap.next(&broker.dead_letters()).await;
    assert_eq!(dead.delivery.data, b"again");
    assert_eq!(dead_letter_reason(&dead), "delivery_limit");
}

#[tokio::test]
async fn the_prefetch_limits_unacknowledged_messages() {
    let queues = Queues::new();
    let broker = queues.broker();
    let tap = queues.tap().await;
    let (_connection, _channel, mut consumer) = broker.consume("test", 2).await.unwrap();
    for body in [b"1", b"2", b"3"] {
        tap.put(&broker.queue(), body).await;
    }
    let first = delivered(&mut consumer).await;
    delivered(&mut consumer).await;
    let soon = std::time::Duration::from_millis(300);
    let third = tokio::time::timeout(soon, consumer.next()).await;
    assert!(third.is_err(), "two are unacknowledged");
    first.acker.ack(BasicAckOptions::default()).await.unwrap();
    let third = delivered(&mut consumer).await;
    assert_eq!(third.data, b"3");
}
