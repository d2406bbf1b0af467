//! The findings of `khata doctor`, as JSON and as a text.

use khata_domain::MerchantId;
use khata_store::doctor::{Found, Rule};
use khata_store::merchants::Merchant;
use serde_json::{Map, Value, json};

use super::advice::{command, meaning, repair};
use crate::output::{NONE, Table, joined_or, or_none, time};

/// The rows that were read, and the findings.
pub(super) struct Report {
    /// Findings of a rule that are kept.
    show: usize,
    rules: Vec<OfRule>,
    /// Number of rows that were read, by kind.
    read: Vec<(&'static str, i64)>,
    notes: Vec<String>,
}

/// The findings of one rule.
struct OfRule {
    rule: Rule,
    count: usize,
    /// The first findings, each with the name and id of its merchant.
    first: Vec<(Option<(String, MerchantId)>, Found)>,
}

impl Report {
    pub(super) fn new(show: usize) -> Self {
        Self {
            show,
            rules: Vec::new(),
            read: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Whether no rule is broken.
    pub(super) fn is_empty(&self) -> bool {
        self.rules.iter().all(|rule| rule.rule.is_information())
    }

    /// Adds findings about a merchant's rows, or about the database.
    pub(super) fn add(&mut self, merchant: Option<&Merchant>, found: Vec<Found>) {
        for found in found {
            let place = self.rules.iter().position(|one| one.rule == found.rule);
            let place = place.unwrap_or_else(|| {
                self.rules.push(OfRule {
                    rule: found.rule,
                    count: 0,
                    first: Vec::new(),
                });
                self.rules.len() - 1
            });
            let rule = &mut self.rules[place];
            rule.count += 1;
            if rule.first.len() < self.show {
                let merchant = merchant.map(|merchant| (merchant.name.clone(), merchant.id));
                rule.first.push((merchant, found));
            }
        }
    }

    /// Counts rows that were read.
    pub(super) fn read(&mut self, what: &'static str, rows: i64) {
        match self.read.iter_mut().find(|(kind, _)| *kind == what) {
            Some((_, sum)) => *sum += rows,
            None => self.read.push((what, rows)),
        }
    }

    /// Adds a sentence about what was not checked.
    pub(super) fn note(&mut self, sentence: String) {
        self.notes.push(sentence);
    }

    /// Adds a note if a statement stopped at its limit of findings.
    pub(super) fn note_limit(&mut self, merchant: &str, what: &str, found: usize, limit: i64) {
        if usize::try_from(limit).is_ok_and(|limit| found >= limit) {
            self.note(format!(
                "Only the first {limit} {what} of {merchant} were read and counted: there may be more."
            ));
        }
    }

    pub(super) fn document(&self) -> Value {
        let read = self.read.iter();
        let read = read.map(|(what, rows)| (what.replace(' ', "_"), (*rows).into()));
        let rules: Vec<Value> = self.rules.iter().map(OfRule::json).collect();
        json!({
            "rules": rules,
            "read": read.collect::<Map<_, _>>(),
            "notes": self.notes,
        })
    }

    pub(super) fn text(&self) -> String {
        let mut blocks: Vec<String> = self.rules.iter().map(OfRule::text).collect();
        let count = |is_information: bool| {
            let rules = self.rules.iter();
            let rules = rules.filter(|rule| rule.rule.is_information() == is_information);
            rules.map(|rule| rule.count).sum::<usize>()
        };
        let found = count(false);
        let read = self
            .read
            .iter()
            .map(|(what, rows)| format!("{rows} {what}"));
        let found = match found {
            0 => "Nothing was found".to_owned(),
            1 => "1 finding".to_owned(),
            _ => format!("{found} findings"),
        };
        let known = match count(true) {
            0 => String::new(),
            known => format!(", beside the rows to know above: {known}"),
        };
        blocks.push(format!(
            "{found}{known}. Read: {}.",
            joined_or(read, "no row")
        ));
        blocks.extend(self.notes.iter().cloned());
        blocks.join("\n\n")
    }
}

impl OfRule {
    fn json(&self) -> Value {
        let findings: Vec<Value> = self.first.iter().map(json_of).collect();
        json!({
            "rule": self.rule.as_str(),
            "information": self.rule.is_information(),
            "count": self.count,
            "meaning": meaning(self.rule),
            "repair": repair(self.rule),
            "findings": findings,
        })
    }

    fn text(&self) -> String {
        let rows = self.first.iter().map(|(merchant, found)| {
            let name = merchant.as_ref().map(|(name, _)| name.as_str());
            [
                or_none(name),
                or_none(found.since.map(time)),
                format!("{}{}", ids(found), found.detail),
                command(found, name).unwrap_or_else(|| NONE.to_owned()),
            ]
        });
        let table = Table::rows(["MERCHANT", "SINCE", "FOUND", "COMMAND"], rows);
        let more = match self.count - self.first.len() {
            0 => String::new(),
            more => format!("\n… and {more} more: --show lists them."),
        };
        format!(
            "{}: {}\n{}\nRepair: {}\n\n{table}{more}",
            self.rule,
            self.count,
            meaning(self.rule),
            repair(self.rule)
        )
    }
}

fn json_of((merchant, found): &(Option<(String, MerchantId)>, Found)) -> Value {
    let name = merchant.as_ref().map(|(name, _)| name.as_str());
    json!({
        "merchant": name,
        "merchant_id": merchant.as_ref().map(|(_, id)| id.to_string()),
        "account_id": found.account.map(|id| id.to_string()),
        "validation_id": found.validation.map(|id| id.to_string()),
        "attempt": found.number,
        "event_id": found.event.map(|id| id.to_string()),
        "endpoint_id": found.endpoint.map(|id| id.to_string()),
        "since": found.since.map(time),
        "detail": found.detail,
        "command": command(found, name),
    })
}

/// Returns the ids of a finding, with a colon behind them.
fn ids(found: &Found) -> String {
    let ids = [
        found.account.map(|id| id.to_string()),
        found.validation.map(|id| id.to_string()),
        found.number.map(|number| format!("attempt {number}")),
        found.event.map(|id| id.to_string()),
        found.endpoint.map(|id| id.to_string()),
    ];
    let ids: Vec<String> = ids.into_iter().flatten().collect();
    if ids.is_empty() {
        return String::new();
    }
    format!("{}: ", ids.join(" "))
}

#[cfg(test)]
mod tests {
    use khata_domain::{AccountId, ValidationId};

    use super::*;

    #[test]
    fn a_statement_that_stopped_at_its_limit_is_noted() {
        let mut report = Report::new(2);
        report.note_limit("shop", "due deliveries", 2, 3);
        assert_eq!(report.document()["notes"], json!([]));
        report.note_limit("shop", "due deliveries", 3, 3);
        let says =
            "Only the first 3 due deliveries of shop were read and counted: there may be more.";
        assert_eq!(report.document()["notes"], json!([says]));
        assert!(report.text().ends_with(says), "{}", report.text());
    }

    #[test]
    fn findings_are_counted_by_rule_and_the_first_are_listed() {
        let mut report = Report::new(2);
        assert!(report.is_empty());
        report.read("accounts", 3);
        report.read("accounts", 4);
        assert_eq!(report.text(), "Nothing was found. Read: 7 accounts.");
        let (account, validation) = (AccountId::new(), ValidationId::new());
        let found = Found {
            account: Some(account),
            validation: Some(validation),
            number: Some(2),
            ..Found::new(Rule::SetAside, "the validation is WAITING".into())
        };
        report.add(None, vec![found.clone(), found.clone(), found]);
        assert!(!report.is_empty());
        let text = report.text();
        let says = format!("{account} {validation} attempt 2: the validation is WAITING");
        assert_eq!(text.matches(&says).count(), 2, "{text}");
        assert!(text.starts_with("set-aside: 3\n"), "{text}");
        assert!(text.contains("… and 1 more"), "{text}");
        assert!(text.ends_with("3 findings. Read: 7 accounts."), "{text}");
        let rule = &report.document()["rules"][0];
        assert_eq!(
            (&rule["count"], &rule["rule"]),
            (&3.into(), &"set-aside".into())
        );
        let finding = &rule["findings"][1];
        assert_eq!(finding["account_id"], account.to_string());
        let command = format!("khata account retry {account}");
        assert_eq!(finding["command"], command);
    }
}
