//! The local stack's scripts, without starting it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Settings of the services that the stack chooses itself.
const OWN: [&str; 11] = [
    "KHATA_AMQP_URL",
    "KHATA_DATABASE_URL",
    "KHATA_KEYRING",
    "KHATA_KEYRING_FILE",
    "KHATA_LISTEN",
    "KHATA_METRICS_LISTEN",
    "KHATA_METRICS_PORT_FILE",
    "KHATA_PORT_FILE",
    "KHATA_QUEUE_PREFIX",
    "KHATA_SANDBOX_MODE",
    "KHATA_WORKER_LISTEN",
];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns which of these variables of the caller the stack passes on to its services.
fn passed_on(variables: &BTreeSet<String>) -> BTreeSet<String> {
    const PRINT: &str =
        r#". <(grep -E '^(NOT_PASSED_ON|mapfile)' "$1"); printf '%s\n' "${TUNING[@]}""#;
    let script = repository().join("deploy/local/lib/khata.sh");
    let mut bash = Command::new("bash");
    bash.args(["-euc", PRINT, "bash"]).arg(script);
    bash.env_clear().env("PATH", "/usr/bin:/bin");
    let output = bash
        .envs(variables.iter().map(|name| (name, "x")))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_suffix("=x"));
    lines.map(str::to_owned).collect()
}

#[test]
fn every_setting_of_a_service_reaches_it() {
    let page = std::fs::read_to_string(repository().join("docs/settings.md")).unwrap();
    let mut settings = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| `KHATA_")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if ["all", "api", "worker"]
            .iter()
            .any(|reader| cells[2].contains(reader))
        {
            settings.insert(cells[1].trim_matches('`').to_owned());
        }
    }
    assert!(settings.len() > 20, "{settings:?}");
    let own = |name: &String| OWN.contains(&name.as_str());
    let expected: BTreeSet<String> = settings.iter().filter(|name| !own(name)).cloned().collect();
    assert_eq!(passed_on(&settings), expected);
}

#[test]
fn the_settings_of_another_stack_reach_no_service() {
    // As `.local/env` of the stack exports them.
    let script = std::fs::read_to_string(repository().join("deploy/local/lib/khata.sh")).unwrap();
    let (_, writer) = script.split_once("\nwrite_env() {").unwrap();
    let (writer, _) = writer.split_once("\n}").unwrap();
    let words = writer.split([' ', '\n', '"']);
    let mut exported: BTreeSet<String> = words
        .filter(|word| word.starts_with("KHATA_") && !word.contains('$'))
        .map(str::to_owned)
        .collect();
    assert!(exported.contains("KHATA_TRACES_URL"), "{exported:?}");
    exported.extend(["KHATA_PID_API", "KHATA_PORT_API", "KHATA_TEST_TOOLS"].map(str::to_owned));
    assert_eq!(passed_on(&exported), BTreeSet::new());
}
