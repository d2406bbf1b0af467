//! Bank accounts at Setu. Setu takes no idempotency key and no reference of ours: a lost response cannot be recovered.

use khata_domain::validation::CallResult;
use khata_domain::{BankAccount, CallFailure, Class, GatewayResponse};

use super::codes;
use super::response::{check, error_response, is_id, lost};
use super::wire::{BankReply, BankRequest};
use crate::connector::Check;
use crate::http::Client;
use crate::name::trimmed;
use crate::settings::BankFlow;

const SYNC: &str = "/api/verify/ban";
const ASYNC: &str = "/api/verify/ban/async";
const STATUS: &str = "/api/verify/ban/async/{id}";
/// An id of the right form that Setu never gives.
const UNKNOWN_ID: &str = "00000000-0000-4000-8000-000000000000";
/// Code that Khata records for an accepted asynchronous call; Setu sends none.
const ACCEPTED: &str = "accepted";

/// Validates bank accounts.
pub(super) struct Bank {
    pub(super) client: Client,
    pub(super) flow: BankFlow,
    pub(super) narration: String,
}

impl Bank {
    pub(super) async fn verify(&self, bank: &BankAccount) -> CallResult {
        let (route, narration) = match self.flow {
            BankFlow::Sync => (SYNC, None),
            BankFlow::Async => (ASYNC, Some(self.narration.as_str())),
        };
        let body = BankRequest {
            ifsc: bank.ifsc.as_str(),
            account_number: bank.account_number.expose(),
            narration,
        };
        let request = self.client.post(route).json(&body);
        let reply = self.client.send(request, route).await?;
        if reply.status != 200 {
            return error_response(&reply, codes::bank_error(reply.status));
        }
        let reply: BankReply = reply.json()?;
        let has_outcome = reply.code.is_some() || reply.verification.is_some();
        let response = if self.flow == BankFlow::Async && !has_outcome {
            GatewayResponse {
                gateway_reference: reply.id.filter(|id| is_id(id)),
                ..GatewayResponse::of(Class::Pending, ACCEPTED)
            }
        } else {
            bank_response(reply)?
        };
        if response.class == Class::Pending && response.gateway_reference.is_none() {
            return Err(lost("pending without an id"));
        }
        Ok(response)
    }

    /// Looks up a call by Setu's id. "No such id" proves nothing, because Setu gave us that id.
    pub(super) async fn lookup(&self, id: &str) -> CallResult {
        let request = self.client.get(&format!("{ASYNC}/{id}"));
        let reply = self.client.send(request, STATUS).await?;
        match reply.status {
            200 => bank_response(reply.json()?),
            _ => Err(reply.lookup_failure()),
        }
    }

    /// Asks for an id that does not exist.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let request = self.client.get(&format!("{ASYNC}/{UNKNOWN_ID}"));
        Ok(check(&self.client.send(request, STATUS).await?))
    }
}

fn bank_response(reply: BankReply) -> CallResult {
    let verification = reply.verification.unwrap_or_default();
    let code = reply.code.unwrap_or_default();
    let word = match (code.as_str(), verification.as_str()) {
        ("", "") => return Err(lost("response without a code")),
        ("", verification) => verification,
        (code, _) => code,
    };
    let data = reply.data.unwrap_or_default();
    Ok(GatewayResponse {
        name_at_bank: trimmed(data.name),
        utr: trimmed(data.transaction_reference),
        gateway_reference: reply.id.filter(|id| is_id(id)),
        ..codes::bank(&verification, &code).response(word)
    })
}
