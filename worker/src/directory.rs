//! The merchants' rules, their gateway accounts with their connectors, and how these fare: read again every few seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use diesel::{PgConnection, QueryResult};
use khata_crypto::{Keyring, Purpose};
use khata_domain::routing::Ineligible;
use khata_domain::score::{Bank, Score};
use khata_domain::traffic::Traffic;
use khata_domain::{Consent, Details, Gateway, GatewayAccountId, MerchantId, Method};
use khata_gateways::{ConfigError, Connector, ConnectorConfig};
use khata_store::gateway_accounts::{self, GatewayAccount};
use khata_store::gateway_health::{self, GatewayKey};
use khata_store::merchant_settings;

/// A change of a gateway account is seen everywhere after this.
const FRESH: Duration = Duration::from_secs(5);
const MERCHANTS: u64 = 10_000;

/// What planning needs to know of a merchant.
pub(crate) struct MerchantView {
    /// Whether an account whose holder has quite another name fails.
    pub(crate) fail_on_name_mismatch: bool,
    /// How old a result of the same details may be to be used again; 0: never.
    pub(crate) reuse_results_seconds: i32,
    /// By priority.
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) scores: HashMap<GatewayAccountId, HashMap<String, Score>>,
}

impl MerchantView {
    /// The entry with this id.
    pub(crate) fn find(&self, id: GatewayAccountId) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| entry.account.id == id)
    }

    /// How a gateway account fares with accounts at a bank.
    pub(crate) fn score(&self, id: GatewayAccountId, bank: &Bank) -> Option<Score> {
        self.scores.get(&id)?.get(bank.as_str()).copied()
    }
}

/// A gateway account, ready to be asked if its settings allow.
pub(crate) struct Entry {
    pub(crate) account: GatewayAccount,
    pub(crate) gateway: Gateway,
    pub(crate) connector: Result<Box<dyn Connector>, ConfigError>,
}

impl Entry {
    pub(crate) fn key(&self) -> GatewayKey {
        GatewayKey {
            merchant: self.account.merchant,
            account: self.account.id,
        }
    }

    /// How it would validate these details, or why it cannot.
    pub(crate) fn fit(
        &self,
        details: &Details,
        consent: Option<&Consent>,
    ) -> Result<(Method, &Traffic), Ineligible> {
        let connector = self
            .connector
            .as_ref()
            .map_err(|_| Ineligible::NoConnector)?;
        Ok((
            connector.eligible_method(details, consent)?,
            connector.traffic(),
        ))
    }
}

pub(crate) struct Directory {
    keyring: Arc<Keyring>,
    http: reqwest::Client,
    sandbox_mode: bool,
    longest_call: Duration,
    merchants: moka::sync::Cache<MerchantId, Arc<MerchantView>>,
}

impl Directory {
    /// `longest_call`: two of them fit into a lease.
    pub(crate) fn new(
        keyring: Arc<Keyring>,
        http: reqwest::Client,
        sandbox_mode: bool,
        longest_call: Duration,
    ) -> Self {
        let merchants = moka::sync::Cache::builder()
            .max_capacity(MERCHANTS)
            .time_to_live(FRESH)
            .build();
        Self {
            keyring,
            http,
            sandbox_mode,
            longest_call,
            merchants,
        }
    }

    /// The merchant, with its gateway accounts at gateways that this build knows.
    pub(crate) fn of_merchant(
        &self,
        connection: &mut PgConnection,
        merchant: MerchantId,
    ) -> QueryResult<Arc<MerchantView>> {
        if let Some(view) = self.merchants.get(&merchant) {
            return Ok(view);
        }
        let settings = merchant_settings::of_merchant(connection, merchant)?;
        let accounts = gateway_accounts::of_merchant(connection, merchant)?;
        let view = Arc::new(MerchantView {
            fail_on_name_mismatch: settings.fail_on_name_mismatch,
            reuse_results_seconds: settings.reuse_results_seconds,
            entries: accounts
                .into_iter()
                .filter_map(|account| self.entry(account))
                .collect(),
            scores: gateway_health::scores(connection, merchant)?,
        });
        self.merchants.insert(merchant, Arc::clone(&view));
        Ok(view)
    }

    fn entry(&self, account: GatewayAccount) -> Option<Arc<Entry>> {
        let gateway = Gateway::from_id(account.gateway_id)?;
        let connector = self.connect(gateway, &account);
        if let Err(fault) = &connector {
            tracing::error!(
                merchant_id = %account.merchant, gateway_account_id = %account.id, gateway = gateway.name(), %fault,
                "gateway account cannot be used: correct it with `khata-api gateway add`"
            );
        }
        Some(Arc::new(Entry {
            account,
            gateway,
            connector,
        }))
    }

    fn connect(
        &self,
        gateway: Gateway,
        account: &GatewayAccount,
    ) -> Result<Box<dyn Connector>, ConfigError> {
        let credentials = account
            .sealed_credentials
            .as_deref()
            .map(|sealed| {
                self.keyring
                    .decrypt(account.merchant, account.id.0, Purpose::Credentials, sealed)
            })
            .transpose()
            .map_err(|_| {
                ConfigError::Credentials("sealed with a key that is not in the keyring")
            })?;
        khata_gateways::connect(
            gateway,
            &ConnectorConfig {
                base_url: account.base_url.as_deref(),
                credentials: credentials.as_ref().map(|plain| plain.as_slice()),
                settings: &account.settings,
                http: &self.http,
                sandbox_mode: self.sandbox_mode,
                longest_call: self.longest_call,
            },
        )
    }
}
