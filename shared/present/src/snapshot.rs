//! An account as it was at an event: the values that change, and their return into the account's row.

use chrono::{DateTime, Utc};
use khata_domain::validation::FailureCode;
use khata_domain::{AccountStatus, Method, PendingReason};
use khata_store::accounts::{AccountColumns, AccountRow, ValidationColumns};

/// The values of an account that change, as they were after one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub status: AccountStatus,
    pub version: i32,
    /// Time of the last status change: that of the event, if it reports one.
    pub updated_at: DateTime<Utc>,
    /// Time of the last conclusive result of a gateway.
    pub last_validated_at: Option<DateTime<Utc>>,
    /// Gateway that the merchant requested.
    pub pinned_gateway_id: Option<i16>,
    /// Gateway account that the merchant requested.
    pub pinned_gateway_reference_id: Option<String>,
    /// The newest validation of that time; `None` for the creation, which shows no validation.
    pub validation: Option<ValidationSnapshot>,
}

/// The values of a validation that change, as they were after one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationSnapshot {
    /// Number of attempts until then.
    pub attempts: i16,
    /// Gateway of the newest attempt.
    pub gateway_id: Option<i16>,
    /// The merchant's name for the gateway account.
    pub gateway_reference_id: Option<String>,
    pub method: Option<Method>,
    pub failure_code: Option<FailureCode>,
    /// The sentence for the failure code.
    pub failure_reason: Option<String>,
    /// Why the validation had no result.
    pub pending_reason: Option<PendingReason>,
    /// When a worker was to try the validation next.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Time of the outcome. The result, with name at bank, UTR and score, is shown only if it was known.
    pub completed_at: Option<DateTime<Utc>>,
}

impl Snapshot {
    /// Sets the account back to this state. The columns of the validation are those of the validation of that time.
    pub(crate) fn restore(&self, row: &mut AccountRow) {
        // Each column is listed, so that a new one is compiled only with a decision whether it changes.
        let now = &row.columns;
        row.columns = AccountColumns {
            merchant: now.merchant,
            id: now.id,
            customer: now.customer,
            kind: now.kind,
            created_at: now.created_at,
            status: self.status,
            version: self.version,
            updated_at: self.updated_at,
            last_validated_at: self.last_validated_at,
            pinned_gateway_id: self.pinned_gateway_id,
            pinned_gateway_reference_id: self.pinned_gateway_reference_id.clone(),
        };
        let now = std::mem::take(&mut row.validation);
        if let Some(then) = &self.validation {
            row.validation = then.restored(now);
        }
    }
}

impl ValidationSnapshot {
    /// Sets the columns of the validation back to this state. A result is written at the latest with the outcome, and does not
    /// change after that.
    fn restored(&self, now: ValidationColumns) -> ValidationColumns {
        let is_completed = self.completed_at.is_some();
        ValidationColumns {
            id: now.id,
            validation_created_at: now.validation_created_at,
            sealed_result: now.sealed_result.filter(|_| is_completed),
            name_match_score: now.name_match_score.filter(|_| is_completed),
            reused_from: now.reused_from.filter(|_| is_completed),
            attempts: Some(self.attempts),
            gateway_id: self.gateway_id,
            gateway_reference_id: self.gateway_reference_id.clone(),
            method: self.method,
            failure_code: self.failure_code,
            failure_reason: self.failure_reason.clone(),
            pending_reason: self.pending_reason,
            due_at: self.next_attempt_at,
            completed_at: self.completed_at,
        }
    }
}
