//! The ledger: every penny drop really performed, whatever came of it and whether or not the caller
//! got an answer. It is what shows that money moved once: a reference with a count above 1 was paid
//! twice. It holds references only, never an account, a name or a VPA.

mod journal;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::gateway::Gateway;
use crate::ledger::journal::{FLUSH_EVERY, Journal, Line};
use crate::sign::hex;

/// Room for this many references before a table grows.
const EXPECTED: usize = 1 << 16;

/// Every drop since the start, or since it was last cleared. Shared by all workers.
#[derive(Debug)]
pub struct Ledger {
    book: Mutex<Book>,
    /// Rung when the book has lines for an idle journal, or is closed.
    bell: Condvar,
    journal: Option<Journal>,
}

#[derive(Debug)]
struct Book {
    total: u64,
    drops: Vec<Entry>,
    places: [HashMap<Arc<str>, usize>; Gateway::COUNT],
    /// Lines on their way to the file.
    unwritten: Vec<u8>,
    closed: bool,
}

/// One reference that was dropped, as `GET /_sandbox/drops` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// At which gateway.
    pub gateway: Gateway,
    /// The caller's own reference, or the gateway's where the call has none.
    #[serde(serialize_with = "text")]
    pub reference: Arc<str>,
    /// When it was dropped first.
    #[serde(serialize_with = "rfc3339")]
    pub at: DateTime<Utc>,
    /// How often it was dropped.
    pub count: u64,
}

/// The answer of `GET /_sandbox/drops`.
#[derive(Debug, Serialize)]
pub struct Drops {
    /// Drops performed.
    pub total: u64,
    /// References they carried; smaller than `total` when one was dropped twice.
    pub distinct_references: usize,
    /// One entry a reference, oldest first.
    pub drops: Vec<Entry>,
}

impl Ledger {
    /// A ledger that is forgotten when the process ends.
    pub fn in_memory() -> Arc<Self> {
        Arc::new(Self {
            book: Mutex::new(Book::new()),
            bell: Condvar::new(),
            journal: None,
        })
    }

    /// A ledger kept in this file: what the file holds is read back, what comes is appended at the
    /// latest 100 ms later.
    pub fn open(path: &Path) -> anyhow::Result<Arc<Self>> {
        let mut book = Book::new();
        let journal = Journal::open(path, |gateway, reference, at| {
            book.enter(gateway, reference, at);
        })?;
        let ledger = Arc::new(Self {
            book: Mutex::new(book),
            bell: Condvar::new(),
            journal: Some(journal),
        });
        let writer = Arc::clone(&ledger);
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.write_until_closed())?;
        Ok(ledger)
    }

    /// Enters one performed drop.
    pub fn record(&self, gateway: Gateway, reference: &str) {
        let at = Utc::now();
        let mut book = self.lock();
        book.enter(gateway, reference, at);
        if self.journal.is_some() {
            let idle = book.unwritten.is_empty();
            Line::new(gateway, reference, at).append_to(&mut book.unwritten);
            if idle {
                self.bell.notify_one();
            }
        }
    }

    /// All counts, and the oldest `limit` references.
    pub fn list(&self, limit: usize) -> Drops {
        let book = self.lock();
        let shown = book.drops.len().min(limit);
        Drops {
            total: book.total,
            distinct_references: book.drops.len(),
            drops: book.drops[..shown].to_vec(),
        }
    }

    /// Empties the ledger and its file.
    pub fn clear(&self) -> io::Result<()> {
        let forget = || {
            let mut book = self.lock();
            let closed = book.closed;
            *book = Book {
                closed,
                ..Book::new()
            };
        };
        if let Some(journal) = &self.journal {
            journal.truncate(forget)
        } else {
            forget();
            Ok(())
        }
    }

    /// Writes out what is not written yet. Drops recorded later stay in memory.
    pub fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_one();
        self.write();
    }

    fn write_until_closed(&self) {
        loop {
            let book = self
                .bell
                .wait_while(self.lock(), |book| {
                    book.unwritten.is_empty() && !book.closed
                })
                .unwrap_or_else(PoisonError::into_inner);
            if book.closed {
                return;
            }
            drop(book);
            std::thread::sleep(FLUSH_EVERY);
            self.write();
        }
    }

    fn write(&self) {
        if let Some(journal) = &self.journal {
            journal.append(|| std::mem::take(&mut self.lock().unwritten));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn new() -> Self {
        Self {
            total: 0,
            drops: Vec::with_capacity(EXPECTED),
            places: std::array::from_fn(|_| HashMap::with_capacity(EXPECTED)),
            unwritten: Vec::new(),
            closed: false,
        }
    }

    fn enter(&mut self, gateway: Gateway, reference: &str, at: DateTime<Utc>) {
        self.total += 1;
        let places = &mut self.places[gateway.index()];
        if let Some(&place) = places.get(reference) {
            self.drops[place].count += 1;
            return;
        }
        let reference: Arc<str> = Arc::from(reference);
        places.insert(Arc::clone(&reference), self.drops.len());
        self.drops.push(Entry {
            gateway,
            reference,
            at,
            count: 1,
        });
    }
}

/// The reference of a drop whose call carries none of the caller's: a digest of the account, so that a
/// second drop into the same account is seen, and the account is not.
pub(crate) fn account_reference(number: &str, ifsc: &str) -> String {
    let digest = Sha256::digest(format!("{number}/{ifsc}"));
    format!("account:{}", hex(&digest[..12]))
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn rfc3339<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn counts(ledger: &Ledger) -> Vec<(String, u64)> {
        let listed = ledger.list(usize::MAX);
        listed
            .drops
            .iter()
            .map(|entry| (entry.reference.to_string(), entry.count))
            .collect()
    }

    fn scratch(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("khata-ledger-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_reference_dropped_twice_is_one_entry_counted_twice() {
        let ledger = Ledger::in_memory();
        for reference in ["a", "b", "a"] {
            ledger.record(Gateway::Cashfree, reference);
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
    fn an_entry_shows_its_first_time_in_utc() {
        let ledger = Ledger::in_memory();
        ledger.record(Gateway::Cashfree, "a");
        let json = serde_json::to_value(ledger.list(usize::MAX)).unwrap();
        let at = json["drops"][0]["at"].as_str().unwrap();
        assert!(at.ends_with('Z') && DateTime::parse_from_rfc3339(at).is_ok());
        assert_eq!(json["drops"][0]["gateway"], "CASHFREE");
    }

    #[test]
    fn an_account_is_told_apart_and_not_told() {
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
    fn the_file_gives_back_what_was_recorded() {
        let path = scratch("back");
        let _ = std::fs::remove_file(&path);
        let first = Ledger::open(&path).unwrap();
        for reference in ["a", "b", "a"] {
            first.record(Gateway::Cashfree, reference);
        }
        first.close();
        let second = Ledger::open(&path).unwrap();
        assert_eq!(second.list(usize::MAX).total, 3);
        assert_eq!(counts(&second), counts(&first));
        assert_eq!(
            second.list(1).drops[0].at.timestamp_millis(),
            first.list(1).drops[0].at.timestamp_millis()
        );

        second.record(Gateway::Cashfree, "forgotten");
        second.clear().unwrap();
        second.record(Gateway::Cashfree, "kept");
        second.close();
        let third = Ledger::open(&path).unwrap();
        assert_eq!(counts(&third), [("kept".to_owned(), 1)]);
        third.close();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_line_cut_short_costs_only_itself() {
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
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(counts(&ledger), [("a".to_owned(), 1)]);
        ledger.record(Gateway::Cashfree, "b");
        ledger.close();
        let again = Ledger::open(&path).unwrap();
        assert_eq!(counts(&again), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
        again.close();
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn lines_reach_the_file_without_a_stop() {
        let path = scratch("flush");
        let _ = std::fs::remove_file(&path);
        let ledger = Ledger::open(&path).unwrap();
        ledger.record(Gateway::Cashfree, "a");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while std::fs::metadata(&path).unwrap().len() == 0 {
            assert!(std::time::Instant::now() < deadline, "never flushed");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        ledger.close();
        std::fs::remove_file(&path).unwrap();
    }
}
