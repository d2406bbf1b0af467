//! Sealing anew, under the primary, what other keys sealed: while the services write, in small transactions, from any
//! point again, and by several at once.
//!
//! Each table is walked along its primary key, so that no look costs more than a batch. A value is replaced only where
//! the column still holds what was read, and a row that somebody holds locked is passed over and looked at again: this
//! never waits for a row while it holds others, so nobody's transaction is ever in a deadlock with it. No index names a
//! sealed column, so every update is a heap-only one.

mod column;

pub use column::{KeyUsage, SealedColumn, census, keys_in_use, opens};

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Uuid as SqlUuid};
use serde_json::json;
use uuid::Uuid;

use super::audit;
use super::statement::statement;
use khata_crypto::Keyring;
use khata_domain::MerchantId;

/// Looks at the same batch before what others write there all the time is left for the next rotation.
const LOOKS: u32 = 20;

/// Where a sealed value stands.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its column.
    pub column: SealedColumn,
    /// Whose it is.
    pub merchant: MerchantId,
    /// The rest of the row's primary key.
    key: Vec<u8>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (table, merchant) = (self.column.table(), self.merchant.0);
        write!(f, "{table}, merchant_id {merchant}, ")?;
        if let Ok(id) = Uuid::from_slice(&self.key) {
            return write!(f, "id {id}");
        }
        f.write_str("key_hash \\x")?;
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = Binary)]
    place: Vec<u8>,
    #[diesel(sql_type = Binary)]
    subject: Vec<u8>,
    /// `None` where there is none, or the primary sealed it.
    #[diesel(sql_type = Nullable<Binary>)]
    sealed: Option<Vec<u8>>,
}

#[derive(QueryableByName)]
struct Replaced {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
}

/// What one merchant's part of a rotation came to.
struct Tally {
    audit_id: Uuid,
    by_table: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn new() -> Self {
        Self {
            audit_id: Uuid::now_v7(),
            by_table: BTreeMap::new(),
        }
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch was looked at.
    Walked,
    /// Others were writing to the batch: wait a moment before the next step, which looks again.
    Busy,
    /// There is nothing more.
    Done,
}

/// A walk through every sealed column. Losing it loses nothing: the next one passes over what the primary sealed.
pub struct Rotation<'k> {
    keyring: &'k Keyring,
    batch: i64,
    column: usize,
    /// The last row of the batch before.
    after: (Uuid, Vec<u8>),
    looks: u32,
    tallies: BTreeMap<MerchantId, Tally>,
    resealed: BTreeMap<SealedColumn, u64>,
    broken: BTreeSet<Place>,
    busy: u64,
}

impl<'k> Rotation<'k> {
    /// One that looks at so many rows at a time.
    pub fn new(keyring: &'k Keyring, batch: u32) -> Self {
        Self {
            keyring,
            batch: batch.max(1).into(),
            column: 0,
            after: beginning(),
            looks: 0,
            tallies: BTreeMap::new(),
            resealed: BTreeMap::new(),
            broken: BTreeSet::new(),
            busy: 0,
        }
    }

    /// The column that the next step looks at.
    pub fn column(&self) -> Option<SealedColumn> {
        SealedColumn::ALL.get(self.column).copied()
    }

    /// Values sealed anew so far.
    pub fn resealed(&self) -> &BTreeMap<SealedColumn, u64> {
        &self.resealed
    }

    /// Values that do not open: their key is gone, or they were altered. They are left as they are.
    pub fn broken(&self) -> impl Iterator<Item = &Place> {
        self.broken.iter()
    }

    /// Values that were being written at every look, under another key than the primary.
    pub fn busy(&self) -> u64 {
        self.busy
    }

    /// Looks at one batch, in one transaction with its part of the audit log. After an error the step may be tried
    /// again, on another connection too.
    pub fn step(&mut self, connection: &mut PgConnection) -> QueryResult<Step> {
        let Some(column) = self.column() else {
            return Ok(Step::Done);
        };
        let rows: Vec<Row> = statement(column.sql().walk)
            .bind::<Binary, _>(self.keyring.header().to_vec())
            .bind::<SqlUuid, _>(self.after.0)
            .bind::<Binary, _>(self.after.1.clone())
            .bind::<BigInt, _>(self.batch)
            .load(connection)?;
        let Some(last) = rows.last() else {
            self.column += 1;
            self.after = beginning();
            return Ok(self.column().map_or(Step::Done, |_| Step::Walked));
        };
        let end = (last.merchant_id, last.place.clone());
        let wanted = self.reseal(column, rows);
        let missed = self.replace(connection, column, &wanted)?;
        self.looks += 1;
        if missed > 0 && self.looks < LOOKS {
            return Ok(Step::Busy);
        }
        self.busy += missed;
        self.looks = 0;
        self.after = end;
        Ok(Step::Walked)
    }

    fn reseal(&mut self, column: SealedColumn, rows: Vec<Row>) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for row in rows {
            let Some(was) = row.sealed else { continue };
            let merchant = MerchantId(row.merchant_id);
            let becomes = Uuid::from_slice(&row.subject).ok().and_then(|subject| {
                self.keyring
                    .reseal(merchant, subject, column.purpose(), &was)
                    .ok()
            });
            match becomes {
                Some(becomes) => wanted.push(Wanted {
                    merchant: row.merchant_id,
                    place: row.place,
                    was,
                    becomes,
                }),
                None => {
                    self.broken.insert(Place {
                        column,
                        merchant,
                        key: row.place,
                    });
                }
            }
        }
        wanted
    }

    /// Answers how many were not replaced: somebody had changed or locked them.
    fn replace(
        &mut self,
        connection: &mut PgConnection,
        column: SealedColumn,
        wanted: &[Wanted],
    ) -> QueryResult<u64> {
        if wanted.is_empty() {
            return Ok(0);
        }
        for value in wanted {
            self.tallies
                .entry(MerchantId(value.merchant))
                .or_insert_with(Tally::new);
        }
        let replaced = connection.transaction(|connection| {
            let replaced = replace(connection, column, wanted)?;
            self.record(connection, column, &replaced)?;
            QueryResult::Ok(replaced)
        })?;
        let count = replaced.values().sum::<u64>();
        for (merchant, count) in replaced {
            let tally = self.tallies.entry(merchant).or_insert_with(Tally::new);
            *tally.by_table.entry(column.table()).or_default() += count;
        }
        *self.resealed.entry(column).or_default() += count;
        Ok(wanted.len() as u64 - count)
    }

    /// One line of the audit log for each merchant, which grows with the rotation: one that is killed leaves on record
    /// what it did.
    fn record(
        &self,
        connection: &mut PgConnection,
        column: SealedColumn,
        replaced: &BTreeMap<MerchantId, u64>,
    ) -> QueryResult<()> {
        for (merchant, count) in replaced {
            let Some(tally) = self.tallies.get(merchant) else {
                continue;
            };
            let mut by_table = tally.by_table.clone();
            *by_table.entry(column.table()).or_default() += count;
            audit::record_growing(
                connection,
                *merchant,
                tally.audit_id,
                "keyring.rotate",
                &merchant.to_string(),
                &json!({ "primary": self.keyring.primary(), "resealed": by_table }),
            )?;
        }
        Ok(())
    }
}

fn beginning() -> (Uuid, Vec<u8>) {
    (Uuid::nil(), Uuid::nil().as_bytes().to_vec())
}

/// A value to be replaced.
struct Wanted {
    merchant: Uuid,
    place: Vec<u8>,
    was: Vec<u8>,
    becomes: Vec<u8>,
}

/// Replaces those that are still what they were and that nobody holds; answers how many of each merchant.
fn replace(
    connection: &mut PgConnection,
    column: SealedColumn,
    wanted: &[Wanted],
) -> QueryResult<BTreeMap<MerchantId, u64>> {
    macro_rules! column {
        ($row:pat => $value:expr) => {
            wanted.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    let rows: Vec<Replaced> = statement(column.sql().replace)
        .bind::<Array<SqlUuid>, _>(column!(w => w.merchant))
        .bind::<Array<Binary>, _>(column!(w => w.place.as_slice()))
        .bind::<Array<Binary>, _>(column!(w => w.was.as_slice()))
        .bind::<Array<Binary>, _>(column!(w => w.becomes.as_slice()))
        .load(connection)?;
    let mut replaced = BTreeMap::new();
    for row in rows {
        *replaced.entry(MerchantId(row.merchant_id)).or_default() += 1;
    }
    Ok(replaced)
}
