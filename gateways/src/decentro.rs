//! Decentro (gateway 1002): bank accounts by penny drop, without a transfer, or as Decentro chooses; found again by our
//! `reference_id`.
//!
//! Facts: docs.decentro.tech, version 3, as gathered in the gateways contract. Its velocity limits (3 calls a minute, 4
//! an hour, 5 a day) count by the payee's mobile number, and none is sent: they are no limits of ours.
//! The status call is documented for a sister product on `api.decentro.tech`; it is made where the validation is.

mod codes;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use khata_domain::routing::Ineligible;
use khata_domain::traffic::Traffic;
use khata_domain::validation::PollSchedule;
use khata_domain::{
    CallFailure, Class, Consent, Details, Gateway, GatewayResponse, Method, Recovery, ValidationId,
};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::connector::{Call, Check, ConfigError, Connector, ConnectorConfig};
use crate::http::{Reply, json_body, secret_header, send};
use crate::info::{CredentialInfo, GatewayInfo, SettingInfo};
use crate::name::{plain, real_name};
use crate::settings::{CommonSettings, NPCI_POLLING, suited};
use wire::{Beneficiary, Envelope, LookedFor, Outcome, ValidateRequest};

const PUBLIC_BASE_URL: &str = "https://in.decentro.tech";
const VALIDATE: &str = "/v3/banking/money_transfer/validate_bank_account";
const STATUS: &str = "/v3/banking/account_validation/status";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PURPOSE: &str = "Account verification";
/// `purpose_message`: characters.
const PURPOSE_LENGTH: std::ops::RangeInclusive<usize> = 5..=255;
/// The one that Decentro publishes for its test data.
const TEST_CONSUMER_URN: &str = "4ac34260a0e34e4f82069e85b4a881fd";
/// Ours; Decentro documents none.
const MAX_NAME: usize = 100;

/// Facts about Decentro.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Decentro,
    sandbox_only: false,
    methods: &[Method::PennyDrop, Method::Penniless],
    validation: "penny drop, penniless; bank accounts only",
    recovery: "lookup by `reference_id`",
    webhooks: None,
    credentials: &[
        CredentialInfo::required("client_id", "from Decentro's dashboard"),
        CredentialInfo::required("client_secret", "from Decentro's dashboard"),
    ],
    settings: &[
        SettingInfo {
            name: "consumer_urn",
            meaning: "the merchant's consumer, as Decentro's dashboard shows it",
            default: "required; in sandbox mode Decentro's test consumer",
        },
        SettingInfo {
            name: "purpose_message",
            meaning: "what the payee reads beside the rupee, 5 to 255 letters, digits and spaces",
            default: "`Account verification`",
        },
        SettingInfo {
            name: "hybrid",
            meaning: "`true` lets Decentro try a penniless check before the penny drop",
            default: "`false`",
        },
    ],
    connect: |config| Ok(Box::new(Decentro::new(config)?)),
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    client_id: Zeroizing<String>,
    client_secret: Zeroizing<String>,
}

/// Settings beside the common ones.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct OwnSettings {
    /// The merchant's consumer at Decentro, as its dashboard shows it.
    consumer_urn: Option<String>,
    /// What the payee reads beside the rupee.
    purpose_message: Option<String>,
    /// Lets Decentro look for a way without a transfer before it drops the rupee.
    hybrid: bool,
}

/// A merchant's account at Decentro.
pub(crate) struct Decentro {
    http: reqwest::Client,
    base_url: String,
    headers: HeaderMap,
    consumer_urn: String,
    purpose_message: String,
    hybrid: bool,
    methods: Vec<Method>,
    polling: PollSchedule,
    traffic: Traffic,
    call_timeout: Duration,
}

impl Decentro {
    pub(crate) fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        let (settings, own) = CommonSettings::read_with::<OwnSettings>(config.settings)?;
        let credentials = config
            .credentials
            .ok_or(ConfigError::Credentials("none given"))?;
        let credentials: Credentials = serde_json::from_slice(credentials).map_err(|_| {
            ConfigError::Credentials("must be a JSON object with client_id and client_secret")
        })?;
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("client_id", credentials.client_id),
            ("client_secret", credentials.client_secret),
        ] {
            let value = secret_header(value).ok_or(ConfigError::Credentials(
                "client_id and client_secret must be visible ASCII",
            ))?;
            headers.insert(name, value);
        }
        let methods = settings.methods(INFO.methods)?;
        if own.hybrid && methods.first() != Some(&Method::PennyDrop) {
            return Err(ConfigError::Settings(
                "hybrid may drop a rupee: methods must begin with PENNY_DROP".into(),
            ));
        }
        Ok(Self {
            http: config.http.clone(),
            base_url: config.address(PUBLIC_BASE_URL)?,
            headers,
            consumer_urn: consumer_urn(own.consumer_urn, config.sandbox_mode)?,
            purpose_message: purpose_message(own.purpose_message)?,
            hybrid: own.hybrid,
            methods,
            polling: settings.polling(&NPCI_POLLING)?,
            traffic: settings.traffic(None)?,
            call_timeout: settings.call_timeout(config.longest_call)?,
        })
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request
            .headers(self.headers.clone())
            .timeout(self.call_timeout)
    }

    /// Exactly one of `reference_id` and `decentro_txn_id` is asked by.
    async fn status(&self, query: (&str, &str)) -> Result<Reply, CallFailure> {
        let request = self
            .authorised(self.http.get(format!("{}{STATUS}", self.base_url)))
            .query(&[query]);
        send(&self.http, request, STATUS).await
    }
}

fn consumer_urn(set: Option<String>, sandbox_mode: bool) -> Result<String, ConfigError> {
    let urn = set.or_else(|| sandbox_mode.then(|| TEST_CONSUMER_URN.to_owned()));
    urn.filter(|urn| (1..=64).contains(&urn.len()) && is_plain(urn, b"-_"))
        .ok_or_else(|| {
            ConfigError::Settings(
                "consumer_urn must be the one that Decentro's dashboard shows".into(),
            )
        })
}

fn purpose_message(set: Option<String>) -> Result<String, ConfigError> {
    let purpose = set.unwrap_or_else(|| PURPOSE.to_owned());
    let fits = PURPOSE_LENGTH.contains(&purpose.len()) && is_plain(&purpose, b" ");
    fits.then_some(purpose).ok_or_else(|| {
        ConfigError::Settings(format!(
            "purpose_message must be {} to {} letters, digits and spaces",
            PURPOSE_LENGTH.start(),
            PURPOSE_LENGTH.end()
        ))
    })
}

#[async_trait]
impl Connector for Decentro {
    fn fit(&self, details: &Details, consent: Option<&Consent>) -> Result<Method, Ineligible> {
        match details {
            Details::Bank(_) => suited(&self.methods, details, consent),
            Details::Upi(_) => Err(Ineligible::Kind),
        }
    }

    fn recovery(&self, _details: &Details, _method: Method) -> Recovery {
        Recovery::Lookup
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
        let Details::Bank(bank) = call.details else {
            return Err(CallFailure::NotSent("no bank account".into()));
        };
        // Optional: one that Decentro would refuse for its characters stays out.
        let name = bank
            .beneficiary_name
            .as_ref()
            .and_then(|name| plain(name.expose(), MAX_NAME));
        let body = ValidateRequest {
            reference_id: call.reference,
            purpose_message: &self.purpose_message,
            consumer_urn: &self.consumer_urn,
            validation_type: match call.method {
                Method::Penniless => "penniless",
                Method::PennyDrop | Method::VpaLookup if self.hybrid => "hybrid",
                Method::PennyDrop | Method::VpaLookup => "pennydrop",
            },
            // The name at bank comes either way, and the match that counts is Khata's.
            perform_name_match: false,
            beneficiary_details: Beneficiary {
                account_number: bank.account_number.expose(),
                ifsc: bank.ifsc.as_str(),
                name: name.as_ref().map(|name| name.as_str()),
            },
        };
        let request = self
            .authorised(self.http.post(format!("{}{VALIDATE}", self.base_url)))
            .header(CONTENT_TYPE, JSON)
            .body(json_body(&body));
        let reply = send(&self.http, request, VALIDATE).await?;
        let envelope = reply.json::<Envelope>().unwrap_or_default();
        match reply.status {
            200 | 400..=499 if let Some(answer) = account_answer(&reply, &envelope) => {
                Ok(GatewayResponse {
                    gateway_reference: envelope.decentro_txn_id.filter(|id| !id.is_empty()),
                    ..answer
                })
            }
            _ => refused(&reply, &envelope),
        }
    }

    /// By Decentro's id where an answer told it, else by our reference. Of look-ups by reference Decentro says that a
    /// call which it has not answered yet may not be found: "never seen" can come too early. The same call, sent again on
    /// that word under the same reference, is then refused as a duplicate and looked for once more.
    async fn lookup(
        &self,
        call: &Call<'_>,
        gateway_reference: Option<&str>,
    ) -> Result<Option<GatewayResponse>, CallFailure> {
        let reply = match gateway_reference {
            Some(theirs) => self.status(("decentro_txn_id", theirs)).await?,
            None => self.status(("reference_id", call.reference)).await?,
        };
        let envelope = reply.json::<Envelope>().unwrap_or_default();
        if is_never_seen(&reply, &envelope) {
            return Ok(None);
        }
        let looked_for = reply.json::<LookedFor>().unwrap_or_default();
        let found = match reply.status {
            200 => account_answer(&reply, &envelope)
                .or_else(|| refused_then(&envelope, looked_for.response_key()?)),
            _ => None,
        };
        // What is said of the look tells nothing of the call, which stays open.
        let answer = found.ok_or_else(|| reply.unheard())?;
        Ok(Some(GatewayResponse {
            gateway_reference: looked_for.txn_id().map(str::to_owned),
            ..answer
        }))
    }

    /// Looks for a reference that was never used: that it is not there, in Decentro's own words, is said only to whom it
    /// knows.
    async fn check(&self) -> Result<Check, CallFailure> {
        let reference = ValidationId::new().to_string();
        let reply = self.status(("reference_id", &reference)).await?;
        let envelope = reply.json::<Envelope>().unwrap_or_default();
        let key = envelope.response_key.as_deref().unwrap_or_default();
        let said = said(&reply, key);
        Ok(match codes::refusal(reply.status, key) {
            _ if is_never_seen(&reply, &envelope) => Check::Accepted(said),
            // Not a URL of Decentro's, whoever says so.
            Some(meaning) if meaning.class() == Class::Misconfigured && reply.status != 404 => {
                Check::Refused(said)
            }
            _ => Check::Unclear(said),
        })
    }
}

/// What is said of the account, whatever is said of the call; `None` where nothing is.
fn account_answer(reply: &Reply, envelope: &Envelope) -> Option<GatewayResponse> {
    let data = reply.json::<Outcome>().ok().and_then(|told| told.data);
    let data = data.unwrap_or_default();
    let status = data.account_status.filter(|status| !status.is_empty());
    let pending = || envelope.went("PENDING").then(|| "PENDING".to_owned());
    let status = status.or_else(pending)?;
    Some(GatewayResponse {
        name_at_bank: real_name(data.beneficiary_name),
        utr: data.bank_reference_number.filter(|utr| !utr.is_empty()),
        ..codes::account(&status).answer(&status)
    })
}

/// How a call that a look has found was refused when it was made: as good as its answer then.
fn refused_then(envelope: &Envelope, key: &str) -> Option<GatewayResponse> {
    let meaning = codes::refusal(200, key).filter(|_| envelope.went("SUCCESS"))?;
    Some(meaning.answer(key))
}

/// An answer to a call that validates which says nothing of the account.
fn refused(reply: &Reply, envelope: &Envelope) -> Result<GatewayResponse, CallFailure> {
    let key = envelope.response_key.as_deref().unwrap_or_default();
    let said = said(reply, key);
    // Where it does not say that it failed, it says nothing.
    let meaning = codes::refusal(reply.status, key)
        .filter(|_| reply.status != 200 || envelope.went("FAILURE"))
        .ok_or_else(|| CallFailure::ResponseLost(format!("answered {}", reply.status)))?;
    Ok(GatewayResponse {
        retry_after: (meaning.class() == Class::Retryable)
            .then(|| reply.retry_after())
            .flatten(),
        ..meaning.answer(&said)
    })
}

/// Whether it is Decentro that says that there is no such call, and no proxy on the way: what it has never seen is sent
/// again.
fn is_never_seen(reply: &Reply, envelope: &Envelope) -> bool {
    matches!(reply.status, 200 | 400 | 404)
        && envelope.went("FAILURE")
        && envelope
            .response_key
            .as_deref()
            .is_some_and(codes::is_never_seen)
}

fn said(reply: &Reply, key: &str) -> String {
    if key.is_empty() {
        format!("http_{}", reply.status)
    } else {
        key.to_owned()
    }
}

/// ASCII letters, digits and these.
fn is_plain(text: &str, marks: &[u8]) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || marks.contains(&b))
}
