//! Verification of a bank account by penny drop, "Verify Account" or "Penny Test". Each is a transfer of one
//! rupee, which the status call finds ([`crate::payu::transfers`]).
//!
//! PayU's page says that `merchantRefId` is there "to identify the status" and that a duplicate of it is
//! refused; how the outcome of one that is answered as pending is learnt it does not say. Besides the
//! status call, inferred here: such a one may be sent again with the same account, and is then answered as
//! it stands, without another drop.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::behaviour::{Behaviour, UNKNOWN_CODE};
use crate::gateway::Gateway;
use crate::ledger::account_reference;
use crate::payu::limits;
use crate::payu::published::{self, Finding, Outcome};
use crate::payu::refusal::Refusal;
use crate::payu::wire::{AccountData, AccountRequest, NameMatch, PayoutAnswer};
use crate::shows::Shows;
use crate::{Sandbox, likeness, rrn, scenario};

/// An account that was verified.
#[derive(Debug)]
pub(super) struct Verification {
    /// What the status call tells of its transfer.
    pub(super) transfer: Transfer,
    /// A digest of the account.
    account: String,
    /// Whether its first answer was that it is pending.
    was_pending: bool,
    outcome: Outcome,
    name_sent: String,
    /// The name at the bank; "" if it tells none.
    holder: String,
    name_matching: bool,
    /// When the outcome shows; never, if there is none.
    shows_at: Option<Instant>,
}

/// The rupee's transfer, as it was ordered.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) id: u64,
    pub(super) merchant_ref_id: String,
    pub(super) purpose: String,
    pub(super) bank_reference: String,
    pub(super) ordered_at: DateTime<Utc>,
}

/// How a verification stands.
pub(super) enum Standing<'a> {
    Pending,
    Exists {
        /// The name at the bank; "" if it tells none.
        holder: &'a str,
        name_match: NameMatch,
    },
    /// It does not exist, and what is said of it.
    No(&'static str),
}

/// `POST /payout/payment/verifyAccount`. Drops, unless it is a pending verification asked after.
pub(super) fn verify(
    sandbox: &Sandbox,
    request: &AccountRequest,
    behaviour: Behaviour,
) -> Result<PayoutAnswer<AccountData>, Refusal> {
    let now = Instant::now();
    let wanted = limits::wanted(request)?;
    let account = account_reference(wanted.account, wanted.ifsc);
    if let Some(known) = sandbox.payu.verifications.get(wanted.merchant_ref_id) {
        return known.ask_after(&account, now, behaviour);
    }
    if behaviour.insufficient_balance {
        return Err(Refusal::BALANCE);
    }
    let asked = scenario::asked(wanted.account);
    let asked = sandbox
        .first_times
        .settle(Gateway::Payu, wanted.account, asked);
    let (outcome, shows) = match published::bank_account(asked) {
        Finding::Account(outcome, shows) => (outcome, shows),
        Finding::UnknownIfsc if wanted.validate_ifsc => return Err(Refusal::IFSC_CODE),
        Finding::UnknownIfsc => (Outcome::No("Invalid IFSC"), Shows::AtOnce),
        Finding::Failure => return Err(Refusal::INTERNAL),
    };
    let shows_at = shows
        .after(behaviour.pending(), sandbox.published_pending)
        .and_then(|after| now.checked_add(after));
    let sent = (!wanted.name.is_empty()).then_some(wanted.name);
    let verification = Arc::new(Verification {
        transfer: Transfer {
            id: sandbox.payu.next_transfer(),
            merchant_ref_id: wanted.merchant_ref_id.to_owned(),
            purpose: wanted.purpose.to_owned(),
            bank_reference: rrn::draw(),
            ordered_at: Utc::now(),
        },
        account: account.clone(),
        was_pending: shows_at.is_none_or(|at| now < at),
        outcome,
        name_sent: wanted.name.to_owned(),
        holder: scenario::told_name(asked, wanted.account, sent).unwrap_or_default(),
        name_matching: wanted.name_matching,
        shows_at,
    });
    let first = sandbox
        .payu
        .verifications
        .add(wanted.merchant_ref_id, Arc::clone(&verification));
    // Another call with this reference may have come in between.
    if let Some(known) = first {
        return known.ask_after(&account, now, behaviour);
    }
    sandbox.ledger.record(Gateway::Payu, wanted.merchant_ref_id);
    Ok(verification.present(now, behaviour))
}

impl Verification {
    /// The answer to a call with a reference that is in use.
    fn ask_after(
        &self,
        account: &str,
        now: Instant,
        behaviour: Behaviour,
    ) -> Result<PayoutAnswer<AccountData>, Refusal> {
        if self.was_pending && self.account == account {
            Ok(self.present(now, behaviour))
        } else {
            Err(Refusal::DUPLICATE_MERCHANT_REF_ID)
        }
    }

    /// How it stands now.
    pub(super) fn standing(&self, now: Instant) -> Standing<'_> {
        match self.outcome {
            _ if self.shows_at.is_none_or(|at| now < at) => Standing::Pending,
            Outcome::Exists => Standing::Exists {
                holder: &self.holder,
                name_match: self.name_match(),
            },
            Outcome::No(error) => Standing::No(error),
        }
    }

    /// The name sent, "" where none was.
    pub(super) fn name_sent(&self) -> &str {
        &self.name_sent
    }

    fn present(&self, now: Instant, behaviour: Behaviour) -> PayoutAnswer<AccountData> {
        let standing = self.standing(now);
        let pending = matches!(standing, Standing::Pending);
        let mut data = match standing {
            Standing::Pending => AccountData {
                account_exists: "VERIFICATION_PENDING",
                beneficiary_name: self.name_sent.clone(),
                name_match: Some(NameMatch::Unknown),
                status: "Success",
                error: "",
            },
            Standing::Exists { holder, name_match } => AccountData {
                account_exists: "YES",
                beneficiary_name: holder.to_owned(),
                name_match: Some(name_match),
                status: "Success",
                error: "",
            },
            Standing::No(error) => AccountData {
                account_exists: "No",
                beneficiary_name: String::new(),
                name_match: None,
                status: "Success",
                error,
            },
        };
        if behaviour.unknown_code && !pending {
            data.account_exists = UNKNOWN_CODE;
        }
        PayoutAnswer::good(data)
    }

    fn name_match(&self) -> NameMatch {
        if self.name_matching && !self.holder.is_empty() {
            NameMatch::Score(likeness::score(&self.name_sent, &self.holder))
        } else {
            NameMatch::Unknown
        }
    }
}
