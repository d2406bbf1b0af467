//! Cashfree Secure ID as its public contract describes it: bank account verification (sync, async,
//! status), UPI penny drop, and the older UPI lookup. One caller is known: [`CLIENT_ID`] with
//! [`CLIENT_SECRET`].

mod outcomes;
mod replies;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use chrono::{DateTime, Utc};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::body::{field, filled, text};
use crate::calls::RateLimit;
use crate::cashfree::outcomes::{RECEIVED, REJECTED, VALID};
use crate::gateway::Gateway;
use crate::ids::hmac_sha256;
use crate::profile::{Call, GatewayProfile, Refusal, Reply, Rulebook, json_text, ok};
use crate::recent::Recent;
use crate::rules::RefusalRow;
use crate::scenario::Timing;
use crate::verification::Verification;
use crate::webhooks::{Header, Signing};

/// The `x-client-id` that is accepted.
pub const CLIENT_ID: &str = "sandbox_client";
/// The `x-client-secret` that is accepted.
pub const CLIENT_SECRET: &str = "sandbox_secret";

/// Number of verifications of each kind that are kept for lookups and to refuse a used
/// `verification_id`; beyond it the oldest are dropped.
const CAPACITY: usize = 500_000;

static RULES: Rulebook = Rulebook::new(include_str!("cashfree/rules.txt"), refusal);

pub(crate) static PROFILES: [GatewayProfile<Cashfree>; 1] = [GatewayProfile {
    skips_ip_list: has_cf_signature,
    add_rate_limit_headers,
    ..GatewayProfile::new(
        Gateway("CASHFREE"),
        "/cashfree/verification",
        &[
            ("POST /bank-account/sync", verify_bank),
            ("POST /bank-account/async", receive_bank),
            ("GET /bank-account", look_up_bank),
            ("POST /upi/penny-drop", upi_penny_drop),
            ("POST /upi", upi_lookup),
            ("GET /upi", look_up_upi),
        ],
        &RULES,
    )
}];

static SIGNING: Signing = Signing {
    secret: CLIENT_SECRET,
    sign,
};

/// Cashfree's memory.
#[derive(Default)]
pub(crate) struct Cashfree {
    by_reference_id: Recent<Arc<Verification>, CAPACITY>,
    /// The newest verification with each `user_id`.
    by_user_id: Recent<Arc<Verification>, CAPACITY>,
    /// The replies of UPI verifications by `verification_id`, as JSON text: it is smaller than a value.
    upi: Recent<Arc<str>, CAPACITY>,
}

/// `x-cf-signature` admits a caller from any address. At Cashfree only the private key can read it; here
/// it must have the form alone: the base64 of one RSA block of 2048 bits.
fn has_cf_signature(headers: &HeaderMap) -> bool {
    let signature = headers
        .get("x-cf-signature")
        .and_then(|value| BASE64.decode(value.as_bytes()).ok());
    signature.is_some_and(|block| block.len() == 256)
}

fn add_rate_limit_headers(limit: RateLimit, headers: &mut HeaderMap) {
    for (name, value) in [
        ("x-ratelimit-limit", limit.limit.into()),
        ("x-ratelimit-remaining", limit.remaining.into()),
        ("x-ratelimit-reset", limit.resets_in),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

/// base64(HMAC-SHA256(timestamp + raw body, client secret)), nothing between the two (Cashfree, payloads
/// and signatures).
fn sign(secret: &str, body: &str, now: DateTime<Utc>) -> Vec<Header> {
    let timestamp = now.timestamp_millis().to_string();
    let mac = hmac_sha256(secret, &[&timestamp, body]);
    vec![
        ("x-webhook-timestamp", timestamp),
        ("x-webhook-signature", BASE64.encode(&mac)),
    ]
}

/// Makes a refusal: `{type, code, message}`.
fn refusal((status, code, message): RefusalRow<'_>, _: Option<&str>) -> Refusal {
    let kind = match status {
        401 | 403 => "authentication_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        500.. => "internal_error",
        _ => "validation_error",
    };
    Refusal::new(
        status,
        json!({"type": kind, "code": code, "message": message}),
    )
}

fn authenticate(call: &Call<'_>) -> Result<(), Refusal> {
    let known = call.has_headers(&[
        ("x-client-id", CLIENT_ID),
        ("x-client-secret", CLIENT_SECRET),
    ]);
    known
        .then_some(())
        .ok_or_else(|| RULES.refuse("CREDENTIALS"))
}

/// `POST /bank-account/sync`. Drops, and replies with the outcome unless the account is pending at first.
/// The call has no reference of the caller's, so the ledger records `sync:` and the reference id.
fn verify_bank(memory: &Cashfree, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let request = RULES.json(call, &["bank"])?;
    RULES.check("bank", &request)?;
    if call.behaviour.insufficient_balance {
        return Err(RULES.refuse("INSUFFICIENT_BALANCE"));
    }
    let (reference_id, bank) = verify(memory, call, &request, Duration::ZERO, None)?;
    call.record_drop(&format!("sync:{reference_id}"));
    if bank.was_pending() {
        send_event(call, &bank, None);
    }
    bank.respond(call)
}

/// `POST /bank-account/async`. Drops, and replies with a receipt. A `user_id` that was used before is
/// executed and counted again: the worst a gateway can do, so that the ledger shows a client that sends
/// twice. Where the balance is too small the receipt is the same, nothing drops, and the outcome says so.
fn receive_bank(memory: &Cashfree, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let request = RULES.json(call, &["bank"])?;
    RULES.check("user_id", &request)?;
    RULES.check("bank", &request)?;
    let user_id = text(&request, "user_id").filter(|id| !id.is_empty());
    let (reference_id, bank) = verify(memory, call, &request, call.behaviour.pending(), user_id)?;
    if !call.behaviour.insufficient_balance {
        let own = format!("async:{reference_id}");
        call.record_drop(user_id.unwrap_or(&own));
    }
    send_event(call, &bank, user_id);
    ok(json!({
        "reference_id": reference_id, "user_id": user_id, "account_status": RECEIVED.0,
        "account_status_code": RECEIVED.1,
    }))
}

/// `GET /bank-account`, by `reference_id` or, without it, by `user_id`.
fn look_up_bank(memory: &Cashfree, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let query = RULES.query(call, &["reference_id", "user_id"])?;
    let bank = if let Some(reference_id) = text(&query, "reference_id") {
        RULES.check("reference_id", &query)?;
        // A number has several spellings; the key has one.
        let number: u64 = reference_id.parse().unwrap_or_default();
        let found = memory.by_reference_id.get(&number.to_string());
        found.ok_or_else(|| RULES.refuse("REFERENCE_ID_UNKNOWN"))?
    } else {
        RULES.check("user_id", &query)?;
        let user_id = text(&query, "user_id").filter(|id| !id.is_empty());
        let user_id = user_id.ok_or_else(|| RULES.refuse("NO_ID"))?;
        let found = memory.by_user_id.get(user_id);
        found.ok_or_else(|| RULES.refuse("USER_ID_UNKNOWN"))?
    };
    bank.respond(call)
}

/// Verifies the account of a request, and returns the verification with its `reference_id`.
fn verify(
    memory: &Cashfree,
    call: &Call<'_>,
    request: &Value,
    delay: Duration,
    user_id: Option<&str>,
) -> Result<(u64, Arc<Verification>), Refusal> {
    let (account, ifsc) = (field(request, "bank_account"), field(request, "ifsc"));
    let name = filled(request, "name").map(str::trim);
    let scenario = call.scenario(account);
    let (mut outcome, mut timing) =
        outcomes::of_account(account, ifsc, scenario).map_err(|name| RULES.refuse(name))?;
    if call.behaviour.insufficient_balance {
        (outcome, timing) = (REJECTED, Timing::AtOnce);
    }
    let holder = match outcomes::published_holder(account, ifsc) {
        Some(holder) => Some(holder.to_owned()),
        None => scenario.holder(account, name),
    };
    let holder = holder.filter(|_| outcome == VALID);
    let number = call.sandbox.next_number();
    // An outcome that never appears says itself that it is pending.
    let first = if timing == Timing::Never {
        outcome
    } else {
        RECEIVED
    };
    let settled = replies::bank(number, outcome, ifsc, name, holder.as_deref());
    let pending = replies::bare(number, first);
    let code = Some("/account_status_code");
    let bank = Verification::new(call, (timing, delay), &pending, &settled, code);
    if let Some(user_id) = user_id {
        memory.by_user_id.set(user_id, Arc::clone(&bank));
    }
    memory
        .by_reference_id
        .set(&number.to_string(), Arc::clone(&bank));
    Ok((number, bank))
}

/// Sends the event when the outcome appears, if it ever does.
fn send_event(call: &Call<'_>, bank: &Arc<Verification>, user_id: Option<&str>) {
    let (bank, user_id) = (Arc::clone(bank), user_id.map(str::to_owned));
    call.send_later(&SIGNING, bank.appears_at, move |behaviour| {
        let reply = bank.reply(Instant::now(), behaviour);
        Some(replies::events(reply, bank.pending(), user_id.as_deref()))
    });
}

/// `POST /upi/penny-drop`. Drops, unless the `verification_id` was used before.
fn upi_penny_drop(memory: &Cashfree, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let request = RULES.json(call, &UPI)?;
    let version = json!({"x-api-version": call.header("x-api-version")});
    RULES.check("api_version", &version)?;
    RULES.check("user_consent", &request)?;
    if call.behaviour.insufficient_balance {
        return Err(RULES.refuse("INSUFFICIENT_BALANCE"));
    }
    let reply = verify_vpa(memory, call, &request, true)?;
    let reference = field(&request, "verification_id");
    call.record_drop(reference);
    ok(reply)
}

/// `POST /upi`. Looks the VPA up: no money moves, so the ledger records nothing.
fn upi_lookup(memory: &Cashfree, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    ok(verify_vpa(memory, call, &RULES.json(call, &UPI)?, false)?)
}

/// The tables of both UPI calls.
const UPI: [&str; 3] = ["verification_id", "vpa", "user_consent"];

/// `GET /upi`: the reply of the verification again, for a client that lost it.
fn look_up_upi(memory: &Cashfree, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let query = RULES.query(call, &["verification_id"])?;
    RULES.check("verification_id", &query)?;
    let found = memory.upi.get(field(&query, "verification_id"));
    let reply = found.ok_or_else(|| RULES.refuse("VERIFICATION_ID_UNKNOWN"))?;
    Ok(json_text(reply.to_string()))
}

fn verify_vpa(
    memory: &Cashfree,
    call: &Call<'_>,
    request: &Value,
    penny_drop: bool,
) -> Result<Value, Refusal> {
    RULES.check("verification_id", request)?;
    RULES.check("vpa", request)?;
    let (verification_id, vpa) = (field(request, "verification_id"), field(request, "vpa"));
    let name = filled(request, "name").map(str::trim);
    let scenario = call.scenario(vpa);
    let status = outcomes::of_vpa(vpa, scenario).map_err(|name| RULES.refuse(name))?;
    let holder = scenario.holder(vpa, name).filter(|_| status == "VALID");
    let reference_id = call.sandbox.next_number();
    let ids = (verification_id, vpa);
    let reply = replies::upi(
        reference_id,
        ids,
        status,
        name,
        holder.as_deref(),
        penny_drop,
    );
    match memory
        .upi
        .add(verification_id, Arc::from(reply.to_string()))
    {
        Some(_) => Err(RULES.refuse("VERIFICATION_ID_USED")),
        None => Ok(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the code of the refusal; "" if the request is accepted.
    fn code(table: &str, field: &str, value: &Value) -> String {
        let mut request = json!({
            "bank_account": "123456", "ifsc": "YESB0000262", "name": null, "phone": null,
            "user_id": null, "verification_id": "a", "vpa": "asha@upi", "reference_id": "1",
            "x-api-version": "2024-12-01",
            "user_consent": {
                "obtained": true, "type": "EXPLICIT", "timestamp": "2025-10-27T09:24:36Z",
                "purpose": "payout",
            },
        });
        match field.split_once('.') {
            Some((object, member)) => request[object][member] = value.clone(),
            None => request[field] = value.clone(),
        }
        let breach = RULES.check(table, &request).err();
        let code = breach.map(|refusal| refusal.body["code"].clone());
        code.map_or_else(String::new, |code| code.as_str().unwrap_or("?").to_owned())
    }

    #[test]
    fn each_field_keeps_its_limits() {
        for (table, field, value, expected) in [
            ("bank", "bank_account", json!("AbC123"), ""),
            ("bank", "bank_account", json!("9".repeat(40)), ""),
            ("bank", "bank_account", Value::Null, "_missing"),
            ("bank", "bank_account", json!(""), "_missing"),
            ("bank", "bank_account", json!("12345"), "_length_short"),
            (
                "bank",
                "bank_account",
                json!("9".repeat(41)),
                "_length_exceeded",
            ),
            ("bank", "bank_account", json!("1234 56"), "_value_invalid"),
            ("bank", "bank_account", json!("12345-6"), "_value_invalid"),
            ("bank", "bank_account", json!("१२३४५६"), "_value_invalid"),
            ("bank", "ifsc", json!("ABCD0A1B2C3"), ""),
            ("bank", "ifsc", Value::Null, "_missing"),
            ("bank", "ifsc", json!("yesb0000262"), "_value_invalid"),
            ("bank", "name", json!("  "), ""),
            ("bank", "name", json!("श".repeat(100)), ""),
            ("bank", "name", json!("a".repeat(101)), "_length_exceeded"),
            ("bank", "phone", json!(""), ""),
            ("bank", "phone", json!("99999999"), ""),
            ("bank", "phone", json!("9199999999999"), ""),
            ("bank", "phone", json!("9999999"), "_length_short"),
            ("bank", "phone", json!("99999999999999"), "_length_exceeded"),
            ("bank", "phone", json!("+919999999"), "_value_invalid"),
            ("user_id", "user_id", json!("att_1"), ""),
            ("user_id", "user_id", json!("att-1"), "_value_invalid"),
            (
                "user_id",
                "user_id",
                json!("a".repeat(41)),
                "_length_exceeded",
            ),
            ("reference_id", "reference_id", json!("12"), ""),
            (
                "reference_id",
                "reference_id",
                json!("12a"),
                "_value_invalid",
            ),
            ("verification_id", "verification_id", json!("a.b-c_1"), ""),
            (
                "verification_id",
                "verification_id",
                Value::Null,
                "_missing",
            ),
            (
                "verification_id",
                "verification_id",
                json!("a/b"),
                "_value_invalid",
            ),
            (
                "verification_id",
                "verification_id",
                json!("a".repeat(51)),
                "_length_exceeded",
            ),
            ("vpa", "vpa", json!("a.b-c_d@okhdfcbank"), ""),
            ("vpa", "vpa", Value::Null, "_missing"),
            ("vpa", "vpa", json!("a@b@c"), "_value_invalid"),
            ("api_version", "x-api-version", Value::Null, "_missing"),
            (
                "api_version",
                "x-api-version",
                json!("2023-12-18"),
                "_value_invalid",
            ),
            ("user_consent", "user_consent", Value::Null, "_missing"),
            (
                "user_consent",
                "user_consent.obtained",
                json!(false),
                "_value_invalid",
            ),
            (
                "user_consent",
                "user_consent.type",
                json!("IMPLICIT"),
                "_value_invalid",
            ),
            (
                "user_consent",
                "user_consent.timestamp",
                Value::Null,
                "_missing",
            ),
            (
                "user_consent",
                "user_consent.timestamp",
                json!("today"),
                "_value_invalid",
            ),
            (
                "user_consent",
                "user_consent.purpose",
                json!(" "),
                "_missing",
            ),
            ("user_consent", "user_consent.purpose", json!("payout"), ""),
        ] {
            let expected = match expected {
                "" => String::new(),
                suffix => format!("{field}{suffix}"),
            };
            assert_eq!(code(table, field, &value), expected, "{field}: {value}");
        }
    }
}
