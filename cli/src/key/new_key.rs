//! Issuing an API key.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use khata_config::SandboxSettings;
use khata_crypto::{ApiKey, Keyring, KeyringSettings};
use khata_domain::{KeyId, MerchantId};
use khata_store::{audit, merchants};
use serde_json::{Value, json};

use crate::output::time;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NewKeyOptions {
    /// Days until the new key expires, 1 to 3650 [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    expires_in_days: Option<u16>,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
}

impl NewKeyOptions {
    pub(super) fn keyring(&self) -> anyhow::Result<Keyring> {
        Ok(self.keyring.load(self.sandbox.sandbox_mode)?)
    }
}

/// A key that was just issued: the only moment at which its text is known.
pub(super) struct NewKey {
    key: ApiKey,
    id: KeyId,
    expires_at: Option<DateTime<Utc>>,
}

impl NewKey {
    /// Stores a new key's hash and records the issue in the audit log.
    pub(super) fn issue(
        connection: &mut PgConnection,
        merchant: MerchantId,
        keyring: &Keyring,
        options: &NewKeyOptions,
    ) -> anyhow::Result<Self> {
        let key = ApiKey::generate(options.sandbox.sandbox_mode);
        let expires_at = options
            .expires_in_days
            .map(|days| Utc::now() + TimeDelta::days(days.into()));
        let hash = keyring.hash_api_key(&key);
        let id = merchants::insert_key(connection, merchant, &hash, key.prefix(), expires_at)?;
        let detail = json!({ "id": id.to_string(), "expires_at": expires_at.map(time) });
        audit::record(connection, merchant, "key.issue", key.prefix(), &detail)?;
        Ok(Self {
            key,
            id,
            expires_at,
        })
    }

    pub(super) fn prefix(&self) -> &str {
        self.key.prefix()
    }

    pub(super) fn id(&self) -> String {
        self.id.to_string()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "key": self.key.expose(),
            "prefix": self.prefix(),
            "id": self.id(),
            "expires_at": self.expires_at.map(time),
        })
    }

    pub(super) fn text(&self) -> String {
        let expiry = self
            .expires_at
            .map(|at| format!(" The key expires at {}.", time(at)));
        format!(
            "{}\nThis key is shown once. Only its prefix, {}, is kept.{}",
            self.key.expose(),
            self.prefix(),
            expiry.unwrap_or_default()
        )
    }
}
