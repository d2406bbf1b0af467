//! The merchant's calls during a run: each is in the history, with its reply.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use khata_e2e::{Api, HttpReply};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::history::{History, now};

/// Delay before a call that got no usable reply is repeated.
const RETRY_DELAY: Duration = Duration::from_millis(300);
/// Maximum number of tries of a call.
const MAX_TRIES: usize = 300;

/// Addresses of the running `khata-api` processes, and the merchant's key. Faults change both.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    inner: Arc<RwLock<(Vec<String>, Api)>>,
}

impl Target {
    pub(crate) fn new(api: Api) -> Self {
        Self {
            inner: Arc::new(RwLock::new((vec![api.url.clone()], api))),
        }
    }

    /// Gives the clients another key. Returns the one before.
    pub(crate) fn set_key(&self, key: &str) -> String {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let api = inner.1.with_key(key);
        std::mem::replace(&mut inner.1, api).key
    }

    pub(crate) fn set_urls(&self, urls: Vec<String>) {
        self.inner.write().unwrap_or_else(PoisonError::into_inner).0 = urls;
    }

    /// Returns the API at the address with this number; numbers beyond the last one begin again.
    fn api(&self, number: usize) -> Api {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let (urls, api) = &*inner;
        api.at(&urls[number % urls.len()])
    }
}

/// A client of the merchant that makes one call after another.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) target: Target,
    pub(crate) history: History,
    /// Number of the next `khata-api` process to call.
    turn: usize,
}

/// A call before it is made.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) operation: &'static str,
    pub(crate) customer: String,
    pub(crate) account: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) body: Value,
}

impl Planned {
    pub(crate) fn list(customer: &str) -> Self {
        Self {
            operation: "list",
            customer: customer.to_owned(),
            account: None,
            key: None,
            body: Value::Null,
        }
    }

    fn path(&self) -> String {
        let customer = format!("/customers/{}", self.customer);
        let account = self.account.as_deref().unwrap_or_default();
        match self.operation {
            "create" => format!("{customer}/accounts"),
            "list" => format!("{customer}/customer-accounts/list?count=100"),
            "validate" => format!("{customer}/customer-accounts/{account}/validate"),
            "delete" => format!("{customer}/customer-accounts/{account}"),
            // `account` holds the cursor.
            _ if account.is_empty() => "/events".to_owned(),
            _ => format!("/events?after={account}"),
        }
    }

    fn request(&self, api: &Api) -> RequestBuilder {
        let method = match self.operation {
            "list" | "events" => Method::GET,
            _ => Method::POST,
        };
        let mut request = api.call(method, &self.path());
        if !self.body.is_null() {
            request = request.json(&self.body);
        }
        if let Some(key) = &self.key {
            request = request.header("Idempotency-Key", key);
        }
        request
    }
}

impl Client {
    pub(crate) fn new(target: &Target, history: &History, turn: usize) -> Self {
        Self {
            target: target.clone(),
            history: history.clone(),
            turn,
        }
    }

    /// Makes the call once.
    pub(crate) async fn try_once(&mut self, planned: &Planned) -> Result<HttpReply> {
        self.turn += 1;
        let api = self.target.api(self.turn);
        let began = now();
        let reply = api.send(planned.request(&api)).await;
        let ended = now();
        let (status, text, replayed) = match &reply {
            Ok(reply) => {
                let replayed = reply.header("idempotent-replayed") == Some("true");
                (Some(reply.status), reply.text.as_str(), replayed)
            }
            Err(_) => (None, "", false),
        };
        self.history.add(
            "call",
            json!({"operation": planned.operation, "customer": planned.customer, "account": planned.account,
                "key": planned.key, "body": planned.body, "began": began, "ended": ended, "status": status, "reply": text,
                "replayed": replayed}),
        );
        reply
    }

    /// Repeats the call unchanged until the API accepts it or rejects it for good, as a merchant's backend does.
    pub(crate) async fn insist(&mut self, planned: &Planned) -> Result<HttpReply> {
        for _ in 0..MAX_TRIES {
            match self.try_once(planned).await {
                // A 409 without a key is a state that no repetition changes.
                Ok(reply)
                    if reply.status < 500
                        && reply.status != 429
                        && (reply.status != 409 || planned.key.is_none()) =>
                {
                    return Ok(reply);
                }
                _ => tokio::time::sleep(RETRY_DELAY).await,
            }
        }
        anyhow::bail!(
            "{} for {} was rejected {MAX_TRIES} times",
            planned.operation,
            planned.customer
        )
    }
}
