//! `khata-api keyring show`.

use chrono::Utc;
use khata_shared::config::KeyringSettings;
use khata_shared::crypto::RotateBy;
use khata_shared::store::reseal::{Census, SealedColumn, census};
use serde_json::{Map, Value, json};

use super::age;
use crate::admin::{connect_patiently, table};

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

type Counts = Vec<(SealedColumn, Census)>;

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let file = super::read(&self.keyring)?;
        let counts = self.database_url.as_deref().map(count).transpose()?;
        // Keys that sealed something and are missing come last, and what no key sealed.
        let mut keys: Vec<Option<u32>> = file.ids().into_iter().map(Some).collect();
        let mut strange: Vec<Option<u32>> = counts
            .iter()
            .flatten()
            .flat_map(|(_, census)| census.keys().copied())
            .filter(|key| !keys.contains(key))
            .collect();
        strange.sort_unstable();
        strange.dedup();
        let known = keys.len();
        keys.extend(strange);
        let keys = keys.into_iter().enumerate();
        let created_at = |key: Option<u32>| {
            let mut sealing = file.sealing().iter();
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
                        "seals": counts.as_ref().map(|counts| by_table(counts, key)) })
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
            return Ok(());
        }
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
            let sealed = counts.as_ref().map(|counts| told(counts, key));
            println!("{name}{role}{age}{due}{}", sealed.unwrap_or_default());
        }
        Ok(())
    }
}

fn count(database_url: &str) -> anyhow::Result<Counts> {
    let mut connection = connect_patiently(database_url)?;
    let counts: Result<Counts, _> = SealedColumn::ALL
        .into_iter()
        .map(|column| Ok((column, census(&mut connection, column)?)))
        .collect();
    counts.map_err(|error: diesel::result::Error| error.into())
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
