//! PayU (gateway 12): bank accounts by PayU Payouts' penny test, UPI addresses by the payment gateway's look-up. The two
//! are different products with credentials of their own; an account may have either or both.
//!
//! How the outcome of `VERIFICATION_PENDING` is learnt: PayU's pages give no call for it beside *Check Transfer Status*,
//! which finds transfers by `merchantRefId`, "unique identifier from merchant to identify the status" in the words of the
//! penny test, and whose answer holds the name at bank and its match. So that is asked. An empty list "has to be
//! considered as unidentified or pending", never as "not performed".
//!
//! What a lost call may do: it is made again under the same `merchantRefId`. Either the first never came, or PayU refuses
//! the second as a duplicate (code 1002), which is read as pending and asked after. PayU's webhooks tell of transfers
//! and are signed with nothing but a fixed header: they are not taken.

mod codes;
mod payouts;
mod service;
mod token;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use khata_domain::routing::Ineligible;
use khata_domain::traffic::Traffic;
use khata_domain::validation::PollSchedule;
use khata_domain::{
    CallFailure, Class, Consent, Details, Gateway, GatewayResponse, Method, Recovery,
};
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use crate::connector::{
    Call, Check, ConfigError, Connector, ConnectorConfig, lookup_by_repetition,
};
use crate::http::{Reply, secret_header};
use crate::info::{CredentialInfo, GatewayInfo, SettingInfo};
use crate::meaning::Meaning;
use crate::settings::{CommonSettings, NPCI_POLLING, suited};
use payouts::Payouts;
use service::Service;
use token::Tokens;
use wire::Frame;

const PAYOUT_URL: &str = "https://payout.payumoney.com";
const ACCOUNTS_URL: &str = "https://accounts.payu.in";
const INFO_URL: &str = "https://info.payu.in";
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Facts about PayU.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Payu,
    sandbox_only: false,
    methods: &[Method::PennyDrop, Method::VpaLookup],
    validation: "penny drop; UPI lookup",
    recovery: "the same call again, same `merchantRefId`, whose duplicate PayU refuses",
    webhooks: None,
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
    /// Not the merchant id of the payment gateway.
    payout_merchant_id: Option<Zeroizing<String>>,
    key: Option<Zeroizing<String>>,
    salt: Option<Zeroizing<String>>,
}

/// Settings of PayU's own: its three addresses. `base_url` stands for all of them.
#[derive(serde::Deserialize)]
#[serde(default)]
struct Settings {
    #[serde(rename = "payout_url")]
    payout: String,
    #[serde(rename = "accounts_url")]
    accounts: String,
    #[serde(rename = "info_url")]
    info: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            payout: PAYOUT_URL.into(),
            accounts: ACCOUNTS_URL.into(),
            info: INFO_URL.into(),
        }
    }
}

/// A merchant's account at PayU.
pub(crate) struct Payu {
    payouts: Option<Payouts>,
    service: Option<Service>,
    methods: Vec<Method>,
    polling: PollSchedule,
    traffic: Traffic,
    call_timeout: Duration,
}

impl Payu {
    pub(crate) fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        let (common, own) = CommonSettings::read_with::<Settings>(config.settings)?;
        let url = |name: &str, own: &str| match config.base_url {
            Some(_) => config.address(own),
            None => config.checked_address(name, own),
        };
        let payout_url = url("payout_url", &own.payout)?;
        let accounts_url = url("accounts_url", &own.accounts)?;
        let info_url = url("info_url", &own.info)?;
        let credentials = config
            .credentials
            .ok_or(ConfigError::Credentials("none given"))?;
        let fault = ConfigError::Credentials(
            "must be a JSON object with client_id, client_secret and payout_merchant_id, or key and salt, or all of them",
        );
        let credentials: Credentials =
            serde_json::from_slice(credentials).map_err(|_| fault.clone())?;
        let call_timeout = common.call_timeout(config.longest_call)?;
        let payouts = match (
            credentials.client_id,
            credentials.client_secret,
            credentials.payout_merchant_id,
        ) {
            (Some(id), Some(secret), Some(merchant_id)) => Some(Payouts {
                http: config.http.clone(),
                url: payout_url,
                merchant_id: secret_header(merchant_id).ok_or(ConfigError::Credentials(
                    "payout_merchant_id must be visible ASCII",
                ))?,
                tokens: Tokens::new(config.http, &accounts_url, id, secret),
                call_timeout,
            }),
            (None, None, None) => None,
            _ => return Err(fault),
        };
        let service = match (credentials.key, credentials.salt) {
            (Some(key), Some(salt)) => Some(Service {
                http: config.http.clone(),
                url: format!("{info_url}{}", service::ROUTE),
                key,
                salt,
                call_timeout,
            }),
            (None, None) => None,
            _ => return Err(fault),
        };
        let mut offered = Vec::new();
        offered.extend(payouts.as_ref().map(|_| Method::PennyDrop));
        offered.extend(service.as_ref().map(|_| Method::VpaLookup));
        if offered.is_empty() {
            return Err(fault);
        }
        Ok(Self {
            payouts,
            service,
            methods: common.methods(&offered)?,
            polling: common.polling(&NPCI_POLLING)?,
            traffic: common.traffic(None)?,
            call_timeout,
        })
    }
}

#[async_trait]
impl Connector for Payu {
    fn fit(&self, details: &Details, consent: Option<&Consent>) -> Result<Method, Ineligible> {
        // There is no penny drop to UPI addresses.
        let has = |method: &Method| match details {
            Details::Bank(_) => true,
            Details::Upi(_) => *method == Method::VpaLookup,
        };
        let methods: Vec<_> = self.methods.iter().copied().filter(has).collect();
        suited(&methods, details, consent)
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
        match (call.details, &self.payouts, &self.service) {
            (Details::Bank(bank), Some(payouts), _) => payouts.verify(call, bank).await,
            (Details::Upi(vpa), _, Some(service)) => service.look_at(vpa).await,
            // The credentials lost it since the attempt was begun.
            _ => Ok(Meaning::of(Class::Misconfigured).answer("no_credentials")),
        }
    }

    async fn lookup(
        &self,
        call: &Call<'_>,
        _gateway_reference: Option<&str>,
    ) -> Result<Option<GatewayResponse>, CallFailure> {
        match (call.details, &self.payouts, &self.service) {
            (Details::Bank(_), Some(payouts), _) => payouts.lookup(call).await,
            (Details::Upi(vpa), _, Some(service)) => {
                lookup_by_repetition(service.look_at(vpa).await)
            }
            _ => Err(CallFailure::NotSent("no credentials to ask with".into())),
        }
    }

    /// Both products, where there are both: the first that does not accept us tells.
    async fn check(&self) -> Result<Check, CallFailure> {
        let mut checked = None;
        if let Some(payouts) = &self.payouts {
            checked = Some(payouts.check().await?);
        }
        match (&self.service, checked) {
            (Some(service), None | Some(Check::Accepted(_))) => service.check().await,
            (_, Some(checked)) => Ok(checked),
            (None, None) => Ok(Check::Unclear("no credentials".into())),
        }
    }
}

/// An error answer to a call that validates.
fn refused(reply: &Reply) -> Result<GatewayResponse, CallFailure> {
    let frame = reply.json::<Frame>().ok();
    let (code, sentence) = frame.map_or_else(Default::default, |frame| {
        (
            frame.code.unwrap_or_default(),
            frame.msg.unwrap_or_default(),
        )
    });
    let meaning = codes::error(reply.status, &code, &sentence)
        .ok_or_else(|| CallFailure::ResponseLost(format!("answered {}", reply.status)))?;
    let word = if code.is_empty() {
        format!("http_{}", reply.status)
    } else {
        code
    };
    Ok(GatewayResponse {
        retry_after: (meaning.class() == Class::Retryable)
            .then(|| reply.retry_after())
            .flatten(),
        ..meaning.answer(&word)
    })
}
