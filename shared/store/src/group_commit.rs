//! Group commit: callers hand a request to a lane and await its answer; the lane commits whatever waits in one
//! transaction. No timer: a batch is what gathered while the last commit ran, so one commit serves one caller when
//! it is quiet and hundreds when it is not.
//!
//! A lane is a thread with one pooled connection. A request that breaks its batch is found by bisection and fails
//! alone; a lost connection fails the whole batch as [`BatchError::Unavailable`] with nothing stored, unless the
//! connection broke during COMMIT itself, when nobody can know (callers' work must bear being sent again).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::{PgConnection, QueryResult, RunQueryDsl};
use tokio::sync::{mpsc, oneshot};

use crate::{Pool, PooledConnection};

/// Requests (by weight) in one transaction at most.
pub const MAX_BATCH: usize = 256;
/// Requests that may wait for a lane before callers are made to wait outside.
const QUEUE: usize = 4 * MAX_BATCH;

/// A lane's statements are prepared once and reach every row by its key. A plan made while a table was empty or its
/// statistics were old must not read it from end to end a thousand times a second.
const BY_KEY: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
                      set enable_hashjoin = off; set enable_mergejoin = off";

/// What a lane does with a batch.
pub trait Commit: Send + 'static {
    /// What callers hand in.
    type Request: Send + 'static;
    /// What they get back.
    type Answer: Send + 'static;

    /// How much of a batch this request takes; 1 for one row.
    fn weight(&self, _request: &Self::Request) -> usize {
        1
    }

    /// How long the next batch may gather after one of this weight. Nothing, for work that somebody waits for; a few
    /// milliseconds when it is busy, for work in the background: fewer, larger transactions cost less.
    fn linger(&self, _weight: usize) -> Duration {
        Duration::ZERO
    }

    /// Told after each transaction that was committed, with how long it took: what may be counted only once is counted
    /// here.
    fn committed(&self, _requests: &[Self::Request], _took: Duration) {}

    /// Does the work of all requests inside the open transaction and answers them in order. May be called again
    /// with parts of the batch after a rollback, so it must leave nothing behind but rows.
    fn commit(
        &mut self,
        connection: &mut PgConnection,
        requests: &[Self::Request],
    ) -> QueryResult<Vec<Self::Answer>>;
}

/// Why a request was not committed.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The database cannot be reached, or did not answer in time.
    #[error("the database is not available")]
    Unavailable,
    /// The database refused this request: a bug of ours, as input is checked before.
    #[error("the database refused the request: {0}")]
    Rejected(DieselError),
}

/// Why a batch was not committed.
enum Broken {
    /// Somebody in it waits no longer.
    GivenUp,
    /// The database refused what it says.
    Rejected(DieselError),
    /// The database is away, or refused for reasons of its own.
    Unavailable,
}

/// Who waits for an answer, and how long.
struct Caller<A> {
    until: Instant,
    answer: oneshot::Sender<Result<A, BatchError>>,
}

impl<A> Caller<A> {
    fn waits(&self, now: Instant) -> bool {
        self.until > now && !self.answer.is_closed()
    }

    fn tell(self, answer: Result<A, BatchError>) {
        // Nobody may be listening any more.
        let _ = self.answer.send(answer);
    }
}

struct Waiting<C: Commit> {
    request: C::Request,
    until: Instant,
    answer: oneshot::Sender<Result<C::Answer, BatchError>>,
}

/// The callers' side of a lane.
pub struct Lane<C: Commit> {
    sender: mpsc::Sender<Waiting<C>>,
    patience: Duration,
}

impl<C: Commit> Clone for Lane<C> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            patience: self.patience,
        }
    }
}

impl<C: Commit> std::fmt::Debug for Lane<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl<C: Commit> Lane<C> {
    /// Starts a lane's thread. Callers wait `patience` at most. The thread ends once every handle is dropped and
    /// everything handed in is answered; join it to know that.
    pub fn start(
        name: &str,
        pool: Pool,
        work: C,
        patience: Duration,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                Worker {
                    pool,
                    work,
                    connection: None,
                    held_back: None,
                }
                .run(receiver);
            })?;
        Ok((Self { sender, patience }, thread))
    }

    /// Hands in a request and waits for its commit, `patience` at most.
    pub async fn submit(&self, request: C::Request) -> Result<C::Answer, BatchError> {
        let until = Instant::now() + self.patience;
        let (answer, answered) = oneshot::channel();
        let committed = async {
            self.sender
                .send(Waiting {
                    request,
                    until,
                    answer,
                })
                .await
                .map_err(|_| BatchError::Unavailable)?;
            answered.await.map_err(|_| BatchError::Unavailable)?
        };
        tokio::time::timeout_at(until.into(), committed)
            .await
            .unwrap_or(Err(BatchError::Unavailable))
    }
}

struct Worker<C: Commit> {
    pool: Pool,
    work: C,
    connection: Option<PooledConnection>,
    /// Took from the queue, but did not fit into the last batch.
    held_back: Option<Waiting<C>>,
}

impl<C: Commit> Worker<C> {
    fn run(mut self, mut receiver: mpsc::Receiver<Waiting<C>>) {
        while let Some(first) = self.held_back.take().or_else(|| receiver.blocking_recv()) {
            let batch = self.gather(first, &mut receiver);
            let linger = self.work.linger(batch.len());
            self.serve(batch);
            if !linger.is_zero() {
                std::thread::sleep(linger);
            }
        }
    }

    fn gather(
        &mut self,
        first: Waiting<C>,
        receiver: &mut mpsc::Receiver<Waiting<C>>,
    ) -> Vec<Waiting<C>> {
        let mut weight = self.work.weight(&first.request);
        let mut batch = vec![first];
        while weight < MAX_BATCH {
            let Ok(next) = receiver.try_recv() else { break };
            weight += self.work.weight(&next.request);
            if weight > MAX_BATCH {
                self.held_back = Some(next);
                break;
            }
            batch.push(next);
        }
        batch
    }

    fn serve(&mut self, batch: Vec<Waiting<C>>) {
        let (requests, callers) = batch
            .into_iter()
            .map(|w| {
                (
                    w.request,
                    Caller {
                        until: w.until,
                        answer: w.answer,
                    },
                )
            })
            .unzip();
        self.commit(requests, callers);
    }

    /// Commits the requests in one transaction, or halves them until those that break it stand alone. Whoever waits
    /// no longer has been told that nothing was stored, so it is not: the others are committed without them.
    fn commit(&mut self, requests: Vec<C::Request>, callers: Vec<Caller<C::Answer>>) {
        let now = Instant::now();
        let (mut requests, mut callers): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .zip(callers)
            .filter(|(_, caller)| caller.waits(now))
            .unzip();
        if requests.is_empty() {
            return;
        }
        match self.attempt(&requests, &callers) {
            Ok(answers) => callers
                .into_iter()
                .zip(answers)
                .for_each(|(caller, answer)| caller.tell(Ok(answer))),
            Err(Broken::GivenUp) => self.commit(requests, callers),
            Err(Broken::Rejected(error)) => {
                if let Some(caller) = callers.pop_if(|_| requests.len() == 1) {
                    tracing::warn!(%error, "request not committed");
                    let told = if is_for_good(&error) {
                        BatchError::Rejected(error)
                    } else {
                        BatchError::Unavailable
                    };
                    caller.tell(Err(told));
                    return;
                }
                let half = requests.len() / 2;
                let (right, right_callers) = (requests.split_off(half), callers.split_off(half));
                self.commit(requests, callers);
                self.commit(right, right_callers);
            }
            Err(Broken::Unavailable) => {
                for caller in callers {
                    caller.tell(Err(BatchError::Unavailable));
                }
            }
        }
    }

    fn attempt(
        &mut self,
        requests: &[C::Request],
        callers: &[Caller<C::Answer>],
    ) -> Result<Vec<C::Answer>, Broken> {
        let mut connection = self.begin().ok_or(Broken::Unavailable)?;
        let begun = Instant::now();
        // A panic in the work must not end the lane, which nobody would restart: its connection is thrown away.
        let worked = catch_unwind(AssertUnwindSafe(|| {
            self.work.commit(&mut connection, requests)
        }));
        let Ok(worked) = worked else {
            tracing::error!("a lane's work panicked");
            return Err(Broken::Unavailable);
        };
        let result = match worked {
            // The server may have been silent for a long time: whoever waits no longer must not be stored.
            Ok(_) if !callers.iter().all(|caller| caller.waits(Instant::now())) => Err(None),
            Ok(answers) if answers.len() != requests.len() => {
                tracing::error!(
                    "a lane's work answered another number of requests than it was given"
                );
                Err(Some(DieselError::RollbackTransaction))
            }
            Ok(answers) => AnsiTransactionManager::commit_transaction(&mut *connection)
                .map(|()| answers)
                .map_err(Some),
            Err(error) => Err(Some(error)),
        };
        let broken = match result {
            Ok(answers) => {
                self.connection = Some(connection);
                self.work.committed(requests, begun.elapsed());
                return Ok(answers);
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
            None => Err(Broken::GivenUp),
            Some(error) if alive && is_about_a_request(&error) => Err(Broken::Rejected(error)),
            Some(error) => {
                tracing::warn!(%error, "batch not committed");
                Err(Broken::Unavailable)
            }
        }
    }

    /// An open transaction. A connection that broke while it lay idle is replaced: nothing was sent on it.
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
            .batch_execute(BY_KEY)
            .and_then(|()| AnsiTransactionManager::begin_transaction(&mut *connection))
            .inspect_err(|error| tracing::warn!(%error, "cannot begin a transaction"))
            .ok()?;
        Some(connection)
    }
}

/// Whether it is worth finding which request the server refuses: it answered, and the connection stands.
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

/// Whether the same request would be refused for ever. What diesel has no name for (a deadlock, a time-out, a full
/// disk) may be gone the next time.
fn is_for_good(error: &DieselError) -> bool {
    !matches!(
        error,
        DieselError::DatabaseError(
            DatabaseErrorKind::Unknown | DatabaseErrorKind::SerializationFailure,
            _
        )
    )
}
