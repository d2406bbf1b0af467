//! PayU (gateway 12): bank accounts by PayU Payouts' penny test, UPI addresses by the payment gateway's lookup. These are
//! two products with separate credentials; an account may have either or both.
//!
//! Outcome of `VERIFICATION_PENDING`: PayU documents no call for it beside *Check Transfer Status*, which finds transfers by
//! `merchantRefId`, "unique identifier from merchant to identify the status" in the words of the penny test, and whose reply
//! holds the name at the bank and its match. So Khata uses that call. An empty list "has to be considered as unidentified or
//! pending", never as "not performed".
//!
//! Lost response: Khata makes the call again under the same `merchantRefId`. Either PayU never got the first call, or it
//! rejects the second as a duplicate (code 1002), which counts as pending and is looked up. PayU's webhooks report transfers
//! and carry only a fixed header instead of a signature: Khata does not accept them.

mod codes;
mod lookup;
mod oauth;
mod payouts;
mod response;

use async_trait::async_trait;
use khata_domain::validation::CallResult;
use khata_domain::{CallFailure, Class, Details, Gateway, Method, Recovery};
use zeroize::Zeroizing;

use crate::config::{ConfigError, ConnectorConfig};
use crate::connector::{Call, Check, Connector, LookupResult, as_lookup};
use crate::http::Client;
use crate::info::{CredentialInfo, GatewayInfo, SettingInfo};
use crate::meaning::Meaning;
use crate::policy::CallPolicy;
use crate::settings::{CommonSettings, NPCI_POLLING};
use crate::token::TokenClient;
use lookup::VpaLookup;
use oauth::OAuth;
use payouts::Payouts;

const PAYOUT_URL: &str = "https://payout.payumoney.com";
const ACCOUNTS_URL: &str = "https://accounts.payu.in";
const INFO_URL: &str = "https://info.payu.in";

/// Facts about PayU.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Payu,
    sandbox_only: false,
    methods: &[Method::PennyDrop, Method::VpaLookup],
    validation: "penny drop; UPI lookup",
    recovery: "the same call again, same `merchantRefId`, whose duplicate PayU refuses",
    webhooks: None,
    addresses: &[PAYOUT_URL, ACCOUNTS_URL, INFO_URL],
    credentials: &[
        CredentialInfo::optional("client_id", "of PayU Payouts, for bank accounts"),
        CredentialInfo::optional("client_secret", "of PayU Payouts, for bank accounts"),
        CredentialInfo::optional(
            "payout_merchant_id",
            "for bank accounts; not the merchant id of the payment gateway",
        ),
        CredentialInfo::optional("key", "of the payment gateway, for UPI addresses"),
        CredentialInfo::optional("salt", "of the payment gateway, for UPI addresses"),
    ],
    settings: &[
        SettingInfo {
            name: "payout_url",
            meaning: "address of PayU Payouts, if `base_url` is not set",
            default: "PayU's public address",
        },
        SettingInfo {
            name: "accounts_url",
            meaning: "address that tokens for PayU Payouts come from, if `base_url` is not set",
            default: "PayU's public address",
        },
        SettingInfo {
            name: "info_url",
            meaning: "address of the payment gateway, if `base_url` is not set",
            default: "PayU's public address",
        },
    ],
    connect: |config| Ok(Box::new(Payu::new(config)?)),
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    client_id: Option<Zeroizing<String>>,
    client_secret: Option<Zeroizing<String>>,
    payout_merchant_id: Option<Zeroizing<String>>,
    key: Option<Zeroizing<String>>,
    salt: Option<Zeroizing<String>>,
}

/// Addresses of PayU's products. `base_url` replaces all of them.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Settings {
    #[serde(rename = "payout_url")]
    payout: Option<String>,
    #[serde(rename = "accounts_url")]
    accounts: Option<String>,
    #[serde(rename = "info_url")]
    info: Option<String>,
}

/// A merchant's account at PayU.
pub(crate) struct Payu {
    payouts: Option<Payouts>,
    lookup: Option<VpaLookup>,
    policy: CallPolicy,
}

impl Payu {
    fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        const EXPECTED: &str = "must be a JSON object with client_id, client_secret and payout_merchant_id, or key and salt, or all of them";
        let (common, own) = CommonSettings::read_with::<Settings>(config.settings)?;
        let url = |name: &str, setting: &Option<String>, public: &str| match config.base_url {
            Some(_) => config.address(public, INFO.addresses),
            None => {
                config.checked_address(name, setting.as_deref().unwrap_or(public), INFO.addresses)
            }
        };
        let payout_url = url("payout_url", &own.payout, PAYOUT_URL)?;
        let accounts_url = url("accounts_url", &own.accounts, ACCOUNTS_URL)?;
        let info_url = url("info_url", &own.info, INFO_URL)?;
        let credentials: Credentials = config.credentials(EXPECTED)?;
        let has_payouts = credentials.client_id.is_some();
        let has_lookup = credentials.key.is_some();
        let mut offered = INFO.methods.to_vec();
        offered.retain(|method| match method {
            Method::VpaLookup => has_lookup,
            Method::PennyDrop | Method::Penniless => has_payouts,
        });
        if offered.is_empty() {
            return Err(ConfigError::Credentials(EXPECTED));
        }
        let policy = common.policy(config, &offered, &NPCI_POLLING, None)?;
        let timeout = policy.call_timeout;
        let payouts = match (
            credentials.client_id,
            credentials.client_secret,
            credentials.payout_merchant_id,
        ) {
            (Some(client_id), Some(client_secret), Some(merchant_id)) => {
                let tokens = OAuth {
                    client: Client::new(config, &accounts_url, timeout, [])?,
                    client_id,
                    client_secret,
                };
                let headers = [("payoutmerchantid", merchant_id)];
                let client = Client::new(config, &payout_url, timeout, headers)?;
                Some(Payouts(TokenClient::new(client, tokens)))
            }
            (None, None, None) => None,
            _ => return Err(ConfigError::Credentials(EXPECTED)),
        };
        let lookup = match (credentials.key, credentials.salt) {
            (Some(key), Some(salt)) => Some(VpaLookup {
                client: Client::new(config, &info_url, timeout, [])?,
                key,
                salt,
            }),
            (None, None) => None,
            _ => return Err(ConfigError::Credentials(EXPECTED)),
        };
        Ok(Self {
            payouts,
            lookup,
            policy,
        })
    }
}

#[async_trait]
impl Connector for Payu {
    fn policy(&self) -> &CallPolicy {
        &self.policy
    }

    fn recovery(&self, _details: &Details, _method: Method) -> Recovery {
        Recovery::Resubmit
    }

    async fn verify(&self, call: &Call<'_>) -> CallResult {
        match (call.details, &self.payouts, &self.lookup) {
            (Details::Bank(bank), Some(payouts), _) => payouts.verify(call, bank).await,
            (Details::Upi(vpa), _, Some(lookup)) => lookup.verify(vpa).await,
            // The credentials were removed after the attempt began.
            _ => Ok(Meaning::of(Class::Misconfigured).response("no_credentials")),
        }
    }

    async fn lookup(&self, call: &Call<'_>, _gateway_reference: Option<&str>) -> LookupResult {
        match (call.details, &self.payouts, &self.lookup) {
            (Details::Bank(_), Some(payouts), _) => payouts.lookup(call).await,
            (Details::Upi(vpa), _, Some(lookup)) => as_lookup(lookup.verify(vpa).await),
            _ => Err(CallFailure::NotSent("no credentials".into())),
        }
    }

    /// Checks both products, if there are both: the first that does not accept us decides.
    async fn check(&self) -> Result<Check, CallFailure> {
        let mut checked = None;
        if let Some(payouts) = &self.payouts {
            checked = Some(payouts.check().await?);
        }
        match (&self.lookup, checked) {
            (Some(lookup), None | Some(Check::Accepted(_))) => lookup.check().await,
            (_, Some(checked)) => Ok(checked),
            (None, None) => Ok(Check::Unclear("no credentials".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::tests::assert_described;

    #[test]
    fn every_credential_and_setting_is_described() {
        assert_described::<Credentials, Settings>(&INFO);
    }
}
