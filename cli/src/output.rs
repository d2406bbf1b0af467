//! Output of a command: texts with times in the API's format, or JSON for scripts; notes and errors.
//! Tables are in `table`.

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;

use anyhow::Context;
use chrono::{DateTime, Utc};
use khata_store::audit::Changes;
use serde_json::{Value, json};

pub(crate) use crate::table::{NONE, Table, clean};
use crate::times::Zone;

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
    let text: &dyn fmt::Display = if is_json() { document } else { &text };
    khata_config::print(&format!("{text}\n")).context("cannot print")
}

/// Kind of an error, for scripts. The words are stable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The command did not do what it should; exit code 1.
    Failed,
    /// The arguments are wrong, and nothing was done; exit code 2.
    WrongArguments,
}

/// Writes an error to standard error.
pub(crate) fn report(fault: Fault, message: &str) {
    let kind = match fault {
        Fault::Failed => "FAILED",
        Fault::WrongArguments => "WRONG_ARGUMENTS",
    };
    let document = json!({ "error": { "kind": kind, "message": message.trim_end() } });
    write_error(&document, message);
}

/// Writes a line about work in progress to standard error.
pub(crate) fn note(message: &str) {
    write_error(&json!({ "note": message }), message);
}

fn write_error(document: &Value, message: &str) {
    let mut out = std::io::stderr().lock();
    // A closed standard error does not stop the work.
    let _ = if is_json() {
        writeln!(out, "{document}")
    } else {
        writeln!(out, "khata: {message}")
    };
}

/// Formats a time as the API does, RFC 3339 in whole seconds; in a text, in the zone of `--timezone`.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    form().zone.time(time)
}

/// Formats the time of day and its zone, for a time within the hour.
pub(crate) fn clock(time: DateTime<Utc>) -> String {
    form().zone.clock(time)
}

/// Returns what a command changed of this object, as a line for each setting, and which programs apply it.
pub(crate) fn changed_text(changed: &Changes, object: &str, programs: &str) -> String {
    if changed.is_empty() {
        return format!("Nothing to change: {object} already has these settings.");
    }
    let lines: Vec<String> = changed.lines().collect();
    format!(
        "{}\n{programs} apply this within five seconds.",
        lines.join("\n")
    )
}

/// Formats a number of things: `1 validation`, `2 validations`.
pub(crate) fn counted(number: impl Into<i128>, thing: &str) -> String {
    let number = number.into();
    let consonant = thing
        .strip_suffix('y')
        .filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    let (stem, ending) = match consonant {
        _ if number == 1 => (thing, ""),
        Some(stem) => (stem, "ies"),
        None => (thing, "s"),
    };
    format!("{number} {stem}{ending}")
}

/// Formats milliseconds: `12 ms`, from ten seconds on `503 s`.
pub(crate) fn milliseconds(milliseconds: f64) -> String {
    if milliseconds < 10_000.0 {
        format!("{milliseconds:.0} ms")
    } else {
        format!("{:.0} s", milliseconds / 1_000.0)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_plural() {
        for (number, thing, text) in [
            (0, "validation", "0 validations"),
            (1, "validation", "1 validation"),
            (2, "validation", "2 validations"),
            (1, "delivery", "1 delivery"),
            (2, "delivery", "2 deliveries"),
        ] {
            assert_eq!(counted(number, thing), text);
        }
    }

    #[test]
    fn a_long_time_is_in_seconds() {
        assert_eq!(milliseconds(12.4), "12 ms");
        assert_eq!(milliseconds(9_999.0), "9999 ms");
        assert_eq!(milliseconds(503_012.0), "503 s");
    }
}
