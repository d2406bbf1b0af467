//! Refusals: the replies to calls that a gateway does not accept.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde_json::Value;

/// A row of a gateway's table of refusals: HTTP status, the gateway's code, message. In the refusal of a
/// field, `{}` stands for the field's path, `{last}` for the last name of the path, `{least}` and `{most}`
/// for the limits.
pub(crate) type RefusalRow<'a> = (u16, &'a str, &'a str);

/// Declares a table of refusals, each as `NAME = status, code, message`.
macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $status:literal, $code:expr, $message:expr;)*) => {
        $($(#[$doc])* pub(super) const $name: RefusalRow<'static> = ($status, $code, $message);)*
    };
}
pub(crate) use refusals;

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
