//! Setu (gateway 1001): bank accounts by penny drop, told later under Setu's id or in the answer; UPI addresses by
//! UMAP's look-up, where the merchant has credentials for it.
//!
//! Facts: docs.setu.co and its OpenAPI documents (github.com/SetuHQ/docs, MIT), as gathered in the gateways contract;
//! UMAP's login and alphabet are from the documents alone.

mod bank;
mod codes;
mod token;
mod umap;
mod webhook;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use khata_domain::routing::Ineligible;
use khata_domain::traffic::Traffic;
use khata_domain::validation::PollSchedule;
use khata_domain::{
    CallFailure, Class, Consent, Details, Gateway, GatewayResponse, Method, Recovery,
};
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::connector::{Call, Check, ConfigError, Connector, ConnectorConfig};
use crate::http::{Reply, secret_header};
use crate::info::{CredentialInfo, GatewayInfo, SettingInfo};
use crate::meaning::Meaning;
use crate::settings::{CommonSettings, NPCI_POLLING};
use crate::webhook::{WebhookError, WebhookMessage, WebhookRequest};
use bank::Bank;
use token::{Login, Token};
use umap::Umap;
use wire::ErrorResponse;

const PUBLIC_BASE_URL: &str = "https://dg.setu.co";
const PUBLIC_UMAP_BASE_URL: &str = "https://umap.setu.co";
const PUBLIC_LOGIN_URL: &str = "https://accountservice.setu.co/v1/users/login";
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// A look-up is no transaction: PSPs answer in seconds or not at all.
const VPA_POLLING: [Duration; 4] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(5),
    Duration::from_hours(1),
];
const NARRATION: &str = "Account verification";
/// Ours; Setu documents none. Bank statements show about so much.
const MAX_NARRATION: usize = 50;

/// Facts about Setu.
pub(crate) const INFO: GatewayInfo = GatewayInfo {
    gateway: Gateway::Setu,
    sandbox_only: false,
    methods: &[Method::PennyDrop, Method::VpaLookup],
    validation: "penny drop (asynchronous, or `bank_flow: sync`); UPI lookup by UMAP",
    recovery: "none for bank accounts: one new attempt at most, flagged; the same call again for UPI addresses",
    webhooks: Some("the outcome for UPI addresses; for bank accounts a hint without the outcome"),
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
    /// UMAP's call-backs are signed with one of them: during a change, with the old or the new.
    #[serde(default)]
    webhook_secrets: Vec<Zeroizing<String>>,
}

/// `client_id` and `client_secret` fetch tokens; a `token` of 300 s is for whoever can keep it good, and for tests.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct UmapCredentials {
    merchant_id: Zeroizing<String>,
    client_id: Option<Zeroizing<String>>,
    client_secret: Option<Zeroizing<String>>,
    token: Option<Zeroizing<String>>,
}

/// Settings beside the common ones.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct OwnSettings {
    /// UMAP's address; `umap` below `base_url` where that is set.
    umap_base_url: Option<String>,
    /// Where UMAP's tokens come from; `v1/users/login` below UMAP's address where `base_url` is set.
    umap_login_url: Option<String>,
    /// What the payee reads beside the rupee (asynchronous flow).
    narration: Option<String>,
}

/// A merchant's account at Setu.
pub(crate) struct Setu {
    bank: Bank,
    umap: Option<Umap>,
    webhook_secrets: Vec<Zeroizing<String>>,
    methods: Vec<Method>,
    bank_polling: PollSchedule,
    vpa_polling: PollSchedule,
    traffic: Traffic,
    call_timeout: Duration,
}

impl Setu {
    pub(crate) fn new(config: &ConnectorConfig<'_>) -> Result<Self, ConfigError> {
        let (settings, own) = CommonSettings::read_with::<OwnSettings>(config.settings)?;
        let credentials = config
            .credentials
            .ok_or(ConfigError::Credentials("none given"))?;
        let credentials: Credentials = serde_json::from_slice(credentials).map_err(|_| {
            ConfigError::Credentials(
                "must be a JSON object with client_id, client_secret and product_instance_id, and maybe umap and webhook_secrets",
            )
        })?;
        let call_timeout = settings.call_timeout(config.longest_call)?;
        let umap = credentials
            .umap
            .map(|credentials| umap(config, &own, credentials, call_timeout))
            .transpose()?;
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-client-id", credentials.client_id),
            ("x-client-secret", credentials.client_secret),
            ("x-product-instance-id", credentials.product_instance_id),
        ] {
            headers.insert(name, visible(value)?);
        }
        Ok(Self {
            bank: Bank {
                http: config.http.clone(),
                base_url: config.address(PUBLIC_BASE_URL)?,
                headers,
                call_timeout,
                flow: settings.bank_flow,
                narration: narration(own.narration)?,
            },
            umap,
            webhook_secrets: credentials.webhook_secrets,
            methods: settings.methods(INFO.methods)?,
            bank_polling: settings.polling(&NPCI_POLLING)?,
            vpa_polling: settings.polling(&VPA_POLLING)?,
            traffic: settings.traffic(None)?,
            call_timeout,
        })
    }
}

fn umap(
    config: &ConnectorConfig<'_>,
    own: &OwnSettings,
    credentials: UmapCredentials,
    call_timeout: Duration,
) -> Result<Umap, ConfigError> {
    let base_url = match (&own.umap_base_url, config.base_url) {
        (Some(address), _) => config.checked_address("umap_base_url", address)?,
        (None, Some(_)) => format!("{}/umap", config.address(PUBLIC_BASE_URL)?),
        (None, None) => PUBLIC_UMAP_BASE_URL.to_owned(),
    };
    let login_url = match (&own.umap_login_url, config.base_url) {
        (Some(address), _) => config.checked_address("umap_login_url", address)?,
        (None, Some(_)) => format!("{base_url}/v1/users/login"),
        (None, None) => PUBLIC_LOGIN_URL.to_owned(),
    };
    let token = match (
        credentials.token,
        credentials.client_id,
        credentials.client_secret,
    ) {
        (Some(token), None, None) => Token::Given(
            token::bearer(&token)
                .ok_or(ConfigError::Credentials("umap.token must be visible ASCII"))?,
        ),
        (None, Some(client_id), Some(secret)) => Token::Fetched(Login {
            url: login_url,
            client_id,
            secret,
            held: Mutex::default(),
        }),
        _ => {
            return Err(ConfigError::Credentials(
                "umap must hold client_id and client_secret, or token",
            ));
        }
    };
    Ok(Umap {
        http: config.http.clone(),
        base_url,
        merchant_id: visible(credentials.merchant_id)?,
        token,
        call_timeout,
    })
}

fn visible(value: Zeroizing<String>) -> Result<HeaderValue, ConfigError> {
    secret_header(value).ok_or(ConfigError::Credentials(
        "ids and secrets must be visible ASCII",
    ))
}

fn narration(set: Option<String>) -> Result<String, ConfigError> {
    let narration = set.unwrap_or_else(|| NARRATION.to_owned());
    let fits = (1..=MAX_NARRATION).contains(&narration.len())
        && narration
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b' ');
    fits.then_some(narration).ok_or_else(|| {
        ConfigError::Settings(format!(
            "narration must be 1 to {MAX_NARRATION} letters, digits and spaces"
        ))
    })
}

#[async_trait]
impl Connector for Setu {
    fn fit(&self, details: &Details, _consent: Option<&Consent>) -> Result<Method, Ineligible> {
        let method = match details {
            Details::Bank(_) => Method::PennyDrop,
            Details::Upi(_) if self.umap.is_none() => return Err(Ineligible::Kind),
            Details::Upi(_) => Method::VpaLookup,
        };
        match details {
            _ if !self.methods.contains(&method) => Err(Ineligible::Kind),
            Details::Upi(vpa) if !Umap::takes(vpa) => Err(Ineligible::Limits),
            _ => Ok(method),
        }
    }

    fn recovery(&self, _details: &Details, method: Method) -> Recovery {
        match method {
            // UMAP cannot be asked by our reference, but a look-up moves nothing.
            Method::VpaLookup => Recovery::Resubmit,
            Method::PennyDrop | Method::Penniless => Recovery::None,
        }
    }

    fn polling(&self, method: Method) -> &PollSchedule {
        match method {
            Method::VpaLookup => &self.vpa_polling,
            Method::PennyDrop | Method::Penniless => &self.bank_polling,
        }
    }

    fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    fn call_timeout(&self) -> Duration {
        self.call_timeout
    }

    async fn verify(&self, call: &Call<'_>) -> Result<GatewayResponse, CallFailure> {
        match (call.details, &self.umap) {
            (Details::Bank(bank), _) => self.bank.verify(bank).await,
            (Details::Upi(vpa), Some(umap)) => umap.verify(vpa, call.reference).await,
            (Details::Upi(_), None) => Err(no_umap()),
        }
    }

    /// By Setu's id: it knows none of ours, so that it never says that it has not seen one.
    async fn lookup(
        &self,
        call: &Call<'_>,
        gateway_reference: Option<&str>,
    ) -> Result<Option<GatewayResponse>, CallFailure> {
        let Some(id) = gateway_reference.filter(|id| sound_id(id)) else {
            return Err(CallFailure::ResponseLost("no id to ask by".into()));
        };
        let answer = match (call.details, &self.umap) {
            (Details::Bank(_), _) => self.bank.lookup(id).await,
            (Details::Upi(_), Some(umap)) => umap.lookup(id).await,
            (Details::Upi(_), None) => Err(no_umap()),
        };
        answer.map(Some)
    }

    fn webhook(
        &self,
        webhook: &WebhookRequest<'_>,
    ) -> Result<Option<WebhookMessage>, WebhookError> {
        let merchant_id = self
            .umap
            .as_ref()
            .and_then(|umap| umap.merchant_id.to_str().ok());
        let secrets = self.webhook_secrets.iter().map(|secret| secret.as_str());
        webhook::read(webhook, merchant_id, secrets)
    }

    fn webhook_names_gateway_reference(&self) -> bool {
        true
    }

    /// Both services, where there are two: the worse word counts.
    async fn check(&self) -> Result<Check, CallFailure> {
        let bank = self.bank.check().await?;
        let (Check::Accepted(banks), Some(umap)) = (&bank, &self.umap) else {
            return Ok(bank);
        };
        Ok(match umap.check().await? {
            Check::Accepted(said) => Check::Accepted(format!("{banks}; umap: {said}")),
            Check::Refused(said) => Check::Refused(format!("umap: {said}")),
            Check::Unclear(said) => Check::Unclear(format!("umap: {said}")),
        })
    }
}

/// The credentials were taken away after the call was planned.
fn no_umap() -> CallFailure {
    CallFailure::NotSent("no credentials for UMAP".into())
}

/// Whether this can be one of Setu's ids (UUID, ULID) or ours: it stands in paths.
fn sound_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// An error answer to a call that validates, with what its status means for that call.
fn refused(reply: &Reply, meaning: Option<Meaning>) -> Result<GatewayResponse, CallFailure> {
    let meaning =
        meaning.ok_or_else(|| CallFailure::ResponseLost(format!("answered {}", reply.status)))?;
    Ok(GatewayResponse {
        retry_after: (meaning.class() == Class::Retryable)
            .then(|| reply.retry_after())
            .flatten(),
        ..meaning.answer(&error_code(reply))
    })
}

/// How an answer about nobody's id shows whether we are known.
fn checked(reply: &Reply) -> Check {
    let (code, said) = (own_code(reply), error_code(reply));
    match reply.status {
        404 if !code.is_empty() => Check::Accepted(said),
        401 | 403 => Check::Refused(said),
        _ => Check::Unclear(said),
    }
}

/// The code of an error in Setu's own words; empty where there is none.
fn own_code(reply: &Reply) -> String {
    reply
        .json::<ErrorResponse>()
        .unwrap_or_default()
        .into_code()
}

/// The code of an error, or the HTTP status for it.
fn error_code(reply: &Reply) -> String {
    let code = own_code(reply);
    if code.is_empty() {
        format!("http_{}", reply.status)
    } else {
        code
    }
}
