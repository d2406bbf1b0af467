//! The situation of an account's newest validation: what decides the next step and the operator's action.

use chrono::{DateTime, Utc};
use khata_domain::validation::{AttemptState, FailureCode, Outcome};
use khata_domain::{Class, ValidationState};

use super::gateways::{Candidates, GatewayIssue};

#[derive(Clone, Debug)]
pub(super) struct Situation {
    pub(super) account: String,
    pub(super) validation: String,
    /// The merchant's name.
    pub(super) merchant: String,
    pub(super) deleted_at: Option<DateTime<Utc>>,
    pub(super) state: ValidationState,
    pub(super) outcome: Option<Outcome>,
    pub(super) failure: Option<FailureCode>,
    pub(super) due_at: DateTime<Utc>,
    pub(super) deadline_at: DateTime<Utc>,
    pub(super) leased_until: Option<DateTime<Utc>>,
    pub(super) completed_at: Option<DateTime<Utc>>,
    /// A gateway webhook has arrived that no worker has processed.
    pub(super) webhook_received: bool,
    /// The gateway account and the time of the reserved rate-limit slot.
    pub(super) slot: Option<(String, DateTime<Utc>)>,
    /// The gateway account in whose queue the validation waits.
    pub(super) queue: Option<String>,
    /// State of the newest attempt, with its class and code.
    pub(super) attempt: Option<AttemptState>,
    pub(super) class: Option<Class>,
    pub(super) code: Option<String>,
    pub(super) candidates: Candidates,
    /// Health issues that may delay the next call.
    pub(super) issues: Vec<GatewayIssue>,
    pub(super) quota: Quota,
    /// The attempts that may have paid a rupee: see `History::may_have_paid`.
    pub(super) may_have_paid: Vec<String>,
}

/// Validations of the same account in 24 hours, against the merchant's limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    pub(super) used: usize,
    pub(super) limit: i16,
    /// When the limit permits another validation.
    pub(super) until: Option<DateTime<Utc>>,
}

impl Quota {
    /// Returns until when calls are rejected; `None` if a call is accepted now.
    pub(super) fn rejected_until(self) -> Option<DateTime<Utc>> {
        let limit = usize::from(self.limit.unsigned_abs());
        self.until.filter(|_| self.used >= limit)
    }
}

/// Situations for tests.
#[cfg(test)]
pub(super) mod fixtures {
    use super::*;

    pub(in super::super) fn at(time: &str) -> DateTime<Utc> {
        format!("2026-11-23T{time}Z").parse().unwrap()
    }

    pub(in super::super) fn waiting() -> Situation {
        Situation {
            account: "banh_1".into(),
            validation: "val_1".into(),
            merchant: "acme".into(),
            deleted_at: None,
            state: ValidationState::Waiting,
            outcome: None,
            failure: None,
            due_at: at("12:00:03"),
            deadline_at: at("20:00:00"),
            leased_until: None,
            completed_at: None,
            webhook_received: false,
            slot: None,
            queue: None,
            attempt: None,
            class: None,
            code: None,
            candidates: Candidates::Healthy,
            issues: Vec::new(),
            quota: Quota {
                used: 1,
                limit: 5,
                until: None,
            },
            may_have_paid: Vec::new(),
        }
    }

    pub(in super::super) fn due() -> Situation {
        Situation {
            state: ValidationState::Due,
            ..waiting()
        }
    }

    pub(in super::super) fn leased() -> Situation {
        Situation {
            state: ValidationState::Leased,
            leased_until: Some(at("12:00:30")),
            ..waiting()
        }
    }

    pub(in super::super) fn completed(outcome: Outcome) -> Situation {
        Situation {
            state: ValidationState::Completed,
            outcome: Some(outcome),
            completed_at: Some(at("11:00:00")),
            ..waiting()
        }
    }
}
