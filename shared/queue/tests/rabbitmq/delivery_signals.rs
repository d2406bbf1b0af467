//! Signals to workers.

use std::time::Duration;

use khata_domain::MerchantId;
use khata_queue::{DeliverySignalPublisher, DeliverySignals, DueDeliveries};
use khata_testing::{Proxy, Queues, TIMEOUT};
use uuid::Uuid;

fn due() -> DueDeliveries {
    DueDeliveries {
        merchants: vec![MerchantId::new(), MerchantId::new()],
    }
}

async fn connect(queues: &Queues) -> DeliverySignals {
    queues.delivery_signals().await.unwrap()
}

async fn next(link: &mut DeliverySignals) -> Option<DueDeliveries> {
    tokio::time::timeout(TIMEOUT, link.next())
        .await
        .expect("a signal or the end of the connection")
}

/// Publishes the merchant three times until a signal arrives, and returns the signal: one is lost with a broken connection.
async fn signalled(
    publisher: &DeliverySignalPublisher,
    worker: &mut DeliverySignals,
    merchant: MerchantId,
) -> DueDeliveries {
    let signalled = async {
        loop {
            for _ in 0..3 {
                publisher.publish(merchant);
            }
            let signal = tokio::time::timeout(Duration::from_millis(500), worker.next()).await;
            if let Ok(Some(due)) = signal
                && due.merchants.contains(&merchant)
            {
                return due;
            }
        }
    };
    let signalled = tokio::time::timeout(TIMEOUT, signalled).await;
    signalled.expect("a signal")
}

#[tokio::test]
async fn every_connected_worker_gets_a_signal() {
    let queues = Queues::new();
    let (mut one, mut other) = (connect(&queues).await, connect(&queues).await);
    let first = due();
    one.publish(&first).await.unwrap();
    for link in [&mut one, &mut other] {
        assert_eq!(next(link).await, Some(first.clone()));
    }
    one.close().await;
    let last = due();
    other.publish(&last).await.unwrap();
    assert_eq!(next(&mut other).await, Some(last));
    other.close().await;
}

#[tokio::test]
async fn the_end_of_the_connection_ends_the_signals() {
    let queues = Queues::new();
    let proxy = Proxy::start(queues.address()).unwrap();
    let broker = queues.broker_through(proxy.port());
    let mut link = DeliverySignals::connect(&broker, Uuid::new_v4())
        .await
        .unwrap();
    proxy.cut();
    assert_eq!(next(&mut link).await, None);
    assert!(link.publish(&due()).await.is_err());
}

#[tokio::test]
async fn a_publisher_signals_each_merchant_and_outlives_the_workers() {
    let queues = Queues::new();
    let (publisher, task) = DeliverySignalPublisher::start(queues.broker(), "test");
    let merchant = MerchantId::new();
    let only = DueDeliveries {
        merchants: vec![merchant],
    };
    let mut worker = connect(&queues).await;
    for _ in 0..2 {
        assert_eq!(signalled(&publisher, &mut worker, merchant).await, only);
        // The exchange ends with its last queue, so that the broker closes the channel of the publisher.
        worker.close().await;
        publisher.publish(merchant);
        tokio::time::sleep(Duration::from_secs(1)).await;
        worker = connect(&queues).await;
    }
    assert_eq!(signalled(&publisher, &mut worker, merchant).await, only);
    // The last signal is published before the task ends.
    let last = MerchantId::new();
    publisher.publish(last);
    drop(publisher);
    task.await.unwrap();
    while !next(&mut worker).await.unwrap().merchants.contains(&last) {}
    worker.close().await;
}

#[tokio::test]
async fn a_publisher_connects_again() {
    let queues = Queues::new();
    let proxy = Proxy::start(queues.address()).unwrap();
    let broker = queues.broker_through(proxy.port());
    let (publisher, _task) = DeliverySignalPublisher::start(broker, "test");
    let mut worker = connect(&queues).await;
    publisher.publish(MerchantId::new());
    assert!(next(&mut worker).await.is_some());
    proxy.cut();
    publisher.publish(MerchantId::new());
    tokio::time::sleep(Duration::from_secs(1)).await;
    proxy.restore();
    let last = MerchantId::new();
    signalled(&publisher, &mut worker, last).await;
}
