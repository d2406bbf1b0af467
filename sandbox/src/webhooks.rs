//! The gateways' call-backs: where they go, how they go wrong, and what became of them. Set through
//! `PUT /_sandbox/webhooks`; what a gateway tells, and how it signs, is its own folder's.

mod delivery;
mod tally;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::rt;
use actix_web::rt::time::sleep;
use actix_web::web::Data;
use chrono::{DateTime, Utc};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::Sandbox;
use crate::gateway::Gateway;
use crate::switch;
use crate::webhooks::delivery::Courier;
use crate::webhooks::tally::{Counts, Tally};

/// The most times an event can be sent besides the first.
const MOST_DUPLICATES: u32 = 100;

/// Where one gateway's call-backs go, and how.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhook {
    /// Khata's address for them, `http://` only: the sandbox calls back to its own machine. Needed unless
    /// they are off.
    url: String,
    /// What they are signed with; the gateway's own test secret unless set.
    #[serde(skip_serializing)]
    secret: Option<String>,
    /// The secret before that one.
    #[serde(skip_serializing)]
    old_secret: Option<String>,
    /// The fraction of events, 0 to 1, that are signed with `old_secret` still.
    old_secret_rate: f64,
    /// Whether any are sent. An event is sent if this holds when its verification is accepted and still
    /// when the outcome is there. On, unless set.
    enabled: bool,
    /// How long after the outcome they are sent, in milliseconds.
    delay_ms: u64,
    /// How many more times each is sent, the same to the byte save for time and signature.
    duplicates: u32,
    /// Whether the verification's older state, still pending, is sent after its outcome. No gateway
    /// documents such an event; what comes late on the way looks like it.
    out_of_order: bool,
    /// The fraction of events, 0 to 1, that are lost.
    drop_rate: f64,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: None,
            old_secret: None,
            old_secret_rate: 0.0,
            enabled: true,
            delay_ms: 0,
            duplicates: 0,
            out_of_order: false,
            drop_rate: 0.0,
        }
    }
}

impl Webhook {
    fn check(&self) -> Result<(), String> {
        let url = Url::parse(&self.url);
        let callable = url.is_ok_and(|url| url.scheme() == "http" && url.has_host());
        if self.enabled && !callable {
            return Err("url must be an http:// address".to_owned());
        }
        switch::rate("old_secret_rate", self.old_secret_rate)?;
        switch::rate("drop_rate", self.drop_rate)?;
        switch::milliseconds("delay_ms", self.delay_ms)?;
        if self.old_secret_rate > 0.0 && self.old_secret.is_none() {
            return Err("old_secret_rate needs an old_secret".to_owned());
        }
        if self.duplicates > MOST_DUPLICATES {
            return Err(format!(
                "duplicates must be at most {MOST_DUPLICATES}, not {}",
                self.duplicates
            ));
        }
        Ok(())
    }
}

/// Reads the body of `PUT /_sandbox/webhooks`, or says in a sentence what is wrong.
pub(crate) fn parse(json: &[u8]) -> Result<(Gateway, Webhook), String> {
    let (gateway, webhook) = switch::parse::<Webhook>(json)?;
    webhook.check()?;
    Ok((gateway, webhook))
}

/// How one gateway signs.
pub(crate) trait Signs {
    /// Whose call-backs.
    const GATEWAY: Gateway;

    /// What it signs with where no secret is set.
    const SECRET: &'static str;

    /// The headers that hold the signature of a body sent at this moment, and all it covers.
    fn sign(secret: &str, body: &str, now: DateTime<Utc>) -> Vec<(&'static str, String)>;
}

/// One event as it is sent, whenever and however often: a JSON body, and headers besides the
/// signature's.
pub(crate) struct Notice {
    pub(crate) body: String,
    pub(crate) headers: Vec<(&'static str, String)>,
}

/// What a gateway tells of one verification.
pub(crate) struct Notices {
    /// Its outcome.
    pub(crate) outcome: Notice,
    /// Its state before that, for when events come out of order.
    pub(crate) older: Notice,
}

/// One gateway's call-backs, as `GET /_sandbox/webhooks` lists them.
#[derive(Serialize)]
pub(crate) struct Listed {
    gateway: Gateway,
    #[serde(flatten)]
    webhook: Webhook,
    #[serde(flatten)]
    counts: Counts,
}

/// All gateways' call-backs.
pub(crate) struct Webhooks {
    by_gateway: [Mutex<Option<Webhook>>; Gateway::COUNT],
    tallies: [Tally; Gateway::COUNT],
    courier: Courier,
}

impl Webhooks {
    /// Nobody is called back yet. Fails if there can be no HTTP client.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            by_gateway: Default::default(),
            tallies: Default::default(),
            courier: Courier::new()?,
        })
    }

    /// From now on it is called back like this. Its counts start anew.
    pub(crate) fn set(&self, gateway: Gateway, webhook: Webhook) -> Listed {
        *self.lock(gateway) = Some(webhook.clone());
        self.tallies[gateway.index()].forget();
        self.listed(gateway, webhook)
    }

    /// From now on nobody is called back.
    pub(crate) fn forget(&self) {
        for gateway in Gateway::ALL {
            *self.lock(gateway) = None;
            self.tallies[gateway.index()].forget();
        }
    }

    /// Those that are set.
    pub(crate) fn list(&self) -> Vec<Listed> {
        Gateway::ALL
            .into_iter()
            .filter_map(|gateway| {
                let webhook = self.lock(gateway).clone()?;
                Some(self.listed(gateway, webhook))
            })
            .collect()
    }

    fn listed(&self, gateway: Gateway, webhook: Webhook) -> Listed {
        Listed {
            gateway,
            webhook,
            counts: self.tallies[gateway.index()].counts(),
        }
    }

    fn enabled(&self, gateway: Gateway) -> Option<Webhook> {
        self.lock(gateway)
            .as_ref()
            .filter(|webhook| webhook.enabled)
            .cloned()
    }

    fn lock(&self, gateway: Gateway) -> MutexGuard<'_, Option<Webhook>> {
        self.by_gateway[gateway.index()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls back about a verification once `after` is over, if its gateway calls back at all. `tell` is
/// asked then, and says `None` if there is nothing to tell after all.
pub(crate) fn call_back<S: Signs>(
    sandbox: &Data<Sandbox>,
    after: Duration,
    tell: impl FnOnce(&Sandbox) -> Option<Notices> + 'static,
) {
    // Asked now as well: a load without call-backs must not leave a task a call behind.
    if sandbox.webhooks.enabled(S::GATEWAY).is_none() {
        return;
    }
    let sandbox = Arc::clone(sandbox);
    rt::spawn(async move {
        sleep(after).await;
        let webhooks = &sandbox.webhooks;
        let Some(webhook) = webhooks.enabled(S::GATEWAY) else {
            return;
        };
        if let Some(notices) = tell(&sandbox) {
            let tally = &webhooks.tallies[S::GATEWAY.index()];
            webhooks
                .courier
                .deliver::<S>(&webhook, tally, notices)
                .await;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_needs_no_address() {
        assert!(parse(br#"{"gateway":"CASHFREE","enabled":false}"#).is_ok());
    }

    #[test]
    fn bad_values_are_named() {
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
            let error = parse(json.as_bytes()).err();
            assert!(
                error.as_ref().is_some_and(|error| error.contains(word)),
                "{json}: {error:?}"
            );
        }
    }
}
