//! PayU as its public contract describes it, under `/payu`: the token endpoint, verification of a bank
//! account by penny drop and its status (payouts), and the lookup of a VPA (web service). At PayU the
//! three are on different hosts.
//!
//! Payouts know one merchant, [`PAYOUT_MERCHANT_ID`], with two clients that share [`CLIENT_SECRET`]: the
//! tokens of [`CLIENT_ID`] last as long as in the published samples, the tokens of
//! [`SHORT_LIVED_CLIENT_ID`] one second, so that a test can see a token expire. The web service knows one
//! merchant, with [`KEY`] and [`SALT`].
//!
//! PayU's page says that `merchantRefId` is there "to identify the status" and that a duplicate is
//! refused; it does not say how the outcome of a pending verification is found. Two ways are inferred
//! here: the status call finds the rupee's transfer, and a verification that was pending may be sent again
//! with the same account, which returns its current state without another drop.

mod outcomes;
mod replies;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::HttpResponse;
use chrono::Utc;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use crate::body::{field, filled, text};
use crate::gateway::Gateway;
use crate::ids::bank_reference;
use crate::ledger::account_reference;
use crate::payu::replies::Transfer;
use crate::profile::{Call, GatewayProfile, Refusal, Reply, Rulebook, ok};
use crate::recent::{Recent, Tokens};
use crate::rules::{RefusalRow, is_true};
use crate::verification::Verification;

pub use crate::payu::replies::{CLIENT_ID, PAYOUT_MERCHANT_ID};

/// A second `client_id` that is accepted, whose tokens last one second.
pub const SHORT_LIVED_CLIENT_ID: &str = "payu_sandbox_short_lived_client";
/// The `client_secret` of both clients.
pub const CLIENT_SECRET: &str = "payu_sandbox_secret";
/// The merchant's key at the web service.
pub const KEY: &str = "payu_sandbox_key";
/// The merchant's salt at the web service.
pub const SALT: &str = "payu_sandbox_salt";

/// The id of the first transfer; each further one has the next.
const FIRST_TRANSFER: u64 = 71_870;
const TOKEN_LIFE: Duration = Duration::from_secs(7_199);
const SHORT_LIFE: Duration = Duration::from_secs(1);

/// Number of verifications that are kept; beyond it the oldest are dropped.
const CAPACITY: usize = 200_000;

static RULES: Rulebook = Rulebook::new(include_str!("payu/rules.txt"), payout_refusal);

static OAUTH: Rulebook = Rulebook::new(include_str!("payu/oauth_rules.txt"), oauth_refusal);

static SERVICE: Rulebook = Rulebook::new(include_str!("payu/service_rules.txt"), service_refusal);

/// Payouts with their token endpoint, and the web service. Neither sends events about a verification.
pub(crate) static PROFILES: [GatewayProfile<Payu>; 2] = [
    GatewayProfile::new(
        Gateway("PAYU"),
        "/payu",
        &[
            ("POST /oauth/token", issue_token),
            ("POST /payout/payment/verifyAccount", verify_account),
            ("POST /payout/payment/listTransactions", list_transactions),
            ("GET /payout/merchant/getAccountDetail", account_detail),
        ],
        &RULES,
    ),
    GatewayProfile::new(
        Gateway("PAYU"),
        "/payu",
        &[("POST /merchant/postservice.php", web_service)],
        &SERVICE,
    ),
];

/// PayU's memory.
#[derive(Default)]
pub(crate) struct Payu {
    tokens: Tokens,
    /// By `merchantRefId`.
    verifications: Recent<Arc<Verification>, CAPACITY>,
    /// Number of transfers.
    transfers: AtomicU64,
}

/// Makes a refusal of payouts.
fn payout_refusal((status, code, msg): RefusalRow<'_>, _: Option<&str>) -> Refusal {
    let code = code.parse::<u32>().ok();
    let body = json!({"status": 1, "msg": msg, "code": code, "data": null});
    Refusal::new(status, body)
}

/// Makes a refusal with an OAuth error (RFC 6749, section 5.2).
fn oauth_refusal((status, error, description): RefusalRow<'_>, _: Option<&str>) -> Refusal {
    Refusal::new(
        status,
        json!({"error": error, "error_description": description}),
    )
}

/// Makes a refusal of the web service.
fn service_refusal((status, _, msg): RefusalRow<'_>, _: Option<&str>) -> Refusal {
    Refusal::new(status, json!({"status": 0, "msg": msg}))
}

/// Checks the bearer token and the merchant that it is for.
fn authenticate(memory: &Payu, call: &Call<'_>) -> Result<(), Refusal> {
    let token = call
        .header("authorization")
        .and_then(|sent| sent.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token);
    if !token.is_some_and(|token| memory.tokens.is_valid(token, call.now)) {
        return Err(OAUTH.refuse("TOKEN"));
    }
    if call.header("payoutMerchantId") == Some(PAYOUT_MERCHANT_ID) {
        Ok(())
    } else {
        Err(RULES.refuse("MERCHANT"))
    }
}

/// `POST /oauth/token`: a bearer token for a client's id and secret (RFC 6749, section 4.4).
fn issue_token(memory: &Payu, call: &Call<'_>) -> Reply {
    let form = OAUTH.form(call, &["token"])?;
    OAUTH.check("token", &form)?;
    let life = match text(&form, "client_id") {
        Some(CLIENT_ID) => TOKEN_LIFE,
        Some(SHORT_LIVED_CLIENT_ID) => SHORT_LIFE,
        _ => return Err(OAUTH.refuse("CLIENT")),
    };
    if field(&form, "client_secret") != CLIENT_SECRET {
        return Err(OAUTH.refuse("CLIENT"));
    }
    OAUTH.check("scope", &form)?;
    ok(json!({
        "access_token": memory.tokens.issue(call.now, life),
        "token_type": "Bearer",
        "expires_in": life.as_secs(),
        "scope": form["scope"],
        // Seconds in the published samples, although the page says milliseconds.
        "created_at": Utc::now().timestamp(),
    }))
}

/// `POST /payout/payment/verifyAccount`, "Verify Account" or "Penny Test". Drops, unless the call repeats a
/// pending verification.
fn verify_account(memory: &Payu, call: &Call<'_>) -> Reply {
    authenticate(memory, call)?;
    let form = RULES.form(call, &["account"])?;
    RULES.check("account", &form)?;
    let (reference, account) = (field(&form, "merchantRefId"), field(&form, "accountNumber"));
    let digest = account_reference(account, field(&form, "ifscCode"));
    if let Some(known) = memory.verifications.get(reference) {
        return repeat(&known, &digest, call);
    }
    if call.behaviour.insufficient_balance {
        return Err(RULES.refuse("BALANCE"));
    }
    let scenario = call.scenario(account);
    let outcome = outcomes::of_account(scenario.outcome, is_true(&form, "validateIfsc"))
        .map_err(|name| RULES.refuse(name))?;
    let name = filled(&form, "beneName");
    let transfer = Transfer {
        id: memory.transfers.fetch_add(1, Ordering::Relaxed) + FIRST_TRANSFER,
        form: &form,
        account: &digest,
        bank_reference: bank_reference(),
        ordered_at: Utc::now(),
        name_sent: name.unwrap_or_default(),
        holder: scenario.holder(account, name).unwrap_or_default(),
    };
    let (pending, settled) = (transfer.kept(None), transfer.kept(Some(outcome)));
    let timing = (scenario.timing, call.behaviour.pending());
    let code = Some("/reply/data/accountExists");
    let verification = Verification::new(call, timing, &pending, &settled, code);
    let first = memory
        .verifications
        .add(reference, Arc::clone(&verification));
    // A concurrent call may have used the reference first.
    if let Some(known) = first {
        return repeat(&known, &digest, call);
    }
    call.record_drop(reference);
    ok(verification.reply(call.now, call.behaviour)["reply"].take())
}

/// Replies to a call whose reference is in use.
fn repeat(known: &Verification, digest: &str, call: &Call<'_>) -> Reply {
    let mut kept = known.reply(call.now, call.behaviour);
    if known.was_pending() && kept["account"] == digest {
        ok(kept["reply"].take())
    } else {
        Err(RULES.refuse("DUPLICATE_MERCHANT_REF_ID"))
    }
}

/// `POST /payout/payment/listTransactions`, "Check Transfer Status". Finds by `merchantRefId` only; without
/// one, or with an unknown one, the list is empty, which PayU says means pending.
fn list_transactions(memory: &Payu, call: &Call<'_>) -> Reply {
    authenticate(memory, call)?;
    let form = RULES.form(call, &["status"])?;
    let reference = text(&form, "merchantRefId");
    let found = reference.and_then(|reference| memory.verifications.get(reference));
    let transfers: Vec<Value> = found
        .iter()
        .map(|found| found.reply(call.now, call.behaviour)["transfer"].take())
        .collect();
    ok(replies::transfers(&transfers))
}

/// `GET /payout/merchant/getAccountDetail`, "Get Account Details".
fn account_detail(memory: &Payu, call: &Call<'_>) -> Reply {
    authenticate(memory, call)?;
    ok(replies::merchant_account(
        call.behaviour.insufficient_balance,
    ))
}

/// `POST /merchant/postservice.php?form=2`: one address for all commands, each call signed. Without
/// `form=2` PayU replies in PHP's own serialisation; here the reply is text, which is no JSON either.
fn web_service(_: &Payu, call: &Call<'_>) -> Reply {
    if call.request.query_string() != "form=2" {
        return Ok(HttpResponse::Ok().body("form=2 is needed for an answer in JSON"));
    }
    let form = SERVICE.form(call, &["command"])?;
    SERVICE.check("command", &form)?;
    let (key, command) = (field(&form, "key"), field(&form, "command"));
    let (var1, hash) = (field(&form, "var1"), field(&form, "hash"));
    if key != KEY || hash != signature(command, var1) {
        return Err(SERVICE.refuse("HASH"));
    }
    match command {
        "validateVPA" => look_up_vpa(call, var1),
        "verify_payment" => ok(replies::unknown_payments(var1)),
        _ => Err(SERVICE.refuse("COMMAND")),
    }
}

/// sha512(key|command|var1|salt), in small hexadecimal digits (PayU, "Hash Generation").
fn signature(command: &str, var1: &str) -> String {
    HEXLOWER.encode(&Sha512::digest(format!("{KEY}|{command}|{var1}|{SALT}")))
}

/// The command validateVPA. No money moves, so the ledger records nothing.
fn look_up_vpa(call: &Call<'_>, vpa: &str) -> Reply {
    let scenario = call.scenario(vpa);
    let holder = outcomes::of_vpa(vpa, scenario).map_err(|name| SERVICE.refuse(name))?;
    ok(replies::vpa(vpa, holder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_its_code() {
        let long = "a".repeat(41);
        for (changes, code) in [
            (json!({}), ""),
            (json!({"merchantRefId": null}), "1001"),
            (json!({"merchantRefId": long}), "1001"),
            (json!({"accountNumber": null}), "1004"),
            (json!({"accountNumber": "12-34"}), "1004"),
            (json!({"ifscCode": null}), "1005"),
            (json!({"ifscCode": "HDFC1001098"}), "1022"),
            // The IFSC is not checked unless the caller demands it.
            (
                json!({"ifscCode": "HDFC1001098", "validateIfsc": "false"}),
                "",
            ),
            (json!({"beneName": null}), "1007"),
            (json!({"beneName": null, "nameMatching": null}), ""),
            (json!({"purpose": null}), "1010"),
        ] {
            let mut form = json!({
                "accountNumber": "51234567890", "ifscCode": "HDFC0001098",
                "merchantRefId": "987668124234235", "validateIfsc": "true",
                "beneName": "Asha Rao", "nameMatching": "true", "purpose": "Test",
            });
            if let (Value::Object(form), Value::Object(changes)) = (&mut form, changes.clone()) {
                form.extend(changes);
            }
            let breach = RULES.check("account", &form).err();
            let found = breach.map(|refusal| refusal.body["code"].to_string());
            assert_eq!(found.unwrap_or_default(), code, "{changes}");
        }
    }
}
