//! Decentro's replies about a validation. The request is documented; the reply's `data` is as integrators
//! read it, except for the members marked as ours.
//!
//! `data` of a kept reply has the three `request_…` members that only the status call returns.

use serde_json::{Value, json};
use uuid::Uuid;

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

/// Makes a transaction id: DEC and 27 capitals and digits, at random, so that after a restart none repeats
/// an older one.
pub(super) fn txn_id() -> String {
    let mut drawn = Uuid::new_v4().simple().to_string();
    drawn.make_ascii_uppercase();
    format!("DEC{}", &drawn[..27])
}

/// Makes the reply before the outcome, with the members of the status call.
pub(super) fn pending(txn_id: &str, reference_id: &str) -> Value {
    let data = json!({
        "account_status": "PENDING", "beneficiary_name": null,
        "validation_message": "Validation is pending",
    });
    let message = "Validation of the account is pending.";
    reply(
        txn_id,
        reference_id,
        ("PENDING", "pending_account_validation", message),
        data,
    )
}

/// Makes the reply with the outcome, with the members of the status call. `score` is the similarity of the
/// names, 0 to 100, where a name match was requested and the account has a name.
pub(super) fn settled(
    txn_id: &str,
    reference_id: &str,
    outcome: Outcome,
    holder: Option<&str>,
    bank_reference: Option<String>,
    score: Option<f64>,
) -> Value {
    // The keys are ours, made like the keys of the VPA lookup.
    let (status, key, message) = match outcome {
        Outcome::Valid => ("VALID", "success_account_valid", "Account is valid"),
        Outcome::Invalid(reason) => ("INVALID", "success_account_invalid", reason),
        Outcome::Nre => ("NRE", "success_account_valid", "Account is of NRE type"),
        Outcome::Inconclusive => {
            let message = "Account could not be validated";
            ("INCONCLUSIVE", "success_account_inconclusive", message)
        }
    };
    let mut data = json!({
        "account_status": status, "beneficiary_name": holder, "validation_message": message,
    });
    // Ours, under the name that it has in the replies about transfers.
    if let Some(reference) = bank_reference {
        data["bank_reference_number"] = reference.into();
    }
    if let Some(score) = score {
        data["name_match_score"] = score.into();
        data["name_match_result"] = (score >= MATCHES).into();
    }
    // The call succeeds regardless of the account.
    let message = "Validation of the account was successful.";
    reply(txn_id, reference_id, ("SUCCESS", key, message), data)
}

fn reply(
    txn_id: &str,
    reference_id: &str,
    (api_status, response_key, message): (&str, &str, &str),
    mut data: Value,
) -> Value {
    // That the requesting call's ids are within `data` is inferred, and its reference is ours.
    data["request_decentro_txn_id"] = txn_id.into();
    data["request_reference_id"] = reference_id.into();
    data["request_response_key"] = response_key.into();
    json!({
        "decentro_txn_id": txn_id, "api_status": api_status, "response_key": response_key,
        "message": message, "data": data,
    })
}

/// Makes the reply to the call that requested the validation.
pub(super) fn first(mut kept: Value) -> Value {
    if let Value::Object(data) = &mut kept["data"] {
        data.retain(|name, _| !name.starts_with("request_"));
    }
    kept
}

/// Makes the reply of the status call.
pub(super) fn status(kept: &Value) -> Value {
    json!({
        "decentro_txn_id": txn_id(), "api_status": "SUCCESS",
        "response_key": "success_status_retrieved",
        "message": "Status of the verification request retrieved successfully.",
        "data": kept["data"],
    })
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
