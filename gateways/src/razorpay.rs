//! Razorpay (gateway 23): bank accounts and, with the payee's consent, UPI addresses by RazorpayX's composite account
//! validation, which is always pending at first; UPI addresses without consent by the payment gateway's lookup.
//!
//! Razorpay has no lookup by our reference. A call whose response was lost is made again under the same idempotency key
//! with the same bytes: Razorpay repeats its first response and does not pay twice, for 7 days (*Handling 5XX errors*).
//! The key is documented for "the Create Payout API and the Composite APIs", of which this is one.
//!
//! Source: Razorpay's public API reference.

mod codes;
mod response;
mod webhook;

use async_trait::async_trait;
use data_encoding::BASE64;
use khata_domain::routing::Ineligible;
use khata_domain::validation::{CallResult, FailureCode};
use khata_domain::{CallFailure, Class, Details, Gateway, GatewayResponse, Method, Recovery, Vpa};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::config::{ConfigError, ConnectorConfig};
use crate::connector::{Call, Check, Connector, LookupResult, as_lookup};
use crate::http::Client;
use crate::info::{CredentialInfo, GatewayInfo, SettingInfo};
use crate::meaning::{Meaning, conclude};
use crate::name::{is_plain, plain_name};
use crate::policy::CallPolicy;
use crate::settings::{CommonSettings, NPCI_POLLING};
use crate::webhook::{WebhookError, WebhookMessage, WebhookRequest};
use response::{ErrorReply, call_response, error_response, is_id, lookup_failure};

const PUBLIC_BASE_URL: &str = "https://api.razorpay.com";
const VALIDATIONS: &str = "/v1/fund_accounts/validations";
const VALIDATION: &str = "/v1/fund_accounts/validations/{id}";
const VALIDATE_VPA: &str = "/v1/payments/validate/vpa";
/// 4–36 letters, digits, hyphens, underscores and spaces: our reference has this form.
const IDEMPOTENCY_KEY: &str = "x-payout-idempotency";
/// `vpa.address`: 3–100 characters.
const VPA_LENGTH: std::ops::RangeInclusive<usize> = 3..=100;
/// Names have at least 3 characters, `bank_account.name` at most 120, `contact.name` at most 50.
const MIN_NAME: usize = 3;
const MAX_NAME: usize = 120;
const MAX_CONTACT: usize = 50;
/// `contact.name` if we have no name that Razorpay accepts; the field is required.
const DEFAULT_CONTACT: &str = "Beneficiary";
/// RazorpayX asks for at most 5–10 calls per second (*Payouts best practices*).
const CALLS_PER_MINUTE: u32 = 5 * 60;
/// Methods of an account without RazorpayX.
const LOOKUP_ONLY: [Method; 1] = [Method::VpaLookup];
/// Ids of the right form that Razorpay never gives.
const UNKNOWN_VALIDATION: &str = "fav_00000000000000";
const UNKNOWN_PAYMENT: &str = "pay_00000000000000";

/// Facts about Razorpay.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Razorpay,
    sandbox_only: false,
    methods: &[Method::PennyDrop, Method::Penniless, Method::VpaLookup],
    validation: "penny drop, penniless; UPI penny drop with consent, else lookup",
    recovery: "the same call again, same idempotency key",
    webhooks: Some("the outcome"),
    addresses: &[PUBLIC_BASE_URL],
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
    /// During a rotation the old and the new: retries of old events carry a signature under the old secret.
    #[serde(default)]
    webhook_secrets: Vec<Zeroizing<String>>,
}

#[derive(serde::Deserialize)]
struct Settings {
    source_account_number: Option<String>,
}

/// A merchant's account at Razorpay.
pub(crate) struct Razorpay {
    client: Client,
    webhook_secrets: Vec<Zeroizing<String>>,
    source_account_number: Option<String>,
    policy: CallPolicy,
}

impl Razorpay {
    fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        let (common, own) = CommonSettings::read_with::<Settings>(config.settings)?;
        let source = own.source_account_number;
        let valid = |number: &String| !number.is_empty() && is_plain(number, b"");
        if !source.as_ref().is_none_or(valid) {
            let problem = "source_account_number must be letters and digits";
            return Err(ConfigError::Settings(problem.into()));
        }
        let base_url = config.address(PUBLIC_BASE_URL, INFO.addresses)?;
        let credentials: Credentials = config.credentials(
            "must be a JSON object with key_id, key_secret and, for webhooks, webhook_secrets",
        )?;
        let headers = [("authorization", basic(&credentials)?)];
        let methods = source.as_ref().map_or(&LOOKUP_ONLY[..], |_| INFO.methods);
        let policy = common.policy(config, methods, &NPCI_POLLING, Some(CALLS_PER_MINUTE))?;
        Ok(Self {
            client: Client::new(config, &base_url, policy.call_timeout, headers)?,
            webhook_secrets: credentials.webhook_secrets,
            source_account_number: source,
            policy,
        })
    }

    /// Makes the composite account validation.
    async fn validate(&self, call: &Call<'_>) -> CallResult {
        let Some(source) = &self.source_account_number else {
            // The setting was removed after the attempt began.
            return Ok(Meaning::of(Class::Misconfigured).response("no_source_account_number"));
        };
        // A repeated call must be the same bytes: nothing in the body depends on the time.
        let body = json!({
            "source_account_number": source,
            "validation_type": match call.method {
                Method::Penniless => "penniless",
                Method::PennyDrop | Method::VpaLookup => "pennydrop",
            },
            "reference_id": call.reference,
            "fund_account": fund_account(call.details),
        });
        let request = self.client.post(VALIDATIONS).json(&body);
        let request = request.header(IDEMPOTENCY_KEY, call.reference);
        let reply = self.client.send(request, VALIDATIONS).await?;
        match reply.status {
            200 | 201 => call_response(call, &reply),
            _ => error_response(&reply, codes::error),
        }
    }

    /// Makes the payment gateway's lookup, which moves no money and may be repeated.
    async fn look_up_vpa(&self, vpa: &Vpa) -> CallResult {
        let body = json!({"vpa": vpa.expose()});
        let request = self.client.post(VALIDATE_VPA).json(&body);
        let reply = self.client.send(request, VALIDATE_VPA).await?;
        if reply.status != 200 {
            return error_response(&reply, codes::vpa_error);
        }
        let body = reply.body()?;
        let fields = body.fields();
        let error = ErrorReply::read(&body);
        let no_success = match error.code.as_str() {
            "" => "no_success",
            code => code,
        };
        let (meaning, code) = match fields.flag("success") {
            Some(true) if error.says_something() => {
                body.note("error");
                (Some(Meaning::Contradictory), "")
            }
            Some(true) => (Some(Meaning::of(Class::Valid)), "success"),
            // An error beside it says whether the address is unknown, or something failed.
            Some(false) if error.says_something() => {
                let meaning = codes::vpa_error(400, &error.reason, &error.description);
                (meaning, no_success)
            }
            Some(false) => (Some(Meaning::invalid(FailureCode::InvalidVpa)), no_success),
            None => (None, ""),
        };
        let without = "response without success or failure";
        let outcome = conclude(&body, meaning, code, without)?;
        Ok(body.noted(GatewayResponse {
            name_at_bank: fields.text("customer_name"),
            ..outcome
        }))
    }
}

#[async_trait]
impl Connector for Razorpay {
    fn policy(&self) -> &CallPolicy {
        &self.policy
    }

    fn has_upi_penny_drop(&self) -> bool {
        true
    }

    fn check_limits(&self, details: &Details) -> Result<(), Ineligible> {
        match details {
            Details::Upi(vpa) if !VPA_LENGTH.contains(&vpa.expose().len()) => {
                Err(Ineligible::Limits)
            }
            // Khata accepts account numbers of 5–35 letters and digits, as Razorpay does.
            _ => Ok(()),
        }
    }

    fn recovery(&self, _details: &Details, _method: Method) -> Recovery {
        Recovery::Resubmit
    }

    async fn verify(&self, call: &Call<'_>) -> CallResult {
        match (call.details, call.method) {
            (Details::Upi(vpa), Method::VpaLookup) => self.look_up_vpa(vpa).await,
            _ => self.validate(call).await,
        }
    }

    /// Looks up a validation by Razorpay's id, which the response to the call holds.
    async fn lookup(&self, call: &Call<'_>, gateway_reference: Option<&str>) -> LookupResult {
        if let (Details::Upi(vpa), Method::VpaLookup) = (call.details, call.method) {
            return as_lookup(self.look_up_vpa(vpa).await);
        }
        let Some(id) = gateway_reference.filter(|id| is_id(id)) else {
            return Err(CallFailure::NotSent("no id of Razorpay's".into()));
        };
        let request = self.client.get(&format!("{VALIDATIONS}/{id}"));
        let reply = self.client.send(request, VALIDATION).await?;
        match reply.status {
            200 => call_response(call, &reply).map(Some),
            _ => Err(lookup_failure(&reply)),
        }
    }

    fn webhook(
        &self,
        webhook: &WebhookRequest<'_>,
    ) -> Result<Option<WebhookMessage>, WebhookError> {
        webhook::read(&self.webhook_secrets, webhook)
    }

    /// Asks for an id that does not exist, of the product that the account has: Razorpay says so only to its own merchants.
    async fn check(&self) -> Result<Check, CallFailure> {
        let (path, route) = if self.source_account_number.is_some() {
            (format!("{VALIDATIONS}/{UNKNOWN_VALIDATION}"), VALIDATION)
        } else {
            let path = format!("/v1/payments/{UNKNOWN_PAYMENT}");
            (path, "/v1/payments/{id}")
        };
        let reply = self.client.send(self.client.get(&path), route).await?;
        let error = ErrorReply::read(&reply.error_body());
        if codes::is_unknown_id(reply.status, &error.description) {
            return Ok(Check::Accepted("unknown_id".into()));
        }
        let meaning = codes::error(reply.status, &error.reason, &error.description);
        let code = reply.code_or_status(&error.code);
        Ok(match meaning.map(Meaning::class) {
            Some(Class::Misconfigured) => Check::Refused(code),
            _ => Check::Unclear(code),
        })
    }
}

/// Returns the account to validate and the contact whose account it is.
fn fund_account(details: &Details) -> Value {
    let mut contact = None;
    let mut account = match details {
        Details::Bank(bank) => {
            let name = |max| plain_name(bank, max).filter(|name| name.len() >= MIN_NAME);
            contact = name(MAX_CONTACT);
            let mut account = json!({
                "ifsc": bank.ifsc.as_str(),
                "account_number": bank.account_number.expose(),
            });
            if let Some(name) = name(MAX_NAME) {
                account["name"] = name.into();
            }
            json!({"account_type": "bank_account", "bank_account": account})
        }
        Details::Upi(vpa) => json!({"account_type": "vpa", "vpa": {"address": vpa.expose()}}),
    };
    let name = contact.as_deref().unwrap_or(DEFAULT_CONTACT);
    account["contact"] = json!({"name": name});
    account
}

/// Returns the value of `Authorization` for HTTP Basic.
fn basic(credentials: &Credentials) -> Result<Zeroizing<String>, ConfigError> {
    let (id, secret) = (&credentials.key_id, &credentials.key_secret);
    let visible = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if !visible(id) || !visible(secret) || id.contains(':') {
        return Err(ConfigError::Credentials(
            "key_id and key_secret must be visible ASCII, without a colon in key_id",
        ));
    }
    let both = Zeroizing::new(format!("{}:{}", id.as_str(), secret.as_str()));
    let encoded = Zeroizing::new(BASE64.encode(both.as_bytes()));
    Ok(Zeroizing::new(["Basic ", encoded.as_str()].concat()))
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
