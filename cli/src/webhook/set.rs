//! `khata webhook set`.

use anyhow::Context;
use diesel::Connection;
use khata_config::SandboxSettings;
use khata_crypto::KeyringSettings;
use khata_store::audit::{Changes, record};
use khata_store::webhooks::{self, Change, EndpointSettings, shown_url};
use khata_webhooks::WebhookSecret;
use serde_json::json;
use zeroize::Zeroize;

use super::list::json_of;
use super::settings::{
    SettingsOptions, audited, limit, parse_url, public_key, public_key_line, seal, unseal,
};
use super::which::{FoundEndpoint, WhichEndpoint};
use crate::options::ActorOption;
use crate::output::changed_text;

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args([
    "url", "event_names", "all_types", "payload", "ordered", "concurrency", "calls_per_second", "url_per_account", "ed25519", "basic_user", "no_basic",
]))]
pub(crate) struct Set {
    #[command(flatten)]
    which: WhichEndpoint,
    /// URL that gets the events: https, a public host, port 443 or from 1024 on; in sandbox mode also http and this machine
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    settings: SettingsOptions,
    /// Send every type of event
    #[arg(long, conflicts_with = "event_names")]
    all_types: bool,
    /// Send no credentials any more
    #[arg(long, conflicts_with = "basic_user")]
    no_basic: bool,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
    #[command(flatten)]
    actor: ActorOption,
}

impl Set {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let sandbox_mode = self.sandbox.sandbox_mode;
        let url = self.url.as_deref();
        let url = url.map(|url| parse_url(url, sandbox_mode)).transpose()?;
        let keyring = self.keyring.load(sandbox_mode)?;
        let actor = self.actor.name(sandbox_mode)?;
        let credentials = self.settings.credentials()?;
        let (mut connection, found) = self.which.find()?;
        let FoundEndpoint { merchant, endpoint } = &found;
        let before = unseal(&keyring, endpoint)?;
        let mut after = before.clone();
        if let Some(url) = &url {
            url.as_str().clone_into(&mut after.url);
        }
        self.change_signing_key(&mut after);
        if self.no_basic || credentials.is_some() {
            if let Some(old) = &mut after.credentials {
                old.password.zeroize();
            }
            after.credentials = credentials;
        }
        // The audit log has the URL without its query.
        let is_query_changed =
            before.url != after.url && shown_url(&before.url) == shown_url(&after.url);
        let secrets = [
            ("url", is_query_changed),
            ("signing_key", before.signing_key != after.signing_key),
            ("credentials", before.credentials != after.credentials),
        ];
        let (changed, stored) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let is_same = before == after;
            let sealed = (!is_same).then(|| seal(connection, &keyring, endpoint.key(), &after));
            let sealed = sealed.transpose()?;
            let all = self.all_types.then_some(&[][..]);
            let change = Change {
                url: (!is_same).then_some(&*after.url),
                sealed_settings: sealed.as_deref(),
                event_names: self.settings.event_names.as_deref().or(all),
                payload: self.settings.payload,
                is_ordered: self.settings.ordered,
                concurrency: self.settings.concurrency,
                calls_per_second: self.settings.calls_per_second.map(limit),
                allows_url_per_account: self.settings.url_per_account,
            };
            let stored = webhooks::change(connection, endpoint.key(), endpoint.version, &change)?;
            let stored = stored.context(CHANGED_MEANWHILE)?;
            let mut changed = Changes::between(&audited(endpoint), &audited(&stored));
            for (name, _) in secrets.iter().filter(|(_, is_changed)| *is_changed) {
                changed.add_secret(name);
            }
            if !changed.is_empty() {
                let (subject, about) = (endpoint.id.to_string(), json!({}));
                let (id, action) = (merchant.id, "webhook.set");
                record(connection, id, &actor, action, &subject, about, &changed)?;
            }
            Ok((changed, stored))
        })?;
        let mut sentence = changed_text(&changed, &found.name(), "Workers");
        let is_new = before.signing_key != after.signing_key;
        let key = public_key(&after);
        sentence += &public_key_line(key.as_deref().filter(|_| is_new));
        let mut document = json_of(&stored);
        document["public_key"] = json!(key);
        document["changed"] = changed.to_json();
        self.which.common.print(&document, &sentence)
    }

    /// Makes a key pair, or removes it.
    fn change_signing_key(&self, settings: &mut EndpointSettings) {
        match self.settings.ed25519 {
            Some(true) if settings.signing_key.is_none() => {
                let key = WebhookSecret::generate_asymmetric().expose();
                settings.replace_signing_key(Some(key.to_string()), None);
            }
            Some(false) => settings.replace_signing_key(None, None),
            _ => {}
        }
    }
}

/// The error of a change of settings that are not the ones that the command has read.
pub(super) const CHANGED_MEANWHILE: &str =
    "the endpoint was changed or deleted meanwhile; run the command again";
