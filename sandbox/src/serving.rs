//! Serving of the gateways' calls: counted, admitted or not, prompt or late, whole or broken, or without
//! a reply, as the gateway's behaviour says.

use std::sync::Arc;
use std::time::Instant;

use actix_web::http::Method;
use actix_web::http::header::RETRY_AFTER;
use actix_web::rt::time::sleep;
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::behaviour::{Behaviour, Fault};
use crate::calls::RateLimit;
use crate::fault::{no_reply, reset_on_close, trickle, truncate};
use crate::gateway::Gateway;
use crate::profile::{Call, GatewayProfile, Handler, Refusal};
use crate::state::Sandbox;

/// A gateway's routes, as each worker thread of the server adds them.
#[derive(Clone)]
pub(crate) struct ServedGateway {
    pub(crate) gateway: Gateway,
    pub(crate) routes: Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>,
}

impl ServedGateway {
    /// Serves the APIs of a gateway, which share its memory.
    pub(crate) fn new<M: Send + Sync, const APIS: usize>(
        profiles: &'static [GatewayProfile<M>; APIS],
        memory: M,
    ) -> Self {
        let memory = Arc::new(memory);
        let routes = move |config: &mut ServiceConfig| {
            for profile in profiles {
                for &(route, handler) in profile.routes {
                    add_route(config, profile, route, handler, &memory);
                }
            }
        };
        Self {
            gateway: profiles[0].gateway,
            routes: Arc::new(routes),
        }
    }
}

fn add_route<M: Send + Sync>(
    config: &mut ServiceConfig,
    profile: &'static GatewayProfile<M>,
    route: &'static str,
    handler: Handler<M>,
    memory: &Arc<M>,
) {
    let (method, path) = route.split_once(' ').unwrap_or(("GET", route));
    let method = match method {
        "POST" => Method::POST,
        _ => Method::GET,
    };
    let memory = Arc::clone(memory);
    let served = move |request: HttpRequest, body: Bytes, sandbox: Data<Sandbox>| {
        let memory = Arc::clone(&memory);
        async move {
            let work = |behaviour: Behaviour| {
                let skips_ip_list = profile.skips_ip_list;
                if behaviour.refuse_ip && !skips_ip_list(request.headers()) {
                    return profile.rules.refuse(profile.ip).into_response();
                }
                let call = Call {
                    gateway: profile.gateway,
                    sandbox: &sandbox,
                    request: &request,
                    body: &body,
                    behaviour,
                    now: Instant::now(),
                };
                handler(&memory, &call).unwrap_or_else(Refusal::into_response)
            };
            serve(profile, route, &request, &sandbox, work).await
        }
    };
    let path = format!("{}{path}", profile.prefix);
    config.route(&path, web::method(method).to(served));
}

/// Does `work` and replies as the gateway behaves. The call counts under `route`.
async fn serve<M>(
    profile: &GatewayProfile<M>,
    route: &'static str,
    request: &HttpRequest,
    sandbox: &Sandbox,
    work: impl FnOnce(Behaviour) -> HttpResponse,
) -> HttpResponse {
    let gateway = profile.gateway;
    let behaviour = sandbox.behaviour(gateway);
    let limit = sandbox
        .calls
        .arrive(gateway, route, behaviour.calls_per_minute);
    let fault = match limit {
        Some(limit) if !limit.admitted => Fault::Reject,
        _ if behaviour.is_faulty() => behaviour.fault(sandbox.draw(gateway)),
        _ => Fault::None,
    };
    let mut reply = match fault {
        Fault::None => work(behaviour),
        Fault::ErrorBefore => profile.rules.refuse("FAILURE").into_response(),
        Fault::ErrorAfter => {
            work(behaviour);
            profile.rules.refuse("FAILURE").into_response()
        }
        Fault::Malformed => truncate(work(behaviour)),
        Fault::Reject => too_many_calls(profile, &behaviour, limit),
        Fault::Hang | Fault::Reset => {
            work(behaviour);
            sandbox.calls.unanswered(gateway);
            if fault == Fault::Hang {
                sleep(sandbox.hang).await;
            } else {
                sleep(behaviour.latency()).await;
                reset_on_close(request);
            }
            return no_reply();
        }
    };
    if let Some(limit) = limit {
        (profile.add_rate_limit_headers)(limit, reply.headers_mut());
    }
    sandbox.calls.replied(gateway, reply.status().as_u16());
    if behaviour.latency_ms > 0 {
        sleep(behaviour.latency()).await;
    }
    match behaviour.slow_bytes() {
        Some(pause) => trickle(reply, pause),
        None => reply,
    }
}

fn too_many_calls<M>(
    profile: &GatewayProfile<M>,
    behaviour: &Behaviour,
    limit: Option<RateLimit>,
) -> HttpResponse {
    let seconds = match (behaviour.retry_after_s, limit) {
        (0, Some(limit)) if !limit.admitted => limit.resets_in,
        (0, _) => 1,
        (set, _) => set.into(),
    };
    let mut reply = profile.rules.refuse("TOO_MANY_CALLS").into_response();
    reply.headers_mut().insert(RETRY_AFTER, seconds.into());
    reply
}
