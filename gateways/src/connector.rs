//! What every gateway can be asked.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use khata_domain::routing::Ineligible;
use khata_domain::traffic::Traffic;
use khata_domain::validation::PollSchedule;
use khata_domain::{CallFailure, Class, Consent, Details, GatewayResponse, Method, Recovery};

use crate::webhook::{WebhookError, WebhookMessage, WebhookRequest};

/// What a connector is made from.
#[derive(Clone, Debug)]
pub struct ConnectorConfig<'a> {
    /// Overrides the gateway's public address.
    pub base_url: Option<&'a str>,
    /// The merchant's credentials there, JSON.
    pub credentials: Option<&'a [u8]>,
    /// The connector's settings, JSON.
    pub settings: &'a serde_json::Value,
    /// Shared by all connectors of a process.
    pub http: &'a reqwest::Client,
    /// Whether gateways that exist only for tests may be used.
    pub sandbox_mode: bool,
    /// Whatever the settings say, no call takes longer: the caller's lease must outlive it.
    pub longest_call: Duration,
}

/// Why there is no connector for a gateway account. Never shows a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The settings.
    #[error("settings: {0}")]
    Settings(String),
    /// The credentials.
    #[error("credentials: {0}")]
    Credentials(&'static str),
    /// Not outside sandbox mode.
    #[error("this gateway exists only in sandbox mode")]
    SandboxOnly,
}

impl ConnectorConfig<'_> {
    /// The address to call, without a slash at its end.
    pub(crate) fn address(&self, public: &str) -> Result<String, ConfigError> {
        self.checked_address("base_url", self.base_url.unwrap_or(public))
    }

    /// The address that this setting holds, without a slash at its end. Credentials and account numbers go there: over
    /// https, except in sandbox mode, and no credentials stand in it.
    pub(crate) fn checked_address(
        &self,
        setting: &str,
        address: &str,
    ) -> Result<String, ConfigError> {
        let text = address.trim_end_matches('/');
        let fault = |what: &str| Err(ConfigError::Settings(format!("{setting} {what}")));
        let Ok(url) = reqwest::Url::parse(text) else {
            return fault("is not a URL");
        };
        if url.scheme() != "https" && !(self.sandbox_mode && url.scheme() == "http") {
            return fault("must begin with https://");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return fault("must not hold a user name or password");
        }
        Ok(text.to_owned())
    }
}

/// One call to make, or to ask after.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Ours: the idempotency key or reference id at the gateway; 31 characters `[a-z0-9_]`.
    pub reference: &'a str,
    /// What is validated.
    pub details: &'a Details,
    /// How.
    pub method: Method,
    /// The payee's consent.
    pub consent: Option<&'a Consent>,
    /// 1 for the validation's first attempt.
    pub attempt: i16,
    /// When the attempt was written down.
    pub started_at: DateTime<Utc>,
}

/// How a gateway took a call that asks for nothing. Each with the gateway's words or HTTP status, or ours for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It knows us: the credentials are good.
    Accepted(String),
    /// It turns us away: credentials, list of IP addresses, a feature that is off.
    Refused(String),
    /// Neither can be told: it failed, is busy, or somebody else answered in its place.
    Unclear(String),
}

/// A merchant's account at a gateway, ready to be asked.
#[async_trait]
pub trait Connector: Send + Sync {
    /// How it would validate these details, or why it cannot: of the methods that the settings allow, the first that
    /// the gateway has for them and the consent suffices for.
    fn fit(&self, details: &Details, consent: Option<&Consent>) -> Result<Method, Ineligible>;

    /// What can be done about a lost answer to a call about such details by this method.
    fn recovery(&self, details: &Details, method: Method) -> Recovery;

    /// When to look again for an outcome that is pending.
    fn polling(&self, method: Method) -> &PollSchedule;

    /// How many calls the gateway account takes, and when.
    fn traffic(&self) -> &Traffic;

    /// How long one call may take.
    fn call_timeout(&self) -> Duration;

    /// Asks the gateway to validate; may move money.
    async fn verify(&self, call: &Call<'_>) -> Result<GatewayResponse, CallFailure>;

    /// The same call once more, under the same reference, after its answer was lost ([`Recovery::Resubmit`]). What turns
    /// this one away, a limit or a refused connection for example, says nothing about the first, which may have been
    /// acted upon: it is lost still.
    async fn verify_again(&self, call: &Call<'_>) -> Result<GatewayResponse, CallFailure> {
        match self.verify(call).await {
            Err(CallFailure::NotSent(why)) => Err(CallFailure::ResponseLost(why)),
            Ok(answer) if is_rejection(&answer) => {
                let why = format!("turned away with {}", answer.code);
                Err(CallFailure::ResponseLost(why))
            }
            heard => heard,
        }
    }

    /// Asks what became of a call; moves nothing. `None`: the gateway has never seen it.
    async fn lookup(
        &self,
        call: &Call<'_>,
        gateway_reference: Option<&str>,
    ) -> Result<Option<GatewayResponse>, CallFailure>;

    /// Reads a call-back of the gateway, if it really is one; `None`: it is, and about nothing that was asked for here.
    fn webhook(
        &self,
        webhook: &WebhookRequest<'_>,
    ) -> Result<Option<WebhookMessage>, WebhookError> {
        let _ = webhook;
        Err(WebhookError::NotOffered)
    }

    /// Whether call-backs name an attempt by the gateway's own id only, so that it must be found by that.
    fn webhook_names_gateway_reference(&self) -> bool {
        false
    }

    /// Finds out whether the gateway accepts the credentials, by a call that neither moves money nor asks about
    /// anybody.
    async fn check(&self) -> Result<Check, CallFailure> {
        Ok(Check::Unclear(
            "there is no call that would tell without validating somebody".into(),
        ))
    }
}

/// What a look tells that is the call made once more, as one can that moves nothing: what turns it away says nothing of
/// what is looked for.
pub(crate) fn lookup_by_repetition(
    heard: Result<GatewayResponse, CallFailure>,
) -> Result<Option<GatewayResponse>, CallFailure> {
    let answer = heard?;
    if !is_rejection(&answer) {
        return Ok(Some(answer));
    }
    Err(match answer.class {
        Class::Retryable => CallFailure::Rejected {
            retry_after: answer.retry_after,
        },
        _ => CallFailure::ResponseLost(format!("turned away with {}", answer.code)),
    })
}

/// Whether an answer is about the call only, and not about a validation: a validation that failed for the same classes
/// has the gateway's id.
fn is_rejection(answer: &GatewayResponse) -> bool {
    let class = matches!(answer.class, Class::Misconfigured | Class::Retryable);
    (class || answer.unlisted) && answer.gateway_reference.is_none()
}
