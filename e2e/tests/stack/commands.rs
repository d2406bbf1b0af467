//! The commands of `khata-api`: what each prints, changes and refuses, and that the services follow.

mod accounts;
mod gateways;
mod keys;
mod merchants;

use std::time::Duration;

use anyhow::Result;
use khata_e2e::{Setup, World};
use serde_json::Value;

/// What the services may know of a change no longer.
const FRESH: Duration = Duration::from_secs(5);
/// For a busy machine.
const SLACK: Duration = Duration::from_secs(2);

fn without_workers() -> Setup {
    Setup {
        workers: 0,
        ..Setup::default()
    }
}

/// Runs a command with `--json` and answers its document.
fn told(world: &World, arguments: &[&str]) -> Result<Value> {
    let printed = world.command(&[arguments, &["--json"]].concat())?;
    Ok(serde_json::from_str(&printed)?)
}

/// Asserts that a command fails with this exit code and says so.
fn assert_refused(world: &World, arguments: &[&str], code: i32, says: &str) -> Result<()> {
    let ran = world.try_command(arguments)?;
    assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
    assert!(ran.complaint.contains(says), "{arguments:?}: {ran:?}");
    assert!(ran.printed.is_empty(), "{arguments:?}: {ran:?}");
    Ok(())
}

/// The audit log's lines of these actions: action and detail, in order.
fn audited(world: &World, actions: &str) -> Result<Vec<Value>> {
    let lines = world.database.texts(&format!(
        "select jsonb_build_array(action, subject, detail) from audit_log where action like '{actions}' order by id"
    ))?;
    Ok(lines
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect::<Result<_, _>>()?)
}
