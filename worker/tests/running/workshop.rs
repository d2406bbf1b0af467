//! A merchant with a DUMMY gateway account, a keyring, and workers to start.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use chrono::TimeDelta;
use clap::Parser;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use khata_config::shutdown::{self, Trigger};
use khata_crypto::{Keyring, KeyringFile, Purpose};
use khata_domain::ValidationKey;
use khata_domain::events::{EndpointId, EndpointKey, Payload};
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin;
use khata_domain::{
    AccountId, Details, Gateway, GatewayAccountId, MerchantId, Method, ValidationId,
};
use khata_queue::Publisher;
use khata_store::accounts::{self, CreateAccounts, NewAccount, ValidationTerms};
use khata_store::gateway_accounts::{self, NewGatewayAccount};
use khata_store::merchants;
use khata_store::validations::{LeaseToken, NewAttempt, claim, insert_attempts};
use khata_store::webhooks::{self, EndpointSettings, NewEndpoint};
use khata_webhooks::WebhookSecret;
use khata_worker::{Application, Settings};
use tokio::task::JoinHandle;
use uuid::Uuid;

use khata_testing::database::{Database, number};
use khata_testing::queues::Queues;

/// Makes every validation due, as after a lost wake-up.
pub(crate) const DUE_NOW: &str = "update validations set due_at = now()";

pub(crate) struct Workshop {
    pub(crate) connection: PgConnection,
    pub(crate) publisher: Publisher,
    pub(crate) queues: Queues,
    /// The most calls that the slow gateway had at once.
    pub(crate) most_calls: Arc<AtomicUsize>,
    merchant: MerchantId,
    gateway: GatewayAccountId,
    keyring: Keyring,
    keyring_file: PathBuf,
    pub(crate) database: Database,
}

/// How a worker is started, if not as usual.
#[derive(Default)]
pub(crate) struct Start<'a> {
    pub(crate) database_url: Option<String>,
    pub(crate) amqp_url: Option<String>,
    pub(crate) settings: &'a [&'a str],
}

/// A worker in a process of its own, which can be killed.
pub(crate) struct WorkerProcess(Child);

impl WorkerProcess {
    /// Kills the process, which has no time for anything.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running worker.
pub(crate) struct Worker {
    port: u16,
    trigger: Trigger,
    running: JoinHandle<anyhow::Result<()>>,
}

#[derive(QueryableByName)]
struct Ended {
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = BigInt)]
    attempts: i64,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        let database = Database::new();
        let mut connection = database.connect();
        let (merchant, gateway) = merchant_with_dummy(&mut connection, "local");
        let keys = KeyringFile::generate();
        let keyring_file = std::env::temp_dir().join(format!("khata-test-{}.json", Uuid::new_v4()));
        std::fs::write(&keyring_file, keys.to_json().as_slice()).unwrap();
        let queues = Queues::new();
        Self {
            publisher: Publisher::new(queues.broker(), "test"),
            keyring: Keyring::from(&keys),
            gateway,
            connection,
            queues,
            most_calls: Arc::default(),
            merchant,
            keyring_file,
            database,
        }
    }

    /// Stores an account without a wake-up.
    pub(crate) fn store(&mut self, details: &Details) -> ValidationKey {
        self.store_all(std::slice::from_ref(details))[0]
    }

    /// Stores accounts of one call without a wake-up.
    pub(crate) fn store_all(&mut self, details: &[Details]) -> Vec<ValidationKey> {
        self.store_for(self.merchant, details, None)
    }

    /// Stores an account whose outcome a caller awaits, without a wake-up.
    pub(crate) fn store_awaited(&mut self, details: &Details) -> ValidationKey {
        let details = std::slice::from_ref(details);
        self.store_for(self.merchant, details, Some(TimeDelta::minutes(1)))[0]
    }

    /// Stores an account of another merchant, which has a DUMMY gateway account alone, without a wake-up.
    pub(crate) fn store_of_other_merchant(&mut self, details: &Details) -> ValidationKey {
        let (other, _) = merchant_with_dummy(&mut self.connection, "other");
        self.store_for(other, std::slice::from_ref(details), None)[0]
    }

    pub(crate) fn store_for(
        &mut self,
        merchant: MerchantId,
        details: &[Details],
        awaited_for: Option<TimeDelta>,
    ) -> Vec<ValidationKey> {
        let sealed = |details| self.sealed(merchant, details);
        let call = CreateAccounts {
            merchant,
            customer: CustomerRef::parse("customer_1122").unwrap(),
            implicit_customer: true,
            pin: Pin::default(),
            metadata: "{}".into(),
            routing_id: None,
            terms: ValidationTerms {
                consent: None,
                trace_parent: None,
                deadline: TimeDelta::hours(1),
                awaited: awaited_for,
                validations_per_day: 5,
                penny_drops_per_day: i32::MAX,
                fresh: false,
            },
            accounts: details.iter().map(sealed).collect(),
        };
        accounts::create(&mut self.connection, &[&call]).unwrap();
        let key = |account: &NewAccount| ValidationKey {
            merchant,
            id: account.validation,
        };
        call.accounts.iter().map(key).collect()
    }

    fn sealed(&self, merchant: MerchantId, details: &Details) -> NewAccount {
        let (id, plain) = (AccountId::new(), details.to_plaintext());
        NewAccount {
            id,
            validation: ValidationId::new(),
            kind: details.kind(),
            sealed_details: self
                .keyring
                .encrypt(merchant, id.0, Purpose::Details, &plain),
            fingerprint: self.keyring.fingerprint(merchant, details),
            masked: details.masked(),
            bank_code: None,
            sealed_webhook_url: None,
        }
    }

    /// Leaves a validation as a killed worker does: claimed, with a stored attempt and an expired lease.
    pub(crate) fn leave_as_a_killed_worker(&mut self, key: ValidationKey) {
        let token = LeaseToken(Uuid::new_v4());
        claim(&mut self.connection, &[key], token, Duration::ZERO).unwrap();
        let attempt = NewAttempt {
            key,
            number: 1,
            gateway_account: self.gateway,
            gateway_id: Gateway::Dummy.id(),
            method: Method::PennyDrop,
            reference: "kh_01".into(),
            choice: "first by priority 1".into(),
            possible_double_drop: false,
            is_further_drop: false,
        };
        insert_attempts(&mut self.connection, &[attempt]).unwrap();
        diesel::sql_query(DUE_NOW)
            .execute(&mut self.connection)
            .unwrap();
    }

    /// Adds a gateway account that is tried first and takes this long for each call. Returns the number of its calls.
    pub(crate) fn slow_gateway(&mut self, delay: Duration) -> Arc<AtomicUsize> {
        self.slow_gateway_with(delay, &serde_json::json!({"calls_per_minute": 0}))
    }

    /// The same with these settings.
    pub(crate) fn slow_gateway_with(
        &mut self,
        delay: Duration,
        settings: &serde_json::Value,
    ) -> Arc<AtomicUsize> {
        let valid = serde_json::json!({
            "reference_id": 1, "account_status": "VALID", "account_status_code": "ACCOUNT_IS_VALID"
        });
        self.slow_gateway_replying(delay, valid, settings)
    }

    /// The same with this response and these settings.
    pub(crate) fn slow_gateway_replying(
        &mut self,
        delay: Duration,
        response: serde_json::Value,
        settings: &serde_json::Value,
    ) -> Arc<AtomicUsize> {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = web::Data::from(Arc::clone(&calls));
        let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&self.most_calls));
        let server = HttpServer::new(move || {
            let (open, most, response) = (Arc::clone(&open), Arc::clone(&most), response.clone());
            let verify = move |calls: web::Data<AtomicUsize>| {
                let (open, most) = (Arc::clone(&open), Arc::clone(&most));
                let response = response.clone();
                async move {
                    calls.fetch_add(1, Ordering::SeqCst);
                    most.fetch_max(1 + open.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
                    tokio::time::sleep(delay).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                    HttpResponse::Ok().json(response)
                }
            };
            App::new()
                .app_data(counted.clone())
                .default_service(web::to(verify))
        });
        let server = server.workers(1).disable_signals();
        let server = server.bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", server.addrs()[0]);
        tokio::spawn(server.run());
        let credentials = r#"{"client_id": "sandbox_client", "client_secret": "sandbox_secret"}"#;
        let gateway = NewGatewayAccount {
            id: GatewayAccountId::new(),
            gateway_id: Gateway::Cashfree.id(),
            reference_id: "slow",
            priority: 0,
            pinned_only: false,
            base_url: Some(&origin),
            settings,
        };
        self.add_gateway(&gateway, credentials);
        calls
    }

    /// Adds a webhook endpoint of the merchant, with other settings than usual.
    pub(crate) fn add_endpoint(
        &mut self,
        url: &str,
        secret: &WebhookSecret,
        change: impl FnOnce(&mut NewEndpoint<'_>),
    ) -> EndpointKey {
        self.add_endpoint_of(self.merchant, url, secret, change)
    }

    /// Adds another merchant, with a DUMMY gateway account and a webhook endpoint.
    pub(crate) fn other_merchant_with_endpoint(
        &mut self,
        url: &str,
        secret: &WebhookSecret,
    ) -> MerchantId {
        let (other, _) = merchant_with_dummy(&mut self.connection, "other");
        self.add_endpoint_of(other, url, secret, |_| {});
        other
    }

    fn add_endpoint_of(
        &mut self,
        merchant: MerchantId,
        url: &str,
        secret: &WebhookSecret,
        change: impl FnOnce(&mut NewEndpoint<'_>),
    ) -> EndpointKey {
        let id = EndpointId::new();
        let key = EndpointKey { merchant, id };
        let settings = EndpointSettings {
            url: url.to_owned(),
            secret: secret.expose().to_string(),
            previous: None,
            signing_key: None,
            previous_signing_key: None,
            credentials: None,
        };
        let sealed = settings.seal(&self.keyring, key);
        let mut endpoint = NewEndpoint {
            id,
            url,
            sealed_settings: &sealed,
            event_names: &[],
            payload: Payload::Full,
            is_ordered: true,
            concurrency: 32,
            calls_per_second: None,
            allows_url_per_account: false,
        };
        change(&mut endpoint);
        let inserted = webhooks::insert(&mut self.connection, merchant, &endpoint, 20);
        inserted.unwrap().expect("fewer than 20");
        key
    }

    /// Adds a gateway account.
    pub(crate) fn add_gateway(&mut self, gateway: &NewGatewayAccount<'_>, credentials: &str) {
        let merchant = self.merchant;
        let sealed = gateway.seal(&self.keyring, merchant, credentials.as_bytes());
        let inserted =
            gateway_accounts::insert(&mut self.connection, merchant, gateway, Some(sealed));
        assert!(inserted.unwrap());
    }

    /// Disables the DUMMY gateway account, so that nothing goes there instead.
    pub(crate) fn gateway_alone(&mut self) {
        diesel::sql_query(
            "update gateway_accounts set enabled = false where reference_id = 'dummy'",
        )
        .execute(&mut self.connection)
        .unwrap();
    }

    /// Limits the DUMMY gateway account to one call at once.
    pub(crate) fn limit_dummy(&mut self) {
        diesel::sql_query(
            "update gateway_accounts set settings = '{\"concurrency\": 1}' where reference_id = 'dummy'",
        )
        .execute(&mut self.connection)
        .unwrap();
    }

    /// Leaves every validation in the queue of the slow gateway, as a killed worker does.
    pub(crate) fn queue_all(&mut self) {
        diesel::sql_query(
            "update validations v set state = 'WAITING', pending_reason = 'RATE_LIMITED',
                queue_rank = case when awaited_until is null then 2 else 0 end,
                due_at = now() + interval '1 hour', queued_gateway_account_id = g.id
             from gateway_accounts g where g.reference_id = 'slow' and g.merchant_id = v.merchant_id",
        )
        .execute(&mut self.connection)
        .unwrap();
    }

    /// Makes every validation due, as after a lost wake-up.
    pub(crate) fn all_due(&mut self) {
        diesel::sql_query(DUE_NOW)
            .execute(&mut self.connection)
            .unwrap();
    }

    /// Leaves a validation as after a step whose wait is over.
    pub(crate) fn wait_is_over(&mut self, key: ValidationKey) {
        diesel::sql_query(
            "update validations set state = 'WAITING', pending_reason = 'RETRYING', due_at = now() where id = $1",
        )
        .bind::<SqlUuid, _>(key.id.0)
        .execute(&mut self.connection)
        .unwrap();
    }

    /// Counts the validations that meet the condition.
    pub(crate) fn count(&mut self, condition: &str) -> i64 {
        let count = format!("select count(*) from validations where {condition}");
        number(&mut self.connection, &count)
    }

    /// Starts a worker; returns when the queues are declared.
    pub(crate) async fn worker(&mut self) -> Worker {
        self.worker_with(Start::default()).await
    }

    pub(crate) async fn worker_with(&mut self, start: Start<'_>) -> Worker {
        let settings = Settings::parse_from(self.arguments(&start).await);
        let (trigger, shutdown) = shutdown::channel();
        let application = Application::build(settings).unwrap();
        Worker {
            port: application.port(),
            trigger,
            running: tokio::spawn(application.run_until_stopped(shutdown)),
        }
    }

    /// Starts a worker in a process of its own.
    pub(crate) async fn worker_process(&mut self, start: Start<'_>) -> WorkerProcess {
        let arguments = self.arguments(&start).await;
        let mut worker = Command::new(env!("CARGO_BIN_EXE_khata-worker"));
        worker.args(&arguments[1..]);
        worker.stdout(Stdio::null()).stderr(Stdio::null());
        WorkerProcess(worker.spawn().unwrap())
    }

    async fn arguments(&mut self, start: &Start<'_>) -> Vec<String> {
        // The first to declare the queues: RabbitMQ may reject a message to a queue that two clients declare at once.
        self.publisher.connect().await.unwrap();
        let queue_prefix = self.queues.broker().queue().replace(".validations", "");
        let database_url = start.database_url.as_deref();
        let broker = self.queues.broker();
        let usual = [
            "khata-worker",
            "--listen",
            "127.0.0.1:0",
            "--database-url",
            database_url.unwrap_or(self.database.url()),
            "--amqp-url",
            start.amqp_url.as_deref().unwrap_or(&broker.amqp_url),
            "--queue-prefix",
            &queue_prefix,
            "--keyring-file",
            self.keyring_file.to_str().unwrap(),
            "--sandbox",
            "true",
            "--scheduler-interval-ms",
            "50",
        ];
        let all = usual.iter().chain(start.settings);
        all.map(|argument| (*argument).to_owned()).collect()
    }

    /// Waits until the validation is completed; returns the outcome, the account's status and the number of attempts.
    pub(crate) async fn outcome(&mut self, key: ValidationKey) -> (String, String, i64) {
        for _ in 0..6_000 {
            let row: Ended = diesel::sql_query(
                "select v.outcome, a.status, (select count(*) from validation_attempts t where t.validation_id = v.id) as attempts
                 from validations v join customer_accounts a on a.merchant_id = v.merchant_id and a.id = v.account_id
                 where v.merchant_id = $1 and v.id = $2",
            )
            .bind::<SqlUuid, _>(key.merchant.0)
            .bind::<SqlUuid, _>(key.id.0)
            .get_result(&mut self.connection)
            .unwrap();
            if let Some(outcome) = row.outcome {
                return (outcome, row.status, row.attempts);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("validation not completed within a minute")
    }

    /// Waits until the queue is empty.
    pub(crate) async fn drained(&mut self) {
        for _ in 0..6_000 {
            if self.publisher.depth().await.unwrap() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the queue is not empty within a minute")
    }
}

/// Adds a merchant with a DUMMY gateway account.
fn merchant_with_dummy(
    connection: &mut PgConnection,
    name: &str,
) -> (MerchantId, GatewayAccountId) {
    let merchant = merchants::insert(connection, name).unwrap().unwrap().id;
    let gateway = NewGatewayAccount {
        id: GatewayAccountId::new(),
        gateway_id: Gateway::Dummy.id(),
        reference_id: "dummy",
        priority: 1,
        pinned_only: false,
        base_url: None,
        settings: &serde_json::json!({}),
    };
    gateway_accounts::insert(connection, merchant, &gateway, None).unwrap();
    (merchant, gateway.id)
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.keyring_file);
    }
}

impl Worker {
    /// Returns the status and the body of a page.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let response = reqwest::get(url).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// Returns the value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get("/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line?.trim().parse().ok()
    }

    /// Returns when the metric meets the condition.
    pub(crate) async fn metric_meets(&self, name: &str, condition: impl Fn(f64) -> bool) {
        for _ in 0..6_000 {
            if self.metric(name).await.is_some_and(&condition) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{name} did not change within a minute")
    }

    /// Stops the worker and waits until it has stopped.
    pub(crate) async fn stop(self) {
        self.trigger.raise();
        let stopped = tokio::time::timeout(khata_testing::TIMEOUT, self.running).await;
        stopped.expect("it stops").unwrap().unwrap();
    }
}
