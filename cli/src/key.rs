//! `khata-api key`.

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{Connection, PgConnection};
use khata_config::SandboxSettings;
use khata_crypto::KeyringSettings;
use khata_crypto::{ApiKey, Keyring};
use khata_domain::{KeyId, MerchantId};
use khata_store::DatabaseSettings;
use khata_store::keys::{self, Key, KeyState};
use khata_store::merchants::Merchant;
use khata_store::{audit, merchants};
use serde_json::{Value, json};

use super::table::{Table, or_none, time};
use super::{connect, find_merchant, open, print};

/// Characters of a key that are kept: what is longer may be a key.
const KEPT_PREFIX: usize = 12;

/// API keys.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Issue a key; it is shown this once and never again
    Issue(Issue),
    /// List a merchant's keys by prefix: when they were issued and end, and whether they work
    List(List),
    /// Revoke a key; it stops working within five seconds, and nothing brings it back
    ///
    /// Revoking a key that is revoked already is no error.
    Revoke(Revoke),
    /// Issue a new key and have an old one expire, with time between for the merchant to change over
    ///
    /// The new key is shown this once. The old one goes on working for --overlap-hours, or until it would have expired
    /// anyway. If the old key has leaked, use --overlap-hours 0, or `key issue` and `key revoke`.
    Rotate(Rotate),
}

impl KeyCommand {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Issue(issue) => issue.run(),
            Self::List(list) => list.run(),
            Self::Revoke(revoke) => revoke.run(),
            Self::Rotate(rotate) => rotate.run(),
        }
    }
}

/// What a new key is made with.
#[derive(Clone, Debug, clap::Args)]
struct NewKeyOptions {
    /// Days until the new key expires, 1 to 3650 [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..=3650))]
    expires_in_days: Option<u16>,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
}

/// Which key is meant.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct WhichKey {
    /// The key's prefix as `key list` shows it, or as much of it as only this key begins with
    #[arg(long)]
    prefix: Option<String>,
    /// The key's id as `key list` shows it, where its prefix does not tell it from another
    #[arg(long, value_parser = parse_id)]
    id: Option<KeyId>,
}

fn parse_id(text: &str) -> Result<KeyId, &'static str> {
    KeyId::parse(text).ok_or("no key id: it is key_ and 26 characters, as `key list` shows it")
}

impl WhichKey {
    /// Before anything is asked of the database: a whole key is not to be typed where a shell keeps its history.
    fn check(&self) -> anyhow::Result<()> {
        let too_long = |prefix: &str| prefix.chars().count() > KEPT_PREFIX;
        if self.prefix.as_deref().is_some_and(too_long) {
            bail!(
                "--prefix is too long: only a key's first {KEPT_PREFIX} characters are kept; if that was a whole key, \
                 it is in your shell's history now"
            );
        }
        if self.prefix.as_deref().is_some_and(str::is_empty) {
            bail!("--prefix is empty");
        }
        Ok(())
    }

    /// The only key it can be, locked.
    fn find(&self, connection: &mut PgConnection, merchant: &Merchant) -> anyhow::Result<Key> {
        let (mut found, named) = match (&self.prefix, self.id) {
            (_, Some(id)) => {
                let found = keys::find(connection, merchant.id, id)?;
                (found.into_iter().collect(), format!("with the id {id}"))
            }
            (prefix, None) => {
                let prefix = prefix.as_deref().unwrap_or_default();
                let found = keys::starting_with(connection, merchant.id, prefix)?;
                (found, format!("beginning with {prefix:?}"))
            }
        };
        if found.len() > 1 {
            bail!(
                "{} has {} keys {named}; nothing was changed. Give more of the prefix, or the --id:\n{}",
                merchant.name,
                found.len(),
                table(&found)
            );
        }
        found.pop().with_context(|| {
            format!(
                "{0} has no key {named}; `khata-api key list --merchant {0}` shows its keys",
                merchant.name
            )
        })
    }
}

/// A key that was just issued.
struct Issued {
    key: ApiKey,
    id: KeyId,
    expires_at: Option<DateTime<Utc>>,
}

impl Issued {
    /// Issues one, with its line in the audit log.
    fn new(
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

    fn json(&self) -> Value {
        json!({
            "key": self.key.expose(),
            "prefix": self.key.prefix(),
            "id": self.id.to_string(),
            "expires_at": self.expires_at.map(time),
        })
    }

    fn text(&self) -> String {
        let end = self
            .expires_at
            .map(|at| format!(" It expires at {}.", time(at)));
        format!(
            "{}\nThis key is shown once. Its prefix, {}, is kept.{}",
            self.key.expose(),
            self.key.prefix(),
            end.unwrap_or_default()
        )
    }
}

/// `khata-api key issue`.
#[derive(Clone, Debug, clap::Args)]
pub struct Issue {
    /// The merchant's name or id
    #[arg(long)]
    merchant: String,
    #[command(flatten)]
    new: NewKeyOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Issue {
    fn run(self) -> anyhow::Result<()> {
        let keyring = open(&self.new.keyring, self.new.sandbox)?;
        let mut connection = connect(&self.database.database_url)?;
        let merchant = find_merchant(&mut connection, &self.merchant)?;
        let issued = connection.transaction::<_, anyhow::Error, _>(|connection| {
            Issued::new(connection, merchant.id, &keyring, &self.new)
        })?;
        print(self.json, &issued.json(), &issued.text())
    }
}

/// `khata-api key list`.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    /// The merchant's name or id
    #[arg(long)]
    merchant: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let mut connection = connect(&self.database.database_url)?;
        let merchant = find_merchant(&mut connection, &self.merchant)?;
        let keys = keys::of_merchant(&mut connection, merchant.id)?;
        let told: Vec<Value> = keys.iter().map(key_json).collect();
        print(
            self.json,
            &json!({ "keys": told }),
            &table(&keys).to_string(),
        )
    }
}

/// `khata-api key revoke`.
#[derive(Clone, Debug, clap::Args)]
pub struct Revoke {
    /// The merchant's name or id
    #[arg(long)]
    merchant: String,
    #[command(flatten)]
    which: WhichKey,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Revoke {
    fn run(self) -> anyhow::Result<()> {
        self.which.check()?;
        let mut connection = connect(&self.database.database_url)?;
        let merchant = find_merchant(&mut connection, &self.merchant)?;
        let (key, at) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let key = self.which.find(connection, &merchant)?;
            let at = keys::revoke(connection, merchant.id, key.id)?;
            if key.revoked_at.is_none() {
                let detail = json!({ "id": key.id.to_string() });
                audit::record(connection, merchant.id, "key.revoke", &key.prefix, &detail)?;
            }
            Ok((key, at))
        })?;
        let changed = key.revoked_at.is_none();
        let sentence = if changed {
            format!(
                "Key {} of {} is revoked; it stops working within five seconds.",
                key.prefix, merchant.name
            )
        } else {
            format!(
                "Key {} of {} was revoked already, at {}.",
                key.prefix,
                merchant.name,
                time(at)
            )
        };
        let told = json!({
            "prefix": key.prefix, "id": key.id.to_string(), "revoked_at": time(at), "changed": changed,
        });
        print(self.json, &told, &sentence)
    }
}

/// `khata-api key rotate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Rotate {
    /// The merchant's name or id
    #[arg(long)]
    merchant: String,
    #[command(flatten)]
    which: WhichKey,
    /// Hours that the old key goes on working, 0 (it ends at once) to 720
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u16).range(0..=720))]
    overlap_hours: u16,
    #[command(flatten)]
    new: NewKeyOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Rotate {
    fn run(self) -> anyhow::Result<()> {
        self.which.check()?;
        let keyring = open(&self.new.keyring, self.new.sandbox)?;
        let mut connection = connect(&self.database.database_url)?;
        let merchant = find_merchant(&mut connection, &self.merchant)?;
        let overlap = TimeDelta::hours(self.overlap_hours.into());
        let (old, ends, issued) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let old = self.which.find(connection, &merchant)?;
            let over = match old.state {
                KeyState::Active => None,
                KeyState::Expired => old.expires_at.map(|at| ("expired", at)),
                KeyState::Revoked => old.revoked_at.map(|at| ("was revoked", at)),
            };
            if let Some((how, at)) = over {
                bail!(
                    "key {} of {} {how} at {}: there is nothing to rotate; `key issue` makes a new one",
                    old.prefix,
                    merchant.name,
                    time(at)
                );
            }
            let ends = keys::expire_within(connection, merchant.id, old.id, overlap)?;
            let issued = Issued::new(connection, merchant.id, &keyring, &self.new)?;
            let detail = json!({
                "id": old.id.to_string(),
                "expires_at": time(ends),
                "new_prefix": issued.key.prefix(),
                "new_id": issued.id.to_string(),
            });
            audit::record(
                connection,
                merchant.id,
                "key.rotate",
                &old.prefix,
                &detail,
            )?;
            Ok((old, ends, issued))
        })?;
        let mut told = issued.json();
        told["old"] = json!({
            "prefix": old.prefix, "id": old.id.to_string(), "expires_at": time(ends),
        });
        let until = if self.overlap_hours == 0 {
            "stops working within five seconds".to_owned()
        } else {
            format!("works until {}", time(ends))
        };
        print(
            self.json,
            &told,
            &format!("{}\nThe old key, {}, {until}.", issued.text(), old.prefix),
        )
    }
}

fn table(keys: &[Key]) -> Table {
    let mut table = Table::new(&["PREFIX", "CREATED", "EXPIRES", "REVOKED", "STATE", "ID"]);
    for key in keys {
        table.row(vec![
            key.prefix.clone(),
            time(key.created_at),
            or_none(key.expires_at.map(time)),
            or_none(key.revoked_at.map(time)),
            key.state.to_string(),
            key.id.to_string(),
        ]);
    }
    table
}

fn key_json(key: &Key) -> Value {
    json!({
        "prefix": key.prefix,
        "id": key.id.to_string(),
        "created_at": time(key.created_at),
        "expires_at": key.expires_at.map(time),
        "revoked_at": key.revoked_at.map(time),
        "state": key.state.as_str(),
    })
}
