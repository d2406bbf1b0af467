//! The group commit: waiting requests are committed together, merchants take turns, and a request that breaks its batch fails
//! alone.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{Array, Integer};
use khata_domain::MerchantId;
use khata_store::Pool;
use khata_store::group_commit::{BatchError, Commit, Lane, MAX_BATCH, MAX_BATCH_BYTES, Weight};
use tokio::task;
use uuid::Uuid;

use khata_testing::Database;
use khata_testing::database::number;

/// Longer than any test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const SLIPS: &str = "select count(*) from slips";

/// Pause between two statements of a transaction that is stopped.
const STEP: Duration = Duration::from_millis(100);

/// The number at which the work panics, after the insert.
pub(crate) const A_BUG: i32 = 1_313;
/// The number whose output is taken back if its commit outlasts its caller, by a slip with the other number.
pub(crate) const LATE: i32 = 1_414;
pub(crate) const TAKEN_BACK: i32 = 1_415;
/// The output of a slip that took nothing back.
const NOTHING: i32 = -1;
/// Difference between the number of a slip that panics and of the one that records it.
pub(crate) const PANICKED: i32 = 200_000;

/// A row to insert; a negative number violates the table's constraint.
#[derive(Clone, Debug)]
pub(crate) struct Slip {
    pub(crate) number: i32,
    pub(crate) merchant: MerchantId,
    pub(crate) weight: Weight,
    /// How long the work takes between two statements.
    pub(crate) work: Duration,
    /// Stops the transaction after the insert until the test continues it.
    pub(crate) stop: Option<Stop>,
}

/// A point where a transaction stops: it notifies the test and waits for a message.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    reached: mpsc::SyncSender<()>,
    go_on: Arc<Mutex<mpsc::Receiver<()>>>,
}

/// The test's side of a [`Stop`].
pub(crate) struct Stopped {
    reached: mpsc::Receiver<()>,
    go_on: mpsc::SyncSender<()>,
}

impl Stop {
    pub(crate) fn new() -> (Self, Stopped) {
        let (reached, at) = mpsc::sync_channel(8);
        let (go_on, went) = mpsc::sync_channel(8);
        (
            Self {
                reached,
                go_on: Arc::new(Mutex::new(went)),
            },
            Stopped { reached: at, go_on },
        )
    }
}

impl Stopped {
    /// Waits until the transaction has stopped.
    pub(crate) async fn reached(self) -> Self {
        task::spawn_blocking(move || {
            self.reached.recv_timeout(PATIENCE).unwrap();
            self
        })
        .await
        .unwrap()
    }

    pub(crate) fn go_on(&self) {
        self.go_on.send(()).unwrap();
    }
}

impl Slip {
    /// A slip of one merchant: the same for all of them.
    pub(crate) fn new(number: i32) -> Self {
        Self {
            number,
            merchant: MerchantId(Uuid::nil()),
            weight: Weight::ROW,
            work: Duration::ZERO,
            stop: None,
        }
    }

    /// A slip of a merchant that has no other one.
    fn of_another_merchant(number: i32) -> Self {
        Self {
            merchant: MerchantId::new(),
            ..Self::new(number)
        }
    }
}

/// Inserts slips and records the numbers of each transaction.
pub(crate) struct Filing {
    transactions: Transactions,
}

/// The numbers of each transaction begun, in order.
pub(crate) type Transactions = Arc<Mutex<Vec<Vec<i32>>>>;

impl Commit for Filing {
    type Request = Slip;
    type Output = i32;

    fn merchant(slip: &Slip) -> MerchantId {
        slip.merchant
    }

    fn weight(slip: &Slip) -> Weight {
        slip.weight
    }

    fn commit(&mut self, connection: &mut PgConnection, slips: &[Slip]) -> QueryResult<Vec<i32>> {
        let numbers: Vec<i32> = slips.iter().map(|slip| slip.number).collect();
        self.transactions.lock().unwrap().push(numbers.clone());
        // A slip cannot take back what is not visible.
        let inserted = diesel::sql_query(format!(
            "insert into slips select number from unnest($1) as number
             where number <> {TAKEN_BACK} or exists (select from slips where number = {LATE})"
        ))
        .bind::<Array<Integer>, _>(&numbers)
        .execute(connection)?;
        if inserted < numbers.len() {
            return Ok(vec![NOTHING; numbers.len()]);
        }
        assert!(!numbers.contains(&A_BUG), "the work panics");
        std::thread::sleep(slips.iter().map(|slip| slip.work).sum());
        for stop in slips.iter().filter_map(|slip| slip.stop.as_ref()) {
            stop.reached.send(()).unwrap();
            let go_on = stop.go_on.lock().unwrap();
            let until = Instant::now() + PATIENCE;
            // A lane's transaction must not be idle for long.
            while go_on.recv_timeout(STEP).is_err() {
                assert!(Instant::now() < until, "the test does not continue");
                // Fails if the test has cut the connection.
                let _ = diesel::sql_query("select 1").execute(connection);
            }
        }
        Ok(numbers.iter().map(|number| number * 10).collect())
    }

    fn abandoned(&mut self, output: &i32) -> Option<Slip> {
        (*output == 10 * LATE).then(|| Slip::new(TAKEN_BACK))
    }

    fn has_taken_back(&self, output: &i32) -> bool {
        *output != NOTHING
    }

    fn panicked(&mut self, connection: &mut PgConnection, slip: &Slip) -> QueryResult<()> {
        diesel::sql_query(format!(
            "insert into slips values ({} + {PANICKED})",
            slip.number
        ))
        .execute(connection)?;
        Ok(())
    }
}

/// A lane that files slips in a database with a table for them.
pub(crate) struct Office {
    pub(crate) lane: Lane<Filing>,
    pub(crate) thread: JoinHandle<()>,
    pub(crate) transactions: Transactions,
}

pub(crate) fn table(database: &Database) -> PgConnection {
    let mut connection = database.connect();
    connection
        .batch_execute("create table slips (number integer primary key constraint not_negative check (number >= 0))")
        .unwrap();
    connection
}

pub(crate) fn office(pool: Pool, patience: Duration) -> Office {
    let transactions = Transactions::default();
    let work = Filing {
        transactions: Arc::clone(&transactions),
    };
    let (lane, thread) = Lane::start("slips", pool, work, patience).unwrap();
    Office {
        lane,
        thread,
        transactions,
    }
}

type Answers = Vec<task::JoinHandle<Result<i32, BatchError>>>;

impl Office {
    /// Submits slips, each from a caller of its own; returns when the lane has all of them.
    pub(crate) async fn hand_in(&self, slips: impl IntoIterator<Item = Slip>) -> Answers {
        let mut answers = Vec::new();
        for slip in slips {
            let lane = self.lane.clone();
            let mut submitting = Box::pin(async move { lane.submit(slip).await });
            // Polled once it is in the lane's queue, as long as that is not full.
            task::unconstrained(poll_fn(|context| {
                assert!(submitting.as_mut().poll(context).is_pending());
                Poll::Ready(())
            }))
            .await;
            answers.push(tokio::spawn(submitting));
        }
        answers
    }

    /// Occupies the lane with slip 0 until the test ends it, so that later slips gather.
    pub(crate) async fn occupied(&self) -> (Stopped, Answers) {
        let (stop, stopped) = Stop::new();
        let slip = Slip {
            stop: Some(stop),
            ..Slip::new(0)
        };
        let answers = self.hand_in([slip]).await;
        (stopped.reached().await, answers)
    }

    fn sizes(&self) -> Vec<usize> {
        self.transactions
            .lock()
            .unwrap()
            .iter()
            .map(Vec::len)
            .collect()
    }
}

#[tokio::test]
async fn requests_during_a_commit_form_the_next_batch() {
    let database = Database::new();
    let mut connection = table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, mut answers) = office.occupied().await;
    answers.extend(office.hand_in((1..=300).map(Slip::new)).await);
    stopped.go_on();
    for (number, answer) in (0..).zip(answers) {
        assert_eq!(
            answer.await.unwrap().unwrap(),
            number * 10,
            "each its own answer"
        );
    }
    assert_eq!(office.sizes(), [1, MAX_BATCH, 300 - MAX_BATCH]);
    assert_eq!(number(&mut connection, SLIPS), 301);
}

#[tokio::test]
async fn a_lane_tells_whether_a_commit_is_under_way() {
    let database = Database::new();
    let _table = table(&database);
    let office = office(database.pool(), PATIENCE);
    assert!(!office.lane.is_committing_for(Duration::ZERO));
    let (stopped, answers) = office.occupied().await;
    assert!(office.lane.is_committing_for(Duration::ZERO));
    assert!(!office.lane.is_committing_for(PATIENCE));
    stopped.go_on();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    assert!(!office.lane.is_committing_for(Duration::ZERO));
}

#[tokio::test]
async fn a_lane_does_not_compile_its_statements() {
    let database = Database::new();
    let mut connection = table(&database);
    connection
        .batch_execute("alter table slips add column jit text default current_setting('jit')")
        .unwrap();
    let office = office(database.pool(), PATIENCE);
    office.lane.submit(Slip::new(1)).await.unwrap();
    let without = "select count(*) from slips where jit = 'off'";
    assert_eq!(number(&mut connection, without), 1);
}

#[tokio::test]
async fn a_lone_request_is_committed_at_once() {
    let database = Database::new();
    let mut connection = table(&database);
    let office = office(database.pool(), PATIENCE);
    for n in 1..=3 {
        assert_eq!(office.lane.submit(Slip::new(n)).await.unwrap(), n * 10);
        assert_eq!(
            number(&mut connection, SLIPS),
            i64::from(n),
            "stored when answered"
        );
    }
    assert_eq!(office.sizes(), [1, 1, 1]);
}

#[tokio::test]
async fn a_rejected_request_fails_alone() {
    let database = Database::new();
    let mut connection = table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, first) = office.occupied().await;
    let poison = [3, 170, 171];
    let slips = (1..=200).map(|n| Slip::new(if poison.contains(&n) { -n } else { n }));
    let answers = office.hand_in(slips).await;
    stopped.go_on();
    for answer in first {
        answer.await.unwrap().unwrap();
    }
    for (n, answer) in (1..).zip(answers) {
        match answer.await.unwrap() {
            Ok(answer) => assert_eq!(answer, n * 10),
            Err(BatchError::Rejected(Error::DatabaseError(
                DatabaseErrorKind::CheckViolation,
                info,
            ))) => {
                assert!(poison.contains(&n), "{n}");
                assert_eq!(info.constraint_name(), Some("not_negative"));
            }
            Err(other) => panic!("{n}: {other:?}"),
        }
    }
    assert_eq!(number(&mut connection, SLIPS), 198);
    // Bisection needs far fewer transactions than one per request.
    assert!(office.sizes().len() <= 50, "{:?}", office.sizes());
    office.lane.submit(Slip::new(999)).await.unwrap();
}

#[tokio::test]
async fn a_request_that_panics_fails_alone_and_is_recorded() {
    let database = Database::new();
    let mut connection = table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, first) = office.occupied().await;
    let slips = (1..=100).map(|n| Slip::new(if n == 50 { A_BUG } else { n }));
    let answers = office.hand_in(slips).await;
    stopped.go_on();
    for answer in first {
        answer.await.unwrap().unwrap();
    }
    for (n, answer) in (1..).zip(answers) {
        match answer.await.unwrap() {
            Ok(answer) => assert_eq!(answer, n * 10),
            Err(BatchError::Rejected(_)) => assert_eq!(n, 50),
            Err(other) => panic!("{n}: {other:?}"),
        }
    }
    let recorded = format!(
        "select count(*) from slips where number = {}",
        A_BUG + PANICKED
    );
    assert_eq!(number(&mut connection, &recorded), 1);
    assert_eq!(number(&mut connection, SLIPS), 1 + 99 + 1);
}

#[tokio::test]
async fn a_merchant_whose_request_fails_delays_the_others_by_one_transaction() {
    let database = Database::new();
    table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, mut answers) = office.occupied().await;
    let poison = (1..=40).map(|n| Slip::new(if n % 2 == 0 { -n } else { n }));
    answers.extend(office.hand_in(poison).await);
    let others = MerchantId::new();
    let other = |n| Slip {
        merchant: others,
        ..Slip::new(n)
    };
    answers.extend(office.hand_in((101..=140).map(other)).await);
    stopped.go_on();
    for answer in answers {
        let _ = answer.await.unwrap();
    }
    let transactions = office.transactions.lock().unwrap();
    let of_others = transactions.iter().filter(|numbers| numbers.contains(&101));
    assert_eq!(
        of_others.count(),
        2,
        "with all, and then without the other merchant"
    );
}

#[tokio::test]
async fn the_second_of_two_equal_rows_is_rejected() {
    let database = Database::new();
    let mut connection = table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, first) = office.occupied().await;
    let answers = office.hand_in([7, 8, 7].map(Slip::new)).await;
    stopped.go_on();
    let mut refused = 0;
    for answer in first.into_iter().chain(answers) {
        if let Err(error) = answer.await.unwrap() {
            assert!(matches!(
                error,
                BatchError::Rejected(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
            ));
            refused += 1;
        }
    }
    assert_eq!((refused, number(&mut connection, SLIPS)), (1, 3));
}

#[tokio::test]
async fn a_batch_has_at_most_its_maximum_weight() {
    let database = Database::new();
    table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, mut answers) = office.occupied().await;
    let weights = [
        100,
        100,
        100,
        56,
        100,
        1,
        MAX_BATCH,
        1,
        10 * MAX_BATCH,
        1,
        1,
    ];
    let slips = (1..).zip(weights).map(|(number, rows)| Slip {
        weight: Weight { rows, bytes: 0 },
        ..Slip::new(number)
    });
    answers.extend(office.hand_in(slips).await);
    stopped.go_on();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let expected: [&[i32]; 8] = [&[0], &[1, 2], &[3, 4, 5], &[6], &[7], &[8], &[9], &[10, 11]];
    assert_eq!(*office.transactions.lock().unwrap(), expected);
}

#[tokio::test]
async fn the_thread_ends_after_the_last_handle_and_the_last_request() {
    let database = Database::new();
    let mut connection = table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, mut answers) = office.occupied().await;
    answers.extend(office.hand_in((1..=400).map(Slip::new)).await);
    let Office { lane, thread, .. } = office;
    drop(lane);
    assert!(!thread.is_finished(), "there is work in hand");
    stopped.go_on();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    task::spawn_blocking(|| thread.join())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(number(&mut connection, SLIPS), 401);
}

#[tokio::test]
async fn a_request_without_a_caller_is_not_executed() {
    let database = Database::new();
    let mut connection = table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, mut answers) = office.occupied().await;
    let mut waiting = office.hand_in([1, 2].map(Slip::new)).await;
    waiting.remove(0).abort();
    task::yield_now().await;
    stopped.go_on();
    answers.extend(waiting);
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(number(&mut connection, "select sum(number) from slips"), 2);
}

#[tokio::test]
async fn a_flood_of_heavy_requests_delays_another_merchant_by_one_batch_at_most() {
    let database = Database::new();
    table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, mut answers) = office.occupied().await;
    let heavy = |number| Slip {
        weight: Weight {
            rows: 1,
            bytes: MAX_BATCH_BYTES,
        },
        ..Slip::new(number)
    };
    answers.extend(office.hand_in((1..=20).map(heavy)).await);
    let small = Slip {
        weight: Weight { rows: 1, bytes: 1 },
        ..Slip::of_another_merchant(100)
    };
    answers.extend(office.hand_in([small]).await);
    stopped.go_on();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let transactions = office.transactions.lock().unwrap();
    let expected: [&[i32]; 4] = [&[0], &[1], &[100], &[2]];
    assert_eq!(transactions[..4], expected);
    assert_eq!(transactions.len(), 22, "each heavy request alone");
}

#[tokio::test]
async fn one_request_each_of_many_merchants_comes_before_the_second_of_a_flood() {
    let database = Database::new();
    table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, mut answers) = office.occupied().await;
    answers.extend(office.hand_in((1..=1_000).map(Slip::new)).await);
    let others = (2_001..=2_100).map(Slip::of_another_merchant);
    answers.extend(office.hand_in(others).await);
    stopped.go_on();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let transactions = office.transactions.lock().unwrap();
    let turns: Vec<i32> = [1]
        .into_iter()
        .chain(2_001..=2_100)
        .chain(2..=156)
        .collect();
    assert_eq!(transactions[1], turns);
    assert_eq!(transactions.concat().len(), 1_101);
}

#[tokio::test]
async fn a_merchant_that_fills_its_queue_is_refused_at_once_and_no_other_one() {
    let database = Database::new();
    let mut connection = table(&database);
    let office = office(database.pool(), PATIENCE);
    let (stopped, mut answers) = office.occupied().await;
    let huge = Slip {
        weight: Weight {
            rows: 1_000 * MAX_BATCH,
            bytes: 0,
        },
        ..Slip::new(1)
    };
    answers.extend(office.hand_in([huge]).await);
    let refused = office.lane.submit(Slip::new(2)).await;
    assert!(matches!(refused, Err(BatchError::QueueFull)), "{refused:?}");
    let other = office.hand_in([Slip::of_another_merchant(3)]).await;
    answers.extend(other);
    stopped.go_on();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    office.lane.submit(Slip::new(4)).await.unwrap();
    assert_eq!(number(&mut connection, "select sum(number) from slips"), 8);
}
