//! Cashfree's own words for what every gateway says, and its signature.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};

use crate::calls::Allowance;
use crate::cashfree::CLIENT_SECRET;
use crate::cashfree::refusal::Refusal;
use crate::fault::Wording;
use crate::gateway::Gateway;
use crate::sign::{base64, hmac_sha256};
use crate::webhooks::Signs;

/// Cashfree, to what all gateways share.
pub(super) struct House;

impl Wording for House {
    const GATEWAY: Gateway = Gateway::Cashfree;

    fn failure() -> HttpResponse {
        Refusal::internal_error().answer()
    }

    fn too_many_calls() -> HttpResponse {
        Refusal::too_many_calls().answer()
    }

    fn ip_refused() -> HttpResponse {
        Refusal::ip().answer()
    }

    fn rate_limit_headers(allowance: Allowance, headers: &mut HeaderMap) {
        let reset = allowance.resets_in.as_millis().div_ceil(1_000);
        for (name, value) in [
            ("x-ratelimit-limit", HeaderValue::from(allowance.limit)),
            (
                "x-ratelimit-remaining",
                HeaderValue::from(allowance.remaining),
            ),
            (
                "x-ratelimit-reset",
                HeaderValue::from(u64::try_from(reset).unwrap_or(u64::MAX)),
            ),
        ] {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

impl Signs for House {
    const GATEWAY: Gateway = Gateway::Cashfree;

    const SECRET: &'static str = CLIENT_SECRET;

    /// base64(HMAC-SHA256(timestamp + raw body, client secret)), nothing between the two (Cashfree,
    /// payloads and signatures).
    fn sign(secret: &str, body: &str, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
        let timestamp = now.timestamp_millis().to_string();
        let mac = hmac_sha256(secret, &[timestamp.as_bytes(), body.as_bytes()]);
        vec![
            ("x-webhook-timestamp", timestamp),
            ("x-webhook-signature", base64(&mac)),
        ]
    }
}
