//! Tokens for UMAP: fetched from Setu's account service, or given by the merchant.

use std::time::{Duration, Instant};

use khata_domain::{CallFailure, Class};
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use super::response::error_code;
use crate::http::Client;
use crate::meaning::Meaning;
use crate::token::{Token, TokenSource, WithToken, bearer, not_fetched};

const LOGIN: &str = "/v1/users/login";
/// Tokens are valid for 300 s; Setu asks to fetch the next one in the fourth minute.
const LIFE: Duration = Duration::from_mins(4);

/// `POST /v1/users/login`.
#[derive(serde::Serialize)]
struct LoginRequest<'a> {
    #[serde(rename = "clientID")]
    client_id: &'a str,
    secret: &'a str,
    grant_type: &'static str,
}

/// Source of UMAP's tokens.
pub(super) enum UmapToken {
    /// The merchant replaces the token; Khata cannot.
    Given(HeaderValue),
    /// The client's address is the one of the login.
    Login {
        client: Box<Client>,
        client_id: Zeroizing<String>,
        secret: Zeroizing<String>,
    },
}

impl TokenSource for UmapToken {
    fn renews(&self) -> bool {
        matches!(self, Self::Login { .. })
    }

    async fn fetch(&self, within: Duration) -> WithToken<Token> {
        let expires_at = Instant::now() + LIFE;
        let authorization = match self {
            Self::Given(authorization) => Ok(authorization.clone()),
            Self::Login {
                client,
                client_id,
                secret,
            } => log_in(client, client_id, secret, within).await?,
        };
        Ok(authorization.map(|authorization| Token {
            authorization,
            expires_at,
        }))
    }
}

async fn log_in(
    client: &Client,
    client_id: &str,
    secret: &str,
    within: Duration,
) -> WithToken<HeaderValue> {
    let body = LoginRequest {
        client_id,
        secret,
        grant_type: "client_credentials",
    };
    let request = client.post("").header("client", "bridge").timeout(within);
    let reply = client.send(request.json(&body), LOGIN).await;
    let reply = reply.map_err(not_fetched)?;
    match reply.status {
        200 => {}
        429 => {
            let retry_after = reply.retry_after();
            return Err(CallFailure::Rejected { retry_after });
        }
        400..=404 => {
            let code = reply.code_or_status(&error_code(&reply.error_body()));
            let code = format!("login_{code}");
            return Ok(Err(Meaning::of(Class::Misconfigured).response(&code)));
        }
        status => return Err(not_fetched(format!("failed with status {status}"))),
    }
    let body = reply.body().map_err(not_fetched)?;
    let token = body.fields().secret("access_token");
    token
        .and_then(|token| bearer(&token))
        .map(Ok)
        .ok_or_else(|| not_fetched("malformed token"))
}
