//! Cashfree Secure ID (gateway 70): bank accounts by penny drop, asynchronously (found again by our `user_id`) or
//! synchronously; UPI by penny drop where the payee consented, else by the older look-up. Call-backs tell the outcome of
//! asynchronous calls.
//!
//! Facts: Cashfree's public API reference, versions 2023-12-18 and 2024-12-01, as gathered in the gateways contract.

mod codes;
mod two_factor;
mod webhook;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use khata_domain::routing::Ineligible;
use khata_domain::traffic::Traffic;
use khata_domain::validation::PollSchedule;
use khata_domain::{
    BankAccount, CallFailure, Class, Consent, Details, Gateway, GatewayResponse, Method, Recovery,
    ValidationId, Vpa,
};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::connector::{Call, Check, ConfigError, Connector, ConnectorConfig};
use crate::http::{Reply, json_body, secret_header, send};
use crate::info::{CredentialInfo, GatewayInfo};
use crate::name::{plain, real_name, score};
use crate::settings::{BankFlow, CommonSettings, NPCI_POLLING, suited};
use crate::webhook::{WebhookError, WebhookMessage, WebhookRequest};
use two_factor::TwoFactor;
use wire::{
    BankRequest, BankResponse, ErrorResponse, UpiPennyDropRequest, UpiRequest, UpiResponse,
    UserConsent,
};

const PUBLIC_BASE_URL: &str = "https://api.cashfree.com/verification";
/// `x-api-version` that the UPI penny drop asks for.
const PENNY_DROP_VERSION: HeaderValue = HeaderValue::from_static("2024-12-01");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// `bank_account`: 6–40 alphanumeric characters.
const ACCOUNT_LENGTH: std::ops::RangeInclusive<usize> = 6..=40;
/// `name`: at most 100 characters.
const MAX_NAME: usize = 100;
/// Calls a minute and merchant (Cashfree, rate limits).
const CALLS_PER_MINUTE: u32 = 100;

/// Facts about Cashfree.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Cashfree,
    sandbox_only: false,
    methods: &[Method::PennyDrop, Method::VpaLookup],
    validation: "penny drop (asynchronous, or `bank_flow: sync`); UPI penny drop with consent, else lookup",
    recovery: "lookup by `user_id` or `verification_id`; none for `bank_flow: sync`",
    webhooks: Some("the outcome of asynchronous bank validations"),
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
    settings: &[],
    connect: |config| Ok(Box::new(Cashfree::new(config)?)),
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    client_id: Zeroizing<String>,
    client_secret: Zeroizing<String>,
    /// During rotation: call-backs are signed with the secret of the oldest key pair that is active.
    #[serde(default)]
    previous_client_secret: Option<Zeroizing<String>>,
    /// PEM; where the callers' IP addresses are not on Cashfree's list.
    #[serde(default)]
    public_key: Option<Zeroizing<String>>,
}

/// A merchant's account at Cashfree.
pub(crate) struct Cashfree {
    http: reqwest::Client,
    base_url: String,
    headers: HeaderMap,
    two_factor: Option<TwoFactor>,
    webhook_secrets: Vec<Zeroizing<String>>,
    methods: Vec<Method>,
    polling: PollSchedule,
    traffic: Traffic,
    call_timeout: Duration,
    bank_flow: BankFlow,
}

impl Cashfree {
    pub(crate) fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        let settings = CommonSettings::read(config.settings)?;
        let base_url = config.address(PUBLIC_BASE_URL)?;
        let credentials = config
            .credentials
            .ok_or(ConfigError::Credentials("none given"))?;
        let credentials: Credentials = serde_json::from_slice(credentials).map_err(|_| {
            ConfigError::Credentials("must be a JSON object with client_id and client_secret")
        })?;
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
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-client-id", credentials.client_id),
            ("x-client-secret", credentials.client_secret),
        ] {
            let value = secret_header(value).ok_or(ConfigError::Credentials(
                "client_id and client_secret must be visible ASCII",
            ))?;
            headers.insert(name, value);
        }
        Ok(Self {
            http: config.http.clone(),
            base_url,
            headers,
            two_factor,
            webhook_secrets,
            methods: settings.methods(INFO.methods)?,
            polling: settings.polling(&NPCI_POLLING)?,
            traffic: settings.traffic(Some(CALLS_PER_MINUTE))?,
            call_timeout: settings.call_timeout(config.longest_call)?,
            bank_flow: settings.bank_flow,
        })
    }

    fn post(&self, route: &'static str, body: &impl serde::Serialize) -> reqwest::RequestBuilder {
        self.authorised(self.http.post(format!("{}{route}", self.base_url)))
            .header(CONTENT_TYPE, JSON)
            .body(json_body(&body))
    }

    fn get(&self, route: &'static str, query: (&str, &str)) -> reqwest::RequestBuilder {
        self.authorised(self.http.get(format!("{}{route}", self.base_url)))
            .query(&[query])
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let mut headers = self.headers.clone();
        if let Some(two_factor) = &self.two_factor
            && let Some(signature) = two_factor.signature(chrono::Utc::now().timestamp())
        {
            headers.insert("x-cf-signature", signature);
        }
        request.headers(headers).timeout(self.call_timeout)
    }

    async fn verify_bank(
        &self,
        call: &Call<'_>,
        bank: &BankAccount,
    ) -> Result<GatewayResponse, CallFailure> {
        // Optional, and only compared with the name at bank: one that Cashfree would refuse stays out.
        let name = bank
            .beneficiary_name
            .as_ref()
            .and_then(|name| plain(name.expose(), MAX_NAME));
        let mut body = BankRequest {
            bank_account: bank.account_number.expose(),
            ifsc: bank.ifsc.as_str(),
            name: name.as_ref().map(|name| name.as_str()),
            user_id: None,
        };
        let route = match self.bank_flow {
            BankFlow::Async => {
                body.user_id = Some(call.reference);
                "/bank-account/async"
            }
            BankFlow::Sync => "/bank-account/sync",
        };
        let reply = send(&self.http, self.post(route, &body), route).await?;
        if reply.status == 200 {
            bank_answer(reply.json()?)
        } else {
            refused(&reply)
        }
    }

    async fn verify_vpa(&self, call: &Call<'_>, vpa: &Vpa) -> Result<GatewayResponse, CallFailure> {
        let (route, request) = match (call.method, call.consent) {
            (Method::PennyDrop, Some(consent)) => {
                let body = UpiPennyDropRequest {
                    verification_id: call.reference,
                    vpa: vpa.expose(),
                    user_consent: UserConsent {
                        obtained: true,
                        kind: "EXPLICIT",
                        timestamp: consent
                            .timestamp
                            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                        purpose: &consent.purpose,
                    },
                };
                let route = "/upi/penny-drop";
                (
                    route,
                    self.post(route, &body)
                        .header("x-api-version", PENNY_DROP_VERSION),
                )
            }
            _ => (
                "/upi",
                self.post(
                    "/upi",
                    &UpiRequest {
                        verification_id: call.reference,
                        vpa: vpa.expose(),
                    },
                ),
            ),
        };
        let reply = send(&self.http, request, route).await?;
        if reply.status == 200 {
            upi_answer(reply.json()?)
        } else {
            refused(&reply)
        }
    }
}

#[async_trait]
impl Connector for Cashfree {
    fn fit(&self, details: &Details, consent: Option<&Consent>) -> Result<Method, Ineligible> {
        let method = suited(&self.methods, details, consent)?;
        match details {
            Details::Bank(bank)
                if !ACCOUNT_LENGTH.contains(&bank.account_number.expose().len()) =>
            {
                Err(Ineligible::Limits)
            }
            _ => Ok(method),
        }
    }

    fn recovery(&self, details: &Details, _method: Method) -> Recovery {
        match (details, self.bank_flow) {
            // The synchronous call takes no reference of ours.
            (Details::Bank(_), BankFlow::Sync) => Recovery::None,
            _ => Recovery::Lookup,
        }
    }

    fn polling(&self, _method: Method) -> &PollSchedule {
        &self.polling
    }

    fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    async fn verify(&self, call: &Call<'_>) -> Result<GatewayResponse, CallFailure> {
        match call.details {
            Details::Bank(bank) => self.verify_bank(call, bank).await,
            Details::Upi(vpa) => self.verify_vpa(call, vpa).await,
        }
    }

    async fn lookup(
        &self,
        call: &Call<'_>,
        gateway_reference: Option<&str>,
    ) -> Result<Option<GatewayResponse>, CallFailure> {
        let (route, query) = match (call.details, gateway_reference, self.bank_flow) {
            (Details::Upi(_), _, _) => ("/upi", ("verification_id", call.reference)),
            (Details::Bank(_), Some(theirs), BankFlow::Sync) => {
                ("/bank-account", ("reference_id", theirs))
            }
            (Details::Bank(_), _, _) => ("/bank-account", ("user_id", call.reference)),
        };
        let reply = send(&self.http, self.get(route, query), route).await?;
        match (reply.status, call.details) {
            (200, Details::Bank(_)) => bank_answer(reply.json()?).map(Some),
            (200, Details::Upi(_)) => upi_answer(reply.json()?).map(Some),
            (404, _) if is_unknown_there(&reply) => Ok(None),
            // What is said of the look tells nothing of the call: it stays open.
            _ => Err(reply.unheard()),
        }
    }

    fn webhook(
        &self,
        webhook: &WebhookRequest<'_>,
    ) -> Result<Option<WebhookMessage>, WebhookError> {
        webhook::read(&self.webhook_secrets, webhook)
    }

    /// Looks for a reference that was never used: "not found", in Cashfree's own words, is said only to whom it knows.
    async fn check(&self) -> Result<Check, CallFailure> {
        let route = "/bank-account";
        let reference = ValidationId::new().to_string();
        let request = self.get(route, ("user_id", &reference));
        let reply = send(&self.http, request, route).await?;
        let code = reply.json::<ErrorResponse>().unwrap_or_default().code;
        let said = match code.as_str() {
            "" => format!("http_{}", reply.status),
            code => code.to_owned(),
        };
        Ok(match reply.status {
            404 if is_unknown_there(&reply) => Check::Accepted(said),
            401 | 403 => Check::Refused(said),
            _ => Check::Unclear(said),
        })
    }
}

fn bank_answer(response: BankResponse) -> Result<GatewayResponse, CallFailure> {
    let status = response.account_status.unwrap_or_default();
    let code = response.account_status_code.unwrap_or_default();
    if status.is_empty() && code.is_empty() {
        return Err(CallFailure::ResponseLost(
            "an answer without a status".into(),
        ));
    }
    let meaning = codes::bank(&status, &code);
    Ok(GatewayResponse {
        name_at_bank: real_name(response.name_at_bank),
        utr: response.utr.filter(|utr| !utr.is_empty()),
        gateway_reference: response.reference_id,
        name_match_score: response.name_match_score.as_deref().and_then(score),
        ..meaning.answer(if code.is_empty() { &status } else { &code })
    })
}

fn upi_answer(response: UpiResponse) -> Result<GatewayResponse, CallFailure> {
    let status = response.status.filter(|status| !status.is_empty());
    let status =
        status.ok_or_else(|| CallFailure::ResponseLost("an answer without a status".into()))?;
    let meaning = codes::upi(&status);
    Ok(GatewayResponse {
        name_at_bank: real_name(response.name_at_bank),
        utr: response.utr.filter(|utr| !utr.is_empty()),
        gateway_reference: response.reference_id,
        name_match_score: response.name_match_score.as_deref().and_then(score),
        ..meaning.answer(&status)
    })
}

/// Whether it is Cashfree that says so (`user_id_not_found` and the like), and no proxy on the way: what it has never
/// seen is sent again.
fn is_unknown_there(reply: &Reply) -> bool {
    reply
        .json::<ErrorResponse>()
        .is_ok_and(|error| error.code.ends_with("_not_found"))
}

/// An error answer to a call that validates.
fn refused(reply: &Reply) -> Result<GatewayResponse, CallFailure> {
    let code = reply.json::<ErrorResponse>().unwrap_or_default().code;
    let meaning = codes::error(reply.status, &code)
        .ok_or_else(|| CallFailure::ResponseLost(format!("answered {}", reply.status)))?;
    let code = if code.is_empty() {
        format!("http_{}", reply.status)
    } else {
        code
    };
    Ok(GatewayResponse {
        retry_after: (meaning.class() == Class::Retryable)
            .then(|| reply.retry_after())
            .flatten(),
        ..meaning.answer(&code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_types_of_ids_and_scores_are_read() {
        let response: BankResponse = serde_json::from_str(
            r#"{"reference_id":34,"name_match_score":"90.00","account_status":"VALID","account_status_code":"ACCOUNT_IS_VALID","name_at_bank":"JOHN DOE"}"#,
        )
        .unwrap();
        let answer = bank_answer(response).unwrap();
        assert_eq!(
            (
                answer.class,
                answer.gateway_reference.as_deref(),
                answer.name_match_score
            ),
            (Class::Valid, Some("34"), Some(90))
        );
        let response: BankResponse =
            serde_json::from_str(r#"{"reference_id":"34","name_match_score":null}"#).unwrap();
        assert!(bank_answer(response).is_err());
    }

    #[test]
    fn credentials_and_settings_are_checked() {
        let http = crate::client().unwrap();
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
        for (base_url, sandbox_mode, fits) in [
            ("https://gateway.example/v1/", false, true),
            ("http://gateway.example", true, true),
            ("http://gateway.example", false, false),
            ("ftp://gateway.example", true, false),
            ("https://user:secret@gateway.example", false, false),
            ("gateway", true, false),
        ] {
            let config = ConnectorConfig {
                base_url: Some(base_url),
                sandbox_mode,
                ..config(credentials)
            };
            assert_eq!(Cashfree::new(&config).is_ok(), fits, "{base_url}");
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
