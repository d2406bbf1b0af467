//! The bearer tokens that a gateway issued.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::recent::Recent;

/// Number of tokens that are kept; beyond it the oldest are dropped, as if they had expired.
const CAPACITY: usize = 10_000;

/// Issued tokens, each with the time when it expires.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Recent<Instant, CAPACITY>);

impl Tokens {
    /// Issues a token of 64 hex digits that is valid for `life`.
    pub(crate) fn issue(&self, now: Instant, life: Duration) -> String {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.0.add(&token, now + life);
        token
    }

    /// Returns whether this token was issued and has not expired.
    pub(crate) fn is_valid(&self, token: &str, now: Instant) -> bool {
        self.0.get(token).is_some_and(|expires| now < expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_valid_until_it_expires() {
        let now = Instant::now();
        let life = Duration::from_secs(10);
        let tokens = Tokens::default();
        let token = tokens.issue(now, life);
        assert_eq!(token.len(), 64);
        assert!(tokens.is_valid(&token, now + Duration::from_millis(9_999)));
        assert!(!tokens.is_valid(&token, now + life));
        assert!(!tokens.is_valid("guess", now));
        assert_ne!(tokens.issue(now, life), token);
    }
}
