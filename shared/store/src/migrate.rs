//! Migrations, embedded in the binary so that an image needs nothing beside it, and run beside a service that serves.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::Bool;
use diesel::{Connection, ConnectionError, PgConnection, QueryResult, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Any number that no other user of the database takes: the advisory lock of those who migrate.
const LOCK: &str = "7016994829331";
/// Between two looks whether the others are done.
const LOOK: Duration = Duration::from_millis(200);
/// How long the others may take: the longest index to be built.
const OTHERS: Duration = Duration::from_mins(20);

/// How long a step may wait for a table lock. Whoever comes after it waits behind it, and the services wait for a lock for two
/// seconds at most (`pool`).
const TABLE_LOCK: &str = "1s";
/// Before a step that got no table lock is tried again: those who waited behind it go on meanwhile.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Why the schema could not be brought up to date. The steps before the one that failed stand.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// No connection.
    #[error("cannot connect to the database: {0}")]
    Connect(#[from] ConnectionError),
    /// The advisory lock or the time-outs.
    #[error("cannot prepare the migration: {0}")]
    Prepare(#[from] diesel::result::Error),
    /// Somebody else has migrated for twenty minutes.
    #[error("another khata-api migrate has been at work for 20 minutes; nothing was changed here")]
    Busy,
    /// Which steps have run cannot be told.
    #[error("cannot tell which migrations have run: {0}")]
    Unread(Box<dyn Error + Send + Sync>),
    /// Somebody held a table for too long; nothing of the step stands.
    #[error(
        "migration {0} got no table lock within a second, five times: somebody keeps a transaction open on the table \
         (pg_stat_activity, the oldest xact_start); nothing of it was done, so try again when that one is gone"
    )]
    Locked(String),
    /// A step failed.
    #[error("migration {name} failed: {source}")]
    Failed {
        /// Its folder.
        name: String,
        /// What the database says.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Runs what has not run and returns the names. Several may call at once: one works, the others wait and find nothing
/// left. A step waits for a table lock for a second at most, and is tried five times: traffic is not queued behind it for long.
pub fn migrate(database_url: &str) -> Result<Vec<String>, MigrateError> {
    migrate_by(database_url, MIGRATIONS)
}

/// The same with other migrations, for tests of how they are run.
#[doc(hidden)]
pub fn migrate_by(
    database_url: &str,
    migrations: impl MigrationSource<Pg>,
) -> Result<Vec<String>, MigrateError> {
    let mut connection = PgConnection::establish(database_url)?;
    // Before the first migration diesel says that its own table is made; nobody needs to hear it. An index may take hours.
    connection.batch_execute(
        "set application_name = 'khata-migrate'; set client_min_messages = warning; set statement_timeout = 0",
    )?;
    take_turn(&mut connection)?;
    let pending = connection
        .pending_migrations(migrations)
        .map_err(MigrateError::Unread)?;
    pending
        .iter()
        .map(|migration| step(&mut connection, migration.as_ref()))
        .collect()
}

/// Waits until nobody else migrates; the turn ends with the connection. It asks again and again: who waits inside a statement
/// keeps a snapshot, and an index that is built concurrently waits for all snapshots, each for the other.
fn take_turn(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let end = Instant::now() + OTHERS;
    let mine = format!("pg_try_advisory_lock({LOCK})");
    while !diesel::select(sql::<Bool>(&mine)).get_result(connection)? {
        if Instant::now() > end {
            return Err(MigrateError::Busy);
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

fn step(
    connection: &mut PgConnection,
    migration: &dyn Migration<Pg>,
) -> Result<String, MigrateError> {
    let name = migration.name().to_string();
    // What must run outside a transaction works concurrently: it lets traffic pass, waits for the transactions that are open,
    // for as long as they take, and leaves a half behind if it is cut off.
    let is_whole = migration.metadata().run_in_transaction();
    let timeout = if is_whole { TABLE_LOCK } else { "0" };
    connection.batch_execute(&format!("set lock_timeout = '{timeout}'"))?;
    let mut pauses = PAUSES.into_iter();
    loop {
        match connection.run_migration(migration) {
            Ok(_) => return Ok(name),
            Err(source) if !(is_whole && is_lock_timeout(source.as_ref())) => {
                return Err(MigrateError::Failed { name, source });
            }
            Err(_) => match pauses.next() {
                Some(pause) => thread::sleep(pause),
                None => return Err(MigrateError::Locked(name)),
            },
        }
    }
}

/// By its words, as diesel keeps the code (55P03) to itself. A server that speaks another language is not understood: the step
/// then fails at once.
fn is_lock_timeout(error: &(dyn Error + Send + Sync)) -> bool {
    error.to_string().contains("due to lock timeout")
}

/// How many embedded migrations the database has not seen: 0 when this binary can serve.
pub fn pending_migrations(connection: &mut PgConnection) -> QueryResult<usize> {
    connection
        .pending_migrations(MIGRATIONS)
        .map(|pending| pending.len())
        .map_err(diesel::result::Error::QueryBuilderError)
}
