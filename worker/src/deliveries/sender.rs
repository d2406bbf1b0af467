//! Settings of an endpoint's calls, read from its row.

use khata_crypto::Keyring;
use khata_domain::Payload;
use khata_domain::events::EndpointId;
use khata_store::webhooks::{AccountUrl, Endpoint, EndpointSettings};
use khata_webhooks::{
    BasicCredentials, CredentialsError, EndpointUrl, SecretError, UrlError, WebhookSecret,
    WebhookSecrets,
};

/// The settings of an endpoint in the form that its calls use.
pub(super) struct EndpointSender {
    pub(super) url: EndpointUrl,
    pub(super) payload: Payload,
    pub(super) credentials: Option<BasicCredentials>,
    id: EndpointId,
    allows_url_per_account: bool,
    pub(super) secrets: WebhookSecrets,
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
        Ok(Self {
            url: EndpointUrl::parse(&settings.url, sandbox_mode)?,
            payload: endpoint.payload,
            credentials: credentials.transpose()?,
            id: endpoint.id,
            allows_url_per_account: endpoint.allows_url_per_account,
            secrets: secrets(&settings)?,
        })
    }

    /// Returns the URL of an account, if this endpoint calls it in place of its own: the merchant may have taken the permission back,
    /// or moved the endpoint to another host.
    pub(super) fn url_of(&self, account: &AccountUrl) -> Option<EndpointUrl> {
        if !self.allows_url_per_account || account.endpoint != self.id {
            return None;
        }
        // The client refuses what only sandbox mode permits.
        let url = EndpointUrl::parse(&account.url, true).ok()?;
        url.has_origin_of(&self.url).then_some(url)
    }
}

/// Returns the secrets, the newest first.
fn secrets(settings: &EndpointSettings) -> Result<WebhookSecrets, SecretError> {
    let newest = WebhookSecret::parse(&settings.secret)?;
    let key = settings.signing_key.as_deref().map(WebhookSecret::parse);
    let mut secrets = WebhookSecrets::new(newest, key.transpose()?.into_iter().collect());
    let previous = [&settings.previous, &settings.previous_signing_key];
    for previous in previous.into_iter().flatten() {
        let secret = WebhookSecret::parse(&previous.secret)?;
        secrets = secrets.and_replaced(secret, previous.until);
    }
    Ok(secrets)
}

#[cfg(test)]
pub(super) mod tests {
    use bytes::Bytes;
    use chrono::{TimeDelta, Utc};
    use khata_crypto::KeyringFile;
    use khata_domain::MerchantId;
    use khata_domain::events::{EndpointId, EndpointKey};
    use khata_store::webhooks::Credentials;
    use khata_webhooks::OutgoingMessage;

    use super::*;

    pub(in crate::deliveries) fn keyring() -> Keyring {
        Keyring::from(&KeyringFile::generate())
    }

    fn settings() -> EndpointSettings {
        EndpointSettings {
            url: "http://127.0.0.1:3000/hooks".to_owned(),
            secret: WebhookSecret::generate_symmetric().expose().to_string(),
            previous: None,
            signing_key: None,
            previous_signing_key: None,
            credentials: None,
        }
    }

    fn row(keyring: &Keyring, key: EndpointKey, settings: &EndpointSettings) -> Endpoint {
        Endpoint {
            merchant: key.merchant,
            id: key.id,
            url: settings.url.clone(),
            sealed_settings: settings.seal(keyring, key),
            event_names: Vec::new(),
            payload: Payload::Full,
            is_ordered: true,
            concurrency: 32,
            calls_per_second: None,
            allows_url_per_account: false,
            version: 1,
            created_at: Utc::now(),
            updated_at: Utc::now(),
            disabled_at: None,
            disabled_by: None,
            failing_since: None,
            last_success_at: None,
        }
    }

    /// An endpoint on this machine.
    pub(in crate::deliveries) fn endpoint(keyring: &Keyring, key: EndpointKey) -> Endpoint {
        row(keyring, key, &settings())
    }

    fn key() -> EndpointKey {
        EndpointKey {
            merchant: MerchantId::new(),
            id: EndpointId::new(),
        }
    }

    #[test]
    fn replaced_secrets_and_keys_sign_until_their_ends() {
        let (keyring, key, now) = (keyring(), key(), Utc::now());
        let mut settings = settings();
        let signing_key = || Some(WebhookSecret::generate_asymmetric().expose().to_string());
        settings.signing_key = signing_key();
        let secret = WebhookSecret::generate_symmetric().expose().to_string();
        settings.replace_secret(secret, Some(now + TimeDelta::hours(24)));
        settings.replace_signing_key(signing_key(), Some(now + TimeDelta::hours(48)));
        let sender = EndpointSender::new(&row(&keyring, key, &settings), &keyring, true).unwrap();
        for (hours, versions) in [
            (0, "v1 v1a v1 v1a"),
            (23, "v1 v1a v1 v1a"),
            (24, "v1 v1a v1a"),
            (47, "v1 v1a v1a"),
            (48, "v1 v1a"),
            (100, "v1 v1a"),
        ] {
            let sent_at = now + TimeDelta::hours(hours);
            let body = Bytes::from_static(b"{}");
            let message = OutgoingMessage::new("evt_1", sent_at, body).unwrap();
            let signatures = sender.secrets.sign(&message);
            let signed: Vec<&str> = signatures
                .split(' ')
                .filter_map(|signature| Some(signature.split_once(',')?.0))
                .collect();
            assert_eq!(signed.join(" "), versions, "{hours} h: {signatures}");
        }
        settings.replace_signing_key(None, None);
        assert!(settings.previous_signing_key.is_none());
    }

    #[test]
    fn an_endpoint_calls_only_the_urls_of_accounts_that_it_allows() {
        let (keyring, key) = (keyring(), key());
        let mut row = row(&keyring, key, &settings());
        row.allows_url_per_account = true;
        let url = |text: &str, endpoint| AccountUrl {
            endpoint,
            url: text.to_owned(),
        };
        let own = url("http://127.0.0.1:3000/orders/42?token=a", key.id);
        let sender = EndpointSender::new(&row, &keyring, true).unwrap();
        let called = sender.url_of(&own).unwrap();
        assert_eq!(called.as_str(), own.url);
        for other in [
            url("http://127.0.0.1:3001/orders/42", key.id),
            url("http://localhost:3000/orders/42", key.id),
            url(&own.url, EndpointId::new()),
        ] {
            assert_eq!(sender.url_of(&other), None, "{}", other.url);
        }
        row.allows_url_per_account = false;
        let sender = EndpointSender::new(&row, &keyring, true).unwrap();
        assert_eq!(sender.url_of(&own), None);
    }

    #[test]
    fn unusable_settings_are_an_error() {
        let (keyring, key) = (keyring(), key());
        let usable = settings();
        let with = |change: fn(&mut EndpointSettings)| {
            let mut settings = usable.clone();
            change(&mut settings);
            row(&keyring, key, &settings)
        };
        let other = EndpointKey {
            merchant: MerchantId::new(),
            ..key
        };
        let stranger = Endpoint {
            merchant: other.merchant,
            ..row(&keyring, key, &usable)
        };
        for (endpoint, sandbox_mode, expected) in [
            (row(&keyring, key, &usable), true, "none"),
            (row(&keyring, key, &usable), false, "Url"),
            (
                with(|settings| settings.secret = "whsec_".to_owned()),
                true,
                "Secret",
            ),
            (
                with(|settings| {
                    settings.credentials = Some(Credentials {
                        user: "a:b".to_owned(),
                        password: "secret".to_owned(),
                    });
                }),
                true,
                "Credentials",
            ),
            (stranger, true, "Encrypted"),
        ] {
            let failure = EndpointSender::new(&endpoint, &keyring, sandbox_mode).err();
            let failure = failure.map_or("none".to_owned(), |failure| format!("{failure:?}"));
            assert!(failure.starts_with(expected), "{expected}: {failure}");
        }
    }
}
