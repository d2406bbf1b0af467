//! Migrations, embedded in the binary so that an image needs no other file, and run while the services are running.

use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

use crate::events;
use crate::rights;
use crate::statement::statement;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::Bool;
use diesel::{ConnectionError, PgConnection, QueryResult, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Advisory lock of a running migration: a number that no other user of the database takes.
const LOCK: &str = "7016994829331";
/// Poll interval for the advisory lock.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum wait for another migration: as long as the largest index takes.
const LOCK_TIMEOUT: Duration = Duration::from_mins(20);

/// Maximum wait of a step for a table lock. Later statements queue behind the step, and the services wait for a lock at most
/// two seconds (`pool`).
const TABLE_LOCK: &str = "1s";
/// Pauses between the tries of a step without a table lock: the statements queued behind it run in between.
const RETRY_DELAYS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Why a migration failed. The steps before the failed one are committed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("cannot connect to the database: {0}")]
    Connect(#[from] ConnectionError),
    #[error("cannot prepare the migration: {0}")]
    Prepare(#[from] diesel::result::Error),
    #[error("another migration has been running for 20 minutes; this one changed nothing")]
    Busy,
    #[error("cannot read which migrations have run: {0}")]
    Unread(Box<dyn Error + Send + Sync>),
    #[error(
        "migration {0} got no table lock within a second, five times: a transaction on the table stays open \
         (see pg_stat_activity, the oldest xact_start). The migration changed nothing; try again when that transaction has ended"
    )]
    Locked(String),
    #[error(
        "the role in KHATA_DATABASE_URL cannot change the schema: {0}. Run `khata migrate` with the URL of the tables' owner \
         (`khata_owner`)"
    )]
    NotOwner(Box<dyn Error + Send + Sync>),
    #[error("migration {name} failed: {source}")]
    Failed {
        name: String,
        source: Box<dyn Error + Send + Sync>,
    },
    #[error(
        "the schema is up to date, but the database roles did not get their rights: {0}. Run `khata migrate` as the owner of \
         the tables"
    )]
    Rights(diesel::result::Error),
}

/// What [`migrate`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// Names of the steps that ran.
    pub ran: Vec<String>,
    /// Roles that got no rights, because they do not exist.
    pub missing_roles: Vec<&'static str>,
}

/// Runs the pending migrations, and grants the database roles their rights. Several processes may call this at once: one works, the others wait
/// and find none pending. A step waits for a table lock for one second, five times, so that no traffic queues behind it for
/// long.
pub fn migrate(database_url: &str) -> Result<Migrated, MigrateError> {
    let mut connection = connect(database_url)?;
    let ran = run(&mut connection, MIGRATIONS)?;
    events::repair_clock(&mut connection)?;
    let missing_roles = rights::grant(&mut connection).map_err(MigrateError::Rights)?;
    Ok(Migrated { ran, missing_roles })
}

/// Runs these migrations instead and grants nothing, for tests.
#[doc(hidden)]
pub fn migrate_by(
    database_url: &str,
    migrations: impl MigrationSource<Pg>,
) -> Result<Vec<String>, MigrateError> {
    run(&mut connect(database_url)?, migrations)
}

fn connect(database_url: &str) -> Result<PgConnection, MigrateError> {
    let mut connection = crate::pool::connect(database_url, "khata-migrate")?;
    // diesel reports the creation of its own table as a notice. An index may take hours.
    connection.batch_execute("set client_min_messages = warning; set statement_timeout = 0")?;
    lock(&mut connection)?;
    Ok(connection)
}

fn run(
    connection: &mut PgConnection,
    migrations: impl MigrationSource<Pg>,
) -> Result<Vec<String>, MigrateError> {
    let pending = connection.pending_migrations(migrations).map_err(unread)?;
    pending
        .iter()
        .map(|migration| step(connection, migration.as_ref()))
        .collect()
}

/// Waits for the advisory lock; the end of the connection releases it. Polls instead of waiting inside a statement: such a
/// wait holds a snapshot, `create index concurrently` waits for all snapshots, and the two would wait for each other.
fn lock(connection: &mut PgConnection) -> Result<(), MigrateError> {
    let end = Instant::now() + LOCK_TIMEOUT;
    let mine = format!("pg_try_advisory_lock({LOCK})");
    while !diesel::select(sql::<Bool>(&mine)).get_result(connection)? {
        if Instant::now() > end {
            return Err(MigrateError::Busy);
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

fn step(
    connection: &mut PgConnection,
    migration: &dyn Migration<Pg>,
) -> Result<String, MigrateError> {
    let name = migration.name().to_string();
    // A step outside a transaction builds an index concurrently: it lets traffic pass, waits as long as open transactions
    // take, and leaves an invalid index behind if it is interrupted.
    let is_whole = migration.metadata().run_in_transaction();
    let timeout = if is_whole { TABLE_LOCK } else { "0" };
    connection.batch_execute(&format!("set lock_timeout = '{timeout}'"))?;
    let mut pauses = RETRY_DELAYS.into_iter();
    loop {
        match connection.run_migration(migration) {
            Ok(_) => return Ok(name),
            Err(source) if !(is_whole && is_lock_timeout(source.as_ref())) => {
                return Err(if is_not_owner(source.as_ref()) {
                    MigrateError::NotOwner(source)
                } else {
                    MigrateError::Failed { name, source }
                });
            }
            Err(_) => match pauses.next() {
                Some(pause) => thread::sleep(pause),
                None => return Err(MigrateError::Locked(name)),
            },
        }
    }
}

fn unread(source: Box<dyn Error + Send + Sync>) -> MigrateError {
    // diesel creates its table first.
    if is_not_owner(source.as_ref()) {
        MigrateError::NotOwner(source)
    } else {
        MigrateError::Unread(source)
    }
}

/// By its text, too.
fn is_not_owner(error: &(dyn Error + Send + Sync)) -> bool {
    let text = error.to_string();
    text.contains("permission denied") || text.contains("must be owner")
}

/// Recognises the error by its text, as diesel does not expose the code (55P03). If the server's messages are in another
/// language, the step fails without a retry.
fn is_lock_timeout(error: &(dyn Error + Send + Sync)) -> bool {
    error.to_string().contains("due to lock timeout")
}

/// Returns the number of embedded migrations that the database has not run: 0 if this binary can serve. One more is missing in a
/// cluster into which a dump was restored: its clock of events. Only reads: the roles
/// of the services cannot create diesel's table.
pub fn pending_migrations(connection: &mut PgConnection) -> QueryResult<usize> {
    let migrations: Vec<Box<dyn Migration<Pg>>> = MIGRATIONS
        .migrations()
        .map_err(diesel::result::Error::QueryBuilderError)?;
    let has_table: bool = statement("select to_regclass('__diesel_schema_migrations') is not null")
        .tuple(connection)?;
    if !has_table {
        return Ok(migrations.len());
    }
    let ran: Vec<String> =
        statement("select version from __diesel_schema_migrations").tuples(connection)?;
    let versions = migrations
        .iter()
        .map(|migration| migration.name().version().to_string());
    let missing = versions.filter(|version| !ran.contains(version)).count();
    if missing > 0 {
        return Ok(missing);
    }
    Ok(usize::from(!events::is_of_this_cluster(connection)?))
}
