//! The profile of a gateway: routes, refusals, and the replies to the faults that all gateways have.

use std::time::Instant;

use actix_web::http::header::HeaderMap;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::behaviour::Behaviour;
use crate::body;
use crate::calls::RateLimit;
use crate::gateway::Gateway;
use crate::refusal::Refusal;
use crate::state::Sandbox;

/// One API of a gateway. `M` is the gateway's memory, which its handlers share. A gateway whose products
/// refuse in different forms has a profile for each.
pub(crate) struct GatewayProfile<M: 'static> {
    pub(crate) gateway: Gateway,
    /// Path before the paths of the routes.
    pub(crate) prefix: &'static str,
    pub(crate) routes: &'static [Route<M>],
    /// Makes the refusal of this name. `FAILURE` is the API's own fault (500), which says nothing of the
    /// account, `TOO_MANY_CALLS` its 429, to which `Retry-After` is added, and `IP` the refusal of a caller
    /// whose address is not on the gateway's list.
    pub(crate) refuse: fn(&str) -> Refusal,
    /// Whether a caller is admitted although its address is not on the gateway's list.
    pub(crate) skips_ip_list: fn(&HeaderMap) -> bool,
    /// Adds the rate-limit headers that every reply has while a limit is set.
    pub(crate) add_rate_limit_headers: fn(RateLimit, &mut HeaderMap),
}

impl<M> GatewayProfile<M> {
    /// Makes the profile of an API that publishes no way around its IP list and no rate-limit headers.
    pub(crate) const fn new(
        gateway: Gateway,
        prefix: &'static str,
        routes: &'static [Route<M>],
        refuse: fn(&str) -> Refusal,
    ) -> Self {
        Self {
            gateway,
            prefix,
            routes,
            refuse,
            skips_ip_list: |_| false,
            add_rate_limit_headers: |_, _| {},
        }
    }
}

/// The method and path under which calls are counted, and the handler.
pub(crate) type Route<M> = (&'static str, Handler<M>);

/// Does all the work of a call, from the check of the credentials on.
pub(crate) type Handler<M> = fn(&M, &Call<'_>) -> Reply;

pub(crate) type Reply = Result<HttpResponse, Refusal>;

/// Replies 200 with a JSON body.
#[allow(clippy::unnecessary_wraps)] // The last expression of a handler.
pub(crate) fn ok(body: Value) -> Reply {
    Ok(HttpResponse::Ok().json(body))
}

/// A call that a gateway received.
pub(crate) struct Call<'a> {
    pub(crate) sandbox: &'a Data<Sandbox>,
    pub(crate) request: &'a HttpRequest,
    pub(crate) body: &'a [u8],
    /// The gateway's behaviour when the call arrived.
    pub(crate) behaviour: Behaviour,
    pub(crate) now: Instant,
}

impl Call<'_> {
    /// Returns a header that is ASCII text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// Returns whether these headers have these values.
    pub(crate) fn has_headers(&self, headers: &[(&str, &str)]) -> bool {
        let mut headers = headers.iter();
        headers.all(|(name, value)| self.header(name) == Some(value))
    }

    /// Returns the `{id}` of the path.
    pub(crate) fn id(&self) -> &str {
        self.request.match_info().get("id").unwrap_or_default()
    }

    /// Reads these fields of the body's form.
    pub(crate) fn form(&self, fields: &[&str]) -> Option<Value> {
        body::form(self.body, fields)
    }

    /// Reads these fields of the query.
    pub(crate) fn query(&self, fields: &[&str]) -> Option<Value> {
        body::form(self.request.query_string().as_bytes(), fields)
    }
}
