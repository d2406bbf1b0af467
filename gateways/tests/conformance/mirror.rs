//! A server in front of the sandbox that passes calls on and keeps the newest reply.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A reply: its status and its body.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// A running server, which ends with the test's runtime.
pub(crate) struct Mirror {
    pub(crate) origin: String,
    newest: Arc<Mutex<Kept>>,
}

impl Mirror {
    pub(crate) async fn start(sandbox: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the listener is bound");
        let http = reqwest::Client::builder().pool_max_idle_per_host(0);
        let http = http.build().expect("the client has no special settings");
        let newest = Arc::<Mutex<Kept>>::default();
        let (shared, sandbox) = (Arc::clone(&newest), sandbox.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let upstream = (http.clone(), sandbox.clone());
                tokio::spawn(serve(stream, upstream, Arc::clone(&shared)));
            }
        });
        Self {
            origin: format!("http://{address}"),
            newest,
        }
    }

    /// Returns the reply to the newest call.
    pub(crate) fn newest(&self) -> Kept {
        lock(&self.newest).clone()
    }
}

fn lock(newest: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    newest.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(
    mut stream: TcpStream,
    (http, sandbox): (reqwest::Client, String),
    newest: Arc<Mutex<Kept>>,
) {
    let mut bytes = Vec::new();
    while let Some((head, body)) = request(&mut stream, &mut bytes).await {
        let kept = pass_on(&http, &sandbox, &head, body).await;
        *lock(&newest) = kept.clone();
        let length = kept.body.len();
        let head = format!(
            "HTTP/1.1 {} X\r\ncontent-length: {length}\r\n\r\n",
            kept.status
        );
        let response = [head.as_bytes(), &kept.body].concat();
        if stream.write_all(&response).await.is_err() {
            return;
        }
    }
}

async fn pass_on(http: &reqwest::Client, sandbox: &str, head: &str, body: Vec<u8>) -> Kept {
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let method = method.parse().expect("the connector sends a method");
    let mut request = http
        .request(method, format!("{sandbox}{target}"))
        .body(body);
    let headers = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    for (name, value) in headers {
        if !matches!(name, "host" | "content-length" | "connection") {
            request = request.header(name, value);
        }
    }
    let reply = request.send().await.expect("the sandbox replies");
    Kept {
        status: reply.status().as_u16(),
        body: reply.bytes().await.expect("the reply has a body").to_vec(),
    }
}

/// Reads the next request: its head in lower-case names, and its body.
async fn request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok())?
            });
            let total = end + 4 + length.unwrap_or(0);
            if bytes.len() >= total {
                let body = bytes[end + 4..total].to_vec();
                bytes.drain(..total);
                return Some((head, body));
            }
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}
