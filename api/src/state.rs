//! What every request can reach.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use actix_web::web;
use diesel::{PgConnection, QueryResult};
use khata_shared::batch::Lane;
use khata_shared::broker::Ringer;
use khata_shared::crypto::Keyring;
use khata_shared::domain::{Gateway, MerchantId};
use khata_shared::store::{self, Pool, gateway_accounts};

use crate::auth::KeyCache;
use crate::error::ApiError;
use crate::lane::Creates;

/// Longest wait for a read; with the checkout of a connection in it.
const READ_PATIENCE: Duration = Duration::from_millis(2_500);
/// A new gateway account is seen everywhere after this.
const FRESH: Duration = Duration::from_secs(5);
const MERCHANTS: u64 = 10_000;

/// A gateway account that calls may name.
#[derive(Clone, Debug)]
pub(crate) struct KnownGateway {
    pub(crate) gateway: Gateway,
    pub(crate) reference_id: String,
}

pub(crate) struct State {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) lane: Lane<Creates>,
    pub(crate) ringer: Ringer,
    pub(crate) keys: KeyCache,
    pub(crate) sandbox_mode: bool,
    pub(crate) schema_is_current: AtomicBool,
    pool: Pool,
    gateways: moka::sync::Cache<MerchantId, Arc<Vec<KnownGateway>>>,
}

impl State {
    pub(crate) fn new(
        keyring: Arc<Keyring>,
        lane: Lane<Creates>,
        ringer: Ringer,
        pool: Pool,
        sandbox_mode: bool,
    ) -> Self {
        Self {
            keyring,
            lane,
            ringer,
            keys: KeyCache::new(),
            sandbox_mode,
            schema_is_current: AtomicBool::new(false),
            pool,
            gateways: moka::sync::Cache::builder()
                .max_capacity(MERCHANTS)
                .time_to_live(FRESH)
                .build(),
        }
    }

    /// Runs a query on a blocking thread with a pooled connection.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut PgConnection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, ApiError> {
        let pool = self.pool.clone();
        let work = web::block(move || {
            let mut connection: store::PooledConnection =
                pool.get().map_err(|error| error.to_string())?;
            query(&mut connection).map_err(|error| error.to_string())
        });
        match tokio::time::timeout(READ_PATIENCE, work).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => {
                tracing::warn!(error, "query failed");
                Err(ApiError::Unavailable)
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("query not answered in time");
                Err(ApiError::Unavailable)
            }
        }
    }

    /// The gateway accounts that a call of this merchant may name.
    pub(crate) async fn gateways(
        &self,
        merchant: MerchantId,
    ) -> Result<Arc<Vec<KnownGateway>>, ApiError> {
        if let Some(known) = self.gateways.get(&merchant) {
            return Ok(known);
        }
        let accounts = self
            .read(move |connection| gateway_accounts::of_merchant(connection, merchant))
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
