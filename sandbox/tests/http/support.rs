//! One running sandbox and a client that knows its credentials.

use std::sync::Once;
use std::time::{Duration, Instant};

use actix_web::rt::time::sleep;
use clap::Parser;
use khata_sandbox::cashfree::{CLIENT_ID, CLIENT_SECRET};
use khata_sandbox::{Application, Settings};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

pub(crate) struct Sandbox {
    base: String,
    client: Client,
}

impl Sandbox {
    /// Starts one on a free port, with these flags besides. It ends with the test's runtime.
    pub(crate) fn start(flags: &[&str]) -> Self {
        let mut arguments = vec!["khata-sandbox", "--sandbox-listen", "127.0.0.1:0"];
        arguments.extend(flags);
        let application = Application::build(&Settings::parse_from(arguments)).unwrap();
        let port = application.port();
        actix_web::rt::spawn(application.run_until_stopped());
        Self::at(port)
    }

    /// One that is already running.
    pub(crate) fn at(port: u16) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::ring::default_provider()
                .install_default()
                .unwrap();
        });
        Self {
            base: format!("http://127.0.0.1:{port}"),
            client: Client::new(),
        }
    }

    pub(crate) fn address(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// A call to Cashfree with the right credentials.
    pub(crate) fn cashfree(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path)
            .header("x-client-id", CLIENT_ID)
            .header("x-client-secret", CLIENT_SECRET)
            .header("x-api-version", "2024-12-01")
    }

    /// A call to Cashfree without any header of its own.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("/cashfree/verification{path}"))
    }

    /// A call to this path.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        reply(self.cashfree(Method::POST, path).json(body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        reply(self.cashfree(Method::GET, path)).await
    }

    pub(crate) async fn sync(&self, account: &str, ifsc: &str, name: &str) -> Value {
        let body = json!({"bank_account": account, "ifsc": ifsc, "name": name});
        ok(self.post("/bank-account/sync", &body).await)
    }

    pub(crate) async fn send_async(&self, account: &str, ifsc: &str, user_id: &str) -> Value {
        let body =
            json!({"bank_account": account, "ifsc": ifsc, "name": "Asha Rao", "user_id": user_id});
        ok(self.post("/bank-account/async", &body).await)
    }

    pub(crate) async fn of_user(&self, user_id: &str) -> Value {
        ok(self.get(&format!("/bank-account?user_id={user_id}")).await)
    }

    /// A call to the control API.
    pub(crate) fn control(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("/_sandbox{path}"))
    }

    pub(crate) async fn set_behaviour(&self, behaviour: &Value) -> (u16, Value) {
        reply(self.control(Method::PUT, "/behaviour").json(behaviour)).await
    }

    /// Sets a webhook and returns the reply.
    pub(crate) async fn set_webhook(&self, webhook: &Value) -> Value {
        ok(reply(self.control(Method::PUT, "/webhooks").json(webhook)).await)
    }

    /// The gateway's webhook and the counts of its deliveries.
    pub(crate) async fn webhook_counts(&self, gateway: &str) -> Value {
        let listed = ok(reply(self.control(Method::GET, "/webhooks")).await);
        of_gateway(&listed, gateway)
    }

    /// The gateway's counts of calls.
    pub(crate) async fn calls(&self, gateway: &str) -> Value {
        let listed = ok(reply(self.control(Method::GET, "/calls")).await);
        of_gateway(&listed, gateway)
    }

    pub(crate) async fn drops(&self) -> Value {
        ok(reply(self.control(Method::GET, "/drops")).await)
    }

    /// Drops performed, and the references they carried.
    pub(crate) async fn counted(&self) -> (u64, u64) {
        let drops = self.drops().await;
        (
            drops["total"].as_u64().unwrap(),
            drops["distinct_references"].as_u64().unwrap(),
        )
    }
}

fn of_gateway(listed: &Value, gateway: &str) -> Value {
    let listed = listed.as_array().unwrap();
    let found = listed.iter().find(|entry| entry["gateway"] == gateway);
    found.unwrap().clone()
}

pub(crate) async fn reply(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    let json = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&body).unwrap()
    };
    (status, json)
}

pub(crate) fn ok((status, body): (u16, Value)) -> Value {
    assert_eq!(status, 200, "{body}");
    body
}

/// The body of a UPI penny drop that has its consent.
pub(crate) fn penny_drop(verification_id: &str, vpa: &str) -> Value {
    json!({
        "verification_id": verification_id,
        "vpa": vpa,
        "name": "Asha Rao",
        "user_consent": {
            "obtained": true,
            "type": "EXPLICIT",
            "timestamp": "2025-10-27T09:24:36Z",
            "purpose": "to pay out",
        },
    })
}

/// Polls until the condition holds, for a minute at most: other tests may keep the machine busy.
pub(crate) async fn wait_for(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
