//! What people read on a terminal: aligned columns, and times as the API writes them.

use std::fmt::{self, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};

/// Where there is nothing to show.
pub(super) const NONE: &str = "-";

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
        let rows = facts.map(|(name, value)| vec![name.to_owned(), value]);
        Self {
            rows: rows.into(),
            indent: 0,
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

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some cells hold a gateway's own words: none of them may move the cursor.
        let clean = |cell: &String| cell.replace(char::is_control, "\u{fffd}");
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(clean).collect())
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
    fn nobody_elses_words_steer_the_terminal() {
        let table = Table::facts([("code", "\u{1b}[2Jgone\nfake row".into())]);
        assert_eq!(table.to_string(), "code  \u{fffd}[2Jgone\u{fffd}fake row");
    }
}
