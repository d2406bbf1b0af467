//! A merchant with a DUMMY gateway account, a keyring, and workers to start.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use clap::Parser;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use khata_config::shutdown::{self, Trigger};
use khata_crypto::{Keyring, KeyringFile, Purpose};
use khata_domain::ValidationKey;
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
use khata_worker::{Application, Settings};
use tokio::task::JoinHandle;
use uuid::Uuid;

use khata_testing::database::Database;
use khata_testing::queues::Queues;

/// Makes every validation due, as after a lost wake-up.
pub(crate) const DUE_NOW: &str = "update validations set due_at = now()";

pub(crate) struct Workshop {
    pub(crate) connection: PgConnection,
    pub(crate) publisher: Publisher,
    pub(crate) queues: Queues,
    merchant: MerchantId,
    gateway: GatewayAccountId,
    keyring: Keyring,
    keyring_file: PathBuf,
    database: Database,
}

/// A running worker.
pub(crate) struct Worker {
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
        let merchant = merchants::insert(&mut connection, "local")
            .unwrap()
            .unwrap()
            .id;
        let gateway = NewGatewayAccount {
            id: GatewayAccountId::new(),
            gateway_id: Gateway::Dummy.id(),
            reference_id: "dummy",
            priority: 1,
            pinned_only: false,
            base_url: None,
            settings: &serde_json::json!({}),
        };
        gateway_accounts::upsert(&mut connection, merchant, &gateway, None).unwrap();
        let keys = KeyringFile::generate();
        let keyring_file = std::env::temp_dir().join(format!("khata-test-{}.json", Uuid::new_v4()));
        std::fs::write(&keyring_file, keys.to_json().as_slice()).unwrap();
        let queues = Queues::new();
        Self {
            publisher: Publisher::new(queues.broker(), "test"),
            keyring: Keyring::from(&keys),
            gateway: gateway.id,
            connection,
            queues,
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
        let now = Utc::now();
        let call = CreateAccounts {
            merchant: self.merchant,
            customer: CustomerRef::parse("customer_1122").unwrap(),
            implicit_customer: true,
            pin: Pin::default(),
            metadata: "{}".into(),
            routing_id: None,
            terms: ValidationTerms {
                consent: None,
                trace_parent: None,
                now,
                deadline_at: now + TimeDelta::hours(1),
                awaited_until: None,
                validations_per_day: 5,
                penny_drops_per_day: i32::MAX,
                fresh: false,
            },
            accounts: details.iter().map(|details| self.sealed(details)).collect(),
        };
        accounts::create(&mut self.connection, &[&call]).unwrap();
        let key = |account: &NewAccount| ValidationKey {
            merchant: self.merchant,
            id: account.validation,
        };
        call.accounts.iter().map(key).collect()
    }

    fn sealed(&self, details: &Details) -> NewAccount {
        let (id, merchant, plain) = (AccountId::new(), self.merchant, details.to_plaintext());
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
        };
        insert_attempts(&mut self.connection, &[attempt]).unwrap();
        diesel::sql_query(DUE_NOW)
            .execute(&mut self.connection)
            .unwrap();
    }

    /// Starts a worker; returns when the queues are declared.
    pub(crate) async fn worker(&mut self) -> Worker {
        // The first to declare the queues: RabbitMQ may reject a message to a queue that two clients declare at once.
        self.publisher.connect().await.unwrap();
        let queue_prefix = self.queues.broker().queue().replace(".validations", "");
        let settings = Settings::parse_from([
            "khata-worker",
            "--listen",
            "127.0.0.1:0",
            "--database-url",
            self.database.url(),
            "--amqp-url",
            &std::env::var("KHATA_TEST_AMQP_URL").unwrap(),
            "--queue-prefix",
            &queue_prefix,
            "--keyring-file",
            self.keyring_file.to_str().unwrap(),
            "--sandbox",
            "true",
            "--scheduler-interval-ms",
            "50",
        ]);
        let (trigger, shutdown) = shutdown::channel();
        let application = Application::build(settings).unwrap();
        Worker {
            trigger,
            running: tokio::spawn(application.run_until_stopped(shutdown)),
        }
    }

    /// Waits until the validation is completed; returns the outcome, the account's status and the number of attempts.
    pub(crate) async fn outcome(&mut self, key: ValidationKey) -> (String, String, i64) {
        for _ in 0..1_000 {
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
        panic!("validation not completed within ten seconds")
    }

    /// Waits until the queue is empty.
    pub(crate) async fn drained(&mut self) {
        for _ in 0..1_000 {
            if self.publisher.depth().await.unwrap() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the queue is not empty within ten seconds")
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.keyring_file);
    }
}

impl Worker {
    /// Stops the worker and waits until it has stopped.
    pub(crate) async fn stop(self) {
        self.trigger.raise();
        let stopped = tokio::time::timeout(Duration::from_secs(20), self.running).await;
        stopped.expect("it stops").unwrap().unwrap();
    }
}
