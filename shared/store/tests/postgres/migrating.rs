//! Migrations may run repeatedly and concurrently, and do not block traffic.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel_migrations::FileBasedMigrations;
use khata_store::{MigrateError, migrate, migrate_by, pending_migrations};

use khata_testing::Database;
use khata_testing::database::number;

/// The lock time-out of the services' connections.
const SERVICE_LOCK_TIMEOUT: &str = "set lock_timeout = '2s'";

/// Migrations for one test.
struct Steps(PathBuf);

impl Steps {
    /// Statements, and whether each runs in a transaction.
    fn new(steps: &[(&str, bool)]) -> Self {
        let folder = std::env::temp_dir().join(format!("khata-steps-{}", uuid::Uuid::new_v4()));
        for (number, (statement, in_transaction)) in steps.iter().enumerate() {
            let step = folder.join(format!("2026-01-01-00000{number}_step"));
            fs::create_dir_all(&step).unwrap();
            fs::write(step.join("up.sql"), statement).unwrap();
            let metadata = format!("run_in_transaction = {in_transaction}\n");
            fs::write(step.join("metadata.toml"), metadata).unwrap();
        }
        Self(folder)
    }

    fn run(&self, database: &Database) -> Result<Vec<String>, MigrateError> {
        let source = FileBasedMigrations::from_path(&self.0).unwrap();
        migrate_by(database.url(), source)
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs five concurrent migrations and returns the steps of each.
fn five(run: impl Fn() -> Result<Vec<String>, MigrateError> + Sync) -> Vec<Vec<String>> {
    thread::scope(|scope| {
        let five: Vec<_> = (0..5).map(|_| scope.spawn(|| run().unwrap())).collect();
        five.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn migrations_run_once() {
    let database = Database::empty();
    assert!(!migrate(database.url()).unwrap().ran.is_empty());
    assert!(migrate(database.url()).unwrap().ran.is_empty());
    assert_eq!(pending_migrations(&mut database.connect()).unwrap(), 0);
}

#[test]
fn five_concurrent_migrations_succeed_and_one_works() {
    let database = Database::empty();
    let ran = five(|| migrate(database.url()).map(|migrated| migrated.ran));
    let worked: Vec<_> = ran.iter().filter(|ran| !ran.is_empty()).collect();
    assert_eq!(worked.len(), 1, "{ran:?}");
    let written = number(
        &mut database.connect(),
        "select count(*) from __diesel_schema_migrations",
    );
    assert_eq!(usize::try_from(written).unwrap(), worked[0].len());
    assert_eq!(pending_migrations(&mut database.connect()).unwrap(), 0);
}

#[test]
fn waiting_migrations_do_not_block_a_concurrent_index() {
    let database = Database::empty();
    let steps = Steps::new(&[
        (
            "create table things as select n from generate_series(1, 200000) n",
            true,
        ),
        ("create index concurrently things_n on things (n)", false),
    ]);
    let ran = five(|| steps.run(&database));
    let worked: Vec<_> = ran.iter().filter(|ran| !ran.is_empty()).collect();
    assert!(worked.len() == 1 && worked[0].len() == 2, "{ran:?}");
    let valid =
        "select count(*) from pg_index where indisvalid and indexrelid = 'things_n'::regclass";
    assert_eq!(number(&mut database.connect(), valid), 1);
}

#[test]
fn a_step_without_a_lock_gives_up_and_does_not_block_traffic() {
    let database = Database::empty();
    let steps = Steps::new(&[
        (
            "create table things (n int); insert into things values (1)",
            true,
        ),
        (
            "update things set n = 2; alter table things add m int",
            true,
        ),
    ]);
    let first = Steps::new(&[(
        "create table things (n int); insert into things values (1)",
        true,
    )]);
    assert_eq!(first.run(&database).unwrap(), ["2026-01-01-000000_step"]);
    let mut holder = database.connect();
    holder.batch_execute("begin; select n from things").unwrap();

    let began = Instant::now();
    let (error, waits) = thread::scope(|scope| {
        let migration = scope.spawn(|| steps.run(&database).unwrap_err());
        // Readers query the table meanwhile; each would fail after two seconds in the queue.
        let mut reader = database.connect();
        reader.batch_execute(SERVICE_LOCK_TIMEOUT).unwrap();
        let mut waits = Vec::new();
        while !migration.is_finished() {
            let asked = Instant::now();
            reader.batch_execute("select n from things").unwrap();
            waits.push(asked.elapsed());
            thread::sleep(Duration::from_millis(20));
        }
        (migration.join().unwrap(), waits)
    });
    assert!(
        matches!(&error, MigrateError::Locked(name) if name == "2026-01-01-000001_step"),
        "{error}"
    );
    assert!(error.to_string().contains("pg_stat_activity"), "{error}");
    assert!(began.elapsed() > Duration::from_secs(12), "five times");
    let longest = waits.iter().max().unwrap();
    eprintln!(
        "gave up after {:?}; {} reads, the longest {longest:?}",
        began.elapsed(),
        waits.len()
    );
    let queued = waits.iter().filter(|wait| wait.as_millis() > 500).count();
    // Five by the step, and others by a busy machine.
    assert!(
        queued >= 1 && queued < waits.len() / 2,
        "{queued} of {} reads waited: {longest:?}",
        waits.len()
    );

    // The step changed nothing, and runs when no other transaction holds the table.
    let mut looker = database.connect();
    assert_eq!(number(&mut looker, "select max(n) from things"), 1);
    holder.batch_execute("commit").unwrap();
    assert_eq!(steps.run(&database).unwrap(), ["2026-01-01-000001_step"]);
    assert_eq!(number(&mut looker, "select max(n) from things"), 2);
}

#[test]
fn a_step_waits_for_a_short_transaction() {
    let database = Database::empty();
    let steps = Steps::new(&[
        ("create table things (n int)", true),
        ("alter table things add m int", true),
    ]);
    let first = Steps::new(&[("create table things (n int)", true)]);
    first.run(&database).unwrap();
    let mut holder = database.connect();
    holder.batch_execute("begin; select n from things").unwrap();
    thread::scope(|scope| {
        let migration = scope.spawn(|| steps.run(&database));
        thread::sleep(Duration::from_secs(2));
        assert!(!migration.is_finished(), "it was tried once only");
        holder.batch_execute("commit").unwrap();
        assert_eq!(
            migration.join().unwrap().unwrap(),
            ["2026-01-01-000001_step"]
        );
    });
}

#[test]
fn a_wrong_step_fails_at_once_with_its_name() {
    let database = Database::empty();
    let steps = Steps::new(&[("select 1", true), ("alter table nothing add m int", true)]);
    let began = Instant::now();
    let error = steps.run(&database).unwrap_err().to_string();
    assert!(
        error.contains("2026-01-01-000001_step") && error.contains("nothing"),
        "{error}"
    );
    // The pauses between the tries take 7.5 s.
    assert!(began.elapsed() < Duration::from_secs(7));
    let written = "select count(*) from __diesel_schema_migrations";
    assert_eq!(number(&mut database.connect(), written), 1);
}
