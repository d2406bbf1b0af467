//! A program of Khata, started as a child. It ends with its [`Process`], and with the test that started it, even if that
//! is killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::deadline::{PATIENCE, eventually};
use crate::signals::{self, Signal};

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts a program with these arguments and nothing but these settings; what it says goes to the file `log`.
    pub fn start(
        program: &str,
        arguments: &[&str],
        settings: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        Self::start_file(&path_of(program)?, arguments, settings, log)
    }

    /// The same with a program that is not the workspace's own.
    pub(crate) fn start_file(
        program: &Path,
        arguments: &[&str],
        settings: &[(String, String)],
        log: &Path,
    ) -> anyhow::Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        // setpriv replaces itself by the program, so the process id is the program's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        let child = command
            .arg(program)
            .args(arguments)
            .env_clear()
            .env("LANG", "C.UTF-8")
            .envs(settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot run setpriv (Debian: util-linux)")?;
        Ok(Self {
            child,
            name: program
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            log: log.to_owned(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Kills it at once; fails if it had ended by itself before.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.ended() {
            bail!("{} had ended by itself: {status}", self.name);
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, by SIGTERM.
    pub fn terminate(&self) -> anyhow::Result<()> {
        signals::send(Signal::Term, self.pid())
    }

    /// Waits for its end, `patience` at most.
    pub async fn wait(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        eventually(patience, &what, async || child.try_wait()).await
    }

    /// The text that it writes to this file once it is bound (`KHATA_PORT_FILE`).
    pub(crate) async fn port(&mut self, file: &Path) -> anyhow::Result<u16> {
        self.said(|_| std::fs::read_to_string(file).ok()?.parse().ok())
            .await
    }

    /// What `find` finds in its log or elsewhere, as soon as it does; fails when it ends before.
    pub(crate) async fn said<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find(&self.log()) {
                return Ok(found);
            }
            if let Some(status) = self.ended() {
                bail!("{} ended at its start, {status}: {}", self.name, self.log());
            }
            if Instant::now() > end {
                bail!("{} does not come up: {}", self.name, self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Shown by the test runner for tests that failed.
        let log = self.log();
        let notable = |line: &&str| !line.contains("\"INFO\"") && !line.contains("\"DEBUG\"");
        let lines: Vec<&str> = log.lines().filter(notable).collect();
        eprintln!("{} said in {}:", self.name, self.log.display());
        for line in &lines[lines.len().saturating_sub(15)..] {
            eprintln!("  {line}");
        }
    }
}

/// How a command of a program ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub printed: String,
    /// What it complained of.
    pub complaint: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Self {
            code: output.status.code(),
            printed: text(&output.stdout),
            complaint: text(&output.stderr),
        }
    }
}

/// Runs a command of a program to its end.
pub(crate) fn run_to_its_end(
    program: &str,
    arguments: &[&str],
    settings: &[(String, String)],
) -> anyhow::Result<Ran> {
    let output = Command::new(path_of(program)?)
        .args(arguments)
        .env_clear()
        .env("LANG", "C.UTF-8")
        .envs(settings.iter().cloned())
        .stdin(Stdio::null())
        .output()?;
    Ok(Ran::of(&output))
}

/// Runs a command of a program to its end and answers what it printed; fails if it does.
pub(crate) fn run(
    program: &str,
    arguments: &[&str],
    settings: &[(String, String)],
) -> anyhow::Result<String> {
    let ran = run_to_its_end(program, arguments, settings)?;
    if ran.code != Some(0) {
        bail!("{program} {}: {}", arguments.join(" "), ran.complaint);
    }
    Ok(ran.printed)
}

/// Where cargo put the program: beside the running one, or in the folder above that of a running test (`target/debug/deps`).
pub(crate) fn path_of(program: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .context("a program without a folder")?;
    let path = folder.join(program);
    if !path.is_file() {
        bail!(
            "{} is not there: run `make test`, or `cargo build --workspace --bins` before the tests",
            path.display()
        );
    }
    Ok(path)
}
