//! Serves one call the way its gateway behaves: at once, late, with a 500 before or after the work,
//! or not at all.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::rt::time::sleep;
use bytes::Bytes;

use crate::behaviour::{Behaviour, Fault};

/// Does `work` and answers as `behaviour` has it. `failure` is the gateway's own 500; `hang` bounds
/// how long a call without an answer holds its connection.
pub(crate) async fn serve(
    behaviour: Behaviour,
    hang: Duration,
    failure: fn() -> HttpResponse,
    work: impl FnOnce() -> HttpResponse,
) -> HttpResponse {
    let fault = if behaviour.is_faulty() {
        behaviour.fault(rand::random())
    } else {
        Fault::None
    };
    let answer = match fault {
        Fault::None => work(),
        Fault::ErrorBefore => failure(),
        Fault::ErrorAfter => {
            work();
            failure()
        }
        Fault::Hang => {
            work();
            sleep(hang).await;
            return HttpResponse::Ok().body(Silence);
        }
    };
    if behaviour.latency_ms > 0 {
        sleep(behaviour.latency()).await;
    }
    answer
}

/// A body that fails before its first byte, and with it the connection, before the status line is
/// flushed: the client sees a connection closed without an answer.
struct Silence;

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
