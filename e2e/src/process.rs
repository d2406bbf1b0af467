//! A program of Khata as a child process. It ends when its [`Process`] is dropped, and when the test ends, even by a kill.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::deadline::{TIMEOUT, eventually};
use crate::settings::Setting;
use crate::signals::{self, Signal};

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program of the workspace with these arguments and only these settings. Its output goes to the file `log`.
    pub fn start(
        program: &str,
        arguments: &[&str],
        settings: &[Setting],
        log: &Path,
    ) -> anyhow::Result<Self> {
        Self::start_file(&path_of(program)?, arguments, settings, log)
    }

    /// Starts any program, given by its path.
    pub(crate) fn start_file(
        program: &Path,
        arguments: &[&str],
        settings: &[Setting],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        // setpriv replaces itself by the program, so the process id is the program's.
        let child = command(Path::new("setpriv"), settings)
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot run setpriv (Debian: util-linux)")?;
        Ok(Self {
            child,
            name: program
                .file_name()
                .unwrap_or_default()
                .display()
                .to_string(),
            log: log.to_owned(),
        })
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the output so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the exit status, if the process has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Kills the process; fails if it had ended before.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.ended() {
            bail!("{} had already ended: {status}", self.name);
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) -> anyhow::Result<()> {
        signals::send(Signal::TERM, self.pid())
    }

    /// Waits for the end of the process, for `patience` at most.
    pub async fn wait(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        eventually(patience, &what, async || child.try_wait()).await
    }

    /// Waits for the port that the process writes to this file when it listens (`KHATA_PORT_FILE`).
    pub(crate) async fn port(&mut self, file: &Path) -> anyhow::Result<u16> {
        self.wait_for_log(|_| std::fs::read_to_string(file).ok()?.parse().ok())
            .await
    }

    /// Waits until `find` returns a value, given the output so far; fails if the process ends before.
    pub(crate) async fn wait_for_log<T>(
        &mut self,
        find: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<T> {
        let end = Instant::now() + TIMEOUT;
        loop {
            if let Some(found) = find(&self.log()) {
                return Ok(found);
            }
            if let Some(status) = self.ended() {
                bail!(
                    "{} ended while starting, {status}: {}",
                    self.name,
                    self.log()
                );
            }
            if Instant::now() > end {
                bail!("{} does not start: {}", self.name, self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The test runner shows this for failed tests.
        let log = self.log();
        let notable = |line: &&str| !line.contains("\"INFO\"") && !line.contains("\"DEBUG\"");
        let lines: Vec<&str> = log.lines().filter(notable).collect();
        eprintln!("last lines of {} in {}:", self.name, self.log.display());
        for line in &lines[lines.len().saturating_sub(15)..] {
            eprintln!("  {line}");
        }
    }
}

/// Result of a command that has ended.
#[derive(Clone, Debug)]
pub struct CommandOutput {
    /// Exit code; `None` if a signal ended the command.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CommandOutput {
    /// Runs the command until it ends.
    pub(crate) fn of(command: &mut Command) -> anyhow::Result<Self> {
        let output = command.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok(Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }
}

/// Builds a command that has only these settings, and no input.
pub(crate) fn command(program: &Path, settings: &[Setting]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LANG", "C.UTF-8");
    command.envs(settings.iter().cloned()).stdin(Stdio::null());
    command
}

/// Runs a command and returns its standard output; an exit code other than 0 is an error.
pub(crate) fn run(
    program: &str,
    arguments: &[&str],
    settings: &[Setting],
) -> anyhow::Result<String> {
    let ran = CommandOutput::of(command(&path_of(program)?, settings).args(arguments))?;
    if ran.code != Some(0) {
        bail!("{program} {}: {}", arguments.join(" "), ran.stderr);
    }
    Ok(ran.stdout)
}

/// Returns the path of a program as cargo built it: beside the running program, or above a running test's folder
/// (`target/debug/deps`).
pub fn path_of(program: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut folders = own.ancestors().skip(1);
    let folder = folders.find(|folder| !folder.ends_with("deps"));
    let path = folder.context("a program without a folder")?.join(program);
    if !path.is_file() {
        bail!(
            "{} is missing: run `make test`, or `cargo build --workspace --bins` before the tests",
            path.display()
        );
    }
    Ok(path)
}

/// Returns the path of a program that the tests need from the system.
pub(crate) fn installed_program(program: &str) -> anyhow::Result<PathBuf> {
    let found = ["/usr/bin", "/usr/local/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|file| file.is_file());
    found.with_context(|| format!("{program} is missing; say: e2e/tools.sh"))
}
