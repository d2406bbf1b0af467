//! Connections to Postgres, and merchants by name or id.

use anyhow::Context;
use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use khata_store::merchants::{self, Merchant};

/// Connects with a statement time-out of 30 s, so that a command never waits forever.
pub(crate) fn connect(database_url: &str) -> anyhow::Result<PgConnection> {
    let mut connection =
        PgConnection::establish(database_url).context("cannot connect to the database")?;
    connection.batch_execute("set statement_timeout = '30s'")?;
    Ok(connection)
}

/// Connects without a statement time-out, for commands that read whole tables.
pub(crate) fn connect_without_timeout(database_url: &str) -> anyhow::Result<PgConnection> {
    let mut connection = connect(database_url)?;
    connection.batch_execute("set statement_timeout = 0")?;
    Ok(connection)
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
