//! Decentro as its public contract describes it: validation of a bank account (version 3; penniless, by
//! penny drop, or hybrid) and its status, under `/decentro`. At Decentro the two are on different hosts.
//!
//! One caller is known: [`CLIENT_ID`] with [`CLIENT_SECRET`]. It has two consumers: the simulation data
//! are published for [`CONSUMER_URN`], which has no velocity limit; [`LIMITED_CONSUMER_URN`] has the
//! velocity limits.

mod outcomes;
mod replies;
mod rules;
mod velocity;

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::body::{field, filled, text};
use crate::decentro::replies::Outcome;
use crate::decentro::rules::refusal;
use crate::decentro::velocity::Velocity;
use crate::gateway::{Gateway, lock};
use crate::ids::bank_reference;
use crate::name_similarity;
use crate::profile::{Call, GatewayProfile, Reply, check, ok};
use crate::recent::Recent;
use crate::refusal::Refusal;
use crate::rules::is_true;
use crate::verification::Verification;

pub use crate::decentro::rules::{CONSUMER_URN, LIMITED_CONSUMER_URN};

/// The `client_id` that is accepted.
pub const CLIENT_ID: &str = "decentro_sandbox_client";
/// The `client_secret` that is accepted.
pub const CLIENT_SECRET: &str = "decentro_sandbox_secret";

/// Number of validations, and of used references, that are kept; beyond it the oldest are dropped.
const CAPACITY: usize = 200_000;

pub(crate) static PROFILES: [GatewayProfile<Decentro>; 1] = [GatewayProfile::new(
    Gateway::Decentro,
    "/decentro",
    &[
        (
            "POST /v3/banking/money_transfer/validate_bank_account",
            validate,
        ),
        ("GET /v3/banking/account_validation/status", look_up),
    ],
    refusal,
    [rules::DECENTRO_ERROR, rules::TOO_MANY_CALLS, rules::IP],
)];

/// Decentro's memory.
#[derive(Default)]
pub(crate) struct Decentro {
    used_references: Recent<(), CAPACITY>,
    by_reference: Recent<Arc<Verification>, CAPACITY>,
    by_txn: Recent<Arc<Verification>, CAPACITY>,
    velocity: Mutex<Velocity>,
}

/// The headers `client_id` and `client_secret`, with underscores.
fn authenticate(call: &Call<'_>) -> Result<(), Refusal> {
    let known = call.has_headers(&[("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)]);
    if known {
        Ok(())
    } else {
        Err(refusal(rules::CREDENTIALS))
    }
}

/// `POST /v3/banking/money_transfer/validate_bank_account`. A penny drop drops, a penniless check does
/// not, and a hybrid validation drops only where a penniless check is inconclusive.
///
/// Every call that names a `reference_id` uses it up, also a call that is refused afterwards. Decentro
/// documents that a duplicate is refused; that a refused call counts is an integrator's observation of
/// another call of Decentro's.
fn validate(memory: &Decentro, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let request = call.json(&[rules::REFERENCE_ID, rules::OTHER_FIELDS]);
    let request = request.ok_or_else(|| refusal(rules::MALFORMED))?;
    check(rules::REFERENCE_ID, &request, refusal)?;
    let reference_id = field(&request, "reference_id");
    if memory.used_references.add(reference_id, ()).is_some() {
        return Err(refusal(rules::DUPLICATE_REFERENCE));
    }
    check(rules::OTHER_FIELDS, &request, refusal)?;
    if call.behaviour.insufficient_balance {
        return Err(refusal(rules::INSUFFICIENT_CREDITS));
    }
    let account = field(&request, "beneficiary_details.account_number");
    let limited = field(&request, "consumer_urn") == LIMITED_CONSUMER_URN;
    if limited && !lock(&memory.velocity).admit(account, call.now) {
        return Err(refusal(rules::VELOCITY));
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
    let scenario = call.sandbox.scenario(Gateway::Decentro, account);
    let found = outcomes::of_account(account, ifsc, scenario);
    let found = found.ok_or_else(|| refusal(rules::PROVIDER_ERROR))?;
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
        call.sandbox.ledger.record(Gateway::Decentro, reference_id);
    }
    ok(replies::first(validation.reply(call.now, call.behaviour)))
}

/// `GET /v3/banking/account_validation/status`, by `decentro_txn_id` or, without it, by `reference_id`.
fn look_up(memory: &Decentro, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let query = call.query(&["decentro_txn_id", "reference_id"]);
    let query = query.ok_or_else(|| refusal(rules::MALFORMED))?;
    let ids = (
        text(&query, "decentro_txn_id"),
        text(&query, "reference_id"),
    );
    let found = match ids {
        (Some(txn_id), _) => memory.by_txn.get(txn_id),
        (None, Some(reference_id)) => memory.by_reference.get(reference_id),
        (None, None) => return Err(refusal(rules::NO_ID)),
    };
    let validation = found.ok_or_else(|| refusal(rules::UNKNOWN))?;
    ok(replies::status(&validation.reply(call.now, call.behaviour)))
}
