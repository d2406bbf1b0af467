//! The token that payout calls carry: fetched once, used until a minute before it expires, and fetched again by one call
//! while the others wait for it.

use std::time::{Duration, Instant};

use khata_domain::{CallFailure, Class, GatewayResponse};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::FORM;
use super::wire::{TokenError, TokenResponse, form};
use crate::http::{Reply, secret_header, send};
use crate::meaning::Meaning;

const ROUTE: &str = "/oauth/token";
const SCOPE: &str = "create_payout_transactions";
/// A token is not used in the last minute of its life: the call takes its time, and clocks differ.
const SPARE: Duration = Duration::from_mins(1);
/// No token is believed to live longer; PayU's live about two hours.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

/// Where tokens come from.
pub(super) struct Tokens {
    http: reqwest::Client,
    url: String,
    client_id: Zeroizing<String>,
    client_secret: Zeroizing<String>,
    current: Mutex<Option<Token>>,
}

struct Token {
    authorization: HeaderValue,
    good_until: Instant,
}

/// Why there is no reply to a payout call.
pub(super) enum NoReply {
    /// It was not made: PayU gave no token for it, and said why.
    NoToken(GatewayResponse),
    /// It was not made, or its answer is lost.
    Silence(CallFailure),
}

impl NoReply {
    /// As the end of the call.
    pub(super) fn end(self) -> Result<GatewayResponse, CallFailure> {
        match self {
            Self::NoToken(answer) => Ok(answer),
            Self::Silence(failure) => Err(failure),
        }
    }
}

impl Tokens {
    pub(super) fn new(
        http: &reqwest::Client,
        accounts_url: &str,
        client_id: Zeroizing<String>,
        client_secret: Zeroizing<String>,
    ) -> Self {
        Self {
            http: http.clone(),
            url: format!("{accounts_url}{ROUTE}"),
            client_id,
            client_secret,
            current: Mutex::default(),
        }
    }

    /// `Authorization` of a payout call; fetched if need be, within this time.
    pub(super) async fn authorization(&self, within: Duration) -> Result<HeaderValue, NoReply> {
        tokio::time::timeout(within, self.current_or_new(within))
            .await
            .unwrap_or_else(|_| Err(silent("timeout")))
    }

    /// Drops a token that PayU does not know any more, unless another call has replaced it already.
    pub(super) async fn forget(&self, authorization: &HeaderValue) {
        let mut current = self.current.lock().await;
        if current
            .as_ref()
            .is_some_and(|token| token.authorization == authorization)
        {
            *current = None;
        }
    }

    async fn current_or_new(&self, within: Duration) -> Result<HeaderValue, NoReply> {
        // Held while the token is fetched: who comes meanwhile finds the new one.
        let mut current = self.current.lock().await;
        if let Some(token) = current.as_ref()
            && Instant::now() < token.good_until
        {
            return Ok(token.authorization.clone());
        }
        let token = self.fetch(within).await?;
        let authorization = token.authorization.clone();
        *current = Some(token);
        Ok(authorization)
    }

    async fn fetch(&self, within: Duration) -> Result<Token, NoReply> {
        let body = form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("scope", SCOPE),
        ]);
        let request = self
            .http
            .post(&self.url)
            .header(CONTENT_TYPE, FORM)
            .timeout(within)
            .body(body);
        let asked_at = Instant::now();
        let reply = send(&self.http, request, ROUTE)
            .await
            .map_err(|failure| silent(&failure.to_string()))?;
        if reply.status != 200 {
            return Err(refused(&reply));
        }
        let response: TokenResponse = reply.json().map_err(|_| silent("malformed answer"))?;
        let bearer = Zeroizing::new(format!("Bearer {}", response.access_token.as_str()));
        let authorization = secret_header(bearer).ok_or_else(|| silent("malformed token"))?;
        let lives = Duration::from_secs(response.expires_in).min(LONGEST_LIFE);
        Ok(Token {
            authorization,
            good_until: asked_at + lives.saturating_sub(SPARE),
        })
    }
}

/// Whatever went wrong with the token, the call that it was for reached nobody.
fn silent(what: &str) -> NoReply {
    NoReply::Silence(CallFailure::NotSent(format!("token: {what}")))
}

fn refused(reply: &Reply) -> NoReply {
    let class = match reply.status {
        // RFC 6749: 400 for all that is wrong with the client but its authentication.
        400 | 401 | 403 | 404 => Class::Misconfigured,
        429 => Class::Retryable,
        status => return silent(&format!("answered {status}")),
    };
    let error = reply.json::<TokenError>().unwrap_or_default().error;
    let code = if error.is_empty() {
        format!("token_http_{}", reply.status)
    } else {
        error
    };
    NoReply::NoToken(GatewayResponse {
        retry_after: (class == Class::Retryable)
            .then(|| reply.retry_after())
            .flatten(),
        ..Meaning::of(class).answer(&code)
    })
}
