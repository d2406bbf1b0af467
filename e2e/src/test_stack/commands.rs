//! Running the operator's commands and other programs with the settings of a test stack.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::TestStack;
use crate::database::as_role;
use crate::merchant::{GatewayAccount, add_gateway, issue_key, khata_json, write_private};
use crate::process::{self, CommandOutput, Process};
use crate::settings::{KEYRING, Settings, settings};

/// Folder in which Debian installs the programs of each Postgres version.
const POSTGRES: &str = "/usr/lib/postgresql";

impl TestStack {
    /// Issues a key of this merchant. Creates the merchant if needed, with a DUMMY gateway account.
    pub fn issue_key(&self, merchant: &str) -> anyhow::Result<String> {
        let own = self.settings_of("khata_operator");
        khata_json(
            &own,
            &["merchant", "create", "--name", merchant, "--if-absent"],
        )?;
        issue_key(&own, merchant)
    }

    /// Adds a gateway account of a merchant, or updates the one with this reference id. Returns its id. The services
    /// see it within five seconds.
    pub fn set_gateway_account(&self, account: &GatewayAccount<'_>) -> anyhow::Result<String> {
        add_gateway(&self.folder, &self.settings_of("khata_operator"), account)
    }

    /// Runs a command of `khata` and returns its standard output; an exit code other than 0 is an error.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        process::run("khata", arguments, &self.settings_for("khata", arguments))
    }

    /// Runs a command of `khata`, with any exit code.
    pub fn try_command(&self, arguments: &[&str]) -> anyhow::Result<CommandOutput> {
        self.try_program("khata", arguments)
    }

    /// Runs a command of a program, with any exit code.
    pub fn try_program(&self, program: &str, arguments: &[&str]) -> anyhow::Result<CommandOutput> {
        let own = self.settings_for(program, arguments);
        let program = process::path_of(program)?;
        CommandOutput::of(process::command(&program, &own).args(arguments))
    }

    /// Writes a file that only its owner can read. Returns its path.
    pub fn write_file(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        write_private(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// Starts a program with the services' settings and these changes: a value, or `None` to remove the setting.
    pub fn start_program(
        &mut self,
        program: &str,
        arguments: &[&str],
        changes: &[(&str, Option<&str>)],
    ) -> anyhow::Result<Process> {
        let mut own = self.settings_for(program, arguments);
        own.retain(|(name, _)| changes.iter().all(|(other, _)| name != other));
        let values = changes.iter();
        own.extend(values.filter_map(|(name, value)| Some(((*name).into(), (*value)?.into()))));
        let log = self.next_stem(program).with_extension("log");
        Process::start(program, arguments, &own, &log)
    }

    /// Returns the keyring file that the services read when they start.
    pub fn keyring_file(&self) -> PathBuf {
        self.folder.join(KEYRING)
    }

    /// Returns the services' settings with the database's URL for the role that the program has.
    fn settings_for(&self, program: &str, arguments: &[&str]) -> Settings {
        match (program, arguments.first()) {
            ("khata-api", _) => self.settings_of("khata_api"),
            ("khata-worker", _) => self.settings_of("khata_worker"),
            (_, Some(&"migrate")) => self.settings_of(self.database.url.username()),
            _ => self.settings_of("khata_operator"),
        }
    }

    /// Returns the services' settings with this role's URL of the database, past any proxy.
    fn settings_of(&self, role: &str) -> Settings {
        let url = as_role(&self.database.url, role);
        let database = settings(&[("KHATA_DATABASE_URL", url.as_str())]);
        [self.services.clone(), database].concat()
    }

    /// Runs shell lines in the stack's folder, as the owner of the tables, with the services' settings and these changes. The programs of Khata and
    /// Postgres are on PATH. The shell ends at the first line that fails.
    pub fn shell(&self, lines: &str, changes: &[(&str, &str)]) -> anyhow::Result<CommandOutput> {
        let programs = process::path_of("khata")?;
        let programs = programs.parent().context("a program without a folder")?;
        let (khata, postgres) = (programs.display(), postgres_programs()?);
        let path = format!("{khata}:{}:/usr/bin:/bin", postgres.display());
        let own = self.settings_of(self.database.url.username());
        let mut shell = process::command(Path::new("bash"), &own);
        shell.args(["-euo", "pipefail", "-c", lines]);
        shell.current_dir(&self.folder).env("PATH", path);
        CommandOutput::of(shell.envs(changes.iter().copied()))
    }
}

/// Returns the folder of the newest Postgres programs: they read older servers too.
fn postgres_programs() -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(POSTGRES).with_context(|| POSTGRES.to_owned())?;
    let versions = entries.flatten().filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let folder = entry.path().join("bin");
        let has_programs = folder.join("pg_dump").is_file();
        has_programs.then_some((version, folder))
    });
    let (_, newest) = versions
        .max()
        .with_context(|| format!("no pg_dump under {POSTGRES} (Debian: postgresql-client)"))?;
    Ok(newest)
}
