//! The [`Connector`] trait: the calls that Khata makes to a gateway.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use khata_domain::routing::Ineligible;
use khata_domain::validation::{CallResult, PollSchedule};
use khata_domain::{
    CallFailure, Class, Consent, Details, GatewayResponse, LateCalls, Method, Recovery,
};

use crate::meaning::lost;
use crate::policy::{CallPolicy, eligible_method};
use crate::webhook::{WebhookError, WebhookMessage, WebhookRequest};

/// Result of a lookup; `None` if the gateway has never seen the call.
pub type LookupResult = Result<Option<GatewayResponse>, CallFailure>;

/// One call to make, or to look up.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Our idempotency key or reference id at the gateway; 31 characters `[a-z0-9_]`.
    pub reference: &'a str,
    pub details: &'a Details,
    pub method: Method,
    /// The payee's consent.
    pub consent: Option<&'a Consent>,
    /// Number of the attempt: 1 for the validation's first.
    pub attempt: i16,
    /// When the attempt was recorded.
    pub started_at: DateTime<Utc>,
}

/// Reaction of a gateway to the check of our credentials. The text is the gateway's code or HTTP status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The gateway accepts the credentials.
    Accepted(String),
    /// The gateway rejects us: credentials, IP allow-list, a feature that is off.
    Refused(String),
    /// The response does not decide: the gateway failed or is busy, or a proxy replied in its place.
    Unclear(String),
}

/// Calls one gateway account of a merchant.
#[async_trait]
pub trait Connector: Send + Sync {
    /// Returns the limits and the schedule of the gateway account's calls.
    fn policy(&self) -> &CallPolicy;

    /// Returns the method by which the gateway would validate these details: the first of the allowed methods that suits
    /// the details and that the consent suffices for.
    fn eligible_method(
        &self,
        details: &Details,
        consent: Option<&Consent>,
    ) -> Result<Method, Ineligible> {
        let consent = consent.filter(|_| self.has_upi_penny_drop());
        let method = eligible_method(&self.policy().methods, details, consent)?;
        self.check_limits(details).map(|()| method)
    }

    /// Whether a penny drop to a UPI address is possible.
    fn has_upi_penny_drop(&self) -> bool {
        false
    }

    /// Checks whether the gateway takes details of this form.
    fn check_limits(&self, _details: &Details) -> Result<(), Ineligible> {
        Ok(())
    }

    /// Declares what can be done after the response to a call with these details and this method was lost.
    fn recovery(&self, details: &Details, method: Method) -> Recovery;

    /// Declares what a lookup that does not find a call with these details proves.
    fn late_calls(&self, _details: &Details) -> LateCalls {
        LateCalls::default()
    }

    /// Returns the waits between polls of a pending outcome.
    fn polling(&self, _method: Method) -> &PollSchedule {
        &self.policy().polling
    }

    /// Asks the gateway to validate; may move money.
    async fn verify(&self, call: &Call<'_>) -> CallResult;

    /// Makes the same call again, under the same reference, after its response was lost ([`Recovery::Resubmit`]), or while it has
    /// not arrived ([`LateCalls::refuses_repeats`]). A rejection of this call, by a rate limit or a refused connection for example, says nothing about the first one, on
    /// which the gateway may have acted: the response of the first call stays lost.
    async fn verify_again(&self, call: &Call<'_>) -> CallResult {
        match self.verify(call).await {
            Err(CallFailure::NotSent(reason)) => Err(lost(reason)),
            Ok(response) if is_rejection(&response) => {
                Err(lost(format!("call rejected with {}", response.code)))
            }
            result => result,
        }
    }

    /// Asks for the state of a call; moves nothing.
    async fn lookup(&self, call: &Call<'_>, gateway_reference: Option<&str>) -> LookupResult;

    /// Verifies and reads a webhook of the gateway; `None` if it is genuine and concerns no call of Khata's.
    fn webhook(
        &self,
        _webhook: &WebhookRequest<'_>,
    ) -> Result<Option<WebhookMessage>, WebhookError> {
        Err(WebhookError::NotSupported)
    }

    /// Whether webhooks name an attempt by the gateway's own id only, so that the attempt must be found by that id.
    fn webhook_names_gateway_reference(&self) -> bool {
        false
    }

    /// Finds out whether the gateway accepts the credentials, by a call that moves no money and concerns no payee.
    async fn check(&self) -> Result<Check, CallFailure> {
        Ok(Check::Unclear(
            "the gateway has no call that checks credentials only".into(),
        ))
    }
}

/// Maps the result of repeating a call that moves no money to the result of a lookup. A rejection of the repeated call
/// says nothing about the first one.
pub(crate) fn as_lookup(result: CallResult) -> LookupResult {
    let response = result?;
    if is_rejection(&response) {
        Err(rejected_lookup(&response))
    } else {
        Ok(Some(response))
    }
}

/// Returns the failure of a lookup that got this rejection.
pub(crate) fn rejected_lookup(rejection: &GatewayResponse) -> CallFailure {
    match rejection.class {
        Class::Retryable => CallFailure::Rejected {
            retry_after: rejection.retry_after,
        },
        _ => lost(format!("call rejected with {}", rejection.code)),
    }
}

/// Whether a response concerns the call only, and no validation: a validation that failed with the same class has the
/// gateway's id.
fn is_rejection(response: &GatewayResponse) -> bool {
    let class = matches!(response.class, Class::Misconfigured | Class::Retryable);
    let is_unknown = response.unlisted && !response.class.is_final();
    (class || is_unknown) && response.gateway_reference.is_none()
}
