//! PayU Payouts: the penny test and its lookup.

use khata_domain::validation::CallResult;
use khata_domain::{BankAccount, CallFailure, Class, GatewayResponse};
use serde::de::DeserializeOwned;

use super::codes;
use super::oauth::OAuth;
use super::response::error_response;
use super::wire::{Envelope, Frame, Transactions, Verification};
use crate::connector::{Call, Check, LookupResult};
use crate::http::Reply;
use crate::name::{plain, score, trimmed};
use crate::token::{NoReply, TokenClient};

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
        let name = bank
            .beneficiary_name
            .as_ref()
            .and_then(|name| plain(name.expose(), MAX_NAME));
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
        let reply = match self.post(VERIFY, &form).await {
            Ok(reply) => reply,
            Err(no_reply) => return no_reply.into_result(),
        };
        if reply.status != 200 {
            return error_response(&reply);
        }
        let verification: Verification = match data(&reply)? {
            Ok(verification) => verification,
            Err(response) => return Ok(response),
        };
        let word = verification.account_exists.filter(|word| !word.is_empty());
        let word = word.ok_or_else(|| {
            CallFailure::ResponseLost("response without the result of the penny test".into())
        })?;
        let response = codes::account_exists(&word).response(&word);
        // Samples of pending replies hold a name too: the one that was sent, because no bank has replied yet.
        let name = trimmed(verification.beneficiary_name);
        Ok(GatewayResponse {
            name_at_bank: name.filter(|_| response.class == Class::Valid),
            name_match_score: score(verification.name_match.as_deref()),
            ..response
        })
    }

    /// Looks up the transfer of a penny test.
    pub(super) async fn lookup(&self, call: &Call<'_>) -> LookupResult {
        let lost = |reason: &str| Err(CallFailure::ResponseLost(format!("lookup {reason}")));
        let form = [
            ("merchantRefId", call.reference),
            ("page", "1"),
            ("pageSize", "10"),
        ];
        let reply = match self.post(TRANSACTIONS, &form).await {
            Ok(reply) => reply,
            Err(NoReply::NoToken(response)) if response.class == Class::Retryable => {
                let retry_after = response.retry_after;
                return Err(CallFailure::Rejected { retry_after });
            }
            Err(NoReply::NoToken(response)) => {
                return lost(&format!("rejected with {}", response.code));
            }
            Err(NoReply::Failed(failure)) => return Err(failure),
        };
        if reply.status != 200 {
            return Err(reply.lookup_failure());
        }
        let Ok(transactions) = data::<Transactions>(&reply)? else {
            return lost("failed");
        };
        let Some(transfer) = transactions
            .transaction_details
            .into_iter()
            .find(|transfer| transfer.merchant_ref_id.as_deref() == Some(call.reference))
        else {
            return lost("found no transfer, which PayU says to take for pending");
        };
        let status = transfer.txn_status.filter(|status| !status.is_empty());
        let Some(status) = status else {
            return lost("found a transfer without a status");
        };
        let sentence = transfer.msg.unwrap_or_default();
        Ok(Some(GatewayResponse {
            name_at_bank: trimmed(transfer.name_with_bank),
            name_match_score: score(transfer.name_match.as_deref()),
            utr: trimmed(transfer.bank_transaction_ref_no),
            gateway_reference: transfer.payu_transaction_ref_no,
            ..codes::transfer(&status, &sentence).response(&status)
        }))
    }

    /// Asks for the merchant's own account details.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let reply = match self.0.send(self.0.client.get(ACCOUNT), ACCOUNT).await {
            Ok(reply) => reply,
            Err(NoReply::NoToken(response)) if response.class == Class::Misconfigured => {
                return Ok(Check::Refused(response.code));
            }
            Err(NoReply::NoToken(response)) => return Ok(Check::Unclear(response.code)),
            Err(NoReply::Failed(failure)) => return Err(failure),
        };
        let status = reply.code_or_status("");
        let succeeded = |frame: Frame| frame.status == Some(0);
        Ok(match reply.status {
            200 if reply.json().is_ok_and(succeeded) => Check::Accepted("account_detail".into()),
            401 | 403 => Check::Refused(status),
            _ => Check::Unclear(status),
        })
    }

    async fn post(&self, route: &'static str, form: &[(&str, &str)]) -> Result<Reply, NoReply> {
        let request = self.0.client.post(route).form(form);
        self.0.send(request, route).await
    }
}

/// Returns `data` of a call that succeeded, or the response that its failure means.
fn data<T: DeserializeOwned>(reply: &Reply) -> Result<Result<T, GatewayResponse>, CallFailure> {
    let lost = |reason: &str| CallFailure::ResponseLost(reason.into());
    let frame: Frame = reply.json()?;
    match frame.status {
        Some(0) => {
            let envelope: Envelope<T> = reply.json()?;
            let data = envelope.data;
            data.map(Ok).ok_or_else(|| lost("response without data"))
        }
        Some(status) => {
            let code = frame.code.unwrap_or_default();
            let meaning = codes::payout(&code, &frame.msg.unwrap_or_default());
            Ok(Err(if code.is_empty() {
                meaning.response(&format!("status_{status}"))
            } else {
                meaning.response(&code)
            }))
        }
        None => Err(lost("response without a status")),
    }
}
