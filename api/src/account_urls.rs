//! The URLs that calls may name in `webhook_url` for the events of an account: those of the origins that a webhook endpoint of the
//! merchant allows.

use std::sync::Arc;

use khata_domain::MerchantId;
use khata_store::webhooks::{self, AccountUrl, Endpoint};
use khata_webhooks::EndpointUrl;

use crate::database::{Database, RecentRows};
use crate::error::{ApiError, FaultCode};
use crate::schema::WEBHOOK_URL;

/// The endpoints of recently seen merchants.
pub(crate) struct AccountUrls {
    by_merchant: RecentRows<MerchantId, Arc<Vec<Endpoint>>>,
    sandbox_mode: bool,
}

impl AccountUrls {
    pub(crate) fn new(sandbox_mode: bool) -> Self {
        Self {
            by_merchant: RecentRows::new(),
            sandbox_mode,
        }
    }

    /// Finds the endpoint whose calls go to this URL.
    pub(crate) async fn find(
        &self,
        database: &Database,
        merchant: MerchantId,
        url: &EndpointUrl,
    ) -> Result<AccountUrl, ApiError> {
        let read = || {
            database.read("list endpoints", move |connection| {
                webhooks::all(connection, Some(merchant)).map(Arc::new)
            })
        };
        let recent = self.by_merchant.get_or(merchant, read()).await?;
        let found = match self.endpoint_of(&recent, url) {
            Some(endpoint) => Some(endpoint.id),
            // The merchant may have allowed it a moment ago.
            None => self.endpoint_of(&read().await?, url).map(|new| new.id),
        };
        let reason = "belongs to no webhook endpoint of yours that allows it: set allow_url_per_account to true at an endpoint whose URL \
                      has the same scheme, host and port";
        let endpoint =
            found.ok_or_else(|| ApiError::field(WEBHOOK_URL.name, FaultCode::NotFound, reason))?;
        Ok(AccountUrl {
            endpoint,
            url: url.as_str().to_owned(),
        })
    }

    /// Chooses the oldest endpoint that allows the URL; a disabled one if no other does, so that an endpoint that fails causes no
    /// failed creates.
    fn endpoint_of<'a>(
        &self,
        endpoints: &'a [Endpoint],
        url: &EndpointUrl,
    ) -> Option<&'a Endpoint> {
        let allows = |endpoint: &&Endpoint| {
            let own = EndpointUrl::parse(&endpoint.url, self.sandbox_mode);
            endpoint.allows_url_per_account && own.is_ok_and(|own| url.has_origin_of(&own))
        };
        let allowing = endpoints.iter().filter(allows);
        allowing.min_by_key(|endpoint| (endpoint.disabled_at.is_some(), endpoint.id))
    }
}
