//! Dashboards: every metric and label of a query is listed in `docs/metrics.md`, and every query returns data from a
//! Prometheus that scrapes the real services under a little traffic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use khata_e2e::{Prometheus, Setup, TIMEOUT, TestStack, eventually};
use serde_json::{Value, json};

/// Minimum number of queries: fewer would mean that the test does not find the dashboards.
const QUERIES: usize = 60;
/// Series of Prometheus itself that queries may read.
const SERIES_OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];
/// Variables of every dashboard, in this order: the kinds of data sources, then the scope of every query.
const VARIABLES: [&str; 5] = ["datasource", "tempo", "loki", "cluster", "namespace"];
/// Labels that Prometheus gives to every series, or that a query takes as empty.
const LABELS_OF_PROMETHEUS: [&str; 4] = ["instance", "job", "cluster", "namespace"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One query of a panel.
#[derive(Clone, Debug)]
struct Query {
    panel: String,
    text: String,
}

fn dashboards() -> Vec<Value> {
    let folder = repository().join("deploy/grafana/dashboards");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
        .collect()
}

/// Returns the members of a list in each dashboard, each with a name for messages.
fn members<'a>(
    dashboards: &'a [Value],
    list: &'a str,
    name: &'a str,
) -> impl Iterator<Item = (String, &'a Value)> {
    dashboards.iter().flat_map(move |dashboard| {
        let members = dashboard.pointer(list).unwrap().as_array().unwrap().iter();
        members.map(move |member| (format!("{}, {}", dashboard["title"], member[name]), member))
    })
}

/// Returns the panels with queries.
fn panels(dashboards: &[Value]) -> impl Iterator<Item = (String, &Value)> {
    members(dashboards, "/panels", "title").filter(|(_, panel)| panel["type"] != "row")
}

/// Returns the queries of panels, variables and annotations.
fn queries(dashboards: &[Value]) -> Vec<Query> {
    let mut queries = Vec::new();
    for (panel, content) in panels(dashboards) {
        for target in content["targets"].as_array().unwrap() {
            let text = target["expr"].as_str().unwrap().to_owned();
            let panel = panel.clone();
            queries.push(Query { panel, text });
        }
    }
    for (panel, variable) in members(dashboards, "/templating/list", "name") {
        if variable["type"] == "query" {
            let text = of_variable(variable["definition"].as_str().unwrap());
            queries.push(Query { panel, text });
        }
    }
    for (panel, annotation) in members(dashboards, "/annotations/list", "name") {
        // Most often no alert fires.
        let text = format!(
            "{} or on () vector(0)",
            annotation["expr"].as_str().unwrap()
        );
        queries.push(Query { panel, text });
    }
    queries
}

/// Returns the query of Prometheus for a variable's `label_values(…, label)` or `query_result(…)`.
fn of_variable(definition: &str) -> String {
    let inner = |function: &str| definition.strip_prefix(function)?.strip_suffix(')');
    if let Some(query) = inner("query_result(") {
        return query.to_owned();
    }
    let (series, label) = inner("label_values(").unwrap().rsplit_once(", ").unwrap();
    format!("count by ({label}) ({series})")
}

/// The metrics that the page lists, with their labels by the names that queries use.
fn listed() -> BTreeMap<String, BTreeSet<String>> {
    let page = std::fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let mut metrics = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, name, kind, _, labels, ..] = cells[..] else {
            continue;
        };
        let Some(name) = quoted(name).pop().filter(|name| name.starts_with("khata_")) else {
            continue;
        };
        let labels: BTreeSet<String> = quoted(labels).into_iter().collect();
        if kind == "histogram" {
            for part in ["sum", "count"] {
                metrics.insert(format!("{name}_{part}"), labels.clone());
            }
            let mut labels = labels;
            labels.insert("le".to_owned());
            metrics.insert(format!("{name}_bucket"), labels);
        } else {
            metrics.insert(name, labels);
        }
    }
    metrics
}

/// Returns the metrics in a query, each with the labels of its selector.
fn selected(query: &str) -> Vec<(String, BTreeSet<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find("khata_") {
        let name: String = rest[start..].chars().take_while(|c| is_name(*c)).collect();
        rest = &rest[start + name.len()..];
        let mut labels = BTreeSet::new();
        // A label's value may contain braces: the selector ends after a quotation mark.
        if let Some(selector) = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split_once("\"}"))
        {
            for matcher in selector.0.split("\", ") {
                let label: String = matcher.chars().take_while(|c| is_name(*c)).collect();
                labels.insert(label);
            }
        }
        found.push((name, labels));
    }
    found
}

/// Returns the labels that the parts of a query group by.
fn grouped(query: &str) -> BTreeSet<String> {
    query
        .split(" by (")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .flat_map(|(labels, _)| labels.split(", ").map(str::to_owned))
        .collect()
}

#[test]
fn every_query_uses_listed_metrics() {
    let (dashboards, listed) = (dashboards(), listed());
    let queries = queries(&dashboards);
    assert!(queries.len() >= QUERIES, "{} queries", queries.len());
    let mut faults = Vec::new();
    let mut asked_for = BTreeSet::new();
    for query in &queries {
        let selected = selected(&query.text);
        let foreign: BTreeSet<String> = LABELS_OF_PROMETHEUS.map(str::to_owned).into();
        let mut known = foreign.clone();
        for (name, labels) in &selected {
            asked_for.insert(name.clone());
            let Some(has) = listed.get(name) else {
                faults.push(format!("{}: there is no metric {name}", query.panel));
                continue;
            };
            known.extend(has.iter().cloned());
            for label in labels
                .difference(has)
                .filter(|label| !foreign.contains(*label))
            {
                faults.push(format!("{}: {name} has no label {label}", query.panel));
            }
        }
        let is_foreign = SERIES_OF_PROMETHEUS
            .iter()
            .any(|name| query.text.contains(&format!("{name}{{")));
        // An alert has the labels of its rule.
        for label in grouped(&query.text)
            .difference(&known)
            .filter(|_| !is_foreign)
        {
            faults.push(format!("{}: nothing has the label {label}", query.panel));
        }
        if selected.is_empty() && !is_foreign {
            faults.push(format!("{}: asks for nothing: {}", query.panel, query.text));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    // Every listed metric is used.
    let unseen: Vec<_> = listed
        .keys()
        .filter(|name| !name.ends_with("_sum") && !name.ends_with("_count"))
        .filter(|name| !name.contains("_batch_size_"))
        .filter(|name| !asked_for.contains(*name))
        .collect();
    assert!(unseen.is_empty(), "on no dashboard: {unseen:?}");
}

#[test]
fn every_panel_is_described_and_the_runbook_names_existing_panels() {
    let dashboards = dashboards();
    assert_eq!(dashboards.len(), 4);
    let mut titles = BTreeSet::new();
    for (name, panel) in panels(&dashboards) {
        let title = panel["title"].as_str().unwrap();
        assert!(!title.is_empty() && !title.ends_with('?'), "{name}");
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{name}");
        assert!(
            !panel["fieldConfig"]["defaults"]["unit"].is_null(),
            "{name} has no unit"
        );
        titles.insert(title.to_owned());
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}");
    }
    for dashboard in &dashboards {
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        let variables: Vec<_> = variables.iter().map(|variable| &variable["name"]).collect();
        assert_eq!(
            variables[..VARIABLES.len()],
            VARIABLES,
            "{}",
            dashboard["title"]
        );
        assert_eq!(dashboard["annotations"]["list"][0]["name"], "Deployments");
    }
    let runbook = std::fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    // The runbook names a panel as *Dashboard*, "Title", with any white space between the two.
    let runbook = runbook.split_whitespace().collect::<Vec<_>>().join(" ");
    let named: Vec<&str> = runbook
        .split("*, \"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(named.len() >= 5, "{named:?}");
    for title in named {
        assert!(
            titles.contains(title),
            "the runbook names a panel that does not exist: {title}"
        );
    }
}

#[test]
fn every_query_reads_the_selected_clusters_and_namespaces_only() {
    for query in queries(&dashboards()) {
        // The two variables themselves.
        let is_scope = query.text.starts_with("count by (cluster)")
            || query.text.starts_with("count by (namespace)");
        for (name, labels) in selected(&query.text) {
            let is_scoped = ["cluster", "namespace"]
                .iter()
                .all(|label| labels.contains(*label));
            assert!(
                is_scope || is_scoped,
                "{}: {name}: {}",
                query.panel,
                query.text
            );
        }
    }
}

#[test]
fn every_link_leads_to_an_existing_dashboard() {
    let dashboards = dashboards();
    let names: BTreeSet<_> = dashboards
        .iter()
        .map(|each| each["uid"].as_str().unwrap())
        .collect();
    let mut texts: Vec<String> = dashboards.iter().map(Value::to_string).collect();
    for file in ["khata.yaml", "symptoms.yaml"] {
        let rules = repository().join("deploy/prometheus/rules").join(file);
        texts.push(std::fs::read_to_string(rules).unwrap());
    }
    for text in texts {
        let links: Vec<&str> = text.split("/d/").skip(1).collect();
        assert!(!links.is_empty());
        for link in links {
            let name = link.split(['?', '"']).next().unwrap();
            assert!(names.contains(name), "{name}");
        }
    }
}

/// Encoded as in an address; Grafana replaces the two variables.
#[test]
fn every_link_to_a_search_keeps_the_dashboards_time() {
    const TIME: &str = "%22range%22%3A%7B%22from%22%3A%22$__from%22%2C%22to%22%3A%22$__to%22%7D";
    let mut searches = 0;
    for dashboard in dashboards() {
        let text = dashboard.to_string();
        for link in text.split("/explore?").skip(1) {
            let link = link.split('"').next().unwrap();
            assert!(link.contains(TIME), "{}: {link}", dashboard["title"]);
            searches += 1;
        }
    }
    assert!(searches >= 10, "{searches} links were found");
}

#[test]
fn a_query_is_parsed() {
    let query =
        "sum by (route, le) (rate(khata_a_total{route=~\"/(x|{y})\", code=\"5\"}[5m])) / khata_b";
    let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        selected(query),
        [
            ("khata_a_total".to_owned(), labels(&["route", "code"])),
            ("khata_b".to_owned(), BTreeSet::new())
        ]
    );
    assert_eq!(grouped(query), labels(&["route", "le"]));
    assert_eq!(
        of_variable("label_values(khata_a{b=\"c\"}, d)"),
        "count by (d) (khata_a{b=\"c\"})"
    );
    assert_eq!(
        of_variable("query_result(max by (a, b) (c))"),
        "max by (a, b) (c)"
    );
}

/// Posts valid and invalid accounts of one customer, and repeats a call.
async fn traffic(stack: &TestStack, round: usize) -> Result<()> {
    let customer = format!("dashboard_{round}");
    let item = |number: String, ifsc: &str| json!({"account_number": number, "ifsc": ifsc});
    let items: Vec<Value> = (0..5)
        .map(|n| item(format!("7{round:04}{n:04}"), "AABF0008032"))
        .chain([item("026291800001190".to_owned(), "YESB0000262")])
        .collect();
    let body = json!({ "bank_account_details": items });
    stack.api.create_json(&customer, &body).await?.accounts()?;
    for _ in 0..2 {
        let again = stack.api.creation(&customer).json(&body);
        let again = again.header("idempotency-key", format!("round-{round}"));
        stack.api.send(again).await?.expect_status(200)?;
    }
    stack.api.list(&customer, "").await?.expect_status(200)?;
    Ok(())
}

/// Returns a query with values for Grafana's macros and variables.
fn filled(query: &str, merchant: &str) -> String {
    query
        .replace("$__rate_interval", "15s")
        .replace("$__range", "5m")
        .replace("$merchant", merchant)
        .replace("$gateway", ".*")
        .replace("$cluster", ".*")
        .replace("$namespace", ".*")
}

/// Returns whether a value is a number.
fn has_data(result: &[Value]) -> bool {
    result.iter().any(|series| {
        let value = series["value"][1].as_str();
        value.is_some_and(|value| value.parse::<f64>().is_ok_and(f64::is_finite))
    })
}

#[tokio::test]
async fn every_query_runs_on_a_real_prometheus() -> Result<()> {
    let stack = TestStack::start(Setup {
        traces: true,
        ..Setup::default()
    })
    .await?;
    let prometheus = Prometheus::start(
        stack.folder(),
        &[
            ("khata-api", &stack.apis[0].metrics),
            ("khata-worker", &stack.workers[0].metrics),
        ],
        &repository().join("deploy/prometheus/rules"),
    )
    .await?;
    let merchant = eventually(
        TIMEOUT,
        "the merchant's name among the metrics",
        async || {
            let info = prometheus
                .query("khata_merchant_info{name=\"e2e\"}")
                .await?;
            let id = info
                .first()
                .and_then(|info| info["metric"]["merchant_id"].as_str());
            anyhow::Ok(id.map(str::to_owned))
        },
    )
    .await?;
    let queries = queries(&dashboards());
    let mut left: Vec<Query> = queries.clone();
    let end = std::time::Instant::now() + 2 * TIMEOUT;
    let mut round = 0;
    // With continuous traffic, so that rates are not zero.
    while !left.is_empty() && std::time::Instant::now() < end {
        traffic(&stack, round).await?;
        round += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
        if round % 8 != 0 {
            continue;
        }
        let mut without = Vec::new();
        for query in left {
            let text = filled(&query.text, &merchant);
            if !has_data(&prometheus.query(&text).await?) {
                without.push(query);
            }
        }
        left = without;
    }
    assert!(left.is_empty(), "no data after {round} rounds: {left:#?}");
    assert!(queries.len() >= QUERIES);

    // An exemplar of a latency leads to an existing trace.
    let latencies = "khata_http_request_duration_seconds_bucket";
    let trace = eventually(TIMEOUT, "an exemplar", async || {
        let exemplars = prometheus.exemplars(latencies).await?;
        let trace = exemplars
            .last()
            .and_then(|found| found["labels"]["trace_id"].as_str());
        anyhow::Ok(trace.map(str::to_owned))
    })
    .await?;
    stack
        .traces()?
        .wait_for(&trace, TIMEOUT, |trace| !trace.spans.is_empty())
        .await?;

    // Prometheus evaluates the rules, and a healthy stack fires no critical alert.
    let rules = eventually(TIMEOUT, "every rule evaluated", async || {
        let rules = prometheus.rules().await?;
        let all = rules.iter().all(|rule| rule["health"] == "ok");
        anyhow::Ok((all && !rules.is_empty()).then_some(rules))
    })
    .await?;
    for rule in rules
        .iter()
        .filter(|rule| rule["labels"]["severity"] == "critical")
    {
        assert_ne!(
            rule["state"], "firing",
            "{}: {}",
            rule["name"], rule["alerts"]
        );
    }
    Ok(())
}
