//! The merchants' gateway accounts with their connectors, read again every few seconds.

use std::sync::Arc;
use std::time::Duration;

use diesel::{PgConnection, QueryResult};
use khata_gateways::{ConfigFault, Connector, ConnectorConfig};
use khata_shared::crypto::{Keyring, Purpose};
use khata_shared::domain::routing::{Candidate, Unfit};
use khata_shared::domain::{Consent, Details, Gateway, GatewayAccountId, MerchantId};
use khata_shared::store::gateway_accounts::{self, GatewayAccount};

/// A change of a gateway account is seen everywhere after this.
const FRESH: Duration = Duration::from_secs(5);
const MERCHANTS: u64 = 10_000;

/// A gateway account, ready to be asked if its settings allow.
pub(crate) struct Entry {
    pub(crate) account: GatewayAccount,
    pub(crate) gateway: Gateway,
    pub(crate) connector: Result<Box<dyn Connector>, ConfigFault>,
}

impl Entry {
    pub(crate) fn candidate(&self, details: &Details, consent: Option<&Consent>) -> Candidate<'_> {
        Candidate {
            id: self.account.id(),
            gateway: self.gateway,
            reference_id: &self.account.reference_id,
            priority: self.account.priority,
            pinned_only: self.account.pinned_only,
            fit: match &self.connector {
                Ok(connector) => connector.fit(details, consent),
                Err(_) => Err(Unfit::NoConnector),
            },
        }
    }
}

pub(crate) type Entries = Arc<Vec<Arc<Entry>>>;

pub(crate) struct Directory {
    keyring: Arc<Keyring>,
    http: reqwest::Client,
    sandbox_mode: bool,
    longest_call: Duration,
    entries: moka::sync::Cache<MerchantId, Entries>,
}

impl Directory {
    /// `longest_call`: two of them fit into a lease.
    pub(crate) fn new(
        keyring: Arc<Keyring>,
        http: reqwest::Client,
        sandbox_mode: bool,
        longest_call: Duration,
    ) -> Self {
        let entries = moka::sync::Cache::builder()
            .max_capacity(MERCHANTS)
            .time_to_live(FRESH)
            .build();
        Self {
            keyring,
            http,
            sandbox_mode,
            longest_call,
            entries,
        }
    }

    /// The merchant's gateway accounts at gateways that this build knows, by priority.
    pub(crate) fn of_merchant(
        &self,
        connection: &mut PgConnection,
        merchant: MerchantId,
    ) -> QueryResult<Entries> {
        if let Some(entries) = self.entries.get(&merchant) {
            return Ok(entries);
        }
        let accounts = gateway_accounts::of_merchant(connection, merchant)?;
        let entries: Entries = Arc::new(
            accounts
                .into_iter()
                .filter_map(|account| self.entry(account))
                .collect(),
        );
        self.entries.insert(merchant, Arc::clone(&entries));
        Ok(entries)
    }

    fn entry(&self, account: GatewayAccount) -> Option<Arc<Entry>> {
        let gateway = Gateway::from_id(account.gateway_id)?;
        let connector = self.connect(gateway, &account);
        if let Err(fault) = &connector {
            tracing::error!(
                merchant_id = %account.merchant(), gateway_account_id = %account.id(), gateway = gateway.name(), %fault,
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
    ) -> Result<Box<dyn Connector>, ConfigFault> {
        let credentials = account
            .sealed_credentials
            .as_deref()
            .map(|sealed| {
                self.keyring.open(
                    account.merchant(),
                    account.id().0,
                    Purpose::Credentials,
                    sealed,
                )
            })
            .transpose()
            .map_err(|_| {
                ConfigFault::Credentials("sealed with a key that is not in the keyring")
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

/// The entry with this id.
pub(crate) fn find(entries: &Entries, id: GatewayAccountId) -> Option<Arc<Entry>> {
    entries
        .iter()
        .find(|entry| entry.account.id() == id)
        .map(Arc::clone)
}
