//! Cashfree's own words for what every gateway says, and its signature.

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use crate::calls::Allowance;
use crate::cashfree::CLIENT_SECRET;
use crate::cashfree::refusal::Refusal;
use crate::fault::Wording;
use crate::gateway::Gateway;
use crate::sign::{base64, hmac_sha256};
use crate::webhooks::Signs;

/// Bytes of one block of RSA with 2048 bits.
const RSA_BLOCK: usize = 256;

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

    /// `x-cf-signature` lets a caller in from anywhere. What it holds is for Cashfree's private key; here
    /// it only has to look like it: the base64 of one block of RSA with 2048 bits.
    fn vouches(headers: &HeaderMap) -> bool {
        let signature = headers
            .get("x-cf-signature")
            .and_then(|value| STANDARD.decode(value).ok());
        signature.is_some_and(|block| block.len() == RSA_BLOCK)
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
