//! PayU Payouts: the penny test and its lookup.

use khata_domain::validation::CallResult;
use khata_domain::{BankAccount, CallFailure, Class, GatewayResponse};
use serde_json::Value;

use super::codes;
use super::oauth::OAuth;
use super::response::{error_code, error_response};
use crate::connector::{Call, Check, LookupResult, rejected_lookup};
use crate::http::Reply;
use crate::meaning::lost;
use crate::name::{plain_name, score};
use crate::token::{TokenClient, WithToken};
use crate::wire::text;

const VERIFY: &str = "/payout/payment/verifyAccount";
const TRANSACTIONS: &str = "/payout/payment/listTransactions";
const ACCOUNT: &str = "/payout/merchant/getAccountDetail";
/// `purpose`: letters and digits.
const PURPOSE: &str = "Verification";
/// `beneName`: letters and digits; PayU publishes no length.
const MAX_NAME: usize = 100;

/// A merchant's account at PayU Payouts.
pub(super) struct Payouts(pub(super) TokenClient<OAuth>);

impl Payouts {
    /// Makes the penny test.
    pub(super) async fn verify(&self, call: &Call<'_>, bank: &BankAccount) -> CallResult {
        let name = plain_name(bank, MAX_NAME);
        let mut form = vec![
            ("accountNumber", bank.account_number.expose()),
            ("ifscCode", bank.ifsc.as_str()),
            ("merchantRefId", call.reference),
            ("validateIfsc", "true"),
        ];
        match &name {
            Some(name) => form.extend([("beneName", name.as_str()), ("nameMatching", "true")]),
            None => form.push(("nameMatching", "false")),
        }
        form.push(("purpose", PURPOSE));
        let reply = match self.post(VERIFY, &form).await? {
            Ok(reply) => reply,
            Err(refusal) => return Ok(refusal),
        };
        if reply.status != 200 {
            return error_response(&reply);
        }
        let verification = match data(&reply)? {
            Ok(verification) => verification,
            Err(response) => return Ok(response),
        };
        let word = text(&verification["accountExists"])
            .ok_or_else(|| lost("response without the result of the penny test"))?;
        let response = codes::account_exists(&word).response(&word);
        // Samples of pending replies hold a name too: the one that was sent, because no bank has replied yet.
        let name = text(&verification["beneficiaryName"]);
        Ok(GatewayResponse {
            name_at_bank: name.filter(|_| response.class == Class::Valid),
            name_match_score: score(text(&verification["nameMatch"]).as_deref()),
            ..response
        })
    }

    /// Looks up the transfer of a penny test.
    pub(super) async fn lookup(&self, call: &Call<'_>) -> LookupResult {
        let form = [
            ("merchantRefId", call.reference),
            ("page", "1"),
            ("pageSize", "10"),
        ];
        let reply = match self.post(TRANSACTIONS, &form).await? {
            Ok(reply) => reply,
            Err(refusal) => return Err(rejected_lookup(&refusal)),
        };
        if reply.status != 200 {
            return Err(reply.lookup_failure());
        }
        let Ok(data) = data(&reply)? else {
            return Err(lost("lookup failed"));
        };
        // The latest transfer comes first.
        let transfers = data["transactionDetails"].as_array();
        let transfer = transfers
            .into_iter()
            .flatten()
            .find(|transfer| transfer["merchantRefId"] == call.reference)
            .ok_or_else(|| lost("lookup found no transfer, which PayU says to take for pending"))?;
        let status = text(&transfer["txnStatus"])
            .ok_or_else(|| lost("lookup found a transfer without a status"))?;
        let sentence = transfer["msg"].as_str().unwrap_or_default();
        Ok(Some(GatewayResponse {
            name_at_bank: text(&transfer["nameWithBank"]),
            name_match_score: score(text(&transfer["nameMatch"]).as_deref()),
            utr: text(&transfer["bankTransactionRefNo"]),
            gateway_reference: text(&transfer["payuTransactionRefNo"]),
            ..codes::transfer(&status, sentence).response(&status)
        }))
    }

    /// Asks for the merchant's own account details.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let reply = match self.0.send(self.0.client.get(ACCOUNT), ACCOUNT).await? {
            Ok(reply) => reply,
            Err(refusal) if refusal.class == Class::Misconfigured => {
                return Ok(Check::Refused(refusal.code));
            }
            Err(refusal) => return Ok(Check::Unclear(refusal.code)),
        };
        let status = reply.code_or_status("");
        Ok(match reply.status {
            200 if reply.value()["status"] == 0 => Check::Accepted("account_detail".into()),
            401 | 403 => Check::Refused(status),
            _ => Check::Unclear(status),
        })
    }

    async fn post(&self, route: &'static str, form: &[(&str, &str)]) -> WithToken<Reply> {
        let request = self.0.client.post(route).form(form);
        self.0.send(request, route).await
    }
}

/// Returns `data` of a call that succeeded, or the response that its failure means. `status` is 0 if the call succeeded,
/// also if the account is invalid, and 1 if it failed.
fn data(reply: &Reply) -> Result<Result<Value, GatewayResponse>, CallFailure> {
    let mut body: Value = reply.json()?;
    match body["status"].as_i64() {
        Some(0) if body["data"].is_null() => Err(lost("response without data")),
        Some(0) => Ok(Ok(body["data"].take())),
        Some(status) => {
            let code = error_code(&body);
            let meaning = codes::payout(&code, body["msg"].as_str().unwrap_or_default());
            Ok(Err(if code.is_empty() {
                meaning.response(&format!("status_{status}"))
            } else {
                meaning.response(&code)
            }))
        }
        None => Err(lost("response without a status")),
    }
}
