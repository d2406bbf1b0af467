//! Bank accounts at Setu. Setu takes no idempotency key and no reference of ours: a lost response cannot be recovered.

use khata_domain::validation::CallResult;
use khata_domain::{BankAccount, CallFailure, Class, GatewayResponse, Method};
use serde_json::json;

use super::codes;
use super::response::{check, error_response, id, lookup_failure, require_id};
use crate::body::{Body, Word};
use crate::connector::Check;
use crate::http::Client;
use crate::meaning::{Meaning, conclude};
use crate::name::names_holder;
use crate::settings::BankFlow;

const SYNC: &str = "/api/verify/ban";
const ASYNC: &str = "/api/verify/ban/async";
const STATUS: &str = "/api/verify/ban/async/{id}";
/// The penniless check (docs.setu.co, *PennyLess drop API*).
const PENNILESS: &str = "/api/verify/ban/pennyless";
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
    pub(super) async fn verify(&self, bank: &BankAccount, method: Method) -> CallResult {
        let mut body = json!({
            "ifsc": bank.ifsc.as_str(),
            "accountNumber": bank.account_number.expose(),
        });
        let route = match (method, self.flow) {
            (Method::Penniless, _) => PENNILESS,
            (Method::PennyDrop | Method::VpaLookup, BankFlow::Sync) => SYNC,
            (Method::PennyDrop | Method::VpaLookup, BankFlow::Async) => {
                body["narration"] = self.narration.as_str().into();
                ASYNC
            }
        };
        let request = self.client.post(route).json(&body);
        let reply = self.client.send(request, route).await?;
        match (reply.status, route) {
            (200, PENNILESS) => penniless_response(&reply.body()?),
            (200, ASYNC) => accepted(&reply.body()?),
            // Nothing can be looked up after a synchronous call: a contradictory response stays one.
            (200, _) => {
                let body = reply.body()?;
                let response = bank_response(&body, |meaning| meaning == Meaning::Contradictory)?;
                require_id(&body, response)
            }
            (status, PENNILESS) => error_response(&reply, codes::free_error(status)),
            (status, _) => error_response(&reply, codes::bank_error(status)),
        }
    }

    /// Looks up a call by Setu's id.
    pub(super) async fn lookup(&self, id: &str) -> CallResult {
        let request = self.client.get(&format!("{ASYNC}/{id}"));
        let reply = self.client.send(request, STATUS).await?;
        match reply.status {
            200 => bank_response(&reply.body()?, |_| false),
            _ => Err(lookup_failure(&reply)),
        }
    }

    /// Asks for an id that does not exist.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let request = self.client.get(&format!("{ASYNC}/{UNKNOWN_ID}"));
        Ok(check(&self.client.send(request, STATUS).await?))
    }
}

/// Maps the reply to an asynchronous call: its acceptance, which holds only an id, or an outcome. An outcome that cannot be read
/// beside an id is looked up.
fn accepted(body: &Body) -> CallResult {
    let fields = body.fields();
    let id = id(&fields, "id");
    let is_blank = |name| matches!(fields.word(name), Word::Absent | Word::Blank);
    let has_outcome = !is_blank("code") || !is_blank("verification");
    let response = match bank_response(body, |_| false) {
        Ok(response) if has_outcome && response.is_listed_or_final() => response,
        Ok(response) if has_outcome && id.is_none() => response,
        Err(failure) if id.is_none() => return Err(failure),
        _ => body.noted(GatewayResponse {
            gateway_reference: id,
            ..GatewayResponse::of(Class::Pending, ACCEPTED)
        }),
    };
    require_id(body, response)
}

/// Maps a reply with an outcome. `is_taken` says which contradictory meanings are a response all the same.
fn bank_response(body: &Body, is_taken: impl Fn(Meaning) -> bool) -> CallResult {
    let fields = body.fields();
    let verification = fields.word("verification");
    let code = fields.word("code");
    let word = match code.as_str() {
        "" => verification.as_str(),
        code => code,
    };
    let meaning = match (&verification, &code) {
        // A verification that cannot be read may say the opposite of the code.
        (Word::Contradictory, _) | (_, Word::Contradictory) | (Word::Unreadable, Word::Of(_)) => {
            Some(Meaning::Contradictory)
        }
        _ if word.is_empty() => None,
        _ => Some(codes::bank(verification.as_str(), code.as_str())),
    };
    if meaning == Some(Meaning::Contradictory) {
        body.note("verification");
        body.note("code");
    }
    let outcome = match meaning {
        Some(meaning) if is_taken(meaning) => meaning.response(word),
        meaning => conclude(body, meaning, word, "response without a code")?,
    };
    let data = fields.object("data");
    let response = GatewayResponse {
        name_at_bank: data.text("name"),
        utr: data.id("transactionReference"),
        gateway_reference: id(&fields, "id"),
        ..outcome
    };
    Ok(body.noted(response))
}

/// Maps the reply to a penniless check. `ifscCrossCheck` compares the IFSC with a list, which lags behind the banks: it does not
/// decide.
fn penniless_response(body: &Body) -> CallResult {
    let fields = body.fields();
    let status = fields.word("status");
    let message = fields.word("message");
    let meaning = match (&status, &message) {
        (Word::Contradictory, _) | (Word::Of(_), Word::Contradictory) => {
            Some(Meaning::Contradictory)
        }
        // The message may say that the account is invalid; the call can be repeated for nothing.
        (Word::Of(_), Word::Unreadable) | (Word::Absent | Word::Blank | Word::Unreadable, _) => {
            None
        }
        (Word::Of(word), _) => Some(codes::penniless(word, message.as_str())),
    };
    let data = fields.object("data");
    let name_at_bank = data.text("bankAccountName");
    // An error says nothing of the holder.
    let contradicts = names_holder(name_at_bank.as_deref())
        && meaning.is_some_and(|meaning| meaning.class() == Class::Invalid);
    if contradicts {
        body.note("status");
    }
    let meaning = if contradicts {
        Some(Meaning::Contradictory)
    } else {
        meaning
    };
    let outcome = conclude(body, meaning, status.as_str(), "response without a status")?;
    Ok(body.noted(GatewayResponse {
        name_at_bank,
        ..outcome
    }))
}
