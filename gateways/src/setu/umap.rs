//! UPI addresses at Setu's UPI platform (UMAP). A lookup moves no money: it may be repeated, and an error decides nothing.

use khata_domain::validation::CallResult;
use khata_domain::{CallFailure, Vpa};
use serde_json::json;

use super::codes;
use super::login::UmapToken;
use super::response::{check, error_response, lookup_failure, require_id, vpa_response};
use crate::connector::{Check, rejected_lookup};
use crate::name::is_plain;
use crate::token::TokenClient;

const VERIFY: &str = "/api/v1/merchants/customer-vpas/verify";
const STATUS: &str = "/api/v1/merchants/customer-vpas/verify/{id}";
/// An id of the right form (ULID) that UMAP never gives.
const UNKNOWN_ID: &str = "00000000000000000000000000";

/// Looks up UPI addresses.
pub(super) struct Umap {
    pub(super) client: TokenClient<UmapToken>,
    /// Also names the merchant in webhooks.
    pub(super) merchant_id: String,
}

impl Umap {
    /// Whether the address has only characters that UMAP accepts (OpenAPI, `customerVpa`).
    pub(super) fn accepts(vpa: &Vpa) -> bool {
        is_plain(vpa.expose(), b"@.-")
    }

    pub(super) async fn verify(&self, vpa: &Vpa, reference: &str) -> CallResult {
        // `merchantReferenceId` is the name in the guide and in webhooks; the OpenAPI document calls it `referenceId`.
        let body = json!({"customerVpa": vpa.expose(), "merchantReferenceId": reference});
        let request = self.client.client.post(VERIFY).json(&body);
        match self.client.send(request, VERIFY).await? {
            Ok(reply) if reply.status == 200 => {
                let body = reply.body()?;
                require_id(&body, vpa_response(&body)?)
            }
            Ok(reply) => error_response(&reply, codes::free_error(reply.status)),
            Err(refusal) => Ok(refusal),
        }
    }

    /// Looks up a call by UMAP's id.
    pub(super) async fn lookup(&self, id: &str) -> CallResult {
        let request = self.client.client.get(&format!("{VERIFY}/{id}"));
        match self.client.send(request, STATUS).await? {
            Ok(reply) if reply.status == 200 => vpa_response(&reply.body()?),
            Ok(reply) => Err(lookup_failure(&reply)),
            Err(refusal) => Err(rejected_lookup(&refusal)),
        }
    }

    /// Asks for an id that does not exist.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let request = self.client.client.get(&format!("{VERIFY}/{UNKNOWN_ID}"));
        Ok(match self.client.send(request, STATUS).await? {
            Ok(reply) => check(&reply),
            Err(refusal) => Check::Refused(refusal.code),
        })
    }
}
