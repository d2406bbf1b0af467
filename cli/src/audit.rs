//! `khata audit`: who changed what, from what to what.

use chrono::{DateTime, Utc};
use khata_store::audit::{self, ACTIONS, AuditFilter, AuditLine, Changes};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::options::{CommonOptions, find_merchant};
use crate::output::{NONE, Table, joined_or, time};
use crate::times::parse_past;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum AuditCommand {
    /// List changes of merchants' configuration, the newest first: time, actor, action, object, old and new values
    ///
    /// A secret is shown as changed, without a value. Reads and calls of merchants leave no line, except changes of webhook endpoints.
    /// The role of the operator's commands reads the log; the services' roles do not.
    List(List),
}

impl AuditCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(),
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct List {
    /// Name or id of the merchant, if not of all
    #[arg(long)]
    merchant: Option<String>,
    /// Only changes since then: 2h (also 30m, 7d), "2026-11-29 15:30 IST", or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_past)]
    since: Option<DateTime<Utc>>,
    /// Only changes before then
    #[arg(long, value_name = "TIME", value_parser = parse_past)]
    until: Option<DateTime<Utc>>,
    /// Only this action, as gateway.set, or all of a group, as gateway
    #[arg(long, value_parser = parse_action)]
    action: Option<String>,
    /// Only changes of the object with this id (gwa_…, mrc_…, banh_…, whe_…), or of the key with this prefix
    #[arg(long)]
    subject: Option<String>,
    /// Only changes by this person or job: the exact name
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only changes before this one: the id that the page before ends with
    #[arg(long, value_name = "ID")]
    before: Option<Uuid>,
    /// Maximum number of changes, 1 to 1000
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    #[command(flatten)]
    common: CommonOptions,
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let mut connection = self.common.connect()?;
        let merchant = match &self.merchant {
            Some(merchant) => Some(find_merchant(&mut connection, merchant)?.id),
            None => None,
        };
        let filter = AuditFilter {
            merchant,
            since: self.since,
            until: self.until,
            action: self.action,
            subject: self.subject,
            actor: self.by,
            before: self.before,
        };
        let lines = audit::newest(&mut connection, &filter, self.limit.into())?;
        let nothing = nothing_found(&filter);
        let is_full = lines.len() == usize::from(self.limit);
        let next = lines.last().filter(|_| is_full).map(|line| line.id);
        let list: Vec<Value> = lines.iter().map(json_of).collect();
        let document = json!({ "changes": list, "next_before": next });
        let text = if lines.is_empty() {
            nothing
        } else {
            text(&lines, next)
        };
        self.common.print(&document, &text)
    }
}

/// Parses an action or the group of some, so that a misspelt action is an error and not an empty list.
fn parse_action(text: &str) -> Result<String, String> {
    let mut actions = ACTIONS.iter();
    if actions.any(|action| *action == text || action.split('.').next() == Some(text)) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "no command has this action; expected one of {}, or the word before a dot",
            ACTIONS.join(", ")
        ))
    }
}

/// Says which lines were searched for and not found.
fn nothing_found(filter: &AuditFilter) -> String {
    let filters = [
        filter
            .actor
            .as_ref()
            .map(|actor| format!("by exactly {actor:?}")),
        filter
            .action
            .as_ref()
            .map(|action| format!("with action {action}")),
        filter
            .subject
            .as_ref()
            .map(|subject| format!("of exactly {subject:?}")),
        filter.since.map(|since| format!("since {}", time(since))),
        filter.until.map(|until| format!("before {}", time(until))),
    ];
    let filters: Vec<String> = filters.into_iter().flatten().collect();
    let words = [vec!["No change".to_owned()], filters].concat();
    format!("{}.", words.join(" "))
}

fn text(lines: &[AuditLine], next: Option<Uuid>) -> String {
    let headings = ["TIME", "MERCHANT", "ACTOR", "ACTION", "OBJECT", "CHANGES"];
    let rows = lines.iter().map(|line| {
        [
            time(line.at),
            line.merchant_name.clone(),
            line.actor.clone(),
            line.action.clone(),
            line.subject.clone(),
            changes(&line.detail),
        ]
    });
    let table = Table::rows(headings, rows).to_string();
    match next {
        Some(id) => format!("{table}\n\nThere may be earlier changes: add --before {id}."),
        None => table,
    }
}

/// Returns `priority: 1 -> 2; credentials: changed`; for a line without changes, what else it says.
fn changes(detail: &Value) -> String {
    let (changes, about) = Changes::of_stored(detail);
    if !changes.is_empty() {
        let lines: Vec<String> = changes.lines().collect();
        return lines.join("; ");
    }
    let about = about.as_object().into_iter().flatten();
    let members = about.filter(|(_, value)| !value.is_null());
    joined_or(members.map(|(name, value)| format!("{name} {value}")), NONE)
}

fn json_of(line: &AuditLine) -> Value {
    json!({
        "id": line.id.to_string(),
        "at": time(line.at),
        "merchant_id": line.merchant_id.to_string(),
        "merchant": line.merchant_name,
        "actor": line.actor,
        "action": line.action,
        "subject": line.subject,
        "detail": line.detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_action_is_an_error_and_an_empty_list_names_what_was_searched() {
        for action in ["gateway", "gateway.set", "account.accept"] {
            assert_eq!(parse_action(action).as_deref(), Ok(action));
        }
        for wrong in ["gatway", "gateway.", "set", ""] {
            let error = parse_action(wrong).unwrap_err();
            assert!(error.contains("gateway.set, "), "{wrong}: {error}");
        }
        let filter = AuditFilter {
            actor: Some("Asha".to_owned()),
            action: Some("gateway".to_owned()),
            ..AuditFilter::default()
        };
        assert_eq!(
            nothing_found(&filter),
            "No change by exactly \"Asha\" with action gateway."
        );
        assert_eq!(nothing_found(&AuditFilter::default()), "No change.");
    }

    #[test]
    fn the_page_names_each_action() {
        let page = include_str!("../../docs/security.md");
        let section = page.split("\n## Audit log\n").nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        for action in ACTIONS {
            assert!(section.contains(&format!("`{action}`")), "{action}");
        }
    }

    #[test]
    fn changes_are_one_text() {
        let detail =
            json!({"gateway": "PAYU", "changes": {"a": {"from": 1, "to": 2}, "b": "changed"}});
        assert_eq!(changes(&detail), "a: 1 -> 2; b: changed");
        let detail = json!({"validation_id": "val_1", "event": null, "changes": {}});
        assert_eq!(changes(&detail), "validation_id \"val_1\"");
        assert_eq!(changes(&json!({})), NONE);
    }
}
