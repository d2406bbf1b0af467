//! The gateway accounts that a merchant's calls may name in `gateway_id` and `gateway_reference_id`.

use std::sync::Arc;

use khata_domain::routing::Pin;
use khata_domain::{Gateway, MerchantId};
use khata_store::gateway_accounts::{self, GatewayAccount};

use crate::database::{Database, RecentRows};
use crate::error::ApiError;

/// The gateway accounts of recently seen merchants.
pub(crate) struct GatewayChoices {
    by_merchant: RecentRows<MerchantId, Arc<Vec<GatewayAccount>>>,
    sandbox_mode: bool,
}

impl GatewayChoices {
    pub(crate) fn new(sandbox_mode: bool) -> Self {
        Self {
            by_merchant: RecentRows::new(),
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
        let read = database.read("list gateway accounts", move |connection| {
            gateway_accounts::of_merchant(connection, merchant).map(Arc::new)
        });
        let accounts = self.by_merchant.get_or(merchant, read).await?;
        let is_named = |account: &GatewayAccount| {
            let gateway = Gateway::from_id(account.gateway_id);
            let gateway = gateway.filter(|gateway| self.sandbox_mode || *gateway != Gateway::Dummy);
            // `true`: a call may name a gateway account that is used only by name.
            gateway.is_some_and(|gateway| pin.allows(gateway, &account.reference_id, true))
        };
        let found = accounts
            .iter()
            .any(|account| account.enabled && is_named(account));
        found.then_some(()).ok_or(ApiError::GatewayNotFound)
    }
}
