//! Razorpay's own words for what every gateway says, and its signature.

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};

use crate::fault::Wording;
use crate::gateway::Gateway;
use crate::razorpay::WEBHOOK_SECRET;
use crate::razorpay::refusal::Refusal;
use crate::sign::{hex, hmac_sha256};
use crate::webhooks::Signs;

/// RazorpayX, to what all gateways share.
pub(super) struct House;

impl Wording for House {
    const GATEWAY: Gateway = Gateway::Razorpay;

    fn failure() -> HttpResponse {
        Refusal::server_error().answer()
    }

    fn too_many_calls() -> HttpResponse {
        Refusal::too_many_calls().answer()
    }

    fn ip_refused() -> HttpResponse {
        Refusal::ip().answer()
    }
}

/// The payment gateway, which has its own words for one of them.
pub(super) struct PaymentHouse;

impl Wording for PaymentHouse {
    const GATEWAY: Gateway = Gateway::Razorpay;

    fn failure() -> HttpResponse {
        House::failure()
    }

    fn too_many_calls() -> HttpResponse {
        House::too_many_calls()
    }

    fn ip_refused() -> HttpResponse {
        Refusal::access().answer()
    }
}

impl Signs for House {
    const GATEWAY: Gateway = Gateway::Razorpay;

    const SECRET: &'static str = WEBHOOK_SECRET;

    /// Hexadecimal HMAC-SHA256 of the raw body (Razorpay, validate webhooks).
    fn sign(secret: &str, body: &str, _: DateTime<Utc>) -> Vec<(&'static str, String)> {
        let mac = hmac_sha256(secret, &[body.as_bytes()]);
        vec![("x-razorpay-signature", hex(&mac))]
    }
}
