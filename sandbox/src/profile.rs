//! The profile of a gateway: routes, refusals, and the replies to the faults that all gateways have.

use std::sync::OnceLock;
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderMap};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use crate::behaviour::Behaviour;
use crate::calls::RateLimit;
use crate::gateway::Gateway;
use crate::rules::{Breach, RefusalRow, Tables};
use crate::scenario::Scenario;
use crate::state::Sandbox;
use crate::webhooks::{Events, Signing};

/// One API of a gateway. `M` is the gateway's memory, which its handlers share. A gateway whose products
/// refuse in different forms has a profile for each.
pub(crate) struct GatewayProfile<M: 'static> {
    pub(crate) gateway: Gateway,
    /// Path before the paths of the routes.
    pub(crate) prefix: &'static str,
    pub(crate) routes: &'static [Route<M>],
    /// The refusals: `FAILURE` is the API's own fault (500), which says nothing of the account, and
    /// `TOO_MANY_CALLS` its 429, to which `Retry-After` is added.
    pub(crate) rules: &'static Rulebook,
    /// Name of the refusal of a caller whose address is not on the gateway's list.
    pub(crate) ip: &'static str,
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
        rules: &'static Rulebook,
    ) -> Self {
        Self {
            gateway,
            prefix,
            routes,
            rules,
            ip: "IP",
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

/// A refusal in the gateway's form.
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
        let status = StatusCode::from_u16(self.status);
        let mut response = HttpResponse::build(status.unwrap_or(StatusCode::BAD_REQUEST));
        if let Some(header) = self.header {
            response.insert_header(header);
        }
        response.json(self.body)
    }
}

/// Replies 200 with a JSON body.
#[allow(clippy::unnecessary_wraps)] // The last expression of a handler.
pub(crate) fn ok(body: Value) -> Reply {
    Ok(HttpResponse::Ok().json(body))
}

/// A reply of 200 with JSON that is text already.
pub(crate) fn json_text(json: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(json)
}

/// A call that a gateway received.
pub(crate) struct Call<'a> {
    pub(crate) gateway: Gateway,
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

    /// Returns the scenario that this account number or VPA selects.
    pub(crate) fn scenario(&self, payee: &str) -> Scenario {
        self.sandbox.first_calls.scenario(self.gateway, payee)
    }

    /// Records a penny drop with this reference.
    pub(crate) fn record_drop(&self, reference: &str) {
        self.sandbox.ledger.record(self.gateway, reference);
    }

    /// Sends the events that `make` returns, which gets the gateway's behaviour at that time.
    pub(crate) fn send_later(
        &self,
        signing: &'static Signing,
        at: Option<Instant>,
        make: impl FnOnce(Behaviour) -> Option<Events> + 'static,
    ) {
        let (sandbox, gateway) = (self.sandbox.clone(), self.gateway);
        let make = move || make(sandbox.behaviour(gateway));
        let webhooks = &self.sandbox.webhooks;
        webhooks.send_later(gateway, signing, at, make);
    }

    /// Returns the `{id}` of the path.
    pub(crate) fn id(&self) -> &str {
        self.request.match_info().get("id").unwrap_or_default()
    }
}

/// The tables of an API, and the form of its refusals.
pub(crate) struct Rulebook {
    text: &'static str,
    tables: OnceLock<Tables>,
    form: RefusalForm,
}

/// Makes a refusal from its row and the field that breaches a rule, if there is one.
pub(crate) type RefusalForm = fn(RefusalRow<'_>, Option<&str>) -> Refusal;

impl Rulebook {
    pub(crate) const fn new(text: &'static str, form: RefusalForm) -> Self {
        Self {
            text,
            tables: OnceLock::new(),
            form,
        }
    }

    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| Tables::parse(self.text))
    }

    /// Makes the refusal of this name.
    pub(crate) fn refuse(&self, name: &str) -> Refusal {
        (self.form)(self.tables().refusal(name), None)
    }

    /// Checks a request against the rules of a table.
    pub(crate) fn check(&self, table: &str, request: &Value) -> Result<(), Refusal> {
        let refusal = |breach: Breach| {
            let row = (breach.status, breach.code.as_str(), breach.message.as_str());
            (self.form)(row, Some(breach.name))
        };
        self.tables().check(table, request).map_err(refusal)
    }

    /// Reads a JSON body with the fields of these tables, or makes the refusal `MALFORMED`.
    pub(crate) fn json(&self, call: &Call<'_>, tables: &[&str]) -> Result<Value, Refusal> {
        let request = self.tables().json(call.body, tables);
        request.ok_or_else(|| self.refuse("MALFORMED"))
    }

    /// Reads the fields of these tables from a form, or makes the refusal `MALFORMED`.
    pub(crate) fn form(&self, call: &Call<'_>, tables: &[&str]) -> Result<Value, Refusal> {
        let form = self.tables().form(call.body, tables);
        form.ok_or_else(|| self.refuse("MALFORMED"))
    }

    /// Reads the fields of these tables from the query, or makes the refusal `MALFORMED`.
    pub(crate) fn query(&self, call: &Call<'_>, tables: &[&str]) -> Result<Value, Refusal> {
        let query = call.request.query_string().as_bytes();
        let query = self.tables().form(query, tables);
        query.ok_or_else(|| self.refuse("MALFORMED"))
    }
}
