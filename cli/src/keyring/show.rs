//! `khata keyring show`.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::bail;
use chrono::{DateTime, Utc};
use khata_crypto::{Keyring, KeyringFile, KeyringSettings, RotateBy};
use khata_store::rotation::{KeyUsage, SealedColumn, count_by_key, decrypts};
use serde_json::{Map, Value, json};

use super::{age, file};
use crate::database::connect_without_timeout;
use crate::output::{print, time};

#[derive(Clone, clap::Args)]
pub(crate) struct Show {
    /// URL of the Postgres database, to count the values of each key
    #[arg(long, env = "KHATA_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    keyring: KeyringSettings,
}

impl fmt::Debug for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Show(…)")
    }
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let file = file::read(&self.keyring)?;
        let database = self.database_url.as_deref();
        let usage = database.map(|url| Usage::read(url, &file)).transpose()?;
        let created_at = created_at(&file, file.primary());
        let rotate_by = self.keyring.rotate_by(created_at);
        let keys = keys(&file, usage.as_ref());
        let rotate_by_time = match rotate_by {
            RotateBy::At(at) => Some(time(at)),
            RotateBy::Never | RotateBy::Unknown => None,
        };
        let document = json!({
            "primary": file.primary(),
            "max_age_days": self.keyring.key_max_age_days,
            "rotate_by": rotate_by_time,
            "sealing": keys.iter().map(KeyLine::json).collect::<Vec<_>>(),
        });
        let now = Utc::now();
        let lines: Vec<String> = keys.iter().map(|key| key.text(rotate_by, now)).collect();
        print(self.json, &document, &lines.join("\n"))?;
        if !keys.iter().all(|key| key.in_keyring && !key.is_other) {
            bail!(
                "this keyring cannot decrypt all data in this database. Do not start a service with it; without the \
                 right keyring that data is lost"
            );
        }
        Ok(())
    }
}

fn created_at(file: &KeyringFile, id: u32) -> Option<DateTime<Utc>> {
    let found = file.keys().iter().find(|key| key.id == id);
    found.and_then(|key| key.created_at)
}

/// Use of the keys in a database.
struct Usage {
    columns: Vec<(SealedColumn, KeyUsage)>,
    /// Ids in the keyring under which another key encrypted the data.
    others: BTreeSet<u32>,
}

impl Usage {
    fn read(database_url: &str, file: &KeyringFile) -> anyhow::Result<Self> {
        let mut connection = connect_without_timeout(database_url)?;
        let keyring = Keyring::from(file);
        let (mut columns, mut others) = (Vec::new(), BTreeSet::new());
        for column in SealedColumn::ALL {
            let usage = count_by_key(&mut connection, column)?;
            for id in file.ids() {
                if usage.contains_key(&Some(id))
                    && !decrypts(&mut connection, &keyring, column, id)?
                {
                    others.insert(id);
                }
            }
            columns.push((column, usage));
        }
        Ok(Self { columns, others })
    }

    fn by_table(&self, key: Option<u32>) -> Vec<(&'static str, i64)> {
        let columns = self.columns.iter();
        let count = |usage: &KeyUsage| usage.get(&key).copied().unwrap_or_default();
        columns
            .map(|(column, usage)| (column.table(), count(usage)))
            .collect()
    }
}

/// One key in the output.
struct KeyLine {
    /// `None` for values that carry no key id of ours.
    id: Option<u32>,
    is_primary: bool,
    in_keyring: bool,
    created_at: Option<DateTime<Utc>>,
    /// Whether another key of this id encrypted the data.
    is_other: bool,
    /// Number of values by table; `None` without a database.
    by_table: Option<Vec<(&'static str, i64)>>,
}

/// Returns the keyring's keys, then the keys that the database needs and the keyring lacks.
fn keys(file: &KeyringFile, usage: Option<&Usage>) -> Vec<KeyLine> {
    let known: BTreeSet<Option<u32>> = file.ids().into_iter().map(Some).collect();
    let used = usage.iter().flat_map(|usage| &usage.columns);
    let missing: BTreeSet<Option<u32>> = used
        .flat_map(|(_, usage)| usage.keys().copied())
        .filter(|key| !known.contains(key))
        .collect();
    let ids = file.ids().into_iter().map(Some).chain(missing);
    let line = |id: Option<u32>| KeyLine {
        id,
        is_primary: id == Some(file.primary()),
        in_keyring: known.contains(&id),
        created_at: id.and_then(|id| created_at(file, id)),
        is_other: id.is_some_and(|id| usage.is_some_and(|usage| usage.others.contains(&id))),
        by_table: usage.map(|usage| usage.by_table(id)),
    };
    ids.map(line).collect()
}

impl KeyLine {
    fn json(&self) -> Value {
        let opens = self.in_keyring && !self.is_other;
        let seals = self.by_table.as_ref().map(|tables| {
            let counts = tables.iter();
            counts
                .map(|(table, count)| ((*table).to_owned(), (*count).into()))
                .collect::<Map<String, Value>>()
        });
        json!({
            "id": self.id,
            "primary": self.is_primary,
            "in_keyring": self.in_keyring,
            "created_at": self.created_at.map(time),
            "opens": seals.as_ref().map(|_| opens),
            "seals": seals,
        })
    }

    fn text(&self, rotate_by: RotateBy, now: DateTime<Utc>) -> String {
        let mut text = self
            .id
            .map_or("unknown key".to_owned(), |id| format!("key {id}"));
        if self.is_primary {
            text += ", primary";
        }
        if self.in_keyring {
            text += &age::age(self.created_at, now);
        } else if self.id.is_some() {
            text += ", missing from this keyring";
        }
        if self.is_primary {
            text += &age::due(rotate_by, now);
        }
        if let Some(tables) = &self.by_table {
            let used = tables.iter().filter(|(_, count)| *count > 0);
            let used: Vec<String> = used
                .map(|(table, count)| format!("{count} in {table}"))
                .collect();
            text += ": ";
            text += &if used.is_empty() {
                "unused".to_owned()
            } else {
                used.join(", ")
            };
        }
        if self.is_other {
            text += "; encrypted by another key of this id";
        }
        text
    }
}
