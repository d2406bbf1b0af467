//! Path and query parameters. A call refuses query parameters that it does not know.

use actix_web::http::Method;
use serde::Deserialize;
use utoipa::IntoParams;

/// A customer.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct CustomerPath {
    /// Khata's id, or your own reference.
    #[param(pattern = "^[!-~]{1,128}$", example = "customer_1122")]
    customer_id: String,
}

/// An account of a customer.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct AccountPath {
    #[param(example = "banh_01k82u7s7aeqraoh1tia1a3hc8")]
    account_id: String,
}

/// A branch.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct IfscPath {
    #[param(
        pattern = r"^\s*(?:[A-Za-z]{4}0[A-Za-z0-9]{6})\s*$",
        example = "HDFC0000001"
    )]
    ifsc: String,
}

/// An event.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct EventPath {
    #[param(example = "evt_01k82u7s7aeqraoh1tia1a3hc8")]
    event_id: String,
}

/// A webhook endpoint.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct EndpointPath {
    #[param(example = "whe_01k82u7s7aeqraoh1tia1a3hc8")]
    endpoint_id: String,
}

/// A page of the events. Read as text, as [`PagingQuery`].
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Id of the last event that you have; without it, the page begins with the oldest event that Khata keeps. `latest`: the newest
    /// event.
    #[param(pattern = "^(?:evt_[0-7][0-9a-v]{25}|latest)?$")]
    pub(crate) after: Option<String>,
    /// Names of events, with commas between them; without it, all.
    #[param(example = "CUSTOMER_ACCOUNT_ACTIVE,CUSTOMER_ACCOUNT_FAILURE")]
    pub(crate) types: Option<String>,
    /// Most events of the page.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100, default = 100)]
    pub(crate) limit: Option<String>,
}

/// A page of the deliveries to an endpoint. Read as text, as [`PagingQuery`].
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveriesQuery {
    /// State of the deliveries; without it, any.
    #[param(value_type = Option<super::DeliveryStateWord>)]
    pub(crate) state: Option<String>,
    /// Id of the event of the last delivery that you have; without it, the page begins with the newest event.
    #[param(pattern = "^(?:evt_[0-7][0-9a-v]{25})?$")]
    pub(crate) before: Option<String>,
    /// Most deliveries of the page.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100, default = 20)]
    pub(crate) limit: Option<String>,
}

/// A page of a list. Read as text, so that a bad value is reported like that of any other field.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PagingQuery {
    /// Accounts per page.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 100, default = 10)]
    pub(crate) count: Option<String>,
    /// Accounts to skip.
    #[param(value_type = Option<u64>, minimum = 0, maximum = 1_000_000_000, default = 0)]
    pub(crate) offset: Option<String>,
}

/// Query parameters of *get customer* that are ignored: Juspay's Python client repeats the customer's id, and Juspay's API has an
/// option that asks for a client auth token, which Khata does not issue. `http_build_query`, qs and axios write it in brackets.
pub(crate) const IGNORED_PARAMETERS: [&str; 3] = [
    "id",
    "options.get_client_auth_token",
    "options[get_client_auth_token]",
];

/// Returns the names of the query parameters that a call to this route knows.
pub(crate) fn query_parameters(method: &Method, route: &str) -> &'static [&'static str] {
    match (method.as_str(), route) {
        ("GET" | "HEAD", "/customers/{customer_id}") => &IGNORED_PARAMETERS,
        ("GET" | "HEAD", "/events") => &["after", "types", "limit"],
        ("GET" | "HEAD", "/webhook-endpoints/{endpoint_id}/deliveries") => {
            &["state", "before", "limit"]
        }
        ("GET" | "HEAD", _) if route.ends_with("/list") => &["count", "offset"],
        _ => &[],
    }
}
