//! The publisher: a confirmed message is in the queue, and the publisher reconnects by itself.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use khata_queue::{BrokerError, Publisher, Wakeup};
use lapin::options::QueueDeleteOptions;

use khata_testing::queues::{delivered, wakeups};
use khata_testing::{Proxy, Queues, TIMEOUT, until};

#[tokio::test]
async fn a_confirmed_message_is_in_the_queue() {
    let queues = Queues::new();
    let broker = queues.broker();
    let mut publisher = Publisher::new(broker.clone(), "test");
    let tap = queues.tap().await;
    for count in [1, 256, 3] {
        let wakeups = wakeups(count);
        publisher.publish(&wakeups).await.unwrap();
        let message = tap
            .now(&broker.queue())
            .await
            .expect("there when confirmed");
        let found: Vec<_> = Wakeup::decode(&message.delivery.data)
            .unwrap()
            .iter()
            .map(|wakeup| wakeup.key)
            .collect();
        assert_eq!(
            found,
            wakeups.iter().map(|wakeup| wakeup.key).collect::<Vec<_>>()
        );
    }
    publisher.close().await;
}

#[tokio::test]
async fn an_unroutable_message_fails_and_the_next_one_declares_the_queue_again() {
    let queues = Queues::new();
    let broker = queues.broker();
    let mut publisher = Publisher::new(broker.clone(), "test");
    publisher.publish(&wakeups(1)).await.unwrap();
    let tap = queues.tap().await;
    tap.channel
        .queue_delete(
            broker.queue().as_str().into(),
            QueueDeleteOptions::default(),
        )
        .await
        .unwrap();
    let refused = publisher.publish(&wakeups(1)).await;
    assert!(matches!(refused, Err(BrokerError::Rejected)), "{refused:?}");
    publisher.publish(&wakeups(1)).await.unwrap();
    assert_eq!(tap.all(&broker.queue()).await.len(), 1);
}

#[tokio::test]
async fn depth_is_the_number_of_waiting_messages() {
    let queues = Queues::new();
    let mut publisher = Publisher::new(queues.broker(), "test");
    assert_eq!(publisher.depth().await.unwrap(), 0);
    for _ in 0..3 {
        publisher.publish(&wakeups(5)).await.unwrap();
    }
    assert_eq!(publisher.depth().await.unwrap(), 3);
    queues.tap().await.all(&queues.broker().queue()).await;
    until("the queue is empty", async || {
        publisher.depth().await.unwrap() == 0
    })
    .await;
}

#[tokio::test]
async fn a_publisher_reconnects_after_a_cut() {
    let queues = Queues::new();
    let proxy = Proxy::start(queues.address()).unwrap();
    let broker = queues.broker_through(proxy.port());
    let mut publisher = Publisher::new(broker.clone(), "test");
    publisher.publish(&wakeups(1)).await.unwrap();
    let connections = proxy.accepted();
    proxy.cut();
    let away = publisher.publish(&wakeups(1)).await;
    assert!(matches!(away, Err(BrokerError::Amqp(_))), "{away:?}");
    assert!(publisher.depth().await.is_err());
    proxy.restore();
    publisher.publish(&wakeups(1)).await.unwrap();
    assert_eq!(publisher.depth().await.unwrap(), 2);
    assert!(proxy.accepted() > connections);
    assert_eq!(queues.tap().await.all(&broker.queue()).await.len(), 2);
}

#[tokio::test]
async fn a_hanging_broker_times_out_and_is_reconnected() {
    let queues = Queues::new();
    let proxy = Proxy::start(queues.address()).unwrap();
    let mut publisher = Publisher::new(queues.broker_through(proxy.port()), "test");
    publisher.publish(&wakeups(1)).await.unwrap();
    let connections = proxy.accepted();
    proxy.hang();
    let asked = Instant::now();
    let silent = publisher.publish(&wakeups(1)).await;
    assert!(matches!(silent, Err(BrokerError::TimedOut)), "{silent:?}");
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
    proxy.thaw();
    publisher.publish(&wakeups(1)).await.unwrap();
    assert_eq!(proxy.accepted(), connections + 1);
}

#[tokio::test]
async fn a_consumer_ends_with_its_connection_and_its_messages_are_redelivered() {
    let queues = Queues::new();
    let proxy = Proxy::start(queues.address()).unwrap();
    let broker = queues.broker_through(proxy.port());
    Publisher::new(queues.broker(), "test")
        .publish(&wakeups(1))
        .await
        .unwrap();
    let (_connection, _channel, mut consumer) = broker.consume("test", 10).await.unwrap();
    let delivery = delivered(&mut consumer).await;
    assert!(!delivery.redelivered);
    proxy.cut();
    let ended = tokio::time::timeout(TIMEOUT, async {
        while let Some(Ok(_)) = consumer.next().await {}
    });
    ended.await.expect("the stream ends");
    proxy.restore();
    let (_connection, _channel, mut consumer) = broker.consume("test", 10).await.unwrap();
    let again = delivered(&mut consumer).await;
    assert!(again.redelivered);
    assert_eq!(again.data, delivery.data);
}
