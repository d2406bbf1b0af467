//! An address that call-backs go to: keeps what came, answers as told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde_json::Value;

use crate::support::wait_for;

/// One call-back as it came.
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
    came: Mutex<Vec<Event>>,
    answers: Mutex<VecDeque<u16>>,
}

pub(crate) struct Receiver {
    mailbox: Arc<Mailbox>,
    pub(crate) url: String,
}

impl Receiver {
    /// Listens on a free port. The first call-backs are answered with these statuses, the rest with 200.
    pub(crate) fn start(answers: &[u16]) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        mailbox.answers.lock().unwrap().extend(answers);
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

    pub(crate) fn came(&self) -> Vec<Event> {
        self.mailbox.came.lock().unwrap().clone()
    }

    /// What came, once it is so many.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Event> {
        wait_for("call-backs", async || self.came().len() >= count).await;
        self.came()
    }
}

async fn take(request: HttpRequest, body: Bytes, mailbox: Data<Mailbox>) -> HttpResponse {
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    mailbox.came.lock().unwrap().push(Event { headers, body });
    let status = mailbox.answers.lock().unwrap().pop_front().unwrap_or(200);
    HttpResponse::new(StatusCode::from_u16(status).unwrap())
}
