//! Migrations, embedded in the binary so that an image needs nothing beside it.

use diesel::connection::SimpleConnection;
use diesel::{Connection, ConnectionError, PgConnection, QueryResult};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

/// Any number that no other user of the database takes: the advisory lock of those who migrate.
const LOCK: &str = "7016994829331";

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No connection.
    #[error("cannot connect to the database: {0}")]
    Connect(#[from] ConnectionError),
    /// The lock or its time-outs.
    #[error("cannot prepare the migration: {0}")]
    Prepare(#[from] diesel::result::Error),
    /// A migration failed; those before it stand.
    #[error("migration failed: {0}")]
    Migration(Box<dyn std::error::Error + Send + Sync>),
}

/// Runs what has not run and returns the names. Several may call at once: one works, the others wait and find nothing
/// left. A migration waits 5 s at most for a table lock, so that it never queues traffic behind itself for long.
pub fn migrate(database_url: &str) -> Result<Vec<String>, MigrateError> {
    let mut connection = PgConnection::establish(database_url)?;
    connection.batch_execute(&format!(
        "select pg_advisory_lock({LOCK}); set lock_timeout = '5s'"
    ))?;
    // Before the first migration diesel says that its own table is made; nobody needs to hear it.
    connection.batch_execute("set client_min_messages = warning")?;
    let ran = connection
        .run_pending_migrations(MIGRATIONS)
        .map_err(MigrateError::Migration)?;
    Ok(ran.iter().map(ToString::to_string).collect())
}

/// How many embedded migrations the database has not seen: 0 when this binary can serve.
pub fn pending_migrations(connection: &mut PgConnection) -> QueryResult<usize> {
    connection
        .pending_migrations(MIGRATIONS)
        .map(|pending| pending.len())
        .map_err(diesel::result::Error::QueryBuilderError)
}
