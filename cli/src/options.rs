//! Options that several commands share: the database, the form of the output, and the merchant.

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::PgConnection;
use diesel::connection::SimpleConnection;
use khata_config::SandboxSettings;
use khata_domain::events::{EndpointId, EventId, EventName};
use khata_store::DatabaseSettings;
use khata_store::audit::Actor;
use khata_store::merchants::{self, Merchant};
use serde_json::Value;

use crate::output::print;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CommonOptions {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl CommonOptions {
    /// Connects with a statement time-out of 30 s, so that a command never waits forever.
    pub(crate) fn connect(&self) -> anyhow::Result<PgConnection> {
        connect(&self.database.database_url, "30s")
    }

    /// Connects, and finds the merchant.
    pub(crate) fn connect_for(
        &self,
        merchant: &MerchantOption,
    ) -> anyhow::Result<(PgConnection, Merchant)> {
        let mut connection = self.connect()?;
        let merchant = find_merchant(&mut connection, &merchant.merchant)?;
        Ok((connection, merchant))
    }

    /// Prints the JSON document with `--json`, else the text.
    pub(crate) fn print(&self, document: &Value, text: &str) -> anyhow::Result<()> {
        print(self.json, document, text)
    }
}

/// The option of a command that changes something.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ActorOption {
    /// Name of the person or job that makes the change, for the audit log; required outside sandbox mode
    #[arg(long, env = "KHATA_ACTOR", value_name = "NAME")]
    actor: Option<String>,
}

impl ActorOption {
    /// Returns the given name. In sandbox mode, the default is the user of the shell.
    pub(crate) fn name(&self, sandbox_mode: bool) -> anyhow::Result<Actor> {
        let given = self.actor.as_deref().filter(|name| !name.is_empty());
        if let Some(name) = given {
            return Actor::parse(name)
                .context("--actor (KHATA_ACTOR) must be 1 to 128 visible characters");
        }
        if !sandbox_mode {
            bail!(
                "the audit log needs the name of the person or job that makes this change: set --actor (KHATA_ACTOR)"
            );
        }
        let shell = ["USER", "HOSTNAME"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok());
        let name = shell.as_deref().and_then(Actor::parse);
        name.or_else(|| Actor::parse("unknown")).context("no actor")
    }
}

/// The options of a command that changes something and has no other use for sandbox mode.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct OperatorOptions {
    #[command(flatten)]
    actor: ActorOption,
    #[command(flatten)]
    pub(crate) sandbox: SandboxSettings,
}

impl OperatorOptions {
    pub(crate) fn actor(&self) -> anyhow::Result<Actor> {
        self.actor.name(self.sandbox.sandbox_mode)
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MerchantOption {
    /// Name or id of the merchant
    #[arg(long)]
    merchant: String,
}

fn connect(database_url: &str, statement_timeout: &str) -> anyhow::Result<PgConnection> {
    let mut connection =
        khata_store::connect(database_url, "khata").context("cannot connect to the database")?;
    connection.batch_execute(&format!("set statement_timeout = '{statement_timeout}'"))?;
    Ok(connection)
}

/// Connects without a statement time-out, for commands that read whole tables.
pub(crate) fn connect_without_timeout(database_url: &str) -> anyhow::Result<PgConnection> {
    connect(database_url, "0")
}

pub(crate) fn find_merchant(
    connection: &mut PgConnection,
    name_or_id: &str,
) -> anyhow::Result<Merchant> {
    merchants::find(connection, name_or_id)?.with_context(|| {
        format!(
            "merchant {name_or_id:?} does not exist; list merchants with `khata merchant list`, or create one with \
             `khata merchant create`"
        )
    })
}

/// Parses a time in the past: `30m`, `2h`, `7d` (minutes, hours and days ago), or RFC 3339.
pub(crate) fn parse_past(text: &str) -> Result<DateTime<Utc>, &'static str> {
    const EXPECTED: &str =
        "expected a time ago, like 30m, 2h or 7d, or a time like 2026-11-29T10:00:00Z";
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or(EXPECTED)?;
    let number: u32 = number.parse().map_err(|_| EXPECTED)?;
    let minutes = match unit {
        "m" => 1,
        "h" => 60,
        "d" => 24 * 60,
        _ => return Err(EXPECTED),
    };
    TimeDelta::try_minutes(i64::from(number) * minutes)
        .and_then(|ago| Utc::now().checked_sub_signed(ago))
        .ok_or(EXPECTED)
}

pub(crate) fn parse_event(text: &str) -> Result<EventId, &'static str> {
    EventId::parse(text)
        .ok_or("not an event id; expected evt_ and 26 characters, as `event list` shows it")
}

pub(crate) fn parse_endpoint(text: &str) -> Result<EndpointId, &'static str> {
    EndpointId::parse(text)
        .ok_or("not an endpoint id; expected whe_ and 26 characters, as `webhook list` shows it")
}

/// Parses the name of an event.
pub(crate) fn parse_event_name(word: &str) -> Result<EventName, String> {
    EventName::parse(&word.to_ascii_uppercase()).ok_or_else(|| {
        let words: Vec<_> = EventName::ALL.iter().map(|name| name.as_str()).collect();
        format!("expected one of {}", words.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_time_is_an_age_or_rfc_3339() {
        for (text, ago) in [
            ("0m", TimeDelta::zero()),
            ("30m", TimeDelta::minutes(30)),
            ("2h", TimeDelta::hours(2)),
            ("7d", TimeDelta::days(7)),
        ] {
            let before = Utc::now();
            let parsed = parse_past(text).unwrap();
            assert!(
                (before - ago..=Utc::now() - ago).contains(&parsed),
                "{text}"
            );
        }
        let time = parse_past("2026-11-29T15:30:00+05:30").unwrap();
        assert_eq!(time.to_rfc3339(), "2026-11-29T10:00:00+00:00");
        for text in [
            "",
            "h",
            "2",
            "2 h",
            "-2h",
            "1.5h",
            "2w",
            "2026-11-29",
            "4294967295d",
            "2ह",
        ] {
            assert!(parse_past(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_name_of_an_event_may_have_small_letters() {
        let name = parse_event_name("customer_account_active");
        assert_eq!(name, Ok(EventName::Active));
        let error = parse_event_name("ACTIVE").unwrap_err();
        assert!(error.contains("CUSTOMER_ACCOUNT_ACTIVE, "), "{error}");
    }
}
