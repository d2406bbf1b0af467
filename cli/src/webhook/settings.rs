//! The settings of a webhook endpoint, as options, as JSON, and in the audit log.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, bail};
use diesel::PgConnection;
use khata_crypto::{Keyring, secret_buf};
use khata_domain::events::{EndpointKey, EventName, Payload};
use khata_store::encryption_counts;
use khata_store::webhooks::{Credentials, Endpoint, EndpointSettings};
use khata_webhooks::{BasicCredentials, EndpointUrl, WebhookSecret};
use serde_json::{Value, json};

use crate::options::parse_event_name;

/// Maximum size of a file with a password.
const MAX_PASSWORD: usize = 4 * 1024;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct SettingsOptions {
    /// Events that the endpoint gets, as CUSTOMER_ACCOUNT_ACTIVE,CUSTOMER_ACCOUNT_FAILURE [new endpoints: all]
    #[arg(long = "type", value_name = "EVENT,…", value_delimiter = ',', value_parser = parse_subscribed)]
    pub(super) event_names: Option<Vec<EventName>>,
    /// How much of the account an event holds: FULL, as the API's replies; MASKED, numbers masked, without names and metadata; THIN,
    /// ids, status and version [new endpoints: FULL]
    #[arg(long, value_name = "FULL|MASKED|THIN", value_parser = parse_payload)]
    pub(super) payload: Option<Payload>,
    /// Deliver the events of an account in the order of its versions: an event waits until the one before is delivered or given up
    /// [new endpoints: true]
    #[arg(long, value_name = "true|false")]
    pub(super) ordered: Option<bool>,
    /// Maximum calls at once, 1 to 256 [new endpoints: 32]
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(i16).range(1..=256))]
    pub(super) concurrency: Option<i16>,
    /// Maximum calls per second, 1 to 10000; 0: no limit [new endpoints: 0]
    #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(i32).range(0..=10_000))]
    pub(super) calls_per_second: Option<i32>,
    /// Let calls that create accounts name another URL of its scheme, host and port, as `webhook_url`, for the events of the account
    /// [new endpoints: false]
    #[arg(long, value_name = "true|false")]
    pub(super) url_per_account: Option<bool>,
    /// Also sign by Ed25519 (v1a); `webhook show` prints the public key [new endpoints: false]
    #[arg(long, value_name = "true|false")]
    pub(super) ed25519: Option<bool>,
    /// User name for Basic authentication at the endpoint
    #[arg(long, value_name = "NAME", requires = "basic_password_file")]
    basic_user: Option<String>,
    /// File with the password for Basic authentication, `-` for standard input
    #[arg(long, value_name = "FILE", requires = "basic_user")]
    basic_password_file: Option<PathBuf>,
}

impl SettingsOptions {
    /// Reads the password and checks the credentials.
    pub(super) fn credentials(&self) -> anyhow::Result<Option<Credentials>> {
        let (Some(user), Some(path)) = (&self.basic_user, &self.basic_password_file) else {
            return Ok(None);
        };
        let bytes = if path.as_os_str() == "-" {
            secret_buf::read(std::io::stdin(), MAX_PASSWORD)?
        } else {
            let file =
                File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            secret_buf::read(file, MAX_PASSWORD)?
        };
        let bytes = bytes.context("the password is longer than 4 KiB")?;
        let password = std::str::from_utf8(&bytes).context("the password is not UTF-8")?;
        // Editors and `echo` end the file with a line break.
        let password = password.trim_end_matches(['\r', '\n']);
        BasicCredentials::new(user, password)?;
        Ok(Some(Credentials {
            user: user.clone(),
            password: password.to_owned(),
        }))
    }
}

/// Returns the limit of calls per second; 0 is none.
pub(super) fn limit(calls: i32) -> Option<i32> {
    (calls > 0).then_some(calls)
}

/// Parses the name of an event that an endpoint can choose.
fn parse_subscribed(word: &str) -> Result<EventName, String> {
    match parse_event_name(word)? {
        EventName::EndpointTest => {
            Err("`khata webhook test` sends this event to one endpoint, whatever its types".into())
        }
        name => Ok(name),
    }
}

fn parse_payload(word: &str) -> Result<Payload, &'static str> {
    Payload::parse(&word.to_ascii_uppercase()).ok_or("expected FULL, MASKED or THIN")
}

pub(super) fn parse_url(text: &str, sandbox_mode: bool) -> anyhow::Result<EndpointUrl> {
    EndpointUrl::parse(text, sandbox_mode).context("--url")
}

/// Encrypts the settings for the endpoint, and counts the encryption.
pub(super) fn seal(
    connection: &mut PgConnection,
    keyring: &Keyring,
    key: EndpointKey,
    settings: &EndpointSettings,
) -> anyhow::Result<Vec<u8>> {
    encryption_counts::add(connection, keyring.primary(), 1)?;
    Ok(settings.seal(keyring, key))
}

/// Decrypts the settings of an endpoint.
pub(super) fn unseal(keyring: &Keyring, endpoint: &Endpoint) -> anyhow::Result<EndpointSettings> {
    let Ok(settings) = endpoint.settings(keyring) else {
        bail!(
            "the settings of {} cannot be decrypted: their key is missing from the keyring, or they were altered; give the command the \
             services' keyring",
            endpoint.id
        );
    };
    Ok(settings)
}

/// Returns the public key of an endpoint that signs by Ed25519 too.
pub(super) fn public_key(settings: &EndpointSettings) -> Option<String> {
    let key = settings.signing_key.as_deref()?;
    WebhookSecret::parse(key).ok()?.public_key()
}

/// Returns a further line that prints the key.
pub(super) fn public_key_line(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| {
        format!("\nThe public key for v1a signatures is {key}.")
    })
}

/// Returns the settings as the audit log names them. Secrets are not among them.
pub(super) fn audited(endpoint: &Endpoint) -> Value {
    json!({
        "url": endpoint.url,
        "event_names": endpoint.event_names,
        "payload": endpoint.payload.as_str(),
        "is_ordered": endpoint.is_ordered,
        "concurrency": endpoint.concurrency,
        "calls_per_second": endpoint.calls_per_second,
        "allow_url_per_account": endpoint.allows_url_per_account,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_chooses_events_and_a_payload_by_their_words() {
        assert_eq!(
            parse_subscribed("CUSTOMER_ACCOUNT_ACTIVE"),
            Ok(EventName::Active)
        );
        assert_eq!(
            parse_subscribed("webhook_endpoint_disabled"),
            Ok(EventName::EndpointDisabled)
        );
        for word in ["", "ACTIVE", "WEBHOOK_ENDPOINT_TEST"] {
            assert!(parse_subscribed(word).is_err(), "{word}");
        }
        assert_eq!(parse_payload("thin"), Ok(Payload::Thin));
        assert!(parse_payload("small").is_err());
    }
}
