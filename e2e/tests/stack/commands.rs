//! The commands of `khata`: what each prints, changes and rejects, and that the services apply the changes.

mod accounts;
mod apply;
mod audit;
mod doctor;
mod gateway_changes;
mod gateways;
mod keys;
mod merchants;
mod money;
mod searches;
mod statement;
mod webhooks;

use std::time::Duration;

use anyhow::Result;
use khata_e2e::{Setup, TestStack};
use serde_json::Value;

/// Maximum age of the settings that the services use.
const CACHE_TTL: Duration = Duration::from_secs(5);
/// Additional time for a busy machine.
const SLACK: Duration = Duration::from_secs(2);
/// Patience for a changed setting: several times its maximum age.
const APPLIED: Duration = Duration::from_secs(20);

fn without_workers() -> Setup {
    Setup {
        workers: 0,
        ..Setup::default()
    }
}

/// Runs a command with `--json` and returns its document.
fn document_of(stack: &TestStack, arguments: &[&str]) -> Result<Value> {
    let stdout = stack.command(&[arguments, &["--json"]].concat())?;
    Ok(serde_json::from_str(&stdout)?)
}

/// Asserts that a command fails with this exit code and an error that contains `says`.
fn assert_fails(stack: &TestStack, arguments: &[&str], code: i32, says: &str) -> Result<()> {
    let ran = stack.try_command(arguments)?;
    assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
    assert!(ran.stderr.contains(says), "{arguments:?}: {ran:?}");
    assert!(ran.stdout.is_empty(), "{arguments:?}: {ran:?}");
    Ok(())
}

/// Returns the audit log's rows of these actions, in order: action, subject and detail.
fn audited(stack: &TestStack, actions: &str) -> Result<Vec<Value>> {
    let lines = stack.database.texts(&format!(
        "select jsonb_build_array(action, subject, detail) from audit_log where action like '{actions}' order by id"
    ))?;
    Ok(lines
        .iter()
        .map(|line| serde_json::from_str(line))
        .collect::<Result<_, _>>()?)
}
