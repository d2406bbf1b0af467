//! Bodies that are not as they should be: none at all, half of one, one that comes in drips.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::rt::time::{Sleep, sleep};
use bytes::Bytes;

/// Bytes that come together when a body comes slowly: few enough that a short answer has several.
const HANDFUL: usize = 16;

/// A body that fails before its first byte, and with it the connection, before the status line is
/// flushed: the client sees a connection closed without an answer.
pub(super) struct Silence;

impl MessageBody for Silence {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Poll::Ready(Some(Err(io::Error::other("the gateway says nothing"))))
    }
}

/// The answer with the first half of its body: no JSON object is whole without its last brace.
pub(super) fn cut_short(answer: HttpResponse) -> HttpResponse {
    let (head, body) = answer.into_parts();
    match body.try_into_bytes() {
        Ok(bytes) => head
            .set_body(bytes.slice(..bytes.len() / 2))
            .map_into_boxed_body(),
        Err(body) => head.set_body(body),
    }
}

/// The answer with its body in handfuls, a pause before each.
pub(super) fn trickle(answer: HttpResponse, pause: Duration) -> HttpResponse {
    answer.map_body(|_, body| match body.try_into_bytes() {
        Ok(left) => actix_web::body::BoxBody::new(Trickle {
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
        let many = self.left.len().min(HANDFUL);
        let handful = self.left.split_to(many);
        self.wait = Box::pin(sleep(self.pause));
        Poll::Ready(Some(Ok(handful)))
    }
}
