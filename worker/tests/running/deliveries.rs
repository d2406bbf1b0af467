//! Events at the webhook endpoints of merchants.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use khata_domain::events::{EndpointKey, EventName};
use khata_testing::Proxy;
use khata_testing::database::number;
use khata_webhooks::WebhookSecret;
use serde_json::json;
use standardwebhooks::Webhook;

use crate::receiver::{Received, Receiver};
use crate::workshop::{Start, Workshop};
use crate::{account, accounts, wakeups};

const CREATED: &str = "CUSTOMER_ACCOUNT_CREATED";
const ACTIVE: &str = "CUSTOMER_ACCOUNT_ACTIVE";
/// Longer than a call may take.
const NEVER: Duration = Duration::from_mins(1);
const ONLY_DISABLED: &[EventName] = &[EventName::EndpointDisabled];

fn names(webhooks: &[Received]) -> Vec<(String, i64)> {
    webhooks.iter().map(Received::event).collect()
}

fn event(name: &str, version: i64) -> (String, i64) {
    (name.to_owned(), version)
}

/// Makes every delivery due.
fn all_due(workshop: &mut Workshop) {
    let now = "update webhook_deliveries set due_at = now()";
    workshop.connection.batch_execute(now).unwrap();
}

/// Counts the deliveries that meet the condition.
fn count(workshop: &mut Workshop, condition: &str) -> i64 {
    let count = format!("select count(*) from webhook_deliveries where {condition}");
    number(&mut workshop.connection, &count)
}

/// Waits until this many deliveries meet the condition.
async fn counted(workshop: &mut Workshop, condition: &str, expected: i64) {
    for _ in 0..6_000 {
        if count(workshop, condition) == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let found = count(workshop, condition);
    panic!("{found} deliveries and not {expected} after a minute: {condition}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_in_order_and_the_published_library_verifies_them() {
    let mut workshop = Workshop::new();
    let receiver = Receiver::accepting();
    let secret = WebhookSecret::generate_symmetric();
    workshop.add_endpoint(&receiver.url, &secret, |_| {});
    let key = workshop.store(&account("00011020001700"));
    let worker = workshop.worker().await;
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    let webhooks = receiver.at_least(2).await;
    assert_eq!(names(&webhooks), [event(CREATED, 1), event(ACTIVE, 2)]);
    let verifier = Webhook::new(&secret.expose()).unwrap();
    for webhook in &webhooks {
        verifier.verify(&webhook.body, &webhook.headers).unwrap();
        assert_eq!(webhook.header("webhook-id"), webhook.json()["id"]);
        assert_eq!(webhook.header("khata-attempt"), "1");
    }
    let account = &webhooks[1].json()["content"]["customer_account"];
    assert_eq!(account["status"], "ACTIVE");
    assert_eq!(
        webhooks[0].json()["content"]["customer_account"]["validation"],
        json!(null)
    );
    counted(&mut workshop, "state = 'DELIVERED' and attempts = 1", 2).await;
    worker.stop().await;
    let owned = "select count(*) from webhook_endpoints where owner_id is not null";
    assert_eq!(number(&mut workshop.connection, owned), 0, "given up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_attempt_is_repeated_with_the_same_bytes_and_the_next_event_waits() {
    let mut workshop = Workshop::new();
    let receiver =
        Receiver::start(|number, _| (if number == 0 { 500 } else { 200 }, Duration::ZERO));
    let secret = WebhookSecret::generate_symmetric();
    workshop.add_endpoint(&receiver.url, &secret, |_| {});
    let key = workshop.store(&account("00011020001700"));
    let worker = workshop.worker().await;
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    // The schedule: 5 s, a tenth more or less.
    let waits = "version = 1 and failures = 1 and started_at is null and sealed_body is not null
        and due_at - failing_since between interval '4.5 s' and interval '1 min'";
    counted(&mut workshop, waits, 1).await;
    // The second attempt has the body of the first, although the account changed.
    let change = "update webhook_endpoints set payload = 'THIN', version = version + 1";
    workshop.connection.batch_execute(change).unwrap();
    all_due(&mut workshop);
    let webhooks = receiver.at_least(3).await;
    assert_eq!(
        names(&webhooks),
        [event(CREATED, 1), event(CREATED, 1), event(ACTIVE, 2)]
    );
    let (first, second) = (&webhooks[0], &webhooks[1]);
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(second.header("khata-attempt"), "2");
    let verifier = Webhook::new(&secret.expose()).unwrap();
    verifier.verify(&second.body, &second.headers).unwrap();
    counted(&mut workshop, "state = 'DELIVERED'", 2).await;
    let failed = "select count(*) from webhook_attempts where number = 1 and status = 500 and failure = 'status' and sealed_reply is not null";
    assert_eq!(number(&mut workshop.connection, failed), 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unordered_endpoint_does_not_wait_for_the_event_before() {
    let mut workshop = Workshop::new();
    let reply = |_: usize, webhook: &Received| {
        let is_first = webhook.event().0 == CREATED;
        (if is_first { 500 } else { 200 }, Duration::ZERO)
    };
    let receiver = Receiver::start(reply);
    let secret = WebhookSecret::generate_symmetric();
    workshop.add_endpoint(&receiver.url, &secret, |new| new.is_ordered = false);
    let key = workshop.store(&account("00011020001700"));
    let worker = workshop.worker().await;
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    counted(&mut workshop, "state = 'DELIVERED' and version = 2", 1).await;
    assert_eq!(count(&mut workshop, "state = 'OPEN' and version = 1"), 1);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_attempt_of_a_killed_worker_is_repeated_and_counted() {
    let mut workshop = Workshop::new();
    let receiver =
        Receiver::start(|number, _| (200, if number == 0 { NEVER } else { Duration::ZERO }));
    let secret = WebhookSecret::generate_symmetric();
    workshop.add_endpoint(&receiver.url, &secret, |_| {});
    workshop.store(&account("00011020001700"));
    let killed = workshop.worker_process(Start::default()).await;
    receiver.at_least(1).await;
    killed.kill();
    // As if the time had passed after which the attempt counts as lost, and the ownership ends.
    workshop
        .connection
        .batch_execute(
            "update webhook_deliveries set started_at = started_at - interval '1 min';
             update webhook_endpoints set owned_until = now()",
        )
        .unwrap();
    let worker = workshop.worker().await;
    let webhooks = receiver.at_least(2).await;
    assert_eq!(
        names(&webhooks[..2]),
        [event(CREATED, 1), event(CREATED, 1)]
    );
    assert_eq!(webhooks[0].body, webhooks[1].body);
    assert_eq!(
        webhooks[0].header("webhook-id"),
        webhooks[1].header("webhook-id")
    );
    assert_eq!(webhooks[1].header("khata-attempt"), "2");
    worker
        .metric_meets("khata_webhook_attempts_repeated_total", |count| count > 0.0)
        .await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_endpoint_delays_no_other() {
    let mut workshop = Workshop::new();
    let (dead, healthy) = (Receiver::start(|_, _| (200, NEVER)), Receiver::accepting());
    let secret = WebhookSecret::generate_symmetric();
    let at_dead = workshop.add_endpoint(&dead.url, &secret, |new| new.concurrency = 256);
    let at_healthy = workshop.add_endpoint(&healthy.url, &secret, |_| {});
    let keys = workshop.store_all(&accounts(100));
    let start = Start {
        settings: &["--delivery-concurrency", "16", "--drain-seconds", "1"],
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    workshop.publisher.publish(&wakeups(&keys)).await.unwrap();
    dead.at_least(8).await;
    let other = workshop.other_merchant_with_endpoint(&Receiver::accepting().url, &secret);
    let more = workshop.store_for(other, &accounts(20), None);
    workshop.publisher.publish(&wakeups(&more)).await.unwrap();
    let of_other = format!("merchant_id = '{}' and state = 'DELIVERED'", other.0);
    counted(&mut workshop, &of_other, 40).await;
    counted(&mut workshop, &of(at_healthy, "state = 'DELIVERED'"), 200).await;
    assert_eq!(count(&mut workshop, &of(at_dead, "state = 'DELIVERED'")), 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_replies_410_is_disabled_and_the_others_are_told() {
    let mut workshop = Workshop::new();
    let (gone, other) = (
        Receiver::start(|_, _| (410, Duration::ZERO)),
        Receiver::accepting(),
    );
    let secret = WebhookSecret::generate_symmetric();
    let disabled = workshop.add_endpoint(&gone.url, &secret, |_| {});
    workshop.add_endpoint(&other.url, &secret, |new| new.event_names = ONLY_DISABLED);
    workshop.store(&account("00011020001700"));
    let worker = workshop.worker().await;
    let webhooks = other.at_least(1).await;
    let webhook = webhooks[0].json();
    assert_eq!(webhook["event_name"], "WEBHOOK_ENDPOINT_DISABLED");
    let endpoint = &webhook["content"]["webhook_endpoint"];
    assert_eq!(endpoint["id"], disabled.id.to_string());
    assert_eq!(endpoint["disabled_by"], "GONE");
    let audited = format!(
        "select count(*) from audit_log where actor = 'khata-worker' and action = 'webhook.disable' and subject = '{}'",
        disabled.id
    );
    assert_eq!(number(&mut workshop.connection, &audited), 1);
    // The event waits until the endpoint is enabled again.
    assert_eq!(
        count(
            &mut workshop,
            &of(disabled, "state = 'OPEN' and failures = 1")
        ),
        1
    );
    worker.stop().await;
}

/// A condition about the deliveries of an endpoint.
fn of(endpoint: EndpointKey, condition: &str) -> String {
    format!("endpoint_id = '{}' and {condition}", endpoint.id.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_deliver_each_event_once_and_in_order() {
    let mut workshop = Workshop::new();
    let receiver = Receiver::accepting();
    let secret = WebhookSecret::generate_symmetric();
    workshop.add_endpoint(&receiver.url, &secret, |_| {});
    let workers = [workshop.worker().await, workshop.worker().await];
    let keys = workshop.store_all(&accounts(100));
    for part in wakeups(&keys).chunks(5) {
        workshop.publisher.publish(part).await.unwrap();
    }
    counted(&mut workshop, "state = 'DELIVERED' and attempts = 1", 200).await;
    let mut versions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for webhook in receiver.all() {
        let account = &webhook.json()["content"]["customer_account"];
        let id = account["id"].as_str().unwrap().to_owned();
        let version = account["version"].as_i64().unwrap();
        versions.entry(id).or_default().push(version);
    }
    assert_eq!(versions.len(), 100);
    for (account, versions) in versions {
        assert_eq!(versions, [1, 2], "{account}");
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_events_are_delivered_too() {
    let mut workshop = Workshop::new();
    let receiver = Receiver::accepting();
    let secret = WebhookSecret::generate_symmetric();
    workshop.add_endpoint(&receiver.url, &secret, |_| {});
    workshop.store(&account("00011020001700"));
    workshop.all_due();
    let proxy = Proxy::start(workshop.queues.address()).unwrap();
    proxy.cut();
    let start = Start {
        amqp_url: Some(workshop.queues.broker_through(proxy.port()).amqp_url),
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    let webhooks = receiver.at_least(2).await;
    assert_eq!(names(&webhooks), [event(CREATED, 1), event(ACTIVE, 2)]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_worker_finishes_its_calls_and_begins_no_others() {
    let mut workshop = Workshop::new();
    let receiver = Receiver::start(|_, _| (200, Duration::from_secs(6)));
    let secret = WebhookSecret::generate_symmetric();
    workshop.add_endpoint(&receiver.url, &secret, |new| new.concurrency = 2);
    workshop.store_all(&accounts(5));
    let worker = workshop.worker().await;
    receiver.at_least(2).await;
    worker.stop().await;
    assert_eq!(count(&mut workshop, "state = 'DELIVERED'"), 2);
    assert_eq!(count(&mut workshop, "started_at is not null"), 0);
    assert_eq!(receiver.all().len(), 2);
    let owned = "select count(*) from webhook_endpoints where owner_id is not null";
    assert_eq!(number(&mut workshop.connection, owned), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_waits_for_postgres() {
    let mut workshop = Workshop::new();
    let receiver = Receiver::start(|_, _| (200, Duration::from_millis(500)));
    let secret = WebhookSecret::generate_symmetric();
    workshop.add_endpoint(&receiver.url, &secret, |_| {});
    workshop.store(&account("00011020001700"));
    let proxy = Proxy::start(workshop.database.address()).unwrap();
    let start = Start {
        database_url: Some(workshop.database.url_through(proxy.port())),
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    receiver.at_least(1).await;
    proxy.cut();
    // Long enough for the call to end, and for the first result to fail.
    tokio::time::sleep(Duration::from_secs(2)).await;
    proxy.restore();
    counted(
        &mut workshop,
        "state = 'DELIVERED' and version = 1 and attempts = 1",
        1,
    )
    .await;
    worker.stop().await;
}

/// Returns the most webhooks that arrived within any time of this length.
fn most_within(webhooks: &[Received], length: Duration) -> usize {
    let begins = webhooks.iter().map(|webhook| webhook.at);
    let within = begins.map(|begin| {
        let arrived = webhooks.iter().map(|webhook| webhook.at);
        arrived
            .filter(|at| *at >= begin && *at < begin + length)
            .count()
    });
    within.max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_gets_no_more_calls_at_once_than_its_limit() {
    const TAKES: Duration = Duration::from_millis(150);
    let mut workshop = Workshop::new();
    let receiver = Receiver::start(|_, _| (200, TAKES));
    let secret = WebhookSecret::generate_symmetric();
    workshop.add_endpoint(&receiver.url, &secret, |new| new.concurrency = 3);
    workshop.store_all(&accounts(20));
    let worker = workshop.worker().await;
    counted(&mut workshop, "state = 'DELIVERED' and version = 1", 20).await;
    // A call lasts at least this long, so that those which arrived within the time were in progress together.
    let most = most_within(&receiver.all(), TAKES);
    assert!((2..=3).contains(&most), "{most} calls at once");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_gets_no_more_calls_a_second_than_its_limit() {
    let mut workshop = Workshop::new();
    let receiver = Receiver::accepting();
    let secret = WebhookSecret::generate_symmetric();
    workshop.add_endpoint(&receiver.url, &secret, |new| {
        new.calls_per_second = Some(10);
    });
    workshop.store_all(&accounts(30));
    let worker = workshop.worker().await;
    counted(&mut workshop, "state = 'DELIVERED' and version = 1", 30).await;
    let webhooks = receiver.all();
    // Ten calls at once, and twenty within two seconds; a busy machine may have delayed the first one.
    let took = webhooks[29].at - webhooks[0].at;
    assert!(took >= Duration::from_millis(1_500), "30 calls in {took:?}");
    worker.stop().await;
}
