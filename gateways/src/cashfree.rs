//! Cashfree Secure ID (gateway 70): bank accounts by penny drop, asynchronous (with a lookup by our `user_id`) or
//! synchronous; UPI addresses by penny drop if the payee consented, else by the older lookup. Webhooks report the outcome of
//! asynchronous calls.
//!
//! Source: Cashfree's public API reference, versions 2023-12-18 and 2024-12-01.

mod codes;
mod response;
mod two_factor;
mod webhook;

use std::time::Duration;

use async_trait::async_trait;
use khata_domain::gateway::SETTLING_TIME;
use khata_domain::routing::Ineligible;
use khata_domain::validation::CallResult;
use khata_domain::{
    BankAccount, CallFailure, Details, Gateway, LateCalls, Method, Recovery, ValidationId, Vpa,
};
use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::config::{ConfigError, ConnectorConfig};
use crate::connector::{Call, Check, Connector, LookupResult};
use crate::http::{Client, Reply};
use crate::info::{CredentialInfo, GatewayInfo, SettingInfo};
use crate::name::plain_name;
use crate::policy::CallPolicy;
use crate::settings::{BankFlow, CommonSettings, NPCI_POLLING};
use crate::webhook::{WebhookError, WebhookMessage, WebhookRequest};
use response::{
    bank_response, error_code, error_response, is_not_found, require_id, sync_response,
    upi_response,
};
use two_factor::TwoFactor;

const PUBLIC_BASE_URL: &str = "https://api.cashfree.com/verification";
/// `x-api-version` that the UPI penny drop requires.
const PENNY_DROP_VERSION: HeaderValue = HeaderValue::from_static("2024-12-01");
/// `bank_account`: 6–40 alphanumeric characters.
const ACCOUNT_LENGTH: std::ops::RangeInclusive<usize> = 6..=40;
/// `name`: at most 100 characters.
const MAX_NAME: usize = 100;
/// Calls per minute and merchant (Cashfree, rate limits).
const CALLS_PER_MINUTE: u32 = 100;
/// Maximum of `settle_s`, in seconds.
const MAX_SETTLE: u64 = 86_400;

/// Facts about Cashfree.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Cashfree,
    sandbox_only: false,
    methods: &[Method::PennyDrop, Method::VpaLookup],
    validation: "penny drop (asynchronous, or `bank_flow: sync`); UPI penny drop with consent, else lookup",
    recovery: "lookup by `user_id` or `verification_id`; for `bank_flow: sync` only by the id in the reply",
    webhooks: Some("the outcome of asynchronous bank validations"),
    addresses: &[PUBLIC_BASE_URL],
    credentials: &[
        CredentialInfo::required("client_id", "from Cashfree's dashboard"),
        CredentialInfo::required(
            "client_secret",
            "from Cashfree's dashboard; also verifies webhooks",
        ),
        CredentialInfo::optional(
            "previous_client_secret",
            "also verifies webhooks, during a rotation of the secret",
        ),
        CredentialInfo::optional(
            "public_key",
            "RSA public key in PEM, if our IP addresses are not on Cashfree's allow-list",
        ),
    ],
    settings: &[SettingInfo {
        name: "settle_s",
        meaning: "seconds after which a bank verification that Cashfree does not know counts as never received, and is sent again, 0 to 86,400; with less than 90 it counts as lost instead, and the next attempt is flagged as a possible double drop",
        default: "90",
    }],
    connect: |config| Ok(Box::new(Cashfree::new(config)?)),
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    client_id: Zeroizing<String>,
    client_secret: Zeroizing<String>,
    /// During a rotation Cashfree signs webhooks with the secret of the oldest active key pair.
    previous_client_secret: Option<Zeroizing<String>>,
    /// PEM.
    public_key: Option<Zeroizing<String>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Settings {
    settle_s: Option<u64>,
}

/// A merchant's account at Cashfree.
pub(crate) struct Cashfree {
    client: Client,
    two_factor: Option<TwoFactor>,
    webhook_secrets: Vec<Zeroizing<String>>,
    policy: CallPolicy,
    bank_flow: BankFlow,
    /// The setting `settle_s`.
    settles_after: Duration,
}

impl Cashfree {
    fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        let (settings, own) = CommonSettings::read_with::<Settings>(config.settings)?;
        if own.settle_s.is_some_and(|seconds| seconds > MAX_SETTLE) {
            let why = format!("settle_s must be at most {MAX_SETTLE}");
            return Err(ConfigError::Settings(why));
        }
        let base_url = config.address(PUBLIC_BASE_URL, INFO.addresses)?;
        let credentials: Credentials =
            config.credentials("must be a JSON object with client_id and client_secret")?;
        let two_factor = credentials
            .public_key
            .map(|key| {
                TwoFactor::new(&credentials.client_id, &key).ok_or(ConfigError::Credentials(
                    "public_key must be an RSA public key in PEM, long enough for the client_id",
                ))
            })
            .transpose()?;
        let mut webhook_secrets = vec![credentials.client_secret.clone()];
        webhook_secrets.extend(credentials.previous_client_secret);
        let limit = Some(CALLS_PER_MINUTE);
        let policy = settings.policy(config, INFO.methods, &NPCI_POLLING, limit)?;
        let headers = [
            ("x-client-id", credentials.client_id),
            ("x-client-secret", credentials.client_secret),
        ];
        Ok(Self {
            client: Client::new(config, &base_url, policy.call_timeout, headers)?,
            two_factor,
            webhook_secrets,
            policy,
            bank_flow: settings.bank_flow,
            settles_after: own.settle_s.map_or(SETTLING_TIME, Duration::from_secs),
        })
    }

    fn post(&self, route: &'static str, body: &Value) -> RequestBuilder {
        self.signed(self.client.post(route)).json(body)
    }

    fn get(&self, route: &'static str, query: (&str, &str)) -> RequestBuilder {
        self.signed(self.client.get(route)).query(&[query])
    }

    /// Adds the signature that replaces the IP allow-list.
    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        let now = chrono::Utc::now().timestamp();
        match self.two_factor.as_ref().map(|key| key.signature(now)) {
            Some(Some(signature)) => request.header("x-cf-signature", signature),
            _ => request,
        }
    }

    async fn verify_bank(&self, call: &Call<'_>, bank: &BankAccount) -> CallResult {
        let mut body = json!({
            "bank_account": bank.account_number.expose(),
            "ifsc": bank.ifsc.as_str(),
        });
        // Optional, and only compared with the name at the bank: a name that Cashfree would reject is left out.
        if let Some(name) = plain_name(bank, MAX_NAME) {
            body["name"] = name.into();
        }
        let route = match self.bank_flow {
            BankFlow::Async => "/bank-account/async",
            BankFlow::Sync => "/bank-account/sync",
        };
        if self.bank_flow == BankFlow::Async {
            // At most 40 letters, digits and underscores.
            body["user_id"] = call.reference.into();
        }
        let reply = self.client.send(self.post(route, &body), route).await?;
        match (reply.status, self.bank_flow) {
            (200, BankFlow::Async) => read_bank(&reply),
            (200, BankFlow::Sync) => require_id(sync_response(&reply.body()?)?),
            (_, BankFlow::Async) => error_response(&reply),
            (_, BankFlow::Sync) => require_id(error_response(&reply)?),
        }
    }

    async fn verify_vpa(&self, call: &Call<'_>, vpa: &Vpa) -> CallResult {
        let mut body = json!({"verification_id": call.reference, "vpa": vpa.expose()});
        let (route, request) =
            if let (Method::PennyDrop, Some(consent)) = (call.method, call.consent) {
                let timestamp = consent.timestamp;
                body["user_consent"] = json!({
                    "obtained": true,
                    "type": "EXPLICIT",
                    "timestamp": timestamp.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                    "purpose": consent.purpose,
                });
                let route = "/upi/penny-drop";
                let request = self.post(route, &body);
                (route, request.header("x-api-version", PENNY_DROP_VERSION))
            } else {
                ("/upi", self.post("/upi", &body))
            };
        let reply = self.client.send(request, route).await?;
        match reply.status {
            200 => upi_response(&reply.body()?),
            _ => error_response(&reply),
        }
    }
}

fn read_bank(reply: &Reply) -> CallResult {
    let body = reply.body()?;
    bank_response(&body, &body.fields())
}

#[async_trait]
impl Connector for Cashfree {
    fn policy(&self) -> &CallPolicy {
        &self.policy
    }

    fn has_upi_penny_drop(&self) -> bool {
        true
    }

    fn check_limits(&self, details: &Details) -> Result<(), Ineligible> {
        match details {
            Details::Bank(bank)
                if !ACCOUNT_LENGTH.contains(&bank.account_number.expose().len()) =>
            {
                Err(Ineligible::Limits)
            }
            _ => Ok(()),
        }
    }

    fn recovery(&self, details: &Details, _method: Method) -> Recovery {
        match (details, self.bank_flow) {
            // The synchronous call takes no reference of ours.
            (Details::Bank(_), BankFlow::Sync) => Recovery::None,
            _ => Recovery::Lookup,
        }
    }

    /// Cashfree documents no uniqueness of `user_id`: a call that arrives late moves its rupee although another call with
    /// the same `user_id` has moved one. A `verification_id` is refused where it was used before.
    fn late_calls(&self, details: &Details) -> LateCalls {
        match details {
            Details::Bank(_) => LateCalls {
                settles_after: self.settles_after.max(SETTLING_TIME),
                refuses_repeats: false,
                given_up_after: Some(self.settles_after).filter(|time| *time < SETTLING_TIME),
            },
            Details::Upi(_) => LateCalls {
                refuses_repeats: true,
                ..LateCalls::default()
            },
        }
    }

    async fn verify(&self, call: &Call<'_>) -> CallResult {
        match call.details {
            Details::Bank(bank) => self.verify_bank(call, bank).await,
            Details::Upi(vpa) => self.verify_vpa(call, vpa).await,
        }
    }

    async fn lookup(&self, call: &Call<'_>, gateway_reference: Option<&str>) -> LookupResult {
        let (route, query) = match (call.details, gateway_reference, self.bank_flow) {
            (Details::Upi(_), _, _) => ("/upi", ("verification_id", call.reference)),
            (Details::Bank(_), Some(id), BankFlow::Sync) => ("/bank-account", ("reference_id", id)),
            (Details::Bank(_), _, _) => ("/bank-account", ("user_id", call.reference)),
        };
        let reply = self.client.send(self.get(route, query), route).await?;
        match (reply.status, call.details) {
            (200, Details::Bank(_)) => read_bank(&reply).map(Some),
            (200, Details::Upi(_)) => upi_response(&reply.body()?).map(Some),
            (404, _) if is_not_found(&reply) => Ok(None),
            _ => Err(reply.lookup_failure()),
        }
    }

    fn webhook(
        &self,
        webhook: &WebhookRequest<'_>,
    ) -> Result<Option<WebhookMessage>, WebhookError> {
        webhook::read(&self.webhook_secrets, webhook)
    }

    /// Looks up a reference that was never used: Cashfree says "not found" in its own words only to its own merchants.
    async fn check(&self) -> Result<Check, CallFailure> {
        let route = "/bank-account";
        let reference = ValidationId::new().to_string();
        let request = self.get(route, ("user_id", &reference));
        let reply = self.client.send(request, route).await?;
        let code = reply.code_or_status(&error_code(&reply.error_body()));
        Ok(match reply.status {
            404 if is_not_found(&reply) => Check::Accepted(code),
            401 | 403 => Check::Refused(code),
            _ => Check::Unclear(code),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::info::tests::assert_described;

    #[test]
    fn every_credential_is_described() {
        assert_described::<Credentials, Settings>(&INFO);
    }

    #[test]
    fn credentials_and_settings_are_checked() {
        let http = crate::http::client().unwrap();
        let settings = serde_json::json!({});
        let config = |credentials| ConnectorConfig {
            base_url: None,
            credentials,
            settings: &settings,
            http: &http,
            sandbox_mode: false,
            longest_call: Duration::MAX,
        };
        let credentials = Some(&br#"{"client_id":"a","client_secret":"b"}"#[..]);
        for (base_url, sandbox_mode, valid) in [
            ("https://api.cashfree.com/v1/", false, true),
            ("https://gateway.example/v1/", true, true),
            ("https://gateway.example/v1/", false, false),
            ("https://api.cashfree.com:8443/v1/", false, false),
            ("https://api.cashfree.com.gateway.example", false, false),
            ("https://sandbox.cashfree.com/verification", false, false),
            ("https://127.0.0.1/verification", false, false),
            ("http://gateway.example", true, true),
            ("http://gateway.example", false, false),
            ("ftp://gateway.example", true, false),
            ("https://user:secret@gateway.example", false, false),
            ("gateway", true, false),
            ("https://api.cashfree.com/v1?x=1", false, false),
            ("https://api.cashfree.com/v1#x", false, false),
        ] {
            let config = ConnectorConfig {
                base_url: Some(base_url),
                sandbox_mode,
                ..config(credentials)
            };
            assert_eq!(Cashfree::new(&config).is_ok(), valid, "{base_url}");
        }
        assert!(Cashfree::new(&config(None)).is_err());
        assert!(Cashfree::new(&config(Some(b"{}"))).is_err());
        assert!(Cashfree::new(&config(Some(br#"{"client_id":"a","client_secret":"b"}"#))).is_ok());
        for bad in [
            r#"{"client_id":"a","client_secret":"b\r\nx-other: c"}"#,
            r#"{"client_id":"a","client_secret":"आशा"}"#,
        ] {
            assert!(Cashfree::new(&config(Some(bad.as_bytes()))).is_err());
        }
        let settings = serde_json::json!({"call_timeout_ms": 1});
        let config = ConnectorConfig {
            settings: &settings,
            ..config(Some(br#"{"client_id":"a","client_secret":"b"}"#))
        };
        assert!(Cashfree::new(&config).is_err());
    }
}
