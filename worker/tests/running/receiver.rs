//! A merchant's webhook endpoint in the test's process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// A webhook, as the endpoint got it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the name of the event, and the account's version.
    pub(crate) fn event(&self) -> (String, i64) {
        let event = self.json();
        let version = event["content"]["customer_account"]["version"].as_i64();
        let name = event["event_name"].as_str().unwrap();
        (name.to_owned(), version.unwrap_or(0))
    }
}

/// How the endpoint replies to its webhook of this number, from 0.
type Reply = Arc<dyn Fn(usize, &Received) -> (u16, Duration) + Send + Sync>;

/// An endpoint that ends with the test's runtime.
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Starts an endpoint that replies as `reply` says: a status, after a delay.
    pub(crate) fn start(
        reply: impl Fn(usize, &Received) -> (u16, Duration) + Send + Sync + 'static,
    ) -> Self {
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (kept, reply): (_, Reply) = (Arc::clone(&received), Arc::new(reply));
        let server = HttpServer::new(move || {
            let (kept, reply) = (Arc::clone(&kept), Arc::clone(&reply));
            App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
                let (kept, reply) = (Arc::clone(&kept), Arc::clone(&reply));
                async move {
                    let received = read(&request, &body);
                    let number = {
                        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                        kept.push(received.clone());
                        kept.len() - 1
                    };
                    let (status, delay) = reply(number, &received);
                    tokio::time::sleep(delay).await;
                    HttpResponse::build(StatusCode::from_u16(status).unwrap()).body("thank you")
                }
            }))
        });
        let server = server.workers(1).disable_signals();
        let server = server.bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hooks", server.addrs()[0]);
        tokio::spawn(server.run());
        Self { url, received }
    }

    /// Starts an endpoint that accepts everything at once.
    pub(crate) fn accepting() -> Self {
        Self::start(|_, _| (200, Duration::ZERO))
    }

    /// Returns everything received.
    pub(crate) fn all(&self) -> Vec<Received> {
        let received = self.received.lock();
        received.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for this many webhooks; returns all.
    pub(crate) async fn at_least(&self, count: usize) -> Vec<Received> {
        khata_testing::until(&format!("{count} webhooks"), async || {
            self.all().len() >= count
        })
        .await;
        self.all()
    }
}

fn read(request: &HttpRequest, body: &[u8]) -> Received {
    let headers = request.headers().iter().map(|(name, value)| {
        let name: HeaderName = name.as_str().parse().unwrap();
        (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    Received {
        at: Instant::now(),
        headers: headers.collect(),
        body: body.to_vec(),
    }
}
