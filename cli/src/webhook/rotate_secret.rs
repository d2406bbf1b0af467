//! `khata webhook rotate-secret`.

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::Connection;
use khata_config::SandboxSettings;
use khata_crypto::KeyringSettings;
use khata_store::audit::{Changes, record};
use khata_store::webhooks::{self, Change, EndpointSettings};
use khata_webhooks::WebhookSecret;
use serde_json::json;

use super::list::json_of;
use super::set::CHANGED_MEANWHILE;
use super::settings::{public_key, seal, unseal};
use super::which::{FoundEndpoint, WhichEndpoint};
use crate::options::ActorOption;
use crate::output::time;
use crate::times::parse_hours;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RotateSecret {
    #[command(flatten)]
    which: WhichEndpoint,
    /// Time for which the old secret or key pair signs beside the new one: 0 (it stops at once) to 7d, as 24h
    #[arg(
        long = "overlap",
        alias = "overlap-hours",
        value_name = "TIME",
        default_value = "24h",
        value_parser = |text: &str| parse_hours(text, &(0..=168))
    )]
    overlap_hours: u16,
    /// Replace the key pair of the v1a signatures in place of the secret
    #[arg(long)]
    ed25519: bool,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
    #[command(flatten)]
    actor: ActorOption,
}

impl RotateSecret {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let sandbox_mode = self.sandbox.sandbox_mode;
        let keyring = self.keyring.load(sandbox_mode)?;
        let actor = self.actor.name(sandbox_mode)?;
        let (mut connection, found) = self.which.find()?;
        let FoundEndpoint { merchant, endpoint } = &found;
        let mut settings = unseal(&keyring, endpoint)?;
        let now = Utc::now();
        let until =
            (self.overlap_hours > 0).then(|| now + TimeDelta::hours(self.overlap_hours.into()));
        let before = self.replace(&mut settings, until)?;
        let ends_early = before.filter(|before| *before > now).map(time);
        let until = until.map(time);
        let stored = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let sealed = seal(connection, &keyring, endpoint.key(), &settings)?;
            let change = Change {
                sealed_settings: Some(&sealed),
                ..Change::default()
            };
            let stored = webhooks::change(connection, endpoint.key(), endpoint.version, &change)?;
            let stored = stored.context(CHANGED_MEANWHILE)?;
            let mut changes = Changes::default();
            let replaced = if self.ed25519 {
                "signing_key"
            } else {
                "secret"
            };
            changes.add_secret(replaced);
            let until_name = self.until_name();
            let (subject, about) = (endpoint.id.to_string(), json!({ until_name: until }));
            let (id, action) = (merchant.id, "webhook.rotate-secret");
            record(connection, id, &actor, action, &subject, about, &changes)?;
            Ok(stored)
        })?;
        let mut document = json_of(&stored);
        document["public_key"] = json!(public_key(&settings));
        document[self.until_name()] = json!(until);
        if !self.ed25519 {
            document["secret"] = settings.secret.as_str().into();
        }
        let text = self.text(&settings, &found, until, ends_early);
        self.which.common.print(&document, &text)
    }

    /// Returns the member that says until when the old secret or key pair signs.
    fn until_name(&self) -> &'static str {
        if self.ed25519 {
            "old_public_key_until"
        } else {
            "old_secret_until"
        }
    }

    /// Replaces the secret or the key pair. Returns until when the one before the old one would have signed.
    fn replace(
        &self,
        settings: &mut EndpointSettings,
        until: Option<DateTime<Utc>>,
    ) -> anyhow::Result<Option<DateTime<Utc>>> {
        if !self.ed25519 {
            let before = settings.previous.as_ref().map(|before| before.until);
            let secret = WebhookSecret::generate_symmetric().expose();
            settings.replace_secret(secret.to_string(), until);
            return Ok(before);
        }
        if settings.signing_key.is_none() {
            bail!(
                "the endpoint has no key pair: make one with `khata webhook set … --ed25519 true`"
            );
        }
        let before = settings.previous_signing_key.as_ref();
        let before = before.map(|before| before.until);
        let key = WebhookSecret::generate_asymmetric().expose();
        settings.replace_signing_key(Some(key.to_string()), until);
        Ok(before)
    }

    fn text(
        &self,
        settings: &EndpointSettings,
        found: &FoundEndpoint,
        until: Option<String>,
        ends_early: Option<String>,
    ) -> String {
        let name = found.name();
        let (fresh, kind) = if self.ed25519 {
            let key = public_key(settings).unwrap_or_default();
            let text = format!(
                "{key}\nThis public key verifies the v1a signatures of the requests to {name} within five seconds."
            );
            (text, "key pair")
        } else {
            let secret = &settings.secret;
            let text = format!(
                "{secret}\nThis secret is shown once. It signs the requests to {name} within five seconds."
            );
            (text, "secret")
        };
        let old = match until {
            Some(until) => format!("also signs until {until}"),
            None => "signs no request that begins more than five seconds from now".to_owned(),
        };
        let ended = ends_early.map(|until| {
            format!(
                "\nThe {kind} before the old one, which would have signed until {until}, signs no more."
            )
        });
        format!("{fresh} The old {kind} {old}.{}", ended.unwrap_or_default())
    }
}
