//! A connector at a sandbox of its own, and the rupees that the sandbox drops.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::Utc;
use khata_domain::{Consent, Details};
use khata_gateways::{Call, Connector};
use serde_json::{Value, json};

use crate::conformance::profile::{Kind, Profile};
use crate::conformance::scenario::Scenario;
use crate::conformance::story::{Attempt, Story};
use crate::sandbox::Sandbox;
use crate::support::{bank, connector, consent, reference, upi};

/// Longer than the sandbox keeps "pending, then …" accounts pending.
pub(crate) const PAUSE: Duration = Duration::from_millis(90);

pub(crate) struct Fixture<'a> {
    pub(crate) profile: &'a Profile,
    pub(crate) sandbox: Sandbox,
    consent: Consent,
}

/// A payee to validate, with the reference of the attempt.
pub(crate) struct Payee {
    reference: String,
    details: Details,
}

impl<'a> Fixture<'a> {
    pub(crate) fn new(profile: &'a Profile) -> Self {
        Self {
            profile,
            sandbox: Sandbox::start(),
            consent: consent(true),
        }
    }

    /// Makes the connector with the merchant's credentials.
    pub(crate) fn connector(&self) -> Box<dyn Connector> {
        self.connector_with(&self.profile.credentials, &json!({}))
    }

    /// Makes the connector with a wrong secret.
    pub(crate) fn with_wrong_secret(&self) -> Box<dyn Connector> {
        let mut credentials = self.profile.credentials.clone();
        if let Some(secret) = credentials.pointer_mut(self.profile.secret) {
            *secret = "a-wrong-one".into();
        }
        self.connector_with(&credentials, &json!({}))
    }

    /// Makes the connector with these credentials, and with these settings added to the profile's.
    pub(crate) fn connector_with(&self, credentials: &Value, more: &Value) -> Box<dyn Connector> {
        let address = format!("{}{}", self.sandbox.origin, self.profile.path);
        self.connector_at(&address, credentials, more)
    }

    /// Makes the connector with another address.
    pub(crate) fn connector_at(
        &self,
        address: &str,
        credentials: &Value,
        more: &Value,
    ) -> Box<dyn Connector> {
        let mut settings = self.profile.settings.clone();
        let members = more.as_object().expect("settings are an object");
        for (name, value) in members {
            settings[name] = value.clone();
        }
        connector(self.profile.gateway, address, credentials, &settings)
            .unwrap_or_else(|error| panic!("{}: {error}", self.profile.name()))
    }

    /// Returns a new payee with an account of this scenario.
    pub(crate) fn payee(&self, scenario: Scenario) -> Payee {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = format!("{:06}", NEXT.fetch_add(1, Ordering::Relaxed));
        let ending = scenario.ending();
        Payee {
            reference: reference(),
            details: match self.profile.kind {
                Kind::Bank => bank(
                    &format!("{number}{ending}"),
                    "HDFC0000001",
                    Some("Asha Rao"),
                ),
                Kind::Upi { .. } => upi(&format!("asha{number}.{ending}@okhdfcbank")),
            },
        }
    }

    /// Returns an attempt for this payee, as the worker would record it.
    pub(crate) fn attempt<'b>(
        &'b self,
        connector: &dyn Connector,
        payee: &'b Payee,
    ) -> Attempt<'b> {
        let given = self.profile.kind == Kind::Upi { consent: true };
        let consent = given.then_some(&self.consent);
        let method = connector
            .eligible_method(&payee.details, consent)
            .expect("the details are eligible");
        assert_eq!(method, self.profile.method, "{}", self.profile.name());
        assert_eq!(
            connector.recovery(&payee.details, method),
            self.profile.recovery,
            "{}",
            self.profile.name()
        );
        Attempt::new(&Call {
            reference: &payee.reference,
            details: &payee.details,
            method,
            consent,
            attempt: 1,
            started_at: Utc::now(),
        })
    }

    /// Sets the behaviour of the gateway.
    pub(crate) async fn behave(&self, behaviour: Value) {
        self.sandbox.behave(self.profile.gateway, behaviour).await;
    }

    /// Sets the webhooks of the gateway.
    pub(crate) async fn webhook(&self, webhook: Value) {
        let gateway = self.profile.gateway;
        self.sandbox.send_webhooks(gateway, webhook).await;
    }

    /// Starts to count the rupees.
    pub(crate) async fn rupees(&self) -> Rupees<'_> {
        Rupees {
            sandbox: &self.sandbox,
            before: self.sandbox.all_drops().await,
        }
    }

    /// Lets the connector fetch a token if it needs one, so that the next fault meets the call itself.
    pub(crate) async fn warm(&self, connector: &dyn Connector) {
        let payee = self.payee(Scenario::Valid);
        let mut attempt = self.attempt(connector, &payee);
        attempt.verify(connector).await;
    }
}

/// Counts the rupees dropped since it was made.
pub(crate) struct Rupees<'a> {
    sandbox: &'a Sandbox,
    before: u64,
}

impl Rupees<'_> {
    pub(crate) async fn dropped(&self) -> u64 {
        self.sandbox.all_drops().await - self.before
    }

    /// Returns the story of an attempt, with its rupees.
    pub(crate) async fn story(&self, attempt: &Attempt<'_>) -> Story {
        attempt.story(self.dropped().await)
    }
}
