//! Where call-backs go to: takes them as they come, and says 200.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One call-back: its headers, names in small letters, and its body byte for byte.
#[derive(Clone)]
pub(crate) struct Came {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The receiver; it ends with the test's runtime.
pub(crate) struct Receiver {
    pub(crate) url: String,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let came = Arc::<Mutex<Vec<Came>>>::default();
        let kept = Arc::clone(&came);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(take_all(stream, Arc::clone(&kept)));
            }
        });
        Self {
            url: format!("http://{address}/call-back"),
            came,
        }
    }

    /// What came, once it is so many.
    pub(crate) async fn came(&self, count: usize) -> Vec<Came> {
        loop {
            {
                let came = self.came.lock().expect("nobody panicked with it");
                if came.len() >= count {
                    return came.clone();
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn take_all(mut stream: TcpStream, kept: Arc<Mutex<Vec<Came>>>) {
    let mut bytes = Vec::new();
    while let Some(came) = take(&mut stream, &mut bytes).await {
        kept.lock().expect("nobody panicked with it").push(came);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

async fn take(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Came> {
    loop {
        if let Some((came, length)) = whole(bytes) {
            bytes.drain(..length);
            return Some(came);
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// The request at the front, once all of it is there, and how long it is.
fn whole(bytes: &[u8]) -> Option<(Came, usize)> {
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
    Some((Came { headers, body }, end))
}
