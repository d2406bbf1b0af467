//! The gateways' webhooks: their address, their faults, and the counts of deliveries. `PUT
//! /_sandbox/webhooks` sets them; each gateway's module makes the events and their signatures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::rt::spawn;
use actix_web::rt::time::{sleep, sleep_until};
use anyhow::Context;
use chrono::{DateTime, Utc};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::body::{check_milliseconds, check_rate, named};
use crate::gateway::{Gateway, Named, PerGateway};

/// Largest number of times an event can be sent besides the first.
const MOST_DUPLICATES: u32 = 100;

/// Time-out of a request (Razorpay, webhooks: a reply within 5 seconds).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Delays before the tries of an event, in milliseconds. The gateways retry for hours; a test has seconds.
const DELAYS_MS: [u64; 4] = [0, 250, 1_000, 3_000];

/// The webhook settings of one gateway; the crate's README says what each member does. `url` is `http://`
/// only: the sandbox calls its own machine. No gateway documents the event that `out_of_order` sends; an
/// event that is delayed in transit has the same effect.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhook {
    url: String,
    #[serde(skip_serializing)]
    secret: Option<String>,
    #[serde(skip_serializing)]
    old_secret: Option<String>,
    old_secret_rate: f64,
    #[serde(default = "enabled")]
    enabled: bool,
    delay_ms: u64,
    duplicates: u32,
    out_of_order: bool,
    drop_rate: f64,
}

fn enabled() -> bool {
    true
}

impl Webhook {
    fn check(&self) -> Result<(), String> {
        let url = Url::parse(&self.url);
        let callable = url.is_ok_and(|url| url.scheme() == "http" && url.has_host());
        if self.enabled && !callable {
            return Err("url must be an http:// address".to_owned());
        }
        check_rate("old_secret_rate", self.old_secret_rate)?;
        check_rate("drop_rate", self.drop_rate)?;
        check_milliseconds("delay_ms", self.delay_ms)?;
        if self.old_secret_rate > 0.0 && self.old_secret.is_none() {
            return Err("old_secret_rate needs an old_secret".to_owned());
        }
        let duplicates = self.duplicates;
        if duplicates > MOST_DUPLICATES {
            return Err(format!(
                "duplicates must be at most {MOST_DUPLICATES}, not {duplicates}"
            ));
        }
        Ok(())
    }
}

/// Reads the body of `PUT /_sandbox/webhooks`, or says in a sentence what is wrong.
pub(crate) fn parse(json: &[u8], known: &[Gateway]) -> Result<Named<Webhook>, String> {
    let named = named::<Webhook>(json, known)?;
    named.value.check()?;
    Ok(named)
}

/// Counts of one gateway's requests and events since its webhook was set.
#[derive(Clone, Default, Serialize)]
struct Counts {
    sent: u64,
    answered: BTreeMap<u16, u64>,
    unanswered: u64,
    lost: u64,
    given_up: u64,
}

/// A webhook with its counts, as `GET /_sandbox/webhooks` lists it.
#[derive(Clone, Serialize)]
pub(crate) struct CountedWebhook {
    #[serde(flatten)]
    webhook: Webhook,
    #[serde(flatten)]
    counts: Counts,
}

/// How an API signs its events.
pub(crate) struct Signing {
    /// Secret where none is set.
    pub(crate) secret: &'static str,
    /// Returns the signature's headers for a secret and a body that is sent at this time.
    pub(crate) sign: fn(&str, &str, DateTime<Utc>) -> Vec<Header>,
}

pub(crate) type Header = (&'static str, String);

/// An event: its JSON body, and its headers besides the signature's.
pub(crate) struct Event {
    body: String,
    headers: Vec<Header>,
}

impl Event {
    pub(crate) fn new(body: &Value, headers: Vec<Header>) -> Self {
        Self {
            body: body.to_string(),
            headers,
        }
    }
}

/// The events of one verification.
pub(crate) struct Events {
    pub(crate) outcome: Event,
    /// The pending state before the outcome, for events out of order.
    pub(crate) older: Event,
}

/// All gateways' webhooks, and the client that sends them.
pub(crate) struct Webhooks {
    set: PerGateway<Option<CountedWebhook>>,
    client: Client,
}

impl Webhooks {
    /// Makes the client. No webhook is set yet.
    pub(crate) fn new(gateways: &[Gateway]) -> anyhow::Result<Self> {
        // Only http:// addresses are called. Without a TLS configuration, which trusts no certificate here,
        // the client uses a process-wide provider, which a library must not install.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no TLS")?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .build()
            .context("no HTTP client")?;
        Ok(Self {
            set: PerGateway::new(gateways),
            client,
        })
    }

    /// Sets a gateway's webhook and resets its counts.
    pub(crate) fn set(&self, named: Named<Webhook>) -> Named<CountedWebhook> {
        let gateway = named.gateway;
        let value = CountedWebhook {
            webhook: named.value,
            counts: Counts::default(),
        };
        *self.set.lock(gateway) = Some(value.clone());
        Named { gateway, value }
    }

    /// Removes all webhooks.
    pub(crate) fn remove_all(&self) {
        self.set.list(Option::take);
    }

    /// Lists the webhooks that are set.
    pub(crate) fn list(&self) -> Vec<Named<Option<CountedWebhook>>> {
        let mut all = self.set.list(|set| set.clone());
        all.retain(|named| named.value.is_some());
        all
    }

    fn enabled(&self, gateway: Gateway) -> Option<Webhook> {
        let set = self.set.lock(gateway);
        let webhook = set.as_ref().map(|set| &set.webhook);
        webhook.filter(|webhook| webhook.enabled).cloned()
    }

    /// Sends the events of a verification at this time (`None`: never), if the gateway's webhook is
    /// enabled. `make` runs then; it returns `None` for an outcome without an event.
    pub(crate) fn send_later(
        self: &Arc<Self>,
        gateway: Gateway,
        signing: &'static Signing,
        at: Option<Instant>,
        make: impl FnOnce() -> Option<Events> + 'static,
    ) {
        // Checked now too: a load without webhooks must not leave a task for each call.
        let (Some(at), Some(_)) = (at, self.enabled(gateway)) else {
            return;
        };
        let webhooks = Arc::clone(self);
        spawn(async move {
            sleep_until(at.into()).await;
            let Some(webhook) = webhooks.enabled(gateway) else {
                return;
            };
            if let Some(events) = make() {
                webhooks.deliver((gateway, signing), &webhook, events).await;
            }
        });
    }

    async fn deliver(&self, from: (Gateway, &Signing), webhook: &Webhook, events: Events) {
        sleep(Duration::from_millis(webhook.delay_ms)).await;
        for _ in 0..=webhook.duplicates {
            self.send(from, webhook, &events.outcome).await;
        }
        if webhook.out_of_order {
            self.send(from, webhook, &events.older).await;
        }
    }

    /// Sends one event, with retries until a reply is a 2xx.
    async fn send(
        &self,
        (gateway, signing): (Gateway, &Signing),
        webhook: &Webhook,
        event: &Event,
    ) {
        if rand::random::<f64>() < webhook.drop_rate {
            return self.count(gateway, |counts| counts.lost += 1);
        }
        // Drawn once: the retries of an event keep its secret.
        let secret = match &webhook.old_secret {
            Some(old) if rand::random::<f64>() < webhook.old_secret_rate => old,
            _ => webhook.secret.as_deref().unwrap_or(signing.secret),
        };
        for delay in DELAYS_MS {
            sleep(Duration::from_millis(delay)).await;
            let signature = (signing.sign)(secret, &event.body, Utc::now());
            let mut request = self
                .client
                .post(&webhook.url)
                .header(CONTENT_TYPE, "application/json")
                .body(event.body.clone());
            for (name, value) in event.headers.iter().chain(&signature) {
                request = request.header(*name, value);
            }
            self.count(gateway, |counts| counts.sent += 1);
            let status = request.send().await.ok().map(|reply| reply.status());
            self.count(gateway, |counts| match status {
                Some(status) => *counts.answered.entry(status.as_u16()).or_default() += 1,
                None => counts.unanswered += 1,
            });
            if status.is_some_and(|status| status.is_success()) {
                return;
            }
        }
        self.count(gateway, |counts| counts.given_up += 1);
    }

    fn count(&self, gateway: Gateway, change: impl FnOnce(&mut Counts)) {
        if let Some(set) = &mut *self.set.lock(gateway) {
            change(&mut set.counts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Gateway; 1] = [Gateway("CASHFREE")];

    #[test]
    fn a_disabled_webhook_needs_no_address() {
        assert!(parse(br#"{"gateway":"CASHFREE","enabled":false}"#, &KNOWN).is_ok());
    }

    #[test]
    fn the_error_names_the_bad_value() {
        for (json, word) in [
            (r#"{"gateway":"CASHFREE"}"#, "url"),
            (r#"{"gateway":"CASHFREE","url":"https://a"}"#, "http://"),
            (r#"{"gateway":"CASHFREE","url":"nowhere"}"#, "http://"),
            (r#"{"url":"http://a/"}"#, "gateway"),
            (
                r#"{"gateway":"CASHFREE","url":"http://a/","drop_rate":2}"#,
                "drop_rate",
            ),
            (
                r#"{"gateway":"CASHFREE","url":"http://a/","old_secret_rate":0.5}"#,
                "old_secret",
            ),
            (
                r#"{"gateway":"CASHFREE","url":"http://a/","duplicates":101}"#,
                "duplicates",
            ),
            (
                r#"{"gateway":"CASHFREE","url":"http://a/","delay_ms":86400001}"#,
                "delay_ms",
            ),
            (
                r#"{"gateway":"CASHFREE","url":"http://a/","drops":1}"#,
                "drops",
            ),
        ] {
            let error = parse(json.as_bytes(), &KNOWN).err();
            assert!(
                error.as_ref().is_some_and(|error| error.contains(word)),
                "{json}: {error:?}"
            );
        }
    }
}
