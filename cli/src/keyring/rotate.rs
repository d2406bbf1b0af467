//! `khata keyring rotate`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use diesel::{PgConnection, QueryResult};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use khata_config::SandboxSettings;
use khata_crypto::{Keyring, KeyringSettings};
use khata_store::DatabaseSettings;
use khata_store::rotation::{self, Rotation, SealedColumn, StepResult};
use serde_json::json;

use crate::options::{ActorOption, connect_without_timeout};
use crate::output::{counted, joined_or, note, print};

const PROGRESS: &str = "[{bar:30}] {percent} %, {pos} of {len}, {msg}, {per_sec}, {eta} left";
/// Time between two lines of progress where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Minimum pause before rows that other transactions hold are tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// Maximum number of unreadable values that are listed; the rest is only counted.
const MAX_LISTED: usize = 100;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Rotate {
    /// Rows to read in one transaction
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Milliseconds to pause between two batches, to leave the database to the services
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pause_ms: u64,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    sandbox: SandboxSettings,
    #[command(flatten)]
    actor: ActorOption,
}

impl Rotate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let sandbox_mode = self.sandbox.sandbox_mode;
        let keyring = self.keyring.load(sandbox_mode)?;
        let actor = self.actor.name(sandbox_mode)?;
        let mut connection = connect_without_timeout(&self.database.database_url)?;
        let mut progress = Progress::new(count(&mut connection, &keyring)?)?;
        let mut rotation = Rotation::new(&keyring, &actor, self.batch);
        let walked = self.walk(&mut connection, &mut rotation, &mut progress);
        progress.bar.finish_and_clear();
        report(&rotation, keyring.primary())?;
        walked.context("stopped before the end; run the same command again to continue")?;
        let undecryptable = rotation.undecryptable.len();
        if undecryptable > 0 {
            bail!(
                "cannot decrypt {}: the key is missing from the keyring, or the data was altered",
                counted(i64::try_from(undecryptable)?, "value")
            );
        }
        // Rows that were locked at every attempt, and rows that a service wrote with an old key after they were read.
        let left = count(&mut connection, &keyring)?;
        if left > 0 {
            bail!(
                "{} encrypted with another key meanwhile: give every process the new primary, then run this command again",
                counted(left, "value")
            );
        }
        Ok(())
    }

    fn walk(
        &self,
        connection: &mut PgConnection,
        rotation: &mut Rotation<'_>,
        progress: &mut Progress,
    ) -> QueryResult<()> {
        let pause = Duration::from_millis(self.pause_ms);
        while let Some(column) = rotation.column() {
            match rotation.step(connection)? {
                StepResult::Batch => std::thread::sleep(pause),
                StepResult::Busy => std::thread::sleep(pause.max(BUSY_PAUSE)),
                StepResult::Done => break,
            }
            let done = rotation.reencrypted.values().sum::<u64>();
            progress.update(done + rotation.undecryptable.len() as u64, column.table());
        }
        Ok(())
    }
}

/// Counts the values that another key than the primary encrypted.
fn count(connection: &mut PgConnection, keyring: &Keyring) -> QueryResult<u64> {
    let mut count = 0;
    for column in SealedColumn::ALL {
        let usage = rotation::count_by_key(connection, column)?;
        let others = usage
            .into_iter()
            .filter(|(key, _)| *key != Some(keyring.primary()));
        count += others.map(|(_, count)| count.unsigned_abs()).sum::<u64>();
    }
    Ok(count)
}

fn report(rotation: &Rotation<'_>, primary: u32) -> anyhow::Result<()> {
    for (place, _) in rotation.undecryptable.iter().zip(0..MAX_LISTED) {
        note(&format!("cannot decrypt: {place}"));
    }
    let counts = rotation.reencrypted.iter().filter(|(_, count)| **count > 0);
    let tables = counts
        .clone()
        .map(|(column, count)| format!("{count} in {}", column.table()));
    let tables = joined_or(tables, "nothing");
    let mut by_table = BTreeMap::<&str, u64>::new();
    for (column, count) in counts {
        *by_table.entry(column.table()).or_default() += *count;
    }
    let document = json!({
        "primary": primary,
        "reencrypted": by_table,
        "undecryptable": rotation.undecryptable.len(),
    });
    print(
        &document,
        &format!("Re-encrypted under key {primary}: {tables}."),
    )
}

/// The progress: a bar on a terminal, else a line every few seconds.
struct Progress {
    bar: ProgressBar,
    last_line: Instant,
}

impl Progress {
    fn new(total: u64) -> anyhow::Result<Self> {
        let style = ProgressStyle::with_template(PROGRESS)?.progress_chars("==  ");
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        Ok(Self {
            bar: bar.with_style(style),
            last_line: Instant::now(),
        })
    }

    /// Shows how much is done, and the kind of data that the command processes now.
    fn update(&mut self, done: u64, kind: &str) {
        if !self.bar.is_hidden() {
            self.bar.set_message(kind.to_owned());
            self.bar.set_position(done);
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            let total = self.bar.length().unwrap_or_default();
            note(&line(done, total, kind));
        }
    }
}

fn line(done: u64, total: u64, kind: &str) -> String {
    let percent = (done.min(total) * 100).checked_div(total).unwrap_or(100);
    format!("{percent} %, {done} of {total}, {kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_percent_and_counts() {
        assert_eq!(
            line(500, 2_000, "customers"),
            "25 %, 500 of 2000, customers"
        );
        assert_eq!(line(0, 0, "customers"), "100 %, 0 of 0, customers");
    }

    #[test]
    fn the_template_is_valid() {
        assert!(Progress::new(1).is_ok());
    }
}
