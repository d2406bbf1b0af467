//! A receiver of webhooks that fails, lies and delays as the seed says. Everything that it gets is in the history.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::history::{History, now};
use crate::random::Random;

/// Maximum size of a request.
const MAX_REQUEST: usize = 256 * 1024;

/// A running receiver; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    /// While set, the receiver closes every connection before it reads.
    pub(crate) is_down: Arc<AtomicBool>,
    /// Number of connections that it closed while it was down.
    pub(crate) refused: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A receiver's reaction to a request.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Accept,
    /// Replies 500, although it has the event.
    Fail,
    /// Closes the connection before it replies.
    Cut,
    /// Accepts after a second and a half.
    Slow,
    /// Announces a longer body than it sends.
    Lie,
}

/// The events of one endpoint, which `id` names in the history once it is known.
#[derive(Clone)]
struct Endpoint {
    history: History,
    id: Arc<std::sync::OnceLock<String>>,
    /// Percentage of first attempts that fail in some way.
    failing: usize,
    seed: u64,
}

impl Receiver {
    /// Starts a receiver on a free port. `failing` percent of the first attempts fail; later ones succeed.
    pub(crate) async fn start(
        history: &History,
        failing: usize,
        seed: u64,
        id: Arc<std::sync::OnceLock<String>>,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/webhooks", listener.local_addr()?);
        let is_down = Arc::new(AtomicBool::new(false));
        let refused = Arc::new(AtomicU64::new(0));
        let endpoint = Endpoint {
            history: history.clone(),
            id,
            failing,
            seed,
        };
        let (down, count) = (Arc::clone(&is_down), Arc::clone(&refused));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if down.load(Ordering::Relaxed) {
                    count.fetch_add(1, Ordering::Relaxed);
                } else {
                    tokio::spawn(serve(stream, endpoint.clone()));
                }
            }
        });
        Ok(Self {
            url,
            is_down,
            refused,
            task,
        })
    }
}

impl Endpoint {
    /// Decides by the payee, the version of its account and the attempt: the load's seed fixes the payees, and ids are random.
    fn reply(&self, body: &[u8], attempt: u64) -> Reply {
        let mut random = Random::of(self.seed, part_of(body));
        if attempt == 1 && random.percent(self.failing) {
            random.pick(&[Reply::Fail, Reply::Cut, Reply::Slow, Reply::Lie])
        } else {
            Reply::Accept
        }
    }
}

/// Returns a number for the account and the version that a body shows, the same in every run.
fn part_of(body: &[u8]) -> u64 {
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    let account = &event["content"]["customer_account"];
    let details = &account["account_details"];
    let number = &details["bank_account_details"]["account_number"];
    let payee = format!(
        "{number}/{}/{}",
        details["vpa_details"]["vpa"], account["version"]
    );
    payee.bytes().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    })
}

async fn serve(mut stream: TcpStream, endpoint: Endpoint) {
    // A connection that breaks while it is read is no request.
    let Ok((head, body)) = read(&mut stream).await else {
        return;
    };
    let began = now();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let id = header("webhook-id");
    let attempt: u64 = header("khata-attempt").parse().unwrap_or_default();
    let reply = endpoint.reply(&body, attempt);
    let (status, text) = match reply {
        Reply::Accept | Reply::Slow => (
            Some(200),
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        ),
        Reply::Lie => (
            Some(200),
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 900\r\n\r\nok",
        ),
        Reply::Fail => (
            Some(500),
            "HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        ),
        Reply::Cut => (None, ""),
    };
    if matches!(reply, Reply::Slow) {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    // The time before the reply is sent: the worker may send the next event before this task runs again.
    let ended = now();
    let endpoint_id = endpoint.id.get().cloned().unwrap_or_default();
    endpoint.history.add(
        "receipt",
        json!({"endpoint": endpoint_id, "id": id, "timestamp": header("webhook-timestamp"),
            "signature": header("webhook-signature"), "attempt": attempt, "body": STANDARD.encode(body), "began": began,
            "ended": ended, "status": status}),
    );
    // After the record: a worker that has the reply may be the last one that the run waits for.
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Reads one request: its head, and the bytes of its body.
async fn read(stream: &mut TcpStream) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 8 * 1024];
    let mut end = None;
    loop {
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut lines = head.lines().filter_map(|line| line.split_once(':'));
            let length = lines.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let (_, length) = length.context("no content-length")?;
            let length: usize = length.trim().parse()?;
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..end + 4 + length].to_vec();
                return Ok((head, body));
            }
        }
        let count = stream.read(&mut buffer).await?;
        anyhow::ensure!(
            count > 0 && bytes.len() < MAX_REQUEST,
            "an incomplete request"
        );
        bytes.extend_from_slice(&buffer[..count]);
        end = end.or_else(|| bytes.windows(4).position(|window| window == b"\r\n\r\n"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::part_of;

    #[test]
    fn the_reply_depends_on_the_payee_and_the_version_and_not_on_ids() {
        let part = |id: &str, number: &str, version: u64| {
            let details = json!({"bank_account_details": {"account_number": number}});
            let account = json!({"id": id, "version": version, "account_details": details});
            let event = json!({"id": id, "content": {"customer_account": account}});
            part_of(event.to_string().as_bytes())
        };
        assert_eq!(part("evt_1", "7001", 2), part("evt_2", "7001", 2));
        assert_ne!(part("evt_1", "7001", 2), part("evt_1", "7002", 2));
        assert_ne!(part("evt_1", "7001", 2), part("evt_1", "7001", 3));
    }
}
