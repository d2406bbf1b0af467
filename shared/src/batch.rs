//! Group commit: callers hand a request to a lane and await its answer; the lane commits whatever waits in one
//! transaction. No timer: a batch is what gathered while the last commit ran, so one commit serves one caller when
//! it is quiet and hundreds when it is not.
//!
//! A lane is a thread with one pooled connection. A request that breaks its batch is found by bisection and fails
//! alone; a lost connection fails the whole batch as [`BatchError::Unavailable`] with nothing stored, unless the
//! connection broke during COMMIT itself, when nobody can know (callers' work must bear being sent again).

use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, TransactionManager};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::{PgConnection, QueryResult, RunQueryDsl};
use tokio::sync::{mpsc, oneshot};

use crate::store::{Pool, PooledConnection};

/// Requests (by weight) in one transaction at most.
pub const MAX_BATCH: usize = 256;
/// Requests that may wait for a lane before callers are made to wait outside.
const QUEUE: usize = 4 * MAX_BATCH;

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
                .run(receiver)
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
            self.serve(batch);
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
        // Whoever has given up has been told that nothing was stored: hold to it.
        let now = Instant::now();
        batch.retain(|waiting| waiting.until > now && !waiting.answer.is_closed());
        batch
    }

    fn serve(&mut self, batch: Vec<Waiting<C>>) {
        if batch.is_empty() {
            return;
        }
        let (requests, waiting): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|w| (w.request, w.answer)).unzip();
        let mut answers = Vec::with_capacity(requests.len());
        self.commit(&requests, &mut answers);
        for (caller, answer) in waiting.into_iter().zip(answers) {
            let _ = caller.send(answer);
        }
    }

    /// Commits the requests in one transaction, or halves them until those that break it stand alone.
    fn commit(
        &mut self,
        requests: &[C::Request],
        answers: &mut Vec<Result<C::Answer, BatchError>>,
    ) {
        match self.attempt(requests) {
            Ok(all) if all.len() == requests.len() => answers.extend(all.into_iter().map(Ok)),
            Ok(_) => {
                tracing::error!(
                    "a lane's work answered another number of requests than it was given"
                );
                answers.extend(requests.iter().map(|_| Err(BatchError::Unavailable)));
            }
            Err(BatchError::Rejected(error)) if requests.len() == 1 => {
                answers.push(Err(BatchError::Rejected(error)))
            }
            Err(BatchError::Rejected(_)) => {
                let (left, right) = requests.split_at(requests.len() / 2);
                self.commit(left, answers);
                self.commit(right, answers);
            }
            Err(BatchError::Unavailable) => {
                answers.extend(requests.iter().map(|_| Err(BatchError::Unavailable)))
            }
        }
    }

    fn attempt(&mut self, requests: &[C::Request]) -> Result<Vec<C::Answer>, BatchError> {
        let mut connection = self.begin()?;
        let result = self
            .work
            .commit(&mut connection, requests)
            .and_then(|answers| {
                AnsiTransactionManager::commit_transaction(&mut *connection)?;
                Ok(answers)
            });
        match result {
            Ok(answers) => {
                self.connection = Some(connection);
                Ok(answers)
            }
            Err(error) => {
                let alive = AnsiTransactionManager::rollback_transaction(&mut *connection).is_ok()
                    && diesel::sql_query("select 1")
                        .execute(&mut connection)
                        .is_ok();
                if alive {
                    self.connection = Some(connection);
                }
                if alive && is_about_the_data(&error) {
                    Err(BatchError::Rejected(error))
                } else {
                    tracing::warn!(error = %error, "batch not committed");
                    Err(BatchError::Unavailable)
                }
            }
        }
    }

    /// An open transaction. A connection that broke while it lay idle is replaced: nothing was sent on it.
    fn begin(&mut self) -> Result<PooledConnection, BatchError> {
        if let Some(mut connection) = self.connection.take()
            && AnsiTransactionManager::begin_transaction(&mut *connection).is_ok()
        {
            return Ok(connection);
        }
        let mut connection = self.pool.get().map_err(|error| {
            tracing::warn!(error = %error, "no database connection");
            BatchError::Unavailable
        })?;
        AnsiTransactionManager::begin_transaction(&mut *connection).map_err(|error| {
            tracing::warn!(error = %error, "cannot begin a transaction");
            BatchError::Unavailable
        })?;
        Ok(connection)
    }
}

/// Whether the same rows would be refused again, so that it is worth finding which. What the server cancelled (a lock
/// or statement time-out) or a connection lost is nobody's data.
fn is_about_the_data(error: &DieselError) -> bool {
    match error {
        DieselError::DatabaseError(kind, info) => match kind {
            DatabaseErrorKind::UnableToSendCommand
            | DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::SerializationFailure
            | DatabaseErrorKind::ReadOnlyTransaction => false,
            DatabaseErrorKind::Unknown => !info.message().starts_with("canceling statement"),
            _ => true,
        },
        DieselError::SerializationError(_) | DieselError::DeserializationError(_) => true,
        _ => false,
    }
}
