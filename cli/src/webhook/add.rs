//! `khata webhook add`.

use anyhow::Context;
use diesel::{Connection, PgConnection};
use khata_config::SandboxSettings;
use khata_crypto::{Keyring, KeyringSettings};
use khata_domain::events::{EndpointId, EndpointKey, Payload};
use khata_store::audit::{Actor, Changes, record};
use khata_store::merchants::Merchant;
use khata_store::webhooks::{
    self, DEFAULT_CONCURRENCY, Endpoint, EndpointSettings, MAX_ENDPOINTS, NewEndpoint,
};
use khata_webhooks::WebhookSecret;
use serde_json::{Value, json};

use super::list::json_of;
use super::settings::{
    SettingsOptions, audited, limit, parse_url, public_key, public_key_line, seal,
};
use super::which::name;
use crate::options::{ActorOption, CommonOptions, MerchantOption};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Add {
    #[command(flatten)]
    merchant: MerchantOption,
    /// URL that gets the events: https, a public host, port 443 or from 1024 on; in sandbox mode also http and this machine
    #[arg(long)]
    url: String,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
    #[command(flatten)]
    actor: ActorOption,
}

impl Add {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let sandbox_mode = self.sandbox.sandbox_mode;
        let url = parse_url(&self.url, sandbox_mode)?;
        let keyring = self.keyring.load(sandbox_mode)?;
        let actor = self.actor.name(sandbox_mode)?;
        let signs_by_ed25519 = self.settings.ed25519.unwrap_or(false);
        let signing_key = signs_by_ed25519.then(|| WebhookSecret::generate_asymmetric().expose());
        let settings = EndpointSettings {
            url: url.as_str().to_owned(),
            secret: WebhookSecret::generate_symmetric().expose().to_string(),
            previous: None,
            signing_key: signing_key.map(|key| key.to_string()),
            previous_signing_key: None,
            credentials: self.settings.credentials()?,
        };
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let endpoint = connection.transaction(|connection| {
            self.store(connection, &keyring, &actor, &merchant, &settings)
        })?;
        let mut document = json_of(&endpoint);
        document["secret"] = settings.secret.as_str().into();
        document["public_key"] = json!(public_key(&settings));
        let key = public_key(&settings);
        let text = format!(
            "{}\nThis secret is shown once. Added {}; its calls begin with the next event. Try it with `khata webhook test {} \
             --merchant {}`.{}",
            settings.secret,
            name(&endpoint, &merchant),
            endpoint.id,
            merchant.name,
            public_key_line(key.as_deref())
        );
        self.common.print(&document, &text)
    }

    /// Stores the endpoint and the audit log's line.
    fn store(
        &self,
        connection: &mut PgConnection,
        keyring: &Keyring,
        actor: &Actor,
        merchant: &Merchant,
        settings: &EndpointSettings,
    ) -> anyhow::Result<Endpoint> {
        let key = EndpointKey {
            merchant: merchant.id,
            id: EndpointId::new(),
        };
        let sealed_settings = seal(connection, keyring, key, settings)?;
        let new = NewEndpoint {
            id: key.id,
            url: &settings.url,
            sealed_settings: &sealed_settings,
            event_names: self.settings.event_names.as_deref().unwrap_or_default(),
            payload: self.settings.payload.unwrap_or(Payload::Full),
            is_ordered: self.settings.ordered.unwrap_or(true),
            concurrency: self.settings.concurrency.unwrap_or(DEFAULT_CONCURRENCY),
            calls_per_second: self.settings.calls_per_second.and_then(limit),
            allows_url_per_account: self.settings.url_per_account.unwrap_or(false),
        };
        let endpoint = webhooks::insert(connection, merchant.id, &new, MAX_ENDPOINTS)?;
        let endpoint = endpoint.with_context(|| {
            format!(
                "{} has {MAX_ENDPOINTS} webhook endpoints, the maximum; delete one with `khata webhook delete`",
                merchant.name
            )
        })?;
        let mut changes = Changes::between(&Value::Null, &audited(&endpoint));
        changes.add_secret("secret");
        for (name, is_set) in [
            ("signing_key", settings.signing_key.is_some()),
            ("credentials", settings.credentials.is_some()),
        ] {
            if is_set {
                changes.add_secret(name);
            }
        }
        let (subject, about) = (key.id.to_string(), json!({}));
        record(
            connection,
            merchant.id,
            actor,
            "webhook.add",
            &subject,
            about,
            &changes,
        )?;
        Ok(endpoint)
    }
}
