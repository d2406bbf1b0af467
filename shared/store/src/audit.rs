//! The audit log: every change of a merchant's configuration, with the operator, the time, and the old and new values. Lines are
//! only added: the database refuses to change or delete one.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::column::row;
use super::statement::statement;
use khata_domain::MerchantId;

/// The actions of the audit log: a group and a verb.
pub const ACTIONS: [&str; 21] = [
    "account.accept",
    "account.reject",
    "account.retry",
    "event.replay",
    "gateway.add",
    "gateway.disable",
    "gateway.enable",
    "gateway.set",
    "key.issue",
    "key.revoke",
    "key.rotate",
    "keyring.rotate",
    "merchant.create",
    "merchant.set",
    "webhook.add",
    "webhook.delete",
    "webhook.disable",
    "webhook.enable",
    "webhook.rotate-secret",
    "webhook.set",
    "webhook.test",
];

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

    /// Returns the changes of a stored line, and without them what else identifies the changed object.
    pub fn of_stored(detail: &Value) -> (Self, Value) {
        let mut about = detail.clone();
        let changes = about.as_object_mut().and_then(|it| it.remove("changes"));
        let changes = match changes {
            Some(Value::Object(changes)) => Self(changes),
            _ => Self::default(),
        };
        (changes, about)
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
    debug_assert!(
        ACTIONS.contains(&action),
        "{action} is not among the actions"
    );
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

row! {
    /// A line of the audit log.
    #[derive(Clone, Debug)]
    pub struct AuditLine {
        /// Begins with the time.
        pub id: Uuid,
        pub merchant_id: MerchantId,
        pub merchant_name: String,
        pub at: DateTime<Utc>,
        /// The name that the command was given; `key:` and an id for a call of the merchant; khata-worker for a rule.
        pub actor: String,
        /// `gateway.set`
        pub action: String,
        /// Id of the changed object, or the prefix of a key.
        pub subject: String,
        /// [`Changes::of_stored`] reads it.
        pub detail: Value,
    }
}

/// Selects lines of the audit log; `None` selects all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub merchant: Option<MerchantId>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    /// An action, or the word before its dot for all of a group.
    pub action: Option<String>,
    pub subject: Option<String>,
    pub actor: Option<String>,
    /// Only lines before the one with this id.
    pub before: Option<Uuid>,
}

/// Lists lines of the audit log, the newest first. Of each merchant, one range of the primary key is read from its end, until `limit`
/// lines fit the filter.
pub fn newest(
    connection: &mut PgConnection,
    filter: &AuditFilter,
    limit: i64,
) -> QueryResult<Vec<AuditLine>> {
    statement(
        "select line.id, m.id as merchant_id, m.name as merchant_name, line.at, line.actor, line.action, line.subject, line.detail
         from merchants m
         cross join lateral (
            select * from audit_log l
            where l.merchant_id = m.id and ($1 is null or l.id < $1) and ($2 is null or l.at >= $2)
              and ($3 is null or l.at < $3) and ($4 is null or l.action = $4 or starts_with(l.action, $4 || '.'))
              and ($5 is null or l.subject = $5) and ($6 is null or l.actor = $6)
            order by l.id desc limit $7
         ) line
         where $8 is null or m.id = $8
         order by line.id desc limit $7",
    )
    .bind(filter.before)
    .bind(filter.since)
    .bind(filter.until)
    .bind(filter.action.as_deref())
    .bind(filter.subject.as_deref())
    .bind(filter.actor.as_deref())
    .bind(limit)
    .bind(filter.merchant)
    .load(connection)
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
        let stored = json!({"gateway": "PAYU", "changes": changes.to_json()});
        let about = json!({"gateway": "PAYU"});
        assert_eq!(Changes::of_stored(&stored), (changes, about.clone()));
        assert_eq!(Changes::of_stored(&about), (Changes::default(), about));
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
