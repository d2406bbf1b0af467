//! API keys: 256 random bits behind a prefix that says what they are for; stored only as a keyed hash.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use zeroize::Zeroizing;

/// Longest text that is looked at: what is longer is no key.
const MAX_LENGTH: usize = 128;
/// Characters shown to recognise a key by.
const SHOWN: usize = 12;

/// An API key in plain text: `kh_live_…` or `kh_test_…`. Shown once, when it is issued.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// A new key for real money, or for the sandbox.
    pub fn generate(sandbox: bool) -> Self {
        let mut bytes = Zeroizing::new([0u8; 32]);
        rand::rng().fill_bytes(bytes.as_mut());
        // Room for all of it, as text that grows leaves copies.
        let mut key = Zeroizing::new(String::with_capacity(MAX_LENGTH));
        key.push_str(if sandbox { "kh_test_" } else { "kh_live_" });
        URL_SAFE_NO_PAD.encode_string(bytes.as_ref(), &mut key);
        Self(key)
    }

    /// Any text of 1–128 visible ASCII characters may be tried as a key.
    pub fn parse(text: &str) -> Option<Self> {
        let fits =
            (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the key says that it is for the other environment: a test key where money is real, or a live one in the
    /// sandbox.
    pub fn is_for_other_than(&self, sandbox: bool) -> bool {
        self.0
            .starts_with(if sandbox { "kh_live_" } else { "kh_test_" })
    }

    /// The part that may be kept and shown: `kh_test_AbCd`.
    pub fn prefix(&self) -> &str {
        &self.0[..SHOWN.min(self.0.len())]
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
