//! Brings the events of one verification to their address: in the order asked for, each as often as
//! asked for, again if it is not taken.

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt::time::sleep;
use anyhow::Context;
use chrono::Utc;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use rustls::{ClientConfig, RootCertStore};

use crate::webhooks::tally::Tally;
use crate::webhooks::{Notice, Notices, Signs, Webhook};

/// How long an answer is waited for (Razorpay, webhooks: within 5 seconds).
const PATIENCE: Duration = Duration::from_secs(5);

/// The pauses between the tries of one event. The gateways' own go on for hours; a test has seconds.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// Who carries call-backs.
pub(super) struct Courier {
    client: Client,
}

impl Courier {
    pub(super) fn new() -> anyhow::Result<Self> {
        // Only http:// is called. The TLS is given all the same, and trusts nobody: without one the
        // client looks for a process-wide provider, which is not ours to install.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no TLS")?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .context("no HTTP client")?;
        Ok(Self { client })
    }

    /// Sends what there is to tell of one verification, one request after the other.
    pub(super) async fn deliver<S: Signs>(
        &self,
        webhook: &Webhook,
        tally: &Tally,
        notices: Notices,
    ) {
        sleep(Duration::from_millis(webhook.delay_ms)).await;
        for _ in 0..=webhook.duplicates {
            self.send::<S>(webhook, tally, &notices.outcome).await;
        }
        if webhook.out_of_order {
            self.send::<S>(webhook, tally, &notices.older).await;
        }
    }

    async fn send<S: Signs>(&self, webhook: &Webhook, tally: &Tally, notice: &Notice) {
        if rand::random::<f64>() < webhook.drop_rate {
            tally.enter(|counts| counts.lost += 1);
            return;
        }
        // Drawn once: the retries of an event keep the secret it was made with.
        let secret = match &webhook.old_secret {
            Some(old) if rand::random::<f64>() < webhook.old_secret_rate => old,
            _ => webhook.secret.as_deref().unwrap_or(S::SECRET),
        };
        if self.attempt::<S>(webhook, tally, notice, secret).await {
            return;
        }
        for pause in PAUSES {
            sleep(pause).await;
            if self.attempt::<S>(webhook, tally, notice, secret).await {
                return;
            }
        }
        tally.enter(|counts| counts.given_up += 1);
    }

    /// One request; whether it was taken.
    async fn attempt<S: Signs>(
        &self,
        webhook: &Webhook,
        tally: &Tally,
        notice: &Notice,
        secret: &str,
    ) -> bool {
        let mut request = self
            .client
            .post(&webhook.url)
            .header(CONTENT_TYPE, "application/json")
            .body(notice.body.clone());
        let signature = S::sign(secret, &notice.body, Utc::now());
        for (name, value) in notice.headers.iter().chain(&signature) {
            request = request.header(*name, value);
        }
        tally.enter(|counts| counts.sent += 1);
        let status = request.send().await.ok().map(|answer| answer.status());
        tally.enter(|counts| match status {
            Some(status) => *counts.answered.entry(status.as_u16()).or_default() += 1,
            None => counts.unanswered += 1,
        });
        status.is_some_and(|status: StatusCode| status.is_success())
    }
}
