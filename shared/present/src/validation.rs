//! The `validation` of an account: fields, schemas and words. A new field of a validation is added here.

use chrono::{DateTime, Utc};
use khata_domain::validation::{FailureCode, ValidationResult};
use khata_domain::{
    AccountStatus, AccountType as PayeeAccountType, Method as GatewayMethod,
    PendingReason as WaitReason, ValidationId,
};
use khata_name_match::NameMatchResult as MatchResult;
use khata_store::accounts::AccountRow;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::schema::{enum_of, time};

/// One validation of an account.
#[derive(Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub struct Validation {
    #[schema(pattern = "^val_[0-9a-v]{26}$")]
    pub id: String,
    /// The gateway of the last call, or of the reused result.
    #[schema(required, example = 70)]
    pub gateway_id: Option<i16>,
    #[schema(required)]
    pub gateway_reference_id: Option<String>,
    #[schema(required, value_type = Option<Method>)]
    pub method: Option<String>,
    /// The account holder's name at the bank.
    #[schema(required, value_type = Option<String>, example = "TEST")]
    pub name_at_bank: Option<String>,
    #[schema(required)]
    pub name_match: Option<NameMatch>,
    /// Type of the account at the bank; `null` if the gateway does not report it.
    #[schema(required, value_type = Option<AccountType>)]
    pub account_type: Option<PayeeAccountType>,
    /// Unique transaction reference of the penny drop.
    #[schema(required)]
    pub utr: Option<String>,
    /// Why the validation failed; `null` unless it failed.
    #[schema(required)]
    pub failure: Option<Failure>,
    /// Why the account has no final status yet; `null` once it has one.
    #[schema(required, value_type = Option<PendingReason>)]
    pub pending_reason: Option<WaitReason>,
    /// When a worker tries the validation next; `null` once there is an outcome.
    #[schema(required, format = DateTime)]
    pub next_attempt_at: Option<String>,
    /// Number of gateway calls.
    #[schema(minimum = 0)]
    pub attempts: i16,
    /// The earlier validation of the same details whose result was reused; `null` if a gateway was called.
    #[schema(required, pattern = "^val_[0-9a-v]{26}$")]
    pub reused_from: Option<String>,
    #[schema(format = DateTime)]
    pub date_created: String,
    /// Time of the outcome; `null` until then.
    #[schema(required, format = DateTime)]
    pub date_completed: Option<String>,
}

/// A penny drop that found the account, as the guide shows it.
pub(crate) fn example() -> Value {
    json!({
        "id": "val_01k82u7s7ae3r9i1q7vqk9u2l4",
        "gateway_id": 70,
        "gateway_reference_id": "main",
        "method": "PENNY_DROP",
        "name_at_bank": "TEST",
        "name_match": { "score": 100, "result": "DIRECT_MATCH" },
        "account_type": null,
        "utr": "315713280017",
        "failure": null,
        "pending_reason": null,
        "next_attempt_at": null,
        "attempts": 1,
        "reused_from": null,
        "date_created": "2023-06-06T13:28:20Z",
        "date_completed": "2023-06-06T13:28:21Z",
    })
}

/// How well the name at the bank matches `beneficiary_name`.
#[derive(Serialize, ToSchema)]
pub struct NameMatch {
    #[schema(minimum = 0, maximum = 100, example = 100)]
    pub score: i16,
    #[schema(value_type = NameMatchResult)]
    pub result: &'static str,
}

/// Why a validation failed.
#[derive(Serialize, ToSchema)]
pub struct Failure {
    #[schema(value_type = FailureWord)]
    pub code: String,
    /// A sentence for users.
    pub reason: String,
}

named_schema! {
    pub(crate) Method = enum_of("How the gateway validated the account.", GatewayMethod::ALL.iter().map(|one| one.as_str()));
    pub(crate) NameMatchResult = enum_of("Category of the score.", MatchResult::ALL.iter().map(|one| one.as_str()));
    pub(crate) FailureWord = enum_of("Why an account failed. `VALIDATION_UNAVAILABLE` says nothing about the account: no gateway responded before the deadline. `LIMIT_REACHED`, `IMPS_NOT_ENABLED`: no gateway could decide, and one said why. `ACCOUNT_BLOCKED`: blocked, or the gateway does not say whether blocked, frozen or closed.", FailureCode::ALL.iter().map(|one| one.as_str()));
    pub(crate) PendingReason = enum_of("Why a validation has no outcome yet. `QUEUED`: no worker has tried it. `AWAITING_GATEWAY_RESULT`: the gateway reports the outcome later. `CHECKING_PREVIOUS_ATTEMPT`: the response to a call was lost and is looked up. `RETRYING`: the last attempt failed for a temporary reason. `GATEWAY_UNAVAILABLE`: most calls to the gateway fail. `RATE_LIMITED`: a quota is used up. `OUTSIDE_GATEWAY_HOURS`: the gateway accepts calls at other hours. `BUDGET_EXHAUSTED`: it needs another penny drop, and those of this day are used up. `NO_GATEWAY_AVAILABLE`: no gateway of yours can validate these details now. `NAME_REVIEW`: the account is real, and a person decides about the holder's name.", WaitReason::ALL.iter().map(|one| one.as_str()));
    pub(crate) AccountType = enum_of("Type of the account, as the gateway reports it.", PayeeAccountType::ALL.iter().map(|one| one.as_str()));
}

impl Validation {
    /// The first validation of an account that was stored at this time, before a worker tries it.
    pub(crate) fn queued(id: ValidationId, at: DateTime<Utc>) -> Self {
        Self {
            id: id.to_string(),
            gateway_id: None,
            gateway_reference_id: None,
            method: None,
            name_at_bank: None,
            name_match: None,
            account_type: None,
            utr: None,
            failure: None,
            pending_reason: Some(WaitReason::Queued),
            next_attempt_at: Some(time(at)),
            attempts: 0,
            reused_from: None,
            date_created: time(at),
            date_completed: None,
        }
    }
}

/// The newest validation. A deleted account shows it only if a gateway was called, because it is not tried any more.
pub(crate) fn validation(row: &AccountRow, result: ValidationResult) -> Option<Validation> {
    let columns = &row.validation;
    let (id, attempts) = (columns.id?, columns.attempts.unwrap_or(0));
    let completed = columns.completed_at.is_some();
    let open = !completed && row.status != AccountStatus::Deleted;
    // A gateway gave its result; a person decides about the name.
    let in_review = completed
        && row.status == AccountStatus::Pending
        && columns.failure_code == Some(FailureCode::NameMismatch);
    if attempts == 0 && !completed && !open {
        return None;
    }
    Some(Validation {
        id: id.to_string(),
        gateway_id: columns.gateway_id,
        gateway_reference_id: columns.gateway_reference_id.clone(),
        method: columns.method.map(|method| method.to_string()),
        name_at_bank: result.name_at_bank,
        name_match: columns.name_match_score.map(|score| NameMatch {
            score,
            result: MatchResult::of_stored_score(score).as_str(),
        }),
        account_type: result.account_type,
        utr: result.utr,
        failure: columns
            .failure_code
            .filter(|_| !in_review)
            .map(|code| Failure {
                code: code.to_string(),
                reason: columns.failure_reason.clone().unwrap_or_default(),
            }),
        pending_reason: if in_review {
            Some(WaitReason::NameReview)
        } else {
            open.then(|| columns.pending_reason.unwrap_or(WaitReason::Queued))
        },
        next_attempt_at: columns.due_at.filter(|_| open).map(time),
        attempts,
        reused_from: columns.reused_from.map(|id| id.to_string()),
        date_created: columns.validation_created_at.map(time).unwrap_or_default(),
        date_completed: columns.completed_at.map(time),
    })
}
