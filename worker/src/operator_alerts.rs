//! Alerts to operators about the present state in Postgres: a gateway that is down, a budget that is used, a webhook endpoint that a rule
//! disabled. The worker posts them to Alertmanager (https://prometheus.io/docs/alerting/latest/alerts_api), or to another receiver of its
//! API version 2.
//!
//! Every worker posts the same alerts: Alertmanager takes alerts with the same labels for one. The worker repeats an alert while it lasts,
//! so that a receiver that was away gets it later, and posts its end. An alert whose workers stop ends by itself.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use khata_config::shutdown::Shutdown;
use khata_crypto::secret_buf;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::clock::DatabaseClock;
use crate::database_metrics::{DatabaseMetrics, Known, account_of};
use crate::metrics::Metrics;

/// Time after which a worker posts alerts again that last. Prometheus does so once a minute.
const REPEAT_INTERVAL: TimeDelta = TimeDelta::seconds(30);
/// Time after its last post at which an alert ends by itself.
const LIFETIME: TimeDelta = TimeDelta::minutes(5);
/// Time for which a gateway must be down, as in the rule for Prometheus.
const DOWN_FOR: TimeDelta = TimeDelta::minutes(2);
/// Used share of a budget from which operators get a warning.
const BUDGET_WARNING: f64 = 0.8;
/// Time-out of a post, including its connection.
const POST_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of alerts in one post.
const MAX_ALERTS: usize = 500;
/// Maximum size of the file with the header's value.
const MAX_AUTHORIZATION: usize = 16 * 1024;

/// Labels of an alert, which identify it: the names of the alert of the same name in `deploy/prometheus/rules`.
type Labels = BTreeMap<&'static str, String>;

/// An alert, as the rows in Postgres describe it.
#[derive(Clone, Debug, PartialEq)]
struct Condition {
    summary: String,
    /// Since when it holds, if the rows have the time.
    since: Option<DateTime<Utc>>,
    /// Time for which it must hold.
    hold: TimeDelta,
}

/// An alert that the receiver gets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Alert {
    summary: String,
    starts_at: DateTime<Utc>,
}

/// The alerts of one worker.
#[derive(Debug, Default)]
struct Alerts {
    /// Since when each condition holds.
    since: BTreeMap<Labels, DateTime<Utc>>,
    firing: BTreeMap<Labels, Alert>,
    /// Alerts that have ended since the last accepted post, with their ends.
    ended: BTreeMap<Labels, (Alert, DateTime<Utc>)>,
}

impl Alerts {
    /// Takes the conditions that hold now. Returns whether an alert begins or ends.
    fn update(&mut self, conditions: BTreeMap<Labels, Condition>, now: DateTime<Utc>) -> bool {
        self.since
            .retain(|labels, _| conditions.contains_key(labels));
        let mut firing = BTreeMap::new();
        for (labels, condition) in conditions {
            let seen = *self.since.entry(labels.clone()).or_insert(now);
            let starts_at = condition.since.unwrap_or(seen).min(now);
            if now - starts_at >= condition.hold {
                let summary = condition.summary;
                firing.insert(labels, Alert { summary, starts_at });
            }
        }
        let before = std::mem::replace(&mut self.firing, firing);
        let has_begun = self
            .firing
            .keys()
            .any(|labels| !before.contains_key(labels));
        let ended = before
            .into_iter()
            .filter(|(labels, _)| !self.firing.contains_key(labels));
        let ended: Vec<_> = ended
            .map(|(labels, alert)| (labels, (alert, now)))
            .collect();
        let has_changed = has_begun || !ended.is_empty();
        self.ended.extend(ended);
        let firing = &self.firing;
        // After its lifetime the receiver has ended it already.
        self.ended.retain(|labels, (_, ended_at)| {
            now - *ended_at < LIFETIME && !firing.contains_key(labels)
        });
        has_changed
    }

    /// Returns the alerts to post, with links into this runbook.
    fn to_post(&self, runbook: &str, now: DateTime<Utc>) -> Vec<Value> {
        let firing = self.firing.iter();
        let firing = firing.map(|(labels, alert)| (labels, alert, now + LIFETIME));
        let ended = self.ended.iter();
        let ended = ended.map(|(labels, (alert, ended_at))| (labels, alert, *ended_at));
        firing
            .chain(ended)
            .map(|(labels, alert, ends_at)| posted(labels, alert, runbook, ends_at))
            .collect()
    }
}

/// Returns an alert as Alertmanager's API takes it.
fn posted(labels: &Labels, alert: &Alert, runbook: &str, ends_at: DateTime<Utc>) -> Value {
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut annotations = json!({ "summary": alert.summary });
    if !runbook.is_empty() {
        let section = labels[ALERT_NAME].to_lowercase();
        annotations["runbook_url"] = format!("{runbook}#{section}").into();
    }
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": time(alert.starts_at),
        "endsAt": time(ends_at),
    })
}

const ALERT_NAME: &str = "alertname";
const ENDPOINT_DISABLED: &str = "KhataWebhookEndpointDisabled";
const GATEWAY_DOWN: &str = "KhataGatewayDown";
const BUDGET_USED: &str = "KhataPennyDropBudget";
const BUDGET_USED_UP: &str = "KhataPennyDropBudgetUsedUp";

fn labels<const N: usize>(
    name: &str,
    severity: &str,
    others: [(&'static str, String); N],
) -> Labels {
    let first = [(ALERT_NAME, name), ("severity", severity)];
    let first = first.map(|(label, value)| (label, value.to_owned()));
    first.into_iter().chain(others).collect()
}

/// Returns the conditions that hold.
fn conditions(known: &Known) -> BTreeMap<Labels, Condition> {
    let mut all = BTreeMap::new();
    for endpoint in &known.disabled_endpoints {
        let (merchant_id, why) = (endpoint.merchant.to_string(), endpoint.disabled_by);
        let name = &endpoint.merchant_name;
        let summary = format!("A webhook endpoint of {name} ({merchant_id}) is disabled ({why})");
        let of = [
            ("why", why.to_string()),
            ("merchant_id", merchant_id),
            ("webhook_endpoint_id", endpoint.id.to_string()),
        ];
        let condition = Condition {
            summary,
            since: Some(endpoint.disabled_at),
            hold: TimeDelta::zero(),
        };
        all.insert(labels(ENDPOINT_DISABLED, "warning", of), condition);
    }
    for status in known.gateways.iter().filter(|status| status.is_down) {
        let account = account_of(status);
        let summary = format!(
            "{} is down on {} of {} ({})",
            account.gateway, account.gateway_account, status.merchant_name, account.merchant_id
        );
        let of = [
            ("merchant_id", account.merchant_id),
            ("gateway", account.gateway.to_owned()),
            ("gateway_account", account.gateway_account),
        ];
        let condition = Condition {
            summary,
            since: None,
            hold: DOWN_FOR,
        };
        all.insert(labels(GATEWAY_DOWN, "warning", of), condition);
    }
    for budget in &known.budgets {
        let merchant_id = budget.merchant.to_string();
        for (alert, severity, from) in [
            (BUDGET_USED, "warning", BUDGET_WARNING),
            (BUDGET_USED_UP, "critical", 1.0),
        ] {
            if budget.used_share >= from {
                let used = (budget.used_share * 100.0).floor();
                let merchant = &budget.merchant_name;
                let condition = Condition {
                    summary: format!(
                        "{merchant} ({merchant_id}) has used {used}% of its penny drops of the day"
                    ),
                    since: None,
                    hold: TimeDelta::zero(),
                };
                let of = [("merchant_id", merchant_id.clone())];
                all.insert(labels(alert, severity, of), condition);
            }
        }
    }
    all
}

/// Where the alerts go.
#[derive(Clone, Debug)]
pub(crate) struct AlertReceiver {
    http: reqwest::Client,
    url: Url,
    /// Address of the runbook, with a section for each alert; empty: alerts have no link.
    runbook: String,
    /// File with the value of the header `authorization`; read for each post, because the value may expire.
    authorization_file: Option<PathBuf>,
}

impl AlertReceiver {
    pub(crate) fn new(
        http: reqwest::Client,
        url: &str,
        runbook: &str,
        authorization_file: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let url = Url::parse(url).ok().filter(|url| {
            matches!(url.scheme(), "https" | "http")
                && url.username().is_empty()
                && url.password().is_none()
        });
        let url = url.context(
            "KHATA_OPERATOR_ALERTS_URL must begin with https:// or http:// and hold no user and no password; credentials come from \
             the file KHATA_OPERATOR_ALERTS_AUTHORIZATION_FILE",
        )?;
        Ok(Self {
            http,
            url,
            runbook: runbook.trim().to_owned(),
            authorization_file,
        })
    }

    async fn post(&self, alerts: &[Value]) -> anyhow::Result<()> {
        for alerts in alerts.chunks(MAX_ALERTS) {
            let request = self.http.post(self.url.clone()).timeout(POST_TIMEOUT);
            let request = request
                .header(CONTENT_TYPE, "application/json")
                .body(serde_json::to_vec(alerts)?);
            let request = match &self.authorization_file {
                None => request,
                Some(path) => request.header(AUTHORIZATION, authorization(path)?),
            };
            let response = request.send().await.map_err(reqwest::Error::without_url)?;
            let status = response.status();
            ensure!(
                status.is_success(),
                "the receiver replied with status {status}"
            );
        }
        Ok(())
    }
}

/// Reads the value of the header `authorization`.
fn authorization(path: &Path) -> anyhow::Result<HeaderValue> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let bytes = secret_buf::read(file, MAX_AUTHORIZATION)?;
    let bytes = bytes.context("the authorization file is longer than 16 KiB")?;
    // Editors and `echo` end the file with a line break.
    let mut value = HeaderValue::from_bytes(bytes.trim_ascii())
        .context("the authorization file must hold one line: the value of the header")?;
    value.set_sensitive(true);
    Ok(value)
}

/// Posts alerts until shut down.
pub(crate) struct OperatorAlerts {
    pub(crate) receiver: AlertReceiver,
    pub(crate) rows: Arc<DatabaseMetrics>,
    pub(crate) clock: Arc<DatabaseClock>,
    pub(crate) metrics: Arc<Metrics>,
}

impl OperatorAlerts {
    pub(crate) async fn run(self, mut shutdown: Shutdown) {
        let mut alerts = Alerts::default();
        let (mut has_failed, mut posted_at) = (false, DateTime::UNIX_EPOCH);
        loop {
            tokio::select! {
                () = shutdown.raised() => return,
                () = self.rows.read_again() => {}
            }
            let now = self.clock.now();
            // Without Postgres the alerts stay as they are.
            let conditions = self.rows.recent(conditions);
            let has_changed = conditions.is_some_and(|conditions| alerts.update(conditions, now));
            let is_due = has_changed || has_failed || now - posted_at >= REPEAT_INTERVAL;
            let post = alerts.to_post(&self.receiver.runbook, now);
            if post.is_empty() || !is_due {
                continue;
            }
            let posted = tokio::select! {
                () = shutdown.raised() => return,
                posted = self.receiver.post(&post) => posted,
            };
            self.metrics.alerts_posted(posted.is_ok());
            match &posted {
                Ok(()) => {
                    alerts.ended.clear();
                    posted_at = now;
                    if has_failed {
                        info!("operator alerts posted again");
                    }
                }
                Err(failure) if !has_failed => {
                    warn!(
                        error = format!("{failure:#}"),
                        "operator alerts not posted; retrying"
                    );
                }
                Err(_) => {}
            }
            has_failed = posted.is_err();
        }
    }
}

#[cfg(test)]
mod tests {
    use khata_domain::MerchantId;

    use super::*;
    use crate::database_metrics::tests::example;

    fn time(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn one(hold: i64, since: Option<i64>) -> BTreeMap<Labels, Condition> {
        let condition = Condition {
            summary: "something".to_owned(),
            since: since.map(time),
            hold: TimeDelta::seconds(hold),
        };
        BTreeMap::from([(labels("KhataExample", "warning", []), condition)])
    }

    /// The end of each posted alert, in seconds.
    fn ends(alerts: &Alerts, now: i64) -> Vec<i64> {
        let end = |alert: &Value| {
            let end = alert["endsAt"].as_str().unwrap();
            (DateTime::parse_from_rfc3339(end).unwrap().to_utc() - time(0)).num_seconds()
        };
        alerts.to_post("", time(now)).iter().map(end).collect()
    }

    #[test]
    fn an_alert_fires_while_its_condition_holds_and_then_ends() {
        let mut alerts = Alerts::default();
        assert!(alerts.update(one(0, None), time(0)));
        assert_eq!(ends(&alerts, 0), [300]);
        assert!(!alerts.update(one(0, None), time(15)));
        assert_eq!(ends(&alerts, 15), [315]);
        assert_eq!(
            alerts.to_post("", time(15))[0]["startsAt"],
            "2027-01-15T08:00:00.000Z"
        );
        assert!(alerts.update(BTreeMap::new(), time(30)));
        assert_eq!(ends(&alerts, 30), [30]);
        // The post of the end failed: it is repeated, until the receiver has ended the alert by itself.
        assert!(!alerts.update(BTreeMap::new(), time(60)));
        assert_eq!(ends(&alerts, 60), [30]);
        alerts.update(BTreeMap::new(), time(330));
        assert_eq!(alerts.to_post("", time(330)), [] as [Value; 0]);
    }

    #[test]
    fn an_alert_that_fires_again_has_no_end() {
        let mut alerts = Alerts::default();
        alerts.update(one(0, None), time(0));
        alerts.update(BTreeMap::new(), time(15));
        assert!(alerts.update(one(0, None), time(30)));
        assert_eq!(ends(&alerts, 30), [330]);
    }

    #[test]
    fn a_condition_must_hold_for_its_time() {
        let mut alerts = Alerts::default();
        assert!(!alerts.update(one(120, None), time(0)));
        assert!(!alerts.update(one(120, None), time(119)));
        assert!(!alerts.update(BTreeMap::new(), time(120)));
        assert!(!alerts.update(one(120, None), time(121)));
        assert!(alerts.update(one(120, None), time(241)));
        let mut later = Alerts::default();
        assert!(
            later.update(one(120, Some(-120)), time(0)),
            "the rows have the time"
        );
    }

    #[test]
    fn rows_become_alerts_with_the_names_and_labels_of_the_prometheus_rules() {
        let all = example().recent(conditions).unwrap();
        let names: Vec<&str> = all
            .keys()
            .map(|labels| labels[ALERT_NAME].as_str())
            .collect();
        assert_eq!(
            names,
            [GATEWAY_DOWN, BUDGET_USED, BUDGET_USED_UP, ENDPOINT_DISABLED]
        );
        let rules = concat!(
            include_str!("../../deploy/prometheus/rules/khata.yaml"),
            include_str!("../../deploy/prometheus/rules/symptoms.yaml")
        );
        for (labels, condition) in &all {
            let name = &labels[ALERT_NAME];
            let rule = rules
                .split("- alert: ")
                .find(|rule| rule.starts_with(&format!("{name}\n")));
            let rule = rule.unwrap_or_else(|| panic!("no rule {name}"));
            let severity = format!("severity: {} ", labels["severity"]);
            assert!(rule.contains(&severity), "{name}: {severity}");
            let grouped = rule
                .split_once(" by (")
                .unwrap()
                .1
                .split_once(')')
                .unwrap()
                .0;
            // Prometheus knows where it found a worker.
            let here = ["cluster", "namespace"];
            for label in grouped.split(", ").filter(|label| !here.contains(label)) {
                assert!(labels.contains_key(label), "{name} has no label {label}");
            }
            if condition.hold > TimeDelta::zero() {
                assert!(rule.contains("for: 2m\n"), "{name}");
            }
        }
        let summaries: Vec<&str> = all
            .values()
            .map(|condition| condition.summary.as_str())
            .collect();
        let merchant = MerchantId(uuid::Uuid::nil());
        let down = format!("CASHFREE is down on down of shop ({merchant})");
        assert_eq!(summaries[0], down);
        let used = format!("shop ({merchant}) has used 100% of its penny drops of the day");
        assert_eq!(summaries[1..3], [used.as_str(); 2]);
    }

    #[test]
    fn an_address_holds_no_credentials() {
        let http = khata_gateways::client().unwrap();
        let receiver = |url: &str| AlertReceiver::new(http.clone(), url, "", None).is_ok();
        assert!(receiver("http://alertmanager:9093/api/v2/alerts"));
        assert!(receiver("https://alerts.example/api/v2/alerts"));
        for url in [
            "",
            "alertmanager:9093",
            "ftp://alerts.example/",
            "https://user:secret@alerts.example/",
        ] {
            assert!(!receiver(url), "{url}");
        }
    }
}
