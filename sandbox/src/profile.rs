//! The profile of a gateway: routes, refusals, and the replies to the faults that all gateways have.

use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::behaviour::Behaviour;
use crate::body::{self, Shape};
use crate::calls::RateLimit;
use crate::gateway::Gateway;
use crate::rules::{Rule, first_breach};
use crate::state::Sandbox;

/// One API of a gateway. `M` is the gateway's memory, which its handlers share. A gateway whose products
/// refuse in different forms has a profile for each.
pub(crate) struct GatewayProfile<M: 'static> {
    pub(crate) gateway: Gateway,
    /// Path before the paths of the routes.
    pub(crate) prefix: &'static str,
    pub(crate) routes: &'static [Route<M>],
    /// Makes a refusal in the API's form.
    pub(crate) refusal: fn(RefusalRow) -> Refusal,
    /// The API's 500.
    pub(crate) failure: RefusalRow<'static>,
    /// The API's 429; `Retry-After` is added.
    pub(crate) too_many_calls: RefusalRow<'static>,
    /// The refusal of a caller whose address is not on the gateway's list.
    pub(crate) ip_refused: RefusalRow<'static>,
    /// Whether a caller is admitted although its address is not on the list.
    pub(crate) skips_ip_list: fn(&HeaderMap) -> bool,
    /// Adds the rate-limit headers that every reply has while a limit is set.
    pub(crate) add_rate_limit_headers: fn(RateLimit, &mut HeaderMap),
}

/// The method and path under which calls are counted, and the handler.
pub(crate) type Route<M> = (&'static str, Handler<M>);

/// Does all the work of a call, from the check of the credentials on.
pub(crate) type Handler<M> = fn(&M, &Call<'_>) -> Result<HttpResponse, Refusal>;

/// A row of a table of refusals: HTTP status, the gateway's code, message.
pub(crate) type RefusalRow<'a> = (u16, &'a str, &'a str);

/// The reply to a call that was refused.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) header: Option<(&'static str, String)>,
    pub(crate) body: Value,
}

impl Refusal {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            header: None,
            body,
        }
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::build(status);
        if let Some(header) = self.header {
            response.insert_header(header);
        }
        response.json(self.body)
    }
}

/// Replies 200 with a JSON body.
#[allow(clippy::unnecessary_wraps)] // The last expression of a handler.
pub(crate) fn ok(body: Value) -> Result<HttpResponse, Refusal> {
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

    /// Returns the `{id}` of the path.
    pub(crate) fn id(&self) -> &str {
        self.request.match_info().get("id").unwrap_or_default()
    }

    /// Reads the JSON body, or refuses with this refusal.
    pub(crate) fn json(
        &self,
        shape: &Shape,
        refusal: impl FnOnce() -> Refusal,
    ) -> Result<Value, Refusal> {
        body::json(self.body, shape).ok_or_else(refusal)
    }

    /// Reads these fields of the query.
    pub(crate) fn query(&self, fields: &[&str]) -> Option<Value> {
        body::form(self.request.query_string().as_bytes(), fields)
    }
}

/// Checks a request against rules. `refusal` makes the refusal of a breach from the rule.
pub(crate) fn check(
    rules: &'static [Rule],
    request: &Value,
    refusal: fn(&Rule) -> Refusal,
) -> Result<(), Refusal> {
    first_breach(rules, request).map_or(Ok(()), |rule| Err(refusal(rule)))
}
