//! What every request can reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use actix_web::web;
use diesel::{Connection, PgConnection, QueryResult};
use khata_crypto::Keyring;
use khata_domain::routing::Pin;
use khata_domain::{Gateway, MerchantId};
use khata_queue::WakeupPublisher;
use khata_store::group_commit::Lane;
use khata_store::idempotency::{self, IdempotentCall, PriorCall, Record};
use khata_store::{self as store, Pool, gateway_accounts};
use khata_telemetry as telemetry;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::auth::KeyCache;
use crate::create_commits::Creates;
use crate::error::ApiError;
use crate::gateway_webhooks::Callees;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outcomes::Outcomes;

/// `error.type` of what Postgres did not do.
const UNANSWERED: &str = "unanswered";
/// Longest wait for a read; with the checkout of a connection in it.
const READ_PATIENCE: Duration = Duration::from_millis(2_500);
/// A new gateway account is seen everywhere after this.
const FRESH: Duration = Duration::from_secs(5);
const MERCHANTS: u64 = 10_000;

/// A gateway account that calls may name.
#[derive(Clone, Debug)]
struct KnownGateway {
    gateway: Gateway,
    reference_id: String,
}

/// What became of a call that is carried out once.
pub(crate) enum Written<T> {
    /// It was carried out.
    Done(T),
    /// It was not: it had been before, or is being.
    Before(PriorCall),
}

/// Either the transaction goes on to its commit, or its caller gives up on it: whichever comes first.
#[derive(Default)]
struct CommitGate(AtomicU8);

impl CommitGate {
    const COMMITTING: u8 = 1;
    const GIVEN_UP: u8 = 2;

    fn enter(&self) -> bool {
        self.turn(Self::COMMITTING)
    }

    fn close(&self) -> bool {
        self.turn(Self::GIVEN_UP)
    }

    fn turn(&self, to: u8) -> bool {
        let turned = self
            .0
            .compare_exchange(0, to, Ordering::AcqRel, Ordering::Acquire);
        turned.is_ok()
    }
}

pub(crate) struct State {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) lane: Lane<Creates>,
    pub(crate) wakeup_publisher: WakeupPublisher,
    pub(crate) outcomes: Outcomes,
    pub(crate) keys: KeyCache,
    pub(crate) limits: Limits,
    pub(crate) callees: Callees,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sandbox_mode: bool,
    pub(crate) schema_is_current: AtomicBool,
    pool: Pool,
    /// A place for each connection of the pool. Who has none waits for it without a thread.
    places: Arc<Semaphore>,
    gateways: moka::sync::Cache<MerchantId, Arc<Vec<KnownGateway>>>,
}

impl State {
    #[allow(clippy::too_many_arguments, reason = "each part once")]
    pub(crate) fn new(
        keyring: Arc<Keyring>,
        lane: Lane<Creates>,
        wakeup_publisher: WakeupPublisher,
        outcomes: Outcomes,
        pool: Pool,
        callees: Callees,
        metrics: Arc<Metrics>,
        sandbox_mode: bool,
    ) -> Self {
        let places = usize::try_from(pool.max_size()).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            keyring,
            lane,
            wakeup_publisher,
            outcomes,
            keys: KeyCache::new(),
            limits: Limits::new(),
            callees,
            metrics,
            sandbox_mode,
            schema_is_current: AtomicBool::new(false),
            pool,
            places: Arc::new(Semaphore::new(places)),
            gateways: moka::sync::Cache::builder()
                .max_capacity(MERCHANTS)
                .time_to_live(FRESH)
                .build(),
        }
    }

    /// Runs a query on a blocking thread with a pooled connection.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        summary: &'static str,
        query: impl FnOnce(&mut PgConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let pool = self.pool.clone();
        let work = self.on_a_thread(move || {
            let mut connection: store::PooledConnection =
                pool.get().map_err(|error| error.to_string())?;
            query(&mut connection).map_err(|error| error.to_string())
        });
        let span = telemetry::database(summary);
        let answered = tokio::time::timeout(READ_PATIENCE, work).instrument(span.clone());
        match answered.await {
            Ok(Some(Ok(value))) => return Ok(value),
            Ok(Some(Err(error))) => tracing::warn!(error, "query failed"),
            Ok(None) | Err(_) => tracing::warn!("query not answered in time"),
        }
        telemetry::fail(&span, UNANSWERED);
        Err(ApiError::Unavailable)
    }

    /// Runs a transaction on a blocking thread. Whoever has been told that the database is unavailable is not committed
    /// later.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        summary: &'static str,
        work: impl FnOnce(&mut PgConnection) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let pool = self.pool.clone();
        let gate = Arc::new(CommitGate::default());
        let caller = Arc::clone(&gate);
        let mut running = std::pin::pin!(self.on_a_thread(move || {
            let mut connection: store::PooledConnection = pool.get().map_err(|error| {
                tracing::warn!(%error, "no database connection");
                ApiError::Unavailable
            })?;
            connection.transaction(|connection| {
                let value = work(connection)?;
                if gate.enter() {
                    Ok(value)
                } else {
                    Err(ApiError::Unavailable)
                }
            })
        }));
        let span = telemetry::database(summary);
        let committed = async {
            match tokio::time::timeout(READ_PATIENCE, &mut running).await {
                Ok(result) => result.ok_or(ApiError::Internal)?,
                Err(_) if caller.close() => {
                    tracing::warn!("transaction not done in time");
                    Err(ApiError::Unavailable)
                }
                // It is being committed: what comes of it must be told.
                Err(_) => running.await.ok_or(ApiError::Internal)?,
            }
        };
        let result = committed.instrument(span.clone()).await;
        if let Err(ApiError::Unavailable | ApiError::Internal) = &result {
            telemetry::fail(&span, UNANSWERED);
        }
        result
    }

    /// Runs on a blocking thread as soon as there is a place; `None` if it panicked. A burst begins no more threads than there
    /// are connections to work with, and who is dropped while it waits has left nothing behind that runs later.
    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let done = web::block(move || {
            // Held by the thread: it may outlive who asked.
            let _place = place;
            work()
        });
        done.await.ok()
    }

    /// Runs a transaction once for all calls with the same `Idempotency-Key`: what it answers is recorded in it.
    pub(crate) async fn write_once<T: Send + 'static>(
        &self,
        summary: &'static str,
        idempotent: Option<IdempotentCall>,
        work: impl FnOnce(&mut PgConnection) -> Result<(T, Option<Record>), ApiError> + Send + 'static,
    ) -> Result<Written<T>, ApiError> {
        self.write(summary, move |connection| {
            if let Some(call) = &idempotent {
                match idempotency::begin(connection, &[call])?.pop() {
                    Some(PriorCall::None) => {}
                    Some(before) => return Ok(Written::Before(before)),
                    None => return Err(ApiError::Internal),
                }
            }
            let (value, record) = work(connection)?;
            idempotency::insert(connection, record.as_slice())?;
            Ok(Written::Done(value))
        })
        .await
    }

    /// A gateway that a call names must be one the merchant has.
    pub(crate) async fn check_gateway(
        &self,
        merchant: MerchantId,
        pin: &Pin,
    ) -> Result<(), ApiError> {
        if pin.gateway_id.is_none() {
            return Ok(());
        }
        let known = self.gateways(merchant).await?;
        let found = known.iter().any(|known| {
            // A named gateway may be one that is used only when named.
            pin.allows(known.gateway, &known.reference_id, true)
                && (self.sandbox_mode || known.gateway != Gateway::Dummy)
        });
        if found {
            Ok(())
        } else {
            Err(ApiError::GatewayNotFound)
        }
    }

    /// The gateway accounts that a call of this merchant may name.
    async fn gateways(&self, merchant: MerchantId) -> Result<Arc<Vec<KnownGateway>>, ApiError> {
        if let Some(known) = self.gateways.get(&merchant) {
            return Ok(known);
        }
        let accounts = self
            .read("list gateway accounts", move |connection| {
                gateway_accounts::of_merchant(connection, merchant)
            })
            .await?;
        let known = accounts
            .into_iter()
            .filter(|account| account.enabled)
            .filter_map(|account| {
                let gateway = Gateway::from_id(account.gateway_id)?;
                Some(KnownGateway {
                    gateway,
                    reference_id: account.reference_id,
                })
            })
            .collect();
        let known = Arc::new(known);
        self.gateways.insert(merchant, Arc::clone(&known));
        Ok(known)
    }
}
