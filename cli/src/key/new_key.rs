//! Issuing an API key.

use chrono::{TimeDelta, Utc};
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

    /// Stores a new key's hash and records the issue in the audit log.
    pub(super) fn issue(
        &self,
        connection: &mut PgConnection,
        merchant: MerchantId,
        keyring: &Keyring,
    ) -> anyhow::Result<NewKey> {
        let key = ApiKey::generate(self.sandbox.sandbox_mode);
        let expires_at = self
            .expires_in_days
            .map(|days| Utc::now() + TimeDelta::days(days.into()));
        let hash = keyring.hash_api_key(&key);
        let id = merchants::insert_key(connection, merchant, &hash, key.prefix(), expires_at)?;
        let expires_at = expires_at.map(time);
        let detail = json!({ "id": id.to_string(), "expires_at": expires_at });
        audit::record(connection, merchant, "key.issue", key.prefix(), &detail)?;
        Ok(NewKey {
            key,
            id,
            expires_at,
        })
    }
}

/// A key that was just issued: the only moment at which its text is known.
pub(super) struct NewKey {
    key: ApiKey,
    id: KeyId,
    expires_at: Option<String>,
}

impl NewKey {
    pub(super) fn json(&self) -> Value {
        json!({
            "key": self.key.expose(),
            "prefix": self.key.prefix(),
            "id": self.id.to_string(),
            "expires_at": self.expires_at,
        })
    }

    pub(super) fn text(&self) -> String {
        let expiry = self.expires_at.as_ref();
        let expiry = expiry.map(|at| format!(" The key expires at {at}."));
        format!(
            "{}\nThis key is shown once. Only its prefix, {}, is kept.{}",
            self.key.expose(),
            self.key.prefix(),
            expiry.unwrap_or_default()
        )
    }
}
