//! UPI addresses at Setu's UPI platform (UMAP). A lookup moves no money: it may be repeated, and an error decides nothing.

use khata_domain::validation::CallResult;
use khata_domain::{CallFailure, Class, Vpa};

use super::codes;
use super::login::UmapToken;
use super::response::{check, error_response, lost, vpa_response};
use super::wire::VpaRequest;
use crate::connector::Check;
use crate::token::{NoReply, TokenClient};

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
        vpa.expose()
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"@.-".contains(&b))
    }

    pub(super) async fn verify(&self, vpa: &Vpa, reference: &str) -> CallResult {
        let body = VpaRequest {
            customer_vpa: vpa.expose(),
            merchant_reference_id: reference,
        };
        let request = self.client.client.post(VERIFY).json(&body);
        let reply = match self.client.send(request, VERIFY).await {
            Ok(reply) => reply,
            Err(no_reply) => return no_reply.into_result(),
        };
        if reply.status != 200 {
            return error_response(&reply, codes::vpa_error(reply.status));
        }
        let response = vpa_response(reply.json()?)?;
        if response.class == Class::Pending && response.gateway_reference.is_none() {
            return Err(lost("pending without an id"));
        }
        Ok(response)
    }

    /// Looks up a call by UMAP's id.
    pub(super) async fn lookup(&self, id: &str) -> CallResult {
        let request = self.client.client.get(&format!("{VERIFY}/{id}"));
        match self.client.send(request, STATUS).await {
            Ok(reply) if reply.status == 200 => vpa_response(reply.json()?),
            Ok(reply) => Err(reply.lookup_failure()),
            Err(NoReply::NoToken(response)) => {
                let reason = format!("lookup rejected with {}", response.code);
                Err(CallFailure::ResponseLost(reason))
            }
            Err(NoReply::Failed(failure)) => Err(failure),
        }
    }

    /// Asks for an id that does not exist.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let request = self.client.client.get(&format!("{VERIFY}/{UNKNOWN_ID}"));
        match self.client.send(request, STATUS).await {
            Ok(reply) => Ok(check(&reply)),
            Err(NoReply::NoToken(response)) => Ok(Check::Refused(response.code)),
            Err(NoReply::Failed(failure)) => Err(failure),
        }
    }
}
