//! The columns of a statement, and its rows, which are read as a stream.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use csv::{ReaderBuilder, StringRecord, Trim};
use khata_domain::Gateway;

use super::values::{paise, time};
use crate::times::Zone;

/// A column that the options say does not exist.
const NO_COLUMN: &str = "none";
/// One rupee, in paise: the amount of a penny drop.
const RUPEE: i64 = 100;

/// The columns that the options name.
pub(super) struct Named<'a> {
    pub(super) reference: Option<&'a str>,
    pub(super) amount: Option<&'a str>,
    pub(super) time: Option<&'a str>,
    pub(super) status: Option<&'a str>,
    pub(super) paid: &'a [String],
    pub(super) is_paise: bool,
    pub(super) zone: Zone,
}

/// The places of the columns in a statement.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    file: PathBuf,
    reference: usize,
    /// `None`: each row is one rupee.
    amount: Option<usize>,
    time: usize,
    /// With the words that say that a row paid.
    status: Option<(usize, Vec<String>)>,
    is_paise: bool,
    zone: Zone,
}

/// A row of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StatementRow {
    Rupee(Rupee),
    /// Another amount, or no payment.
    Other,
}

/// A rupee that the gateway paid or took back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rupee {
    /// Line of the file, from 1.
    pub(super) line: u64,
    /// Our reference, or the gateway's id.
    pub(super) reference: String,
    /// The amount is below zero. Exports differ in whether a payment or its reversal is.
    pub(super) is_negative: bool,
    pub(super) at: DateTime<Utc>,
}

/// Returns the names of the columns to look for: reference, amount and time. No gateway publishes the columns of its exports; these are the
/// names of the fields in its API (docs/gateways.md, "Statements").
fn candidates(gateway: Gateway) -> [Vec<&'static str>; 3] {
    let (reference, time): (&[&str], &[&str]) = match gateway {
        Gateway::Cashfree => (
            &["user_id", "verification_id", "reference_id"],
            &["added_on", "processed_on"],
        ),
        Gateway::Razorpay => (&["reference_id", "id"], &["created_at"]),
        Gateway::Payu => (&["merchantRefId", "payuTransactionRefNo"], &["txnDate"]),
        Gateway::Setu => (&["id"], &["createdAt"]),
        Gateway::Decentro => (&["reference_id", "decentroTxnId"], &["timestamp"]),
        Gateway::Dummy => (&[], &[]),
    };
    [
        [reference, &["reference"]].concat(),
        vec!["amount", "debit"],
        [time, &["time", "date"]].concat(),
    ]
}

/// Returns a name without case, blanks and punctuation, as different exports write it.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

fn place(header: &StringRecord, name: &str) -> Option<usize> {
    header
        .iter()
        .position(|column| plain(column) == plain(name))
}

impl Columns {
    /// Finds the columns in the first line of the file.
    pub(super) fn find(file: &Path, gateway: Gateway, named: &Named<'_>) -> anyhow::Result<Self> {
        let mut reader = open(file)?;
        let header = reader
            .headers()
            .with_context(|| format!("cannot read {}", file.display()))?;
        let find = |option: &str, name: Option<&str>, candidates: &[&str]| {
            let found = match name {
                Some(name) => place(header, name),
                None => candidates.iter().find_map(|name| place(header, name)),
            };
            found.with_context(|| {
                let wanted = name.map_or_else(|| candidates.join(", "), str::to_owned);
                let columns: Vec<&str> = header.iter().collect();
                format!(
                    "{} has no column {wanted}; name one of its columns with {option}: {}",
                    file.display(),
                    columns.join(", ")
                )
            })
        };
        let [reference, amount, time] = candidates(gateway);
        Ok(Self {
            file: file.to_owned(),
            reference: find("--reference-column", named.reference, &reference)?,
            amount: match named.amount {
                Some(NO_COLUMN) => None,
                name => Some(find("--amount-column", name, &amount)?),
            },
            time: find("--time-column", named.time, &time)?,
            status: match named.status {
                Some(name) => {
                    let place = find("--status-column", Some(name), &[])?;
                    Some((place, named.paid.to_vec()))
                }
                None => None,
            },
            is_paise: named.is_paise,
            zone: named.zone,
        })
    }

    /// Reads the rows, and keeps one at a time. An error names the line.
    pub(super) fn rows(
        &self,
    ) -> anyhow::Result<impl Iterator<Item = anyhow::Result<StatementRow>> + '_> {
        let records = open(&self.file)?.into_records();
        Ok(records.map(move |record| {
            let record = record.with_context(|| format!("cannot read {}", self.file.display()))?;
            let line = record.position().map_or(0, csv::Position::line);
            self.row(&record, line)
                .with_context(|| format!("{}, line {line}", self.file.display()))
        }))
    }

    fn row(&self, record: &StringRecord, line: u64) -> anyhow::Result<StatementRow> {
        let value = |place: usize| record.get(place).unwrap_or_default();
        if let Some((place, words)) = &self.status {
            let word = value(*place);
            if !words.iter().any(|paid| paid.eq_ignore_ascii_case(word)) {
                return Ok(StatementRow::Other);
            }
        }
        let mut is_negative = false;
        if let Some(place) = self.amount {
            let amount = paise(value(place), self.is_paise)
                .with_context(|| format!("{:?} is no amount", value(place)))?;
            if amount.abs() != RUPEE {
                return Ok(StatementRow::Other);
            }
            is_negative = amount < 0;
        }
        let at = time(value(self.time), self.zone).with_context(|| {
            format!(
                "{:?} is no time; expected RFC 3339, seconds since 1970, or a form like 2026-11-29 15:30:00 or 29/11/2026 15:30",
                value(self.time)
            )
        })?;
        let reference = value(self.reference).to_owned();
        if reference.is_empty() {
            bail!("the row of one rupee has no reference");
        }
        Ok(StatementRow::Rupee(Rupee {
            line,
            reference,
            is_negative,
            at,
        }))
    }
}

fn open(file: &Path) -> anyhow::Result<csv::Reader<File>> {
    let mut builder = ReaderBuilder::new();
    let reader = builder.flexible(true).trim(Trim::All).from_path(file);
    reader.with_context(|| format!("cannot read {}", file.display()))
}
