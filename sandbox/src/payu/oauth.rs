//! The token endpoint: a bearer token for a client's id and secret (RFC 6749, section 4.4).

use std::time::Instant;

use chrono::Utc;

use crate::Sandbox;
use crate::payu::refusal::Refusal;
use crate::payu::wire::{TokenAnswer, TokenRequest};
use crate::payu::{CLIENT_ID, CLIENT_SECRET, SHORT_LIFE, SHORT_LIVED_CLIENT_ID, TOKEN_LIFE};

/// The scope of payouts.
const SCOPE: &str = "create_payout_transactions";

/// `POST /oauth/token`.
pub(super) fn give_token(
    sandbox: &Sandbox,
    request: &TokenRequest,
) -> Result<TokenAnswer, Refusal> {
    match request.grant_type.as_deref() {
        Some("client_credentials") => {}
        Some(_) => return Err(Refusal::GRANT_TYPE),
        None => return Err(Refusal::REQUEST),
    }
    let life = match request.client_id.as_deref() {
        Some(CLIENT_ID) => TOKEN_LIFE,
        Some(SHORT_LIVED_CLIENT_ID) => SHORT_LIFE,
        _ => return Err(Refusal::CLIENT),
    };
    if request.client_secret.as_deref() != Some(CLIENT_SECRET) {
        return Err(Refusal::CLIENT);
    }
    if request.scope.as_deref() != Some(SCOPE) {
        return Err(Refusal::SCOPE);
    }
    Ok(TokenAnswer {
        access_token: sandbox.payu.tokens.give(Instant::now(), life),
        token_type: "Bearer",
        expires_in: life.as_secs(),
        scope: SCOPE,
        created_at: Utc::now().timestamp(),
    })
}
