//! A worker whose clock is wrong, whose broker is away, or whose Postgres hangs.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use khata_testing::Proxy;

use crate::workshop::{Start, Workshop};
use crate::{account, accounts, wakeups};

const OFFSET: &str = "khata_clock_offset_seconds";

/// Sets Postgres's clock back for workers that are started with the returned URL.
fn set_back(workshop: &mut Workshop, interval: &str) -> String {
    let function = format!(
        "create schema if not exists skewed;
         create or replace function skewed.now() returns timestamptz language sql stable
         as $$ select pg_catalog.now() - interval '{interval}' $$"
    );
    workshop.connection.batch_execute(&function).unwrap();
    let url = workshop.database.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options=-csearch_path%3Dskewed,pg_catalog,public")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_is_judged_by_postgres() {
    let mut workshop = Workshop::new();
    let key = workshop.store(&account("00011020001700"));
    let database_url = set_back(&mut workshop, "25 s");
    // Over by the worker's own clock, and not by Postgres's.
    let deadline = "update validations set deadline_at = now() - interval '2 s'";
    workshop.connection.batch_execute(deadline).unwrap();
    workshop.publisher.connect().await.unwrap();
    workshop.publisher.publish(&wakeups(&[key])).await.unwrap();
    let start = Start {
        database_url: Some(database_url),
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    assert_eq!(workshop.outcome(key).await.0, "VALID");
    worker
        .metric_meets(OFFSET, |offset| (23.0..27.0).contains(&offset))
        .await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_claims_nothing_while_its_clock_is_wrong() {
    let mut workshop = Workshop::new();
    let keys = workshop.store_all(&accounts(3));
    workshop.publisher.connect().await.unwrap();
    workshop.publisher.publish(&wakeups(&keys)).await.unwrap();
    let start = Start {
        database_url: Some(set_back(&mut workshop, "49 h")),
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    worker
        .metric_meets(OFFSET, |offset| offset > 48.0 * 3_600.0)
        .await;
    assert_eq!(workshop.count("state = 'DUE' and attempts = 0"), 3);
    assert_eq!(workshop.publisher.depth().await.unwrap(), 1);
    set_back(&mut workshop, "0 s");
    for key in keys {
        assert_eq!(workshop.outcome(key).await.0, "VALID");
    }
    // Claims end again when the clock becomes wrong while the worker runs.
    set_back(&mut workshop, "-49 h");
    worker
        .metric_meets(OFFSET, |offset| offset < -48.0 * 3_600.0)
        .await;
    worker
        .metric_meets("khata_broker_connected", |connected| connected < 0.5)
        .await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_on_without_the_broker() {
    let mut workshop = Workshop::new();
    let proxy = Proxy::start(workshop.queues.address()).unwrap();
    let start = Start {
        amqp_url: Some(workshop.queues.broker_through(proxy.port()).amqp_url),
        // Fewer permits than accounts.
        settings: &["--concurrency", "8"],
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    let depth = "khata_queue_messages{queue=\"validations\"}";
    worker.metric_meets(depth, |messages| messages < 0.5).await;
    for (fault, accounts) in [
        (Proxy::cut as fn(&Proxy), &accounts(50)[..]),
        (Proxy::hang, &accounts(100)[50..]),
    ] {
        fault(&proxy);
        let keys = workshop.store_all(accounts);
        workshop.all_due();
        for key in keys {
            assert_eq!(
                workshop.outcome(key).await,
                ("VALID".into(), "ACTIVE".into(), 1)
            );
        }
        khata_testing::until("the broker is away", async || {
            worker.metric(depth).await.is_none()
        })
        .await;
        proxy.restore();
        worker.metric_meets(depth, |messages| messages < 0.5).await;
    }
    worker.metric_meets(depth, |messages| messages < 0.5).await;
    worker
        .metric_meets("khata_broker_connected", |connected| connected > 0.5)
        .await;
    let key = workshop.store(&account("00011029999900"));
    workshop.all_due();
    assert_eq!(workshop.outcome(key).await.0, "VALID");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_postgres_hangs_is_live_and_not_ready_and_stops() {
    let mut workshop = Workshop::new();
    let proxy = Proxy::start(workshop.database.address()).unwrap();
    let start = Start {
        database_url: Some(workshop.database.url_through(proxy.port())),
        settings: &["--drain-seconds", "1"],
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    let key = workshop.store(&account("00011020001700"));
    workshop.all_due();
    assert_eq!(workshop.outcome(key).await.0, "VALID");
    let waits = workshop.store(&account("00011020001791"));
    proxy.hang();
    let hangs = Instant::now();
    // Its claim hangs.
    let wakeup = wakeups(&[waits]);
    workshop.publisher.publish(&wakeup).await.unwrap();
    let (mut stalls, mut goes_on) = (false, false);
    // The watchdog closes the connection of a statement that hangs for seconds.
    let closed = khata_store::closed_connections();
    while khata_store::closed_connections() == closed {
        let (status, page) = worker.get("/health/ready").await;
        assert_eq!(status, 503);
        assert!(page.contains("\"postgres\":\"down\""), "{page}");
        stalls |= page.contains("\"commits\":\"stalled\"");
        let (status, page) = worker.get("/health/live").await;
        let live: serde_json::Value = serde_json::from_str(&page).unwrap();
        let age = live["checks"]["scheduler_age_seconds"].as_u64();
        assert_eq!(status, 200, "{page}");
        // Begun while Postgres hangs. A busy machine may delay one round, but not all until the watchdog closes the connection.
        let is_open = khata_store::closed_connections() == closed;
        goes_on |= is_open && age.unwrap() <= 2 && hangs.elapsed() > Duration::from_millis(3_500);
    }
    assert!(stalls, "the commit of the claim");
    assert!(goes_on, "the scheduler waits for Postgres");
    worker.stop().await;
}
