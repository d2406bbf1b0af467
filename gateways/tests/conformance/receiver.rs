//! Receives webhooks and replies with status 200.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A webhook received: its headers, names in lower case, and its raw body.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A running receiver, which ends with the test's runtime.
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the listener is bound");
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let stored = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive_all(stream, Arc::clone(&stored)));
            }
        });
        Self {
            url: format!("http://{address}/webhook"),
            received,
        }
    }

    /// Returns the webhooks received, as soon as there are this many.
    pub(crate) async fn received(&self, count: usize) -> Vec<Received> {
        loop {
            {
                let received = self
                    .received
                    .lock()
                    .expect("no thread panicked with the lock");
                if received.len() >= count {
                    return received.clone();
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn receive_all(mut stream: TcpStream, stored: Arc<Mutex<Vec<Received>>>) {
    let mut bytes = Vec::new();
    while let Some(received) = receive(&mut stream, &mut bytes).await {
        stored
            .lock()
            .expect("no thread panicked with the lock")
            .push(received);
        let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(response).await.is_err() {
            return;
        }
    }
}

async fn receive(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Received> {
    loop {
        if let Some((received, length)) = first_request(bytes) {
            bytes.drain(..length);
            return Some(received);
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Returns the first request and its length, if it is complete.
fn first_request(bytes: &[u8]) -> Option<(Received, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let headers: Vec<_> = std::str::from_utf8(&bytes[..end])
        .ok()?
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length?.1.parse().ok()?;
    let (start, end) = (end + 4, end + 4 + length);
    let body = bytes.get(start..end)?.to_vec();
    Some((Received { headers, body }, end))
}
