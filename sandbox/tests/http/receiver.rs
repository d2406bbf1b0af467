//! An address for webhooks: keeps the events, and replies as set.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde_json::Value;

use crate::support::wait_for;

/// One event as it arrived.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        &self.headers[name]
    }
}

#[derive(Default)]
struct Mailbox {
    events: Mutex<Vec<Event>>,
    replies: Mutex<VecDeque<u16>>,
}

pub(crate) struct Receiver {
    mailbox: Arc<Mailbox>,
    pub(crate) url: String,
}

impl Receiver {
    /// Listens on a free port. The first events get these statuses, the others 200.
    pub(crate) fn start(replies: &[u16]) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        mailbox.replies.lock().unwrap().extend(replies);
        let shared = Data::from(Arc::clone(&mailbox));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .route("/hook", web::post().to(take))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .unwrap();
        let url = format!("http://{}/hook", server.addrs()[0]);
        actix_web::rt::spawn(server.run());
        Self { mailbox, url }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.mailbox.events.lock().unwrap().clone()
    }

    /// Waits for this number of events and returns them.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Event> {
        wait_for("webhooks", async || self.events().len() >= count).await;
        self.events()
    }
}

async fn take(request: HttpRequest, body: Bytes, mailbox: Data<Mailbox>) -> HttpResponse {
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    mailbox.events.lock().unwrap().push(Event { headers, body });
    let status = mailbox.replies.lock().unwrap().pop_front().unwrap_or(200);
    HttpResponse::new(StatusCode::from_u16(status).unwrap())
}
