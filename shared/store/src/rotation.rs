//! Key rotation: encrypts again, with the primary key, the values of other keys. Services keep writing meanwhile; a rotation
//! works in small transactions, can start again at any point, and several may run at once.
//!
//! Each table is read along its primary key, so that a query costs no more than a batch. A value is replaced only if the
//! column still holds the value that was read, and a locked row is skipped and tried again: a rotation never waits for a row
//! while it locks others, so it cannot take part in a deadlock. No index contains a sealed column, so every update is a
//! heap-only one.

mod column;
mod sample;

pub use column::{
    Decrypted, KeyUsage, SealedColumn, SealedValue, count_by_key, decrypt, decrypts, keys_in_use,
};
pub(crate) use sample::undecryptable_keys;

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::audit::{self, Actor, Changes};
use super::column::row;
use super::encryption_counts;
use super::statement::{rows, statement};
use khata_crypto::Keyring;
use khata_domain::MerchantId;

/// Tries of a batch, before values that other transactions keep locked are left for the next rotation.
const MAX_TRIES: u32 = 20;

row! {
    struct Row {
        merchant_id: Uuid,
        place: Vec<u8>,
        subject: Uuid,
        /// `None` if there is no value or the primary key encrypted it.
        sealed: Option<Vec<u8>>,
    }
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepResult {
    /// A batch is done.
    Batch,
    /// Other transactions had rows of the batch locked: pause before the next step, which tries again.
    Busy,
    /// Every column is done.
    Done,
}

/// A rotation through every sealed column. An interrupted one loses nothing: the next skips the primary key's values.
pub struct Rotation<'k> {
    keyring: &'k Keyring,
    actor: &'k Actor,
    batch: i64,
    column: usize,
    /// Last row of the previous batch.
    after: (Uuid, Vec<u8>),
    tries: u32,
    /// Number of values encrypted again so far.
    pub reencrypted: BTreeMap<SealedColumn, u64>,
    /// Values that cannot be decrypted: their key is missing, or they were altered. They stay as they are.
    pub undecryptable: BTreeSet<SealedValue>,
    /// Number of values of other keys that were locked at every try.
    pub busy: u64,
}

impl<'k> Rotation<'k> {
    /// A rotation that reads `batch` rows at a time.
    pub fn new(keyring: &'k Keyring, actor: &'k Actor, batch: u32) -> Self {
        Self {
            keyring,
            actor,
            batch: batch.max(1).into(),
            column: 0,
            after: beginning(),
            tries: 0,
            reencrypted: BTreeMap::new(),
            undecryptable: BTreeSet::new(),
            busy: 0,
        }
    }

    /// Returns the column of the next step.
    pub fn column(&self) -> Option<SealedColumn> {
        SealedColumn::ALL.get(self.column).copied()
    }

    /// Does one batch, in one transaction with its lines of the audit log, one for each merchant. After an error the step may be tried again, also on
    /// another connection.
    pub fn step(&mut self, connection: &mut PgConnection) -> QueryResult<StepResult> {
        let Some(column) = self.column() else {
            return Ok(StepResult::Done);
        };
        let rows: Vec<Row> = statement(column.walk())
            .bind(self.keyring.header().to_vec())
            .bind(self.after.0)
            .bind(self.after.1.clone())
            .bind(self.batch)
            .load(connection)?;
        let Some(last) = rows.last() else {
            self.column += 1;
            self.after = beginning();
            return Ok(self
                .column()
                .map_or(StepResult::Done, |_| StepResult::Batch));
        };
        let end = (last.merchant_id, last.place.clone());
        let wanted = self.reencrypt(column, rows);
        let missed = self.replace(connection, column, &wanted)?;
        self.tries += 1;
        if missed > 0 && self.tries < MAX_TRIES {
            return Ok(StepResult::Busy);
        }
        self.busy += missed;
        self.tries = 0;
        self.after = end;
        Ok(StepResult::Batch)
    }

    fn reencrypt(&mut self, column: SealedColumn, rows: Vec<Row>) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for row in rows {
            let Some(was) = row.sealed else { continue };
            let merchant = MerchantId(row.merchant_id);
            match self
                .keyring
                .reencrypt(merchant, row.subject, column.purpose(), &was)
            {
                Ok(becomes) => wanted.push(Wanted {
                    merchant,
                    place: row.place,
                    was,
                    becomes,
                }),
                Err(_) => {
                    self.undecryptable.insert(SealedValue {
                        column,
                        merchant,
                        key: row.place,
                    });
                }
            }
        }
        wanted
    }

    /// Returns the number of values that were not replaced because another transaction changed or locked them.
    fn replace(
        &mut self,
        connection: &mut PgConnection,
        column: SealedColumn,
        wanted: &[Wanted],
    ) -> QueryResult<u64> {
        if wanted.is_empty() {
            return Ok(0);
        }
        let count: u64 = connection.transaction(|connection| {
            encryption_counts::add(connection, self.keyring.primary(), wanted.len() as u64)?;
            let replaced = replace(connection, column, wanted)?;
            let changes = Changes::of("key", "another", self.keyring.primary());
            for (merchant, count) in &replaced {
                audit::record(
                    connection,
                    *merchant,
                    self.actor,
                    "keyring.rotate",
                    &merchant.to_string(),
                    json!({ "resealed": { column.table(): count } }),
                    &changes,
                )?;
            }
            QueryResult::Ok(replaced.values().sum())
        })?;
        *self.reencrypted.entry(column).or_default() += count;
        Ok(wanted.len() as u64 - count)
    }
}

fn beginning() -> (Uuid, Vec<u8>) {
    (Uuid::nil(), column::BEGINNING.to_vec())
}

/// A value to replace.
struct Wanted {
    merchant: MerchantId,
    place: Vec<u8>,
    was: Vec<u8>,
    becomes: Vec<u8>,
}

/// Replaces the values that are unchanged and not locked; returns their number by merchant.
fn replace(
    connection: &mut PgConnection,
    column: SealedColumn,
    wanted: &[Wanted],
) -> QueryResult<BTreeMap<MerchantId, u64>> {
    let rows: Vec<MerchantId> = statement(column.replace())
        .rows(rows!(wanted, value => {
            merchant_id = value.merchant,
            place = value.place.as_slice(),
            was = value.was.as_slice(),
            becomes = value.becomes.as_slice(),
        }))
        .tuples(connection)?;
    let mut replaced = BTreeMap::new();
    for merchant in rows {
        *replaced.entry(merchant).or_default() += 1;
    }
    Ok(replaced)
}
