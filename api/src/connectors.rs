//! Connectors of the gateway accounts that receive webhooks. Workers have their own directory of connectors.

use std::sync::Arc;
use std::time::Duration;

use khata_crypto::Keyring;
use khata_domain::{Gateway, GatewayAccountId};
use khata_gateways::{ConfigError, Connector, ConnectorConfig};
use khata_store::gateway_accounts::{self, GatewayAccount};
use khata_store::gateway_health::GatewayKey;
use tracing::warn;

use crate::database::{Database, RecentRows};
use crate::error::ApiError;

/// Time between two log lines of one kind about webhooks of one gateway account.
const WARN_INTERVAL: Duration = Duration::from_mins(1);

/// A gateway account with its connector.
pub(crate) struct WebhookAccount {
    pub(crate) key: GatewayKey,
    pub(crate) gateway: Gateway,
    pub(crate) reference_id: String,
    pub(crate) connector: Box<dyn Connector>,
}

/// Kind of a log line about webhooks.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Warning {
    Rejected,
    NotUnderstood,
}

/// Gateway accounts that recently received webhooks. Unknown ids are cached too, so that guessing an id costs one query.
pub(crate) struct WebhookAccounts {
    keyring: Arc<Keyring>,
    http: reqwest::Client,
    sandbox_mode: bool,
    recent: RecentRows<GatewayAccountId, Option<Arc<WebhookAccount>>>,
    /// The lines of the last minute: any sender may cause one.
    warned: moka::sync::Cache<(GatewayAccountId, Warning), ()>,
}

impl WebhookAccounts {
    pub(crate) fn new(keyring: Arc<Keyring>, http: reqwest::Client, sandbox_mode: bool) -> Self {
        Self {
            keyring,
            http,
            sandbox_mode,
            recent: RecentRows::new(),
            warned: moka::sync::Cache::builder()
                .max_capacity(1_000)
                .time_to_live(WARN_INTERVAL)
                .build(),
        }
    }

    /// Whether a line of this kind about a webhook of this gateway account may be logged now. The metrics count every webhook.
    pub(crate) fn may_warn(&self, account: GatewayAccountId, warning: Warning) -> bool {
        let line = (account, warning);
        self.warned.entry(line).or_insert(()).is_fresh()
    }

    /// The gateway account with this id; `None` if it does not exist or its configuration is not usable.
    pub(crate) async fn find(
        &self,
        database: &Database,
        id: GatewayAccountId,
    ) -> Result<Option<Arc<WebhookAccount>>, ApiError> {
        let read = database.read("find gateway account", move |connection| {
            gateway_accounts::find_by_id(connection, id)
        });
        let usable = async { Ok(read.await?.and_then(|stored| self.usable(stored))) };
        self.recent.get_or(id, usable).await
    }

    fn usable(&self, stored: GatewayAccount) -> Option<Arc<WebhookAccount>> {
        match self.connect(&stored) {
            Ok((gateway, connector)) => Some(Arc::new(WebhookAccount {
                key: GatewayKey {
                    merchant: stored.merchant,
                    account: stored.id,
                },
                gateway,
                reference_id: stored.reference_id,
                connector,
            })),
            Err(error) => {
                warn!(merchant_id = %stored.merchant, gateway_account = stored.reference_id, error,
                    "gateway webhook rejected: gateway account not usable; correct it with `khata gateway set`");
                None
            }
        }
    }

    fn connect(&self, account: &GatewayAccount) -> Result<(Gateway, Box<dyn Connector>), String> {
        let gateway = Gateway::from_id(account.gateway_id)
            .ok_or_else(|| "this version of Khata does not support the gateway".to_owned())?;
        let credentials = account.credentials(&self.keyring);
        let credentials =
            credentials.map_err(|problem| ConfigError::Credentials(problem).to_string())?;
        let connector = khata_gateways::connect(
            gateway,
            &ConnectorConfig {
                base_url: account.base_url.as_deref(),
                credentials: credentials.as_ref().map(|plain| plain.as_slice()),
                settings: &account.settings,
                http: &self.http,
                sandbox_mode: self.sandbox_mode,
                longest_call: Duration::MAX,
            },
        )
        .map_err(|error| error.to_string())?;
        Ok((gateway, connector))
    }
}
