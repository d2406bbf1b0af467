//! `khata key`.

mod new_key;
mod which;

use anyhow::bail;
use chrono::TimeDelta;
use diesel::Connection;
use khata_store::audit;
use khata_store::keys::{self, KeyState};
use serde_json::{Value, json};

use crate::options::{CommonOptions, MerchantOption};
use crate::output::time;
use new_key::{NewKey, NewKeyOptions};
use which::{WhichKey, key_json, keys_table};

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// Issue a key and print it; the key is shown once and cannot be shown again
    Issue(Issue),
    /// List a merchant's keys by prefix, with their dates and states
    List(List),
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
            Self::List(list) => list.run(),
            Self::Revoke(revoke) => revoke.run(),
            Self::Rotate(rotate) => rotate.run(),
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Issue {
    #[command(flatten)]
<<<<<<< HEAD
    merchant: MerchantOption,
=======
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
>>>>>>> api
    #[command(flatten)]
    new: NewKeyOptions,
    #[command(flatten)]
    common: CommonOptions,
}

impl Issue {
    fn run(self) -> anyhow::Result<()> {
        let keyring = self.new.keyring()?;
        let mut connection = self.common.connect()?;
        let merchant = self.merchant.find(&mut connection)?;
        let issued = connection.transaction::<_, anyhow::Error, _>(|connection| {
<<<<<<< HEAD
            NewKey::issue(connection, merchant.id(), &keyring, &self.new)
=======
            Issued::new(connection, merchant.id, &keyring, &self.new)
>>>>>>> api
        })?;
        self.common.print(&issued.json(), &issued.text())
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    merchant: MerchantOption,
    #[command(flatten)]
    common: CommonOptions,
}

impl List {
    fn run(self) -> anyhow::Result<()> {
<<<<<<< HEAD
        let mut connection = self.common.connect()?;
        let merchant = self.merchant.find(&mut connection)?;
        let keys = keys::of_merchant(&mut connection, merchant.id())?;
        let list: Vec<Value> = keys.iter().map(key_json).collect();
        self.common
            .print(&json!({ "keys": list }), &keys_table(&keys).to_string())
=======
        let mut connection = connect(&self.database.database_url)?;
        let merchant = find_merchant(&mut connection, &self.merchant)?;
        let keys = keys::of_merchant(&mut connection, merchant.id)?;
        let told: Vec<Value> = keys.iter().map(key_json).collect();
        print(
            self.json,
            &json!({ "keys": told }),
            &table(&keys).to_string(),
        )
>>>>>>> api
    }
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
        let mut connection = self.common.connect()?;
        let merchant = self.merchant.find(&mut connection)?;
        let (key, at) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let key = self.which.find(connection, &merchant)?;
<<<<<<< HEAD
            let (merchant, id) = (merchant.id(), key.id());
            let at = keys::revoke(connection, merchant, id)?;
            if key.revoked_at.is_none() {
                let detail = json!({ "id": id.to_string() });
                audit::record(connection, merchant, "key.revoke", &key.prefix, &detail)?;
=======
            let at = keys::revoke(connection, merchant.id, key.id)?;
            if key.revoked_at.is_none() {
                let detail = json!({ "id": key.id.to_string() });
                audit::record(connection, merchant.id, "key.revoke", &key.prefix, &detail)?;
>>>>>>> api
            }
            Ok((key, at))
        })?;
        let changed = key.revoked_at.is_none();
        let name = format!("key {} of {}", key.prefix, merchant.name);
        let sentence = if changed {
            format!("Revoked {name}. It stops working within five seconds.")
        } else {
            format!(
                "Nothing to change: {name} was already revoked at {}.",
                time(at)
            )
        };
<<<<<<< HEAD
        let document = json!({
            "prefix": key.prefix, "id": key.id().to_string(), "revoked_at": time(at), "changed": changed,
=======
        let told = json!({
            "prefix": key.prefix, "id": key.id.to_string(), "revoked_at": time(at), "changed": changed,
>>>>>>> api
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
        let mut connection = self.common.connect()?;
        let merchant = self.merchant.find(&mut connection)?;
        let overlap = TimeDelta::hours(self.overlap_hours.into());
        let (old, ends, issued) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let old = self.which.find(connection, &merchant)?;
<<<<<<< HEAD
            let ended = match old.state() {
=======
            let over = match old.state {
>>>>>>> api
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
<<<<<<< HEAD
            let ends = keys::expire_within(connection, merchant.id(), old.id(), overlap)?;
            let issued = NewKey::issue(connection, merchant.id(), &keyring, &self.new)?;
=======
            let ends = keys::expire_within(connection, merchant.id, old.id, overlap)?;
            let issued = Issued::new(connection, merchant.id, &keyring, &self.new)?;
>>>>>>> api
            let detail = json!({
                "id": old.id.to_string(),
                "expires_at": time(ends),
                "new_prefix": issued.prefix(),
                "new_id": issued.id(),
            });
<<<<<<< HEAD
            audit::record(connection, merchant.id(), "key.rotate", &old.prefix, &detail)?;
            Ok((old, ends, issued))
        })?;
        let mut document = issued.json();
        document["old"] = json!({
            "prefix": old.prefix, "id": old.id().to_string(), "expires_at": time(ends),
=======
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
>>>>>>> api
        });
        let until = if self.overlap_hours == 0 {
            "stops working within five seconds".to_owned()
        } else {
            format!("works until {}", time(ends))
        };
        let text = format!("{}\nThe old key, {}, {until}.", issued.text(), old.prefix);
        self.common.print(&document, &text)
    }
}
<<<<<<< HEAD
=======

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
>>>>>>> api
