//! Compares `docs/metrics.md` with the metrics that a service exports. For tests of the services.

use std::collections::{BTreeMap, BTreeSet};

/// A metric of the page or of the exported text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    unit: String,
    labels: BTreeSet<String>,
}

/// Lists the differences between the page and a service's exported text; empty if they agree. `text` must have at least one
/// sample of each metric. A row of the page: name, type, unit, labels, services, meaning.
pub fn differences(page: &str, service: &str, text: &str) -> Vec<String> {
    let (listed, exported) = (on_page(page, service), in_text(text));
    let mut faults = Vec::new();
    for (name, metric) in &exported {
        match listed.get(name) {
            None => faults.push(format!(
                "{service} exports {name}, which the page does not list"
            )),
            Some(listed) if listed != metric => {
                faults.push(format!(
                    "{name}: the page says {listed:?}, {service} {metric:?}"
                ));
            }
            Some(_) => {}
        }
    }
    let missing = listed.keys().filter(|name| !exported.contains_key(*name));
    faults.extend(
        missing.map(|name| format!("the page lists {name}, which {service} does not export")),
    );
    faults
}

fn on_page(page: &str, service: &str) -> BTreeMap<String, Metric> {
    let mut metrics = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line
            .trim()
            .trim_start_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        let [name, kind, unit, labels, services, ..] = cells[..] else {
            continue;
        };
        let Some(name) = quoted(name)
            .next()
            .filter(|name| name.starts_with("khata_"))
        else {
            continue;
        };
        if !services
            .split(", ")
            .any(|named| format!("khata-{named}") == service)
        {
            continue;
        }
        let metric = Metric {
            kind: kind.to_owned(),
            unit: unit.to_owned(),
            labels: quoted(labels).map(str::to_owned).collect(),
        };
        metrics.insert(name.to_owned(), metric);
    }
    metrics
}

fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// Names as queries use them: a counter's ends with `_total`, an info's with `_info`.
fn in_text(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let (mut family, mut name) = (String::new(), String::new());
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "TYPE", metric, kind] => {
                metric.clone_into(&mut family);
                name = match kind {
                    "counter" => format!("{metric}_total"),
                    "info" => format!("{metric}_info"),
                    _ => metric.to_owned(),
                };
                kind.clone_into(&mut metrics.entry(name.clone()).or_default().kind);
            }
            ["#", "UNIT", _, unit] => {
                unit.clone_into(&mut metrics.entry(name.clone()).or_default().unit);
            }
            ["#", ..] => {}
            _ if line.starts_with(&family) => {
                // A value may have braces and commas in it: a route's template.
                let labels = line
                    .split_once('{')
                    .filter(|(name, _)| !name.contains(' '))
                    .and_then(|(_, rest)| rest.split_once("\"} "))
                    .map_or("", |(labels, _)| labels);
                let names = labels
                    .split("\",")
                    .filter_map(|label| label.split_once('='))
                    .map(|(label, _)| label.to_owned())
                    .filter(|label| label != "le");
                metrics
                    .entry(name.clone())
                    .or_default()
                    .labels
                    .extend(names);
            }
            _ => {}
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP khata_calls Calls.\n# TYPE khata_calls counter\n\
        khata_calls_total{gateway=\"{CASHFREE}\",class=\"VALID\"} 1\n\
        # HELP khata_wait_seconds Waits.\n# TYPE khata_wait_seconds histogram\n# UNIT khata_wait_seconds seconds\n\
        khata_wait_seconds_count 1\nkhata_wait_seconds_bucket{le=\"1.0\"} 1 # {trace_id=\"ab\"} 0.5\n# EOF\n";

    #[test]
    fn every_difference_is_told() {
        let good = "| `khata_calls_total` | counter |  | `gateway`, `class` | api, worker | calls |\n\
            | `khata_wait_seconds` | histogram | seconds |  | worker | waits |\n";
        assert_eq!(
            differences(good, "khata-worker", TEXT),
            Vec::<String>::new()
        );
        assert_eq!(differences(good, "khata-api", TEXT).len(), 1);
        for (from, to) in [
            ("`khata_calls_total`", "`khata_called_total`"),
            ("counter", "gauge"),
            ("`gateway`, ", ""),
            ("seconds |  |", " |  |"),
            ("seconds |  |", "seconds | `le` |"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert!(
                !differences(&bad, "khata-worker", TEXT).is_empty(),
                "{from}"
            );
        }
        let more = format!("{good}| `khata_more` | gauge |  |  | worker | more |\n");
        assert_eq!(differences(&more, "khata-worker", TEXT).len(), 1);
    }
}
