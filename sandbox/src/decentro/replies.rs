//! Decentro's replies about a validation. The request is documented; the reply's `data` is as integrators
//! read it, except for the members marked as ours.

use std::time::Instant;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::behaviour::UNKNOWN_CODE;
use crate::profile::has_appeared;

/// Least score of names that match. Decentro does not publish its own.
const MATCHES: f64 = 80.0;

/// The outcome of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Valid,
    /// The account is not valid, with the reason.
    Invalid(&'static str),
    /// The account belongs to a non-resident.
    Nre,
    Inconclusive,
}

/// An account that was validated.
pub(super) struct Validation {
    pub(super) txn_id: String,
    pub(super) reference_id: String,
    pub(super) outcome: Outcome,
    /// The name at the bank, if the bank returns it.
    pub(super) beneficiary_name: Option<String>,
    /// The bank's reference of the credit, if there was one.
    pub(super) bank_reference_number: Option<String>,
    /// 0 to 100, where a name match was requested and the account has a name.
    pub(super) name_match_score: Option<f64>,
    /// When the outcome appears; `None`: never.
    pub(super) appears_at: Option<Instant>,
}

/// Makes a transaction id: DEC and 27 capitals and digits, at random, so that after a restart none repeats
/// an older one.
pub(super) fn txn_id() -> String {
    let mut drawn = Uuid::new_v4().simple().to_string();
    drawn.make_ascii_uppercase();
    format!("DEC{}", &drawn[..27])
}

impl Validation {
    /// Makes the reply to the call that requested the validation. The call succeeds regardless of the
    /// account.
    pub(super) fn reply(&self, now: Instant, unknown_code: bool) -> Value {
        let (api_status, message) = if self.is_pending(now) {
            ("PENDING", "Validation of the account is pending.")
        } else {
            ("SUCCESS", "Validation of the account was successful.")
        };
        json!({
            "decentro_txn_id": self.txn_id,
            "api_status": api_status,
            "response_key": self.response_key(now),
            "message": message,
            "data": self.data(now, unknown_code),
        })
    }

    /// Makes the reply of the status call. That the requesting call's ids are within `data` is inferred,
    /// and its reference is ours.
    pub(super) fn status_reply(&self, now: Instant, unknown_code: bool) -> Value {
        let mut data = self.data(now, unknown_code);
        data["request_decentro_txn_id"] = self.txn_id.as_str().into();
        data["request_reference_id"] = self.reference_id.as_str().into();
        data["request_response_key"] = self.response_key(now).into();
        json!({
            "decentro_txn_id": txn_id(),
            "api_status": "SUCCESS",
            "response_key": "success_status_retrieved",
            "message": "Status of the verification request retrieved successfully.",
            "data": data,
        })
    }

    fn is_pending(&self, now: Instant) -> bool {
        !has_appeared(self.appears_at, now)
    }

    /// The keys are ours, made like the keys of the VPA lookup.
    fn response_key(&self, now: Instant) -> &'static str {
        match self.outcome {
            _ if self.is_pending(now) => "pending_account_validation",
            Outcome::Valid | Outcome::Nre => "success_account_valid",
            Outcome::Invalid(_) => "success_account_invalid",
            Outcome::Inconclusive => "success_account_inconclusive",
        }
    }

    fn data(&self, now: Instant, unknown_code: bool) -> Value {
        let (account_status, validation_message) = match self.outcome {
            _ if self.is_pending(now) => {
                return json!({
                    "account_status": "PENDING",
                    "beneficiary_name": null,
                    "validation_message": "Validation is pending",
                });
            }
            Outcome::Valid => ("VALID", "Account is valid"),
            Outcome::Invalid(reason) => ("INVALID", reason),
            Outcome::Nre => ("NRE", "Account is of NRE type"),
            Outcome::Inconclusive => ("INCONCLUSIVE", "Account could not be validated"),
        };
        let mut data = json!({
            "account_status": if unknown_code { UNKNOWN_CODE } else { account_status },
            "beneficiary_name": self.beneficiary_name,
            "validation_message": validation_message,
        });
        // Ours, under the name that it has in the replies about transfers.
        if let Some(number) = &self.bank_reference_number {
            data["bank_reference_number"] = number.as_str().into();
        }
        if let Some(score) = self.name_match_score {
            data["name_match_score"] = score.into();
            data["name_match_result"] = (score >= MATCHES).into();
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_txn_id_is_random() {
        let id = txn_id();
        assert!(id.len() == 30 && id.starts_with("DEC"));
        assert_ne!(id, txn_id());
    }
}
