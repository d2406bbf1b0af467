//! `khata key`.

mod which;

use anyhow::bail;
use chrono::{TimeDelta, Utc};
use diesel::{Connection, PgConnection};
use khata_config::SandboxSettings;
use khata_crypto::{ApiKey, Keyring, KeyringSettings};
use khata_domain::MerchantId;
use khata_store::keys::{self, KeyState};
use khata_store::{audit, merchants};
use serde_json::{Value, json};

use crate::options::{CommonOptions, MerchantOption};
use crate::output::time;
use which::{WhichKey, key_json, keys_table};

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// Issue a key and print it; the key is shown once and cannot be shown again
    Issue(Issue),
    /// List a merchant's keys by prefix, with their dates and states
    List {
        #[command(flatten)]
        merchant: MerchantOption,
        #[command(flatten)]
        common: CommonOptions,
    },
    /// Revoke a key; it stops working within five seconds and cannot be restored
    ///
    /// Revoking a revoked key is no error.
    Revoke(Revoke),
    /// Issue a new key and let an old key expire, so that the merchant has time to change over
    ///
    /// The new key is shown once. The old key works for --overlap-hours, or until its own expiry if that is earlier. If
    /// the old key has leaked, use --overlap-hours 0, or `key issue` and `key revoke`.
    Rotate(Rotate),
}

impl KeyCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Issue(issue) => issue.run(),
            Self::List { merchant, common } => list(&merchant, &common),
            Self::Revoke(revoke) => revoke.run(),
            Self::Rotate(rotate) => rotate.run(),
        }
    }
}

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
    fn keyring(&self) -> anyhow::Result<Keyring> {
        Ok(self.keyring.load(self.sandbox.sandbox_mode)?)
    }

    /// Stores a new key's hash and records the issue in the audit log.
    fn issue(
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
        let document = json!({
            "key": key.expose(),
            "prefix": key.prefix(),
            "id": id.to_string(),
            "expires_at": expires_at,
        });
        let expiry = expires_at.map(|at| format!(" The key expires at {at}."));
        let text = format!(
            "{}\nThis key is shown once. Only its prefix, {}, is kept.{}",
            key.expose(),
            key.prefix(),
            expiry.unwrap_or_default()
        );
        Ok(NewKey { document, text })
    }
}

/// A key that was just issued: the only moment at which its text is known.
struct NewKey {
    document: Value,
    text: String,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Issue {
    #[command(flatten)]
    merchant: MerchantOption,
    #[command(flatten)]
    new: NewKeyOptions,
    #[command(flatten)]
    common: CommonOptions,
}

impl Issue {
    fn run(self) -> anyhow::Result<()> {
        let keyring = self.new.keyring()?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let issue = |connection: &mut _| self.new.issue(connection, merchant.id, &keyring);
        let issued = connection.transaction(issue)?;
        self.common.print(&issued.document, &issued.text)
    }
}

fn list(merchant: &MerchantOption, common: &CommonOptions) -> anyhow::Result<()> {
    let (mut connection, merchant) = common.connect_for(merchant)?;
    let keys = keys::of_merchant(&mut connection, merchant.id)?;
    let list: Vec<Value> = keys.iter().map(key_json).collect();
    common.print(&json!({ "keys": list }), &keys_table(&keys).to_string())
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    merchant: MerchantOption,
    #[command(flatten)]
    which: WhichKey,
    #[command(flatten)]
    common: CommonOptions,
}

impl Revoke {
    fn run(self) -> anyhow::Result<()> {
        self.which.check()?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let (key, at) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let key = self.which.find(connection, &merchant)?;
            let at = keys::revoke(connection, merchant.id, key.id)?;
            if key.revoked_at.is_none() {
                let detail = json!({ "id": key.id.to_string() });
                audit::record(connection, merchant.id, "key.revoke", &key.prefix, &detail)?;
            }
            Ok((key, at))
        })?;
        let (changed, at) = (key.revoked_at.is_none(), time(at));
        let name = format!("key {} of {}", key.prefix, merchant.name);
        let sentence = if changed {
            format!("Revoked {name}. It stops working within five seconds.")
        } else {
            format!("Nothing to change: {name} was already revoked at {at}.")
        };
        let document = json!({
            "prefix": key.prefix, "id": key.id.to_string(), "revoked_at": at, "changed": changed,
        });
        self.common.print(&document, &sentence)
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    merchant: MerchantOption,
    #[command(flatten)]
    which: WhichKey,
    /// Hours that the old key keeps working: 0 (it stops at once) to 720
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=720))]
    overlap_hours: u16,
    #[command(flatten)]
    new: NewKeyOptions,
    #[command(flatten)]
    common: CommonOptions,
}

impl Rotate {
    fn run(self) -> anyhow::Result<()> {
        self.which.check()?;
        let keyring = self.new.keyring()?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let overlap = TimeDelta::hours(self.overlap_hours.into());
        let (old, ends, issued) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let old = self.which.find(connection, &merchant)?;
            let ended = match old.state {
                KeyState::Active => None,
                KeyState::Expired => old.expires_at.map(|at| ("expired", at)),
                KeyState::Revoked => old.revoked_at.map(|at| ("was revoked", at)),
            };
            if let Some((how, at)) = ended {
                bail!(
                    "key {} of {} {how} at {} and cannot be rotated; issue a new key with `khata key issue`",
                    old.prefix,
                    merchant.name,
                    time(at)
                );
            }
            let ends = time(keys::expire_within(connection, merchant.id, old.id, overlap)?);
            let issued = self.new.issue(connection, merchant.id, &keyring)?;
            let new = &issued.document;
            let detail = json!({
                "id": old.id.to_string(),
                "expires_at": ends,
                "new_prefix": new["prefix"],
                "new_id": new["id"],
            });
            audit::record(connection, merchant.id, "key.rotate", &old.prefix, &detail)?;
            Ok((old, ends, issued))
        })?;
        let mut document = issued.document;
        document["old"] = json!({
            "prefix": old.prefix, "id": old.id.to_string(), "expires_at": ends,
        });
        let until = if self.overlap_hours == 0 {
            "stops working within five seconds".to_owned()
        } else {
            format!("works until {ends}")
        };
        let text = format!("{}\nThe old key, {}, {until}.", issued.text, old.prefix);
        self.common.print(&document, &text)
    }
}
