//! Razorpay (gateway 23): bank accounts and, with the payee's consent, UPI addresses by RazorpayX's composite account
//! validation, always pending at first; UPI addresses without consent by the payment gateway's look-up.
//!
//! There is no look-up by our reference. A lost call is made again under the same idempotency key with the same bytes:
//! Razorpay answers what it answered, and does not pay twice, for 7 days (*Handling 5XX errors*). That the key is
//! honoured is documented for "the Create Payout API and the Composite APIs", of which this is one.
//!
//! Facts: Razorpay's public API reference, as gathered in the gateways contract.

mod codes;
mod response;
mod webhook;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use khata_domain::routing::Ineligible;
use khata_domain::traffic::Traffic;
use khata_domain::validation::{FailureCode, PollSchedule};
use khata_domain::{
    CallFailure, Class, Consent, Details, Gateway, GatewayResponse, Method, Recovery, Vpa,
};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use zeroize::Zeroizing;

use crate::connector::{
    Call, Check, ConfigError, Connector, ConnectorConfig, lookup_by_repetition,
};
use crate::http::{json_body, secret_header, send};
use crate::info::{CredentialInfo, GatewayInfo, SettingInfo};
use crate::meaning::Meaning;
use crate::name::{plain, real_name};
use crate::settings::{CommonSettings, NPCI_POLLING, suited};
use crate::webhook::{WebhookError, WebhookMessage, WebhookRequest};
use response::{Refusal, heard, is_id, refused};
use wire::{
    Account, Address, BankAccount, Contact, FundAccount, ValidationRequest, VpaRequest, VpaResponse,
};

const PUBLIC_BASE_URL: &str = "https://api.razorpay.com";
const VALIDATIONS: &str = "/v1/fund_accounts/validations";
const VALIDATE_VPA: &str = "/v1/payments/validate/vpa";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// 4–36 letters, digits, hyphens, underscores and spaces: our reference is that.
const IDEMPOTENCY_KEY: &str = "x-payout-idempotency";
/// `vpa.address`: 3–100 characters.
const VPA_LENGTH: std::ops::RangeInclusive<usize> = 3..=100;
/// Names have at least 3 characters, `bank_account.name` at most 120, `contact.name` at most 50.
const SHORTEST_NAME: usize = 3;
const LONGEST_NAME: usize = 120;
const LONGEST_CONTACT: usize = 50;
/// `contact.name` is required: what stands there where we have no name that fits.
const SOMEBODY: &str = "Beneficiary";
/// RazorpayX asks for no more than 5–10 calls a second (*Payouts best practices*).
const CALLS_PER_MINUTE: u32 = 5 * 60;
/// The payment gateway has only the look-up.
const LOOK_UP: [Method; 1] = [Method::VpaLookup];
/// Ids that are nobody's, to ask for.
const NO_VALIDATION: &str = "fav_00000000000000";
const NO_PAYMENT: &str = "pay_00000000000000";

/// Facts about Razorpay.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Razorpay,
    sandbox_only: false,
    methods: &[Method::PennyDrop, Method::Penniless, Method::VpaLookup],
    validation: "penny drop, penniless; UPI penny drop with consent, else lookup",
    recovery: "the same call again, same idempotency key",
    webhooks: Some("the outcome"),
    credentials: &[
        CredentialInfo::required("key_id", "from Razorpay's dashboard"),
        CredentialInfo::required("key_secret", "from Razorpay's dashboard"),
        CredentialInfo::optional(
            "webhook_secrets",
            "a list, for webhooks; the old and the new secret during a rotation",
        ),
    ],
    settings: &[SettingInfo {
        name: "source_account_number",
        meaning: "the RazorpayX account that pays for validations",
        default: "none: only `VPA_LOOKUP` is available",
    }],
    connect: |config| Ok(Box::new(Razorpay::new(config)?)),
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    key_id: Zeroizing<String>,
    key_secret: Zeroizing<String>,
    /// During rotation both the old and the new: retries of old events carry the old one's signature.
    #[serde(default)]
    webhook_secrets: Vec<Zeroizing<String>>,
}

/// Settings of Razorpay's own.
#[derive(serde::Deserialize)]
struct Settings {
    /// The merchant's account at RazorpayX that pays for validations. Without it there is only the look-up of UPI
    /// addresses.
    #[serde(default)]
    source_account_number: Option<String>,
}

/// A merchant's account at Razorpay.
pub(crate) struct Razorpay {
    http: reqwest::Client,
    base_url: String,
    authorization: HeaderValue,
    webhook_secrets: Vec<Zeroizing<String>>,
    source_account_number: Option<String>,
    methods: Vec<Method>,
    polling: PollSchedule,
    traffic: Traffic,
    call_timeout: Duration,
}

impl Razorpay {
    pub(crate) fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        let (common, own) = CommonSettings::read_with::<Settings>(config.settings)?;
        let source = own.source_account_number;
        let fits = |number: &String| {
            !number.is_empty() && number.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        if !source.as_ref().is_none_or(fits) {
            let told = "source_account_number must be letters and digits";
            return Err(ConfigError::Settings(told.into()));
        }
        let base_url = config.address(PUBLIC_BASE_URL)?;
        let credentials = config
            .credentials
            .ok_or(ConfigError::Credentials("none given"))?;
        let credentials: Credentials = serde_json::from_slice(credentials).map_err(|_| {
            ConfigError::Credentials(
                "must be a JSON object with key_id, key_secret and, for call-backs, webhook_secrets",
            )
        })?;
        Ok(Self {
            http: config.http.clone(),
            base_url,
            authorization: basic(&credentials).ok_or(ConfigError::Credentials(
                "key_id and key_secret must be visible ASCII, without a colon in key_id",
            ))?,
            webhook_secrets: credentials.webhook_secrets,
            methods: match source {
                Some(_) => common.methods(INFO.methods)?,
                None => common.methods(&LOOK_UP)?,
            },
            source_account_number: source,
            polling: common.polling(&NPCI_POLLING)?,
            traffic: common.traffic(Some(CALLS_PER_MINUTE))?,
            call_timeout: common.call_timeout(config.longest_call)?,
        })
    }

    fn post(&self, route: &'static str, body: &impl serde::Serialize) -> reqwest::RequestBuilder {
        self.authorised(self.http.post(format!("{}{route}", self.base_url)))
            .header(CONTENT_TYPE, JSON)
            .body(json_body(&body))
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.authorised(self.http.get(format!("{}{path}", self.base_url)))
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request
            .header(AUTHORIZATION, self.authorization.clone())
            .timeout(self.call_timeout)
    }

    /// Composite account validation.
    async fn validate(&self, call: &Call<'_>) -> Result<GatewayResponse, CallFailure> {
        let Some(source) = &self.source_account_number else {
            // The settings lost it since the attempt was begun.
            return Ok(Meaning::of(Class::Misconfigured).answer("no_source_account_number"));
        };
        let name = match call.details {
            Details::Bank(bank) => bank.beneficiary_name.as_ref(),
            Details::Upi(_) => None,
        };
        let name = |longest| {
            name.and_then(|name| plain(name.expose(), longest))
                .filter(|name| name.len() >= SHORTEST_NAME)
        };
        let (holder, contact) = (name(LONGEST_NAME), name(LONGEST_CONTACT));
        let account = match call.details {
            Details::Bank(bank) => Account::BankAccount {
                bank_account: BankAccount {
                    name: holder.as_ref().map(|name| name.as_str()),
                    ifsc: bank.ifsc.as_str(),
                    account_number: bank.account_number.expose(),
                },
            },
            Details::Upi(vpa) => Account::Vpa {
                vpa: Address {
                    address: vpa.expose(),
                },
            },
        };
        let body = ValidationRequest {
            source_account_number: source,
            validation_type: match call.method {
                Method::Penniless => "penniless",
                Method::PennyDrop | Method::VpaLookup => "pennydrop",
            },
            reference_id: call.reference,
            fund_account: FundAccount {
                account,
                contact: Contact {
                    name: contact.as_ref().map_or(SOMEBODY, |name| name.as_str()),
                },
            },
        };
        let request = self
            .post(VALIDATIONS, &body)
            .header(IDEMPOTENCY_KEY, call.reference);
        let reply = send(&self.http, request, VALIDATIONS).await?;
        match reply.status {
            200 | 201 => heard(call, &reply),
            _ => refused(&reply, codes::error),
        }
    }

    /// The payment gateway's look-up: it moves nothing, and may be asked again.
    async fn look_at(&self, vpa: &Vpa) -> Result<GatewayResponse, CallFailure> {
        let request = self.post(VALIDATE_VPA, &VpaRequest { vpa: vpa.expose() });
        let reply = send(&self.http, request, VALIDATE_VPA).await?;
        if reply.status != 200 {
            return refused(&reply, codes::look_error);
        }
        let response: VpaResponse = reply.json()?;
        let (meaning, code) = match response.success {
            Some(true) => (Meaning::of(Class::Valid), "success"),
            Some(false) => (Meaning::invalid(FailureCode::InvalidVpa), "no_success"),
            None => {
                return Err(CallFailure::ResponseLost(
                    "an answer without success or failure".into(),
                ));
            }
        };
        Ok(GatewayResponse {
            name_at_bank: real_name(response.customer_name),
            ..meaning.answer(code)
        })
    }
}

#[async_trait]
impl Connector for Razorpay {
    fn fit(&self, details: &Details, consent: Option<&Consent>) -> Result<Method, Ineligible> {
        let method = suited(&self.methods, details, consent)?;
        match details {
            Details::Upi(vpa) if !VPA_LENGTH.contains(&vpa.expose().len()) => {
                Err(Ineligible::Limits)
            }
            // Account numbers are 5–35 letters and digits everywhere in Khata, as at Razorpay.
            _ => Ok(method),
        }
    }

    fn recovery(&self, _details: &Details, _method: Method) -> Recovery {
        Recovery::Resubmit
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
        match (call.details, call.method) {
            (Details::Upi(vpa), Method::VpaLookup) => self.look_at(vpa).await,
            _ => self.validate(call).await,
        }
    }

    /// By Razorpay's id, which its answer to the call told.
    async fn lookup(
        &self,
        call: &Call<'_>,
        gateway_reference: Option<&str>,
    ) -> Result<Option<GatewayResponse>, CallFailure> {
        if let (Details::Upi(vpa), Method::VpaLookup) = (call.details, call.method) {
            return lookup_by_repetition(self.look_at(vpa).await);
        }
        let Some(id) = gateway_reference.filter(|id| is_id(id)) else {
            return Err(CallFailure::NotSent("no id of Razorpay's to ask by".into()));
        };
        let request = self.get(&format!("{VALIDATIONS}/{id}"));
        let reply = send(&self.http, request, "/v1/fund_accounts/validations/{id}").await?;
        match reply.status {
            200 => heard(call, &reply).map(Some),
            // Also that there is no such id: it told us that id. What is said of the look tells nothing of the call.
            _ => Err(reply.unheard()),
        }
    }

    fn webhook(
        &self,
        webhook: &WebhookRequest<'_>,
    ) -> Result<Option<WebhookMessage>, WebhookError> {
        webhook::read(&self.webhook_secrets, webhook)
    }

    /// Asks for an id that is nobody's, of the product that is used: that there is none is said only to whom it knows.
    async fn check(&self) -> Result<Check, CallFailure> {
        let (path, route) = if self.source_account_number.is_some() {
            let path = format!("{VALIDATIONS}/{NO_VALIDATION}");
            (path, "/v1/fund_accounts/validations/{id}")
        } else {
            (format!("/v1/payments/{NO_PAYMENT}"), "/v1/payments/{id}")
        };
        let reply = send(&self.http, self.get(&path), route).await?;
        let error = Refusal::of(&reply);
        if codes::is_unknown_id(reply.status, &error.description) {
            return Ok(Check::Accepted("unknown_id".into()));
        }
        let meaning = codes::error(reply.status, &error.reason, &error.description);
        Ok(match meaning.map(Meaning::class) {
            Some(Class::Misconfigured) => Check::Refused(error.word),
            _ => Check::Unclear(error.word),
        })
    }
}

/// HTTP Basic.
fn basic(credentials: &Credentials) -> Option<HeaderValue> {
    let (id, secret) = (&credentials.key_id, &credentials.key_secret);
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if !visible(id) || !visible(secret) || id.contains(':') {
        return None;
    }
    let both = Zeroizing::new(format!("{}:{}", id.as_str(), secret.as_str()));
    let encoded = Zeroizing::new(BASE64_STANDARD.encode(both.as_bytes()));
    secret_header(Zeroizing::new(format!("Basic {}", encoded.as_str())))
}
