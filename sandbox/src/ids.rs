//! Numbers and signatures that several gateways make alike.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Returns the last twelve digits of a number.
pub(crate) fn twelve_digits(number: u64) -> String {
    format!("{:012}", number % 1_000_000_000_000)
}

/// Draws a bank's reference of an IMPS credit (retrieval reference number): twelve digits.
pub(crate) fn bank_reference() -> String {
    twelve_digits(rand::random())
}

/// Returns the HMAC-SHA256 of the parts, one after the other.
pub(crate) fn hmac_sha256(secret: &str, parts: &[&str]) -> Vec<u8> {
    // HMAC takes a key of any length, an empty one too.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return Vec::new();
    };
    for part in parts {
        mac.update(part.as_bytes());
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, HEXLOWER};

    use super::*;

    #[test]
    fn the_published_vector_is_reproduced() {
        // RFC 4231, test case 2.
        let mac = hmac_sha256("Jefe", &["what do ya want ", "for nothing?"]);
        assert_eq!(
            HEXLOWER.encode(&mac),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            BASE64.encode(&mac),
            "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="
        );
    }

    #[test]
    fn a_bank_reference_has_twelve_digits() {
        for _ in 0..100 {
            let drawn = bank_reference();
            assert!(drawn.len() == 12 && drawn.bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
}
