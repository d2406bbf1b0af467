//! Bank accounts at Setu. Setu takes no idempotency key and no reference of ours: a lost response cannot be recovered.

use khata_domain::validation::CallResult;
use khata_domain::{BankAccount, CallFailure, Class, GatewayResponse};
use serde_json::{Value, json};

use super::codes;
use super::response::{check, error_response, id, require_id};
use crate::connector::Check;
use crate::http::Client;
use crate::meaning::lost;
use crate::settings::BankFlow;
use crate::wire::text;

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
        let mut body = json!({
            "ifsc": bank.ifsc.as_str(),
            "accountNumber": bank.account_number.expose(),
        });
        let route = match self.flow {
            BankFlow::Sync => SYNC,
            BankFlow::Async => {
                body["narration"] = self.narration.as_str().into();
                ASYNC
            }
        };
        let request = self.client.post(route).json(&body);
        let reply = self.client.send(request, route).await?;
        if reply.status != 200 {
            return error_response(&reply, codes::bank_error(reply.status));
        }
        let reply: Value = reply.json()?;
        // The acceptance of an asynchronous call holds only an id.
        let has_outcome = !reply["code"].is_null() || !reply["verification"].is_null();
        require_id(if self.flow == BankFlow::Async && !has_outcome {
            GatewayResponse {
                gateway_reference: id(&reply["id"]),
                ..GatewayResponse::of(Class::Pending, ACCEPTED)
            }
        } else {
            bank_response(&reply)?
        })
    }

    /// Looks up a call by Setu's id. "No such id" proves nothing, because Setu gave us that id.
    pub(super) async fn lookup(&self, id: &str) -> CallResult {
        let request = self.client.get(&format!("{ASYNC}/{id}"));
        let reply = self.client.send(request, STATUS).await?;
        match reply.status {
            200 => bank_response(&reply.json()?),
            _ => Err(reply.lookup_failure()),
        }
    }

    /// Asks for an id that does not exist.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let request = self.client.get(&format!("{ASYNC}/{UNKNOWN_ID}"));
        Ok(check(&self.client.send(request, STATUS).await?))
    }
}

fn bank_response(reply: &Value) -> CallResult {
    let verification = text(&reply["verification"]).unwrap_or_default();
    let code = text(&reply["code"]).unwrap_or_default();
    let word = if code.is_empty() {
        &verification
    } else {
        &code
    };
    if word.is_empty() {
        return Err(lost("response without a code"));
    }
    Ok(GatewayResponse {
        name_at_bank: text(&reply["data"]["name"]),
        utr: text(&reply["data"]["transactionReference"]),
        gateway_reference: id(&reply["id"]),
        ..codes::bank(&verification, &code).response(word)
    })
}
