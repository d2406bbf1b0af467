//! `khata keyring show`.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::bail;
use chrono::{DateTime, Utc};
use khata_crypto::{Keyring, KeyringFile, KeyringSettings, RotateBy};
use khata_store::rotation::{KeyUsage, SealedColumn, count_by_key, decrypts};
use serde_json::{Map, Value, json};

use super::file::read;
use crate::options::connect_without_timeout;
use crate::output::{counted, joined_or, print, time};

#[derive(Clone, clap::Args)]
pub(crate) struct Show {
    /// URL of the Postgres database, to count the values of each key
    #[arg(long, env = "KHATA_DATABASE_URL", hide_env_values = true, value_parser = khata_store::check_database_url)]
    database_url: Option<String>,
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
        let file = read(&self.keyring)?;
        let database = self.database_url.as_deref();
        let usage = database.map(|url| Usage::read(url, &file)).transpose()?;
        let keys = Keys { file, usage };
        let primary = keys.file.primary();
        let created_at = keys.created_at(Some(primary));
        let rotate_by = self.keyring.rotate_by(created_at);
        let ids = keys.ids();
        let rotate_by_time = match rotate_by {
            RotateBy::At(at) => Some(time(at)),
            RotateBy::Never | RotateBy::Unknown => None,
        };
        let document = json!({
            "primary": primary,
            "max_age_days": self.keyring.key_max_age_days,
            "rotate_by": rotate_by_time,
            "sealing": ids.iter().map(|id| keys.json(*id)).collect::<Vec<_>>(),
        });
        let now = Utc::now();
        let lines = ids.iter().map(|id| keys.text(*id, rotate_by, now));
        let lines: Vec<String> = lines.collect();
        print(&document, &lines.join("\n"))?;
        if !ids.iter().all(|id| keys.can_decrypt(*id)) {
            bail!(
                "this keyring cannot decrypt all data in this database. Do not start a service with it; without the \
                 right keyring that data is lost"
            );
        }
        Ok(())
    }
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

    /// Returns the number of values of this key by table, which may have several columns of them.
    fn by_table(&self, key: Option<u32>) -> impl Iterator<Item = (&'static str, i64)> {
        let mut tables: Vec<(&'static str, i64)> = Vec::with_capacity(self.columns.len());
        for (column, usage) in &self.columns {
            let count = usage.get(&key).copied().unwrap_or_default();
            match tables
                .iter_mut()
                .find(|(table, _)| *table == column.table())
            {
                Some((_, sum)) => *sum += count,
                None => tables.push((column.table(), count)),
            }
        }
        tables.into_iter()
    }
}

/// A keyring, and the use of its keys if there is a database. The id is `None` for values that carry no key id of ours.
struct Keys {
    file: KeyringFile,
    usage: Option<Usage>,
}

impl Keys {
    /// Returns the keyring's keys, then the keys that the database needs and the keyring lacks.
    fn ids(&self) -> Vec<Option<u32>> {
        let used = self.usage.iter().flat_map(|usage| &usage.columns);
        let missing: BTreeSet<Option<u32>> = used
            .flat_map(|(_, usage)| usage.keys().copied())
            .filter(|id| !self.has(*id))
            .collect();
        let ids = self.file.ids().into_iter().map(Some);
        ids.chain(missing).collect()
    }

    fn has(&self, id: Option<u32>) -> bool {
        id.is_some_and(|id| self.file.ids().contains(&id))
    }

    fn created_at(&self, id: Option<u32>) -> Option<DateTime<Utc>> {
        let mut keys = self.file.keys().iter();
        keys.find(|key| Some(key.id) == id)?.created_at
    }

    /// Whether another key of this id encrypted the data.
    fn is_other(&self, id: Option<u32>) -> bool {
        let usage = self.usage.as_ref();
        id.is_some_and(|id| usage.is_some_and(|usage| usage.others.contains(&id)))
    }

    fn can_decrypt(&self, id: Option<u32>) -> bool {
        self.has(id) && !self.is_other(id)
    }

    fn json(&self, id: Option<u32>) -> Value {
        let usage = self.usage.as_ref();
        let count = |(table, count): (&str, i64)| (table.to_owned(), count.into());
        json!({
            "id": id,
            "primary": id == Some(self.file.primary()),
            "in_keyring": self.has(id),
            "created_at": self.created_at(id).map(time),
            "opens": usage.map(|_| self.can_decrypt(id)),
            "seals": usage.map(|usage| usage.by_table(id).map(count).collect::<Map<_, _>>()),
        })
    }

    fn text(&self, id: Option<u32>, rotate_by: RotateBy, now: DateTime<Utc>) -> String {
        let is_primary = id == Some(self.file.primary());
        let mut text = id.map_or("unknown key".to_owned(), |id| format!("key {id}"));
        if is_primary {
            text += ", primary";
        }
        if self.has(id) {
            text += &age(self.created_at(id), now);
        } else if id.is_some() {
            text += ", missing from this keyring";
        }
        if is_primary {
            text += &due(rotate_by, now);
        }
        if let Some(usage) = &self.usage {
            let used = usage.by_table(id).filter(|(_, count)| *count > 0);
            let used = used.map(|(table, count)| format!("{count} in {table}"));
            text += ": ";
            text += &joined_or(used, "unused");
        }
        if self.is_other(id) {
            text += "; encrypted by another key of this id";
        }
        text
    }
}

/// Returns `, created 2026-11-24, 12 days old`.
fn age(created_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    created_at.map_or(", age unknown".to_owned(), |created| {
        let days = (now - created).num_days();
        format!(", created {}, {} old", day(created), counted(days, "day"))
    })
}

/// Returns `, replace by 2027-11-24`, or nothing if keys are used without limit.
fn due(rotate_by: RotateBy, now: DateTime<Utc>) -> String {
    match rotate_by {
        RotateBy::Never => String::new(),
        RotateBy::At(time) if time > now => format!(", replace by {}", day(time)),
        RotateBy::At(time) => format!(", REPLACEMENT OVERDUE since {}", day(time)),
        RotateBy::Unknown => ", REPLACEMENT OVERDUE".to_owned(),
    }
}

fn day(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_due_date_are_formatted() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (created, now) = (time("2026-11-24T10:00:00Z"), time("2026-12-06T09:00:00Z"));
        assert_eq!(age(Some(created), now), ", created 2026-11-24, 11 days old");
        assert_eq!(age(None, now), ", age unknown");
        for (rotate_by, text) in [
            (RotateBy::Never, ""),
            (
                RotateBy::At(time("2027-11-24T10:00:00Z")),
                ", replace by 2027-11-24",
            ),
            (
                RotateBy::At(created),
                ", REPLACEMENT OVERDUE since 2026-11-24",
            ),
            (RotateBy::Unknown, ", REPLACEMENT OVERDUE"),
        ] {
            assert_eq!(due(rotate_by, now), text);
        }
    }
}
