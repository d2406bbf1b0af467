//! Refusals: the replies to calls that a gateway does not accept.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::Value;

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
