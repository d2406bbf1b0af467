//! `khata webhook rotate-secret`.

use anyhow::Context;
use chrono::{TimeDelta, Utc};
use diesel::Connection;
use khata_config::SandboxSettings;
use khata_crypto::KeyringSettings;
use khata_store::audit::{Changes, record};
use khata_store::webhooks::{self, Change, PreviousSecret};
use khata_webhooks::WebhookSecret;
use serde_json::json;
use zeroize::{Zeroize, Zeroizing};

use super::list::json_of;
use super::set::CHANGED_MEANWHILE;
use super::settings::{seal, unseal};
use super::which::{FoundEndpoint, WhichEndpoint};
use crate::options::ActorOption;
use crate::output::time;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RotateSecret {
    #[command(flatten)]
    which: WhichEndpoint,
    /// Hours for which the old secret signs beside the new one: 0 (it stops at once) to 168
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=168))]
    overlap_hours: u16,
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
        let ends_early = settings.previous.as_ref().map(|before| before.until);
        let ends_early = ends_early.filter(|until| *until > now).map(time);
        if let Some(before) = &mut settings.previous {
            before.secret.zeroize();
        }
        let fresh = WebhookSecret::generate_symmetric().expose().to_string();
        let old = Zeroizing::new(std::mem::replace(&mut settings.secret, fresh));
        let until =
            (self.overlap_hours > 0).then(|| now + TimeDelta::hours(self.overlap_hours.into()));
        settings.previous = until.map(|until| PreviousSecret {
            secret: old.to_string(),
            until,
        });
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
            changes.add_secret("secret");
            let (subject, about) = (
                endpoint.id.to_string(),
                json!({ "old_secret_until": until }),
            );
            let (id, action) = (merchant.id, "webhook.rotate-secret");
            record(connection, id, &actor, action, &subject, about, &changes)?;
            Ok(stored)
        })?;
        let mut document = json_of(&stored);
        document["secret"] = settings.secret.as_str().into();
        document["old_secret_until"] = json!(until);
        let old = match until {
            Some(until) => format!("also signs until {until}"),
            None => "signs no request that begins more than five seconds from now".to_owned(),
        };
        let mut text = format!(
            "{}\nThis secret is shown once. It signs the requests to {} within five seconds. The old secret {old}.",
            settings.secret,
            found.name()
        );
        if let Some(until) = ends_early {
            text += &format!(
                "\nThe secret before the old one, which would have signed until {until}, signs no more."
            );
        }
        self.which.common.print(&document, &text)
    }
}
