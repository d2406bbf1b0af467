//! The audit log: every change of a merchant's configuration, with the operator, the time, and the old and new values. Lines are
//! only added: the database refuses to change or delete one.

use std::collections::BTreeSet;

use diesel::{PgConnection, QueryResult};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::statement::statement;
use khata_domain::MerchantId;

/// The name of the person or job that makes a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor(String);

impl Actor {
    /// Maximum length, in characters.
    const MAX_LENGTH: usize = 128;

    /// Accepts a name of 1 to 128 characters, without control characters; removes blanks around it.
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.trim();
        let fits = (1..=Self::MAX_LENGTH).contains(&name.chars().count());
        (fits && !name.contains(char::is_control)).then(|| Self(name.to_owned()))
    }

    /// khata-worker, for a change that a rule makes.
    pub fn worker() -> Self {
        Self("khata-worker".to_owned())
    }
}

/// The settings that a command changed, each with its old and its new value. A secret is `"changed"`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes(Map<String, Value>);

impl Changes {
    /// Lists the members that differ between two JSON objects; a missing member is null.
    pub fn between(before: &Value, after: &Value) -> Self {
        let names = [before, after].into_iter().filter_map(Value::as_object);
        let names: BTreeSet<&String> = names.flat_map(Map::keys).collect();
        let mut changes = Self::default();
        for name in names {
            changes.add(name, before[name].clone(), after[name].clone());
        }
        changes
    }

    /// Returns one changed setting.
    pub fn of(name: &str, from: impl Into<Value>, to: impl Into<Value>) -> Self {
        let mut changes = Self::default();
        changes.add(name, from, to);
        changes
    }

    /// Adds a setting, unless both values are equal.
    pub fn add(&mut self, name: &str, from: impl Into<Value>, to: impl Into<Value>) {
        let (from, to) = (from.into(), to.into());
        if from != to {
            self.0
                .insert(name.to_owned(), json!({ "from": from, "to": to }));
        }
    }

    /// Adds a secret that changed.
    pub fn add_secret(&mut self, name: &str) {
        self.0.insert(name.to_owned(), "changed".into());
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `{"priority": {"from": 1, "to": 2}, "credentials": "changed"}`.
    pub fn to_json(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// Returns a line for each setting: `priority: 1 -> 2`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, change)| match change {
            Value::Object(change) => format!("{name}: {} -> {}", change["from"], change["to"]),
            _ => format!("{name}: changed"),
        })
    }
}

/// Writes one line of the audit log. Call it in the transaction of the change. `about` is a JSON object with what else identifies
/// the changed object.
pub fn record(
    connection: &mut PgConnection,
    merchant: MerchantId,
    actor: &Actor,
    action: &str,
    subject: &str,
    about: Value,
    changes: &Changes,
) -> QueryResult<()> {
    let mut detail = about;
    detail["changes"] = changes.to_json();
    statement(
        "insert into audit_log (merchant_id, id, actor, action, subject, detail) values ($1, $2, $3, $4, $5, $6)",
    )
    .key(merchant, Uuid::now_v7())
    .bind(actor.0.as_str())
    .bind(action)
    .bind(subject)
    .bind(detail)
    .run(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_the_old_and_the_new_value_and_no_secret() {
        let before = json!({"priority": 1, "base_url": null, "same": true, "poll_ms": [1]});
        let after =
            json!({"priority": 2, "base_url": "https://a.example", "same": true, "hours": []});
        let mut changes = Changes::between(&before, &after);
        changes.add("enabled", true, true);
        changes.add_secret("credentials");
        let expected = json!({
            "base_url": {"from": null, "to": "https://a.example"},
            "hours": {"from": null, "to": []},
            "poll_ms": {"from": [1], "to": null},
            "priority": {"from": 1, "to": 2},
            "credentials": "changed",
        });
        assert_eq!(changes.to_json(), expected);
        let lines: Vec<_> = changes.lines().collect();
        assert!(lines.contains(&"priority: 1 -> 2".to_owned()), "{lines:?}");
        assert!(
            lines.contains(&"credentials: changed".to_owned()),
            "{lines:?}"
        );
        assert!(Changes::between(&before, &before).is_empty());
    }

    #[test]
    fn an_actor_has_a_visible_name() {
        assert_eq!(
            Actor::parse(" asha@acme.example "),
            Some(Actor("asha@acme.example".into()))
        );
        for text in ["", " ", "a\nb", "\u{1b}[2J", &"a".repeat(129)] {
            assert_eq!(Actor::parse(text), None, "{text:?}");
        }
    }
}
