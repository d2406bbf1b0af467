//! The ledger: every penny drop that was performed, regardless of its outcome and of whether the caller
//! received the reply. The ledger shows that money moved once: a reference with a count above 1 was paid
//! twice. It holds references only, never an account, a name or a VPA.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::gateway::{Gateway, lock};

/// Every drop since the start, or since the ledger was last cleared. The default is lost when the process
/// ends.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    total: u64,
    listed: Vec<Entry>,
    /// Index in `listed` by gateway and reference.
    indexes: HashMap<Gateway, HashMap<String, usize>>,
    /// File that receives one JSON line for each drop.
    file: Option<File>,
}

/// One reference that was dropped, as `GET /_sandbox/drops` lists it.
#[derive(Debug, Clone, Serialize)]
struct Entry {
    gateway: Gateway,
    /// The caller's reference, or the gateway's where the call has none.
    reference: String,
    /// Time of the first drop.
    at: String,
    count: u64,
}

/// The reply of `GET /_sandbox/drops`: the counts, and one entry for each reference, oldest first.
#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    total: u64,
    distinct_references: usize,
    drops: Vec<Entry>,
}

impl Ledger {
    /// Opens a ledger that is kept in this file: reads the lines of the file back, and appends a line
    /// for each new drop. A line that cannot be read (a process killed while it wrote leaves one) is
    /// skipped with a message on stderr.
    pub(crate) fn open(path: &Path, known: &[Gateway]) -> anyhow::Result<Self> {
        let named = || format!("ledger file {}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .with_context(named)?;
        let mut entries = Entries::default();
        let mut reader = BufReader::new(&file);
        let (mut line, mut complete, mut skipped) = (Vec::new(), true, 0_u64);
        while reader.read_until(b'\n', &mut line).with_context(named)? > 0 {
            complete = line.ends_with(b"\n");
            if entries.read_line(&line, known).is_none() {
                skipped += 1;
            }
            line.clear();
        }
        if skipped > 0 {
            eprintln!(
                "khata-sandbox: skipped {skipped} unreadable line(s) of the {}",
                named()
            );
        }
        if !complete {
            file.write_all(b"\n").with_context(named)?;
        }
        entries.file = Some(file);
        Ok(Self(Mutex::new(entries)))
    }

    /// Records one drop.
    pub(crate) fn record(&self, gateway: Gateway, reference: &str) {
        let at = Utc::now();
        let mut entries = lock(&self.0);
        entries.enter(gateway, reference, at);
        if let Some(file) = &mut entries.file {
            let mut line =
                json!({"gateway": gateway, "reference": reference, "at": at}).to_string();
            line.push('\n');
            if let Err(error) = file.write_all(line.as_bytes()) {
                eprintln!("khata-sandbox: the ledger file cannot be written: {error}");
            }
        }
    }

    /// Returns the counts, and the oldest `limit` references.
    pub(crate) fn list(&self, limit: usize) -> Listing {
        let entries = lock(&self.0);
        Listing {
            total: entries.total,
            distinct_references: entries.listed.len(),
            drops: entries.listed.iter().take(limit).cloned().collect(),
        }
    }

    /// Empties the ledger and its file.
    pub(crate) fn clear(&self) -> io::Result<()> {
        let mut entries = lock(&self.0);
        if let Some(file) = &entries.file {
            file.set_len(0)?;
        }
        *entries = Entries {
            file: entries.file.take(),
            ..Entries::default()
        };
        Ok(())
    }
}

impl Entries {
    fn enter(&mut self, gateway: Gateway, reference: &str, at: DateTime<Utc>) {
        self.total += 1;
        let indexes = self.indexes.entry(gateway).or_default();
        if let Some(&index) = indexes.get(reference) {
            self.listed[index].count += 1;
            return;
        }
        indexes.insert(reference.to_owned(), self.listed.len());
        self.listed.push(Entry {
            gateway,
            reference: reference.to_owned(),
            at: at.to_rfc3339_opts(SecondsFormat::Millis, true),
            count: 1,
        });
    }

    fn read_line(&mut self, line: &[u8], known: &[Gateway]) -> Option<()> {
        let line: Value = serde_json::from_slice(line).ok()?;
        let gateway = Gateway::named(line["gateway"].as_str()?, known).ok()?;
        let at = DateTime::parse_from_rfc3339(line["at"].as_str()?).ok()?;
        self.enter(gateway, line["reference"].as_str()?, at.to_utc());
        Some(())
    }
}

/// Returns the reference of a drop whose call has no reference of the caller's: a digest of the account,
/// so that the ledger shows a second drop into it and does not show the account.
pub(crate) fn account_reference(number: &str, ifsc: &str) -> String {
    let digest = Sha256::digest(format!("{number}/{ifsc}"));
    format!("account:{}", HEXLOWER.encode(&digest[..12]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const CASHFREE: Gateway = Gateway("CASHFREE");

    fn counts(ledger: &Ledger) -> Vec<(String, u64)> {
        let listed = ledger.list(usize::MAX);
        let entries = listed.drops.iter();
        entries
            .map(|entry| (entry.reference.clone(), entry.count))
            .collect()
    }

    fn scratch(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("khata-ledger-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_reference_dropped_twice_is_one_entry_with_count_two() {
        let ledger = Ledger::default();
        for reference in ["a", "b", "a"] {
            ledger.record(CASHFREE, reference);
        }
        let listed = ledger.list(usize::MAX);
        assert_eq!((listed.total, listed.distinct_references), (3, 2));
        assert_eq!(counts(&ledger), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let capped = ledger.list(1);
        assert_eq!((capped.total, capped.distinct_references), (3, 2));
        assert_eq!(capped.drops.len(), 1);

        ledger.clear().unwrap();
        let empty = ledger.list(usize::MAX);
        assert_eq!((empty.total, empty.distinct_references), (0, 0));
    }

    #[test]
    fn an_entry_has_its_first_time_in_utc() {
        let ledger = Ledger::default();
        ledger.record(CASHFREE, "a");
        let json = serde_json::to_value(ledger.list(usize::MAX)).unwrap();
        let at = json["drops"][0]["at"].as_str().unwrap();
        assert!(at.ends_with('Z') && DateTime::parse_from_rfc3339(at).is_ok());
        assert_eq!(json["drops"][0]["gateway"], "CASHFREE");
    }

    #[test]
    fn an_account_reference_identifies_and_hides_the_account() {
        let reference = account_reference("026291800001191", "YESB0000262");
        assert_eq!(
            reference,
            account_reference("026291800001191", "YESB0000262")
        );
        assert_ne!(
            reference,
            account_reference("026291800001191", "YESB0000263")
        );
        assert!(reference.starts_with("account:") && !reference.contains("1191"));
    }

    #[test]
    fn the_file_gives_back_the_recorded_drops() {
        let path = scratch("back");
        let _ = std::fs::remove_file(&path);
        let first = Ledger::open(&path, &[CASHFREE]).unwrap();
        for reference in ["a", "b", "a"] {
            first.record(CASHFREE, reference);
        }
        let second = Ledger::open(&path, &[CASHFREE]).unwrap();
        assert_eq!(second.list(usize::MAX).total, 3);
        assert_eq!(counts(&second), counts(&first));
        assert_eq!(second.list(1).drops[0].at, first.list(1).drops[0].at);

        second.record(CASHFREE, "cleared");
        second.clear().unwrap();
        second.record(CASHFREE, "kept");
        let third = Ledger::open(&path, &[CASHFREE]).unwrap();
        assert_eq!(counts(&third), [("kept".to_owned(), 1)]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_truncated_line_costs_only_itself() {
        let path = scratch("cut");
        std::fs::write(
            &path,
            concat!(
                r#"{"gateway":"CASHFREE","reference":"a","at":"2026-11-23T00:00:00Z"}"#,
                "\n",
                r#"{"gateway":"CASHFREE","refer"#,
            ),
        )
        .unwrap();
        let ledger = Ledger::open(&path, &[CASHFREE]).unwrap();
        assert_eq!(counts(&ledger), [("a".to_owned(), 1)]);
        ledger.record(CASHFREE, "b");
        let again = Ledger::open(&path, &[CASHFREE]).unwrap();
        assert_eq!(counts(&again), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn lines_reach_the_file_without_a_stop() {
        let path = scratch("flush");
        let _ = std::fs::remove_file(&path);
        let ledger = Ledger::open(&path, &[CASHFREE]).unwrap();
        ledger.record(CASHFREE, "a");
        assert!(std::fs::metadata(&path).unwrap().len() > 0);
        std::fs::remove_file(&path).unwrap();
    }
}
