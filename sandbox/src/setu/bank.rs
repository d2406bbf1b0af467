//! Bank account verification: at once, or accepted now and asked for later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::Data;
use chrono::{DateTime, Utc};

use crate::behaviour::{Behaviour, UNKNOWN_CODE};
use crate::gateway::Gateway;
use crate::ledger::account_reference;
use crate::setu::codes::BavCode;
use crate::setu::published::{self, Ending};
use crate::setu::refusal::Refusal;
use crate::setu::wire::{Account, BankAnswer, BankReceipt, BankRequest, Verification};
use crate::setu::{events, ids};
use crate::{Sandbox, rrn, scenario};

/// A bank account that was verified. Its number is not kept: nothing needs it again.
#[derive(Debug)]
pub(super) struct BankVerification {
    pub(super) id: String,
    ending: Ending,
    /// The name at the bank; "" if it tells none.
    holder: String,
    transaction_reference: String,
    /// When the outcome shows; never, if there is none.
    shows_at: Option<Instant>,
    verified_at: DateTime<Utc>,
}

/// `POST /api/verify/ban`. Drops, and answers the outcome unless the account asks for a pending one,
/// which can then be asked for like an async one.
pub(super) fn verify_now(
    sandbox: &Sandbox,
    request: &BankRequest,
    behaviour: Behaviour,
) -> Result<BankAnswer, Refusal> {
    let accepted = accept(sandbox, request, behaviour, Duration::ZERO)?;
    present(&accepted.verification, Instant::now(), behaviour)
}

/// `POST /api/verify/ban/async`. Drops, answers a receipt, and calls back once there is an outcome.
pub(super) fn receive(
    sandbox: &Data<Sandbox>,
    request: &BankRequest,
    behaviour: Behaviour,
) -> Result<BankReceipt, Refusal> {
    required(request.narration.as_deref()).ok_or(Refusal::bad_request("narration is missing"))?;
    let accepted = accept(sandbox, request, behaviour, behaviour.pending())?;
    let id = accepted.verification.id.clone();
    if let Some(after) = accepted.shows_after {
        events::tell_of_bank(sandbox, after, accepted.verification);
    }
    Ok(BankReceipt { id })
}

/// `GET /api/verify/ban/async/{id}`.
pub(super) fn look_up(
    sandbox: &Sandbox,
    id: &str,
    behaviour: Behaviour,
) -> Result<BankAnswer, Refusal> {
    let verification = sandbox.setu.banks.get(id).ok_or(Refusal::unknown())?;
    present(&verification, Instant::now(), behaviour)
}

struct Accepted {
    verification: Arc<BankVerification>,
    shows_after: Option<Duration>,
}

fn accept(
    sandbox: &Sandbox,
    request: &BankRequest,
    behaviour: Behaviour,
    pending: Duration,
) -> Result<Accepted, Refusal> {
    let (account, ifsc) = account(request)?;
    if behaviour.insufficient_balance {
        return Err(Refusal::insufficient_balance());
    }
    let asked = scenario::asked(account);
    let asked = sandbox.first_times.settle(Gateway::Setu, account, asked);
    let finding = published::bank_account(account, ifsc, asked);
    let shows_after = finding.shows.after(pending, sandbox.published_pending);
    let verification = Arc::new(BankVerification {
        id: ids::request_id(),
        ending: finding.ending,
        holder: scenario::told_name(asked, account, None).unwrap_or_default(),
        transaction_reference: rrn::draw(),
        shows_at: shows_after.and_then(|after| Instant::now().checked_add(after)),
        verified_at: Utc::now() + shows_after.unwrap_or_default(),
    });
    sandbox
        .setu
        .banks
        .add(&verification.id, Arc::clone(&verification));
    sandbox
        .ledger
        .record(Gateway::Setu, &account_reference(account, ifsc));
    Ok(Accepted {
        verification,
        shows_after,
    })
}

/// The account number and IFSC: required, letters and digits, an IFSC eleven of them. No other limits
/// are documented, and a published IFSC (DCBA6543210) is not one by the usual rule.
fn account(request: &BankRequest) -> Result<(&str, &str), Refusal> {
    let plain = |value: &&str| value.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let ifsc = required(request.ifsc.as_deref())
        .filter(plain)
        .filter(|value| value.len() == 11)
        .ok_or(Refusal::bad_request("ifsc is missing or invalid"))?;
    let account = required(request.account_number.as_deref())
        .filter(plain)
        .ok_or(Refusal::bad_request("accountNumber is missing or invalid"))?;
    Ok((account, ifsc))
}

fn required(sent: Option<&str>) -> Option<&str> {
    sent.filter(|value| !value.trim().is_empty())
}

fn present(
    verification: &BankVerification,
    now: Instant,
    behaviour: Behaviour,
) -> Result<BankAnswer, Refusal> {
    let id = verification.id.clone();
    let trace_id = ids::trace_id();
    if verification.shows_at.is_none_or(|at| now < at) {
        return Ok(BankAnswer {
            id,
            code: None,
            verification: Verification::Pending,
            message: None,
            data: None,
            trace_id,
        });
    }
    let code = verification.code().ok_or_else(|| Refusal::upstream(&id))?;
    Ok(BankAnswer {
        id,
        code: Some(if behaviour.unknown_code {
            UNKNOWN_CODE
        } else {
            code.code
        }),
        verification: outcome(code),
        message: Some(code.message),
        data: verification.account(),
        trace_id,
    })
}

/// What a code comes to.
pub(super) fn outcome(code: BavCode) -> Verification {
    if code.verifies() {
        Verification::Success
    } else {
        Verification::Failed
    }
}

impl BankVerification {
    /// Its code; none if the bank's service failed.
    pub(super) fn code(&self) -> Option<BavCode> {
        match self.ending {
            Ending::Code(code) => Some(code),
            Ending::UpstreamError => None,
        }
    }

    /// The account, if it was verified.
    pub(super) fn account(&self) -> Option<Account> {
        self.code().filter(BavCode::verifies).map(|_| Account {
            name: self.holder.clone(),
            transaction_reference: self.transaction_reference.clone(),
            verified_at: ids::utc(self.verified_at),
        })
    }
}
