//! Setu (gateway 1001): bank accounts by penny drop, with the outcome later under Setu's id or in the response, or penniless, with
//! the outcome in the response; UPI addresses by the lookup of Setu's UPI platform (UMAP), if the merchant has credentials for it.
//!
//! Source: docs.setu.co and its OpenAPI documents (github.com/SetuHQ/docs, MIT), for the penniless check as of May 2025. UMAP's
//! login and alphabet come from the documents alone.

mod bank;
mod codes;
mod login;
mod response;
mod umap;
mod webhook;

use std::time::Duration;

use async_trait::async_trait;
use khata_domain::routing::Ineligible;
use khata_domain::validation::{CallResult, PollSchedule};
use khata_domain::{CallFailure, Details, Gateway, Method, Recovery};
use zeroize::Zeroizing;

use crate::config::{ConfigError, ConnectorConfig};
use crate::connector::{Call, Check, Connector, LookupResult};
use crate::http::Client;
use crate::info::{CredentialInfo, GatewayInfo, SettingInfo};
use crate::meaning::lost;
use crate::policy::CallPolicy;
use crate::settings::{CommonSettings, NPCI_POLLING, payee_text};
use crate::token::{TokenClient, bearer};
use crate::webhook::{WebhookError, WebhookMessage, WebhookRequest};
use bank::Bank;
use login::UmapToken;
use response::is_id;
use umap::Umap;

const PUBLIC_BASE_URL: &str = "https://dg.setu.co";
const PUBLIC_UMAP_BASE_URL: &str = "https://umap.setu.co";
const PUBLIC_LOGIN_URL: &str = "https://accountservice.setu.co/v1/users/login";
/// Poll intervals of a UPI lookup: PSPs respond within seconds or not at all.
const VPA_POLLING: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(5),
    Duration::from_hours(1),
];
/// Methods of an account whose settings name none. Setu took the page of the penniless check off its site in May 2025: not every
/// account has the product.
const DEFAULT_METHODS: [Method; 2] = [Method::PennyDrop, Method::VpaLookup];
const NARRATION: &str = "Account verification";
/// Our limit; Setu documents none. Bank statements show about as many characters.
const NARRATION_LENGTH: std::ops::RangeInclusive<usize> = 1..=50;

/// Facts about Setu.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Setu,
    sandbox_only: false,
    methods: &[Method::PennyDrop, Method::Penniless, Method::VpaLookup],
    validation: "penny drop (asynchronous, or `bank_flow: sync`); penniless, only if `methods` names it; UPI lookup by UMAP",
    recovery: "none for penny drops: one new attempt at most, flagged; the same call again for penniless checks and UPI addresses",
    webhooks: Some("the outcome for UPI addresses; for bank accounts a hint without the outcome"),
    addresses: &[PUBLIC_BASE_URL, PUBLIC_UMAP_BASE_URL, PUBLIC_LOGIN_URL],
    credentials: &[
        CredentialInfo::required("client_id", "from Setu's Bridge"),
        CredentialInfo::required("client_secret", "from Setu's Bridge"),
        CredentialInfo::required("product_instance_id", "from Setu's Bridge"),
        CredentialInfo::optional(
            "umap",
            "for UPI addresses: an object with `merchant_id`, and `client_id` and `client_secret`, or `token`",
        ),
        CredentialInfo::optional(
            "webhook_secrets",
            "a list, for webhooks of UMAP; the old and the new secret during a rotation",
        ),
    ],
    settings: &[
        SettingInfo {
            name: "narration",
            meaning: "what the payee reads beside the rupee (asynchronous flow), 1 to 50 letters, digits and spaces",
            default: "`Account verification`",
        },
        SettingInfo {
            name: "umap_base_url",
            meaning: "address of UMAP",
            default: "`umap` below `base_url`, else Setu's public address",
        },
        SettingInfo {
            name: "umap_login_url",
            meaning: "address that tokens for UMAP come from",
            default: "`v1/users/login` below UMAP's address if `base_url` is set, else Setu's public address",
        },
    ],
    connect: |config| Ok(Box::new(Setu::new(config)?)),
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    client_id: Zeroizing<String>,
    client_secret: Zeroizing<String>,
    product_instance_id: Zeroizing<String>,
    umap: Option<UmapCredentials>,
    /// UMAP signs webhooks with one of them: during a rotation, with the old or the new.
    #[serde(default)]
    webhook_secrets: Vec<Zeroizing<String>>,
}

/// Credentials for UMAP: `client_id` and `client_secret`, which fetch tokens, or a `token`, which is valid for 300 s and must
/// be replaced by the operator.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct UmapCredentials {
    merchant_id: Zeroizing<String>,
    client_id: Option<Zeroizing<String>>,
    client_secret: Option<Zeroizing<String>>,
    token: Option<Zeroizing<String>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Settings {
    umap_base_url: Option<String>,
    umap_login_url: Option<String>,
    narration: Option<String>,
}

/// A merchant's account at Setu.
pub(crate) struct Setu {
    bank: Bank,
    umap: Option<Umap>,
    webhook_secrets: Vec<Zeroizing<String>>,
    policy: CallPolicy,
    vpa_polling: PollSchedule,
}

impl Setu {
    fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        let (common, own) = CommonSettings::read_with::<Settings>(config.settings)?;
        let credentials: Credentials = config.credentials(
            "must be a JSON object with client_id, client_secret and product_instance_id, and optionally umap and webhook_secrets",
        )?;
        let offered = if common.names_methods() {
            INFO.methods
        } else {
            &DEFAULT_METHODS
        };
        let policy = common.policy(config, offered, &NPCI_POLLING, None)?;
        let umap = credentials
            .umap
            .map(|credentials| umap(config, &own, credentials, policy.call_timeout))
            .transpose()?;
        let headers = [
            ("x-client-id", credentials.client_id),
            ("x-client-secret", credentials.client_secret),
            ("x-product-instance-id", credentials.product_instance_id),
        ];
        let base_url = config.address(PUBLIC_BASE_URL, INFO.addresses)?;
        let narration = own.narration.as_deref().unwrap_or(NARRATION);
        Ok(Self {
            bank: Bank {
                client: Client::new(config, &base_url, policy.call_timeout, headers)?,
                flow: common.bank_flow,
                narration: payee_text("narration", narration, NARRATION_LENGTH)?,
            },
            umap,
            webhook_secrets: credentials.webhook_secrets,
            policy,
            vpa_polling: common.polling(&VPA_POLLING)?,
        })
    }
}

fn umap(
    config: &ConnectorConfig<'_>,
    own: &Settings,
    credentials: UmapCredentials,
    timeout: Duration,
) -> Result<Umap, ConfigError> {
    let base_url = match (&own.umap_base_url, config.base_url) {
        (Some(address), _) => config.checked_address("umap_base_url", address, INFO.addresses)?,
        (None, Some(_)) => format!("{}/umap", config.address(PUBLIC_BASE_URL, INFO.addresses)?),
        (None, None) => PUBLIC_UMAP_BASE_URL.to_owned(),
    };
    let login_url = match (&own.umap_login_url, config.base_url) {
        (Some(address), _) => config.checked_address("umap_login_url", address, INFO.addresses)?,
        (None, Some(_)) => format!("{base_url}/v1/users/login"),
        (None, None) => PUBLIC_LOGIN_URL.to_owned(),
    };
    let token = match (
        credentials.token,
        credentials.client_id,
        credentials.client_secret,
    ) {
        (Some(token), None, None) => UmapToken::Given(
            bearer(&token).ok_or(ConfigError::Credentials("umap.token must be visible ASCII"))?,
        ),
        (None, Some(client_id), Some(secret)) => UmapToken::Login {
            client: Box::new(Client::new(config, &login_url, timeout, [])?),
            client_id,
            secret,
        },
        _ => {
            return Err(ConfigError::Credentials(
                "umap must hold client_id and client_secret, or token",
            ));
        }
    };
    let merchant_id = credentials.merchant_id.to_string();
    let headers = [("merchantid", credentials.merchant_id)];
    let client = Client::new(config, &base_url, timeout, headers)?;
    Ok(Umap {
        client: TokenClient::new(client, token),
        merchant_id,
    })
}

#[async_trait]
impl Connector for Setu {
    fn policy(&self) -> &CallPolicy {
        &self.policy
    }

    fn check_limits(&self, details: &Details) -> Result<(), Ineligible> {
        match details {
            Details::Upi(_) if self.umap.is_none() => Err(Ineligible::Kind),
            Details::Upi(vpa) if !Umap::accepts(vpa) => Err(Ineligible::Limits),
            _ => Ok(()),
        }
    }

    fn recovery(&self, _details: &Details, method: Method) -> Recovery {
        match method {
            // Nothing finds a call by our reference, but a repeated call moves no money.
            Method::VpaLookup | Method::Penniless => Recovery::Resubmit,
            Method::PennyDrop => Recovery::None,
        }
    }

    fn polling(&self, method: Method) -> &PollSchedule {
        match method {
            Method::VpaLookup => &self.vpa_polling,
            Method::PennyDrop | Method::Penniless => &self.policy.polling,
        }
    }

    async fn verify(&self, call: &Call<'_>) -> CallResult {
        match (call.details, &self.umap) {
            (Details::Bank(bank), _) => self.bank.verify(bank, call.method).await,
            (Details::Upi(vpa), Some(umap)) => umap.verify(vpa, call.reference).await,
            (Details::Upi(_), None) => Err(no_umap()),
        }
    }

    /// Looks up a call by Setu's id. Setu stores no reference of ours, so it never says that it has not seen one.
    async fn lookup(&self, call: &Call<'_>, gateway_reference: Option<&str>) -> LookupResult {
        let Some(id) = gateway_reference.filter(|id| is_id(id)) else {
            return Err(lost("no id of Setu's"));
        };
        let response = match (call.details, &self.umap) {
            (Details::Bank(_), _) => self.bank.lookup(id).await,
            (Details::Upi(_), Some(umap)) => umap.lookup(id).await,
            (Details::Upi(_), None) => Err(no_umap()),
        };
        response.map(Some)
    }

    fn webhook(
        &self,
        webhook: &WebhookRequest<'_>,
    ) -> Result<Option<WebhookMessage>, WebhookError> {
        let merchant_id = self.umap.as_ref().map(|umap| umap.merchant_id.as_str());
        webhook::read(webhook, merchant_id, &self.webhook_secrets)
    }

    fn webhook_names_gateway_reference(&self) -> bool {
        true
    }

    /// Checks both services, if there are both: the first that does not accept us decides.
    async fn check(&self) -> Result<Check, CallFailure> {
        let bank = self.bank.check().await?;
        let (Check::Accepted(code), Some(umap)) = (&bank, &self.umap) else {
            return Ok(bank);
        };
        Ok(match umap.check().await? {
            Check::Accepted(umap) => Check::Accepted(format!("{code}; umap: {umap}")),
            Check::Refused(umap) => Check::Refused(format!("umap: {umap}")),
            Check::Unclear(umap) => Check::Unclear(format!("umap: {umap}")),
        })
    }
}

/// The credentials were removed after the attempt was planned.
fn no_umap() -> CallFailure {
    CallFailure::NotSent("no credentials for UMAP".into())
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
