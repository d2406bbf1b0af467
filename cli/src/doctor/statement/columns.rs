//! The columns of a statement, and its rows, which are read as a stream.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use csv::{ReaderBuilder, StringRecord, Trim};
use khata_domain::Gateway;

use super::values::{Span, paise, time};
use crate::times::Zone;

/// A column that the options say does not exist.
const NO_COLUMN: &str = "none";
/// Separators of columns in exports.
const DELIMITERS: [u8; 4] = *b",;\t|";
/// Lines in which the names of the columns are looked for: exports may begin with a title.
const TITLE_LINES: usize = 30;
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
    delimiter: u8,
    /// Records up to the one that names the columns, with it.
    head: usize,
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
    /// Another amount, or no payment; with its time, if there is one.
    Other(Option<Span>),
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
    pub(super) at: Span,
}

/// A column to find.
struct Wanted<'a> {
    /// The option that names it.
    option: &'static str,
    /// The name that the option gives, or those to look for.
    names: Vec<&'a str>,
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

/// Returns the columns to find: reference and time, and amount and status where there are such.
fn wanted<'a>(gateway: Gateway, named: &Named<'a>) -> Vec<Wanted<'a>> {
    let [reference, amount, time] = candidates(gateway);
    let column = |option, name: Option<&'a str>, others: Vec<&'a str>| Wanted {
        option,
        names: name.map_or(others, |name| vec![name]),
    };
    let mut wanted = vec![
        column("--reference-column", named.reference, reference),
        column("--time-column", named.time, time),
    ];
    if named.amount != Some(NO_COLUMN) {
        wanted.push(column("--amount-column", named.amount, amount));
    }
    if named.status.is_some() {
        wanted.push(column("--status-column", named.status, Vec::new()));
    }
    wanted
}

impl Columns {
    /// Finds the line that names the columns, and what separates them.
    pub(super) fn find(file: &Path, gateway: Gateway, options: &Named<'_>) -> anyhow::Result<Self> {
        let wanted = wanted(gateway, options);
        // The line with most of the columns, for the error.
        let mut best: Option<(usize, StringRecord)> = None;
        for delimiter in DELIMITERS {
            let records = open(file, delimiter)?.into_records().take(TITLE_LINES);
            for (line, record) in records.enumerate() {
                let record = record.with_context(|| format!("cannot read {}", file.display()))?;
                let places = wanted.iter().map(|column| {
                    let mut names = column.names.iter();
                    names.find_map(|name| place(&record, name))
                });
                let places: Vec<usize> = places.flatten().collect();
                if places.len() == wanted.len() {
                    return Self::new(file, delimiter, line, options, places);
                }
                let is_better = |(found, best): &(usize, StringRecord)| {
                    (places.len(), record.len()) > (*found, best.len())
                };
                if best.as_ref().is_none_or(is_better) {
                    best = Some((places.len(), record));
                }
            }
        }
        let (_, head) = best.with_context(|| format!("{} has no line", file.display()))?;
        let is_missing = |column: &&Wanted<'_>| {
            let mut names = column.names.iter();
            !names.any(|name| place(&head, name).is_some())
        };
        let missing = wanted.iter().find(is_missing);
        let missing = missing.context("a column is missing")?;
        let columns: Vec<&str> = head.iter().collect();
        bail!(
            "{} has no column {}; name one of its columns with {}: {}",
            file.display(),
            missing.names.join(", "),
            missing.option,
            columns.join(", ")
        )
    }

    /// Returns the columns at these places, in the order of [`wanted`].
    fn new(
        file: &Path,
        delimiter: u8,
        line: usize,
        named: &Named<'_>,
        places: Vec<usize>,
    ) -> anyhow::Result<Self> {
        let mut places = places.into_iter();
        let mut next = || places.next().context("a column is missing");
        Ok(Self {
            file: file.to_owned(),
            delimiter,
            head: line + 1,
            reference: next()?,
            time: next()?,
            amount: match named.amount {
                Some(NO_COLUMN) => None,
                _ => Some(next()?),
            },
            status: match named.status {
                Some(_) => Some((next()?, named.paid.to_vec())),
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
        let records = open(&self.file, self.delimiter)?.into_records();
        Ok(records.skip(self.head).map(move |record| {
            let record = record.with_context(|| format!("cannot read {}", self.file.display()))?;
            let line = record.position().map_or(0, csv::Position::line);
            self.row(&record, line)
                .with_context(|| format!("{}, line {line}", self.file.display()))
        }))
    }

    fn row(&self, record: &StringRecord, line: u64) -> anyhow::Result<StatementRow> {
        let value = |place: usize| record.get(place).unwrap_or_default();
        let at = time(value(self.time), self.zone);
        if let Some((place, words)) = &self.status {
            let word = value(*place);
            if !words.iter().any(|paid| paid.eq_ignore_ascii_case(word)) {
                return Ok(StatementRow::Other(at));
            }
        }
        let mut is_negative = false;
        if let Some(place) = self.amount {
            let amount = paise(value(place), self.is_paise)
                .with_context(|| format!("{:?} is no amount", value(place)))?;
            if amount.abs() != RUPEE {
                return Ok(StatementRow::Other(at));
            }
            is_negative = amount < 0;
        }
        let at = at.with_context(|| {
            format!(
                "{:?} is no time; expected RFC 3339, seconds since 1970, or a form like 2026-11-29 15:30:00, 29/11/2026, \
                 29-Nov-2026 15:30 or 29/11/2026 03:30 PM, with the day before the month",
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

fn open(file: &Path, delimiter: u8) -> anyhow::Result<csv::Reader<File>> {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).delimiter(delimiter);
    let reader = builder.flexible(true).trim(Trim::All).from_path(file);
    reader.with_context(|| format!("cannot read {}", file.display()))
}
