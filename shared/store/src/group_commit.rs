//! Group commit: callers submit requests and await their results; one transaction commits every request that waits.
//!
//! A lane is one connection and the thread that commits groups on it. A batch holds the requests that arrived during the last
//! commit, and during a short pause if that one was large: a quiet lane commits one request at a time, at once, and a busy one
//! hundreds. Merchants take turns, and a batch is bounded in rows and in bytes, so that no merchant delays another one by more
//! than a batch.
//!
//! After a transaction that took longer than Postgres or the callers allow, as on a machine without free processor time, the next
//! batch is half as large: one as large would fail again. Later ones grow.
//!
//! A request that breaks its batch, by an error or by a panic, is found by bisection and fails alone. A lost connection fails the whole batch as
//! [`BatchError::Unavailable`] with nothing stored, unless the connection broke during COMMIT: then the result is unknown, and
//! the caller's work must tolerate a repetition.

mod fair_queue;
mod submissions;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::{PgConnection, QueryResult, RunQueryDsl};
use khata_domain::MerchantId;
use tokio::sync::oneshot;

use crate::pool::{Pool, PooledConnection};
use crate::watchdog::lock;
use submissions::{Caller, Callers, EndOfThread, Submission, Submissions};

pub use fair_queue::{MAX_BATCH, MAX_BATCH_BYTES, Weight};
pub use submissions::BatchError;

/// A lane's statements are prepared once and find every row by its key. These settings forbid plans that scan a whole table,
/// which Postgres chooses while a table is empty or its statistics are old. For the same reason it joins in the written order:
/// on a table without statistics it may join two tables by the merchant alone, and read all of the merchant's rows for each.
///
/// A plan that cannot do without a forbidden step, such as the read of a table of one row, has an enormous cost by these settings.
/// Postgres would compile it for each execution (`jit`), which takes longer than a second on a busy machine.
///
/// A lane is never idle in a transaction, so that the locks of a frozen process are released soon.
pub const LANE_SETTINGS: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
                      set enable_hashjoin = off; set enable_mergejoin = off; set join_collapse_limit = 1; \
                      set jit = off; \
                      set idle_in_transaction_session_timeout = '1s'";
/// Rows by which the limit of a batch grows after each commit, as long as it is below its maximum.
const GROWTH: usize = 8;
/// Pause between two tries to take an abandoned output back.
const TAKE_BACK_PAUSE: Duration = Duration::from_millis(500);
/// How long the lane tries: as long as the server may take for a COMMIT whose connection is gone.
const TAKE_BACK_TIME: Duration = Duration::from_secs(30);

/// The work of a lane.
pub trait Commit: Send + 'static {
    type Request: Send + 'static;
    type Output: Send + 'static;

    /// Returns the merchant in whose turn a request is committed.
    fn merchant(request: &Self::Request) -> MerchantId;

    /// Returns the weight of a request in a batch.
    fn weight(_request: &Self::Request) -> Weight {
        Weight::ROW
    }

    /// Returns the pause after a batch of this size, in which the next one gathers: zero on a quiet lane, and little on a busy one,
    /// as fewer, larger transactions cost less.
    fn linger(&self, _weight: usize) -> Duration {
        Duration::ZERO
    }

    /// Runs after each commit, with its duration: the place to count what may be counted only once.
    fn committed(&self, _requests: &[Self::Request], _took: Duration) {}

    /// Does the work of all requests inside the open transaction and returns one output per request, in order. After a rollback
    /// it runs again with parts of the batch, so it must change nothing but rows. Every merchant waits for it: what needs no
    /// transaction, as rendering and encryption, belongs into the task of the caller.
    fn commit(
        &mut self,
        connection: &mut PgConnection,
        requests: &[Self::Request],
    ) -> QueryResult<Vec<Self::Output>>;

    /// Takes back the output of a commit that outlasted its caller: returns what is committed instead, if anything. The caller gave
    /// up during COMMIT, or COMMIT got no response, so that it may also not have happened, or happen later.
    fn abandoned(&mut self, _output: &Self::Output) -> Option<Self::Request> {
        None
    }

    /// Whether this output of a request of [`Self::abandoned`] shows that it changed something. Otherwise the lane repeats the request
    /// for a while: the COMMIT may still happen.
    fn has_taken_back(&self, _output: &Self::Output) -> bool {
        true
    }

    /// Runs in a transaction of its own after the work panicked with this request alone: the place to record that it failed.
    fn panicked(
        &mut self,
        _connection: &mut PgConnection,
        _request: &Self::Request,
    ) -> QueryResult<()> {
        Ok(())
    }
}

/// Why a batch was not committed.
enum Broken<O> {
    /// A caller's time-out has passed.
    TimedOut,
    Rejected(DieselError),
    Panicked,
    /// The database is unreachable, or failed for a reason that no request caused.
    Unavailable,
    /// COMMIT got no response: the outputs may be committed.
    Unknown(Vec<O>),
}

/// A caller's handle to a lane: one connection and the thread that commits groups on it.
pub struct Lane<C: Commit> {
    callers: Arc<Callers<C::Request, C::Output>>,
    timeout: Duration,
    commit_begun: CommitBegun,
}

/// When the commit under way began; `None` between two commits.
type CommitBegun = Arc<Mutex<Option<Instant>>>;

impl<C: Commit> Clone for Lane<C> {
    fn clone(&self) -> Self {
        Self {
            callers: Arc::clone(&self.callers),
            timeout: self.timeout,
            commit_begun: Arc::clone(&self.commit_begun),
        }
    }
}

impl<C: Commit> std::fmt::Debug for Lane<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl<C: Commit> Lane<C> {
    /// Starts a lane's thread. Callers wait at most `timeout`. The thread ends when every handle is dropped and every request has
    /// its result; join it to wait for that.
    pub fn start(
        name: &str,
        pool: Pool,
        work: C,
        timeout: Duration,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        Self::start_with(name, pool, work, timeout, Weight::BATCH, MAX_BATCH)
    }

    /// Like [`Self::start`], with batches of at most this weight. After each merchant had its turn, a merchant adds at most
    /// `beside_others` rows to a batch that has the last request of another one.
    pub fn start_with(
        name: &str,
        pool: Pool,
        work: C,
        timeout: Duration,
        batch: Weight,
        beside_others: usize,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let submissions = Submissions::new(batch, beside_others);
        let commit_begun = CommitBegun::default();
        let worker = Worker {
            pool,
            work,
            connection: None,
            commit_begun: Arc::clone(&commit_begun),
            max_rows: batch.rows,
            to_take_back: Vec::new(),
        };
        let taken = Arc::clone(&submissions);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let end = EndOfThread(taken);
                worker.run(&end.0);
            })?;
        let lane = Self {
            callers: Arc::new(Callers(submissions)),
            timeout,
            commit_begun,
        };
        Ok((lane, thread))
    }

    /// Whether one commit has been under way for longer than this: the lane stores nothing now.
    pub fn is_committing_for(&self, limit: Duration) -> bool {
        let begun = *lock(&self.commit_begun);
        begun.is_some_and(|at| at.elapsed() > limit)
    }

    /// Submits a request and waits for its commit, at most the lane's time-out. A merchant that has too many requests in the
    /// queue gets [`BatchError::QueueFull`] at once: another one would only wait for its time-out.
    pub async fn submit(&self, request: C::Request) -> Result<C::Output, BatchError> {
        self.submit_until(request, Instant::now() + self.timeout)
            .await
    }

    /// Like [`Self::submit`], until this time at most.
    pub async fn submit_until(
        &self,
        request: C::Request,
        until: Instant,
    ) -> Result<C::Output, BatchError> {
        let (output, committed) = oneshot::channel();
        let (merchant, weight) = (C::merchant(&request), C::weight(&request));
        let caller = Caller { until, output };
        let submission = Submission { request, caller };
        self.callers.0.push(merchant, weight, submission)?;
        match tokio::time::timeout_at(until.into(), committed).await {
            Ok(Ok(result)) => result,
            // The time-out has passed, or the thread has ended.
            Err(_) | Ok(Err(_)) => Err(BatchError::Unavailable),
        }
    }
}

struct Worker<C: Commit> {
    pool: Pool,
    work: C,
    connection: Option<PooledConnection>,
    commit_begun: CommitBegun,
    /// Maximum rows of the next batch.
    max_rows: usize,
    to_take_back: Vec<TakeBack<C::Request>>,
}

/// A request that takes an abandoned output back.
struct TakeBack<R> {
    request: R,
    next_try: Instant,
    until: Instant,
}

impl<C: Commit> Worker<C> {
    fn run(mut self, submissions: &Submissions<C::Request, C::Output>) {
        while let Some(batch) = submissions.take_batch(self.max_rows, self.next_take_back()) {
            self.take_back(Instant::now());
            let linger = self.work.linger(batch.len());
            let (requests, callers) = batch.into_iter().map(|s| (s.request, s.caller)).unzip();
            self.commit(requests, callers);
            if !linger.is_zero() {
                std::thread::sleep(linger);
            }
        }
        // The lane ends: this is the last try.
        self.take_back(Instant::now() + TAKE_BACK_PAUSE);
    }

    /// Commits the requests in one transaction, or halves them until each request that breaks it is alone. A caller whose
    /// time-out has passed knows that nothing is stored, so its request is left out.
    fn commit(&mut self, requests: Vec<C::Request>, callers: Vec<Caller<C::Output>>) {
        let now = Instant::now();
        let (requests, callers): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .zip(callers)
            .filter(|(_, caller)| caller.waits(now))
            .unzip();
        if requests.is_empty() {
            return;
        }
        *lock(&self.commit_begun) = Some(now);
        let result = self.attempt(&requests, &callers);
        *lock(&self.commit_begun) = None;
        match &result {
            Ok(_) => self.max_rows = (self.max_rows + GROWTH).min(MAX_BATCH),
            Err(Broken::TimedOut | Broken::Unavailable | Broken::Unknown(_)) => {
                let rows: usize = requests.iter().map(|call| C::weight(call).rows).sum();
                self.max_rows = (rows / 2).max(1);
            }
            Err(Broken::Rejected(_) | Broken::Panicked) => {}
        }
        match result {
            Ok(outputs) => {
                let replies = callers.into_iter().zip(outputs);
                let abandoned = replies.filter_map(|(caller, output)| caller.reply(Ok(output)));
                self.abandon(abandoned.collect());
            }
            Err(Broken::TimedOut) => self.commit(requests, callers),
            Err(Broken::Rejected(error)) => {
                self.halve(requests, callers, |_, _| {
                    tracing::warn!(%error, "request not committed");
                    if is_permanent(&error) {
                        BatchError::Rejected(error)
                    } else {
                        BatchError::Unavailable
                    }
                });
            }
            Err(Broken::Panicked) => {
                self.halve(requests, callers, |lane, request| {
                    tracing::error!("request not committed: the work panicked");
                    lane.record_panic(request);
                    BatchError::Rejected(DieselError::QueryBuilderError("the work panicked".into()))
                });
            }
            Err(Broken::Unavailable) => fail(callers),
            Err(Broken::Unknown(outputs)) => {
                fail(callers);
                self.abandon(outputs);
            }
        }
    }

    /// Commits the halves of a batch, or fails its only request. A merchant's requests stay together, so that a merchant whose
    /// requests fail delays the others as little as possible.
    fn halve(
        &mut self,
        requests: Vec<C::Request>,
        mut callers: Vec<Caller<C::Output>>,
        fail: impl FnOnce(&mut Self, &C::Request) -> BatchError,
    ) {
        if let ([request], Some(caller)) = (&requests[..], callers.pop_if(|_| requests.len() == 1))
        {
            let error = fail(self, request);
            caller.reply(Err(error));
            return;
        }
        let mut batch: Vec<_> = requests.into_iter().zip(callers).collect();
        batch.sort_by_key(|(request, _)| C::merchant(request));
        let merchant_at = |index: usize| C::merchant(&batch[index].0);
        let middle = batch.len() / 2;
        // The boundary between two merchants that is nearest to the middle, or the middle of the only merchant's.
        let boundaries = (1..batch.len()).filter(|at| merchant_at(*at) != merchant_at(at - 1));
        let at = boundaries.min_by_key(|at| at.abs_diff(middle));
        let right = batch.split_off(at.unwrap_or(middle));
        for half in [batch, right] {
            let (requests, callers) = half.into_iter().unzip();
            self.commit(requests, callers);
        }
    }

    /// Lets the work record that this request alone makes it panic.
    fn record_panic(&mut self, request: &C::Request) {
        let Some(mut connection) = self.begin() else {
            return;
        };
        let recorded = catch_unwind(AssertUnwindSafe(|| {
            self.work.panicked(&mut connection, request)?;
            AnsiTransactionManager::commit_transaction(&mut *connection)
        }));
        match recorded {
            Ok(Ok(())) => self.connection = Some(connection),
            Ok(Err(error)) => tracing::warn!(%error, "panic of a request not recorded"),
            Err(_) => tracing::error!("recording the panic of a request panicked"),
        }
    }

    /// Notes what takes abandoned outputs back. It is committed before the next batch.
    fn abandon(&mut self, outputs: Vec<C::Output>) {
        let now = Instant::now();
        for output in outputs {
            let request = self.work.abandoned(&output);
            self.to_take_back.extend(request.map(|request| TakeBack {
                request,
                next_try: now,
                until: now + TAKE_BACK_TIME,
            }));
        }
    }

    /// Returns when to try again to take an abandoned output back.
    fn next_take_back(&self) -> Option<Instant> {
        self.to_take_back.iter().map(|back| back.next_try).min()
    }

    /// Commits what takes abandoned outputs back, where the next try is due by this time.
    fn take_back(&mut self, now: Instant) {
        let due = self
            .to_take_back
            .extract_if(.., |back| back.next_try <= now);
        let due: Vec<_> = due.collect();
        if due.is_empty() {
            return;
        }
        let (times, requests): (Vec<_>, Vec<_>) = due
            .into_iter()
            .map(|back| (back.until, back.request))
            .unzip();
        let done = match self.attempt(&requests, &[]) {
            Ok(outputs) => outputs
                .iter()
                .map(|output| self.work.has_taken_back(output))
                .collect(),
            Err(_) => vec![false; requests.len()],
        };
        let next_try = Instant::now() + TAKE_BACK_PAUSE;
        let left = requests
            .into_iter()
            .zip(times)
            .zip(done)
            .filter(|(_, is_done)| !is_done);
        let mut given_up = 0;
        for ((request, until), _) in left {
            if until <= next_try {
                given_up += 1;
                continue;
            }
            self.to_take_back.push(TakeBack {
                request,
                next_try,
                until,
            });
        }
        if given_up > 0 {
            tracing::warn!(
                requests = given_up,
                "nothing to take back after a COMMIT without a response: it has not happened, or Postgres is still away"
            );
        }
    }

    fn attempt(
        &mut self,
        requests: &[C::Request],
        callers: &[Caller<C::Output>],
    ) -> Result<Vec<C::Output>, Broken<C::Output>> {
        let mut connection = self.begin().ok_or(Broken::Unavailable)?;
        let begun = Instant::now();
        // A panic in the work must not end the lane, as nothing restarts it. The connection is dropped.
        let worked = catch_unwind(AssertUnwindSafe(|| {
            self.work.commit(&mut connection, requests)
        }));
        let Ok(worked) = worked else {
            return Err(Broken::Panicked);
        };
        let mut uncertain = None;
        let result = match worked {
            // The server may have taken a long time: a request whose caller's time-out has passed must not be stored.
            Ok(_) if !callers.iter().all(|caller| caller.waits(Instant::now())) => {
                Err(Broken::TimedOut)
            }
            Ok(outputs) if outputs.len() != requests.len() => {
                tracing::error!("group commit returned a wrong number of outputs");
                Err(Broken::Rejected(DieselError::RollbackTransaction))
            }
            Ok(outputs) => match AnsiTransactionManager::commit_transaction(&mut *connection) {
                Ok(()) => Ok(outputs),
                Err(error) => {
                    uncertain = Some(outputs);
                    Err(Broken::Rejected(error))
                }
            },
            Err(error) => Err(Broken::Rejected(error)),
        };
        let broken = match result {
            Ok(outputs) => {
                self.connection = Some(connection);
                self.work.committed(requests, begun.elapsed());
                return Ok(outputs);
            }
            Err(broken) => broken,
        };
        let alive = AnsiTransactionManager::rollback_transaction(&mut *connection).is_ok()
            && diesel::sql_query("select 1")
                .execute(&mut connection)
                .is_ok();
        if alive {
            self.connection = Some(connection);
        }
        match broken {
            Broken::Rejected(error) if !alive || !is_about_a_request(&error) => {
                tracing::warn!(%error, "batch not committed");
                // Without its connection, the server's decision is not known.
                let uncertain = uncertain.filter(|_| !alive);
                Err(uncertain.map_or(Broken::Unavailable, Broken::Unknown))
            }
            broken => Err(broken),
        }
    }

    /// Opens a transaction. Replaces a connection that broke while it was idle, as nothing was sent on it.
    fn begin(&mut self) -> Option<PooledConnection> {
        if let Some(mut connection) = self.connection.take()
            && AnsiTransactionManager::begin_transaction(&mut *connection).is_ok()
        {
            return Some(connection);
        }
        let mut connection = self
            .pool
            .get()
            .inspect_err(|error| tracing::warn!(%error, "no database connection"))
            .ok()?;
        connection
            .batch_execute(LANE_SETTINGS)
            .and_then(|()| AnsiTransactionManager::begin_transaction(&mut *connection))
            .inspect_err(|error| tracing::warn!(%error, "cannot begin a transaction"))
            .ok()?;
        Some(connection)
    }
}

/// Replies that nothing was stored, as far as the lane knows.
fn fail<O>(callers: Vec<Caller<O>>) {
    for caller in callers {
        caller.reply(Err(BatchError::Unavailable));
    }
}

/// Whether one of the requests caused the error: the server responded, and the connection works.
fn is_about_a_request(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(kind, _) => !matches!(
            kind,
            DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::ReadOnlyTransaction
        ),
        DieselError::SerializationError(_) | DieselError::DeserializationError(_) => true,
        _ => false,
    }
}

/// Whether the same request would always fail. Errors that diesel has no name for (a deadlock, a time-out, a full disk) may be
/// gone the next time.
fn is_permanent(error: &DieselError) -> bool {
    !matches!(
        error,
        DieselError::DatabaseError(
            DatabaseErrorKind::Unknown | DatabaseErrorKind::SerializationFailure,
            _
        )
    )
}
