//! The merchants' settings, and their gateway accounts with connectors and recent results, cached for a few seconds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_crypto::Keyring;
use khata_domain::attempt::Attempt;
use khata_domain::gateway::GatewayKey;
use khata_domain::plan::{Bounds, GatewayProfile};
use khata_domain::routing::Ineligible;
use khata_domain::score::{Bank, Score};
use khata_domain::traffic::UNLIMITED;
use khata_domain::{
    Consent, Details, Gateway, GatewayAccountId, LateCalls, MerchantId, Method, Recovery,
};
use khata_gateways::{ConfigError, Connector, ConnectorConfig};
use khata_store::gateway_accounts::{self, GatewayAccount};
use khata_store::gateway_health;
use khata_store::merchants;

/// Time after which every worker sees a change of a gateway account.
const CACHE_TTL: Duration = Duration::from_secs(5);
const MAX_CACHED_MERCHANTS: u64 = 10_000;

/// A merchant's settings and gateway accounts.
pub(crate) struct MerchantView {
    /// Scores of the name match below which an account fails, and below which a person decides.
    pub(crate) fail_names_below: i16,
    pub(crate) review_names_below: i16,
    /// Maximum age of an earlier result that is reused; 0: never.
    pub(crate) reuse_results_seconds: i32,
    /// Bounds of the cost of one validation.
    pub(crate) bounds: Bounds,
    /// Budget of penny drops of one day.
    pub(crate) penny_drops_per_day: i32,
    /// By priority.
    pub(crate) entries: Vec<Arc<Entry>>,
    pub(crate) scores: HashMap<GatewayAccountId, HashMap<String, Score>>,
}

impl MerchantView {
    pub(crate) fn find(&self, id: GatewayAccountId) -> Option<&Arc<Entry>> {
        self.entries.iter().find(|entry| entry.account.id == id)
    }

    /// Returns the gateway accounts as planning sees them. `last`: the newest attempt of the validation.
    pub(crate) fn profiles<'a>(
        &'a self,
        details: &Details,
        consent: Option<&Consent>,
        last: Option<&Attempt>,
        now: DateTime<Utc>,
    ) -> Vec<GatewayProfile<'a>> {
        let bank = Bank::of(details);
        let profile = |entry: &'a Arc<Entry>| {
            let (id, connector) = (entry.account.id, entry.connector.as_deref());
            let eligibility = match connector {
                Ok(connector) => connector
                    .eligible_method(details, consent)
                    .and_then(|method| by_imps(method, details, &connector.policy().methods)),
                Err(_) => Err(Ineligible::NoConnector),
            };
            let last_method = last
                .filter(|last| last.gateway_account == id)
                .map(|last| last.method);
            let method = last_method.or(eligibility.ok());
            let scores = self.scores.get(&id);
            let score = scores.and_then(|scores| scores.get(bank.as_str()));
            let recovery = match (connector, method) {
                (Ok(connector), Some(method)) => connector.recovery(details, method),
                _ => Recovery::None,
            };
            GatewayProfile {
                key: entry.key(),
                gateway: entry.gateway,
                reference_id: &entry.account.reference_id,
                priority: entry.account.priority,
                pinned_only: entry.account.pinned_only,
                enabled: entry.account.enabled,
                eligibility,
                recovery,
                late_calls: connector.map_or_else(
                    |_| LateCalls::default(),
                    |connector| connector.late_calls(details),
                ),
                traffic: connector.map_or(&UNLIMITED, |connector| &connector.policy().traffic),
                score: score.copied().unwrap_or_else(|| Score::new(now)),
            }
        };
        self.entries.iter().map(profile).collect()
    }
}

/// A gateway account, with its connector if its settings are valid.
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
}

/// The merchants, cached.
pub(crate) struct Directory {
    keyring: Arc<Keyring>,
    http: reqwest::Client,
    sandbox_mode: bool,
    longest_call: Duration,
    merchants: moka::sync::Cache<MerchantId, Arc<MerchantView>>,
}

impl Directory {
    /// `longest_call`: maximum duration of a call; two of them fit into a lease.
    pub(crate) fn new(
        keyring: Arc<Keyring>,
        http: reqwest::Client,
        sandbox_mode: bool,
        longest_call: Duration,
    ) -> Self {
        let merchants = moka::sync::Cache::builder()
            .max_capacity(MAX_CACHED_MERCHANTS)
            .time_to_live(CACHE_TTL)
            .build();
        Self {
            keyring,
            http,
            sandbox_mode,
            longest_call,
            merchants,
        }
    }

    /// Returns the merchant with its gateway accounts at gateways that this version knows.
    pub(crate) fn of_merchant(
        &self,
        connection: &mut PgConnection,
        merchant: MerchantId,
    ) -> QueryResult<Arc<MerchantView>> {
        if let Some(view) = self.merchants.get(&merchant) {
            return Ok(view);
        }
        let settings = merchants::of_id(connection, merchant)?;
        let accounts = gateway_accounts::of_merchant(connection, merchant)?;
        let view = Arc::new(MerchantView {
            fail_names_below: settings.fail_names_below,
            review_names_below: settings.review_names_below,
            reuse_results_seconds: settings.reuse_results_seconds,
            bounds: Bounds {
                recovery_patience: seconds(settings.recovery_patience_seconds),
                paid_attempts: settings
                    .paid_attempts_per_validation
                    .try_into()
                    .unwrap_or(1),
            },
            penny_drops_per_day: settings.penny_drops_per_day,
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
                "gateway account unusable: correct its settings with `khata gateway set`"
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
        let credentials = account.credentials(&self.keyring);
        let credentials = credentials.map_err(ConfigError::Credentials)?;
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

/// Replaces a penny drop to a bank that takes no IMPS, by which every gateway pays penny drops, with a method that pays nothing.
fn by_imps(method: Method, details: &Details, allowed: &[Method]) -> Result<Method, Ineligible> {
    match details {
        Details::Bank(bank)
            if method == Method::PennyDrop && !khata_ifsc::takes_imps(bank.ifsc.as_str()) =>
        {
            let penniless = allowed.contains(&Method::Penniless);
            penniless
                .then_some(Method::Penniless)
                .ok_or(Ineligible::WithoutImps)
        }
        _ => Ok(method),
    }
}

fn seconds(seconds: i32) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use khata_domain::{AccountNumber, BankAccount, Ifsc};

    use super::*;

    #[test]
    fn no_penny_drop_goes_to_a_bank_without_imps() {
        use Method::{Penniless, PennyDrop};
        let of = |ifsc| {
            Details::Bank(BankAccount {
                ifsc: Ifsc::parse(ifsc).unwrap(),
                account_number: AccountNumber::parse("026291800001191").unwrap(),
                beneficiary_name: None,
            })
        };
        let both = [PennyDrop, Penniless];
        for (ifsc, method, allowed, eligible) in [
            ("HDFC0000001", PennyDrop, &both[..1], Ok(PennyDrop)),
            ("AABF0008032", PennyDrop, &both[..1], Ok(PennyDrop)),
            (
                "RBIS0GSTPMT",
                PennyDrop,
                &both[..1],
                Err(Ineligible::WithoutImps),
            ),
            (
                "SBHY0020039",
                PennyDrop,
                &both[..1],
                Err(Ineligible::WithoutImps),
            ),
            ("SBHY0020039", PennyDrop, &both, Ok(Penniless)),
            ("SBHY0020039", Penniless, &both, Ok(Penniless)),
        ] {
            assert_eq!(by_imps(method, &of(ifsc), allowed), eligible, "{ifsc}");
        }
    }
}
