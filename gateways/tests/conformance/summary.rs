//! The summary: a table of gateways and scenarios.

use std::fmt::Write;

use khata_domain::validation::AttemptState;

use crate::conformance::scenario::Scenario;
use crate::conformance::story::{Action, Story};

/// Result of one scenario at one connector.
pub(crate) struct Cell {
    /// The result in one word.
    pub(crate) text: String,
    pub(crate) verdict: Verdict,
}

/// Whether the result is the expected one.
pub(crate) enum Verdict {
    /// Follows the rule.
    Rule,
    /// Follows the gateway's exception, for this reason.
    Exception(&'static str),
    /// Neither.
    Broken(String),
}

/// One connector's cells, in the order of [`Scenario::ALL`].
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) cells: Vec<Cell>,
}

impl Cell {
    pub(crate) fn broken(reason: String) -> Self {
        Self {
            text: "BROKEN".into(),
            verdict: Verdict::Broken(reason),
        }
    }
}

/// Returns a story in one word, the worker's next action, and its rupees.
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

/// Returns the table, its notes, and the number of cells.
pub(crate) fn table(reports: &[Report]) -> String {
    let first = Scenario::ALL
        .iter()
        .map(|scenario| scenario.name().len())
        .max();
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
    for (place, scenario) in Scenario::ALL.iter().enumerate() {
        let _ = write!(text, "{:first$}", scenario.name());
        for (report, &width) in reports.iter().zip(&widths) {
            let cell = &report.cells[place];
            let shown = match &cell.verdict {
                Verdict::Exception(reason) => format!("{}{}", cell.text, notes.mark(reason)),
                Verdict::Rule | Verdict::Broken(_) => cell.text.clone(),
            };
            let _ = write!(text, "  {shown:width$}");
        }
        text.push('\n');
    }
    for (number, reason) in notes.0.iter().enumerate() {
        let _ = writeln!(text, "[{}] {reason}", number + 1);
    }
    let cells: usize = reports.iter().map(|report| report.cells.len()).sum();
    let _ = writeln!(
        text,
        "{} connectors, {} scenarios, {cells} cells, {} broken",
        reports.len(),
        Scenario::ALL.len(),
        broken(reports).len()
    );
    text
}

/// Returns a line for each unexpected cell.
pub(crate) fn broken(reports: &[Report]) -> Vec<String> {
    let mut lines = Vec::new();
    for report in reports {
        for (scenario, cell) in Scenario::ALL.iter().zip(&report.cells) {
            if let Verdict::Broken(reason) = &cell.verdict {
                lines.push(format!("{}, {}: {reason}", report.name, scenario.name()));
            }
        }
    }
    lines
}

fn width(report: &Report) -> usize {
    let exceptions = |cell: &Cell| match cell.verdict {
        // Width of a note's number.
        Verdict::Exception(_) => 4,
        _ => 0,
    };
    let cells = report
        .cells
        .iter()
        .map(|cell| cell.text.chars().count() + exceptions(cell));
    cells.max().unwrap_or_default().max(9)
}

/// Numbered reasons.
#[derive(Default)]
struct Notes(Vec<&'static str>);

impl Notes {
    fn mark(&mut self, reason: &'static str) -> String {
        let known = self.0.iter().position(|note| *note == reason);
        let place = known.unwrap_or_else(|| {
            self.0.push(reason);
            self.0.len() - 1
        });
        format!("[{}]", place + 1)
    }
}
