//! What people read on a terminal: aligned columns, and times as the API writes them.

use std::fmt::{self, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};

/// Where there is nothing to show.
pub(super) const NONE: &str = "-";

/// A value of a fact that is longer goes on below itself.
const VALUE_WIDTH: usize = 100;

/// Some texts hold a gateway's own words: none of them may move the cursor.
pub(super) fn clean(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// RFC 3339, UTC, whole seconds.
pub(super) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `yes` or `no`.
pub(super) fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

/// The text, or a dash.
pub(super) fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// Rows of the same columns.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    /// One with a head.
    pub(super) fn new(head: &[&str]) -> Self {
        let head = head.iter().map(|title| (*title).to_owned()).collect();
        Self {
            rows: vec![head],
            indent: 0,
        }
    }

    /// One of names and values, without a head.
    pub(super) fn facts<const N: usize>(facts: [(&str, String); N]) -> Self {
        let mut table = Self {
            rows: Vec::with_capacity(N),
            indent: 0,
        };
        for (name, value) in facts {
            table.fact(name, &value);
        }
        table
    }

    /// Adds a name and a value.
    pub(super) fn fact(&mut self, name: &str, value: &str) {
        let mut name = name.to_owned();
        for line in wrapped(value) {
            self.rows.push(vec![std::mem::take(&mut name), line]);
        }
    }

    /// The same, moved to the right.
    pub(super) fn indented(self, indent: usize) -> Self {
        Self { indent, ..self }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

/// The value in lines that break between words.
fn wrapped(value: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in value.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= VALUE_WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| clean(cell)).collect())
            .collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let lines = rows.iter().map(|row| {
            let mut line = " ".repeat(self.indent);
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:<width$}  ");
            }
            line.trim_end().to_owned()
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(vec!["आशा".into(), "ACTIVE".into()]);
        table.row(vec!["a-longer-name".into(), NONE.into()]);
        assert_eq!(
            table.to_string(),
            "NAME           STATE\nआशा            ACTIVE\na-longer-name  -"
        );
        let facts = Table::facts([("id", "1".into()), ("status", String::new())]);
        assert_eq!(facts.indented(2).to_string(), "  id      1\n  status");
    }

    #[test]
    fn a_long_value_goes_on_below_itself() {
        let reason = "first by priority 2; RAZORPAY main: it is down until 08:00:10; ".repeat(3);
        let facts = Table::facts([
            ("chosen", reason.trim().into()),
            ("state", "SETTLED".into()),
        ]);
        let text = facts.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].starts_with("chosen  first by priority 2;"),
            "{text}"
        );
        assert!(lines[1].starts_with("        it is"), "{text}");
        assert!(lines[2].starts_with("state   SETTLED"), "{text}");
        assert!(
            lines.iter().all(|line| line.chars().count() <= 108),
            "{text}"
        );
        let unbroken = "x".repeat(300);
        assert_eq!(wrapped(&unbroken), [unbroken]);
    }

    #[test]
    fn nobody_elses_words_steer_the_terminal() {
        let table = Table::facts([("code", "\u{1b}[2Jgone\nfake row".into())]);
        assert_eq!(table.to_string(), "code  \u{fffd}[2Jgone\u{fffd}fake row");
    }
}
