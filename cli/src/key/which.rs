//! Finding one of a merchant's keys by prefix or id.

use anyhow::{Context, bail};
use diesel::PgConnection;
use khata_domain::KeyId;
use khata_store::keys::{self, Key};
use khata_store::merchants::Merchant;
use serde_json::{Value, json};

use crate::output::{Table, or_none, time};

/// Characters of a key that are stored. A longer text may be a whole key.
const STORED_PREFIX: usize = 12;

#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WhichKey {
    /// Prefix of the key as `key list` shows it; the first characters are enough if no other key begins with them
    #[arg(long)]
    prefix: Option<String>,
    /// Id of the key as `key list` shows it, for keys with the same prefix
    #[arg(long, value_parser = parse_id)]
    id: Option<KeyId>,
}

fn parse_id(text: &str) -> Result<KeyId, &'static str> {
    KeyId::parse_or_uuid(text)
        .ok_or("not a key id; expected key_ and 26 characters, as `key list` shows it")
}

impl WhichKey {
    /// Rejects a whole key before the database is asked: the operator's shell keeps it in its history.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let prefix = self.prefix.as_deref();
        match prefix.map_or(1, |prefix| prefix.chars().count()) {
            0 => bail!("--prefix is empty"),
            1..=STORED_PREFIX => Ok(()),
            _ => bail!(
                "--prefix is too long: only a key's first {STORED_PREFIX} characters are stored; if this was a whole \
                 key, delete it from your shell's history"
            ),
        }
    }

    /// Returns the only matching key, with its row locked.
    pub(super) fn find(
        &self,
        connection: &mut PgConnection,
        merchant: &Merchant,
    ) -> anyhow::Result<Key> {
        let (mut found, described) = if let Some(id) = self.id {
            let found = keys::find(connection, merchant.id, id)?;
            (found.into_iter().collect(), format!("with the id {id}"))
        } else {
            let prefix = self.prefix.as_deref().unwrap_or_default();
            let found = keys::starting_with(connection, merchant.id, prefix)?;
            (found, format!("beginning with {prefix:?}"))
        };
        if found.len() > 1 {
            bail!(
                "{} has {} keys {described}; nothing was changed. Give a longer prefix, or --id:\n{}",
                merchant.name,
                found.len(),
                keys_table(&found)
            );
        }
        found.pop().with_context(|| {
            format!(
                "{0} has no key {described}; list its keys with `khata key list --merchant {0}`",
                merchant.name
            )
        })
    }
}

pub(super) fn keys_table(keys: &[Key]) -> Table {
    let headings = [
        "PREFIX", "SCOPE", "CREATED", "EXPIRES", "REVOKED", "STATE", "ID",
    ];
    let rows = keys.iter().map(|key| {
        [
            key.prefix.clone(),
            key.scope.to_string(),
            time(key.created_at),
            or_none(key.expires_at.map(time)),
            or_none(key.revoked_at.map(time)),
            key.state.to_string(),
            key.id.to_string(),
        ]
    });
    Table::rows(headings, rows)
}

pub(super) fn key_json(key: &Key) -> Value {
    json!({
        "prefix": key.prefix,
        "id": key.id.to_string(),
        "created_at": time(key.created_at),
        "expires_at": key.expires_at.map(time),
        "revoked_at": key.revoked_at.map(time),
        "scope": key.scope.as_str(),
        "state": key.state.as_str(),
    })
}
