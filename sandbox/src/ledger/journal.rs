//! The ledger's file: one JSON line a drop, appended in batches by one thread, read back at the start.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::gateway::Gateway;

/// How long lines gather before they are written.
pub(super) const FLUSH_EVERY: Duration = Duration::from_millis(50);

/// The open file. Its lock is always taken before the book's, never while the book's is held.
#[derive(Debug)]
pub(super) struct Journal {
    file: Mutex<File>,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow)]
    gateway: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    reference: std::borrow::Cow<'a, str>,
    at: DateTime<Utc>,
}

impl<'a> Line<'a> {
    pub(super) fn new(gateway: Gateway, reference: &'a str, at: DateTime<Utc>) -> Self {
        Self {
            gateway: gateway.name().into(),
            reference: reference.into(),
            at,
        }
    }

    pub(super) fn append_to(&self, lines: &mut Vec<u8>) {
        let start = lines.len();
        match serde_json::to_writer(&mut *lines, self) {
            Ok(()) => lines.push(b'\n'),
            Err(_) => lines.truncate(start),
        }
    }
}

impl Journal {
    /// Opens the file, creating it, and hands every drop it holds to `enter`. A line that cannot be
    /// read (a process killed while writing leaves one) is passed over with a word on stderr.
    pub(super) fn open(
        path: &Path,
        mut enter: impl FnMut(Gateway, &str, DateTime<Utc>),
    ) -> anyhow::Result<Self> {
        let named = || format!("ledger file {}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .with_context(named)?;
        let mut reader = BufReader::new(&file);
        let mut text = Vec::new();
        let mut whole = true;
        let mut passed_over = 0_u64;
        while reader.read_until(b'\n', &mut text).with_context(named)? > 0 {
            whole = text.ends_with(b"\n");
            let known = serde_json::from_slice::<Line<'_>>(&text)
                .ok()
                .and_then(|line| Some((Gateway::named(&line.gateway).ok()?, line)));
            match known {
                Some((gateway, line)) => enter(gateway, &line.reference, line.at),
                None => passed_over += 1,
            }
            text.clear();
        }
        if passed_over > 0 {
            eprintln!(
                "khata-sandbox: passed over {passed_over} unreadable line(s) of the {}",
                named()
            );
        }
        if !whole {
            file.write_all(b"\n").with_context(named)?;
        }
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    /// Appends the lines that `take` hands out once the file is ours.
    pub(super) fn append(&self, take: impl FnOnce() -> Vec<u8>) {
        let mut file = self.lock();
        let lines = take();
        if let Err(error) = file.write_all(&lines) {
            eprintln!("khata-sandbox: the ledger's file cannot be written: {error}");
        }
    }

    /// Empties the file, and calls `forget` while nobody can append.
    pub(super) fn truncate(&self, forget: impl FnOnce()) -> io::Result<()> {
        let file = self.lock();
        file.set_len(0)?;
        forget();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
