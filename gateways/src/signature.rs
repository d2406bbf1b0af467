//! Signatures under call-backs, compared in constant time.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What HMAC-SHA256 makes.
const TAG_LENGTH: usize = 32;

/// A HMAC-SHA256 as a call-back claims it.
#[derive(Clone, Copy)]
pub(crate) struct Claimed([u8; TAG_LENGTH]);

impl Claimed {
    /// Written in hexadecimal digits of either case; `None` where it is no HMAC-SHA256.
    pub(crate) fn hex(text: &str) -> Option<Self> {
        let digits = text.trim().as_bytes();
        let mut tag = [0; TAG_LENGTH];
        if digits.len() != 2 * TAG_LENGTH {
            return None;
        }
        for (byte, pair) in tag.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        Some(Self(tag))
    }

    /// Written in base64; `None` where it is no HMAC-SHA256.
    pub(crate) fn base64(text: &str) -> Option<Self> {
        let tag = BASE64_STANDARD.decode(text.trim()).ok()?;
        tag.try_into().ok().map(Self)
    }

    /// Whether it is that of these parts, one after the other, under one of these secrets.
    pub(crate) fn is_of<'a>(
        self,
        parts: &[&[u8]],
        secrets: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        secrets.into_iter().any(|secret| {
            // Anybody could sign with nothing.
            !secret.is_empty()
                && Hmac::<Sha256>::new_from_slice(secret.as_bytes()).is_ok_and(|mut mac| {
                    for part in parts {
                        mac.update(part);
                    }
                    mac.verify_slice(&self.0).is_ok()
                })
        })
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4231, test case 2.
    const SECRET: &str = "Jefe";
    const DATA: &[u8] = b"what do ya want for nothing?";
    const TAG: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    #[test]
    fn a_signature_is_known_by_any_of_the_secrets_and_in_parts() {
        let claimed = Claimed::hex(TAG).unwrap();
        assert!(claimed.is_of(&[DATA], [SECRET]));
        assert!(claimed.is_of(&[&DATA[..5], &DATA[5..]], ["another", SECRET]));
        assert!(!claimed.is_of(&[DATA, b" "], [SECRET]));
        assert!(!claimed.is_of(&[DATA], ["another"]));
        assert!(!claimed.is_of(&[DATA], []));
        assert!(
            Claimed::hex(&TAG.to_uppercase())
                .unwrap()
                .is_of(&[DATA], [SECRET])
        );
        let base64 = BASE64_STANDARD.encode(claimed.0);
        assert!(Claimed::base64(&base64).unwrap().is_of(&[DATA], [SECRET]));
    }

    #[test]
    fn nothing_is_signed_with_an_empty_secret() {
        let mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        let tag = hex(&mac.chain_update(DATA).finalize().into_bytes());
        assert!(!Claimed::hex(&tag).unwrap().is_of(&[DATA], [""]));
    }

    #[test]
    fn what_is_no_signature_is_none() {
        for text in [
            "",
            "5b",
            &TAG[1..],
            &TAG.replace('5', "g"),
            &TAG.replace('5', "+"),
            "आशा",
        ] {
            assert!(Claimed::hex(text).is_none(), "{text}");
            assert!(Claimed::base64(text).is_none(), "{text}");
        }
    }

    #[test]
    fn digits_are_lower_case_and_two_a_byte() {
        assert_eq!(hex(&[0, 9, 0xab, 0xff]), "0009abff");
    }
}
