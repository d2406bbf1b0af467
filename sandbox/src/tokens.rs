//! The bearer tokens that a gateway gave, each good for a while.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::memory::Memory;

/// Tokens remembered; beyond that the oldest are forgotten, as if they had expired.
const REMEMBERED: usize = 10_000;

/// The tokens that were given.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// When each expires.
    given: Memory<Instant>,
}

impl Tokens {
    /// None so far.
    pub(crate) fn new() -> Self {
        Self {
            given: Memory::new(REMEMBERED),
        }
    }

    /// Gives a token that is good for `life`: 64 hex digits.
    pub(crate) fn give(&self, now: Instant, life: Duration) -> String {
        let token = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        self.given.add(&token, now + life);
        token
    }

    /// Whether this token was given and is still good.
    pub(crate) fn is_good(&self, token: &str, now: Instant) -> bool {
        self.given.get(token).is_some_and(|expires| now < expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_until_it_expires() {
        let now = Instant::now();
        let life = Duration::from_secs(10);
        let tokens = Tokens::new();
        let token = tokens.give(now, life);
        assert_eq!(token.len(), 64);
        assert!(tokens.is_good(&token, now + Duration::from_millis(9_999)));
        assert!(!tokens.is_good(&token, now + life));
        assert!(!tokens.is_good("guess", now));
        assert_ne!(tokens.give(now, life), token);
    }
}
