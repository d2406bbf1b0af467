//! A validation as Razorpay shows it: as it was created, or with its outcome.

use std::time::Instant;

use serde_json::Value;

use crate::behaviour::UNKNOWN_CODE;
use crate::likeness;
use crate::razorpay::outcome::{Ending, Oddity};
use crate::razorpay::validation::Validation;
use crate::razorpay::wire::{
    ClassicResults, Results, Status, StatusDetails, ValidationEntity, ValidationResults,
};

/// As it was when it was received.
pub(super) fn created(validation: &Validation) -> ValidationEntity<'_> {
    let details = StatusDetails {
        description: "Validation request is created",
        source: "internal",
        reason: "validation_request_created",
    };
    let utr = (validation.finding.oddity == Oddity::UtrAtOnce).then(|| utr(validation));
    entity(
        validation,
        Status::Created,
        utr,
        ValidationResults::default(),
        details,
    )
}

/// As it is at this moment.
pub(super) fn now(validation: &Validation, unknown_code: bool) -> ValidationEntity<'_> {
    if validation
        .shows_at
        .is_some_and(|shows_at| shows_at <= Instant::now())
    {
        ended(validation, unknown_code)
    } else {
        created(validation)
    }
}

/// As it is in the end.
pub(super) fn ended(validation: &Validation, unknown_code: bool) -> ValidationEntity<'_> {
    match validation.finding.ending {
        Ending::Completed(account_status) => completed(
            validation,
            if unknown_code {
                Some(UNKNOWN_CODE)
            } else {
                account_status
            },
        ),
        Ending::Failed(reason) => {
            let details = StatusDetails {
                description: "Validation request is failed",
                source: "beneficiary_bank",
                reason: if unknown_code { UNKNOWN_CODE } else { reason },
            };
            entity(
                validation,
                Status::Failed,
                None,
                ValidationResults::default(),
                details,
            )
        }
    }
}

fn completed<'a>(
    validation: &'a Validation,
    account_status: Option<&'static str>,
) -> ValidationEntity<'a> {
    let valid = validation.finding.is_valid();
    let score = validation
        .name
        .as_deref()
        .zip(validation.holder.as_deref())
        .map(|(sent, holder)| whole(likeness::score(sent, holder)));
    let results = ValidationResults {
        account_status: account_status.map(str::to_owned),
        registered_name: validation.holder.clone(),
        details: Some(if valid {
            "The beneficiary account is valid."
        } else {
            "The beneficiary account is invalid."
        }),
        name_match_score: score.map(|score| match validation.finding.oddity {
            Oddity::ScoreIsText => Value::from(score.to_string()),
            _ => Value::from(score),
        }),
        validated_account_type: valid.then_some("bank_account"),
        bank_account: valid.then(|| validation.found.clone()),
    };
    let details = StatusDetails {
        description: "Validation request is completed",
        source: "beneficiary_bank",
        reason: "validation_completed",
    };
    let utr = (valid && validation.drops).then(|| utr(validation));
    entity(validation, Status::Completed, utr, results, details)
}

fn entity(
    validation: &Validation,
    status: Status,
    utr: Option<String>,
    results: ValidationResults,
    status_details: StatusDetails,
) -> ValidationEntity<'_> {
    let results = if validation.finding.oddity == Oddity::Classic {
        Results::Classic(ClassicResults {
            account_status: results.account_status,
            registered_name: results.registered_name,
        })
    } else {
        Results::Composite(Box::new(results))
    };
    ValidationEntity {
        id: &validation.id,
        entity: "fund_account.validation",
        status,
        utr,
        results,
        status_details,
        reference_id: validation.reference_id.as_deref(),
        notes: &validation.notes,
        fund_account: &validation.fund_account,
    }
}

/// Twelve digits, drawn from the validation's number.
fn utr(validation: &Validation) -> String {
    format!("{:012}", validation.number % 1_000_000_000_000)
}

/// A score without its fraction.
fn whole(score: f64) -> u8 {
    (0..=100_u8)
        .rev()
        .find(|whole| f64::from(*whole) <= score)
        .unwrap_or(0)
}
