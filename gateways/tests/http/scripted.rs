//! A server that takes one request a connection, keeps what it was sent, and does what the test says.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What is done once a request has come.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Answers with this status, these header lines and this body.
    GatewayResponse(u16, &'static str, String),
    /// Answers with exactly these bytes, and closes.
    Raw(String),
    /// Closes, the request read to its end.
    Close,
    /// Resets the connection.
    Reset,
}

/// The server; it ends with the test's runtime.
pub(crate) struct Scripted {
    pub(crate) origin: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Does these deeds, one a request; the last again and again.
    pub(crate) async fn doing(deeds: Vec<Deed>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let told = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (deeds, told) = (deeds.clone(), Arc::clone(&told));
                tokio::spawn(serve(stream, deeds, told));
            }
        });
        Self { origin, requests }
    }

    /// Answers every request so.
    pub(crate) async fn answering(status: u16, headers: &'static str, body: &str) -> Self {
        Self::doing(vec![Deed::GatewayResponse(
            status,
            headers,
            body.to_owned(),
        )])
        .await
    }

    /// The requests that came, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The head of the only request that came, in lower case, and its JSON.
    pub(crate) fn request(&self) -> (String, Value) {
        let requests = self.requests();
        assert_eq!(requests.len(), 1);
        let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
        (
            head.to_lowercase(),
            serde_json::from_str(body).unwrap_or_default(),
        )
    }
}

async fn serve(mut stream: TcpStream, deeds: Vec<Deed>, told: Arc<Mutex<Vec<String>>>) {
    loop {
        let mut first = [0];
        if stream.read_exact(&mut first).await.is_err() {
            return;
        }
        let deed = {
            let mut told = told.lock().unwrap();
            told.push(String::new());
            deeds[(told.len() - 1).min(deeds.len() - 1)].clone()
        };
        if matches!(deed, Deed::Reset) {
            // Closed with bytes unread: the kernel resets.
            return;
        }
        let request = rest(&mut stream, first[0]).await;
        *told.lock().unwrap().last_mut().unwrap() = request;
        match deed {
            Deed::GatewayResponse(status, headers, body) => {
                let answer = format!(
                    "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n{headers}\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            Deed::Raw(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                return;
            }
            Deed::Close | Deed::Reset => return,
        }
    }
}

async fn rest(stream: &mut TcpStream, first: u8) -> String {
    let mut bytes = vec![first];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| {
                    line.to_lowercase()
                        .strip_prefix("content-length:")
                        .map(str::to_owned)
                })
                .find_map(|length| length.trim().parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap();
        assert!(
            count > 0,
            "the client went away in the middle of its request"
        );
        bytes.extend_from_slice(&chunk[..count]);
    }
}
