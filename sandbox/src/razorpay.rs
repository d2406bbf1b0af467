//! RazorpayX account validation as its public contract describes it: the composite call for a bank
//! account or a VPA, its lookup by id, and the payment gateway's lookup of a VPA. One caller is known:
//! [`KEY_ID`] with [`KEY_SECRET`], which pays from [`SOURCE_ACCOUNT_NUMBER`]. Razorpay publishes no test
//! data: account validation is not available in its test mode.

mod outcomes;
mod replies;

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::body::{at, field, omit_nulls, text};
use crate::gateway::Gateway;
use crate::ids::hmac_sha256;
use crate::profile::{Call, GatewayProfile, Refusal, Reply, Rulebook, ok};
use crate::razorpay::outcomes::{Ending, Oddity, is_final};
use crate::recent::Recent;
use crate::rules::RefusalRow;
use crate::verification::Verification;
use crate::webhooks::{Header, Signing};

/// The only account that the rupee can be taken from. Razorpay's samples have this number.
pub const SOURCE_ACCOUNT_NUMBER: &str = "7878780080316316";
/// The user name of HTTP Basic that is accepted.
pub const KEY_ID: &str = "rzp_test_sandbox";
/// The password of HTTP Basic that is accepted.
pub const KEY_SECRET: &str = "sandbox_secret";
/// The secret that signs webhooks unless another is set.
pub const WEBHOOK_SECRET: &str = "sandbox_webhook_secret";

/// Number of validations, and of idempotency keys, that are kept; beyond it the oldest are dropped.
const CAPACITY: usize = 200_000;

/// The header of the idempotency key.
const KEY: &str = "X-Payout-Idempotency";

static RULES: Rulebook = Rulebook::new(include_str!("razorpay/rules.txt"), refusal);

/// RazorpayX, and the payment gateway, which refuses an address in other words.
pub(crate) static PROFILES: [GatewayProfile<Razorpay>; 2] = [
    GatewayProfile::new(
        Gateway("RAZORPAY"),
        "/razorpay",
        &[
            ("POST /v1/fund_accounts/validations", create),
            ("GET /v1/fund_accounts/validations/{id}", look_up),
        ],
        &RULES,
    ),
    GatewayProfile {
        ip: "ACCESS_DENIED",
        ..GatewayProfile::new(
            Gateway("RAZORPAY"),
            "/razorpay",
            &[
                ("POST /v1/payments/validate/vpa", look_up_vpa),
                ("GET /v1/payments/{id}", look_up_payment),
            ],
            &RULES,
        )
    },
];

static SIGNING: Signing = Signing {
    secret: WEBHOOK_SECRET,
    sign,
};

/// Razorpay's memory.
#[derive(Default)]
pub(crate) struct Razorpay {
    validations: Recent<Arc<Verification>, CAPACITY>,
    /// By idempotency key, with a digest of the body.
    by_key: Recent<([u8; 32], Arc<Verification>), CAPACITY>,
}

/// Hexadecimal HMAC-SHA256 of the raw body (Razorpay, validate webhooks).
fn sign(secret: &str, body: &str, _: DateTime<Utc>) -> Vec<Header> {
    let mac = hmac_sha256(secret, &[body]);
    vec![("x-razorpay-signature", HEXLOWER.encode(&mac))]
}

/// Makes a refusal: `{"error": {…}}`. Razorpay names a field without its object.
fn refusal((status, reason, description): RefusalRow<'_>, field: Option<&str>) -> Refusal {
    let (code, source) = match status {
        500 => ("SERVER_ERROR", "internal"),
        502 => ("GATEWAY_ERROR", "internal"),
        _ => ("BAD_REQUEST_ERROR", "business"),
    };
    // `step` and `metadata` are about a payment, and there is none.
    let error = json!({
        "code": code, "description": description, "source": source, "step": null,
        "reason": reason, "metadata": {}, "field": field,
    });
    Refusal::new(status, json!({"error": omit_nulls(error, &["field"])}))
}

fn authenticate(call: &Call<'_>) -> Result<(), Refusal> {
    let expected = BASE64.encode(format!("{KEY_ID}:{KEY_SECRET}").as_bytes());
    let sent = call
        .header("authorization")
        .and_then(|value| value.split_once(' '));
    match sent {
        Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") && pair == expected => Ok(()),
        _ => Err(RULES.refuse("CREDENTIALS")),
    }
}

/// `POST /v1/fund_accounts/validations`. Always replies `created`. Drops unless it is penniless; an
/// `optimized` validation drops too, the worst that it can do. A key that was used before has the former
/// reply if the body is the same to the byte, and is refused if not; either way nothing drops.
fn create(memory: &Razorpay, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    // A header that is not ASCII text is outside the key's alphabet, as `?` is.
    let key = call.request.headers().get("x-payout-idempotency");
    let key = key.map(|key| key.to_str().unwrap_or("?"));
    RULES.check("idempotency_key", &json!({KEY: key}))?;
    let digest: [u8; 32] = Sha256::digest(call.body).into();
    if let Some(known) = key.and_then(|key| memory.by_key.get(key)) {
        return repeat(&known, digest);
    }
    let request = RULES.json(call, &["common", "bank", "vpa", "vpa_object"])?;
    let (number, drops, validation) = accept(call, &request)?;
    let id = replies::id("fav", number);
    if let Some(key) = key {
        let keyed = (digest, Arc::clone(&validation));
        // A concurrent call may have used the key first.
        if let Some(first) = memory.by_key.add(key, keyed) {
            return repeat(&first, digest);
        }
    }
    memory.validations.add(&id, Arc::clone(&validation));
    if drops {
        let reference = text(&request, "reference_id").unwrap_or(&id);
        call.record_drop(reference);
    }
    let created = validation.pending();
    call.send_later(&SIGNING, validation.appears_at, move |behaviour| {
        let ended = validation.reply(Instant::now(), behaviour);
        Some(replies::events(number, &ended, &validation.pending()))
    });
    ok(created)
}

/// Replies to a call whose idempotency key is in use.
fn repeat((known, validation): &([u8; 32], Arc<Verification>), digest: [u8; 32]) -> Reply {
    if *known == digest {
        return ok(validation.pending());
    }
    let mut refusal = RULES.refuse("KEY_USED");
    refusal.body["error"]["field"] = KEY.into();
    Err(refusal)
}

/// Returns the validation with its number and whether it drops.
fn accept(call: &Call<'_>, request: &Value) -> Result<(u64, bool, Arc<Verification>), Refusal> {
    RULES.check("common", request)?;
    let is_vpa = field(request, "fund_account.account_type") == "vpa";
    RULES.check(if is_vpa { "vpa" } else { "bank" }, request)?;
    let drops = field(request, "validation_type") != "penniless";
    if drops && call.behaviour.insufficient_balance {
        return Err(RULES.refuse("INSUFFICIENT_FUNDS"));
    }
    let fund_account = at(request, "fund_account");
    let (payee, holder_sent) = if is_vpa {
        (field(fund_account, "vpa.address"), None)
    } else {
        let account = at(fund_account, "bank_account");
        (field(account, "account_number"), text(account, "name"))
    };
    let scenario = call.scenario(payee);
    let (ending, oddity) = outcomes::of(scenario, is_vpa).map_err(|name| RULES.refuse(name))?;
    // A contact must have a name, which may be any, so it is not the account holder's.
    let holder = match oddity {
        Oddity::EmptyName => Some(String::new()),
        _ => scenario.holder(payee, holder_sent),
    };
    let number = call.sandbox.next_number();
    let validation = replies::Validation {
        number,
        request,
        is_vpa,
        name: holder_sent.or(text(fund_account, "contact.name")),
        holder: holder.filter(|_| ending.is_valid()),
        ending,
        oddity,
        drops,
    };
    let (created, ended) = (validation.created(), validation.ended());
    let code = Some(validation.code_pointer());
    let timing = (scenario.timing, call.behaviour.pending());
    let verification = Verification::new(call, timing, &created, &ended, code);
    Ok((number, drops, verification))
}

/// `GET /v1/fund_accounts/validations/{id}`.
fn look_up(memory: &Razorpay, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let found = memory.validations.get(call.id());
    let validation = found.ok_or_else(|| RULES.refuse("UNKNOWN_ID"))?;
    validation.respond(call)
}

/// `GET /v1/payments/{id}`: the sandbox has no payments.
fn look_up_payment(_: &Razorpay, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    Err(RULES.refuse("UNKNOWN_ID"))
}

/// `POST /v1/payments/validate/vpa`. No money moves, so the ledger records nothing. A final outcome says
/// whether the VPA exists; another outcome is Razorpay's GATEWAY_ERROR.
fn look_up_vpa(_: &Razorpay, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let request = RULES.json(call, &["vpa_lookup"])?;
    RULES.check("vpa_lookup", &request)?;
    let vpa = field(&request, "vpa");
    let scenario = call.scenario(vpa);
    let (ending, _) = outcomes::of(scenario, true).map_err(|name| RULES.refuse(name))?;
    if let Ending::Failed(reason) = ending
        && !is_final(reason)
    {
        return Err(RULES.refuse("GATEWAY_ERROR"));
    }
    let valid = ending.is_valid();
    let holder = scenario.holder(vpa, None).filter(|_| valid);
    let reply = json!({"vpa": vpa, "success": valid, "customer_name": holder});
    ok(omit_nulls(reply, &["customer_name"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the field of the refusal; "" if the request is accepted.
    fn refused(table: &str, pointer: &str, value: Value) -> String {
        let mut request = json!({
            "X-Payout-Idempotency": "abcd", "validation_type": "pennydrop",
            "fund_account": {
                "bank_account": {
                    "account_number": "12345", "ifsc": "HDFC0000001", "name": "Asha Rao",
                },
                "vpa": {"address": "a@b"},
            },
        });
        if let Some(member) = request.pointer_mut(pointer) {
            *member = value;
        }
        let breach = RULES.check(table, &request).err();
        let field = breach.map(|refusal| refusal.body["error"]["field"].clone());
        field.map_or_else(String::new, |field| {
            field.as_str().unwrap_or("?").to_owned()
        })
    }

    #[test]
    fn each_field_keeps_its_limits() {
        const NUMBER: &str = "/fund_account/bank_account/account_number";
        const IFSC: &str = "/fund_account/bank_account/ifsc";
        const NAME: &str = "/fund_account/bank_account/name";
        const ADDRESS: &str = "/fund_account/vpa/address";
        const KEY: &str = "/X-Payout-Idempotency";
        const TYPE: &str = "/validation_type";
        let long_vpa = format!("{}@upi", "a".repeat(97));
        for (table, pointer, value, field) in [
            ("bank", NUMBER, json!("AbC12"), ""),
            ("bank", NUMBER, json!("9".repeat(35)), ""),
            ("bank", NUMBER, json!("1234"), "account_number"),
            ("bank", NUMBER, json!("1234-5"), "account_number"),
            ("bank", NUMBER, json!(""), "account_number"),
            ("bank", NUMBER, json!("9".repeat(36)), "account_number"),
            ("bank", IFSC, json!("HDFC1000001"), "ifsc"),
            ("bank", IFSC, json!("hdfc0000001"), "ifsc"),
            ("bank", NAME, Value::Null, ""),
            ("bank", NAME, json!("ab"), "name"),
            ("bank", NAME, json!("a".repeat(121)), "name"),
            (
                "bank",
                "/fund_account/bank_account",
                Value::Null,
                "bank_account",
            ),
            ("vpa", ADDRESS, json!("asha.rao-1_2@okhdfcbank"), ""),
            ("vpa", ADDRESS, Value::Null, "address"),
            ("vpa", ADDRESS, json!("a@"), "address"),
            ("vpa", ADDRESS, json!("asha"), "address"),
            ("vpa", ADDRESS, json!("a@b@c"), "address"),
            ("vpa", ADDRESS, json!("a b@upi"), "address"),
            ("vpa", ADDRESS, json!(long_vpa), "address"),
            ("vpa", TYPE, Value::Null, ""),
            ("vpa", TYPE, json!("pennydrop"), ""),
            ("vpa", TYPE, json!("penniless"), "validation_type"),
            ("bank", TYPE, json!("penniless"), ""),
            ("bank", TYPE, json!("optimized"), ""),
            ("bank", TYPE, json!("guess"), "validation_type"),
            ("idempotency_key", KEY, json!("a b_c-9"), ""),
            ("idempotency_key", KEY, json!("k".repeat(36)), ""),
            ("idempotency_key", KEY, json!("abc"), "X-Payout-Idempotency"),
            ("idempotency_key", KEY, json!(""), "X-Payout-Idempotency"),
            (
                "idempotency_key",
                KEY,
                json!("ab/cd"),
                "X-Payout-Idempotency",
            ),
            (
                "idempotency_key",
                KEY,
                json!("ключ"),
                "X-Payout-Idempotency",
            ),
            (
                "idempotency_key",
                KEY,
                json!("k".repeat(37)),
                "X-Payout-Idempotency",
            ),
        ] {
            let label = format!("{pointer}: {value}");
            assert_eq!(refused(table, pointer, value), field, "{label}");
        }
    }
}
