//! Bank account verification v2: at once, or received now and looked up later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Sandbox;
use crate::cashfree::limits;
use crate::cashfree::name_match::NameMatch;
use crate::cashfree::published::{self, Outcome, Shows};
use crate::cashfree::records::BankVerification;
use crate::cashfree::refusal::Refusal;
use crate::cashfree::wire::{
    AccountStatus, AccountStatusCode, BankAnswer, BankQuery, BankReceipt, BankRequest,
};
use crate::cashfree::{branch, name_at_bank, utr};
use crate::gateway::Gateway;

/// `POST /bank-account/sync`. Drops, and answers the outcome unless the account is one published as
/// pending. The call has no reference of the caller's, so the ledger gets ours, `sync:` before it.
pub(super) fn verify_now(sandbox: &Sandbox, request: &BankRequest) -> Result<BankAnswer, Refusal> {
    let now = Instant::now();
    let verification = verification(sandbox, request, None, now, Duration::ZERO)?;
    let reference_id = sandbox.cashfree.records().add_bank(verification.clone());
    sandbox
        .ledger
        .record(Gateway::Cashfree, &format!("sync:{reference_id}"));
    Ok(present(reference_id, &verification, now))
}

/// `POST /bank-account/async`. Drops, and answers a receipt. A `user_id` used before is executed again
/// and counted again: the worst a gateway can do, so that a client that sends twice is seen.
pub(super) fn receive(
    sandbox: &Sandbox,
    request: &BankRequest,
    pending: Duration,
) -> Result<BankReceipt, Refusal> {
    let user_id = limits::user_id(request.user_id.as_deref())?;
    let verification = verification(sandbox, request, user_id, Instant::now(), pending)?;
    let reference_id = sandbox.cashfree.records().add_bank(verification);
    match user_id {
        Some(user_id) => sandbox.ledger.record(Gateway::Cashfree, user_id),
        None => sandbox
            .ledger
            .record(Gateway::Cashfree, &format!("async:{reference_id}")),
    }
    Ok(BankReceipt {
        reference_id,
        user_id: user_id.map(str::to_owned),
        account_status: AccountStatus::Received,
        account_status_code: AccountStatusCode::ValidationInProgress,
    })
}

/// `GET /bank-account`, by `reference_id` or, failing that, by `user_id`.
pub(super) fn look_up(sandbox: &Sandbox, query: &BankQuery) -> Result<BankAnswer, Refusal> {
    let now = Instant::now();
    if let Some(reference_id) = &query.reference_id {
        let reference_id = limits::reference_id(reference_id)?;
        let records = sandbox.cashfree.records();
        let verification = records
            .bank(reference_id)
            .ok_or_else(|| Refusal::unknown("reference_id"))?;
        return Ok(present(reference_id, verification, now));
    }
    let user_id = limits::user_id(query.user_id.as_deref())?.ok_or_else(|| {
        Refusal::input(
            "reference_id_missing",
            "Please provide reference_id or user_id",
        )
    })?;
    let records = sandbox.cashfree.records();
    let (reference_id, verification) = records
        .bank_of_user(user_id)
        .ok_or_else(|| Refusal::unknown("user_id"))?;
    Ok(present(reference_id, verification, now))
}

fn verification(
    sandbox: &Sandbox,
    request: &BankRequest,
    user_id: Option<&str>,
    now: Instant,
    pending: Duration,
) -> Result<BankVerification, Refusal> {
    let account = limits::bank_account(request.bank_account.as_deref())?;
    let ifsc = limits::ifsc(request.ifsc.as_deref())?;
    let name = limits::name(request.name.as_deref())?;
    limits::phone(request.phone.as_deref())?;
    let finding = published::bank_account(account, ifsc);
    let shows_at = match finding.shows {
        Shows::AtOnce => now.checked_add(pending),
        Shows::Later => now.checked_add(pending.max(sandbox.published_pending)),
        Shows::Never => None,
    };
    Ok(BankVerification {
        user_id: user_id.map(Arc::from),
        ifsc: ifsc.into(),
        name: name.map(Box::from),
        finding,
        shows_at,
    })
}

fn present(reference_id: u64, verification: &BankVerification, now: Instant) -> BankAnswer {
    let mut answer = BankAnswer {
        reference_id,
        name_at_bank: None,
        bank_name: None,
        utr: None,
        city: None,
        branch: None,
        micr: None,
        name_match_score: None,
        name_match_result: None,
        account_status: AccountStatus::Received,
        account_status_code: AccountStatusCode::ValidationInProgress,
        ifsc_details: None,
    };
    if verification.shows_at.is_none_or(|at| now < at) {
        return answer;
    }
    let outcome = verification.finding.outcome;
    (answer.account_status, answer.account_status_code) = outcome.status();
    if outcome != Outcome::InvalidIfsc {
        answer.bank_name = Some(branch::bank_name(&verification.ifsc));
        answer.city = Some(branch::CITY);
        answer.branch = Some(branch::BRANCH);
        answer.micr = Some(branch::MICR);
        answer.ifsc_details = Some(branch::of_account(&verification.ifsc));
    }
    if outcome == Outcome::Valid {
        let sent = verification.name.as_deref();
        let holder = verification
            .finding
            .holder
            .map_or_else(|| name_at_bank(sent), str::to_owned);
        let found = sent.map(|sent| NameMatch::of(sent, &holder));
        answer.name_match_score = found.map(NameMatch::score);
        answer.name_match_result = found.map(NameMatch::result);
        answer.name_at_bank = Some(holder);
        answer.utr = Some(utr(reference_id));
    }
    answer
}
