//! What opens UMAP: a bearer token of Setu's account service, fetched with the merchant's id and secret, or given.

use std::time::{Duration, Instant};

use khata_domain::CallFailure;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::wire::{LoginRequest, LoginResponse};
use super::{JSON, error_code};
use crate::http::{json_body, secret_header, send};

const LOGIN: &str = "/v1/users/login";
/// Tokens are good for 300 s; Setu asks to fetch the next one in the fourth minute.
const GOOD_FOR: Duration = Duration::from_mins(4);

/// Where `Authorization` comes from.
pub(super) enum Token {
    /// Kept good by somebody else.
    Given(HeaderValue),
    /// Fetched as needed.
    Fetched(Login),
}

/// Fetches tokens and keeps the last one.
pub(super) struct Login {
    pub(super) url: String,
    pub(super) client_id: Zeroizing<String>,
    pub(super) secret: Zeroizing<String>,
    pub(super) held: Mutex<Option<Held>>,
}

/// A token and until when it is used.
pub(super) struct Held {
    authorization: HeaderValue,
    until: Instant,
}

/// Why there is no token. The call that it was for has not been made.
pub(super) enum NoToken {
    /// The account service turns us away, in these words.
    Refused(String),
    /// It could not be asked, or had no time.
    Failed(CallFailure),
}

impl Token {
    /// `Bearer …` for the next call.
    pub(super) async fn authorization(
        &self,
        http: &reqwest::Client,
        timeout: Duration,
    ) -> Result<HeaderValue, NoToken> {
        let login = match self {
            Self::Given(authorization) => return Ok(authorization.clone()),
            Self::Fetched(login) => login,
        };
        // Held over the fetch: whoever comes meanwhile waits for that one token.
        let mut held = login.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| Instant::now() < held.until) {
            return Ok(held.authorization.clone());
        }
        let asked = Instant::now();
        let authorization = login.fetch(http, timeout).await?;
        *held = Some(Held {
            authorization: authorization.clone(),
            until: asked + GOOD_FOR,
        });
        Ok(authorization)
    }

    /// The service that it is for did not take this token. Whether another one can be had.
    pub(super) async fn spurned(&self, authorization: &HeaderValue) -> bool {
        let Self::Fetched(login) = self else {
            return false;
        };
        let mut held = login.held.lock().await;
        // Somebody else may have fetched the next one already.
        if held
            .as_ref()
            .is_some_and(|held| held.authorization == authorization)
        {
            *held = None;
        }
        true
    }
}

impl Login {
    async fn fetch(
        &self,
        http: &reqwest::Client,
        timeout: Duration,
    ) -> Result<HeaderValue, NoToken> {
        let body = LoginRequest {
            client_id: &self.client_id,
            secret: &self.secret,
            grant_type: "client_credentials",
        };
        let request = http
            .post(&self.url)
            .header("client", "bridge")
            .header(CONTENT_TYPE, JSON)
            .timeout(timeout)
            .body(json_body(&body));
        let not_sent = |what: String| NoToken::Failed(CallFailure::NotSent(what));
        let reply = send(http, request, LOGIN)
            .await
            .map_err(|failure| not_sent(format!("login: {failure}")))?;
        match reply.status {
            200 => {}
            429 => {
                let retry_after = reply.retry_after();
                return Err(NoToken::Failed(CallFailure::Rejected { retry_after }));
            }
            400..=404 => return Err(NoToken::Refused(format!("login_{}", error_code(&reply)))),
            status => return Err(not_sent(format!("login answered {status}"))),
        }
        let response: LoginResponse = reply
            .json()
            .map_err(|_| not_sent("login answered without a token".into()))?;
        bearer(&response.access_token)
            .ok_or_else(|| not_sent("login answered with no token".into()))
    }
}

/// The header for a token; `None` where it is empty or not visible ASCII.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    if token.is_empty() {
        return None;
    }
    secret_header(Zeroizing::new(["Bearer ", token].concat()))
}
