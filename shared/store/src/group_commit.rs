//! Group commit: callers submit requests and await their results; one transaction commits every request that waits.
//!
//! A lane is one connection and the thread that commits groups on it. There is no timer: a batch holds the requests that
//! arrived during the last commit, so that a quiet lane commits one request at a time and a busy one hundreds. Merchants take
//! turns, and a batch is bounded in rows and in bytes, so that no merchant delays another one by more than a batch.
//!
//! A request that breaks its batch is found by bisection and fails alone. A lost connection fails the whole batch as
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
const PLAN_SETTINGS: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
                      set enable_hashjoin = off; set enable_mergejoin = off; set join_collapse_limit = 1";

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

    /// Returns the pause after a batch of this size, in which the next one gathers. Zero if callers wait for the work; a few
    /// milliseconds for background work on a busy lane, as fewer, larger transactions cost less.
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
}

/// Why a batch was not committed.
enum Broken {
    /// A caller's time-out has passed.
    TimedOut,
    Rejected(DieselError),
    /// The database is unreachable, or failed for a reason that no request caused.
    Unavailable,
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
        let submissions = Submissions::new();
        let commit_begun = CommitBegun::default();
        let worker = Worker {
            pool,
            work,
            connection: None,
            commit_begun: Arc::clone(&commit_begun),
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
        let until = Instant::now() + self.timeout;
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
}

impl<C: Commit> Worker<C> {
    fn run(mut self, submissions: &Submissions<C::Request, C::Output>) {
        while let Some(batch) = submissions.take_batch() {
            let linger = self.work.linger(batch.len());
            let (requests, callers) = batch.into_iter().map(|s| (s.request, s.caller)).unzip();
            self.commit(requests, callers);
            if !linger.is_zero() {
                std::thread::sleep(linger);
            }
        }
    }

    /// Commits the requests in one transaction, or halves them until each request that breaks it is alone. A caller whose
    /// time-out has passed knows that nothing is stored, so its request is left out.
    fn commit(&mut self, requests: Vec<C::Request>, callers: Vec<Caller<C::Output>>) {
        let now = Instant::now();
        let (mut requests, mut callers): (Vec<_>, Vec<_>) = requests
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
        match result {
            Ok(outputs) => callers
                .into_iter()
                .zip(outputs)
                .for_each(|(caller, output)| caller.reply(Ok(output))),
            Err(Broken::TimedOut) => self.commit(requests, callers),
            Err(Broken::Rejected(error)) => {
                if let Some(caller) = callers.pop_if(|_| requests.len() == 1) {
                    tracing::warn!(%error, "request not committed");
                    let error = if is_permanent(&error) {
                        BatchError::Rejected(error)
                    } else {
                        BatchError::Unavailable
                    };
                    caller.reply(Err(error));
                    return;
                }
                let half = requests.len() / 2;
                let (right, right_callers) = (requests.split_off(half), callers.split_off(half));
                self.commit(requests, callers);
                self.commit(right, right_callers);
            }
            Err(Broken::Unavailable) => callers
                .into_iter()
                .for_each(|caller| caller.reply(Err(BatchError::Unavailable))),
        }
    }

    fn attempt(
        &mut self,
        requests: &[C::Request],
        callers: &[Caller<C::Output>],
    ) -> Result<Vec<C::Output>, Broken> {
        let mut connection = self.begin().ok_or(Broken::Unavailable)?;
        let begun = Instant::now();
        // A panic in the work must not end the lane, as nothing restarts it. The connection is dropped.
        let worked = catch_unwind(AssertUnwindSafe(|| {
            self.work.commit(&mut connection, requests)
        }));
        let Ok(worked) = worked else {
            tracing::error!("group commit panicked");
            return Err(Broken::Unavailable);
        };
        let result = match worked {
            // The server may have taken a long time: a request whose caller's time-out has passed must not be stored.
            Ok(_) if !callers.iter().all(|caller| caller.waits(Instant::now())) => {
                Err(Broken::TimedOut)
            }
            Ok(outputs) if outputs.len() != requests.len() => {
                tracing::error!("group commit returned a wrong number of outputs");
                Err(Broken::Rejected(DieselError::RollbackTransaction))
            }
            Ok(outputs) => AnsiTransactionManager::commit_transaction(&mut *connection)
                .map(|()| outputs)
                .map_err(Broken::Rejected),
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
                Err(Broken::Unavailable)
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
            .batch_execute(PLAN_SETTINGS)
            .and_then(|()| AnsiTransactionManager::begin_transaction(&mut *connection))
            .inspect_err(|error| tracing::warn!(%error, "cannot begin a transaction"))
            .ok()?;
        Some(connection)
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
