//! Connections to endpoints: to checked addresses, by TLS for `https`, and with a bound on what an endpoint may send for one call.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use reqwest::dns::{Addrs, Resolve};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::address::AddressError;
use crate::call_error::CallError;
use crate::resolver::CheckedResolver;

/// Maximum time until a connection can carry the request: lookup, TCP and TLS.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of bytes that a connection accepts for one call: the heads of the reply and of any number of `1xx` replies before it,
/// the part of the body that is read, the framing of chunks, and TLS. With the last piece it is somewhat more.
pub const MAX_REPLY: usize = 256 * 1024;

type BoxError = Box<dyn Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// Connects to endpoints, within [`CONNECT_TIMEOUT`].
#[derive(Clone)]
pub(crate) struct EndpointConnector(HttpsConnector<TcpConnector>);

impl EndpointConnector {
    /// Outside sandbox mode the connector refuses `http`. It trusts the certificates that the system trusts.
    pub(crate) fn new(resolver: CheckedResolver) -> io::Result<Self> {
        let is_https_only = !resolver.sandbox_mode;
        let mut tcp = HttpConnector::new_with_resolver(Names(Arc::new(resolver)));
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tls = ClientConfig::builder().with_platform_verifier();
        let mut tls = tls.map_err(io::Error::other)?.with_no_client_auth();
        // The bounds of a reply are those of HTTP/1.
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut https = HttpsConnector::from((TcpConnector(tcp), tls));
        if is_https_only {
            https.enforce_https();
        }
        Ok(Self(https))
    }
}

impl Service<Uri> for EndpointConnector {
    type Response = MaybeHttpsStream<TokioIo<BoundedStream>>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.0.call(uri));
        Box::pin(async move {
            connecting
                .await
                .unwrap_or_else(|_| Err(CallError::Connect.into()))
        })
    }
}

/// Makes TCP connections.
#[derive(Clone)]
struct TcpConnector(HttpConnector<Names>);

impl Service<Uri> for TcpConnector {
    type Response = TokioIo<BoundedStream>;
    type Error = BoxError;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            let tcp = connecting.await?.into_inner();
            Ok(TokioIo::new(BoundedStream { tcp, received: 0 }))
        })
    }
}

/// Looks up the addresses of hosts.
#[derive(Clone)]
struct Names(Arc<CheckedResolver>);

impl Service<Name> for Names {
    type Response = Addrs;
    type Error = BoxError;
    type Future = Connecting<Addrs>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = name.as_str().parse().map(|name| self.0.resolve(name));
        Box::pin(async move {
            let found = found.map_err(|_| CallError::Dns)?.await;
            found.map_err(|error| {
                if error.is::<AddressError>() {
                    error
                } else {
                    CallError::Dns.into()
                }
            })
        })
    }
}

/// A connection that fails once the endpoint has sent more than [`MAX_REPLY`] bytes since something was sent to it: a call begins with a
/// request. Without this bound, only the time bounds `1xx` replies, which the HTTP library reads and leaves out.
#[derive(Debug)]
pub(crate) struct BoundedStream {
    tcp: TcpStream,
    received: usize,
}

impl Connection for BoundedStream {
    fn connected(&self) -> Connected {
        self.tcp.connected()
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.received > MAX_REPLY {
            return Poll::Ready(Err(io::Error::other("the reply is too long")));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(context, buffer);
        self.received += buffer.filled().len() - before;
        read
    }
}

impl BoundedStream {
    fn sent(&mut self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(sent, Poll::Ready(Ok(1..))) {
            self.received = 0;
        }
        sent
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.sent(sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.tcp).poll_write_vectored(context, bytes);
        self.sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn each_request_may_have_a_reply_of_the_maximum_length() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let reply = vec![b'x'; MAX_REPLY];
            for _ in 0..3 {
                stream.read_u8().await.unwrap();
                stream.write_all(&reply).await.unwrap();
            }
            // The end of the last reply never comes.
            while stream.write_all(&[b'x'; 4_096]).await.is_ok() {}
        });
        let tcp = TcpStream::connect(address).await.unwrap();
        let mut stream = BoundedStream { tcp, received: 0 };
        let mut reply = vec![0; MAX_REPLY];
        for _ in 0..3 {
            stream.write_u8(b'?').await.unwrap();
            stream.read_exact(&mut reply).await.unwrap();
        }
        let error = stream.read_to_end(&mut reply).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Other);
        drop(stream);
        peer.await.unwrap();
    }
}
