//! Bank accounts at Setu. It takes no idempotency key and no reference of ours: a lost answer cannot be found again.

use std::time::Duration;

use khata_domain::{BankAccount, CallFailure, Class, GatewayResponse};
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::wire::{BankRequest, BankResponse};
use super::{JSON, codes, refused, sound_id};
use crate::connector::Check;
use crate::http::{json_body, send};
use crate::name::real_name;
use crate::settings::BankFlow;

const SYNC: &str = "/api/verify/ban";
const ASYNC: &str = "/api/verify/ban/async";
const STATUS: &str = "/api/verify/ban/async/{id}";
/// Of the form of Setu's ids, and none of them.
const NOBODYS_ID: &str = "00000000-0000-4000-8000-000000000000";
/// What the asynchronous call is accepted with has no code.
const ACCEPTED: &str = "accepted";

/// The calls about bank accounts.
pub(super) struct Bank {
    pub(super) http: reqwest::Client,
    pub(super) base_url: String,
    /// The credentials.
    pub(super) headers: HeaderMap,
    pub(super) call_timeout: Duration,
    pub(super) flow: BankFlow,
    pub(super) narration: String,
}

impl Bank {
    pub(super) async fn verify(&self, bank: &BankAccount) -> Result<GatewayResponse, CallFailure> {
        let (route, narration) = match self.flow {
            BankFlow::Sync => (SYNC, None),
            BankFlow::Async => (ASYNC, Some(self.narration.as_str())),
        };
        let body = BankRequest {
            ifsc: bank.ifsc.as_str(),
            account_number: bank.account_number.expose(),
            narration,
        };
        let request = self
            .authorised(self.http.post(format!("{}{route}", self.base_url)))
            .header(CONTENT_TYPE, JSON)
            .body(json_body(&body));
        let reply = send(&self.http, request, route).await?;
        if reply.status != 200 {
            return refused(&reply, codes::bank_error(reply.status));
        }
        let response: BankResponse = reply.json()?;
        let told = response.code.is_some() || response.verification.is_some();
        let answer = if self.flow == BankFlow::Async && !told {
            GatewayResponse {
                gateway_reference: response.id.filter(|id| sound_id(id)),
                ..GatewayResponse::of(Class::Pending, ACCEPTED)
            }
        } else {
            bank_answer(response)?
        };
        if answer.class == Class::Pending && answer.gateway_reference.is_none() {
            return Err(CallFailure::ResponseLost("pending under no id".into()));
        }
        Ok(answer)
    }

    /// Asks by Setu's id.
    pub(super) async fn lookup(&self, id: &str) -> Result<GatewayResponse, CallFailure> {
        let request = self.authorised(self.http.get(format!("{}{ASYNC}/{id}", self.base_url)));
        let reply = send(&self.http, request, STATUS).await?;
        match reply.status {
            200 => bank_answer(reply.json()?),
            // What is said of the look tells nothing of the call: it stays open. Setu made the id up itself, so that it
            // does not know it now is not believed either.
            _ => Err(reply.unheard()),
        }
    }

    /// Asks for an id that nobody has. What Setu answers then is not documented: a 404 in its own words is told only to
    /// whom it knows, anything else says nothing.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let url = format!("{}{ASYNC}/{NOBODYS_ID}", self.base_url);
        let request = self.authorised(self.http.get(url));
        let reply = send(&self.http, request, STATUS).await?;
        Ok(super::checked(&reply))
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request
            .headers(self.headers.clone())
            .timeout(self.call_timeout)
    }
}

fn bank_answer(response: BankResponse) -> Result<GatewayResponse, CallFailure> {
    let verification = response.verification.unwrap_or_default();
    let code = response.code.unwrap_or_default();
    if verification.is_empty() && code.is_empty() {
        return Err(CallFailure::ResponseLost("an answer without a code".into()));
    }
    let meaning = codes::bank(&verification, &code);
    let said = if code.is_empty() {
        &verification
    } else {
        &code
    };
    let data = response.data.unwrap_or_default();
    Ok(GatewayResponse {
        name_at_bank: real_name(data.name),
        utr: data.transaction_reference.filter(|utr| !utr.is_empty()),
        gateway_reference: response.id.filter(|id| sound_id(id)),
        ..meaning.answer(said)
    })
}
