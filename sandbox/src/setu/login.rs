//! Setu's account service: a bearer token for a client's id and secret (Setu, UMAP "API integration guide"). What it
//! answers beside `access_token`, and how it refuses, is not documented.

use std::time::Instant;

use crate::Sandbox;
use crate::setu::refusal::UmapRefusal;
use crate::setu::wire::{TokenAnswer, TokenRequest};
use crate::setu::{TOKEN_LIFE, UMAP_CLIENT_ID, UMAP_CLIENT_SECRET};

/// `POST /v1/users/login`, with the header `client`.
pub(super) fn give_token(
    sandbox: &Sandbox,
    client: Option<&str>,
    request: &TokenRequest,
) -> Result<TokenAnswer, UmapRefusal> {
    if client != Some("bridge") {
        return Err(UmapRefusal::bad_request("client must be bridge"));
    }
    if request.grant_type.as_deref() != Some("client_credentials") {
        return Err(UmapRefusal::bad_request(
            "grant_type must be client_credentials",
        ));
    }
    let sent = (request.client_id.as_deref(), request.secret.as_deref());
    if sent != (Some(UMAP_CLIENT_ID), Some(UMAP_CLIENT_SECRET)) {
        return Err(UmapRefusal::credentials());
    }
    Ok(TokenAnswer {
        access_token: sandbox.setu.tokens.give(Instant::now(), TOKEN_LIFE),
        expires_in: TOKEN_LIFE.as_secs(),
        token_type: "Bearer",
    })
}
