//! Validation of a bank account, and the look-up of one.

use std::sync::Arc;
use std::time::Instant;

use crate::behaviour::{Behaviour, UNKNOWN_CODE};
use crate::decentro::published::{self, Finding, Outcome};
use crate::decentro::refusal::Refusal;
use crate::decentro::wire::{
    AccountData, Answer, ApiStatus, BankRequest, NameMatch, Original, StatusQuery, ValidationType,
};
use crate::decentro::{ids, limits};
use crate::gateway::Gateway;
use crate::{Sandbox, likeness, rrn, scenario};

/// Names at least this alike are said to match. Decentro does not say where it draws the line.
const MATCHES: f64 = 80.0;

/// An account that was validated.
#[derive(Debug)]
pub(super) struct Validation {
    txn_id: String,
    reference_id: String,
    outcome: Outcome,
    beneficiary_name: Option<String>,
    bank_reference_number: Option<String>,
    name_match: Option<NameMatch>,
    /// When the outcome shows; never, if there is none.
    shows_at: Option<Instant>,
}

/// `POST /v3/banking/money_transfer/validate_bank_account`. A penny drop drops, a penniless check does
/// not, and a hybrid one only where a penniless check tells nothing.
///
/// A `reference_id` is used up by any call that gets as far as naming it, also one that is refused. A
/// duplicate is documented as refused; that a refused call counts is what an integrator found of another
/// of Decentro's calls.
pub(super) fn validate(
    sandbox: &Sandbox,
    request: &BankRequest,
    behaviour: Behaviour,
) -> Result<Answer, Refusal> {
    let now = Instant::now();
    let memory = &sandbox.decentro;
    let reference_id = limits::reference_id(request.reference_id.as_deref())?;
    if memory.references.add(reference_id, ()).is_some() {
        return Err(Refusal::duplicate_reference());
    }
    let wanted = limits::wanted(request)?;
    if behaviour.insufficient_balance {
        return Err(Refusal::insufficient_credits());
    }
    if wanted.limited && !memory.velocity().let_in(wanted.account, now) {
        return Err(Refusal::velocity());
    }
    let asked = scenario::asked(wanted.account);
    let asked = sandbox
        .first_times
        .settle(Gateway::Decentro, wanted.account, asked);
    let Finding::Account {
        penniless,
        pennydrop,
        shows,
    } = published::bank_account(wanted.account, wanted.ifsc, asked)
    else {
        return Err(Refusal::provider());
    };
    let drops = match wanted.validation_type {
        ValidationType::Penniless => false,
        ValidationType::Pennydrop => true,
        ValidationType::Hybrid => penniless == Outcome::Inconclusive,
    };
    let outcome = if drops { pennydrop } else { penniless };
    let beneficiary_name = match outcome {
        Outcome::Valid | Outcome::Nre => scenario::told_name(asked, wanted.account, wanted.name),
        Outcome::Invalid(_) | Outcome::Inconclusive => None,
    };
    let name_match = wanted
        .name
        .filter(|_| wanted.perform_name_match)
        .zip(beneficiary_name.as_deref())
        .map(|(sent, at_bank)| name_match(sent, at_bank));
    let shows_at = shows
        .after(behaviour.pending(), sandbox.published_pending)
        .and_then(|after| now.checked_add(after));
    let validation = Arc::new(Validation {
        txn_id: ids::txn_id(),
        reference_id: reference_id.to_owned(),
        outcome,
        beneficiary_name,
        bank_reference_number: drops.then(rrn::draw),
        name_match,
        shows_at,
    });
    memory
        .by_reference
        .add(reference_id, Arc::clone(&validation));
    memory
        .by_txn
        .add(&validation.txn_id, Arc::clone(&validation));
    if drops {
        sandbox.ledger.record(Gateway::Decentro, reference_id);
    }
    let (api_status, response_key, message) = validation.told(now);
    Ok(Answer {
        decentro_txn_id: validation.txn_id.clone(),
        api_status,
        response_key,
        message: message.to_owned(),
        data: Some(validation.data(now, behaviour)),
    })
}

/// `GET /v3/banking/account_validation/status`, by `decentro_txn_id` or, failing that, by
/// `reference_id`.
pub(super) fn look_up(
    sandbox: &Sandbox,
    query: &StatusQuery,
    behaviour: Behaviour,
) -> Result<Answer, Refusal> {
    let now = Instant::now();
    let memory = &sandbox.decentro;
    let found = match (&query.decentro_txn_id, &query.reference_id) {
        (Some(txn_id), _) => memory.by_txn.get(txn_id),
        (None, Some(reference_id)) => memory.by_reference.get(reference_id),
        (None, None) => {
            return Err(Refusal::input(
                "error_missing_reference_id",
                "Either decentro_txn_id or reference_id is needed.",
            ));
        }
    };
    let validation = found.ok_or_else(Refusal::unknown)?;
    let (_, response_key, _) = validation.told(now);
    Ok(Answer {
        decentro_txn_id: ids::txn_id(),
        api_status: ApiStatus::Success,
        response_key: "success_status_retrieved",
        message: "Status of the verification request retrieved successfully.".to_owned(),
        data: Some(AccountData {
            request: Some(Original {
                txn_id: validation.txn_id.clone(),
                reference_id: validation.reference_id.clone(),
                response_key,
            }),
            ..validation.data(now, behaviour)
        }),
    })
}

impl Validation {
    fn is_pending(&self, now: Instant) -> bool {
        self.shows_at.is_none_or(|at| now < at)
    }

    /// `api_status`, `response_key` and `message` of the call that asked for it. The call succeeds
    /// whatever the account is; the keys are ours, made like those of the VPA look-up.
    fn told(&self, now: Instant) -> (ApiStatus, &'static str, &'static str) {
        if self.is_pending(now) {
            return (
                ApiStatus::Pending,
                "pending_account_validation",
                "Validation of the account is pending.",
            );
        }
        let response_key = match self.outcome {
            Outcome::Valid | Outcome::Nre => "success_account_valid",
            Outcome::Invalid(_) => "success_account_invalid",
            Outcome::Inconclusive => "success_account_inconclusive",
        };
        (
            ApiStatus::Success,
            response_key,
            "Validation of the account was successful.",
        )
    }

    fn data(&self, now: Instant, behaviour: Behaviour) -> AccountData {
        if self.is_pending(now) {
            return AccountData {
                account_status: "PENDING",
                beneficiary_name: None,
                validation_message: "Validation is pending",
                bank_reference_number: None,
                name_match: None,
                request: None,
            };
        }
        let (account_status, validation_message) = match self.outcome {
            Outcome::Valid => ("VALID", "Account is valid"),
            Outcome::Invalid(reason) => ("INVALID", reason),
            Outcome::Nre => ("NRE", "Account is of NRE type"),
            Outcome::Inconclusive => ("INCONCLUSIVE", "Account could not be validated"),
        };
        AccountData {
            account_status: if behaviour.unknown_code {
                UNKNOWN_CODE
            } else {
                account_status
            },
            beneficiary_name: self.beneficiary_name.clone(),
            validation_message,
            bank_reference_number: self.bank_reference_number.clone(),
            name_match: self.name_match,
            request: None,
        }
    }
}

fn name_match(sent: &str, at_bank: &str) -> NameMatch {
    let name_match_score = likeness::score(sent, at_bank).round();
    NameMatch {
        name_match_score,
        name_match_result: name_match_score >= MATCHES,
    }
}
