//! Decentro (gateway 1002): bank accounts by penny drop, penniless, or as Decentro chooses; lookup by our `reference_id`.
//!
//! Source: docs.decentro.tech, version 3. Decentro's velocity limits (3 calls per minute, 4 per hour, 5 per day) count by
//! the payee's mobile number; Khata sends none, so they do not apply. The status call is documented for a sister product on
//! `api.decentro.tech`; Khata calls it on the host of the validation.

mod codes;
mod response;

use async_trait::async_trait;
use khata_domain::validation::CallResult;
use khata_domain::{
    CallFailure, Class, Details, Gateway, GatewayResponse, LateCalls, Method, Recovery,
    ValidationId,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::config::{ConfigError, ConnectorConfig};
use crate::connector::{Call, Check, Connector, LookupResult};
use crate::http::Client;
use crate::info::{CredentialInfo, GatewayInfo, SettingInfo};
use crate::name::{is_plain, plain_name};
use crate::policy::CallPolicy;
use crate::settings::{CommonSettings, NPCI_POLLING, payee_text};
use response::Envelope;

const PUBLIC_BASE_URL: &str = "https://in.decentro.tech";
const VALIDATE: &str = "/v3/banking/money_transfer/validate_bank_account";
const STATUS: &str = "/v3/banking/account_validation/status";
const PURPOSE: &str = "Account verification";
/// `purpose_message`: characters.
const PURPOSE_LENGTH: std::ops::RangeInclusive<usize> = 5..=255;
/// The consumer that Decentro publishes with its test data.
const TEST_CONSUMER_URN: &str = "4ac34260a0e34e4f82069e85b4a881fd";
/// Our limit; Decentro documents none.
const MAX_NAME: usize = 100;

/// Facts about Decentro.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Decentro,
    sandbox_only: false,
    methods: &[Method::PennyDrop, Method::Penniless],
    validation: "penny drop, penniless; bank accounts only",
    recovery: "lookup by `reference_id`",
    webhooks: None,
    addresses: &[PUBLIC_BASE_URL],
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

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Settings {
    consumer_urn: Option<String>,
    purpose_message: Option<String>,
    hybrid: bool,
}

/// A merchant's account at Decentro.
pub(crate) struct Decentro {
    client: Client,
    consumer_urn: String,
    purpose_message: String,
    hybrid: bool,
    policy: CallPolicy,
}

impl Decentro {
    fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        let (common, own) = CommonSettings::read_with::<Settings>(config.settings)?;
        let credentials: Credentials =
            config.credentials("must be a JSON object with client_id and client_secret")?;
        let headers = [
            ("client_id", credentials.client_id),
            ("client_secret", credentials.client_secret),
        ];
        let policy = common.policy(config, INFO.methods, &NPCI_POLLING, None)?;
        if own.hybrid && policy.methods.first() != Some(&Method::PennyDrop) {
            return Err(ConfigError::Settings(
                "hybrid may drop a rupee: methods must begin with PENNY_DROP".into(),
            ));
        }
        let base_url = config.address(PUBLIC_BASE_URL, INFO.addresses)?;
        Ok(Self {
            client: Client::new(config, &base_url, policy.call_timeout, headers)?,
            consumer_urn: consumer_urn(own.consumer_urn, config.sandbox_mode)?,
            purpose_message: payee_text(
                "purpose_message",
                own.purpose_message.as_deref().unwrap_or(PURPOSE),
                PURPOSE_LENGTH,
            )?,
            hybrid: own.hybrid,
            policy,
        })
    }

    /// Asks for the status by exactly one of `reference_id` and `decentro_txn_id`.
    async fn status(&self, query: (&str, &str)) -> Result<Envelope, CallFailure> {
        let request = self.client.get(STATUS).query(&[query]);
        Ok(Envelope::of(self.client.send(request, STATUS).await?))
    }
}

fn consumer_urn(setting: Option<String>, sandbox_mode: bool) -> Result<String, ConfigError> {
    let urn = setting.or_else(|| sandbox_mode.then(|| TEST_CONSUMER_URN.to_owned()));
    urn.filter(|urn| (1..=64).contains(&urn.len()) && is_plain(urn, b"-_"))
        .ok_or_else(|| {
            ConfigError::Settings(
                "consumer_urn must be the one that Decentro's dashboard shows".into(),
            )
        })
}

#[async_trait]
impl Connector for Decentro {
    fn policy(&self) -> &CallPolicy {
        &self.policy
    }

    fn recovery(&self, _details: &Details, _method: Method) -> Recovery {
        Recovery::Lookup
    }

    /// Decentro refuses a `reference_id` that it has seen (`error_duplicate_reference_id`).
    fn late_calls(&self, _details: &Details) -> LateCalls {
        LateCalls {
            refuses_repeats: true,
            ..LateCalls::default()
        }
    }

    async fn verify(&self, call: &Call<'_>) -> CallResult {
        let Details::Bank(bank) = call.details else {
            return Err(CallFailure::NotSent("not a bank account".into()));
        };
        let mut beneficiary = json!({
            "account_number": bank.account_number.expose(),
            "ifsc": bank.ifsc.as_str(),
        });
        // Optional: a name with characters that Decentro would reject is left out.
        if let Some(name) = plain_name(bank, MAX_NAME) {
            beneficiary["name"] = name.into();
        }
        let body = json!({
            "reference_id": call.reference,
            "purpose_message": self.purpose_message,
            "consumer_urn": self.consumer_urn,
            "validation_type": match call.method {
                Method::Penniless => "penniless",
                Method::PennyDrop | Method::VpaLookup if self.hybrid => "hybrid",
                Method::PennyDrop | Method::VpaLookup => "pennydrop",
            },
            // The reply holds the name at the bank either way, and Khata's own match counts.
            "perform_name_match": false,
            "beneficiary_details": beneficiary,
        });
        let request = self.client.post(VALIDATE).json(&body);
        let envelope = Envelope::of(self.client.send(request, VALIDATE).await?);
        match envelope.reply.status {
            200 | 400..=499 if let Some(response) = envelope.account_response() => {
                let gateway_reference = envelope.txn_id();
                response.map(|response| GatewayResponse {
                    gateway_reference,
                    ..response
                })
            }
            _ => envelope.error_response(),
        }
    }

    /// Looks up a call by Decentro's id if a reply gave it, else by our reference. Decentro says that a lookup by reference
    /// may not find a call that it has not answered yet, so "never seen" can come too early. The same call, sent again under
    /// the same reference, is then rejected as a duplicate, and looked up once more.
    async fn lookup(&self, call: &Call<'_>, gateway_reference: Option<&str>) -> LookupResult {
        let envelope = match gateway_reference {
            Some(id) => self.status(("decentro_txn_id", id)).await?,
            None => self.status(("reference_id", call.reference)).await?,
        };
        if envelope.is_never_seen() && envelope.account_response().is_none() {
            return Ok(None);
        }
        let response = match envelope.reply.status {
            200 => envelope
                .account_response()
                .or_else(|| envelope.original_rejection().map(Ok)),
            _ => None,
        };
        let response = response.ok_or_else(|| envelope.lookup_failure())??;
        Ok(Some(GatewayResponse {
            gateway_reference: envelope.of_found_call("request_decentro_txn_id"),
            ..response
        }))
    }

    /// Looks up a reference that was never used: Decentro says "not found" in its own words only to its own merchants.
    async fn check(&self) -> Result<Check, CallFailure> {
        let reference = ValidationId::new().to_string();
        let envelope = self.status(("reference_id", &reference)).await?;
        let (status, key) = (envelope.reply.status, envelope.response_key());
        let code = envelope.reply.code_or_status(&key);
        Ok(match codes::rejection(status, &key) {
            _ if envelope.is_never_seen() => Check::Accepted(code),
            // A 404 in other words is not from this call of Decentro's.
            Some(meaning) if meaning.class() == Class::Misconfigured && status != 404 => {
                Check::Refused(code)
            }
            _ => Check::Unclear(code),
        })
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
