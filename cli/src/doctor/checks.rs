//! The checks of a database, merchant by merchant.

use std::time::{Duration, Instant};

use diesel::{PgConnection, QueryResult};
use khata_crypto::Keyring;
use khata_store::doctor::{self, DropsByDay, EventCount, Found, Page, Rule, Table};
use khata_store::merchants::Merchant;
use khata_store::rotation::{self, SealedColumn};
use uuid::Uuid;

use super::report::Report;
use crate::output::note;

/// Rows that one statement reads.
const PAGE: i64 = 10_000;
/// Findings of one rule about the open validations or deliveries of a merchant that are read. They are kept in memory until they are
/// counted.
const MAX_OPEN: i64 = 100_000;
/// Accounts whose events are counted together: what is kept in memory.
const ACCOUNTS_OF_EVENTS: usize = 500_000;
/// Values of each key that are decrypted in each page.
const SAMPLES: i64 = 3;
/// Time between two lines about the progress.
const NOTE_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Checks<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) keyring: &'a Keyring,
    /// Rows of each table for each merchant.
    pub(super) limit: Option<i64>,
    pub(super) decrypt_all: bool,
    pub(super) report: &'a mut Report,
}

/// How a walk through a table ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Everything that matters was read.
    Complete,
    /// The limit of rows was reached.
    Limit,
}

impl Checks<'_> {
    pub(super) fn run(mut self, merchants: &[Merchant]) -> QueryResult<()> {
        if doctor::clock_is_of_another_cluster(self.connection)? {
            let detail = "the positions of events count the transactions of another cluster";
            let found = Found::new(Rule::EventClock, detail.to_owned());
            self.report.add(None, vec![found]);
        }
        for merchant in merchants {
            self.merchant(merchant)?;
        }
        Ok(())
    }

    fn merchant(&mut self, merchant: &Merchant) -> QueryResult<()> {
        let id = merchant.id;
        let validations = doctor::set_aside(self.connection, id, MAX_OPEN)?;
        self.open(merchant, "validations that were set aside", validations);
        let validations = doctor::expired_leases(self.connection, id, MAX_OPEN)?;
        self.open(merchant, "validations whose lease expired", validations);
        let validations = doctor::overdue_validations(self.connection, id, MAX_OPEN)?;
        self.open(
            merchant,
            "due validations that no worker claimed",
            validations,
        );
        let deliveries = doctor::overdue_deliveries(self.connection, id, MAX_OPEN)?;
        self.open(merchant, "due deliveries", deliveries);
        for table in Table::ALL {
            self.walk(merchant, table, |connection, report, page| {
                report.add(Some(merchant), doctor::check(connection, table, id, page)?);
                report.read(table.name(), page.rows);
                Ok(true)
            })?;
        }
        self.events(merchant)?;
        self.drops(merchant)?;
        for column in SealedColumn::ALL {
            self.values(merchant, column)?;
        }
        Ok(())
    }

    /// Adds findings about open work, and says if there may be more of them.
    fn open(&mut self, merchant: &Merchant, what: &str, found: Vec<Found>) {
        self.report
            .note_limit(&merchant.name, what, found.len(), MAX_OPEN);
        self.report.add(Some(merchant), found);
    }

    /// Reads a table page by page, the newest rows first, until `act` returns `false`.
    fn walk(
        &mut self,
        merchant: &Merchant,
        table: Table,
        mut act: impl FnMut(&mut PgConnection, &mut Report, Page) -> QueryResult<bool>,
    ) -> QueryResult<End> {
        let (mut before, mut rows) = (Uuid::max(), 0);
        let limit = self.limit.unwrap_or(i64::MAX);
        let mut noted = Instant::now();
        while rows < limit {
            let wanted = PAGE.min(limit - rows);
            let page = doctor::page(self.connection, table, merchant.id, before, wanted)?;
            let Some(page) = page else {
                return Ok(End::Complete);
            };
            if !act(self.connection, self.report, page)? {
                return Ok(End::Complete);
            }
            before = page.from;
            rows += page.rows;
            progress(&mut noted, rows, table.name(), merchant);
        }
        Ok(End::Limit)
    }

    /// Counts the events of many accounts at a time.
    fn events(&mut self, merchant: &Merchant) -> QueryResult<()> {
        let mut count = EventCount::begin(self.connection, merchant.id)?;
        self.walk(merchant, Table::Accounts, |connection, report, page| {
            count.add(connection, page)?;
            if count.accounts() >= ACCOUNTS_OF_EVENTS {
                let next = EventCount::begin(connection, merchant.id)?;
                let full = std::mem::replace(&mut count, next);
                report.add(Some(merchant), full.missing(connection)?);
            }
            Ok(true)
        })?;
        let found = count.missing(self.connection)?;
        self.report.add(Some(merchant), found);
        Ok(())
    }

    /// Compares the budget's counts of the last days with the validations that began.
    fn drops(&mut self, merchant: &Merchant) -> QueryResult<()> {
        let mut drops = DropsByDay::counted(self.connection, merchant.id)?;
        let end = self.walk(merchant, Table::Validations, |connection, _, page| {
            drops.add(connection, merchant.id, page)
        })?;
        if end == End::Limit {
            self.report.note(format!(
                "The penny drops that {}'s budget counted were compared with the newest validations only, because of --limit.",
                merchant.name
            ));
        }
        let low = drops.days.iter().filter(|(_, day)| day.counted < day.begun);
        let found = low.map(|(date, day)| {
            let detail = format!(
                "the budget of {date} counted {} penny drops, and at least {} began",
                day.counted, day.begun
            );
            Found::new(Rule::DropsNotCounted, detail)
        });
        self.report.add(Some(merchant), found.collect());
        Ok(())
    }

    fn values(&mut self, merchant: &Merchant, column: SealedColumn) -> QueryResult<()> {
        let samples = if self.decrypt_all { PAGE } else { SAMPLES };
        let limit = self.limit.unwrap_or(i64::MAX);
        let (mut before, mut rows): (Option<Vec<u8>>, i64) = (None, 0);
        let mut noted = Instant::now();
        while rows < limit {
            let size = PAGE.min(limit - rows);
            let decrypted = rotation::decrypt(
                self.connection,
                self.keyring,
                (column, merchant.id),
                before.as_deref(),
                (size, samples),
            )?;
            let Some(page) = decrypted else { break };
            let found = page.failed.iter().map(|(value, key)| {
                let key = key.map_or("an unknown key".to_owned(), |key| format!("key {key}"));
                Found::new(Rule::Undecryptable, format!("{value}: {key}"))
            });
            self.report.add(Some(merchant), found.collect());
            let values = i64::try_from(page.values).unwrap_or(i64::MAX);
            self.report.read("encrypted values", values);
            rows += page.rows;
            progress(&mut noted, rows, column.table(), merchant);
            before = Some(page.last);
        }
        Ok(())
    }
}

fn progress(noted: &mut Instant, rows: i64, table: &str, merchant: &Merchant) {
    if noted.elapsed() >= NOTE_INTERVAL {
        *noted = Instant::now();
        note(&format!("{}: {rows} {table} read", merchant.name));
    }
}
