//! Access to Postgres: queries and transactions on blocking threads, each within a time limit.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::web;
use diesel::{Connection, PgConnection, QueryResult};
use khata_store::{Pool, PooledConnection};
use khata_telemetry as telemetry;
use moka::sync::Cache;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::error::ApiError;

/// `error.type` of the span when Postgres did not respond.
const NO_RESPONSE: &str = "unanswered";
/// Time limit of a query or transaction, including the wait for a connection.
const TIME_LIMIT: Duration = Duration::from_millis(2_500);

/// The connection pool and its time limits.
#[derive(Clone)]
pub(crate) struct Database {
    pool: Pool,
    /// One permit for each connection. A caller waits for a permit without occupying a thread.
    permits: Arc<Semaphore>,
}

impl Database {
    pub(crate) fn new(pool: Pool) -> Self {
        let connections = usize::try_from(pool.max_size()).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            pool,
            permits: Arc::new(Semaphore::new(connections)),
        }
    }

    /// Runs a query. `summary` names its span.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        summary: &'static str,
        query: impl FnOnce(&mut PgConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let pool = self.pool.clone();
        let work = self.run_blocking(move || {
            let mut connection: PooledConnection = pool.get().map_err(|error| error.to_string())?;
            query(&mut connection).map_err(|error| error.to_string())
        });
        let span = telemetry::database(summary);
        let result = tokio::time::timeout(TIME_LIMIT, work).instrument(span.clone());
        match result.await {
            Ok(Some(Ok(value))) => return Ok(value),
            Ok(Some(Err(error))) => tracing::warn!(error, "query failed"),
            Ok(None) | Err(_) => tracing::warn!("query timed out"),
        }
        telemetry::fail(&span, NO_RESPONSE);
        Err(ApiError::Unavailable)
    }

    /// Runs a transaction. After a 503 the transaction is guaranteed not to commit.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        summary: &'static str,
        work: impl FnOnce(&mut PgConnection) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let pool = self.pool.clone();
        // The transaction wants to commit, its caller wants to give up: the first one to set this wins.
        let is_decided = Arc::new(AtomicBool::new(false));
        let decided_by_caller = Arc::clone(&is_decided);
        let mut transaction = std::pin::pin!(self.run_blocking(move || {
            let mut connection: PooledConnection = pool.get().map_err(|error| {
                tracing::warn!(%error, "no database connection");
                ApiError::Unavailable
            })?;
            connection.transaction(|connection| {
                let value = work(connection)?;
                let has_given_up = is_decided.swap(true, Ordering::AcqRel);
                if has_given_up {
                    Err(ApiError::Unavailable)
                } else {
                    Ok(value)
                }
            })
        }));
        let span = telemetry::database(summary);
        let committed = async {
            match tokio::time::timeout(TIME_LIMIT, &mut transaction).await {
                Ok(result) => result.ok_or(ApiError::Internal)?,
                Err(_) if !decided_by_caller.swap(true, Ordering::AcqRel) => {
                    tracing::warn!("transaction timed out");
                    Err(ApiError::Unavailable)
                }
                // The commit has started: wait for its result.
                Err(_) => transaction.await.ok_or(ApiError::Internal)?,
            }
        };
        let result = committed.instrument(span.clone()).await;
        if let Err(ApiError::Unavailable | ApiError::Internal) = &result {
            telemetry::fail(&span, NO_RESPONSE);
        }
        result
    }

    /// Runs `work` on a blocking thread once a connection is free; `None` if it panicked. A burst starts no more threads than
    /// there are connections, and a cancelled waiter leaves no work behind.
    async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let done = web::block(move || {
            // The thread holds the permit, because it may outlive the caller.
            let _permit = permit;
            work()
        });
        done.await.ok()
    }
}

/// Values from the database that were read recently, also that a row does not exist. A change of a row is seen everywhere
/// after five seconds.
pub(crate) struct RecentRows<K, V>(Cache<K, V>);

impl<K, V> RecentRows<K, V>
where
    K: Copy + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        let cache = Cache::builder().max_capacity(10_000);
        Self(cache.time_to_live(Duration::from_secs(5)).build())
    }

    /// The recent value, or else the one that `read` returns.
    pub(crate) async fn get_or(
        &self,
        key: K,
        read: impl Future<Output = Result<V, ApiError>>,
    ) -> Result<V, ApiError> {
        if let Some(recent) = self.0.get(&key) {
            return Ok(recent);
        }
        let value = read.await?;
        self.0.insert(key, value.clone());
        Ok(value)
    }
}
