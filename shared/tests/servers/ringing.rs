//! The API's bell: never waits, gathers while a confirm is awaited, and survives the broker's absence.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use khata_shared::broker::{Ring, Ringer};
use khata_shared::store::validations::ValidationKey;

use crate::support::queues::{Tap, rings};
use crate::support::{Proxy, Queues, until};

fn keys(rings: &[Ring]) -> HashSet<ValidationKey> {
    rings.iter().map(|ring| ring.key).collect()
}

/// Takes messages until these validations have been rung for, and answers whatever was.
async fn heard(
    tap: &Tap,
    queue: &str,
    expected: &HashSet<ValidationKey>,
) -> HashSet<ValidationKey> {
    let mut heard = HashSet::new();
    until("all were rung for", async || {
        let messages = tap.all(queue).await;
        heard.extend(messages.iter().flatten().map(|rung| rung.key));
        heard.is_superset(expected)
    })
    .await;
    heard
}

#[tokio::test]
async fn every_ring_arrives_and_a_message_names_at_most_256() {
    let queues = Queues::new();
    let broker = queues.broker();
    let (ringer, task) = Ringer::start(broker.clone(), "test");
    let many = rings(1_000);
    for ring in &many {
        ringer.ring(ring.clone());
    }
    // Whoever stops has rung for what was handed over.
    drop(ringer);
    task.await.unwrap();
    let messages = queues.tap().await.all(&broker.queue()).await;
    let heard: Vec<_> = messages.iter().flatten().map(|rung| rung.key).collect();
    assert_eq!(heard, many.iter().map(|ring| ring.key).collect::<Vec<_>>());
    assert!(messages.iter().all(|message| message.len() <= 256));
    assert!(messages.len() <= 5, "they gather: {}", messages.len());
}

#[tokio::test]
async fn while_the_broker_is_away_rings_are_dropped_and_afterwards_it_rings_again() {
    let queues = Queues::new();
    let proxy = Proxy::before(&queues.address());
    let broker = queues.broker_through(proxy.port());
    let (ringer, _task) = Ringer::start(broker.clone(), "test");
    until("connected", async || ringer.is_connected()).await;
    let (before, during, after) = (rings(1), rings(50), rings(1));
    ringer.ring(before[0].clone());
    let tap = queues.tap().await;
    heard(&tap, &broker.queue(), &keys(&before)).await;

    proxy.cut();
    let asked = Instant::now();
    for ring in &during {
        ringer.ring(ring.clone());
    }
    assert!(
        asked.elapsed() < Duration::from_millis(50),
        "nobody waits for the broker"
    );
    until("it is noticed", async || !ringer.is_connected()).await;
    for ring in &during {
        ringer.ring(ring.clone());
    }
    proxy.open();
    until("connected again", async || ringer.is_connected()).await;
    ringer.ring(after[0].clone());
    let heard = heard(&tap, &broker.queue(), &keys(&after)).await;
    assert!(
        heard.is_disjoint(&keys(&during)),
        "the scheduler rings for those"
    );
}

#[tokio::test]
async fn a_ringer_may_start_before_its_broker_and_stop_without_it() {
    let queues = Queues::new();
    let proxy = Proxy::before(&queues.address());
    proxy.cut();
    let broker = queues.broker_through(proxy.port());
    let (ringer, task) = Ringer::start(broker.clone(), "test");
    let (stopping, stopped) = Ringer::start(broker.clone(), "test");
    until("both have tried", async || proxy.accepted() >= 2).await;
    assert!(!ringer.is_connected());
    drop(stopping);
    tokio::time::timeout(Duration::from_secs(5), stopped)
        .await
        .expect("it ends, broker or none")
        .unwrap();
    proxy.open();
    until("connected", async || ringer.is_connected()).await;
    let one = rings(1);
    ringer.ring(one[0].clone());
    heard(&queues.tap().await, &broker.queue(), &keys(&one)).await;
    drop(ringer);
    task.await.unwrap();
}
