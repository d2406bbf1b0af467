//! The wake-up publisher: never blocks, gathers during a confirm, and survives an unreachable broker.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use khata_domain::ValidationKey;
use khata_queue::{Wakeup, WakeupPublisher};
use lapin::message::BasicGetMessage;

use khata_testing::queues::{Tap, wakeups};
use khata_testing::{Proxy, Queues, until};

fn keys(wakeups: &[Wakeup]) -> HashSet<ValidationKey> {
    wakeups.iter().map(|wakeup| wakeup.key).collect()
}

/// Takes messages until every one of these validations has a wake-up; returns all wake-ups.
async fn received(
    tap: &Tap,
    queue: &str,
    expected: &HashSet<ValidationKey>,
) -> HashSet<ValidationKey> {
    let mut received = HashSet::new();
    until("all were wakeup for", async || {
        let messages = tap.all(queue).await;
        received.extend(messages.iter().flatten().map(|wakeup| wakeup.key));
        received.is_superset(expected)
    })
    .await;
    received
}

#[tokio::test]
async fn every_wakeup_arrives_and_a_message_has_at_most_256() {
    let queues = Queues::new();
    let broker = queues.broker();
    let (wakeup_publisher, task) = WakeupPublisher::start(broker.clone(), "test");
    let many = wakeups(1_000);
    for wakeup in &many {
        wakeup_publisher.publish(wakeup.clone());
    }
    // Stopping publishes the remaining wake-ups.
    drop(wakeup_publisher);
    task.await.unwrap();
    let messages = queues.tap().await.all(&broker.queue()).await;
    let received: Vec<_> = messages.iter().flatten().map(|wakeup| wakeup.key).collect();
    assert_eq!(
        received,
        many.iter().map(|wakeup| wakeup.key).collect::<Vec<_>>()
    );
    assert!(messages.iter().all(|message| message.len() <= 256));
    assert!(messages.len() <= 5, "they gather: {}", messages.len());
}

#[tokio::test]
async fn awaited_wakeups_have_their_own_queue_and_overtake_the_others() {
    let queues = Queues::new();
    let broker = queues.broker();
    // Declares the queues.
    let (_connection, _channel) = broker.connect("test").await.unwrap();
    let (wakeup_publisher, task) = WakeupPublisher::start(broker.clone(), "test");
    let (many, awaited) = (wakeups(2_000), wakeups(3));
    for wakeup in &many {
        wakeup_publisher.publish(wakeup.clone());
    }
    for wakeup in &awaited {
        wakeup_publisher.publish_awaited(wakeup.clone());
    }
    let tap = queues.tap().await;
    let first = tap.next(&broker.awaited_queue()).await;
    let found = Wakeup::decode(&first.delivery.data).unwrap();
    assert_eq!(keys(&found), keys(&awaited));
    drop(wakeup_publisher);
    task.await.unwrap();
    let second = tap.next(&broker.queue()).await;
    let id = |message: &BasicGetMessage| message.delivery.properties.message_id().clone();
    // Ids are in the order of time.
    assert!(id(&first).unwrap().as_str() < id(&second).unwrap().as_str());
    let others = Wakeup::decode(&second.delivery.data).unwrap().len();
    let messages = tap.all(&broker.queue()).await;
    assert_eq!(
        others + messages.iter().map(Vec::len).sum::<usize>(),
        many.len()
    );
    assert!(tap.now(&broker.awaited_queue()).await.is_none());
}

#[tokio::test]
async fn wakeups_are_dropped_while_the_broker_is_unreachable() {
    let queues = Queues::new();
    let proxy = Proxy::start(queues.address()).unwrap();
    let broker = queues.broker_through(proxy.port());
    let (wakeup_publisher, _task) = WakeupPublisher::start(broker.clone(), "test");
    until("connected", async || wakeup_publisher.is_connected()).await;
    let (before, during, after) = (wakeups(1), wakeups(50), wakeups(1));
    wakeup_publisher.publish(before[0].clone());
    let tap = queues.tap().await;
    received(&tap, &broker.queue(), &keys(&before)).await;

    proxy.cut();
    let asked = Instant::now();
    for wakeup in &during {
        wakeup_publisher.publish(wakeup.clone());
    }
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "publishing never waits for the broker"
    );
    until("it is noticed", async || !wakeup_publisher.is_connected()).await;
    for wakeup in &during {
        wakeup_publisher.publish(wakeup.clone());
    }
    until("they are dropped", async || {
        wakeup_publisher.counts().lost.get() == 100
    })
    .await;
    proxy.restore();
    until("connected again", async || wakeup_publisher.is_connected()).await;
    wakeup_publisher.publish(after[0].clone());
    let received = received(&tap, &broker.queue(), &keys(&after)).await;
    assert!(
        received.is_disjoint(&keys(&during)),
        "the scheduler wakeups for those"
    );
}

#[tokio::test]
async fn an_idle_wakeup_publisher_notices_a_lost_connection_and_connects_again() {
    let queues = Queues::new();
    let proxy = Proxy::start(queues.address()).unwrap();
    let broker = queues.broker_through(proxy.port());
    let (wakeup_publisher, _task) = WakeupPublisher::start(broker.clone(), "test");
    until("connected", async || wakeup_publisher.is_connected()).await;
    // Nothing is published meanwhile.
    for _ in 0..2 {
        proxy.cut();
        until("it is noticed", async || !wakeup_publisher.is_connected()).await;
        proxy.restore();
        until("connected again", async || wakeup_publisher.is_connected()).await;
    }
    let one = wakeups(1);
    wakeup_publisher.publish(one[0].clone());
    received(&queues.tap().await, &broker.queue(), &keys(&one)).await;
    assert_eq!(wakeup_publisher.counts().lost.get(), 0);
}

#[tokio::test]
async fn a_wakeup_publisher_starts_and_stops_without_a_broker() {
    let queues = Queues::new();
    let proxy = Proxy::start(queues.address()).unwrap();
    proxy.drop_connections();
    let broker = queues.broker_through(proxy.port());
    let (wakeup_publisher, task) = WakeupPublisher::start(broker.clone(), "test");
    let (stopping, stopped) = WakeupPublisher::start(broker.clone(), "test");
    until("both have tried", async || proxy.accepted() >= 2).await;
    assert!(!wakeup_publisher.is_connected());
    drop(stopping);
    tokio::time::timeout(Duration::from_secs(5), stopped)
        .await
        .expect("it ends, broker or none")
        .unwrap();
    proxy.restore();
    until("connected", async || wakeup_publisher.is_connected()).await;
    let one = wakeups(1);
    wakeup_publisher.publish(one[0].clone());
    received(&queues.tap().await, &broker.queue(), &keys(&one)).await;
    drop(wakeup_publisher);
    task.await.unwrap();
}
