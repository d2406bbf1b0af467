//! What an endpoint's calls need, read from its row.

use chrono::{DateTime, Utc};
use khata_crypto::Keyring;
use khata_domain::Payload;
use khata_domain::events::EndpointKey;
use khata_store::webhooks::{Endpoint, EndpointSettings};
use khata_webhooks::{
    BasicCredentials, CredentialsError, EndpointUrl, SecretError, UrlError, WebhookSecret,
    WebhookSecrets,
};

/// The settings of an endpoint in the form that its calls use.
pub(super) struct EndpointSender {
    pub(super) key: EndpointKey,
    pub(super) url: EndpointUrl,
    pub(super) payload: Payload,
    pub(super) credentials: Option<BasicCredentials>,
    secrets: WebhookSecrets,
    /// The secrets until this time, while the merchant replaces one.
    rotating: Option<(WebhookSecrets, DateTime<Utc>)>,
}

/// Why an endpoint gets no calls.
#[derive(Debug, thiserror::Error)]
pub(super) enum SenderError {
    #[error("cannot decrypt the settings; check that the keyring holds their key")]
    Encrypted,
    #[error("{0}")]
    Url(#[from] UrlError),
    #[error("{0}")]
    Secret(#[from] SecretError),
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
}

impl EndpointSender {
    pub(super) fn new(
        endpoint: &Endpoint,
        keyring: &Keyring,
        sandbox_mode: bool,
    ) -> Result<Self, SenderError> {
        let settings = endpoint.settings(keyring);
        let settings = settings.map_err(|_| SenderError::Encrypted)?;
        let credentials = settings.credentials.as_ref();
        let credentials = credentials
            .map(|credentials| BasicCredentials::new(&credentials.user, &credentials.password));
        let rotating = settings.previous.as_ref().map(|previous| {
            let secrets = secrets(&settings, Some(&previous.secret));
            secrets.map(|secrets| (secrets, previous.until))
        });
        Ok(Self {
            key: endpoint.key(),
            url: EndpointUrl::parse(&settings.url, sandbox_mode)?,
            payload: endpoint.payload,
            credentials: credentials.transpose()?,
            secrets: secrets(&settings, None)?,
            rotating: rotating.transpose()?,
        })
    }

    /// Returns the secrets that sign at this time.
    pub(super) fn secrets(&self, now: DateTime<Utc>) -> &WebhookSecrets {
        match &self.rotating {
            Some((secrets, until)) if now < *until => secrets,
            _ => &self.secrets,
        }
    }
}

/// Returns the secrets, the newest first.
fn secrets(
    settings: &EndpointSettings,
    previous: Option<&String>,
) -> Result<WebhookSecrets, SecretError> {
    let newest = WebhookSecret::parse(&settings.secret)?;
    let others = settings.signing_key.iter().chain(previous);
    let others: Result<Vec<_>, _> = others.map(|text| WebhookSecret::parse(text)).collect();
    Ok(WebhookSecrets::new(newest, others?))
}
