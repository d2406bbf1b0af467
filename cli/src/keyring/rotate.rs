//! `khata-api keyring rotate`.

use std::time::Duration;

use anyhow::{Context, bail};
use diesel::PgConnection;
use khata_config::SandboxSettings;
use khata_crypto::Keyring;
use khata_crypto::KeyringSettings;
use khata_store::DatabaseSettings;
use khata_store::rotation::{self, Rotation, SealedColumn, StepResult};

use super::progress::Progress;
use crate::connect_patiently;

/// Before rows that others hold are looked at again.
const BUSY: Duration = Duration::from_millis(50);
/// Values that do not open are named up to here; then only counted.
const NAMED: usize = 100;

/// `khata-api keyring rotate`.
#[derive(Clone, Debug, clap::Args)]
pub struct Rotate {
    /// Rows to look at in one transaction
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Milliseconds to rest between two batches, to leave the database to others
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pause_ms: u64,
    /// Where Postgres is
    #[command(flatten)]
    database: DatabaseSettings,
    /// The keys
    #[command(flatten)]
    keyring: KeyringSettings,
    /// Whether this is a playground
    #[command(flatten)]
    sandbox: SandboxSettings,
}

impl Rotate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let keyring = self.keyring.load(self.sandbox.sandbox_mode)?;
        let mut connection = connect_patiently(&self.database.database_url)?;
        let mut progress = Progress::of(count(&mut connection, &keyring)?);
        let mut rotation = Rotation::new(&keyring, self.batch);
        let walked = self.walk(&mut connection, &mut rotation, &mut progress);
        progress.finish();
        tell(&rotation, keyring.primary());
        walked.context("stopped on the way; the same command goes on from here")?;
        let broken = rotation.undecryptable().count();
        if broken > 0 {
            bail!(
                "{broken} values do not open: their key is gone from the keyring, or they were altered"
            );
        }
        // What was busy at every look, and what was sealed under another key behind the walk.
        let left = count(&mut connection, &keyring)?;
        if left > 0 {
            bail!(
                "{left} values have been sealed under another key meanwhile: give every process the new primary, then \
                 run it again"
            );
        }
        Ok(())
    }

    fn walk(
        &self,
        connection: &mut PgConnection,
        rotation: &mut Rotation<'_>,
        progress: &mut Progress,
    ) -> diesel::QueryResult<()> {
        let pause = Duration::from_millis(self.pause_ms);
        while let Some(column) = rotation.column() {
            match rotation.step(connection)? {
                StepResult::Batch => std::thread::sleep(pause),
                StepResult::Busy => std::thread::sleep(pause.max(BUSY)),
                StepResult::Done => break,
            }
            let done = rotation.reencrypted().values().sum::<u64>();
            progress.tell(
                done + rotation.undecryptable().count() as u64,
                column.table(),
            );
        }
        Ok(())
    }
}

/// Values that wait to be sealed anew.
fn count(connection: &mut PgConnection, keyring: &Keyring) -> diesel::QueryResult<u64> {
    let mut count = 0;
    for column in SealedColumn::ALL {
        let census = rotation::count_by_key(connection, column)?;
        let others = census
            .into_iter()
            .filter(|(key, _)| *key != Some(keyring.primary()));
        count += others.map(|(_, count)| count.unsigned_abs()).sum::<u64>();
    }
    Ok(count)
}

fn tell(rotation: &Rotation<'_>, primary: u32) {
    for (place, _) in rotation.undecryptable().zip(0..NAMED) {
        eprintln!("khata-api: does not open: {place}");
    }
    let tables: Vec<String> = rotation
        .reencrypted()
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(column, count)| format!("{count} in {}", column.table()))
        .collect();
    let tables = if tables.is_empty() {
        "nothing".to_owned()
    } else {
        tables.join(", ")
    };
    println!("Sealed anew under key {primary}: {tables}.");
}
