//! Options that several commands share: the database, the form of the output, and the merchant.

use anyhow::{Context, bail};
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
    #[allow(clippy::unused_self, reason = "the form is the process's own")]
    pub(crate) fn print(&self, document: &Value, text: &str) -> anyhow::Result<()> {
        print(document, text)
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

pub(crate) fn parse_event(text: &str) -> Result<EventId, &'static str> {
    EventId::parse_or_uuid(text)
        .ok_or("not an event id; expected evt_ and 26 characters, as `event list` shows it")
}

pub(crate) fn parse_endpoint(text: &str) -> Result<EndpointId, &'static str> {
    EndpointId::parse_or_uuid(text)
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
    fn the_name_of_an_event_may_have_small_letters() {
        let name = parse_event_name("customer_account_active");
        assert_eq!(name, Ok(EventName::Active));
        let error = parse_event_name("ACTIVE").unwrap_err();
        assert!(error.contains("CUSTOMER_ACCOUNT_ACTIVE, "), "{error}");
    }
}
