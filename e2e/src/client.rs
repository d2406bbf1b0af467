//! A merchant's backend: calls Khata's API as one would, and waits as one would.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deadline::eventually;

/// No answer takes longer, whatever is down.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Khata's API at one address, called with one merchant's key.
#[derive(Clone, Debug)]
pub struct Api {
    http: Client,
    /// `http://127.0.0.1:8080`
    pub url: String,
    /// The API key.
    pub key: String,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body as it came.
    pub text: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The trace it belongs to, as its `traceresponse` header names it: 32 hex digits.
    pub fn trace_id(&self) -> Option<String> {
        let mut parts = self.header("traceresponse")?.split('-').skip(1);
        parts.next().map(str::to_owned)
    }

    /// Itself, if its status is this one.
    pub fn expect_status(self, status: u16) -> anyhow::Result<Self> {
        if self.status != status {
            bail!(
                "answered {} instead of {status}: {}",
                self.status,
                self.text
            );
        }
        Ok(self)
    }

    /// The accounts of a 200: those of a list, or the one that was answered by itself.
    pub fn accounts(self) -> anyhow::Result<Vec<Value>> {
        let body = self.expect_status(200)?.json();
        Ok(match body {
            Value::Object(ref list) if list.get("object") == Some(&"list".into()) => {
                list["list"].as_array().cloned().unwrap_or_default()
            }
            account => vec![account],
        })
    }

    /// The account of a 200 to a call about one.
    pub fn account(self) -> anyhow::Result<Value> {
        let mut accounts = self.accounts()?;
        if accounts.len() != 1 {
            bail!("answered {} accounts instead of one", accounts.len());
        }
        Ok(accounts.remove(0))
    }
}

/// The text of a member of an answer, empty where it is none.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

impl Api {
    /// The API at this address.
    pub fn new(url: &str, key: &str) -> anyhow::Result<Self> {
        crate::install_tls();
        let http = Client::builder()
            .timeout(CALL_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            http,
            url: url.trim_end_matches('/').to_owned(),
            key: key.to_owned(),
        })
    }

    /// The same API with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }

    /// The same merchant at another address.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            ..self.clone()
        }
    }

    /// A call without credentials.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// A call with the key.
    pub fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).basic_auth(&self.key, Some(""))
    }

    /// Makes a call; fails only if there is no answer at all.
    pub async fn send(&self, request: RequestBuilder) -> anyhow::Result<Answer> {
        let response = request.send().await.context("no answer")?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.context("the answer broke off")?;
        Ok(Answer {
            status,
            headers,
            text,
        })
    }

    /// *Create accounts* with a form of these fields.
    pub async fn create(&self, customer: &str, form: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.send(self.creation(customer).form(form)).await
    }

    /// *Create accounts* with this JSON body.
    pub async fn create_json(&self, customer: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(self.creation(customer).json(body)).await
    }

    /// *Create accounts*, the body to be added.
    pub fn creation(&self, customer: &str) -> RequestBuilder {
        self.call(Method::POST, &format!("/customers/{customer}/accounts"))
    }

    /// *Get account*.
    pub async fn get(&self, customer: &str, account: &str) -> anyhow::Result<Answer> {
        let path = format!("/customers/{customer}/customer-accounts/{account}");
        self.send(self.call(Method::GET, &path)).await
    }

    /// *List accounts*; `query` with its question mark, or empty.
    pub async fn list(&self, customer: &str, query: &str) -> anyhow::Result<Answer> {
        let path = format!("/customers/{customer}/customer-accounts/list{query}");
        self.send(self.call(Method::GET, &path)).await
    }

    /// `GET` without credentials, for health.
    pub async fn look(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(self.bare(Method::GET, path)).await
    }

    /// Waits until the account has one of these statuses, and answers it as it is then. ACTIVE and FAILURE are final: an
    /// account with one of them that was not asked for is an error at once.
    pub async fn wait_for(
        &self,
        customer: &str,
        account: &str,
        statuses: &[&str],
        patience: Duration,
    ) -> anyhow::Result<Value> {
        let what = format!("account {account} becoming {}", statuses.join(" or "));
        eventually(patience, &what, async || {
            let seen = self.get(customer, account).await?.account()?;
            let status = text(&seen, "/status").to_owned();
            let is_final = ["ACTIVE", "FAILURE"].contains(&status.as_str());
            if statuses.contains(&status.as_str()) {
                Ok(Some(Ok(seen)))
            } else if is_final {
                Ok(Some(Err(anyhow::anyhow!("{what}: it is {seen}"))))
            } else {
                Err(anyhow::anyhow!("it is {seen}"))
            }
        })
        .await?
    }

    /// Sends these bytes as they are and answers what comes back until the server closes or is silent for 5 s.
    pub async fn raw(&self, request: &[u8]) -> anyhow::Result<String> {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        // A server that has seen enough may answer and close before everything is sent.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await;
            match read {
                Ok(Ok(count)) if count > 0 => answer.extend_from_slice(&buffer[..count]),
                _ => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            }
        }
    }
}
