//! Signatures of webhooks, compared in constant time.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// An HMAC-SHA256 tag that a webhook carries.
#[derive(Clone, Copy)]
pub(crate) struct Signature([u8; 32]);

impl Signature {
    /// Decodes hexadecimal digits of either case; `None` if the text is no HMAC-SHA256 tag.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let tag = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?;
        tag.try_into().ok().map(Self)
    }

    /// Decodes base64; `None` if the text is no HMAC-SHA256 tag.
    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        let tag = BASE64.decode(text.trim().as_bytes()).ok()?;
        tag.try_into().ok().map(Self)
    }

    /// Whether this is the signature of the concatenated parts under one of these secrets. An empty secret never matches,
    /// because any sender could sign with it.
    pub(crate) fn matches<'a>(
        self,
        parts: &[&[u8]],
        secrets: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        secrets.into_iter().any(|secret| {
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

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    // RFC 4231, test case 2.
    const SECRET: &str = "Jefe";
    const DATA: &[u8] = b"what do ya want for nothing?";
    const TAG: &str = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

    #[test]
    fn a_signature_matches_under_any_of_the_secrets_and_in_parts() {
        let signature = Signature::from_hex(TAG).unwrap();
        assert!(signature.matches(&[DATA], [SECRET]));
        assert!(signature.matches(&[&DATA[..5], &DATA[5..]], ["another", SECRET]));
        assert!(!signature.matches(&[DATA, b" "], [SECRET]));
        assert!(!signature.matches(&[DATA], ["another"]));
        assert!(!signature.matches(&[DATA], []));
        let upper = Signature::from_hex(&TAG.to_uppercase()).unwrap();
        assert!(upper.matches(&[DATA], [SECRET]));
        let base64 = Signature::from_base64(&BASE64.encode(&signature.0)).unwrap();
        assert!(base64.matches(&[DATA], [SECRET]));
    }

    #[test]
    fn an_empty_secret_never_matches() {
        let mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        let tag = HEXLOWER.encode(&mac.chain_update(DATA).finalize().into_bytes());
        assert!(!Signature::from_hex(&tag).unwrap().matches(&[DATA], [""]));
    }

    #[test]
    fn other_text_is_no_signature() {
        for text in [
            "",
            "5b",
            &TAG[1..],
            &TAG.replace('5', "g"),
            &TAG.replace('5', "+"),
            "आशा",
        ] {
            assert!(Signature::from_hex(text).is_none(), "{text}");
            assert!(Signature::from_base64(text).is_none(), "{text}");
        }
    }
}
