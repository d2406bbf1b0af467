//! One connector at a sandbox of its own: who is validated, what the gateway does meanwhile, what it dropped.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::Utc;
use khata_domain::{Consent, Details};
use khata_gateways::{Call, Connector};
use serde_json::{Value, json};

use crate::row::Row;
use crate::sandbox::Sandbox;
use crate::story::{Attempt, Story};
use crate::subject::{Kind, Subject};
use crate::support::{bank, connector, consent, reference, upi};

/// Longer than "pending, then …" is pending at the sandbox.
pub(crate) const PAUSE: Duration = Duration::from_millis(90);

pub(crate) struct Bench<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) sandbox: Sandbox,
    http: reqwest::Client,
    consent: Consent,
}

/// Who is validated, and under which reference.
pub(crate) struct Payee {
    reference: String,
    details: Details,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(subject: &'a Subject) -> Self {
        Self {
            subject,
            sandbox: Sandbox::start(),
            http: khata_gateways::client().expect("a client"),
            consent: consent(true),
        }
    }

    /// The connector, as its merchant has set it up.
    pub(crate) fn connector(&self) -> Box<dyn Connector> {
        self.connector_with(&self.subject.credentials, &json!({}))
    }

    /// The connector, as somebody has set it up who has a wrong secret.
    pub(crate) fn stranger(&self) -> Box<dyn Connector> {
        let mut credentials = self.subject.credentials.clone();
        if let Some(secret) = credentials.pointer_mut(self.subject.secret) {
            *secret = "a-wrong-one".into();
        }
        self.connector_with(&credentials, &json!({}))
    }

    /// The connector with these credentials, and with these settings beside its own.
    pub(crate) fn connector_with(&self, credentials: &Value, more: &Value) -> Box<dyn Connector> {
        let address = format!("{}{}", self.sandbox.origin, self.subject.path);
        self.connector_at(&address, credentials, more)
    }

    /// The same at another address.
    pub(crate) fn connector_at(
        &self,
        address: &str,
        credentials: &Value,
        more: &Value,
    ) -> Box<dyn Connector> {
        let mut settings = self.subject.settings.clone();
        let members = more.as_object().expect("settings are an object");
        for (name, value) in members {
            settings[name] = value.clone();
        }
        connector(self.subject.gateway, address, credentials, &settings)
            .unwrap_or_else(|fault| panic!("{}: {fault}", self.subject.name()))
    }

    /// Somebody who has not been asked about before, with an account of this row.
    pub(crate) fn payee(&self, row: Row) -> Payee {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = format!("{:06}", NEXT.fetch_add(1, Ordering::Relaxed));
        let ending = row.ending();
        Payee {
            reference: reference(),
            details: match self.subject.kind {
                Kind::Bank => bank(
                    &format!("{number}{ending}"),
                    "HDFC0000001",
                    Some("Asha Rao"),
                ),
                Kind::Upi { .. } => upi(&format!("asha{number}.{ending}@okhdfcbank")),
            },
        }
    }

    /// An attempt at this payee, as the worker would write it down.
    pub(crate) fn attempt<'b>(
        &'b self,
        connector: &dyn Connector,
        payee: &'b Payee,
    ) -> Attempt<'b> {
        let given = self.subject.kind == Kind::Upi { consent: true };
        let consent = given.then_some(&self.consent);
        let method = connector
            .eligible_method(&payee.details, consent)
            .expect("the details are fit for it");
        assert_eq!(method, self.subject.method, "{}", self.subject.name());
        assert_eq!(
            connector.recovery(&payee.details, method),
            self.subject.recovery,
            "{}",
            self.subject.name()
        );
        Attempt::new(Call {
            reference: &payee.reference,
            details: &payee.details,
            method,
            consent,
            attempt: 1,
            started_at: Utc::now(),
        })
    }

    /// From now on the gateway behaves like this.
    pub(crate) async fn behave(&self, behaviour: Value) {
        self.sandbox.behave(self.subject.gateway, behaviour).await;
    }

    /// From now on the gateway calls back like this.
    pub(crate) async fn webhook(&self, mut webhook: Value) {
        webhook["gateway"] = self.subject.gateway.name().into();
        let url = format!("{}/_sandbox/webhooks", self.sandbox.origin);
        let told = self.http.put(url).json(&webhook).send().await;
        let told = told.expect("the sandbox answers");
        assert!(told.status().is_success(), "{told:?}");
    }

    /// Begins to count the rupees.
    pub(crate) async fn rupees(&self) -> Rupees<'_> {
        Rupees {
            sandbox: &self.sandbox,
            before: self.sandbox.all_drops().await,
        }
    }

    /// Lets the connector fetch the token that it may need, so that what follows meets the call itself.
    pub(crate) async fn warm(&self, connector: &dyn Connector) {
        let payee = self.payee(Row::Valid);
        let mut attempt = self.attempt(connector, &payee);
        attempt.verify(connector).await;
    }
}

/// Rupees dropped since it was made.
pub(crate) struct Rupees<'a> {
    sandbox: &'a Sandbox,
    before: u64,
}

impl Rupees<'_> {
    pub(crate) async fn dropped(&self) -> u64 {
        self.sandbox.all_drops().await - self.before
    }

    /// The story of an attempt, with what it cost.
    pub(crate) async fn story(&self, attempt: &Attempt<'_>) -> Story {
        attempt.story(self.dropped().await)
    }
}
