//! Gateways × scenarios, as a table to read.

use std::fmt::Write;

use khata_domain::validation::AttemptState;

use crate::row::Row;
use crate::story::{Action, Story};

/// What came of one row at one connector.
pub(crate) struct Cell {
    /// In a word.
    pub(crate) said: String,
    pub(crate) verdict: Verdict,
}

/// Whether it is what it should be.
pub(crate) enum Verdict {
    /// As the rule has it.
    AsRuled,
    /// As this gateway has it, for this reason.
    AsOwn(&'static str),
    /// Not at all.
    Broken(String),
}

/// One connector's cells, in the order of [`Row::ALL`].
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) cells: Vec<Cell>,
}

impl Cell {
    pub(crate) fn broken(why: String) -> Self {
        Self {
            said: "BROKEN".into(),
            verdict: Verdict::Broken(why),
        }
    }
}

/// A story in a word: what the worker does, and what it cost.
pub(crate) fn word(story: &Story) -> String {
    let word = match story.action {
        Action::Complete(outcome, _) => outcome.as_str().to_lowercase(),
        Action::Elsewhere => "elsewhere".into(),
        Action::Again(_) => "again".into(),
        Action::Look(_) if story.record.state == AttemptState::Pending => "look".into(),
        Action::Look(_) | Action::Recover(_) => "recover".into(),
    };
    match story.rupees {
        0 => word,
        rupees => format!("{word} ₹{rupees}"),
    }
}

/// The table, its notes, and how many cells there are.
pub(crate) fn table(reports: &[Report]) -> String {
    let first = Row::ALL.iter().map(|row| row.name().len()).max();
    let first = first.unwrap_or_default();
    let widths: Vec<_> = reports.iter().map(width).collect();
    let mut notes = Notes::default();
    let mut text = String::new();
    for part in 0..2 {
        let _ = write!(text, "{:first$}", "");
        for (report, &width) in reports.iter().zip(&widths) {
            let (gateway, flow) = report.name.split_once(' ').unwrap_or((&report.name, ""));
            let _ = write!(text, "  {:width$}", [gateway, flow][part]);
        }
        text.push('\n');
    }
    for (place, row) in Row::ALL.iter().enumerate() {
        let _ = write!(text, "{:first$}", row.name());
        for (report, &width) in reports.iter().zip(&widths) {
            let cell = &report.cells[place];
            let said = match &cell.verdict {
                Verdict::AsOwn(why) => format!("{}{}", cell.said, notes.mark(why)),
                Verdict::AsRuled | Verdict::Broken(_) => cell.said.clone(),
            };
            let _ = write!(text, "  {said:width$}");
        }
        text.push('\n');
    }
    for (number, why) in notes.0.iter().enumerate() {
        let _ = writeln!(text, "[{}] {why}", number + 1);
    }
    let cells: usize = reports.iter().map(|report| report.cells.len()).sum();
    let _ = writeln!(
        text,
        "{} connectors, {} scenarios, {cells} cells, {} broken",
        reports.len(),
        Row::ALL.len(),
        broken(reports).len()
    );
    text
}

/// The cells that are not as they should be, a line each.
pub(crate) fn broken(reports: &[Report]) -> Vec<String> {
    let mut lines = Vec::new();
    for report in reports {
        for (row, cell) in Row::ALL.iter().zip(&report.cells) {
            if let Verdict::Broken(why) = &cell.verdict {
                lines.push(format!("{}, {}: {why}", report.name, row.name()));
            }
        }
    }
    lines
}

fn width(report: &Report) -> usize {
    let own = |cell: &Cell| match cell.verdict {
        // Room for a note's number.
        Verdict::AsOwn(_) => 4,
        _ => 0,
    };
    let cells = report
        .cells
        .iter()
        .map(|cell| cell.said.chars().count() + own(cell));
    cells.max().unwrap_or_default().max(9)
}

/// Reasons, each with a number.
#[derive(Default)]
struct Notes(Vec<&'static str>);

impl Notes {
    fn mark(&mut self, why: &'static str) -> String {
        let known = self.0.iter().position(|note| *note == why);
        let place = known.unwrap_or_else(|| {
            self.0.push(why);
            self.0.len() - 1
        });
        format!("[{}]", place + 1)
    }
}
