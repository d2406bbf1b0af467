//! The gateway accounts that a merchant's calls may name in `gateway_id` and `gateway_reference_id`.

use std::sync::Arc;
use std::time::Duration;

use khata_domain::routing::Pin;
use khata_domain::{Gateway, MerchantId};
use khata_store::gateway_accounts;

use crate::database::Database;
use crate::error::ApiError;

/// Time after which a changed gateway account is known everywhere.
const CACHE_TTL: Duration = Duration::from_secs(5);
const CACHED_MERCHANTS: u64 = 10_000;

#[derive(Clone, Debug)]
struct GatewayChoice {
    gateway: Gateway,
    reference_id: String,
}

/// The enabled gateway accounts of recently seen merchants.
pub(crate) struct GatewayChoices {
    by_merchant: moka::sync::Cache<MerchantId, Arc<Vec<GatewayChoice>>>,
    sandbox_mode: bool,
}

impl GatewayChoices {
    pub(crate) fn new(sandbox_mode: bool) -> Self {
        Self {
            by_merchant: moka::sync::Cache::builder()
                .max_capacity(CACHED_MERCHANTS)
                .time_to_live(CACHE_TTL)
                .build(),
            sandbox_mode,
        }
    }

    /// Checks that the merchant has the gateway account that a call names.
    pub(crate) async fn check(
        &self,
        database: &Database,
        merchant: MerchantId,
        pin: &Pin,
    ) -> Result<(), ApiError> {
        if pin.gateway_id.is_none() {
            return Ok(());
        }
        let choices = self.choices(database, merchant).await?;
        let found = choices.iter().any(|choice| {
            // `true`: a call may name a gateway account that is used only by name.
            pin.allows(choice.gateway, &choice.reference_id, true)
                && (self.sandbox_mode || choice.gateway != Gateway::Dummy)
        });
        found.then_some(()).ok_or(ApiError::GatewayNotFound)
    }

    async fn choices(
        &self,
        database: &Database,
        merchant: MerchantId,
    ) -> Result<Arc<Vec<GatewayChoice>>, ApiError> {
        if let Some(cached) = self.by_merchant.get(&merchant) {
            return Ok(cached);
        }
        let accounts = database
            .read("list gateway accounts", move |connection| {
                gateway_accounts::of_merchant(connection, merchant)
            })
            .await?;
        let choices = accounts
            .into_iter()
            .filter(|account| account.enabled)
            .filter_map(|account| {
                Some(GatewayChoice {
                    gateway: Gateway::from_id(account.gateway_id)?,
                    reference_id: account.reference_id,
                })
            })
            .collect();
        let choices = Arc::new(choices);
        self.by_merchant.insert(merchant, Arc::clone(&choices));
        Ok(choices)
    }
}
