//! Signals between workers.

use std::time::Duration;

use khata_domain::MerchantId;
use khata_queue::{DeliverySignals, DueDeliveries};
use khata_testing::{Proxy, Queues};
use uuid::Uuid;

fn due() -> DueDeliveries {
    DueDeliveries {
        merchants: vec![MerchantId::new(), MerchantId::new()],
    }
}

async fn connect(queues: &Queues) -> DeliverySignals {
    let worker = Uuid::new_v4();
    DeliverySignals::connect(&queues.broker(), worker)
        .await
        .unwrap()
}

async fn next(link: &mut DeliverySignals) -> Option<DueDeliveries> {
    tokio::time::timeout(Duration::from_secs(10), link.next())
        .await
        .expect("a signal or the end of the connection")
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
