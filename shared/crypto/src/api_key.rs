//! API keys: 256 random bits after a prefix that names the environment; the database stores only a keyed hash.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use zeroize::Zeroizing;

/// Maximum length of a key.
const MAX_LENGTH: usize = 128;
/// Characters of a key that operators may see.
const PREFIX_LENGTH: usize = 12;

/// An API key in plain text: `kh_live_…` or `kh_test_…`. Shown once, when it is issued.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// Generates a key for production, or for the sandbox.
    pub fn generate(sandbox: bool) -> Self {
        let mut bytes = Zeroizing::new([0u8; 32]);
        rand::rng().fill_bytes(bytes.as_mut());
        // The capacity is enough: text that grows leaves copies in memory.
        let mut key = Zeroizing::new(String::with_capacity(MAX_LENGTH));
        key.push_str(if sandbox { "kh_test_" } else { "kh_live_" });
        URL_SAFE_NO_PAD.encode_string(bytes.as_ref(), &mut key);
        Self(key)
    }

    /// Accepts any text of 1–128 visible ASCII characters.
    pub fn parse(text: &str) -> Option<Self> {
        let fits =
            (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Returns the key.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the key's prefix names the other environment: a test key in production, or a live key in the sandbox.
    pub fn is_for_other_than(&self, sandbox: bool) -> bool {
        self.0
            .starts_with(if sandbox { "kh_live_" } else { "kh_test_" })
    }

    /// Returns the part that may be stored and shown: `kh_test_AbCd`.
    pub fn prefix(&self) -> &str {
        &self.0[..PREFIX_LENGTH.min(self.0.len())]
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(***)")
    }
}

/// An API key's keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApiKeyHash(pub [u8; 32]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_random_and_hidden() {
        let (one, two) = (ApiKey::generate(true), ApiKey::generate(true));
        assert_ne!(one, two);
        assert!(one.expose().starts_with("kh_test_") && one.expose().len() == 51);
        assert!(ApiKey::generate(false).expose().starts_with("kh_live_"));
        assert!(!format!("{one:?}").contains(&one.expose()[8..]));
        assert!(one.is_for_other_than(false) && !one.is_for_other_than(true));
        assert_eq!(ApiKey::parse(one.expose()), Some(one));
        assert!(
            ApiKey::parse("").is_none()
                && ApiKey::parse(&"x".repeat(129)).is_none()
                && ApiKey::parse("a b").is_none()
        );
    }
}
