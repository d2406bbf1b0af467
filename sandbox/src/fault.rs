//! Broken replies: no reply at all, half a body, a body that arrives slowly, a connection that is reset.

use std::any::Any;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use actix_web::rt::time::{Sleep, sleep};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use socket2::SockRef;

/// Bytes that are sent together when a body is slow: so few that a short reply has several pieces.
const PIECE: usize = 16;

/// A body that fails before its first byte, and with it the connection, before the status line is
/// flushed: the client sees a connection that closes without a reply.
pub(crate) struct NoReply;

impl MessageBody for NoReply {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(Some(Err(io::Error::other("this call has no reply"))))
    }
}

/// Keeps the first half of a reply's body: no JSON object is complete without its last brace.
pub(crate) fn truncate(reply: HttpResponse) -> HttpResponse {
    let (head, body) = reply.into_parts();
    match body.try_into_bytes() {
        Ok(bytes) => head
            .set_body(bytes.slice(..bytes.len() / 2))
            .map_into_boxed_body(),
        Err(body) => head.set_body(body),
    }
}

/// Sends a reply's body in pieces, with a pause before each.
pub(crate) fn trickle(reply: HttpResponse, pause: Duration) -> HttpResponse {
    reply.map_body(|_, body| match body.try_into_bytes() {
        Ok(left) => BoxBody::new(Trickle {
            left,
            pause,
            wait: Box::pin(sleep(pause)),
        }),
        Err(body) => body,
    })
}

struct Trickle {
    left: Bytes,
    pause: Duration,
    wait: Pin<Box<Sleep>>,
}

impl MessageBody for Trickle {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left.len() as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.wait.as_mut().poll(context));
        let length = self.left.len().min(PIECE);
        let piece = self.left.split_to(length);
        self.wait = Box::pin(sleep(self.pause));
        Poll::Ready(Some(Ok(piece)))
    }
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
