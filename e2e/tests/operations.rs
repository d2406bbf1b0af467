//! Compares `docs/operations.md` with the alerts: each alert has a section and a test, and each section an alert.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Minimum number of alerts: fewer would mean that the test does not find the files.
const AT_LEAST: usize = 20;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the text of all YAML files in a folder.
fn all_of(folder: &str) -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir(repository().join(folder))
        .expect(folder)
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    let texts: Vec<String> = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    texts.concat()
}

fn page() -> String {
    std::fs::read_to_string(repository().join("docs/operations.md")).unwrap()
}

/// Returns each alert with its lines.
fn alerts(rules: &str) -> Vec<(&str, &str)> {
    rules
        .split("- alert: ")
        .skip(1)
        .map(|rule| rule.split_once('\n').unwrap())
        .collect()
}

#[test]
fn each_alert_has_a_runbook_and_a_test() {
    let (rules, tests, page) = (
        all_of("deploy/prometheus/rules"),
        all_of("deploy/prometheus/tests"),
        page(),
    );
    let mut names = BTreeSet::new();
    let mut faults = Vec::new();
    for (name, lines) in alerts(&rules) {
        names.insert(name);
        let runbook = format!("runbook_url: docs/operations.md#{}\n", name.to_lowercase());
        for (holds, fault) in [
            (lines.contains(&runbook), "has a wrong or no runbook_url"),
            (lines.contains("labels: { severity: "), "has no severity"),
            (lines.contains("summary: "), "has no summary"),
            (lines.contains("description: "), "has no description"),
            (
                page.contains(&format!("\n### {name}\n")),
                "has no section in docs/operations.md",
            ),
            (
                tests.contains(&format!("alertname: {name}\n        exp_alerts:\n")),
                "fires in no test",
            ),
            (
                tests.contains(&format!("alertname: {name}, exp_alerts: [] }}"))
                    || tests.contains(&format!("alertname: {name}\n        exp_alerts: []")),
                "is silent in no test",
            ),
        ] {
            if !holds {
                faults.push(format!("{name} {fault}"));
            }
        }
    }
    let sections = page.lines().filter_map(|line| {
        line.strip_prefix("### ")
            .filter(|name| name.starts_with("Khata"))
    });
    for section in sections.filter(|section| !names.contains(section)) {
        faults.push(format!(
            "docs/operations.md has a section {section}, which is no alert"
        ));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(names.len() >= AT_LEAST, "{names:?}");
}

#[test]
fn each_runbook_section_has_its_parts() {
    let page = page();
    let alerts = page.split("\n## Alerts\n").nth(1).unwrap();
    let alerts = alerts.split("\n## ").next().unwrap();
    for section in alerts.split("\n### ").skip(1) {
        let name = section.lines().next().unwrap();
        for part in ["**Means**", "**Do"] {
            let is_there = section.contains(part) || section.contains("and **do**");
            assert!(is_there, "{name} has no {part}");
        }
    }
}
