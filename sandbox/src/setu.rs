//! Setu as its public contract describes it (docs.setu.co and its OpenAPI documents): bank account
//! verification by penny drop (sync, async, status) and penniless under `/setu`, and UMAP's verification of a VPA under
//! `/setu/umap`, with the login of the account service.
//!
//! The data gateway knows one caller, [`CLIENT_ID`] with [`CLIENT_SECRET`] and [`PRODUCT_INSTANCE_ID`].
//! UMAP knows one, [`MERCHANT_ID`], with [`UMAP_TOKEN`], which never expires, or a token of the account
//! service, which [`UMAP_CLIENT_ID`] and [`UMAP_CLIENT_SECRET`] get and which lasts five minutes.
//!
//! No call about a bank account has the caller's reference or is idempotent: every accepted call drops.

mod ids;
mod outcomes;
mod replies;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::BASE64;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::body::{field, omit_nulls};
use crate::gateway::Gateway;
use crate::ids::hmac_sha256;
use crate::ledger::account_reference;
use crate::profile::{Call, GatewayProfile, Refusal, Reply, Rulebook, ok};
use crate::recent::{Recent, Tokens};
use crate::rules::RefusalRow;
use crate::verification::Verification;
use crate::webhooks::{Events, Header, Signing};

/// The `x-client-id` that is accepted.
pub const CLIENT_ID: &str = "setu-sandbox-client";
/// The `x-client-secret` that is accepted.
pub const CLIENT_SECRET: &str = "setu-sandbox-secret";
/// The `x-product-instance-id` that is accepted.
pub const PRODUCT_INSTANCE_ID: &str = "setu-sandbox-product-instance";
/// The client id that gets tokens for UMAP.
pub const UMAP_CLIENT_ID: &str = "setu-sandbox-umap-client";
/// The secret of [`UMAP_CLIENT_ID`].
pub const UMAP_CLIENT_SECRET: &str = "setu-sandbox-umap-secret";
/// The bearer token that UMAP always accepts.
pub const UMAP_TOKEN: &str = "setu-sandbox-umap-token";
/// The `merchantId` that UMAP accepts.
pub const MERCHANT_ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
/// The secret that signs UMAP's webhooks unless another is set.
pub const WEBHOOK_SECRET: &str = "SetuSandboxWebhookSecret01";
/// Life of a token (Setu, "API integration guide").
const TOKEN_LIFE: Duration = Duration::from_mins(5);

/// Number of verifications of each kind that are kept for lookups; beyond it the oldest are dropped.
const CAPACITY: usize = 200_000;

static RULES: Rulebook = Rulebook::new(include_str!("setu/rules.txt"), refusal);

static UMAP: Rulebook = Rulebook::new(include_str!("setu/umap_rules.txt"), umap_refusal);

/// The data gateway for bank accounts, and UMAP for VPAs.
pub(crate) static PROFILES: [GatewayProfile<Setu>; 2] = [
    GatewayProfile::new(
        Gateway("SETU"),
        "/setu",
        &[
            ("POST /api/verify/ban", verify_bank),
            ("POST /api/verify/ban/async", receive_bank),
            ("GET /api/verify/ban/async/{id}", look_up_bank),
            ("POST /api/verify/ban/pennyless", check_bank),
        ],
        &RULES,
    ),
    GatewayProfile::new(
        Gateway("SETU"),
        "/setu",
        &[
            (
                "POST /umap/api/v1/merchants/customer-vpas/verify",
                verify_vpa,
            ),
            (
                "GET /umap/api/v1/merchants/customer-vpas/verify/{id}",
                look_up_vpa,
            ),
            ("POST /umap/v1/users/login", log_in),
        ],
        &UMAP,
    ),
];

/// No signature is documented for the notification of a bank verification.
static BANK_SIGNING: Signing = Signing {
    secret: WEBHOOK_SECRET,
    sign: |_, _, _| Vec::new(),
};

static UMAP_SIGNING: Signing = Signing {
    secret: WEBHOOK_SECRET,
    sign: sign_umap,
};

/// Setu's memory, by the ids that it gave.
#[derive(Default)]
pub(crate) struct Setu {
    banks: Recent<Arc<Verification>, CAPACITY>,
    vpas: Recent<Arc<Verification>, CAPACITY>,
    tokens: Tokens,
}

/// base64(HMAC-SHA256(raw body, secret)) (Setu, "Verify signature").
fn sign_umap(secret: &str, body: &str, _: DateTime<Utc>) -> Vec<Header> {
    let mac = hmac_sha256(secret, &[body]);
    vec![("x-setu-signature", BASE64.encode(&mac))]
}

/// Makes a refusal of the data gateway.
fn refusal((status, code, detail): RefusalRow<'_>, _: Option<&str>) -> Refusal {
    let error = json!({"code": code, "detail": detail, "traceId": ids::trace_id()});
    Refusal::new(status, json!({"error": error}))
}

/// Makes a refusal of UMAP.
fn umap_refusal((status, code, detail): RefusalRow<'_>, _: Option<&str>) -> Refusal {
    Refusal {
        status,
        header: Some(("requestId", ids::ulid())),
        body: json!({"code": code, "detail": detail, "docUrl": ""}),
    }
}

fn authenticate(call: &Call<'_>) -> Result<(), Refusal> {
    let known = call.has_headers(&[
        ("x-client-id", CLIENT_ID),
        ("x-client-secret", CLIENT_SECRET),
        ("x-product-instance-id", PRODUCT_INSTANCE_ID),
    ]);
    known
        .then_some(())
        .ok_or_else(|| RULES.refuse("CREDENTIALS"))
}

fn authenticate_umap(memory: &Setu, call: &Call<'_>) -> Result<(), Refusal> {
    let token = call.header("authorization");
    let token = token.and_then(|sent| sent.strip_prefix("Bearer "));
    let is_valid = |token: &str| token == UMAP_TOKEN || memory.tokens.is_valid(token, call.now);
    if token.is_some_and(is_valid) && call.header("merchantId") == Some(MERCHANT_ID) {
        Ok(())
    } else {
        Err(UMAP.refuse("FORBIDDEN"))
    }
}

/// `POST /api/verify/ban`. Drops, and replies with the outcome unless the account is pending at first; a
/// pending verification can be looked up like an async one.
fn verify_bank(memory: &Setu, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let bank = verify(
        memory,
        call,
        &RULES.json(call, &["narration", "bank"])?,
        Duration::ZERO,
    )?;
    reply(&bank, call)
}

/// `POST /api/verify/ban/async`. Drops, replies with a receipt, and sends an event when the outcome
/// appears. An outcome that is an HTTP 500 has no event.
fn receive_bank(memory: &Setu, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let request = RULES.json(call, &["narration", "bank"])?;
    RULES.check("narration", &request)?;
    let bank = verify(memory, call, &request, call.behaviour.pending())?;
    let receipt = json!({"id": bank.pending()["id"]});
    let behaviour = call.behaviour;
    call.send_later(&BANK_SIGNING, bank.appears_at, move |_| {
        replies::bank_events(bank.reply(Instant::now(), behaviour), bank.pending())
    });
    ok(receipt)
}

/// `POST /api/verify/ban/pennyless`: replies with the outcome at once, and drops nothing. Setu took the page of this call off its
/// site in May 2025.
fn check_bank(_: &Setu, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let request = RULES.json(call, &["bank"])?;
    RULES.check("bank", &request)?;
    if call.behaviour.insufficient_balance {
        return Err(RULES.refuse("INSUFFICIENT_BALANCE"));
    }
    let (account, ifsc) = (field(&request, "accountNumber"), field(&request, "ifsc"));
    let scenario = call.scenario(account);
    let outcome = outcomes::of_penniless(account, scenario);
    let outcome = outcome.ok_or_else(|| RULES.refuse("UPSTREAM"))?;
    let holder = scenario.holder(account, None).unwrap_or_default();
    let unknown = call.behaviour.unknown_code;
    ok(replies::penniless(
        (account, ifsc),
        outcome,
        &holder,
        unknown,
    ))
}

/// `GET /api/verify/ban/async/{id}`.
fn look_up_bank(memory: &Setu, call: &Call<'_>) -> Reply {
    authenticate(call)?;
    let found = memory.banks.get(call.id());
    let bank = found.ok_or_else(|| RULES.refuse("UNKNOWN"))?;
    reply(&bank, call)
}

fn reply(bank: &Verification, call: &Call<'_>) -> Reply {
    let mut reply = bank.reply(call.now, call.behaviour);
    if replies::is_upstream_error(&reply) {
        let mut upstream = RULES.refuse("UPSTREAM");
        upstream.body["id"] = reply["id"].clone();
        return Err(upstream);
    }
    reply["traceId"] = ids::trace_id().into();
    ok(reply)
}

fn verify(
    memory: &Setu,
    call: &Call<'_>,
    request: &Value,
    delay: Duration,
) -> Result<Arc<Verification>, Refusal> {
    RULES.check("bank", request)?;
    if call.behaviour.insufficient_balance {
        return Err(RULES.refuse("INSUFFICIENT_BALANCE"));
    }
    let (account, ifsc) = (field(request, "accountNumber"), field(request, "ifsc"));
    let scenario = call.scenario(account);
    let (outcome, timing) = outcomes::of_account(account, ifsc, scenario);
    let id = Uuid::new_v4().to_string();
    let pending = json!({"id": id, "verification": "pending"});
    let after = timing.after(delay, call.sandbox.published_pending);
    let appears_at = Utc::now() + after.unwrap_or_default();
    let holder = scenario.holder(account, None).unwrap_or_default();
    let settled = replies::bank(&id, outcome, &holder, appears_at);
    let bank = Verification::new(call, (timing, delay), &pending, &settled, Some("/code"));
    memory.banks.add(&id, Arc::clone(&bank));
    call.record_drop(&account_reference(account, ifsc));
    Ok(bank)
}

/// Replies 200 with UMAP's `requestId` header.
#[allow(clippy::unnecessary_wraps)] // The last expression of a handler.
fn umap_ok(body: Value) -> Reply {
    Ok(HttpResponse::Ok()
        .insert_header(("requestId", ids::ulid()))
        .json(body))
}

/// `POST /umap/api/v1/merchants/customer-vpas/verify`. Looks the VPA up: no money moves, so the ledger
/// records nothing. Replies `pending`, as published, and sends an event when the outcome appears. Setu
/// documents nothing of a reference that was used before; it is accepted.
fn verify_vpa(memory: &Setu, call: &Call<'_>) -> Reply {
    authenticate_umap(memory, call)?;
    let request = UMAP.json(call, &["vpa"])?;
    UMAP.check("vpa", &request)?;
    let vpa = field(&request, "customerVpa");
    let scenario = call.scenario(vpa);
    let (status, timing) = outcomes::of_vpa(scenario);
    let id = ids::ulid();
    let pending = json!({
        "createdAt": ids::india(Utc::now(), SecondsFormat::Secs), "customerVpa": vpa,
        "id": id, "merchantId": MERCHANT_ID, "status": "pending",
        "merchantReferenceId": request["merchantReferenceId"], "referenceId": request["referenceId"],
    });
    let pending = omit_nulls(pending, &["merchantReferenceId", "referenceId"]);
    let settled = replies::settled_vpa(&pending, status, scenario.holder(vpa, None));
    let timing = (timing, call.behaviour.pending());
    let verification = Verification::new(call, timing, &pending, &settled, None);
    memory.vpas.add(&id, Arc::clone(&verification));
    let behaviour = call.behaviour;
    call.send_later(&UMAP_SIGNING, verification.appears_at, move |_| {
        Some(Events {
            outcome: replies::vpa_event(verification.reply(Instant::now(), behaviour)),
            older: replies::vpa_event(verification.pending()),
        })
    });
    umap_ok(pending)
}

/// `GET /umap/api/v1/merchants/customer-vpas/verify/{id}`.
fn look_up_vpa(memory: &Setu, call: &Call<'_>) -> Reply {
    authenticate_umap(memory, call)?;
    let found = memory.vpas.get(call.id());
    let verification = found.ok_or_else(|| UMAP.refuse("NOT_FOUND"))?;
    umap_ok(verification.reply(call.now, call.behaviour))
}

/// `POST /umap/v1/users/login`: a bearer token for a client's id and secret (Setu, UMAP "API integration
/// guide"). The reply besides `access_token`, and the refusals, are not documented.
fn log_in(memory: &Setu, call: &Call<'_>) -> Reply {
    let request = UMAP.json(call, &["login"])?;
    UMAP.check("client", &json!({"client": call.header("client")}))?;
    UMAP.check("login", &request)?;
    let sent = (field(&request, "clientID"), field(&request, "secret"));
    if sent != (UMAP_CLIENT_ID, UMAP_CLIENT_SECRET) {
        return Err(UMAP.refuse("UNAUTHORIZED"));
    }
    ok(json!({
        "access_token": memory.tokens.issue(call.now, TOKEN_LIFE),
        "expires_in": TOKEN_LIFE.as_secs(),
        "token_type": "Bearer",
    }))
}
