//! PayU Payouts: the penny test, and what became of one.

use std::time::{Duration, Instant};

use khata_domain::{BankAccount, CallFailure, Class, GatewayResponse};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::de::DeserializeOwned;

use super::token::{NoReply, Tokens};
use super::wire::{Envelope, Frame, Transactions, Verified, form};
use super::{FORM, codes, refused};
use crate::connector::{Call, Check};
use crate::http::{Reply, send};
use crate::name::{plain, real_name, score};

const VERIFY: &str = "/payout/payment/verifyAccount";
const TRANSACTIONS: &str = "/payout/payment/listTransactions";
const ACCOUNT: &str = "/payout/merchant/getAccountDetail";
/// `purpose`: letters and digits.
const PURPOSE: &str = "Verification";
/// `beneName`: letters and digits; no length is published.
const LONGEST_NAME: usize = 100;

/// A merchant's account there.
pub(super) struct Payouts {
    pub(super) http: reqwest::Client,
    pub(super) url: String,
    pub(super) merchant_id: HeaderValue,
    pub(super) tokens: Tokens,
    pub(super) call_timeout: Duration,
}

impl Payouts {
    /// The penny test.
    pub(super) async fn verify(
        &self,
        call: &Call<'_>,
        bank: &BankAccount,
    ) -> Result<GatewayResponse, CallFailure> {
        let name = bank
            .beneficiary_name
            .as_ref()
            .and_then(|name| plain(name.expose(), LONGEST_NAME));
        let mut fields = vec![
            ("accountNumber", bank.account_number.expose()),
            ("ifscCode", bank.ifsc.as_str()),
            ("merchantRefId", call.reference),
            ("validateIfsc", "true"),
        ];
        match &name {
            Some(name) => fields.extend([("beneName", name.as_str()), ("nameMatching", "true")]),
            None => fields.push(("nameMatching", "false")),
        }
        fields.push(("purpose", PURPOSE));
        let reply = match self.call(VERIFY, Some(&fields)).await {
            Ok(reply) => reply,
            Err(no_reply) => return no_reply.end(),
        };
        if reply.status != 200 {
            return refused(&reply);
        }
        let verified: Verified = match opened(&reply)? {
            Ok(verified) => verified,
            Err(answer) => return Ok(answer),
        };
        let word = verified.account_exists.filter(|word| !word.is_empty());
        let word = word.ok_or_else(|| {
            CallFailure::ResponseLost("an answer that does not say whether it exists".into())
        })?;
        let answer = codes::account_exists(&word).answer(&word);
        // Samples of pending answers hold a name too: the one that was sent, as no bank has answered yet.
        let name = verified
            .beneficiary_name
            .filter(|_| answer.class == Class::Valid);
        Ok(GatewayResponse {
            name_at_bank: real_name(name),
            name_match_score: verified.name_match.as_deref().and_then(score),
            ..answer
        })
    }

    /// What became of a penny test.
    pub(super) async fn lookup(
        &self,
        call: &Call<'_>,
    ) -> Result<Option<GatewayResponse>, CallFailure> {
        let lost = |what: &str| Err(CallFailure::ResponseLost(format!("look-up {what}")));
        let fields = [
            ("merchantRefId", call.reference),
            ("page", "1"),
            ("pageSize", "10"),
        ];
        let reply = match self.call(TRANSACTIONS, Some(&fields)).await {
            Ok(reply) => reply,
            Err(NoReply::NoToken(answer)) if answer.class == Class::Retryable => {
                let retry_after = answer.retry_after;
                return Err(CallFailure::Rejected { retry_after });
            }
            Err(NoReply::NoToken(answer)) => return lost(&format!("refused: {}", answer.code)),
            Err(NoReply::Silence(failure)) => return Err(failure),
        };
        // What is said of the look tells nothing of the call: it stays open.
        if reply.status != 200 {
            return Err(reply.unheard());
        }
        let Ok(transactions) = opened::<Transactions>(&reply)? else {
            return lost("failed");
        };
        let ours = |reference: Option<&str>| reference == Some(call.reference);
        let Some(transfer) = transactions
            .details
            .into_iter()
            .find(|transfer| ours(transfer.merchant_ref_id.as_deref()))
        else {
            return lost("found nothing, which PayU says to take for pending");
        };
        let status = transfer.txn_status.filter(|status| !status.is_empty());
        let Some(status) = status else {
            return lost("found a transfer without a status");
        };
        let sentence = transfer.msg.unwrap_or_default();
        Ok(Some(GatewayResponse {
            name_at_bank: real_name(transfer.name_with_bank),
            name_match_score: transfer.name_match.as_deref().and_then(score),
            utr: transfer
                .bank_transaction_ref_no
                .filter(|utr| !utr.is_empty()),
            gateway_reference: transfer.payu_transaction_ref_no,
            ..codes::transfer(&status, &sentence).answer(&status)
        }))
    }

    /// The merchant's own account details.
    pub(super) async fn check(&self) -> Result<Check, CallFailure> {
        let reply = match self.call(ACCOUNT, None).await {
            Ok(reply) => reply,
            Err(NoReply::NoToken(answer)) if answer.class == Class::Misconfigured => {
                return Ok(Check::Refused(answer.code));
            }
            Err(NoReply::NoToken(answer)) => return Ok(Check::Unclear(answer.code)),
            Err(NoReply::Silence(failure)) => return Err(failure),
        };
        let said = format!("http_{}", reply.status);
        Ok(match reply.status {
            200 => match reply.json::<Frame>() {
                Ok(frame) if frame.status == Some(0) => Check::Accepted("account_detail".into()),
                _ => Check::Unclear(said),
            },
            401 | 403 => Check::Refused(said),
            _ => Check::Unclear(said),
        })
    }

    /// One payout call. A token that PayU does not know any more is replaced once: 401 means that nothing was done.
    async fn call(
        &self,
        route: &'static str,
        fields: Option<&[(&str, &str)]>,
    ) -> Result<Reply, NoReply> {
        let late = Instant::now() + self.call_timeout;
        let mut renewed = false;
        loop {
            // Half of what is left for the token, so that the call itself is never cut short by it.
            let left = late.saturating_duration_since(Instant::now());
            let authorization = self.tokens.authorization(left / 2).await?;
            let left = late.saturating_duration_since(Instant::now());
            let url = format!("{}{route}", self.url);
            let request = match fields {
                Some(fields) => self
                    .http
                    .post(url)
                    .header(CONTENT_TYPE, FORM)
                    .body(form(fields)),
                None => self.http.get(url),
            }
            .header(AUTHORIZATION, authorization.clone())
            .header("payoutmerchantid", self.merchant_id.clone())
            .timeout(left);
            let reply = send(&self.http, request, route)
                .await
                .map_err(NoReply::Silence)?;
            if reply.status != 401 || renewed {
                return Ok(reply);
            }
            self.tokens.forget(&authorization).await;
            renewed = true;
        }
    }
}

/// `data` of a payout call that succeeded, or the answer that its failure is.
fn opened<T: DeserializeOwned>(reply: &Reply) -> Result<Result<T, GatewayResponse>, CallFailure> {
    let frame: Frame = reply.json()?;
    match frame.status {
        Some(0) => {
            let envelope: Envelope<T> = reply.json()?;
            let data = envelope.data;
            data.map(Ok)
                .ok_or_else(|| CallFailure::ResponseLost("an answer without data".into()))
        }
        Some(status) => {
            let code = frame.code.unwrap_or_default();
            let meaning = codes::payout(&code, &frame.msg.unwrap_or_default());
            let word = if code.is_empty() {
                format!("status_{status}")
            } else {
                code
            };
            Ok(Err(meaning.answer(&word)))
        }
        None => Err(CallFailure::ResponseLost(
            "an answer without a status".into(),
        )),
    }
}
