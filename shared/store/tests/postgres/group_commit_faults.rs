//! The group commit while the database hangs, disconnects or is unreachable: errors in time, no partial writes, and no
//! restart needed.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_store as store;
use khata_store::group_commit::BatchError;

use crate::group_commit::{
    A_BUG, LATE, Office, PATIENCE, SLIPS, Slip, Stop, TAKEN_BACK, office, table,
};
use khata_testing::database::number;
use khata_testing::{Database, Proxy, until};

/// Time-out of callers that get no result. The other callers of the test have it too: it is long enough for a commit on a busy
/// machine, and half of the lane's lock time-out.
const SHORT: Duration = Duration::from_secs(1);

struct Remote {
    proxy: Proxy,
    office: Office,
    /// A direct connection to the database.
    connection: PgConnection,
    _database: Database,
}

/// A lane that reaches its database through a proxy.
fn remote(patience: Duration) -> Remote {
    let database = Database::new();
    let connection = table(&database);
    let proxy = Proxy::start(database.address()).unwrap();
    let pool = store::open(&database.url_through(proxy.port()), "khata-test", 1);
    // No caller of the test waits for the first connection.
    drop(pool.get().unwrap());
    Remote {
        proxy,
        office: office(pool, patience),
        connection,
        _database: database,
    }
}

fn is_unavailable(answer: &Result<i32, BatchError>) -> bool {
    matches!(answer, Err(BatchError::Unavailable))
}

#[tokio::test]
async fn a_hanging_database_fails_requests_in_time_and_stores_nothing_later() {
    let mut remote = remote(SHORT);
    until("served", async || {
        remote.office.lane.submit(Slip::new(1)).await.is_ok()
    })
    .await;
    remote.proxy.hang();
    let (asked, lane) = (Instant::now(), remote.office.lane.clone());
    let in_flight = tokio::spawn(async move { lane.submit(Slip::new(2)).await });
    tokio::time::sleep(SHORT / 4).await;
    let in_queue = remote.office.lane.submit(Slip::new(3)).await;
    assert!(is_unavailable(&in_flight.await.unwrap()));
    assert!(is_unavailable(&in_queue));
    // Before the watchdog closes the connection, after seven seconds.
    assert!(asked.elapsed() < 5 * SHORT, "{:?}", asked.elapsed());
    remote.proxy.thaw();
    until("served again", async || {
        remote.office.lane.submit(Slip::new(4)).await.is_ok()
    })
    .await;
    let transactions = remote.office.transactions.lock().unwrap().clone();
    assert!(
        !transactions.concat().contains(&3),
        "given up in the queue: {transactions:?}"
    );
    let stored = number(
        &mut remote.connection,
        "select coalesce(sum(number), 0) from slips",
    );
    assert_eq!(
        stored, 5,
        "1 and 4: a caller with Unavailable finds nothing stored"
    );
}

#[tokio::test]
async fn a_connection_that_stays_silent_is_replaced_although_the_network_acknowledges() {
    let remote = remote(SHORT);
    until("served", async || {
        remote.office.lane.submit(Slip::new(1)).await.is_ok()
    })
    .await;
    let mut blocker = remote.connection;
    blocker.batch_execute("begin; lock table slips").unwrap();
    let (asked, lane) = (Instant::now(), remote.office.lane.clone());
    let waiting = tokio::spawn(async move { lane.submit(Slip::new(2)).await });
    tokio::time::sleep(SHORT / 4).await;
    remote.proxy.hang_open_connections();
    blocker.batch_execute("commit").unwrap();
    assert!(is_unavailable(&waiting.await.unwrap()));
    until("served again", async || {
        remote.office.lane.submit(Slip::new(4)).await.is_ok()
    })
    .await;
    assert!(
        asked.elapsed() < Duration::from_secs(15),
        "{:?}",
        asked.elapsed()
    );
    assert!(store::closed_connections() > 0);
}

/// Makes each COMMIT wait for the advisory lock 1.
fn slow_down_commits(connection: &mut PgConnection) {
    connection
        .batch_execute(
            "create function wait() returns trigger language plpgsql as $$
                begin perform pg_advisory_xact_lock(1); return null; end $$;
             create constraint trigger wait after insert on slips deferrable initially deferred
                for each row execute function wait()",
        )
        .unwrap();
}

#[tokio::test]
async fn a_commit_that_outlasts_its_caller_is_taken_back() {
    let mut remote = remote(SHORT);
    slow_down_commits(&mut remote.connection);
    remote
        .connection
        .batch_execute("select pg_advisory_lock(1)")
        .unwrap();
    let answer = remote.office.lane.submit(Slip::new(LATE)).await;
    assert!(is_unavailable(&answer), "{answer:?}");
    remote
        .connection
        .batch_execute("select pg_advisory_unlock(1)")
        .unwrap();
    let taken_back = format!("select count(*) from slips where number = {TAKEN_BACK}");
    until("taken back", async || {
        number(&mut remote.connection, &taken_back) == 1
    })
    .await;
    assert_eq!(number(&mut remote.connection, SLIPS), 2);
}

#[tokio::test]
async fn a_commit_without_a_response_is_taken_back() {
    let mut remote = remote(PATIENCE);
    slow_down_commits(&mut remote.connection);
    remote
        .connection
        .batch_execute("select pg_advisory_lock(1)")
        .unwrap();
    let lane = remote.office.lane.clone();
    let answer = tokio::spawn(async move { lane.submit(Slip::new(LATE)).await });
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())";
    until("COMMIT", async || {
        number(&mut remote.connection, waiting) == 1
    })
    .await;
    remote.proxy.cut();
    assert!(is_unavailable(&answer.await.unwrap()));
    remote.proxy.restore();
    // The COMMIT happens after the first tries.
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    remote
        .connection
        .batch_execute("select pg_advisory_unlock(1)")
        .unwrap();
    let taken_back = format!("select count(*) from slips where number = {TAKEN_BACK}");
    until("taken back", async || {
        number(&mut remote.connection, &taken_back) == 1
    })
    .await;
}

#[tokio::test]
async fn a_transaction_without_waiting_callers_is_not_committed() {
    let mut remote = remote(SHORT);
    let (stop, stopped) = Stop::new();
    let slip = Slip {
        stop: Some(stop),
        ..Slip::new(1)
    };
    let lane = remote.office.lane.clone();
    let answer = tokio::spawn(async move { lane.submit(slip).await });
    let stopped = stopped.reached().await;
    assert!(is_unavailable(&answer.await.unwrap()), "it took too long");
    stopped.go_on();
    remote.office.lane.submit(Slip::new(2)).await.unwrap();
    assert_eq!(
        number(&mut remote.connection, SLIPS),
        1,
        "only the one that was answered"
    );
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_fails_all_and_stores_nothing() {
    let mut remote = remote(PATIENCE);
    let (stop, stopped) = Stop::new();
    let slip = Slip {
        stop: Some(stop),
        ..Slip::new(1)
    };
    let lane = remote.office.lane.clone();
    let answer = tokio::spawn(async move { lane.submit(slip).await });
    let stopped = stopped.reached().await;
    remote.proxy.cut();
    stopped.go_on();
    assert!(is_unavailable(&answer.await.unwrap()));
    assert_eq!(number(&mut remote.connection, SLIPS), 0);
    remote.proxy.restore();
    remote.office.lane.submit(Slip::new(1)).await.unwrap();
    assert_eq!(number(&mut remote.connection, SLIPS), 1);
}

#[tokio::test]
async fn an_unreachable_database_fails_requests_within_three_seconds() {
    let mut remote = remote(PATIENCE);
    remote.office.lane.submit(Slip::new(1)).await.unwrap();
    remote.proxy.cut();
    // A busy machine may delay some of them.
    let mut took = Vec::new();
    for _ in 0..3 {
        let asked = Instant::now();
        let answer = remote.office.lane.submit(Slip::new(2)).await;
        assert!(is_unavailable(&answer), "{answer:?}");
        took.push(asked.elapsed());
    }
    let fastest = took.iter().min().unwrap();
    assert!(*fastest < Duration::from_secs(3), "{took:?}");
    remote.proxy.restore();
    until("served again", async || {
        remote.office.lane.submit(Slip::new(3)).await.is_ok()
    })
    .await;
    assert_eq!(number(&mut remote.connection, SLIPS), 2);
}

#[tokio::test]
async fn a_lane_may_start_before_its_database() {
    let database = Database::new();
    let mut connection = table(&database);
    let proxy = Proxy::start(database.address()).unwrap();
    proxy.cut();
    let pool = store::open(&database.url_through(proxy.port()), "khata-test", 1);
    let office = office(pool, PATIENCE);
    assert!(is_unavailable(&office.lane.submit(Slip::new(1)).await));
    proxy.restore();
    until("served", async || {
        office.lane.submit(Slip::new(2)).await.is_ok()
    })
    .await;
    assert_eq!(number(&mut connection, SLIPS), 1);
}

#[tokio::test]
async fn a_connection_that_broke_while_idle_is_replaced() {
    let mut remote = remote(PATIENCE);
    remote.office.lane.submit(Slip::new(1)).await.unwrap();
    let mut lanes = |what: &str| {
        let of_lane = "from pg_stat_activity where datname = current_database() and application_name = 'khata-test'";
        number(&mut remote.connection, &format!("select {what} {of_lane}"))
    };
    let broken = lanes("max(pid)");
    assert_eq!(lanes("count(pg_terminate_backend(pid))"), 1);
    until("it is gone", async || {
        lanes("coalesce(max(pid), 0)") != broken
    })
    .await;
    remote.office.lane.submit(Slip::new(2)).await.unwrap();
    assert_eq!(number(&mut remote.connection, SLIPS), 2);
}

#[tokio::test]
async fn a_lock_time_out_rejects_no_request() {
    let mut remote = remote(PATIENCE);
    remote
        .connection
        .batch_execute("begin; lock table slips in access exclusive mode")
        .unwrap();
    let answer = remote.office.lane.submit(Slip::new(1)).await;
    assert!(is_unavailable(&answer), "not Rejected: {answer:?}");
    remote.connection.batch_execute("rollback").unwrap();
    remote.office.lane.submit(Slip::new(1)).await.unwrap();
}

#[tokio::test]
async fn a_lock_blocks_the_lane_no_longer_than_its_callers_wait() {
    let patience = Duration::from_millis(2_200);
    let mut remote = remote(patience);
    // An open transaction holds number 7, so that another insert of it waits for the lock time-out of 2 s.
    remote
        .connection
        .batch_execute("begin; insert into slips values (7)")
        .unwrap();
    let (stopped, first) = remote.office.occupied().await;
    let answers = remote.office.hand_in((1..=64).map(Slip::new)).await;
    stopped.go_on();
    let asked = Instant::now();
    for answer in first.into_iter().chain(answers) {
        // Each caller gets an error, in time or not.
        let _ = answer.await.unwrap();
    }
    until("the lane is free", async || {
        remote.office.lane.submit(Slip::new(100)).await.is_ok()
    })
    .await;
    // A batch that is halved after each lock time-out would take 14 s.
    assert!(
        asked.elapsed() < Duration::from_secs(12),
        "{:?}",
        asked.elapsed()
    );
}

#[tokio::test]
async fn a_deadlock_rejects_no_request() {
    let mut remote = remote(PATIENCE);
    // The error of Postgres when it ends this transaction because of a deadlock.
    remote.connection
        .batch_execute(
            "create sequence times;
             create function deadlock() returns trigger language plpgsql as $$ begin
                if nextval('times') = 1 then raise exception 'deadlock detected' using errcode = '40P01'; end if;
                return new; end $$;
             create trigger deadlock before insert on slips for each row execute function deadlock()",
        )
        .unwrap();
    let answer = remote.office.lane.submit(Slip::new(1)).await;
    assert!(
        !matches!(answer, Err(BatchError::Rejected(_))),
        "the same rows would be taken if they were sent again: {answer:?}"
    );
}

#[tokio::test]
async fn a_panic_in_the_work_stores_nothing_and_does_not_end_the_lane() {
    let mut remote = remote(PATIENCE);
    for _ in 0..3 {
        // More rounds than connections, to show that no connection keeps an open transaction.
        let answer = remote.office.lane.submit(Slip::new(A_BUG)).await;
        assert!(matches!(answer, Err(BatchError::Rejected(_))), "{answer:?}");
        // Recorded each time.
        let deleted = diesel::sql_query("delete from slips").execute(&mut remote.connection);
        assert_eq!(deleted, Ok(1));
    }
    remote.office.lane.submit(Slip::new(1)).await.unwrap();
    assert_eq!(number(&mut remote.connection, SLIPS), 1);
}

#[tokio::test]
async fn a_batch_that_takes_too_long_is_followed_by_smaller_ones() {
    const COUNT: i32 = 64;
    let database = Database::new();
    let mut connection = table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, occupied) = office.occupied().await;
    // Postgres ends a lane's transaction that is idle for a second. Together they take longer.
    let slips = (1..=COUNT).map(|number| Slip {
        work: Duration::from_millis(40),
        ..Slip::new(number)
    });
    let tasks = slips.map(|slip| {
        let lane = office.lane.clone();
        tokio::spawn(async move { while lane.submit(slip.clone()).await.is_err() {} })
    });
    let tasks: Vec<_> = tasks.collect();
    tokio::task::yield_now().await;
    stopped.go_on();
    for task in tasks {
        tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap();
    }
    for answer in occupied {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(number(&mut connection, SLIPS), 1 + i64::from(COUNT));
    let transactions = office.transactions.lock().unwrap();
    let sizes: Vec<_> = transactions.iter().map(Vec::len).collect();
    assert!(
        sizes.iter().any(|size| *size > 25),
        "no batch took too long: {sizes:?}"
    );
}
