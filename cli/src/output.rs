//! Output for a terminal: aligned columns, times in the API's format, and one JSON document for scripts.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

use anyhow::Context;
use chrono::{DateTime, Utc};
use comfy_table::{ColumnConstraint, Width, presets};
use serde_json::Value;

use crate::times::Zone;

/// Placeholder for a missing value.
pub(crate) const NONE: &str = "-";

/// Maximum width of a fact's value, in columns. A longer value continues on the next line.
const VALUE_WIDTH: u16 = 100;
/// Spaces between two columns.
const GAP: u16 = 2;

/// The form of everything that the process prints.
#[derive(Clone, Copy, Debug)]
struct Form {
    json: bool,
    zone: Zone,
}

static FORM: OnceLock<Form> = OnceLock::new();

/// Sets the form, before the command runs. JSON has UTC always, so that scripts read the same in each zone.
pub(crate) fn set_form(json: bool, zone: Option<Zone>) {
    let zone = zone.filter(|_| !json).unwrap_or_else(Zone::utc);
    let _ = FORM.set(Form { json, zone });
}

fn form() -> Form {
    let (json, zone) = (false, Zone::utc());
    FORM.get().copied().unwrap_or(Form { json, zone })
}

/// Whether the command prints JSON.
pub(crate) fn is_json() -> bool {
    form().json
}

/// Prints the document with `--json`, else the text. A reader may close the pipe early; that is no error.
pub(crate) fn print(document: &Value, text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let text: &dyn fmt::Display = if is_json() { document } else { &text };
    let printed = writeln!(out, "{text}");
    match printed.and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}

/// Replaces control characters: some texts hold a gateway's own words, and these must not move the cursor.
pub(crate) fn clean(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Formats a time as the API does, RFC 3339 in whole seconds; in a text, in the zone of `--timezone`.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    form().zone.time(time)
}

/// Formats the time of day and its zone, for a time within the hour.
pub(crate) fn clock(time: DateTime<Utc>) -> String {
    form().zone.clock(time)
}

pub(crate) fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// Formats the value, or [`NONE`] if there is no value.
pub(crate) fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| value.to_string())
}

/// Joins the texts with commas; returns `none` if there are none.
pub(crate) fn joined_or(texts: impl IntoIterator<Item = String>, none: &str) -> String {
    let texts: Vec<String> = texts.into_iter().collect();
    if texts.is_empty() {
        none.to_owned()
    } else {
        texts.join(", ")
    }
}

/// A table without borders. Lines end without spaces, so that tests and scripts can match them.
#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// Returns a table of rows below headings. Rows are never wrapped: each is one line for `grep`.
    pub(crate) fn rows<const N: usize>(
        headings: [&str; N],
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> Self {
        let mut table = Self::facts();
        table.0.set_header(headings);
        for row in rows {
            table.0.add_row(row.map(|cell| clean(&cell)));
        }
        table
    }

    /// Returns an empty table of names and values, without headings.
    pub(crate) fn facts() -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        Self(table)
    }

    /// Adds a name and its value.
    pub(crate) fn fact(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.0.add_row([name.to_owned(), clean(&value.to_string())]);
        let longest = ColumnConstraint::UpperBoundary(Width::Fixed(VALUE_WIDTH + GAP));
        if let Some(values) = self.0.column_mut(1) {
            values.set_constraint(longest);
        }
        self
    }

    /// Renders the table `indent` columns further to the right.
    pub(crate) fn indented(mut self, indent: u16) -> String {
        for column in self.0.column_iter_mut() {
            let left = if column.index == 0 { indent } else { 0 };
            column.set_padding((left, GAP));
        }
        self.0.trim_fmt()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self(self.0.clone()).indented(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_spaces() {
        let rows = [["acme", "ACTIVE"], ["a-longer-name", NONE]];
        let table = Table::rows(["NAME", "STATE"], rows.map(|row| row.map(str::to_owned)));
        assert_eq!(
            table.to_string(),
            "NAME           STATE\nacme           ACTIVE\na-longer-name  -"
        );
        let facts = Table::facts().fact("id", 1).fact("status", "");
        assert_eq!(facts.indented(2), "  id      1\n  status");
    }

    #[test]
    fn a_long_value_continues_below_itself() {
        let reason = "first by priority 2; RAZORPAY main: circuit open until 08:00; ".repeat(3);
        let facts = Table::facts()
            .fact("chosen", reason.trim())
            .fact("state", "SETTLED");
        let text = facts.to_string();
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
    fn control_characters_of_a_gateway_never_reach_the_terminal() {
        let table = Table::facts().fact("code", "\u{1b}[2Jgone\nfake row");
        assert_eq!(table.to_string(), "code  \u{fffd}[2Jgone\u{fffd}fake row");
    }
}
