//! Serves one call the way its gateway behaves: counted, let in or not, at once or late, whole or
//! broken, or not at all. Every call of every gateway comes through [`serve`].

mod body;
mod line;

use actix_web::http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use actix_web::rt::time::sleep;
use actix_web::{HttpRequest, HttpResponse};

use crate::Sandbox;
use crate::behaviour::{Behaviour, Fault};
use crate::calls::Allowance;
use crate::fault::body::{Silence, cut_short, trickle};
use crate::gateway::Gateway;

pub(crate) use crate::fault::line::keep_line;

/// How one gateway words what every gateway says: its documented answers to a call that was not
/// looked at.
pub(crate) trait Wording {
    /// Whose wording.
    const GATEWAY: Gateway;

    /// Its 500.
    fn failure() -> HttpResponse;

    /// Its 429; `Retry-After` is added to it.
    fn too_many_calls() -> HttpResponse;

    /// Its refusal of a caller whose address is not on its list.
    fn ip_refused() -> HttpResponse;

    /// Whether a caller is let in although its address is not on the list. Nobody is, unless the gateway
    /// documents how.
    fn vouches(_: &HeaderMap) -> bool {
        false
    }

    /// Its rate-limit headers, which every answer carries while a limit is set. None, unless the
    /// gateway documents some.
    fn rate_limit_headers(_: Allowance, _: &mut HeaderMap) {}
}

/// Does `work` and answers as the gateway behaves. `route`, method and path, is what the call counts
/// under; `work` is all that the call does, from the look at the credentials on, and is told the
/// behaviour for what is the gateway's own part of it: pending times, balance, unknown codes.
pub(crate) async fn serve<W: Wording>(
    request: &HttpRequest,
    sandbox: &Sandbox,
    route: &'static str,
    work: impl FnOnce(Behaviour) -> HttpResponse,
) -> HttpResponse {
    let behaviour = sandbox.behaviours.of(W::GATEWAY);
    let allowance = sandbox
        .calls
        .arrive(W::GATEWAY, route, behaviour.calls_per_minute);
    let fault = match allowance {
        Some(allowance) if !allowance.let_in => Fault::Reject,
        _ if behaviour.is_faulty() => behaviour.fault(rand::random()),
        _ => Fault::None,
    };
    let work = || {
        if behaviour.refuse_ip && !W::vouches(request.headers()) {
            W::ip_refused()
        } else {
            work(behaviour)
        }
    };
    let mut answer = match fault {
        Fault::None => work(),
        Fault::ErrorBefore => W::failure(),
        Fault::ErrorAfter => {
            work();
            W::failure()
        }
        Fault::Malformed => cut_short(work()),
        Fault::Reject => too_many_calls::<W>(&behaviour, allowance),
        Fault::Hang => {
            work();
            sandbox.calls.unanswered(W::GATEWAY);
            sleep(sandbox.hang).await;
            return HttpResponse::Ok().body(Silence);
        }
        Fault::Reset => {
            work();
            sandbox.calls.unanswered(W::GATEWAY);
            sleep(behaviour.latency()).await;
            line::reset_on_close(request);
            return HttpResponse::Ok().body(Silence);
        }
    };
    if let Some(allowance) = allowance {
        W::rate_limit_headers(allowance, answer.headers_mut());
    }
    sandbox.calls.answered(W::GATEWAY, answer.status().as_u16());
    if behaviour.latency_ms > 0 {
        sleep(behaviour.latency()).await;
    }
    match behaviour.slow_bytes() {
        Some(pause) => trickle(answer, pause),
        None => answer,
    }
}

fn too_many_calls<W: Wording>(behaviour: &Behaviour, allowance: Option<Allowance>) -> HttpResponse {
    let seconds = match (behaviour.retry_after_s, allowance) {
        (0, Some(allowance)) if !allowance.let_in => {
            allowance.resets_in.as_millis().div_ceil(1_000)
        }
        (0, _) => 1,
        (set, _) => set.into(),
    };
    let mut answer = W::too_many_calls();
    if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
        answer.headers_mut().insert(RETRY_AFTER, value);
    }
    answer
}
