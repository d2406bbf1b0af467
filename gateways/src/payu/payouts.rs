//! PayU Payouts: the penny test and its lookup.

use khata_domain::validation::CallResult;
use khata_domain::{BankAccount, CallFailure, Class, GatewayResponse};

use super::codes;
use super::oauth::OAuth;
use super::response::{error_code, error_response};
use crate::body::{Body, Fields, Word};
use crate::connector::{Call, Check, LookupResult, rejected_lookup};
use crate::http::Reply;
use crate::meaning::{Meaning, conclude, meaning_of};
use crate::name::plain_name;
use crate::token::{TokenClient, WithToken};

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
        let body = reply.body()?;
        let verification = match data(&body)? {
            Ok(verification) => verification,
            Err(response) => return Ok(response),
        };
        let word = verification.scalar("accountExists");
        // A number in the place of the word is not readable; 1 and 0 are words of the UPI lookup.
        let is_other_number =
            |meaning| meaning == Meaning::Unlisted && word.as_str().parse::<f64>().is_ok();
        let mut meaning = meaning_of(&word, codes::account_exists);
        meaning = meaning.filter(|meaning| !is_other_number(*meaning));
        let (sentence, code) = (verification.word("error"), error_code(&body));
        let says_two_things = [&sentence, &code].contains(&&Word::Contradictory);
        let is_doubtful = says_two_things || codes::may_have_failed(&verification.scalar("status"));
        let is_contradicted = |meaning: Meaning| {
            codes::is_contradicted(meaning, sentence.as_str(), code.as_str())
                || is_doubtful && meaning.class() == Class::Valid
        };
        if meaning.is_some_and(is_contradicted) {
            body.note("accountExists");
            meaning = Some(Meaning::Contradictory);
        }
        let without = "response without the result of the penny test";
        let outcome = conclude(&body, meaning, word.as_str(), without)?;
        // Samples of pending replies hold a name too: the one that was sent, because no bank has replied yet.
        let name = verification.text("beneficiaryName");
        Ok(body.noted(GatewayResponse {
            name_at_bank: name.filter(|_| outcome.class == Class::Valid),
            name_match_score: verification.score("nameMatch"),
            ..outcome
        }))
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
        let body = reply.body()?;
        let Ok(data) = data(&body)? else {
            return Err(body.lost("lookup failed"));
        };
        // The latest transfer comes first.
        let transfers = data.list("transactionDetails");
        let is_ours = |transfer: &&Fields<'_>| {
            transfer.id("merchantRefId").as_deref() == Some(call.reference)
        };
        // PayU says to take it for pending; it may stay so.
        let transfer = transfers.iter().find(is_ours);
        let transfer = transfer.ok_or_else(|| body.unclear("lookup found no transfer"))?;
        let status = transfer.word("txnStatus");
        let sentence = transfer.word("msg");
        let meaning = meaning_of(&status, |word| match &sentence {
            Word::Contradictory => Meaning::Contradictory,
            sentence => codes::transfer(word, sentence.as_str()),
        });
        let without = "lookup found a transfer without a status";
        let outcome = conclude(&body, meaning, status.as_str(), without)?;
        Ok(Some(body.noted(GatewayResponse {
            name_at_bank: transfer.text("nameWithBank"),
            name_match_score: transfer.score("nameMatch"),
            utr: transfer.id("bankTransactionRefNo"),
            gateway_reference: transfer.id("payuTransactionRefNo"),
            ..outcome
        })))
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
            200 if reply.error_body().fields().scalar("status").as_str() == "0" => {
                Check::Accepted("account_detail".into())
            }
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
fn data(body: &Body) -> Result<Result<Fields<'_>, GatewayResponse>, CallFailure> {
    let fields = body.fields();
    let data = fields.object("data");
    match fields.scalar("status").as_str() {
        "0" if data.is_absent() => Err(body.unclear("response without data")),
        "0" => Ok(Ok(data)),
        // A failed call says nothing about the account.
        status if is_number(status) && data.scalar("accountExists") == Word::Absent => {
            let code = error_code(body);
            if code == Word::Contradictory {
                return Err(body.unclear("contradictory codes"));
            }
            let meaning = codes::payout(code.as_str(), fields.word("msg").as_str());
            let code = match code.as_str() {
                "" => format!("status_{status}"),
                code => code.to_owned(),
            };
            Ok(Err(body.noted(meaning.response(&code))))
        }
        _ => {
            body.note("status");
            Err(body.unclear("response without a clear status"))
        }
    }
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}
