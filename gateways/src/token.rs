//! Calls that need a bearer token. One call fetches a token while the others wait for it; all use it until it expires.

use std::time::{Duration, Instant};

use khata_domain::{CallFailure, GatewayResponse};
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::http::{Client, Reply, secret_header};

/// Result of a call that needs a token. The inner error is the response of a gateway that refused the token: the call itself
/// was not sent.
pub(crate) type WithToken<T> = Result<Result<T, GatewayResponse>, CallFailure>;

/// Fetches tokens.
pub(crate) trait TokenSource {
    /// Whether [`Self::fetch`] can return another token than the last one.
    fn renews(&self) -> bool {
        true
    }

    /// Fetches a token within this time.
    async fn fetch(&self, within: Duration) -> WithToken<Token>;
}

/// A token and the time at which it must no longer be used.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) authorization: HeaderValue,
    pub(crate) expires_at: Instant,
}

/// Returns the failure of a call whose token could not be fetched: the call itself was not sent.
pub(crate) fn not_fetched(reason: impl std::fmt::Display) -> CallFailure {
    CallFailure::NotSent(format!("token: {reason}"))
}

/// Makes the header for a token; `None` if the token is empty or not visible ASCII.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    let value = Zeroizing::new(["Bearer ", token].concat());
    secret_header(&value).filter(|_| !token.is_empty())
}

/// Calls one service of a gateway with a token.
pub(crate) struct TokenClient<S> {
    pub(crate) client: Client,
    source: S,
    current: Mutex<Option<Token>>,
}

impl<S: TokenSource> TokenClient<S> {
    pub(crate) fn new(client: Client, source: S) -> Self {
        Self {
            client,
            source,
            current: Mutex::default(),
        }
    }

    /// Sends a request within the time-out of one call, the fetch of a token included. A token that the gateway does not
    /// accept any more is replaced once: status 401 means that the gateway did nothing.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        route: &'static str,
    ) -> WithToken<Reply> {
        let deadline = Instant::now() + self.client.timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let mut renewed = !self.source.renews();
        loop {
            // Half of the time is for the token, so that waiting for it does not cut the call short.
            let within = left() / 2;
            let authorization = tokio::time::timeout(within, self.authorization(within))
                .await
                .unwrap_or_else(|_| Err(not_fetched("timeout")))?;
            let authorization = match authorization {
                Ok(authorization) => authorization,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let Some(request) = request.try_clone() else {
                return Err(not_fetched("request cannot be sent twice"));
            };
            let request = request
                .header(AUTHORIZATION, authorization.clone())
                .timeout(left());
            let reply = self.client.send(request, route).await?;
            if reply.status != 401 || renewed {
                return Ok(Ok(reply));
            }
            self.forget(&authorization).await;
            renewed = true;
        }
    }

    async fn authorization(&self, within: Duration) -> WithToken<HeaderValue> {
        // The lock is held while the token is fetched, so that waiting calls find the new one.
        let mut current = self.current.lock().await;
        if let Some(token) = current.as_ref()
            && Instant::now() < token.expires_at
        {
            return Ok(Ok(token.authorization.clone()));
        }
        let token = self.source.fetch(within).await?;
        Ok(token.map(|token| current.insert(token).authorization.clone()))
    }

    /// Drops a token that the gateway does not accept, unless another call has replaced it already.
    async fn forget(&self, authorization: &HeaderValue) {
        let mut current = self.current.lock().await;
        current.take_if(|token| token.authorization == authorization);
    }
}
