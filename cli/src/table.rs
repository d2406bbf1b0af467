//! Tables on a terminal: aligned columns that fit its width.

use std::fmt;

use comfy_table::{ColumnConstraint, Width, presets};
use console::Term;

/// Placeholder for a missing value.
pub(crate) const NONE: &str = "-";

/// Maximum width of a fact's value, in columns. A longer value continues on the next line.
const VALUE_WIDTH: u16 = 100;
/// Minimum width of a fact's value, also on a narrow terminal. A longer word widens it.
const MIN_VALUE_WIDTH: u16 = 20;
/// Spaces between two columns.
const GAP: u16 = 2;

/// Replaces control characters: some texts hold a gateway's own words, and these must not move the cursor.
pub(crate) fn clean(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Returns the width of the terminal; `None` if standard output is a file or a pipe.
fn terminal_width() -> Option<u16> {
    let terminal = Term::stdout();
    let size = terminal.is_term().then(|| terminal.size_checked())?;
    size.map(|(_, columns)| columns)
}

/// A table without borders. Lines end without spaces, so that tests and scripts can match them.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns a table of rows below headings. Each row is one line for `grep`. On a terminal that is too narrow for a row, each row
    /// becomes a block of names and values, so that no id is broken.
    pub(crate) fn rows<const N: usize>(
        headings: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> Self {
        Self {
            headings: headings.map(str::to_owned).to_vec(),
            rows: rows.into_iter().map(cleaned).collect(),
        }
    }

    /// Returns an empty table of names and values, without headings.
    pub(crate) fn facts() -> Self {
        Self {
            headings: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Adds a name and its value.
    pub(crate) fn fact(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.rows
            .push(cleaned([name.to_owned(), value.to_string()]));
        self
    }

    /// Renders facts `indent` columns further to the right.
    pub(crate) fn indented(&self, indent: u16) -> String {
        self.render(indent, terminal_width())
    }

    /// Renders the table for a terminal of this width.
    fn render(&self, indent: u16, width: Option<u16>) -> String {
        if self.headings.is_empty() {
            return facts(&self.rows, indent, width);
        }
        let lines = plain(&self.headings, &self.rows, 0).trim_fmt();
        let is_wide = |line: &str| width.is_some_and(|width| line.chars().count() > width.into());
        if !lines.lines().any(is_wide) {
            return lines;
        }
        let blocks = self.rows.iter().map(|row| {
            let names = self.headings.iter().map(|name| name.to_lowercase());
            let values = row.iter().cloned();
            let pairs: Vec<Vec<String>> = names
                .zip(values)
                .map(|(name, value)| vec![name, value])
                .collect();
            facts(&pairs, 0, width)
        });
        blocks.collect::<Vec<_>>().join("\n\n")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.indented(0))
    }
}

fn cleaned<const N: usize>(cells: [String; N]) -> Vec<String> {
    cells.map(|cell| clean(&cell)).to_vec()
}

fn plain(headings: &[String], rows: &[Vec<String>], indent: u16) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    if !headings.is_empty() {
        table.set_header(headings);
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        let left = if column.index == 0 { indent } else { 0 };
        column.set_padding((left, GAP));
    }
    table
}

/// Renders names and values. A long value continues below itself.
fn facts(rows: &[Vec<String>], indent: u16, width: Option<u16>) -> String {
    let mut table = plain(&[], rows, indent);
    let names = rows.iter().map(|row| row[0].chars().count()).max();
    let names = u16::try_from(names.unwrap_or_default()).unwrap_or(u16::MAX);
    let rest =
        width.map(|width| width.saturating_sub(indent.saturating_add(names).saturating_add(GAP)));
    // A word, such as an id, is not broken for the terminal.
    let words = rows.iter().flat_map(|row| row[1].split_whitespace());
    let word = words.map(|word| word.chars().count()).max();
    let word = u16::try_from(word.unwrap_or_default()).unwrap_or(u16::MAX);
    let least = word.clamp(MIN_VALUE_WIDTH, VALUE_WIDTH);
    let longest = rest.map_or(VALUE_WIDTH, |rest| rest.clamp(least, VALUE_WIDTH));
    let longest = ColumnConstraint::UpperBoundary(Width::Fixed(longest + GAP));
    if let Some(values) = table.column_mut(1) {
        values.set_constraint(longest);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let rows = [["acme", "ACTIVE"], ["a-longer-name", NONE]];
        let table = Table::rows(["NAME", "STATE"], rows.map(|row| row.map(str::to_owned)));
        assert_eq!(
            table.render(0, None),
            "NAME           STATE\nacme           ACTIVE\na-longer-name  -"
        );
        let facts = Table::facts().fact("id", 1).fact("status", "");
        assert_eq!(facts.render(2, None), "  id      1\n  status");
    }

    #[test]
    fn a_long_value_continues_below_itself() {
        let reason = "first by priority 2; RAZORPAY main: circuit open until 08:00; ".repeat(3);
        let facts = Table::facts()
            .fact("chosen", reason.trim())
            .fact("state", "SETTLED");
        let text = facts.render(0, None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(
            lines[0].starts_with("chosen  first by priority 2;"),
            "{text}"
        );
        assert!(lines[1].starts_with("        "), "{text}");
        assert!(lines[2].starts_with("state   SETTLED"), "{text}");
        assert!(
            lines.iter().all(|line| line.chars().count() <= 108),
            "{text}"
        );
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            words(&text),
            words(&format!("chosen {reason} state SETTLED")),
            "no word is broken"
        );
    }

    #[test]
    fn a_row_that_is_wider_than_the_terminal_becomes_a_block_of_whole_values() {
        let rows = [
            ["evt_01k82u7s7aeqraoh1tia1a3hc8", "ACTIVE"],
            ["evt_2", NONE],
        ];
        let table = Table::rows(["EVENT", "STATUS"], rows.map(|row| row.map(str::to_owned)));
        assert_eq!(table.render(0, Some(38)), table.render(0, None));
        assert_eq!(
            table.render(0, Some(37)),
            "event   evt_01k82u7s7aeqraoh1tia1a3hc8\nstatus  ACTIVE\n\nevent   evt_2\nstatus  -"
        );
        let facts = Table::facts().fact("advice", "word ".repeat(20).trim());
        let text = facts.render(2, Some(40));
        assert!(
            text.lines().count() > 2 && text.lines().all(|line| line.len() <= 40),
            "{text}"
        );
    }

    #[test]
    fn control_characters_of_a_gateway_never_reach_the_terminal() {
        let table = Table::facts().fact("code", "\u{1b}[2Jgone\nfake row");
        assert_eq!(
            table.render(0, None),
            "code  \u{fffd}[2Jgone\u{fffd}fake row"
        );
    }
}
