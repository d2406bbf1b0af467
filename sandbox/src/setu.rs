//! Setu as its public contract describes it (docs.setu.co and its OpenAPI documents): bank account
//! verification by penny drop (sync, async, status) under `/setu`, and UMAP's verification of a VPA under
//! `/setu/umap`, with the login of the account service.
//!
//! The data gateway knows one caller, [`CLIENT_ID`] with [`CLIENT_SECRET`] and [`PRODUCT_INSTANCE_ID`].
//! UMAP knows one, [`MERCHANT_ID`], with [`UMAP_TOKEN`], which never expires, or a token of the account
//! service, which [`UMAP_CLIENT_ID`] and [`UMAP_CLIENT_SECRET`] get and which lasts five minutes.
//!
//! No call about a bank account has a reference of the caller's, and none is idempotent: every accepted
//! call drops.

mod ids;
mod outcomes;
mod replies;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::body::{omit_nulls, text};
use crate::gateway::Gateway;
use crate::ids::{bank_reference, hmac_sha256};
use crate::ledger::account_reference;
use crate::profile::{Call, GatewayProfile, Refusal, check, ok};
use crate::recent::Recent;
use crate::setu::replies::{Bank, Vpa};
use crate::setu::rules::{refusal, rule_refusal, umap_refusal, umap_rule_refusal};
use crate::tokens::Tokens;
use crate::webhooks::{Header, Signing};

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

/// The data gateway for bank accounts, and UMAP for VPAs.
pub(crate) static PROFILES: [GatewayProfile<Setu>; 2] = [
    GatewayProfile {
        gateway: Gateway::Setu,
        prefix: "/setu",
        routes: &[
            ("POST /api/verify/ban", verify_bank),
            ("POST /api/verify/ban/async", receive_bank),
            ("GET /api/verify/ban/async/{id}", look_up_bank),
        ],
        refusal,
        failure: rules::INTERNAL,
        too_many_calls: rules::TOO_MANY_CALLS,
        ip_refused: rules::IP,
        skips_ip_list: |_| false,
        add_rate_limit_headers: |_, _| {},
    },
    GatewayProfile {
        gateway: Gateway::Setu,
        prefix: "/setu",
        routes: &[
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
        refusal: umap_refusal,
        failure: rules::UMAP_INTERNAL,
        too_many_calls: rules::UMAP_TOO_MANY_CALLS,
        ip_refused: rules::UMAP_FORBIDDEN,
        skips_ip_list: |_| false,
        add_rate_limit_headers: |_, _| {},
    },
];

/// No signature is documented for the notification of a bank verification.
static BANK_SIGNING: Signing = Signing {
    gateway: Gateway::Setu,
    secret: WEBHOOK_SECRET,
    sign: |_, _, _| Vec::new(),
};

static UMAP_SIGNING: Signing = Signing {
    gateway: Gateway::Setu,
    secret: WEBHOOK_SECRET,
    sign: sign_umap,
};

/// Setu's memory, by the ids that it gave.
pub(crate) struct Setu {
    banks: Recent<Arc<Bank>>,
    vpas: Recent<Arc<Vpa>>,
    tokens: Tokens,
}

impl Setu {
    pub(crate) fn new() -> Self {
        Self {
            banks: Recent::new(CAPACITY),
            vpas: Recent::new(CAPACITY),
            tokens: Tokens::new(),
        }
    }
}

/// base64(HMAC-SHA256(raw body, secret)) (Setu, "Verify signature").
fn sign_umap(secret: &str, body: &str, _: DateTime<Utc>) -> Vec<Header> {
    let mac = hmac_sha256(secret, &[body]);
    vec![("x-setu-signature", BASE64.encode(&mac))]
}

fn authenticate(call: &Call<'_>) -> Result<(), Refusal> {
    let sent =
        ["x-client-id", "x-client-secret", "x-product-instance-id"].map(|name| call.header(name));
    if sent == [CLIENT_ID, CLIENT_SECRET, PRODUCT_INSTANCE_ID].map(Some) {
        Ok(())
    } else {
        Err(refusal(rules::CREDENTIALS))
    }
}

fn authenticate_umap(memory: &Setu, call: &Call<'_>) -> Result<(), Refusal> {
    let token = call.header("authorization");
    let token = token.and_then(|sent| sent.strip_prefix("Bearer "));
    let is_valid = |token: &str| token == UMAP_TOKEN || memory.tokens.is_valid(token, call.now);
    if token.is_some_and(is_valid) && call.header("merchantId") == Some(MERCHANT_ID) {
        Ok(())
    } else {
        Err(umap_refusal(rules::UMAP_FORBIDDEN))
    }
}

/// `POST /api/verify/ban`. Drops, and replies with the outcome unless the account is pending at first; a
/// pending verification can be looked up like an async one.
fn verify_bank(memory: &Setu, call: &Call<'_>) -> Result<HttpResponse, Refusal> {
    authenticate(call)?;
    let request = call.json(&rules::BANK_SHAPE, || refusal(rules::BAD_REQUEST))?;
    let (bank, _) = verify(memory, call, &request, Duration::ZERO)?;
    reply(&bank, call)
}

/// `POST /api/verify/ban/async`. Drops, replies with a receipt, and sends an event when the outcome
/// appears. An outcome that is an HTTP 500 has no event.
fn receive_bank(memory: &Setu, call: &Call<'_>) -> Result<HttpResponse, Refusal> {
    authenticate(call)?;
    let request = call.json(&rules::BANK_SHAPE, || refusal(rules::BAD_REQUEST))?;
    check(rules::NARRATION, &request, rule_refusal)?;
    let (bank, appears_after) = verify(memory, call, &request, call.behaviour.pending())?;
    let receipt = json!({"id": bank.id});
    if let Some(after) = appears_after {
        let webhooks = &call.sandbox.webhooks;
        webhooks.send_later(&BANK_SIGNING, after, move || replies::bank_events(&bank));
    }
    ok(receipt)
}

/// `GET /api/verify/ban/async/{id}`.
fn look_up_bank(memory: &Setu, call: &Call<'_>) -> Result<HttpResponse, Refusal> {
    authenticate(call)?;
    let found = memory.banks.get(call.id());
    let bank = found.ok_or_else(|| refusal(rules::UNKNOWN))?;
    reply(&bank, call)
}

fn reply(bank: &Bank, call: &Call<'_>) -> Result<HttpResponse, Refusal> {
    match replies::bank(bank, call.now, call.behaviour.unknown_code) {
        Some(reply) => ok(reply),
        None => Err(rules::upstream_error(&bank.id)),
    }
}

fn verify(
    memory: &Setu,
    call: &Call<'_>,
    request: &Value,
    pending: Duration,
) -> Result<(Arc<Bank>, Option<Duration>), Refusal> {
    check(rules::BANK, request, rule_refusal)?;
    if call.behaviour.insufficient_balance {
        return Err(refusal(rules::INSUFFICIENT_BALANCE));
    }
    let account = text(request, "accountNumber").unwrap_or_default();
    let ifsc = text(request, "ifsc").unwrap_or_default();
    let scenario = call.sandbox.scenario(Gateway::Setu, account);
    let (outcome, timing) = outcomes::of_account(account, ifsc, scenario);
    let appears_after = call.sandbox.appears_after(timing, pending);
    let bank = Arc::new(Bank {
        id: ids::request_id(),
        outcome,
        holder: scenario.holder(account, None).unwrap_or_default(),
        transaction_reference: bank_reference(),
        appears_at: appears_after.and_then(|after| call.now.checked_add(after)),
        verified_at: Utc::now() + appears_after.unwrap_or_default(),
    });
    memory.banks.add(&bank.id, Arc::clone(&bank));
    let reference = account_reference(account, ifsc);
    call.sandbox.ledger.record(Gateway::Setu, &reference);
    Ok((bank, appears_after))
}

fn umap_bad_request() -> Refusal {
    umap_refusal(rules::UMAP_BAD_REQUEST)
}

/// Replies 200 with UMAP's `requestId` header.
#[allow(clippy::unnecessary_wraps)] // The last expression of a handler.
fn umap_ok(body: Value) -> Result<HttpResponse, Refusal> {
    Ok(HttpResponse::Ok()
        .insert_header(("requestId", ids::ulid()))
        .json(body))
}

/// `POST /umap/api/v1/merchants/customer-vpas/verify`. Looks the VPA up: no money moves, so the ledger
/// records nothing. Replies `pending`, as published, and sends an event when the outcome appears. Setu
/// documents nothing of a reference that was used before; it is accepted.
fn verify_vpa(memory: &Setu, call: &Call<'_>) -> Result<HttpResponse, Refusal> {
    authenticate_umap(memory, call)?;
    let request = call.json(&rules::VPA_SHAPE, umap_bad_request)?;
    check(rules::VPA, &request, umap_rule_refusal)?;
    let vpa = text(&request, "customerVpa").unwrap_or_default();
    let scenario = call.sandbox.scenario(Gateway::Setu, vpa);
    let (status, timing) = outcomes::of_vpa(scenario);
    let appears_after = call.sandbox.appears_after(timing, call.behaviour.pending());
    let id = ids::ulid();
    let pending = json!({
        "createdAt": ids::india(Utc::now(), SecondsFormat::Secs),
        "customerVpa": vpa,
        "id": id,
        "merchantId": MERCHANT_ID,
        "merchantReferenceId": request["merchantReferenceId"],
        "referenceId": request["referenceId"],
        "status": "pending",
    });
    let pending = omit_nulls(pending, &["merchantReferenceId", "referenceId"]);
    let verification = Arc::new(Vpa {
        pending: pending.to_string(),
        status,
        holder: scenario.holder(vpa, None),
        appears_at: appears_after.and_then(|after| call.now.checked_add(after)),
    });
    memory.vpas.add(&id, Arc::clone(&verification));
    if let Some(after) = appears_after {
        let webhooks = &call.sandbox.webhooks;
        webhooks.send_later(&UMAP_SIGNING, after, move || {
            Some(replies::vpa_events(&verification))
        });
    }
    umap_ok(pending)
}

/// `GET /umap/api/v1/merchants/customer-vpas/verify/{id}`.
fn look_up_vpa(memory: &Setu, call: &Call<'_>) -> Result<HttpResponse, Refusal> {
    authenticate_umap(memory, call)?;
    let found = memory.vpas.get(call.id());
    let verification = found.ok_or_else(|| umap_refusal(rules::UMAP_NOT_FOUND))?;
    let appeared = verification.appears_at.is_some_and(|at| call.now >= at);
    umap_ok(if appeared {
        replies::settled_vpa(&verification)
    } else {
        replies::pending_vpa(&verification)
    })
}

/// `POST /umap/v1/users/login`, with the header `client`: a bearer token for a client's id and secret
/// (Setu, UMAP "API integration guide"). The reply besides `access_token`, and the refusals, are not
/// documented.
fn log_in(memory: &Setu, call: &Call<'_>) -> Result<HttpResponse, Refusal> {
    let request = call.json(&rules::LOGIN_SHAPE, umap_bad_request)?;
    let client = json!({"client": call.header("client")});
    check(rules::CLIENT, &client, umap_rule_refusal)?;
    check(rules::GRANT_TYPE, &request, umap_rule_refusal)?;
    let sent = (text(&request, "clientID"), text(&request, "secret"));
    if sent != (Some(UMAP_CLIENT_ID), Some(UMAP_CLIENT_SECRET)) {
        return Err(umap_refusal(rules::UMAP_UNAUTHORIZED));
    }
    ok(json!({
        "access_token": memory.tokens.issue(call.now, TOKEN_LIFE),
        "expires_in": TOKEN_LIFE.as_secs(),
        "token_type": "Bearer",
    }))
}
