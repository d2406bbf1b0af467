//! Reads the requests about webhook endpoints, and turns them into what the store needs.

#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use khata_domain::events::{EndpointId, EventName, Payload};
use khata_store::webhooks::{
    Change, Credentials, DEFAULT_CONCURRENCY, Endpoint, EndpointSettings, NewEndpoint, shown_url,
};
use khata_webhooks::{BasicCredentials, EndpointUrl, WebhookSecret};
use serde_json::{Map, Value};

use crate::decode::Fields;
use crate::error::FaultCode::Conflict;
use crate::error::{ApiError, Faults};
use crate::schema::{
    ALLOW_URL_PER_ACCOUNT, BASIC_PASSWORD, BASIC_USER, CALLS_PER_SECOND, CONCURRENCY,
    ENDPOINT_FIELDS, ENDPOINT_URL, EVENT_NAMES, IS_ORDERED, PAYLOAD, PREVIOUS_SECRET_HOURS,
    REPLACED, ROTATE_FIELDS, SIGNATURE, Signature,
};

/// Hours for which the secret before signs if the merchant names no number.
const DEFAULT_HOURS: i64 = 24;

/// The fields of a call that creates or changes an endpoint.
struct Given {
    url: Option<EndpointUrl>,
    /// Empty: all.
    event_names: Option<Vec<EventName>>,
    payload: Option<Payload>,
    is_ordered: Option<bool>,
    concurrency: Option<i16>,
    /// 0: no limit.
    calls_per_second: Option<i32>,
    allows_url_per_account: Option<bool>,
    signature: Option<Signature>,
    /// User and password; an empty user: none any more.
    credentials: Option<(String, String)>,
}

impl Given {
    fn read(fields: &mut Fields<'_>, sandbox_mode: bool) -> Self {
        let url = fields.optional(&ENDPOINT_URL);
        let number = |number: Option<i64>| number.and_then(|number| i32::try_from(number).ok());
        let given = Self {
            url: url.and_then(|text| {
                EndpointUrl::parse(&text, sandbox_mode)
                    .map_err(|error| fields.refuse(&ENDPOINT_URL, &error))
                    .ok()
            }),
            event_names: fields.event_names(&EVENT_NAMES),
            payload: fields.optional(&PAYLOAD),
            is_ordered: fields.flag(&IS_ORDERED),
            concurrency: number(fields.number(&CONCURRENCY))
                .and_then(|calls| calls.try_into().ok()),
            calls_per_second: number(fields.number(&CALLS_PER_SECOND)),
            allows_url_per_account: fields.flag(&ALLOW_URL_PER_ACCOUNT),
            signature: fields.optional(&SIGNATURE),
            credentials: credentials(fields),
        };
        fields.only(&ENDPOINT_FIELDS);
        given
    }

    /// The limit of calls per second that the store keeps for this one.
    fn calls_per_second(&self) -> Option<i32> {
        self.calls_per_second.filter(|calls| *calls > 0)
    }

    /// The credentials that the settings keep for these.
    fn credentials(&self) -> Option<Credentials> {
        let (user, password) = self.credentials.clone()?;
        (!user.is_empty()).then_some(Credentials { user, password })
    }
}

/// Reads the credentials: a user without a password has an empty one.
fn credentials(fields: &mut Fields<'_>) -> Option<(String, String)> {
    let user = fields.optional(&BASIC_USER);
    let password = fields.secret(&BASIC_PASSWORD);
    if password.is_some() && user.as_ref().is_none_or(String::is_empty) {
        if !fields.has(&BASIC_USER) || user.is_some() {
            fields.fault(BASIC_PASSWORD.name, Conflict, "requires basic_user");
        }
        return None;
    }
    let user = user?;
    let password = password.unwrap_or_default();
    if let Err(error) = BasicCredentials::new(&user, &password) {
        fields.refuse(&BASIC_USER, &error);
    }
    Some((user, password))
}

/// A valid *create webhook endpoint* call.
pub(super) struct CreateRequest {
    url: EndpointUrl,
    given: Given,
}

impl CreateRequest {
    /// Reads a decoded body. Reports every fault.
    pub(super) fn read(body: &Map<String, Value>, sandbox_mode: bool) -> Result<Self, ApiError> {
        let mut faults = Faults::default();
        let fields = &mut Fields::of(body, &mut faults);
        fields.require(&ENDPOINT_URL);
        let mut given = Given::read(fields, sandbox_mode);
        match given.url.take().filter(|_| faults.is_empty()) {
            Some(url) => Ok(Self { url, given }),
            None => Err(ApiError::Invalid(faults.into_list())),
        }
    }

    /// The settings of the endpoint, with a new secret.
    pub(super) fn settings(&self) -> EndpointSettings {
        let given = &self.given;
        EndpointSettings {
            url: self.url.as_str().to_owned(),
            secret: new_secret(),
            previous: None,
            signing_key: (given.signature == Some(Signature::V1a)).then(new_signing_key),
            previous_signing_key: None,
            credentials: given.credentials(),
        }
    }

    /// The endpoint as the store takes it, with the URL as it is shown.
    pub(super) fn to_store<'a>(
        &'a self,
        id: EndpointId,
        url: &'a str,
        sealed_settings: &'a [u8],
    ) -> NewEndpoint<'a> {
        let given = &self.given;
        NewEndpoint {
            id,
            url,
            sealed_settings,
            event_names: given.event_names.as_deref().unwrap_or_default(),
            payload: given.payload.unwrap_or(Payload::Full),
            is_ordered: given.is_ordered.unwrap_or(true),
            concurrency: given.concurrency.unwrap_or(DEFAULT_CONCURRENCY),
            calls_per_second: given.calls_per_second(),
            allows_url_per_account: given.allows_url_per_account.unwrap_or(false),
        }
    }
}

/// A valid *change webhook endpoint* call.
pub(super) struct ChangeRequest(Given);

impl ChangeRequest {
    /// Reads a decoded body. Reports every fault.
    pub(super) fn read(body: &Map<String, Value>, sandbox_mode: bool) -> Result<Self, ApiError> {
        let mut faults = Faults::default();
        let given = Given::read(&mut Fields::of(body, &mut faults), sandbox_mode);
        faults.check()?;
        Ok(Self(given))
    }

    /// Changes an endpoint and its settings. Returns the names of the secrets that change.
    pub(super) fn apply(
        &self,
        endpoint: &mut Endpoint,
        settings: &mut EndpointSettings,
    ) -> Vec<&'static str> {
        let given = &self.0;
        let mut secrets = Vec::new();
        if let Some(url) = given.url.as_ref().map(EndpointUrl::as_str) {
            let shown = shown_url(url);
            if url != settings.url && shown == endpoint.url {
                // The query alone changes.
                secrets.push("url");
            }
            url.clone_into(&mut settings.url);
            endpoint.url = shown;
        }
        if let Some(names) = &given.event_names {
            endpoint.event_names = names.iter().map(EventName::to_string).collect();
        }
        if let Some(payload) = given.payload {
            endpoint.payload = payload;
        }
        if let Some(is_ordered) = given.is_ordered {
            endpoint.is_ordered = is_ordered;
        }
        if let Some(concurrency) = given.concurrency {
            endpoint.concurrency = concurrency;
        }
        if given.calls_per_second.is_some() {
            endpoint.calls_per_second = given.calls_per_second();
        }
        if let Some(allows) = given.allows_url_per_account {
            endpoint.allows_url_per_account = allows;
        }
        let has_key = settings.signing_key.is_some();
        match given.signature {
            Some(Signature::V1) if has_key => {
                settings.replace_signing_key(None, None);
                secrets.push("signing_key");
            }
            Some(Signature::V1a) if !has_key => {
                settings.replace_signing_key(Some(new_signing_key()), None);
                secrets.push("signing_key");
            }
            Some(Signature::V1 | Signature::V1a) | None => {}
        }
        if given.credentials.is_some() && settings.credentials != given.credentials() {
            settings.credentials = given.credentials();
            secrets.push("credentials");
        }
        secrets
    }
}

/// All settings of an endpoint as the store takes a change, but the names of its events only if they change.
pub(super) fn to_store<'a>(
    endpoint: &'a Endpoint,
    event_names: Option<&'a [EventName]>,
    sealed_settings: &'a [u8],
) -> Change<'a> {
    Change {
        url: Some(&endpoint.url),
        sealed_settings: Some(sealed_settings),
        event_names,
        payload: Some(endpoint.payload),
        is_ordered: Some(endpoint.is_ordered),
        concurrency: Some(endpoint.concurrency),
        calls_per_second: Some(endpoint.calls_per_second),
        allows_url_per_account: Some(endpoint.allows_url_per_account),
    }
}

/// A valid *rotate secret* call.
pub(super) struct NewSecret {
    /// `V1`: the secret is replaced. `V1a`: the key pair.
    replaced: Signature,
    /// Until when the secret or the key pair before signs; `None`: no longer.
    until: Option<DateTime<Utc>>,
}

impl NewSecret {
    pub(super) fn read(body: &Map<String, Value>, now: DateTime<Utc>) -> Result<Self, ApiError> {
        let mut faults = Faults::default();
        let fields = &mut Fields::of(body, &mut faults);
        let hours = fields
            .number(&PREVIOUS_SECRET_HOURS)
            .unwrap_or(DEFAULT_HOURS);
        let replaced = fields.optional(&REPLACED).unwrap_or(Signature::V1);
        fields.only(&ROTATE_FIELDS);
        faults.check()?;
        Ok(Self {
            replaced,
            until: (hours > 0).then(|| now + TimeDelta::hours(hours)),
        })
    }

    /// Replaces the secret or the key pair. Returns the names of the secrets that change.
    pub(super) fn apply(
        &self,
        settings: &mut EndpointSettings,
    ) -> Result<Vec<&'static str>, ApiError> {
        match self.replaced {
            Signature::V1 => {
                settings.replace_secret(new_secret(), self.until);
                Ok(vec!["secret"])
            }
            Signature::V1a if settings.signing_key.is_some() => {
                settings.replace_signing_key(Some(new_signing_key()), self.until);
                Ok(vec!["signing_key"])
            }
            Signature::V1a => Err(ApiError::field(
                REPLACED.name,
                Conflict,
                "must be v1: the endpoint has no key pair; change the endpoint's signature to v1a to make one",
            )),
        }
    }

    /// Whether the reply shows the secret.
    pub(super) fn is_secret(&self) -> bool {
        self.replaced == Signature::V1
    }
}

/// Reads the body of a call that has no fields.
pub(super) fn read_nothing(body: &Map<String, Value>) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    Fields::of(body, &mut faults).only(&[]);
    faults.check().map_err(ApiError::Invalid)
}

fn new_secret() -> String {
    WebhookSecret::generate_symmetric().expose().to_string()
}

fn new_signing_key() -> String {
    WebhookSecret::generate_asymmetric().expose().to_string()
}
