//! An HTTP server that keeps the requests and reacts as the test says.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Reaction to a request.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    /// Replies with this status, these header lines and this body.
    Respond(u16, &'static str, String),
    /// Sends exactly these bytes and closes the connection.
    Raw(String),
    /// Reads the request and closes the connection.
    Close,
    /// Resets the connection.
    Reset,
}

/// A running server, which ends with the test's runtime.
pub(crate) struct ScriptedServer {
    pub(crate) origin: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl ScriptedServer {
    /// Starts a server with one reaction per request; the last one repeats.
    pub(crate) async fn with_reactions(reactions: Vec<Reaction>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (reactions, log) = (reactions.clone(), Arc::clone(&log));
                tokio::spawn(serve(stream, reactions, log));
            }
        });
        Self { origin, requests }
    }

    /// Starts a server that sends this reply to every request.
    pub(crate) async fn responding(status: u16, headers: &'static str, body: &str) -> Self {
        Self::with_reactions(vec![Reaction::Respond(status, headers, body.to_owned())]).await
    }

    /// Returns the requests received, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns the head of the only request received, in lower case, and its JSON.
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

async fn serve(mut stream: TcpStream, reactions: Vec<Reaction>, log: Arc<Mutex<Vec<String>>>) {
    loop {
        let mut first = [0];
        if stream.read_exact(&mut first).await.is_err() {
            return;
        }
        let reaction = {
            let mut log = log.lock().unwrap();
            log.push(String::new());
            reactions[(log.len() - 1).min(reactions.len() - 1)].clone()
        };
        if matches!(reaction, Reaction::Reset) {
            // Closing with unread bytes makes the kernel reset the connection.
            return;
        }
        let request = read_request(&mut stream, first[0]).await;
        *log.lock().unwrap().last_mut().unwrap() = request;
        match reaction {
            Reaction::Respond(status, headers, body) => {
                let response = format!(
                    "HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n{headers}\r\n{body}",
                    body.len()
                );
                stream.write_all(response.as_bytes()).await.unwrap();
            }
            Reaction::Raw(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                return;
            }
            Reaction::Close | Reaction::Reset => return,
        }
    }
}

async fn read_request(stream: &mut TcpStream, first: u8) -> String {
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
            "the client closed the connection in the middle of its request"
        );
        bytes.extend_from_slice(&chunk[..count]);
    }
}
