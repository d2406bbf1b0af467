//! Bank account verification v2: at once, or received now and looked up later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::Data;

use crate::Sandbox;
use crate::behaviour::Behaviour;
use crate::cashfree::house::House;
use crate::cashfree::limits;
use crate::cashfree::name_match::NameMatch;
use crate::cashfree::outcome::{self, RECEIVED, TOO_POOR, VALID};
use crate::cashfree::records::BankVerification;
use crate::cashfree::refusal::Refusal;
use crate::cashfree::wire::{
    AccountStatus, AccountStatusCode, BankAnswer, BankQuery, BankReceipt, BankRequest,
};
use crate::cashfree::{branch, call_back, published, utr};
use crate::gateway::Gateway;
use crate::scenario;
use crate::shows::Shows;
use crate::webhooks;

/// `POST /bank-account/sync`. Drops, and answers the outcome unless the account is one that is pending
/// at first. The call has no reference of the caller's, so the ledger gets ours, `sync:` before it.
pub(super) fn verify_now(
    sandbox: &Data<Sandbox>,
    request: &BankRequest,
    behaviour: Behaviour,
) -> Result<BankAnswer, Refusal> {
    let fields = Fields::of(request)?;
    if behaviour.insufficient_balance {
        return Err(Refusal::insufficient_balance());
    }
    let now = Instant::now();
    let verification = verification(sandbox, &fields, None, now, Duration::ZERO)?;
    let reference_id = sandbox.cashfree.records().add_bank(verification.clone());
    sandbox
        .ledger
        .record(Gateway::Cashfree, &format!("sync:{reference_id}"));
    if verification.shows_at.is_some_and(|at| at > now) {
        tell_later(sandbox, reference_id, &verification, now);
    }
    Ok(present(
        reference_id,
        &verification,
        now,
        behaviour.unknown_code,
    ))
}

/// `POST /bank-account/async`. Drops, and answers a receipt. A `user_id` used before is executed again
/// and counted again: the worst a gateway can do, so that a client that sends twice is seen. Where the
/// balance is too small, the receipt is the same, nothing drops, and the outcome says so.
pub(super) fn receive(
    sandbox: &Data<Sandbox>,
    request: &BankRequest,
    behaviour: Behaviour,
) -> Result<BankReceipt, Refusal> {
    let now = Instant::now();
    let user_id = limits::user_id(request.user_id.as_deref())?;
    let fields = Fields::of(request)?;
    let mut verification = verification(sandbox, &fields, user_id, now, behaviour.pending())?;
    if behaviour.insufficient_balance {
        verification.finding.outcome = TOO_POOR;
        verification.shows_at = now.checked_add(behaviour.pending());
    }
    let reference_id = sandbox.cashfree.records().add_bank(verification.clone());
    if !behaviour.insufficient_balance {
        match user_id {
            Some(user_id) => sandbox.ledger.record(Gateway::Cashfree, user_id),
            None => sandbox
                .ledger
                .record(Gateway::Cashfree, &format!("async:{reference_id}")),
        }
    }
    tell_later(sandbox, reference_id, &verification, now);
    Ok(BankReceipt {
        reference_id,
        user_id: user_id.map(str::to_owned),
        account_status: RECEIVED.0,
        account_status_code: RECEIVED.1,
    })
}

/// `GET /bank-account`, by `reference_id` or, failing that, by `user_id`.
pub(super) fn look_up(
    sandbox: &Sandbox,
    query: &BankQuery,
    behaviour: Behaviour,
) -> Result<BankAnswer, Refusal> {
    let now = Instant::now();
    let unknown_code = behaviour.unknown_code;
    if let Some(reference_id) = &query.reference_id {
        let reference_id = limits::reference_id(reference_id)?;
        let records = sandbox.cashfree.records();
        let verification = records
            .bank(reference_id)
            .ok_or_else(|| Refusal::unknown("reference_id"))?;
        return Ok(present(reference_id, verification, now, unknown_code));
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
    Ok(present(reference_id, verification, now, unknown_code))
}

/// What both calls send, within its limits.
struct Fields<'a> {
    account: &'a str,
    ifsc: &'a str,
    name: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn of(request: &'a BankRequest) -> Result<Self, Refusal> {
        let account = limits::bank_account(request.bank_account.as_deref())?;
        let ifsc = limits::ifsc(request.ifsc.as_deref())?;
        let name = limits::name(request.name.as_deref())?;
        limits::phone(request.phone.as_deref())?;
        Ok(Self {
            account,
            ifsc,
            name,
        })
    }
}

fn verification(
    sandbox: &Sandbox,
    fields: &Fields<'_>,
    user_id: Option<&str>,
    now: Instant,
    pending: Duration,
) -> Result<BankVerification, Refusal> {
    let &Fields {
        account,
        ifsc,
        name,
    } = fields;
    let asked = sandbox
        .first_times
        .settle(Gateway::Cashfree, account, scenario::asked(account));
    let finding = match published::bank_account(account, ifsc) {
        Some(published) => published,
        None => outcome::of_account(asked)?,
    };
    let shows_after = finding.shows.after(pending, sandbox.published_pending);
    let holder = if finding.outcome == VALID {
        published::holder(account, ifsc)
            .map(str::to_owned)
            .or_else(|| scenario::told_name(asked, account, name))
    } else {
        None
    };
    Ok(BankVerification {
        user_id: user_id.map(Arc::from),
        ifsc: ifsc.into(),
        name: name.map(Box::from),
        holder: holder.map(Box::from),
        finding,
        shows_at: shows_after.and_then(|after| now.checked_add(after)),
    })
}

/// Calls back when the outcome is there, if it ever is.
fn tell_later(
    sandbox: &Data<Sandbox>,
    reference_id: u64,
    verification: &BankVerification,
    now: Instant,
) {
    let Some(shows_at) = verification.shows_at else {
        return;
    };
    let after = shows_at.saturating_duration_since(now);
    webhooks::call_back::<House>(sandbox, after, move |sandbox| {
        let unknown_code = sandbox.behaviours.of(Gateway::Cashfree).unknown_code;
        let records = sandbox.cashfree.records();
        let verification = records.bank(reference_id)?;
        let answer = present(reference_id, verification, Instant::now(), unknown_code);
        Some(call_back::notices(answer, verification.user_id.as_deref()))
    });
}

fn present(
    reference_id: u64,
    verification: &BankVerification,
    now: Instant,
    unknown_code: bool,
) -> BankAnswer {
    let finding = verification.finding;
    let (account_status, account_status_code) = match finding.shows {
        Shows::Never => finding.outcome,
        _ if verification.shows_at.is_none_or(|at| now < at) => RECEIVED,
        _ => finding.outcome,
    };
    let mut answer = BankAnswer::bare(reference_id, account_status, account_status_code);
    if account_status.is_pending() {
        return answer;
    }
    if unknown_code {
        answer.account_status_code = AccountStatusCode::OfNextYear;
    }
    if account_status == AccountStatus::Rejected {
        return answer;
    }
    if account_status_code != AccountStatusCode::InvalidIfscFail {
        answer.bank_name = Some(branch::bank_name(&verification.ifsc));
        answer.city = Some(branch::CITY);
        answer.branch = Some(branch::BRANCH);
        answer.micr = Some(branch::MICR);
        answer.ifsc_details = Some(branch::of_account(&verification.ifsc));
    }
    if account_status == AccountStatus::Valid {
        let found = verification
            .name
            .as_deref()
            .zip(verification.holder.as_deref())
            .map(|(sent, holder)| NameMatch::of(sent, holder));
        answer.name_match_score = found.map(NameMatch::score);
        answer.name_match_result = found.map(NameMatch::result);
        answer.name_at_bank = verification.holder.as_deref().map(str::to_owned);
        answer.utr = Some(utr(reference_id));
    }
    answer
}
