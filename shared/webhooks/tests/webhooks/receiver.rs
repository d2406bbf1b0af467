//! A receiver of webhooks that sends planned replies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// The action of a receiver on a request; afterwards the receiver closes the connection.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Sends these bytes.
    Reply(Vec<u8>),
    /// Sends these bytes and then keeps the connection open.
    Stall(Vec<u8>),
    /// Sends a head, and then these bytes again and again until the client closes the connection.
    Endless(&'static str, &'static [u8]),
    /// Sends a head, and then these bytes every 10 ms until the client closes the connection.
    Drip(&'static str, &'static [u8]),
}

impl Behaviour {
    /// Sends a reply with this status, these headers, each with a line break, and this body.
    pub(crate) fn reply(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Reply(
            format!(
                "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    }
}

/// A request as received.
pub(crate) struct Received {
    /// The request line and the headers.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// How many bytes of an endless reply were sent.
    pub(crate) sent: usize,
}

impl Received {
    /// Returns the value of a header; the name is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            (found == name).then_some(value)
        })
    }
}

/// Listens on a port of 127.0.0.1 until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    requests: UnboundedReceiver<Received>,
    serving: JoinHandle<()>,
}

impl Receiver {
    /// Starts a receiver for HTTP.
    pub(crate) async fn http(behaviour: Behaviour) -> Self {
        Self::start(behaviour, None).await
    }

    /// Starts a receiver for HTTPS, with a self-signed certificate for the name `localhost`.
    pub(crate) async fn https(behaviour: Behaviour, certificate: &Certificate) -> Self {
        Self::start(behaviour, Some(certificate.acceptor())).await
    }

    async fn start(behaviour: Behaviour, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::unbounded_channel();
        Self {
            address,
            requests,
            serving: tokio::spawn(serve(listener, tls, behaviour, sender)),
        }
    }

    /// Returns `http://127.0.0.1:PORT` and the path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits for the next request: for one with an endless reply, until its end.
    pub(crate) async fn received(&mut self) -> Received {
        self.requests.recv().await.unwrap()
    }

    /// Whether no request has arrived. A connection without a request, such as a failed TLS handshake, does not count.
    pub(crate) fn is_unused(&mut self) -> bool {
        self.requests.try_recv().is_err()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    behaviour: Behaviour,
    requests: UnboundedSender<Received>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, behaviour, requests) = (tls.clone(), behaviour.clone(), requests.clone());
        tokio::spawn(async move {
            match tls {
                None => exchange::<TcpStream>(stream, behaviour, requests).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        exchange(stream, behaviour, requests).await;
                    }
                }
            }
        });
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    behaviour: Behaviour,
    requests: UnboundedSender<Received>,
) {
    let Some(mut received) = read(&mut stream).await else {
        return;
    };
    match behaviour {
        Behaviour::Reply(reply) => {
            let _ = stream.write_all(&reply).await;
            let _ = stream.shutdown().await;
            let _ = requests.send(received);
        }
        Behaviour::Stall(reply) => {
            let _ = stream.write_all(&reply).await;
            let _ = requests.send(received);
            // Until the client closes the connection.
            let _ = stream.read(&mut [0; 1]).await;
        }
        Behaviour::Drip(head, bytes) => {
            let _ = stream.write_all(head.as_bytes()).await;
            while stream.write_all(bytes).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let _ = requests.send(received);
        }
        Behaviour::Endless(head, bytes) => {
            let _ = stream.write_all(head.as_bytes()).await;
            let part = bytes.repeat(4_096 / bytes.len());
            while stream.write_all(&part).await.is_ok() {
                received.sent += part.len();
            }
            let _ = requests.send(received);
        }
    }
}

/// Reads one request with a `content-length`; `None` if the connection ends before.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut received = Received {
                head,
                body: bytes[end + 4..].to_vec(),
                sent: 0,
            };
            let length: usize = received.header("content-length")?.parse().unwrap();
            if received.body.len() >= length {
                received.body.truncate(length);
                return Some(received);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A self-signed certificate for the name `localhost`.
pub(crate) struct Certificate(CertifiedKey<rcgen::KeyPair>);

impl Certificate {
    pub(crate) fn generate() -> Self {
        Self(rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap())
    }

    fn acceptor(&self) -> TlsAcceptor {
        // The client installs the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = PrivateKeyDer::Pkcs8(self.0.signing_key.serialize_der().into());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![self.0.cert.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Returns the certificate in the form of a file of trusted certificates.
    pub(crate) fn pem(&self) -> String {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(self.0.cert.der());
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }
}
