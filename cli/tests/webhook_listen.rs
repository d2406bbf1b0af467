//! `khata webhook listen` between an API that lists events and a program that gets them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use khata_domain::events::EventId;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::Webhook;

/// Time-out of each step.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A request as received.
struct Request {
    /// Method, path and query.
    line: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: HeaderMap = lines[1..]
        .iter()
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        })
        .collect();
    let length = headers.get("content-length");
    let length = length.map_or(0, |length| length.to_str().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    Request {
        line: lines.remove(0),
        headers,
        body,
    }
}

/// Listens on a port of this machine. Returns its address and the requests, to each of which it sends a status and a body.
fn serve(
    reply: impl Fn(&Request) -> (u16, String) + Send + 'static,
) -> (SocketAddr, Receiver<Request>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read(&stream);
            let (status, body) = reply(&request);
            let head = format!(
                "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            // The command may have ended.
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (address, requests)
}

/// The running command, and its lines.
struct Listening {
    process: Child,
    lines: Receiver<String>,
    key_file: PathBuf,
}

impl Listening {
    fn start(api: SocketAddr, target: SocketAddr, options: &[&str]) -> Self {
        let key_file = std::env::temp_dir().join(format!("khata-key-{}", EventId::new()));
        std::fs::write(&key_file, "kh_test_key\n").unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_khata"))
            .args(["webhook", "listen", "--api", &format!("http://{api}/")])
            .args(["--forward-to", &format!("http://{target}/hooks")])
            .arg("--key-file")
            .arg(&key_file)
            .args(options)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines() {
                if sender.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Self {
            process,
            lines,
            key_file,
        }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(TIMEOUT).unwrap()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.key_file);
    }
}

/// Returns an event with blanks and an escape that a JSON library would write in another way.
fn event(id: EventId, version: u32) -> String {
    format!(
        r#"{{"id":"{id}", "event_name":"CUSTOMER_ACCOUNT_ACTIVE","date_created":"2026-11-29T10:00:0{version}Z",
        "content":{{"customer_account":{{"id":"banh_1","version":{version},"amount":1.00,"name":"\u0905 अ"}}}}}}"#
    )
}

/// An API with these events, a page for each; the last event happens after the first call for it.
fn api(events: &[(EventId, String)]) -> (SocketAddr, Receiver<Request>) {
    let events = events.to_vec();
    let is_asked_again = AtomicBool::new(false);
    serve(move |request| {
        let last = events.len() - 1;
        let after = request.line.split("after=").nth(1);
        let place = after.map_or(0, |after| {
            let known = |(id, _): &(EventId, String)| after.starts_with(&id.to_string());
            // `latest`: behind those that have happened.
            events
                .iter()
                .position(known)
                .map_or(last, |place| place + 1)
        });
        let is_latest = after.is_some_and(|after| after.starts_with("latest"));
        let is_early = is_latest || place == last && !is_asked_again.swap(true, Ordering::Relaxed);
        let next = if is_early { None } else { events.get(place) };
        let event = next.map_or("", |(_, event)| event);
        let has_more = place + 1 < last;
        let cursor = next.map_or_else(
            || place.checked_sub(1).map(|at| events[at].0),
            |next| Some(next.0),
        );
        let cursor = cursor.map_or("null".to_owned(), |id| format!(r#""{id}""#));
        let body = format!(
            r#"{{"object":"list","count":1,"has_more":{has_more},"cursor":{cursor},"list":[{event}]}}"#
        );
        (200, body)
    })
}

fn three_events() -> [(EventId, String); 3] {
    [1, 2, 3].map(|version| {
        let id = EventId::new();
        (id, event(id, version))
    })
}

#[test]
fn new_events_are_posted_with_their_bytes_and_a_signature() {
    let events = three_events();
    let (api, calls) = api(&events);
    let (target, posted) = serve(|_| (204, String::new()));
    let listening = Listening::start(api, target, &["--type", "CUSTOMER_ACCOUNT_ACTIVE"]);
    let secret = listening.line();
    let secret = secret.rsplit(' ').next().unwrap();
    // The API is not asked for the two older ones.
    let request = posted.recv_timeout(TIMEOUT).unwrap();
    let (id, body) = &events[2];
    assert_eq!(request.line, "POST /hooks HTTP/1.1");
    assert_eq!(request.body, body.as_bytes());
    assert_eq!(request.headers["webhook-id"], id.to_string());
    let verifier = Webhook::new(secret).unwrap();
    verifier.verify(&request.body, &request.headers).unwrap();
    let line = listening.line();
    let expected = format!(" {id} CUSTOMER_ACCOUNT_ACTIVE banh_1 version 3 -> 204 (");
    assert!(line.contains(&expected), "{line}");
    let call = calls.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(
        call.line,
        "GET /events?limit=100&types=CUSTOMER_ACCOUNT_ACTIVE&after=latest HTTP/1.1"
    );
    // The key as user name, with an empty password.
    assert_eq!(call.headers["authorization"], "Basic a2hfdGVzdF9rZXk6");
    let next = calls.recv_timeout(TIMEOUT).unwrap().line;
    assert!(next.contains(&format!("after={}", events[1].0)), "{next}");
}

#[test]
fn the_first_event_of_a_merchant_is_posted() {
    let (id, body) = &three_events()[0];
    let (first, body) = (body.clone(), body.clone());
    let (api, _calls) = serve(move |request| {
        // No event, and no cursor, until the second call.
        let (cursor, event) = if request.line.contains("after=") {
            ("null", "")
        } else {
            (r#""evt_01k82u7s7aeqraoh1tia1a3hc8""#, &*first)
        };
        let body = format!(
            r#"{{"object":"list","count":1,"has_more":false,"cursor":{cursor},"list":[{event}]}}"#
        );
        (200, body)
    });
    let (target, posted) = serve(|_| (204, String::new()));
    let _listening = Listening::start(api, target, &[]);
    let request = posted.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(request.body, body.as_bytes());
    assert_eq!(request.headers["webhook-id"], id.to_string());
}

#[test]
fn earlier_events_are_posted_on_demand_and_failures_are_shown() {
    let events = three_events();
    let (api, _calls) = api(&events);
    let (target, posted) = serve(|_| (500, "no\ndatabase".to_owned()));
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let since = [
        "--since",
        "2026-11-29T10:00:02Z",
        "--secret",
        secret,
        "--json",
    ];
    let listening = Listening::start(api, target, &since);
    for (id, body) in &events[1..] {
        let request = posted.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(request.body, body.as_bytes());
        let verifier = Webhook::new(secret).unwrap();
        verifier.verify(&request.body, &request.headers).unwrap();
        let line: serde_json::Value = serde_json::from_str(&listening.line()).unwrap();
        assert_eq!(line["event_id"], id.to_string());
        assert_eq!(line["status"], 500);
        assert_eq!(line["failure"], "status");
    }
}

#[test]
fn a_receiver_that_does_not_run_is_named() {
    let events = three_events();
    let (api, _calls) = api(&events);
    // The port belongs to this test, and nothing listens on it.
    let unused = tokio::net::TcpSocket::new_v4().unwrap();
    unused.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let target = unused.local_addr().unwrap();
    let listening = Listening::start(api, target, &[]);
    listening.line();
    let line = listening.line();
    let expected = format!("-> connect: nothing listens on {target}: start your receiver (");
    assert!(line.contains(&expected), "{line}");
}

#[test]
fn a_refused_key_ends_the_command_with_the_reason() {
    let body = r#"{"error_info":{"developer_message":"Invalid API Key."}}"#;
    let (api, _calls) = serve(move |_| (401, body.to_owned()));
    let (target, _posted) = serve(|_| (204, String::new()));
    let mut listening = Listening::start(api, target, &[]);
    let mut error = String::new();
    let mut output = listening.process.stderr.take().unwrap();
    output.read_to_string(&mut error).unwrap();
    assert!(
        error.contains("401") && error.contains("Invalid API Key."),
        "{error}"
    );
    assert_eq!(listening.process.wait().unwrap().code(), Some(1));
}
