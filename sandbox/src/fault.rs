//! Broken replies: no reply at all, half a body, a body that arrives slowly, a connection that is reset.

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody, SizedStream};
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::sleep;
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use futures_util::stream;
use socket2::SockRef;

/// Bytes that are sent together when a body is slow: so few that a short reply has several pieces.
const PIECE: usize = 16;

/// Returns a reply whose body fails before its first byte, and with it the connection, before the status
/// line is flushed: the client sees a connection that closes without a reply.
pub(crate) fn no_reply() -> HttpResponse {
    let failure = io::Error::other("this call has no reply");
    let body = stream::iter([Err::<Bytes, _>(failure)]);
    HttpResponse::Ok().streaming(body)
}

/// Keeps the first half of a reply's body: no JSON object is complete without its last brace.
pub(crate) fn truncate(reply: HttpResponse) -> HttpResponse {
    reply.map_body(|_, body| match body.try_into_bytes() {
        Ok(bytes) => BoxBody::new(bytes.slice(..bytes.len() / 2)),
        Err(body) => body,
    })
}

/// Sends a reply's body in pieces, with a pause before each.
pub(crate) fn trickle(reply: HttpResponse, pause: Duration) -> HttpResponse {
    let next = move |mut left: Bytes| async move {
        if left.is_empty() {
            return None;
        }
        sleep(pause).await;
        let piece = left.split_to(left.len().min(PIECE));
        Some((Ok::<_, io::Error>(piece), left))
    };
    reply.map_body(|_, body| match body.try_into_bytes() {
        Ok(bytes) => BoxBody::new(SizedStream::new(
            bytes.len() as u64,
            Box::pin(stream::unfold(bytes, next)),
        )),
        Err(body) => body,
    })
}

/// A second handle on a connection's socket. It closes with the connection.
struct Socket(OwnedFd);

/// Keeps a handle on the socket of a new connection. Without one (the process has no descriptor left) a
/// reset becomes a plain close.
pub(crate) fn keep_socket(connection: &dyn Any, kept: &mut Extensions) {
    let handle = connection
        .downcast_ref::<TcpStream>()
        .and_then(|stream| stream.as_fd().try_clone_to_owned().ok());
    if let Some(handle) = handle {
        kept.insert(Socket(handle));
    }
}

/// Makes the connection end with a reset (RST) instead of a FIN when it closes.
pub(crate) fn reset_on_close(request: &HttpRequest) {
    if let Some(Socket(handle)) = request.conn_data() {
        // A socket that is closed already cannot be reset, and need not be.
        let _ = SockRef::from(handle).set_linger(Some(Duration::ZERO));
    }
}
