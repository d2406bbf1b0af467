//! Setu's own words for what every gateway says, and its signature. It is one gateway to the desk, with
//! two houses: the data gateway for bank accounts, UMAP for VPAs.

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};

use crate::fault::Wording;
use crate::gateway::Gateway;
use crate::setu::WEBHOOK_SECRET;
use crate::setu::refusal::{Refusal, UmapRefusal};
use crate::sign::{base64, hmac_sha256};
use crate::webhooks::Signs;

/// The data gateway, to what all gateways share.
pub(super) struct BankHouse;

impl Wording for BankHouse {
    const GATEWAY: Gateway = Gateway::Setu;

    fn failure() -> HttpResponse {
        Refusal::internal().answer()
    }

    fn too_many_calls() -> HttpResponse {
        Refusal::too_many_calls().answer()
    }

    fn ip_refused() -> HttpResponse {
        Refusal::ip().answer()
    }
}

impl Signs for BankHouse {
    const GATEWAY: Gateway = Gateway::Setu;

    const SECRET: &'static str = WEBHOOK_SECRET;

    /// Nothing: no signature is documented.
    fn sign(_: &str, _: &str, _: DateTime<Utc>) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// UMAP, to what all gateways share.
pub(super) struct VpaHouse;

impl Wording for VpaHouse {
    const GATEWAY: Gateway = Gateway::Setu;

    fn failure() -> HttpResponse {
        UmapRefusal::internal().answer()
    }

    fn too_many_calls() -> HttpResponse {
        UmapRefusal::too_many_calls().answer()
    }

    fn ip_refused() -> HttpResponse {
        UmapRefusal::forbidden().answer()
    }
}

impl Signs for VpaHouse {
    const GATEWAY: Gateway = Gateway::Setu;

    const SECRET: &'static str = WEBHOOK_SECRET;

    /// base64(HMAC-SHA256(raw body, secret)) (Setu, "Verify signature").
    fn sign(secret: &str, body: &str, _: DateTime<Utc>) -> Vec<(&'static str, String)> {
        let mac = hmac_sha256(secret, &[body.as_bytes()]);
        vec![("x-setu-signature", base64(&mac))]
    }
}
