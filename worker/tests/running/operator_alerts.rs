//! Alerts to operators, at a receiver in the test's process and at the real Alertmanager.

use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use khata_domain::events::EndpointKey;
use khata_webhooks::WebhookSecret;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::receiver::{Received, Receiver};
use crate::workshop::{Start, Workshop};

/// A worker reads the rows every 15 s.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A merchant with an endpoint that a rule disabled a moment ago, and no penny drop left.
fn with_conditions() -> (Workshop, EndpointKey) {
    khata_testing::avoid_midnight();
    let mut workshop = Workshop::new();
    let secret = WebhookSecret::generate_symmetric();
    let endpoint = workshop.add_endpoint("https://shop.example/hooks", &secret, |_| {});
    workshop
        .connection
        .batch_execute(
            "update webhook_endpoints set disabled_at = now() - interval '1 min', disabled_by = 'GONE';
             update merchants set penny_drops_per_day = 1;
             insert into penny_drop_counts (merchant_id, day, slot, drops)
             select id, (now() at time zone 'Asia/Kolkata')::date, 0, 1 from merchants",
        )
        .unwrap();
    (workshop, endpoint)
}

/// Ends all of it.
fn repair(workshop: &mut Workshop) {
    workshop
        .connection
        .batch_execute(
            "update webhook_endpoints set disabled_at = null, disabled_by = null;
             update merchants set penny_drops_per_day = 10",
        )
        .unwrap();
}

fn names(alerts: &[Value]) -> Vec<&str> {
    let names = alerts.iter().map(|alert| &alert["labels"]["alertname"]);
    let mut names: Vec<&str> = names.map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

const ALL: [&str; 3] = [
    "KhataPennyDropBudget",
    "KhataPennyDropBudgetUsedUp",
    "KhataWebhookEndpointDisabled",
];

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// The posts of a receiver.
fn posts(receiver: &Receiver) -> Vec<(Received, Vec<Value>)> {
    let post = |post: Received| {
        let alerts = post.json().as_array().unwrap().clone();
        (post, alerts)
    };
    receiver.all().into_iter().map(post).collect()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_posted_until_a_receiver_accepts_them_and_again_at_their_end() {
    let (mut workshop, endpoint) = with_conditions();
    let receiver =
        Receiver::start(|number, _| (if number == 0 { 503 } else { 200 }, Duration::ZERO));
    let file = std::env::temp_dir().join(format!("khata-test-{}", uuid::Uuid::new_v4()));
    std::fs::write(&file, "Bearer open-sesame\n").unwrap();
    let start = Start {
        settings: &[
            "--operator-alerts-url",
            &receiver.url,
            "--runbook-url",
            "https://khata.example.com/docs/operations.md",
            "--operator-alerts-authorization-file",
            file.to_str().unwrap(),
        ],
        ..Start::default()
    };
    let worker = workshop.worker_with(start).await;
    until("the post is repeated", async || posts(&receiver).len() >= 2).await;
    for (post, alerts) in posts(&receiver) {
        assert_eq!(names(&alerts), ALL);
        assert_eq!(post.header("authorization"), "Bearer open-sesame");
        assert_eq!(post.header("content-type"), "application/json");
        for alert in &alerts {
            let (start, end) = (time(&alert["startsAt"]), time(&alert["endsAt"]));
            assert!(start <= Utc::now() && end > Utc::now(), "{alert}");
            let name = alert["labels"]["alertname"]
                .as_str()
                .unwrap()
                .to_lowercase();
            let page = format!("https://khata.example.com/docs/operations.md#{name}");
            assert_eq!(alert["annotations"]["runbook_url"], page);
        }
    }
    let (_, alerts) = posts(&receiver).remove(1);
    let disabled = alerts
        .iter()
        .find(|alert| alert["labels"]["alertname"] == ALL[2])
        .unwrap();
    for (label, value) in [
        ("severity", "warning".to_owned()),
        ("why", "GONE".to_owned()),
        ("merchant_id", endpoint.merchant.to_string()),
        ("webhook_endpoint_id", endpoint.id.to_string()),
    ] {
        assert_eq!(disabled["labels"][label], value, "{disabled}");
    }
    repair(&mut workshop);
    // In one post or in several: the worker reads endpoints and budgets one after the other.
    until("the ends are posted", async || {
        let posts = posts(&receiver);
        let alerts = posts.iter().flat_map(|(_, alerts)| alerts);
        let ended: Vec<Value> = alerts
            .filter(|alert| time(&alert["endsAt"]) <= Utc::now())
            .cloned()
            .collect();
        ALL.iter().all(|name| names(&ended).contains(name))
    })
    .await;
    for result in ["accepted", "failed"] {
        let metric = format!("khata_operator_alert_posts_total{{result=\"{result}\"}}");
        assert!(worker.metric(&metric).await.unwrap() >= 1.0, "{result}");
    }
    worker.stop().await;
    std::fs::remove_file(&file).unwrap();
}

/// A running Alertmanager.
struct Alertmanager {
    url: String,
    folder: std::path::PathBuf,
    _process: Child,
}

impl Alertmanager {
    async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("khata-test-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let config = folder.join("alertmanager.yaml");
        std::fs::write(
            &config,
            "{ route: { receiver: none }, receivers: [{ name: none }] }",
        )
        .unwrap();
        let mut process = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.display()))
            .args([
                "--web.listen-address=127.0.0.1:0",
                "--cluster.listen-address=",
            ])
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus-alertmanager is missing; say: e2e/tools.sh");
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("it listens");
            if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                break address.to_owned();
            }
        };
        // A full pipe would block Alertmanager.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            url: format!("http://{address}/api/v2/alerts"),
            folder,
            _process: process,
        }
    }

    /// Returns the alerts that have not ended.
    async fn alerts(&self) -> Vec<Value> {
        let reply = reqwest::get(&self.url).await.unwrap();
        let alerts: Value = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap();
        alerts.as_array().unwrap().clone()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alertmanager_shows_the_alerts_of_two_workers_once_and_then_their_end() {
    let (mut workshop, _) = with_conditions();
    let alertmanager = Alertmanager::start().await;
    let settings = ["--operator-alerts-url", &alertmanager.url];
    let start = || Start {
        settings: &settings,
        ..Start::default()
    };
    let workers = [
        workshop.worker_with(start()).await,
        workshop.worker_with(start()).await,
    ];
    let metric = "khata_operator_alert_posts_total{result=\"accepted\"}";
    for worker in &workers {
        worker.metric_meets(metric, |posts| posts >= 1.0).await;
    }
    let alerts = alertmanager.alerts().await;
    assert_eq!(names(&alerts), ALL, "once each");
    for alert in &alerts {
        assert_eq!(alert["status"]["state"], "active", "{alert}");
    }
    repair(&mut workshop);
    until("they end", async || alertmanager.alerts().await.is_empty()).await;
    for worker in workers {
        worker.stop().await;
    }
}
