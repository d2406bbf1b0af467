//! Tokens for calls of PayU Payouts.

use std::time::{Duration, Instant};

use khata_domain::{CallFailure, Class, GatewayResponse};
use zeroize::Zeroizing;

use crate::http::{Client, Reply};
use crate::meaning::Meaning;
use crate::token::{Token, TokenSource, WithToken, bearer, not_fetched};

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
    async fn fetch(&self, within: Duration) -> WithToken<Token> {
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
            return refusal(&reply).map(Err);
        }
        let body = reply.body().map_err(not_fetched)?;
        let fields = body.fields();
        // Without a life that can be read, the token serves this call only.
        let life = fields
            .id("expires_in")
            .and_then(|seconds| seconds.parse().ok());
        let life = life
            .map_or(Duration::ZERO, Duration::from_secs)
            .min(MAX_LIFE);
        let token = fields.secret("access_token");
        let authorization = token.and_then(|token| bearer(&token));
        Ok(Ok(Token {
            authorization: authorization.ok_or_else(|| not_fetched("malformed token"))?,
            expires_at: asked_at + life.saturating_sub(MARGIN),
        }))
    }
}

fn refusal(reply: &Reply) -> Result<GatewayResponse, CallFailure> {
    let class = match reply.status {
        // RFC 6749: 400 for every error of the client but its authentication.
        400 | 401 | 403 | 404 => Class::Misconfigured,
        429 => Class::Retryable,
        status => return Err(not_fetched(format!("failed with status {status}"))),
    };
    let code = reply.error_body().fields().text("error");
    let code = code.unwrap_or_else(|| format!("token_http_{}", reply.status));
    Ok(GatewayResponse {
        retry_after: reply.retry_after().filter(|_| class == Class::Retryable),
        ..Meaning::of(class).response(&code)
    })
}
