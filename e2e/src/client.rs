//! A client of Khata's API, as a merchant's backend uses it.

use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deadline::eventually;

/// Time-out of a call. No reply takes longer, even if a server is down.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Khata's API at one address, called with one merchant's key.
#[derive(Clone, Debug)]
pub struct Api {
    http: Client,
    /// `http://127.0.0.1:8080`
    pub url: String,
    pub key: String,
}

/// A complete reply.
#[derive(Clone, Debug)]
pub struct HttpReply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl HttpReply {
    /// Returns the body as JSON; null if it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the trace id of the `traceresponse` header: 32 hex digits.
    pub fn trace_id(&self) -> Option<String> {
        let mut parts = self.header("traceresponse")?.split('-').skip(1);
        parts.next().map(str::to_owned)
    }

    /// Returns the reply itself; another status is an error.
    pub fn expect_status(self, status: u16) -> anyhow::Result<Self> {
        if self.status != status {
            bail!("got {} instead of {status}: {}", self.status, self.text);
        }
        Ok(self)
    }

    /// Returns the accounts of a 200: those of a list, or a single one.
    pub fn accounts(self) -> anyhow::Result<Vec<Value>> {
        let body = self.expect_status(200)?.json();
        Ok(if body["object"] == "list" {
            body["list"].as_array().cloned().unwrap_or_default()
        } else {
            vec![body]
        })
    }

    /// Returns the only account of a 200.
    pub fn account(self) -> anyhow::Result<Value> {
        let mut accounts = self.accounts()?;
        if accounts.len() != 1 {
            bail!("got {} accounts instead of one", accounts.len());
        }
        Ok(accounts.remove(0))
    }
}

/// Returns the text at a JSON pointer; empty if there is no text.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

/// Installs the cryptography that HTTP clients need. Repeated calls change nothing.
pub fn install_tls() {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Api {
    /// Returns a client of the API at this address.
    pub fn new(url: &str, key: &str) -> anyhow::Result<Self> {
        install_tls();
        let http = Client::builder()
            .timeout(CALL_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .context("cannot make an HTTP client")?;
        let (url, key) = (url.trim_end_matches('/').to_owned(), key.to_owned());
        Ok(Self { http, url, key })
    }

    /// Returns the same client with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self.clone()
        }
    }

    /// Returns the same client at another address.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            ..self.clone()
        }
    }

    /// Builds a call without credentials.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// Builds a call with the key.
    pub fn call(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).basic_auth(&self.key, Some(""))
    }

    /// Makes a call; fails only if there is no reply.
    pub async fn send(&self, request: RequestBuilder) -> anyhow::Result<HttpReply> {
        let response = request.send().await.context("no reply")?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.context("the reply is incomplete")?;
        Ok(HttpReply {
            status,
            headers,
            text,
        })
    }

    /// Calls *Create accounts* with a form.
    pub async fn create(&self, customer: &str, form: &[(&str, &str)]) -> anyhow::Result<HttpReply> {
        self.send(self.creation(customer).form(form)).await
    }

    /// Calls *Create accounts* with a JSON body.
    pub async fn create_json(&self, customer: &str, body: &Value) -> anyhow::Result<HttpReply> {
        self.send(self.creation(customer).json(body)).await
    }

    /// Builds a *Create accounts* call without its body.
    pub fn creation(&self, customer: &str) -> RequestBuilder {
        self.call(Method::POST, &format!("/customers/{customer}/accounts"))
    }

    /// Calls *Get account*.
    pub async fn get(&self, customer: &str, account: &str) -> anyhow::Result<HttpReply> {
        let path = format!("/customers/{customer}/customer-accounts/{account}");
        self.send(self.call(Method::GET, &path)).await
    }

    /// Calls *List accounts*. `query` begins with a question mark, or is empty.
    pub async fn list(&self, customer: &str, query: &str) -> anyhow::Result<HttpReply> {
        let path = format!("/customers/{customer}/customer-accounts/list{query}");
        self.send(self.call(Method::GET, &path)).await
    }

    /// Calls a path with `GET` and no credentials, for health.
    pub async fn get_path(&self, path: &str) -> anyhow::Result<HttpReply> {
        self.send(self.bare(Method::GET, path)).await
    }

    /// Waits until the account has one of these statuses, and returns it. ACTIVE and FAILURE are final: an account with
    /// another final status is an error at once.
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

    /// Sends these bytes unchanged. Returns all bytes until the server closes or is silent for 5 s.
    pub async fn raw(&self, request: &[u8]) -> anyhow::Result<String> {
        let address = self.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await?;
        // A server may reply and close before everything is sent.
        let _ = stream.write_all(request).await;
        let mut reply = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut buffer)).await;
            match read {
                Ok(Ok(count)) if count > 0 => reply.extend_from_slice(&buffer[..count]),
                _ => return Ok(String::from_utf8_lossy(&reply).into_owned()),
            }
        }
    }
}
