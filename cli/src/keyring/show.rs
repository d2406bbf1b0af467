//! `khata-api keyring show`.

use std::collections::BTreeSet;

use anyhow::bail;
use chrono::Utc;
use khata_crypto::KeyringSettings;
use khata_crypto::{Keyring, KeyringFile, RotateBy};
use khata_store::rotation::{KeyUsage, SealedColumn, count_by_key, decrypts};
use serde_json::{Map, Value, json};

use super::age;
use crate::{connect_patiently, table};

/// `khata-api keyring show`.
#[derive(Clone, clap::Args)]
pub struct Show {
    /// Postgres, to count what each key sealed
    #[arg(long, env = "KHATA_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The keys
    #[command(flatten)]
    keyring: KeyringSettings,
}

impl std::fmt::Debug for Show {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Show(…)")
    }
}

type Counts = Vec<(SealedColumn, KeyUsage)>;

/// What stands in a database, as far as the keyring is concerned.
struct Stored {
    counts: Counts,
    /// Keys of the keyring that open nothing of what was sealed under their ids.
    others: BTreeSet<u32>,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let file = super::read(&self.keyring)?;
        let database = self.database_url.as_deref();
        let stored = database.map(|url| look(url, &file)).transpose()?;
        // Keys that sealed something and are missing come last, and what no key sealed.
        let mut keys: Vec<Option<u32>> = file.ids().into_iter().map(Some).collect();
        let mut strange: Vec<Option<u32>> = stored
            .iter()
            .flat_map(|stored| &stored.counts)
            .flat_map(|(_, census)| census.keys().copied())
            .filter(|key| !keys.contains(key))
            .collect();
        strange.sort_unstable();
        strange.dedup();
        let known = keys.len();
        let fits = strange.is_empty() && stored.as_ref().is_none_or(|it| it.others.is_empty());
        keys.extend(strange);
        let keys = keys.into_iter().enumerate();
        let created_at = |key: Option<u32>| {
            let mut sealing = file.keys().iter();
            let found = sealing.find(|sealing| Some(sealing.id) == key);
            found.and_then(|sealing| sealing.created_at)
        };
        let max_age = self.keyring.max_age();
        let rotate_by = max_age.rotate_by(created_at(Some(file.primary())));
        if self.json {
            let keys: Vec<Value> = keys
                .map(|(place, key)| {
                    json!({ "id": key, "primary": key == Some(file.primary()), "in_keyring": place < known,
                        "created_at": created_at(key).map(table::time),
                        "opens": stored.as_ref().map(|it| place < known && !it.is_other(key)),
                        "seals": stored.as_ref().map(|it| by_table(&it.counts, key)) })
                })
                .collect();
            let rotate_by = match rotate_by {
                RotateBy::At(time) => Some(table::time(time)),
                RotateBy::Never | RotateBy::Unknown => None,
            };
            println!(
                "{}",
                json!({ "primary": file.primary(), "max_age_days": max_age.days, "rotate_by": rotate_by, "sealing": keys })
            );
        } else {
            let now = Utc::now();
            for (place, key) in keys {
                let name = key.map_or("no key of ours".to_owned(), |id| format!("key {id}"));
                let (role, due) = match key {
                    Some(id) if id == file.primary() => (", primary", age::due(rotate_by, now)),
                    Some(_) if place >= known => (", not in this keyring", String::new()),
                    _ => ("", String::new()),
                };
                let age = if place < known {
                    age::age(created_at(key), now)
                } else {
                    String::new()
                };
                let sealed = stored.as_ref().map(|it| told(&it.counts, key));
                let other = if stored.as_ref().is_some_and(|it| it.is_other(key)) {
                    "; sealed by another key of this id"
                } else {
                    ""
                };
                println!(
                    "{name}{role}{age}{due}{}{other}",
                    sealed.unwrap_or_default()
                );
            }
        }
        if !fits {
            bail!(
                "this keyring does not fit the database: what it does not open is lost without the right one; start no \
                 service with it"
            );
        }
        Ok(())
    }
}

impl Stored {
    fn is_other(&self, key: Option<u32>) -> bool {
        key.is_some_and(|id| self.others.contains(&id))
    }
}

fn look(database_url: &str, file: &KeyringFile) -> anyhow::Result<Stored> {
    let mut connection = connect_patiently(database_url)?;
    let keyring = Keyring::from(file);
    let (mut counts, mut others) = (Counts::new(), BTreeSet::new());
    for column in SealedColumn::ALL {
        let census = count_by_key(&mut connection, column)?;
        for id in file.ids() {
            if census.contains_key(&Some(id)) && !decrypts(&mut connection, &keyring, column, id)? {
                others.insert(id);
            }
        }
        counts.push((column, census));
    }
    Ok(Stored { counts, others })
}

fn of_key(counts: &Counts, key: Option<u32>) -> impl Iterator<Item = (&'static str, i64)> {
    counts.iter().map(move |(column, census)| {
        let count = census.get(&key).copied().unwrap_or_default();
        (column.table(), count)
    })
}

fn by_table(counts: &Counts, key: Option<u32>) -> Map<String, Value> {
    of_key(counts, key)
        .map(|(table, count)| (table.to_owned(), count.into()))
        .collect()
}

fn told(counts: &Counts, key: Option<u32>) -> String {
    let tables: Vec<String> = of_key(counts, key)
        .filter(|(_, count)| *count > 0)
        .map(|(table, count)| format!("{count} in {table}"))
        .collect();
    if tables.is_empty() {
        ": seals nothing".to_owned()
    } else {
        format!(": {}", tables.join(", "))
    }
}
