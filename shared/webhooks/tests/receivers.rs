//! Receivers of Khata's webhooks in other languages: the samples of `docs/samples/webhooks`, and the published libraries of the
//! Standard Webhooks specification. The samples run in each language that this machine has; Python and Node are always there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use khata_webhooks::{
    DeliveryRequest, EndpointUrl, OutgoingMessage, WebhookClient, WebhookSecret, WebhookSecrets,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Time-out of a program's start and of each line; compilers and interpreters need most of it.
const TIMEOUT: Duration = Duration::from_mins(2);
const ACCOUNT: &str = "banh_01k82u7s7aeqraoh1tia1a3hc8";

/// Returns the body of an event of the account, with blanks and an escape that a JSON library would write in another way.
fn event(name: &str, version: u32) -> String {
    format!(
        r#"{{"id":"evt_1","event_name":"{name}","date_created":"2026-11-29T10:00:00Z", "content":{{"customer_account":
        {{"object":"customer_account","id":"{ACCOUNT}","amount":1.00,"name":"\u0905 अ","status":"ACTIVE","version":{version},
        "metadata":{{"version":"9","id":"cst_1"}}}}}}}}"#
    )
}

const TEST_EVENT: &str = r#"{"id":"evt_1","event_name":"WEBHOOK_ENDPOINT_TEST","date_created":"2026-11-29T10:00:00Z","content":{"webhook_endpoint":{"id":"whe_1"}}}"#;

fn only(secret: &WebhookSecret) -> WebhookSecrets {
    WebhookSecrets::new(copy(secret), Vec::new())
}

fn copy(secret: &WebhookSecret) -> WebhookSecret {
    WebhookSecret::parse(&secret.expose()).unwrap()
}

/// Returns the secrets while `secret` is replaced by another one, in either place.
fn rotating(secret: &WebhookSecret) -> [WebhookSecrets; 2] {
    let other = WebhookSecret::generate_symmetric;
    [
        WebhookSecrets::new(
            other(),
            vec![WebhookSecret::generate_asymmetric(), copy(secret)],
        ),
        WebhookSecrets::new(copy(secret), vec![other()]),
    ]
}

fn message(id: &str, sent_at: DateTime<Utc>, body: &str) -> OutgoingMessage {
    OutgoingMessage::new(id, sent_at, Bytes::from(body.to_owned())).unwrap()
}

/// A running sample.
struct Sample {
    url: String,
    secret: WebhookSecret,
    lines: Lines<BufReader<Box<dyn AsyncRead + Unpin + Send>>>,
    folder: PathBuf,
    _process: Child,
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn sample(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/samples/webhooks")
        .join(path)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !is_here {
        eprintln!("{program} is not installed: its sample is not run");
    }
    is_here
}

/// Returns a new folder for the files of one sample.
fn folder() -> PathBuf {
    let name = WebhookSecret::generate_symmetric().expose();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let folder = std::env::temp_dir().join(format!("khata-sample-{name}"));
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// Returns a command that runs in the folder.
fn command(program: impl AsRef<std::ffi::OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        // The settings of the samples.
        .env_remove("DATABASE")
        .env("GOCACHE", folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

impl Sample {
    /// Starts a sample that chooses a free port, and prints it.
    async fn start(program: impl AsRef<std::ffi::OsStr>, arguments: &[&Path]) -> Self {
        let folder = folder();
        let secret = WebhookSecret::generate_symmetric();
        let mut process = command(program, &folder)
            .args(arguments)
            .env("KHATA_WEBHOOK_SECRET", secret.expose().as_str())
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output: Box<dyn AsyncRead + Unpin + Send> = Box::new(process.stdout.take().unwrap());
        let mut sample = Self {
            url: String::new(),
            secret,
            lines: BufReader::new(output).lines(),
            folder,
            _process: process,
        };
        let line = sample.line("listening on ").await;
        let url = line.rsplit(' ').next().unwrap();
        url.clone_into(&mut sample.url);
        sample
    }

    /// Starts the sample for PHP, whose server prints no port: it gets one that was free a moment ago.
    async fn start_php() -> Self {
        let folder = folder();
        let secret = WebhookSecret::generate_symmetric();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut process = command("php", &folder)
            .args(["-S", &address.to_string()])
            .arg(sample("php/receiver.php"))
            .env("KHATA_WEBHOOK_SECRET", secret.expose().as_str())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output: Box<dyn AsyncRead + Unpin + Send> = Box::new(process.stderr.take().unwrap());
        let mut sample = Self {
            url: format!("http://{address}"),
            secret,
            lines: BufReader::new(output).lines(),
            folder,
            _process: process,
        };
        sample.line("started").await;
        TcpStream::connect(address).await.unwrap();
        sample
    }

    /// Reads lines up to one with this text.
    async fn line(&mut self, text: &str) -> String {
        let read = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(text) {
                    return line;
                }
            }
            panic!("the sample ended before it printed {text:?}");
        };
        let read = tokio::time::timeout(TIMEOUT, read).await;
        read.unwrap_or_else(|_| panic!("the sample does not print {text:?}"))
    }

    /// Delivers a body as the worker does. Returns the status and the start of the reply.
    async fn deliver(&self, id: &str, body: &str) -> (u16, String) {
        let client = WebhookClient::new(true).unwrap();
        let request = DeliveryRequest {
            message: &message(id, Utc::now(), body),
            attempt: 1,
            secrets: &only(&self.secret),
            credentials: None,
        };
        let url = EndpointUrl::parse(&format!("{}/hooks", self.url), true).unwrap();
        let reply = client.send(&url, &request).await.unwrap();
        (reply.status, reply.excerpt)
    }

    /// Sends a body with any signature. Returns the status.
    async fn send(&self, secrets: &WebhookSecrets, signed: &OutgoingMessage, of: &Sent<'_>) -> u16 {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let reply = http
            .post(&self.url)
            .header("webhook-id", of.id)
            .header("webhook-timestamp", of.time.timestamp())
            .header("webhook-signature", secrets.sign(signed))
            .body(of.body.to_owned())
            .send()
            .await
            .unwrap();
        reply.status().as_u16()
    }

    /// Tries what a receiver must accept, recognize and refuse.
    async fn check(mut self) {
        let active = |version| event("CUSTOMER_ACCOUNT_ACTIVE", version);
        for (id, body, line) in [
            (
                "evt_a",
                active(2),
                format!("evt_a CUSTOMER_ACCOUNT_ACTIVE {ACCOUNT} version 2"),
            ),
            ("evt_a", active(2), "evt_a received before".into()),
            (
                "evt_b",
                active(1),
                "evt_b older than the version that we have".into(),
            ),
            (
                "evt_c",
                active(3),
                format!("evt_c CUSTOMER_ACCOUNT_ACTIVE {ACCOUNT} version 3"),
            ),
            (
                "evt_d",
                TEST_EVENT.into(),
                "evt_d WEBHOOK_ENDPOINT_TEST".into(),
            ),
        ] {
            let (status, reply) = self.deliver(id, &body).await;
            assert_eq!(status, 204, "{id}: {reply}");
            let printed = self.line(id).await;
            assert!(printed.ends_with(&line), "{printed}");
        }
        let (now, body) = (Utc::now(), active(4));
        let sent = Sent {
            id: "evt_e",
            time: now,
            body: &body,
        };
        let signed = message("evt_e", now, &body);
        for secrets in rotating(&self.secret) {
            assert_eq!(self.send(&secrets, &signed, &sent).await, 204);
        }
        let (own, other) = (
            only(&self.secret),
            only(&WebhookSecret::generate_symmetric()),
        );
        for (what, secrets, signed, sent) in refused(&own, &other, now, &body) {
            let status = self.send(secrets, &signed, &sent).await;
            assert_eq!(status, 401, "{what}");
        }
    }
}

/// A request without its signature.
struct Sent<'a> {
    id: &'a str,
    time: DateTime<Utc>,
    body: &'a str,
}

/// Returns requests that no receiver may accept.
fn refused<'a>(
    own: &'a WebhookSecrets,
    other: &'a WebhookSecrets,
    now: DateTime<Utc>,
    body: &'a str,
) -> Vec<(&'static str, &'a WebhookSecrets, OutgoingMessage, Sent<'a>)> {
    let hour = TimeDelta::hours(1);
    let sent = |id, time, body| Sent { id, time, body };
    let signed = |sent_at| message("evt_r", sent_at, body);
    vec![
        ("a changed body", own, signed(now), sent("evt_r", now, "{}")),
        ("another id", own, signed(now), sent("evt_s", now, body)),
        (
            "another time",
            own,
            signed(now),
            sent("evt_r", now + TimeDelta::seconds(1), body),
        ),
        (
            "an old request",
            own,
            signed(now - hour),
            sent("evt_r", now - hour, body),
        ),
        (
            "a request of the future",
            own,
            signed(now + hour),
            sent("evt_r", now + hour, body),
        ),
        (
            "another secret",
            other,
            signed(now),
            sent("evt_r", now, body),
        ),
    ]
}

#[tokio::test]
async fn the_python_sample_accepts_only_what_khata_signed() {
    let file = sample("python/receiver.py");
    Sample::start("python3", &[&file]).await.check().await;
}

#[tokio::test]
async fn the_node_sample_accepts_only_what_khata_signed() {
    let file = sample("node/receiver.mjs");
    Sample::start("node", &[&file]).await.check().await;
}

#[tokio::test]
async fn the_go_sample_accepts_only_what_khata_signed() {
    if is_installed("go") {
        let (folder, file) = (folder(), sample("go/receiver.go"));
        let program = folder.join("receiver");
        let mut compiler = command("go", &folder);
        compiler.args(["build", "-o"]).arg(&program).arg(&file);
        let status = compiler.status().await.unwrap();
        assert!(status.success());
        Sample::start(&program, &[]).await.check().await;
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[tokio::test]
async fn the_php_sample_accepts_only_what_khata_signed() {
    if is_installed("php") {
        Sample::start_php().await.check().await;
    }
}

#[tokio::test]
async fn the_java_sample_accepts_only_what_khata_signed() {
    if is_installed("java") {
        let file = sample("java/Receiver.java");
        Sample::start("java", &[&file]).await.check().await;
    }
}

#[tokio::test]
async fn no_sample_starts_without_a_secret() {
    for (program, file) in [
        ("python3", "python/receiver.py"),
        ("node", "node/receiver.mjs"),
        ("go", "go/receiver.go"),
        ("php", "php/receiver.php"),
        ("java", "java/Receiver.java"),
    ] {
        if !is_installed(program) {
            continue;
        }
        let folder = folder();
        // As the guide shows it; nothing; a key that is too short.
        for secret in ["whsec_…", "", "whsec_c2hvcnQ="] {
            let mut starting = command(program, &folder);
            if program == "go" {
                starting.arg("run");
            }
            let starting = starting
                .arg(sample(file))
                .env("KHATA_WEBHOOK_SECRET", secret)
                .env("PORT", "0")
                .output();
            let output = tokio::time::timeout(TIMEOUT, starting);
            let output = output
                .await
                .unwrap_or_else(|_| panic!("{file} runs with {secret:?}"));
            let output = output.unwrap();
            let printed = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success(), "{file} with {secret:?}");
            let is_named = printed.contains("set KHATA_WEBHOOK_SECRET to the endpoint's secret");
            assert!(
                is_named && printed.lines().count() < 3,
                "{file} with {secret:?}: {printed}"
            );
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

#[tokio::test]
async fn the_published_python_library_verifies_webhooks() {
    let tools = tools().join("python");
    let program = tools.join("bin/python");
    let secret = WebhookSecret::generate_symmetric;
    verify(&program, "verify.py", &tools, secret).await;
}

#[tokio::test]
async fn the_published_node_library_verifies_webhooks() {
    let folder = tools().join("node");
    let secret = WebhookSecret::generate_symmetric;
    verify(Path::new("node"), "verify.mjs", &folder, secret).await;
}

#[tokio::test]
async fn the_node_sample_verifies_v1a_signatures() {
    let folder = folder();
    let key = WebhookSecret::generate_asymmetric;
    verify(Path::new("node"), "verify_v1a.mjs", &folder, key).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

fn tools() -> PathBuf {
    std::env::var_os("KHATA_TEST_TOOLS").map(PathBuf::from).expect(
        "KHATA_TEST_TOOLS is not set: this test needs the published libraries; run it through `make test`, or install them with \
         `e2e/tools.sh` and name their folder (.local/tools) here",
    )
}

/// Gives a program requests that it must accept and others that it must refuse, signed with secrets of one kind.
async fn verify(
    interpreter: &Path,
    script: &str,
    folder: &Path,
    generate: impl Fn() -> WebhookSecret,
) {
    let secret = generate();
    let keys = secret
        .web_key()
        .map(|key| json!({ "kty": "OKP", "crv": "Ed25519", "x": key.x, "kid": key.kid }));
    let (now, body) = (Utc::now(), event("CUSTOMER_ACCOUNT_ACTIVE", 2));
    let request = |secrets: &WebhookSecrets, signed: &OutgoingMessage, sent: &Sent<'_>| {
        json!({
            "secret": secret.expose().as_str(),
            "keys": { "keys": keys.iter().collect::<Vec<_>>() },
            "body": sent.body,
            "headers": {
                "webhook-id": sent.id,
                "webhook-timestamp": sent.time.timestamp().to_string(),
                "webhook-signature": secrets.sign(signed),
            },
        })
    };
    let sent = Sent {
        id: "evt_a",
        time: now,
        body: &body,
    };
    let signed = message("evt_a", now, &body);
    let (own, other) = (only(&secret), only(&generate()));
    let [newest, oldest] = rotating(&secret);
    let accepted = [&own, &newest, &oldest].map(|secrets| request(secrets, &signed, &sent));
    let refused = refused(&own, &other, now, &body);
    let refused = refused
        .iter()
        .map(|(_, secrets, signed, sent)| request(secrets, signed, sent));
    let requests: Vec<Value> = accepted.iter().cloned().chain(refused).collect();

    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/receivers")
        .join(script);
    let mut running = command(interpreter, folder)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = running.stdin.take().unwrap();
    let text = Value::from(requests.clone()).to_string();
    input.write_all(text.as_bytes()).await.unwrap();
    drop(input);
    let output = tokio::time::timeout(TIMEOUT, running.wait_with_output()).await;
    let output = output.expect("the library does not end").unwrap();
    assert!(output.status.success());
    let verified: Vec<bool> = serde_json::from_slice(&output.stdout).unwrap();
    let expected: Vec<bool> = (0..requests.len())
        .map(|place| place < accepted.len())
        .collect();
    assert_eq!(verified, expected);
}
