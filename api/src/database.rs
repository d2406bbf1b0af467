//! Access to Postgres: queries and transactions on blocking threads, each within a time limit. Merchants have shares of the
//! connections, and authentication comes before the queries of all of them.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::web;
use diesel::{Connection, PgConnection, QueryResult};
use khata_domain::MerchantId;
use khata_store::{Pool, PooledConnection};
use khata_telemetry as telemetry;
use moka::future::Cache;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::error::ApiError;
use crate::shares::{Share, Shares};

/// `error.type` of the span when Postgres did not respond.
const NO_RESPONSE: &str = "unanswered";
/// Time limit of a query or transaction, including the wait for a connection.
const TIME_LIMIT: Duration = Duration::from_millis(2_500);

/// The connection pool and its time limits.
#[derive(Clone)]
pub(crate) struct Database {
    connections: Arc<Connections>,
    /// The merchant whose queries these are; `None` for authentication and for the process itself.
    merchant: Option<MerchantId>,
}

struct Connections {
    pool: Pool,
    /// One permit for each connection. A caller waits for a permit without occupying a thread.
    permits: Arc<Semaphore>,
    /// The connections that merchants' queries may use: all but one, and half of them for one merchant.
    shares: Shares,
}

impl Database {
    /// Uses this many connections of the pool.
    pub(crate) fn new(pool: Pool, connections: usize) -> Self {
        let connections = Connections {
            pool,
            permits: Arc::new(Semaphore::new(connections)),
            shares: Shares::new(connections.saturating_sub(1), connections.div_ceil(2)),
        };
        Self {
            connections: Arc::new(connections),
            merchant: None,
        }
    }

    /// Returns the same database for the queries of one merchant.
    pub(crate) fn of(&self, merchant: MerchantId) -> Self {
        Self {
            merchant: Some(merchant),
            ..self.clone()
        }
    }

    /// Runs a query. `summary` names its span.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        summary: &'static str,
        query: impl FnOnce(&mut PgConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let pool = self.connections.pool.clone();
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

    /// Runs a transaction. After [`ApiError::Unavailable`] the transaction is guaranteed not to commit; after
    /// [`ApiError::Unknown`] it may have committed.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        summary: &'static str,
        work: impl FnOnce(&mut PgConnection) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let pool = self.connections.pool.clone();
        // The transaction wants to commit, its caller wants to give up: the first one to set this wins.
        let is_decided = Arc::new(AtomicBool::new(false));
        let decided_by_caller = Arc::clone(&is_decided);
        let mut transaction = std::pin::pin!(self.run_blocking(move || {
            let mut connection: PooledConnection = pool.get().map_err(|error| {
                tracing::warn!(%error, "no database connection");
                ApiError::Unavailable
            })?;
            let mut commits = false;
            let result = connection.transaction(|connection| {
                let value = work(connection)?;
                let has_given_up = is_decided.swap(true, Ordering::AcqRel);
                if has_given_up {
                    Err(ApiError::Unavailable)
                } else {
                    commits = true;
                    Ok(value)
                }
            });
            // COMMIT itself failed: perhaps only its response was lost.
            result.map_err(|error| if commits { ApiError::Unknown } else { error })
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
        if let Err(ApiError::Unavailable | ApiError::Unknown | ApiError::Internal) = &result {
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
        let mut share: Option<Share> = self
            .merchant
            .map(|merchant| self.connections.shares.of(merchant));
        if let Some(share) = &mut share {
            share.grow().await;
        }
        let permit = Arc::clone(&self.connections.permits)
            .acquire_owned()
            .await
            .ok()?;
        let done = web::block(move || {
            // The thread holds the permits, because it may outlive the caller.
            let _permits = (share, permit);
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

    /// The recent value, or else the one that `read` returns. Calls that need the same key at once share one read: a burst
    /// with a key that is not cached would otherwise fill the pool with thousands of equal queries.
    pub(crate) async fn get_or(
        &self,
        key: K,
        read: impl Future<Output = Result<V, ApiError>>,
    ) -> Result<V, ApiError> {
        let value = self.0.try_get_with(key, read).await;
        value.map_err(|error| ApiError::clone(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use std::sync::mpsc;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_merchant_with_many_queries_delays_neither_another_merchant_nor_authentication() {
        let pool = khata_store::open("postgres://khata@127.0.0.1:9/none", "test", 7);
        let database = Database::new(pool, 5);
        let one = database.of(MerchantId::new());
        let (report, started) = mpsc::channel();
        // Queries that take as long as the test.
        let (end, ends) = mpsc::channel::<()>();
        let ends = Arc::new(std::sync::Mutex::new(ends));
        for _ in 0..100 {
            let (one, report, ends) = (one.clone(), report.clone(), Arc::clone(&ends));
            tokio::spawn(async move {
                one.run_blocking(move || {
                    let _ = report.send(());
                    let _ = ends.lock().unwrap().recv();
                })
                .await
            });
        }
        drop(report);
        let started = web::block(move || {
            for _ in 0..3 {
                started.recv().unwrap();
            }
            started
        });
        let started = started.await.unwrap();
        let other = database.of(MerchantId::new());
        assert_eq!(other.run_blocking(|| 1).await, Some(1));
        assert_eq!(database.run_blocking(|| 2).await, Some(2));
        assert!(
            started.try_recv().is_err(),
            "more than half of the connections"
        );
        drop(end);
    }

    #[tokio::test]
    async fn calls_that_need_the_same_row_at_once_share_one_read() {
        let rows = RecentRows::new();
        let reads = AtomicUsize::new(0);
        let read = |result: Result<&'static str, ApiError>| {
            let reads = &reads;
            async move {
                reads.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                result
            }
        };
        let burst = || join_all((0..100).map(|_| rows.get_or(1, read(Ok("row")))));
        {
            let mut cancelled = Box::pin(rows.get_or(1, std::future::pending()));
            assert!(futures_util::poll!(&mut cancelled).is_pending());
        }
        assert!(burst().await.iter().all(Result::is_ok));
        assert!(burst().await.iter().all(Result::is_ok));
        assert_eq!(reads.load(Ordering::Relaxed), 1);
        let failed = (0..100).map(|_| rows.get_or(2, read(Err(ApiError::Unavailable))));
        assert!(join_all(failed).await.iter().all(Result::is_err));
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        assert!(
            rows.get_or(2, read(Ok("row"))).await.is_ok(),
            "an error is not cached"
        );
    }
}
