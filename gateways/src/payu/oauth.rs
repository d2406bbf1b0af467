//! Tokens for calls of PayU Payouts.

use std::time::{Duration, Instant};

use khata_domain::{Class, GatewayResponse};
use zeroize::Zeroizing;

use super::wire::{TokenError, TokenReply};
use crate::http::{Client, Reply};
use crate::meaning::Meaning;
use crate::token::{NoReply, Token, TokenSource, bearer, not_fetched};

const ROUTE: &str = "/oauth/token";
const SCOPE: &str = "create_payout_transactions";
/// The last part of a token's life, left for the call itself and for clocks that differ.
const MARGIN: Duration = Duration::from_mins(1);
/// Upper bound of a token's life; PayU's tokens live about two hours.
const MAX_LIFE: Duration = Duration::from_hours(24);

/// Fetches tokens with the merchant's client credentials.
pub(super) struct OAuth {
    pub(super) client: Client,
    pub(super) client_id: Zeroizing<String>,
    pub(super) client_secret: Zeroizing<String>,
}

impl TokenSource for OAuth {
    async fn fetch(&self, within: Duration) -> Result<Token, NoReply> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("scope", SCOPE),
        ];
        let request = self.client.post(ROUTE).timeout(within).form(&form);
        let asked_at = Instant::now();
        let reply = self.client.send(request, ROUTE).await;
        let reply = reply.map_err(not_fetched)?;
        if reply.status != 200 {
            return Err(error_response(&reply));
        }
        let reply: TokenReply = reply.json().map_err(not_fetched)?;
        let life = Duration::from_secs(reply.expires_in).min(MAX_LIFE);
        Ok(Token {
            authorization: bearer(&reply.access_token)
                .ok_or_else(|| not_fetched("malformed token"))?,
            expires_at: asked_at + life.saturating_sub(MARGIN),
        })
    }
}

fn error_response(reply: &Reply) -> NoReply {
    let class = match reply.status {
        // RFC 6749: 400 for every error of the client but its authentication.
        400 | 401 | 403 | 404 => Class::Misconfigured,
        429 => Class::Retryable,
        status => return not_fetched(format!("failed with status {status}")),
    };
    let error = reply.json::<TokenError>().unwrap_or_default().error;
    let code = if error.is_empty() {
        format!("token_http_{}", reply.status)
    } else {
        error
    };
    NoReply::NoToken(GatewayResponse {
        retry_after: reply.retry_after().filter(|_| class == Class::Retryable),
        ..Meaning::of(class).response(&code)
    })
}
