//! A world that goes on with another database, as after a restore.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail};

use super::{World, settings};
use crate::database::Database;
use crate::process::{self, Ran};
use crate::queues::Queues;

/// Where Debian has the programs of each version of Postgres.
const POSTGRES: &str = "/usr/lib/postgresql";

impl World {
    /// Stops all workers, then all `khata-api`, as SIGTERM does.
    pub async fn stop_services(&mut self) -> anyhow::Result<()> {
        for mut service in self.workers.drain(..).chain(self.apis.drain(..)) {
            service.process.terminate()?;
            service.process.wait(crate::PATIENCE).await?;
        }
        Ok(())
    }

    /// Services that are started from now on use this database, and queues that are not there yet. Answers the database
    /// of before.
    pub fn move_to(&mut self, database: Database) -> anyhow::Result<Database> {
        let prefix = format!("e2e_{}", uuid::Uuid::new_v4().simple());
        let amqp = std::env::var("KHATA_TEST_AMQP_URL")?;
        self.queues.remove();
        self.queues = Queues::new(&amqp, &prefix);
        self.services.retain(|(name, _)| {
            !["KHATA_DATABASE_URL", "KHATA_QUEUE_PREFIX"].contains(&name.as_str())
        });
        self.services.extend(settings(&[
            ("KHATA_DATABASE_URL", database.url.as_str()),
            ("KHATA_QUEUE_PREFIX", &prefix),
        ]));
        Ok(std::mem::replace(&mut self.database, database))
    }

    /// Runs lines of a shell with the services' settings, but for these, in the world's folder; Postgres's own programs
    /// and Khata's are found by their names. It ends at the first line that fails.
    pub fn shell(&self, lines: &str, but: &[(&str, &str)]) -> anyhow::Result<Ran> {
        let programs = process::path_of("khata-api")?;
        let programs = programs.parent().context("a program without a folder")?;
        let path = format!(
            "{}:{}:/usr/bin:/bin",
            programs.display(),
            postgres_programs()?.display()
        );
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", lines])
            .current_dir(&self.folder)
            .env_clear()
            .env("LANG", "C.UTF-8")
            .env("PATH", path)
            .envs(self.admin_settings())
            .envs(but.iter().copied())
            .output()?;
        Ok(Ran::of(&output))
    }
}

/// Those of the newest version: they read older servers too.
fn postgres_programs() -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(POSTGRES).with_context(|| POSTGRES.to_owned())?;
    let versions = entries.flatten().filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let folder = entry.path().join("bin");
        folder
            .join("pg_dump")
            .is_file()
            .then_some((version, folder))
    });
    match versions.max() {
        Some((_, folder)) => Ok(folder),
        None => bail!("no pg_dump under {POSTGRES} (Debian: postgresql-client)"),
    }
}
