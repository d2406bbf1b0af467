//! `khata key`.

mod which;

use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{Connection, PgConnection};
use khata_config::SandboxSettings;
use khata_crypto::{ApiKey, Keyring, KeyringSettings};
use khata_domain::MerchantId;
use khata_store::audit::{self, Actor, AuditFilter, Changes};
use khata_store::keys::{self, Key, KeyScope, KeyState};
use khata_store::merchants::{self, Merchant};
use serde_json::{Value, json};

use crate::options::{ActorOption, CommonOptions, MerchantOption, OperatorOptions};
use crate::output::{or_none, time};
use crate::times::{parse_duration, parse_hours};
use which::{WhichKey, key_json, keys_table};

/// Lines of the audit log to search for an earlier rotation of a key. Further keys with its prefix are rare.
const MAX_ROTATIONS: i64 = 100;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// Issue a key and print it; the key is shown once and cannot be shown again
    Issue(Issue),
    /// List a merchant's keys by prefix, with their scopes, dates and states
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
    /// The new key is shown once, and expires when the old key would have. The old key works for --overlap, or until its own expiry if that is earlier. If
    /// the old key has leaked, use --overlap 0, or `key issue` and `key revoke`. A key that is being replaced already is rotated again only with
    /// --expires.
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
    /// Time until the new key expires: 90d, 12h, at most 3650d, or never [default: never; `key rotate`: as the old key]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    expires: Option<Expiry>,
    /// Calls that the new key permits: read (GET only), create (also create, change and validate), admin (also delete) [default:
    /// admin; `key rotate`: as the old key]
    #[arg(long, value_name = "read|create|admin", value_parser = parse_scope)]
    scope: Option<KeyScope>,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
    #[command(flatten)]
    actor: ActorOption,
}

/// When a new key expires.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expiry {
    Never,
    After(TimeDelta),
}

/// Parses `90d`, `12h` or `never`.
fn parse_time(text: &str) -> Result<Expiry, &'static str> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    let allowed = TimeDelta::hours(1)..=TimeDelta::days(3_650);
    parse_duration(text)
        .filter(|time| allowed.contains(time))
        .map(Expiry::After)
        .ok_or("expected a time like 90d or 12h, from 1h to 3650d, or never")
}

fn parse_scope(text: &str) -> Result<KeyScope, &'static str> {
    KeyScope::parse(&text.to_ascii_uppercase()).ok_or("expected read, create or admin")
}

impl NewKeyOptions {
    fn actor(&self) -> anyhow::Result<Actor> {
        self.actor.name(self.sandbox.sandbox_mode)
    }

    fn keyring(&self) -> anyhow::Result<Keyring> {
        Ok(self.keyring.load(self.sandbox.sandbox_mode)?)
    }

    /// Stores a new key's hash and records the issue in the audit log. Without the options, the key has this scope and expiry.
    fn issue(
        &self,
        connection: &mut PgConnection,
        merchant: MerchantId,
        keyring: &Keyring,
        scope: KeyScope,
        expires_at: Option<DateTime<Utc>>,
    ) -> anyhow::Result<NewKey> {
        let key = ApiKey::generate(self.sandbox.sandbox_mode);
        let expires_at = match self.expires {
            Some(Expiry::After(rest)) => Some(Utc::now() + rest),
            Some(Expiry::Never) => None,
            None => expires_at,
        };
        let scope = self.scope.unwrap_or(scope);
        let (hash, prefix) = (keyring.hash_api_key(&key), key.prefix());
        let id = merchants::insert_key(connection, merchant, &hash, prefix, expires_at, scope)?;
        let expires_at = expires_at.map(time);
        let mut changes = Changes::default();
        changes.add("scope", Value::Null, scope.as_str());
        changes.add("expires_at", Value::Null, json!(expires_at));
        let (actor, about) = (self.actor()?, json!({ "id": id.to_string() }));
        audit::record(
            connection,
            merchant,
            &actor,
            "key.issue",
            prefix,
            about,
            &changes,
        )?;
        let document = json!({
            "key": key.expose(),
            "prefix": key.prefix(),
            "id": id.to_string(),
            "scope": scope.as_str(),
            "expires_at": expires_at,
        });
        let expiry = expires_at.map_or("never expires".to_owned(), |at| format!("expires at {at}"));
        let text = format!(
            "{}\nThis key is shown once. Only its prefix, {prefix}, is kept. The key has the scope {scope} and {expiry}.",
            key.expose(),
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
        self.new.actor()?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let scope = KeyScope::Admin;
        let new = &self.new;
        let issue = |connection: &mut _| new.issue(connection, merchant.id, &keyring, scope, None);
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
    #[command(flatten)]
    operator: OperatorOptions,
}

impl Revoke {
    fn run(self) -> anyhow::Result<()> {
        self.which.check()?;
        let actor = self.operator.actor()?;
        let (mut connection, merchant) = self.common.connect_for(&self.merchant)?;
        let (key, at) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let key = self.which.find(connection, &merchant)?;
            let at = keys::revoke(connection, merchant.id, key.id)?;
            if key.revoked_at.is_none() {
                let about = json!({ "id": key.id.to_string() });
                let changes = Changes::of("state", key.state.as_str(), KeyState::Revoked.as_str());
                let prefix = &key.prefix;
                audit::record(
                    connection,
                    merchant.id,
                    &actor,
                    "key.revoke",
                    prefix,
                    about,
                    &changes,
                )?;
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
    /// Time that the old key keeps working: 0 (it stops at once) to 30d, as 24h or 7d
    #[arg(
        long = "overlap",
        alias = "overlap-hours",
        value_name = "TIME",
        default_value = "24h",
        value_parser = |text: &str| parse_hours(text, &(0..=720))
    )]
    overlap_hours: u16,
    #[command(flatten)]
    new: NewKeyOptions,
    #[command(flatten)]
    common: CommonOptions,
}

impl Rotate {
    fn run(self) -> anyhow::Result<()> {
        self.which.check()?;
        let (keyring, actor) = (self.new.keyring()?, self.new.actor()?);
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
            self.check_first_rotation(connection, &merchant, &old)?;
            let ends = time(keys::expire_within(connection, merchant.id, old.id, overlap)?);
            let (scope, expires_at) = (old.scope, old.expires_at);
            let new = &self.new;
            let issued = new.issue(connection, merchant.id, &keyring, scope, expires_at)?;
            let new = &issued.document;
            let about = json!({
                "id": old.id.to_string(),
                "new_prefix": new["prefix"],
                "new_id": new["id"],
            });
            let changes = Changes::of("expires_at", json!(old.expires_at.map(time)), ends.as_str());
            let prefix = &old.prefix;
            audit::record(connection, merchant.id, &actor, "key.rotate", prefix, about, &changes)?;
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

    /// Rejects the rotation of a key that is being replaced already, unless `--expires` is given: by default the new key expires
    /// when the old key does, which is now the end of the overlap.
    fn check_first_rotation(
        &self,
        connection: &mut PgConnection,
        merchant: &Merchant,
        old: &Key,
    ) -> anyhow::Result<()> {
        if self.new.expires.is_some() {
            return Ok(());
        }
        let rotations = AuditFilter {
            merchant: Some(merchant.id),
            since: Some(old.created_at),
            action: Some("key.rotate".to_owned()),
            subject: Some(old.prefix.clone()),
            ..AuditFilter::default()
        };
        let id = old.id.to_string();
        let rotations = audit::newest(connection, &rotations, MAX_ROTATIONS)?;
        let Some(before) = rotations.iter().find(|line| line.detail["id"] == id) else {
            return Ok(());
        };
        let new = before.detail["new_prefix"].as_str().unwrap_or("another");
        bail!(
            "key {} of {} is already being replaced by key {new} since {}, and expires at {}; a further key would expire \
             with it. Give the merchant key {new}; or, if that is lost, give the further key its own time with --expires",
            old.prefix,
            merchant.name,
            time(before.at),
            or_none(old.expires_at.map(time)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_days_or_hours() {
        assert_eq!(parse_time("90d"), Ok(Expiry::After(TimeDelta::days(90))));
        assert_eq!(parse_time("12h"), Ok(Expiry::After(TimeDelta::hours(12))));
        assert_eq!(parse_time("never"), Ok(Expiry::Never));
        for text in [
            "",
            "d",
            "90",
            "0d",
            "-1d",
            "3651d",
            "1.5d",
            "90 d",
            "9999999999d",
            "90ड",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
