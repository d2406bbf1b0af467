//! The history of a run: an append-only file with one JSON object a line. `docs/proof.md` describes the records.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use khata_e2e::Database;
use serde_json::{Value, json};

/// A history that several tasks write.
#[derive(Clone, Debug)]
pub(crate) struct History(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    file: BufWriter<File>,
    path: PathBuf,
    records: usize,
    /// The first error of a write.
    failed: Option<std::io::Error>,
    /// Nothing follows the record `end`.
    has_ended: bool,
}

impl Inner {
    fn add(&mut self, kind: &str, mut record: Value) {
        if self.has_ended {
            return;
        }
        record["kind"] = kind.into();
        self.records += 1;
        if let Err(error) = writeln!(self.file, "{record}") {
            self.failed.get_or_insert(error);
        }
    }
}

/// Returns the time in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or_default()
}

impl History {
    /// Creates the file, whose first record describes the run.
    pub(crate) fn create(path: &Path, run: Value) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let inner = Inner {
            file: BufWriter::new(file),
            path: path.to_owned(),
            records: 0,
            failed: None,
            has_ended: false,
        };
        let history = Self(Arc::new(Mutex::new(inner)));
        history.add("run", run);
        Ok(history)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record of this kind. A record that comes after the end is left out.
    pub(crate) fn add(&self, kind: &str, record: Value) {
        self.lock().add(kind, record);
    }

    /// Adds the rows of the database and the ledger of the gateways, and ends the history. Nothing may change the rows any more.
    /// Returns the file's path.
    pub(crate) fn end(&self, database: &Database, ledger: &Path) -> Result<PathBuf> {
        let mut inner = self.lock();
        // One statement: all rows are of one moment.
        let queries = ROWS.map(|(kind, query)| {
            format!("select json_build_array('{kind}', value) from ({query}) as found (value)")
        });
        for row in database.texts(&queries.join(" union all "))? {
            let (kind, mut row): (String, Value) = serde_json::from_str(&row)?;
            show_ids(&kind, &mut row);
            inner.add(&kind, row);
        }
        let drops = std::fs::read_to_string(ledger)
            .with_context(|| format!("the ledger {}", ledger.display()))?;
        for line in drops.lines() {
            let mut drop: Value = serde_json::from_str(line)?;
            let at = drop["at"].as_str().unwrap_or_default();
            let at = chrono::DateTime::parse_from_rfc3339(at)?.timestamp_millis();
            drop["at"] = at.into();
            inner.add("drop", drop);
        }
        let records = inner.records + 1;
        inner.add("end", json!({ "records": records }));
        inner.has_ended = true;
        if let Some(error) = inner.failed.take() {
            return Err(error).context("the history is incomplete");
        }
        inner.file.flush()?;
        Ok(inner.path.clone())
    }
}

/// Kinds of rows, with the queries that return them as JSON.
const ROWS: [(&str, &str); 4] = [
    (
        "account",
        "select json_build_object('id', a.id, 'customer', c.object_reference_id, 'status', a.status, 'version', a.version)
         from customer_accounts a join customers c on c.merchant_id = a.merchant_id and c.id = a.customer_id",
    ),
    (
        "validation",
        "select json_build_object('id', id, 'account', account_id, 'state', state, 'outcome', outcome,
            'failure_code', failure_code, 'created_at', (extract(epoch from created_at) * 1000)::bigint,
            'completed_at', (extract(epoch from completed_at) * 1000)::bigint)
         from validations",
    ),
    (
        "attempt",
        "select json_build_object('validation', validation_id, 'number', number, 'gateway_id', gateway_id,
            'method', method, 'reference', reference, 'class', class, 'gateway_reference', gateway_reference,
            'possible_double_drop', possible_double_drop, 'started_at', (extract(epoch from started_at) * 1000)::bigint)
         from validation_attempts",
    ),
    (
        "event",
        "select json_build_object('id', id, 'account', subject_id, 'version', version, 'name', name)
         from events where name like 'CUSTOMER_ACCOUNT_%'",
    ),
];

/// Members of the rows that are ids, with the prefix under which the API shows them.
fn show_ids(kind: &str, row: &mut Value) {
    let members = match kind {
        "validation" => [("id", "val_"), ("account", "banh_")],
        "event" => [("id", "evt_"), ("account", "banh_")],
        _ => [("id", "banh_"), ("validation", "val_")],
    };
    for (member, prefix) in members {
        if let Some(id) = row[member].as_str().and_then(shown) {
            row[member] = format!("{prefix}{id}").into();
        }
    }
}

/// Returns a UUID in the form of the API's ids: 26 digits of five bits, `0-9a-v` (docs/api.md, "Ids").
fn shown(uuid: &str) -> Option<String> {
    let bits = u128::from_str_radix(&uuid.replace('-', ""), 16).ok()?;
    let digit = |place: u32| char::from_digit(((bits >> (place * 5)) & 31) as u32, 32);
    (0..26).rev().map(digit).collect()
}
