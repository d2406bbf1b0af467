//! The table that fills in: rewritten in place on a terminal, a line a change elsewhere.

use std::io::{IsTerminal, Write};

use khata_e2e::client::text;

use crate::Posted;
use crate::cases::Case;

/// One account's line.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Row {
    what: &'static str,
    masked: &'static str,
    gateway: String,
    expected: &'static str,
    status: String,
    told: String,
    seconds: String,
    mark: &'static str,
}

impl Row {
    /// Not posted yet.
    pub(crate) fn waiting(case: &Case) -> Self {
        Self {
            what: case.what,
            masked: case.masked,
            gateway: String::new(),
            expected: case.status,
            status: String::new(),
            told: String::new(),
            seconds: String::new(),
            mark: "",
        }
    }

    /// As it was last seen.
    pub(crate) fn of(posted: &Posted) -> Self {
        let account = &posted.account;
        let failure = text(account, "/validation/failure/code");
        let name = text(account, "/validation/name_at_bank");
        let mut row = Self {
            status: text(account, "/status").to_owned(),
            told: if failure.is_empty() { name } else { failure }.to_owned(),
            gateway: posted.gateway().to_owned(),
            ..Self::waiting(&posted.case)
        };
        if posted.is_decided() {
            row.seconds = format!("{:.1}", posted.began.elapsed().as_secs_f64());
            row.mark = if posted.is_as_expected() {
                "ok"
            } else {
                "NOT AS EXPECTED"
            };
        }
        row
    }

    fn line(&self) -> String {
        let line = format!(
            "  {:<27} {:<23} {:<8} {:<8} {:<7} {:<18} {:>7}  {}",
            self.what,
            self.masked,
            self.gateway,
            self.expected,
            self.status,
            self.told,
            self.seconds,
            self.mark
        );
        line.trim_end().to_owned()
    }
}

pub(crate) struct Table {
    rows: Vec<Row>,
    is_live: bool,
}

impl Table {
    /// Prints the head and, on a terminal, the rows to be.
    pub(crate) fn begin(rows: Vec<Row>) -> Self {
        let is_live = std::io::stdout().is_terminal();
        let head = Row {
            what: "example",
            masked: "account",
            gateway: "told by".into(),
            expected: "expected",
            status: "status".into(),
            told: "name / failure".into(),
            seconds: "seconds".into(),
            mark: "",
        };
        println!("{}", head.line());
        let table = Self { rows, is_live };
        if is_live {
            for row in &table.rows {
                println!("{}", unwrapped(&row.line()));
            }
        }
        table
    }

    /// Shows the row at this place, if it is another than before.
    pub(crate) fn change(&mut self, place: usize, row: Row) {
        if self.rows[place] == row {
            return;
        }
        let line = row.line();
        self.rows[place] = row;
        let mut out = std::io::stdout().lock();
        let shown = if self.is_live {
            // Up to the row, over it, and back below the table.
            let up = self.rows.len() - place;
            write!(out, "\x1b[{up}A\r\x1b[2K{}\x1b[{up}B\r", unwrapped(&line))
        } else {
            writeln!(out, "{line}")
        };
        // Nobody watches any more: the outcomes are checked all the same.
        let _ = shown.and_then(|()| out.flush());
    }
}

/// A line that a narrow terminal cuts off: a wrapped one would be two, and the rows would not be where they are looked for.
fn unwrapped(line: &str) -> String {
    format!("\x1b[?7l{line}\x1b[?7h")
}
