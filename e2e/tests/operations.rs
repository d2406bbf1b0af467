//! Compares `docs/operations.md` with the alerts: each alert has a section and a test, and each section an alert. Posts the alerts of
//! a gateway's outage to a real Alertmanager.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use khata_e2e::{Alertmanager, TIMEOUT, eventually};
use serde_json::{Value, json};

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
        let anchor = name.to_lowercase();
        let runbook =
            format!("runbook_url: \"{{{{ $externalLabels.khata_runbook_url }}}}#{anchor}\"\n");
        let dashboard = "dashboard_url: \"{{ $externalLabels.khata_grafana_url }}/d/khata-";
        for (holds, fault) in [
            (lines.contains(&runbook), "has a wrong or no runbook_url"),
            (lines.contains(dashboard), "has no dashboard_url"),
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

/// The rules, the dashboards and the page count the same requests: all calls of the API.
#[test]
fn the_objective_counts_every_call_of_the_api() {
    const SELECTOR: &str = "route=~\"/(";
    let read = |file: &str| std::fs::read_to_string(repository().join(file)).unwrap();
    let rules = all_of("deploy/prometheus/rules");
    let dashboard = read("deploy/grafana/dashboards/overview.json").replace("\\\"", "\"");
    let mut counted = BTreeSet::new();
    for text in [&rules, &dashboard] {
        let selectors = text.split(SELECTOR).skip(1);
        let selected: BTreeSet<_> = selectors
            .map(|rest| rest.split_once(").*\"").unwrap().0)
            .collect();
        assert_eq!(selected.len(), 1, "{selected:?}");
        counted.extend(selected);
    }
    assert_eq!(counted.len(), 1, "{counted:?}");
    let counted: BTreeSet<&str> = counted.iter().flat_map(|all| all.split('|')).collect();
    let document: Value = serde_json::from_str(&read("docs/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap().keys();
    let first = |path: &str| path.split('/').nth(1).unwrap().to_owned();
    let mut called: BTreeSet<String> = paths.map(|path| first(path)).collect();
    assert!(called.remove("health") && called.remove("version"));
    // Only gateways call it: it is not in the merchants' document.
    called.insert("gateways".to_owned());
    let called: BTreeSet<&str> = called.iter().map(String::as_str).collect();
    assert_eq!(counted, called);
    let page = page();
    let objectives = page.split("\n## Objectives\n").nth(1).unwrap();
    let objectives = objectives.split("\n## ").next().unwrap();
    for part in counted {
        assert!(objectives.contains(&format!("`/{part}`")), "{part}");
    }
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

const ALERTMANAGER: &str = "deploy/alertmanager/alertmanager.yaml";

fn alert(name: &str, labels: &[(&str, &str)]) -> Value {
    let name = ("alertname", name);
    let labels: serde_json::Map<String, Value> = [&name]
        .into_iter()
        .chain(labels)
        .map(|(label, value)| ((*label).to_owned(), json!(value)))
        .collect();
    json!({ "labels": labels })
}

/// Returns the alerts of an outage of CASHFREE (deploy/prometheus/tests/gateway_outage.yaml): ten merchants, nine of them without
/// another gateway.
fn outage(namespace: &str) -> Vec<Value> {
    let gateway = [("namespace", namespace), ("gateway", "CASHFREE")];
    let with = |more: &[(&'static str, &'static str)]| [&gateway[..], more].concat();
    let merchants = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let mut alerts = vec![
        alert("KhataGatewayOutage", &with(&[("severity", "critical")])),
        alert("KhataGatewayOutage", &with(&[("severity", "warning")])),
        alert("KhataGatewayIsSlow", &with(&[("severity", "warning")])),
        alert(
            "KhataOldestUnfinished",
            &[gateway[0], ("severity", "warning")],
        ),
    ];
    for (number, merchant) in merchants.into_iter().enumerate() {
        let labels = with(&[("merchant_id", merchant), ("severity", "warning")]);
        alerts.push(alert("KhataGatewayDoesNotRespond", &labels));
        alerts.push(alert("KhataGatewayDown", &labels));
        // As the workers post it.
        alerts.push(alert("KhataGatewayDown", &labels[1..]));
        if number > 0 {
            let labels = with(&[("merchant_id", merchant), ("severity", "critical")]);
            alerts.push(alert("KhataMerchantHasNoGateway", &labels));
        }
    }
    alerts
}

#[tokio::test]
async fn a_gateway_outage_is_one_notification_and_hides_nothing_else() -> Result<()> {
    let alertmanager = Alertmanager::start(&repository().join(ALERTMANAGER)).await?;
    let khata = ("namespace", "khata");
    let others = [
        // Another installation, another gateway, and a merchant whose credentials are wrong.
        alert("KhataOldestUnfinished", &[("namespace", "staging")]),
        alert(
            "KhataGatewayDown",
            &[("namespace", "staging"), ("gateway", "CASHFREE")],
        ),
        alert("KhataGatewayDoesNotRespond", &[khata, ("gateway", "SETU")]),
        alert(
            "KhataMerchantHasNoGateway",
            &[khata, ("merchant_id", "z"), ("severity", "critical")],
        ),
        alert("KhataDeadlineIsNear", &[khata, ("severity", "critical")]),
        alert(
            "KhataPossibleDoubleDrop",
            &[khata, ("gateway", "CASHFREE"), ("severity", "critical")],
        ),
    ];
    let outage = outage("khata");
    assert_eq!(outage.len(), 43);
    alertmanager
        .post(&[&outage[..], &others[..]].concat())
        .await?;
    let notified = eventually(TIMEOUT, "all alerts routed", async || {
        let alerts = alertmanager.alerts().await?;
        let is_routed = |alert: &Value| alert["status"]["state"] != "unprocessed";
        let is_ready = alerts.len() == outage.len() + others.len() && alerts.iter().all(is_routed);
        let notified = alerts
            .into_iter()
            .filter(|alert| alert["status"]["state"] == "active");
        let notified: Vec<Value> = notified.collect();
        // Inhibition begins when the alert of the cause has arrived.
        anyhow::Ok((is_ready && notified.len() <= others.len() + 1).then_some(notified))
    })
    .await?;
    let mut expected = vec![("KhataGatewayOutage", "pager")];
    expected.extend([
        ("KhataDeadlineIsNear", "pager"),
        ("KhataGatewayDoesNotRespond", "operators"),
        ("KhataGatewayDown", "operators"),
        ("KhataMerchantHasNoGateway", "pager"),
        ("KhataOldestUnfinished", "operators"),
        ("KhataPossibleDoubleDrop", "pager"),
    ]);
    expected.sort_unstable();
    let mut found: Vec<(&str, &str)> = notified
        .iter()
        .map(|alert| {
            let receiver = &alert["receivers"][0]["name"];
            (
                alert["labels"]["alertname"].as_str().unwrap(),
                receiver.as_str().unwrap(),
            )
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn alertmanager_inhibits_existing_alerts_only() {
    let rules = all_of("deploy/prometheus/rules");
    let names: Vec<&str> = alerts(&rules).into_iter().map(|(name, _)| name).collect();
    let config = std::fs::read_to_string(repository().join(ALERTMANAGER)).unwrap();
    let lines = config.lines().filter(|line| line.contains("_matchers: "));
    let mut matched = 0;
    for word in
        lines.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '.' && c != '+'))
    {
        if !word.starts_with("Khata") {
            continue;
        }
        matched += 1;
        let found = match word.strip_suffix(".+") {
            Some(start) => names.iter().any(|name| name.starts_with(start)),
            None => names.contains(&word),
        };
        assert!(found, "there is no alert {word}");
    }
    assert!(matched >= 20, "{matched}");
}

#[test]
fn a_service_of_the_local_stack_that_starts_slowly_says_what_to_do() {
    let script = "declare -A READY_WITHIN=([slow]=0)
        . deploy/local/lib/common.sh
        . deploy/local/lib/process.sh
        slow_ready() { false; }
        is_alive() { true; }
        await slow";
    let output = std::process::Command::new("bash")
        .args(["-c", script])
        .current_dir(repository())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(printed.contains("slow is not ready after 0 s"), "{printed}");
    assert!(printed.contains("say 'make up'"), "{printed}");
}

/// Returns the shell blocks of a text, each with the text before it.
fn shell_blocks(text: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((before, block)) = rest.split_once("```sh\n") {
        let (block, after) = block.split_once("```").unwrap();
        blocks.push((before, block));
        rest = after;
    }
    blocks
}

/// Operators of compose and of the local stack paste the same steps.
#[test]
fn every_step_can_be_pasted_in_kubernetes_with_compose_and_locally() {
    let page = page();
    let alerts = page.split("\n## Alerts\n").nth(1).unwrap();
    let alerts = alerts.split("\n## ").next().unwrap();
    let (introduction, sections) = alerts.split_once("\n### ").unwrap();
    let defined = |block: &str| -> BTreeSet<String> {
        let names = block.lines().filter_map(|line| line.split_once("() {"));
        names.map(|(name, _)| name.to_owned()).collect()
    };
    let helpers: Vec<BTreeSet<String>> = shell_blocks(introduction)
        .into_iter()
        .map(|(_, block)| defined(block))
        .filter(|names| !names.is_empty())
        .collect();
    let [kubernetes, managed, compose, mut local] = helpers.try_into().expect("four blocks");
    assert!(managed.is_subset(&kubernetes), "{managed:?}");
    // The programs are on PATH there.
    assert!(local.insert("khata".to_owned()));
    assert_eq!(kubernetes, compose);
    assert_eq!(kubernetes, local);

    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for (before, block) in shell_blocks(sections) {
        let mut above = before.rsplit("\n\n");
        let step = above
            .find(|text| !text.trim().is_empty())
            .unwrap_or_default();
        for line in block.lines() {
            let program = line.split_whitespace().next().unwrap_or_default();
            if program == "kubectl" && !step.contains("Kubernetes") {
                wrong.push(line);
            }
            used.extend(kubernetes.get(program).cloned());
        }
    }
    assert!(wrong.is_empty(), "steps for Kubernetes alone: {wrong:#?}");
    for name in ["healthcheck", "processes", "restart", "logs"] {
        assert!(used.contains(name), "{name} is used by no step");
    }
}
