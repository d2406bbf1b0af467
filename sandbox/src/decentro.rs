//! Decentro as its public contract describes it: validation of a bank account (version 3; penniless, by
//! penny drop, or hybrid) and its status, under `/decentro`. At Decentro the two are on different hosts.
//!
//! One caller is known: [`CLIENT_ID`] with [`CLIENT_SECRET`]. It has two consumers: the simulation data
//! are published for [`CONSUMER_URN`], which has no velocity limit; [`LIMITED_CONSUMER_URN`] has the
//! velocity limits.

mod outcomes;
mod replies;
mod velocity;

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::body::{field, filled, text};
use crate::decentro::replies::Outcome;
use crate::decentro::velocity::Velocity;
use crate::gateway::{Gateway, lock};
use crate::ids::bank_reference;
use crate::name_similarity;
use crate::profile::{Call, GatewayProfile, Refusal, Reply, Rulebook, ok};
use crate::recent::Recent;
use crate::rules::{RefusalRow, is_true};
use crate::verification::Verification;

/// The `consumer_urn` of the published simulation data.
pub const CONSUMER_URN: &str = "4ac34260a0e34e4f82069e85b4a881fd";
/// The `consumer_urn` with velocity limits: 3 validations of one account a minute, 4 an hour, 5 a day.
pub const LIMITED_CONSUMER_URN: &str = "00000000000000000000000000000345";
/// The `client_id` that is accepted.
pub const CLIENT_ID: &str = "decentro_sandbox_client";
/// The `client_secret` that is accepted.
pub const CLIENT_SECRET: &str = "decentro_sandbox_secret";

/// Number of validations, and of used references, that are kept; beyond it the oldest are dropped.
const CAPACITY: usize = 200_000;

static RULES: Rulebook = Rulebook::new(include_str!("decentro/rules.txt"), refusal);

pub(crate) static PROFILES: [GatewayProfile<Decentro>; 1] = [GatewayProfile::new(
    Gateway("DECENTRO"),
    "/decentro",
    &[
        (
            "POST /v3/banking/money_transfer/validate_bank_account",
            validate,
        ),
        ("GET /v3/banking/account_validation/status", look_up),
    ],
    &RULES,
)];

/// Decentro's memory.
#[derive(Default)]
pub(crate) struct Decentro {
    used_references: Recent<(), CAPACITY>,
    by_reference: Recent<Arc<Verification>, CAPACITY>,
    by_txn: Recent<Arc<Verification>, CAPACITY>,
    velocity: Mutex<Velocity>,
}

/// Makes a refusal.
fn refusal((status, response_key, message): RefusalRow<'_>, _: Option<&str>) -> Refusal {
    let body = json!({
        "decentro_txn_id": replies::txn_id(), "api_status": "FAILURE", "response_key": response_key,
        "message": message,
    });
    Refusal::new(status, body)
}

/// The headers are `client_id` and `client_secret`, with underscores.
fn authenticate(call: &Call<'_>) -> Result<(), Refusal> {
    let known = call.has_headers(&[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]);
    known
        .then_some(())
        .ok_or_else(|| RULES.refuse("CREDENTIALS"))
}

/// `POST /v3/banking/money_transfer/validate_bank_account`. A penny drop drops, a penniless check does
/// not, and a hybrid validation drops only where a penniless check is inconclusive.
///
/// Every call that names a `reference_id` uses it up, also a call that is refused afterwards: Decentro
/// documents the first, an integrator observed the second at another of Decentro's calls.
fn validate(memory: &Decentro, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let request = RULES.json(call, &["reference_id", "other_fields"])?;
    RULES.check("reference_id", &request)?;
    let reference_id = field(&request, "reference_id");
    if memory.used_references.add(reference_id, ()).is_some() {
        return Err(RULES.refuse("DUPLICATE_REFERENCE"));
    }
    RULES.check("other_fields", &request)?;
    if call.behaviour.insufficient_balance {
        return Err(RULES.refuse("INSUFFICIENT_CREDITS"));
    }
    let account = field(&request, "beneficiary_details.account_number");
    let limited = field(&request, "consumer_urn") == LIMITED_CONSUMER_URN;
    if limited && !lock(&memory.velocity).admit(account, call.now) {
        return Err(RULES.refuse("VELOCITY"));
    }
    accept(memory, call, &request)
}

fn accept(memory: &Decentro, call: &Call<'_>, request: &Value) -> Reply {
    let (reference_id, beneficiary) = (
        field(request, "reference_id"),
        &request["beneficiary_details"],
    );
    let (account, ifsc) = (
        field(beneficiary, "account_number"),
        field(beneficiary, "ifsc"),
    );
    let name = filled(beneficiary, "name");
    let scenario = call.scenario(account);
    let found = outcomes::of_account(account, ifsc, scenario);
    let found = found.ok_or_else(|| RULES.refuse("PROVIDER_ERROR"))?;
    let drops = match field(request, "validation_type") {
        "pennydrop" => true,
        "hybrid" => found.penniless == Outcome::Inconclusive,
        _ => false,
    };
    let outcome = if drops {
        found.pennydrop
    } else {
        found.penniless
    };
    let has_name = matches!(outcome, Outcome::Valid | Outcome::Nre);
    let holder = scenario.holder(account, name).filter(|_| has_name);
    let names = name.zip(holder.as_deref());
    let score = names
        .filter(|_| is_true(request, "perform_name_match"))
        .map(|(sent, at_bank)| name_similarity::score(sent, at_bank).round());
    let txn_id = replies::txn_id();
    let pending = replies::pending(&txn_id, reference_id);
    let bank_reference = drops.then(bank_reference);
    let settled = replies::settled(
        &txn_id,
        reference_id,
        outcome,
        holder.as_deref(),
        bank_reference,
        score,
    );
    let code = Some("/data/account_status");
    let timing = (found.timing, call.behaviour.pending());
    let validation = Verification::new(call, timing, &pending, &settled, code);
    memory
        .by_reference
        .add(reference_id, Arc::clone(&validation));
    memory.by_txn.add(&txn_id, Arc::clone(&validation));
    if drops {
        call.record_drop(reference_id);
    }
    ok(replies::first(validation.reply(call.now, call.behaviour)))
}

/// `GET /v3/banking/account_validation/status`, by `decentro_txn_id` or, without it, by `reference_id`.
fn look_up(memory: &Decentro, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let query = RULES.query(call, &["status"])?;
    let ids = (
        text(&query, "decentro_txn_id"),
        text(&query, "reference_id"),
    );
    let found = match ids {
        (Some(txn_id), _) => memory.by_txn.get(txn_id),
        (None, Some(reference_id)) => memory.by_reference.get(reference_id),
        (None, None) => return Err(RULES.refuse("NO_ID")),
    };
    let validation = found.ok_or_else(|| RULES.refuse("UNKNOWN"))?;
    ok(replies::status(&validation.reply(call.now, call.behaviour)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn key(request: &Value) -> String {
        let tables = ["reference_id", "other_fields"];
        let breach = tables
            .iter()
            .find_map(|table| RULES.check(table, request).err());
        let key = breach.map(|refusal| refusal.body["response_key"].clone());
        key.map_or_else(
            || "accepted".to_owned(),
            |key| key.as_str().unwrap_or("?").to_owned(),
        )
    }

    #[test]
    fn each_field_keeps_its_limits() {
        const NUMBER: &str = "/beneficiary_details/account_number";
        let good = json!({
            "reference_id": "att-1",
            "purpose_message": "Account check",
            "consumer_urn": CONSUMER_URN,
            "validation_type": "pennydrop",
            "perform_name_match": true,
            "beneficiary_details": {
                "account_number": "121416119212", "ifsc": "SBIN0001077", "name": "Asha Rao",
            },
        });
        assert_eq!(key(&good), "accepted");
        for (pointer, value, expected) in [
            ("/reference_id", json!(""), "error_missing_reference_id"),
            ("/reference_id", json!("a.b"), "error_unsanitized_values"),
            ("/reference_id", json!("a_b-C9"), "accepted"),
            (
                "/purpose_message",
                Value::Null,
                "error_invalid_purpose_message",
            ),
            (
                "/purpose_message",
                json!("abcd"),
                "error_invalid_purpose_message_length",
            ),
            ("/purpose_message", json!("abcde"), "accepted"),
            ("/purpose_message", json!("a".repeat(255)), "accepted"),
            (
                "/purpose_message",
                json!("a".repeat(256)),
                "error_invalid_purpose_message_length",
            ),
            (
                "/purpose_message",
                json!("why not?"),
                "error_unsanitized_values",
            ),
            ("/consumer_urn", Value::Null, "error_empty_consumer_urn"),
            (
                "/consumer_urn",
                json!("unknown"),
                "error_invalid_consumer_urn",
            ),
            ("/consumer_urn", json!(LIMITED_CONSUMER_URN), "accepted"),
            (
                "/validation_type",
                Value::Null,
                "error_validation_type_empty",
            ),
            (
                "/validation_type",
                json!("PENNYDROP"),
                "error_invalid_validation_type",
            ),
            ("/validation_type", json!("hybrid"), "accepted"),
            (
                "/beneficiary_details",
                Value::Null,
                "error_missing_beneficiary_details",
            ),
            (NUMBER, Value::Null, "error_missing_account_number"),
            (NUMBER, json!("12-34"), "error_unsanitized_values"),
            (
                "/beneficiary_details/ifsc",
                Value::Null,
                "error_missing_ifsc",
            ),
            (
                "/beneficiary_details/ifsc",
                json!("SBIN1001077"),
                "error_invalid_ifsc",
            ),
            ("/beneficiary_details/name", Value::Null, "error_empty_name"),
        ] {
            let mut request = good.clone();
            if let Some(member) = request.pointer_mut(pointer) {
                *member = value;
            }
            assert_eq!(key(&request), expected, "{pointer}");
        }
        let mut unmatched = good;
        unmatched["perform_name_match"] = Value::Null;
        unmatched["beneficiary_details"]["name"] = Value::Null;
        assert_eq!(key(&unmatched), "accepted");
    }
}
