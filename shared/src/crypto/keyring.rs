//! The keyring: sealing keys by id, the fingerprint key and the API-key pepper, from one JSON file.
//!
//! ```json
//! {"sealing":[{"id":1,"key":"<base64, 32 bytes>"}],"fingerprint":"<base64, 32 bytes>","api_keys":"<base64, 32 bytes>"}
//! ```
//!
//! The sealing key with the highest id seals; all of them open. The other two cannot be rotated without
//! re-computing what they made, so they stand apart.

use std::fmt;
use std::path::Path;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use rand::Rng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use super::api_key::{ApiKey, ApiKeyHash};
use crate::domain::{Details, MerchantId};

const FORMAT: u8 = 1;
const NONCE_LENGTH: usize = 12;
/// Format byte and key id.
const HEADER_LENGTH: usize = 1 + 4;
/// What a request digest begins with. A fingerprint begins with the merchant's UUID, whose ninth byte is above ASCII.
const REQUEST_LABEL: &[u8] = b"khata request digest\0";

/// Why a keyring cannot be used. Never shows key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyringFault {
    /// The file could not be read.
    #[error("cannot read the keyring file {path}: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not the JSON it should be.
    #[error("the keyring is not valid: {0}")]
    Malformed(&'static str),
}

/// Why something sealed does not open: another key, another owner, or altered bytes. Not told apart on purpose.
#[derive(Debug, thiserror::Error)]
#[error("sealed data does not open")]
pub struct SealFault;

/// What is sealed: part of the associated data, so that one column's bytes do not open in another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An account's details; the subject is the account.
    Details,
    /// A validation's name at bank and UTR; the subject is the account.
    ValidationResult,
    /// A gateway account's credentials; the subject is the gateway account.
    Credentials,
    /// A customer's telephone number, address and name; the subject is the customer.
    Contact,
    /// The first answer to an idempotent call; the subject is the first 16 bytes of its key's digest.
    Answer,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyringFile {
    sealing: Vec<SealingKeyFile>,
    fingerprint: String,
    api_keys: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealingKeyFile {
    id: u32,
    key: String,
}

impl Drop for KeyringFile {
    fn drop(&mut self) {
        self.sealing.iter_mut().for_each(|key| key.key.zeroize());
        self.fingerprint.zeroize();
        self.api_keys.zeroize();
    }
}

/// The keys in use.
pub struct Keyring {
    /// By id, the sealing one last.
    sealing: Vec<(u32, Aes256Gcm)>,
    fingerprint: Hmac<Sha256>,
    api_keys: Hmac<Sha256>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.sealing.iter().map(|(id, _)| id).collect();
        f.debug_struct("Keyring")
            .field("sealing_key_ids", &ids)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Reads a keyring file.
    pub fn load(path: &Path) -> Result<Self, KeyringFault> {
        let text = std::fs::read_to_string(path)
            .map(Zeroizing::new)
            .map_err(|source| KeyringFault::Unreadable {
                path: path.display().to_string(),
                source,
            })?;
        Self::parse(&text)
    }

    /// Reads the JSON of a keyring: at least one sealing key, ids unique, every key 32 bytes and not all alike.
    pub fn parse(json: &str) -> Result<Self, KeyringFault> {
        let file: KeyringFile = serde_json::from_str(json)
            .map_err(|_| KeyringFault::Malformed("not the JSON of a keyring"))?;
        let mut sealing = Vec::with_capacity(file.sealing.len());
        for key in &file.sealing {
            let bytes = key_bytes(&key.key)?;
            let cipher = Aes256Gcm::new_from_slice(bytes.as_ref())
                .map_err(|_| KeyringFault::Malformed("a key is not 32 bytes"))?;
            sealing.push((key.id, cipher));
        }
        sealing.sort_by_key(|(id, _)| *id);
        if sealing.is_empty() {
            return Err(KeyringFault::Malformed("no sealing key"));
        }
        if sealing.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(KeyringFault::Malformed("two sealing keys have the same id"));
        }
        Ok(Self {
            sealing,
            fingerprint: mac(&file.fingerprint)?,
            api_keys: mac(&file.api_keys)?,
        })
    }

    /// The JSON of a fresh keyring, from the operating system's random numbers.
    pub fn generate() -> Zeroizing<String> {
        let key = || {
            let mut bytes = Zeroizing::new([0u8; 32]);
            rand::rng().fill_bytes(bytes.as_mut());
            BASE64.encode(bytes.as_ref())
        };
        let file = KeyringFile {
            sealing: vec![SealingKeyFile { id: 1, key: key() }],
            fingerprint: key(),
            api_keys: key(),
        };
        Zeroizing::new(serde_json::to_string_pretty(&file).unwrap_or_default())
    }

    /// Seals: format byte, key id, random nonce, ciphertext and tag. Merchant, subject and purpose must be given
    /// again to open it. Random 96-bit nonces: rotate a key before it has sealed 2³² values (NIST SP 800-38D).
    pub fn seal(
        &self,
        merchant: MerchantId,
        subject: Uuid,
        purpose: Purpose,
        plaintext: &[u8],
    ) -> Vec<u8> {
        let mut nonce = [0u8; NONCE_LENGTH];
        rand::rng().fill_bytes(&mut nonce);
        #[allow(clippy::expect_used)]
        let (key_id, cipher) = self
            .sealing
            .last()
            .expect("parse refuses a keyring without a sealing key");
        let aad = associated_data(merchant, subject, purpose);
        #[allow(clippy::expect_used)]
        let ciphertext = cipher
            .encrypt(
                &Nonce::from(nonce),
                Payload {
                    msg: plaintext,
                    aad: &aad,
                },
            )
            .expect("AES-GCM fails only beyond 64 GiB of plaintext");
        let mut sealed = Vec::with_capacity(HEADER_LENGTH + NONCE_LENGTH + ciphertext.len());
        sealed.push(FORMAT);
        sealed.extend_from_slice(&key_id.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Opens what [`Self::seal`] made for the same merchant, subject and purpose.
    pub fn open(
        &self,
        merchant: MerchantId,
        subject: Uuid,
        purpose: Purpose,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealFault> {
        let (header, rest) = sealed.split_at_checked(HEADER_LENGTH).ok_or(SealFault)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LENGTH).ok_or(SealFault)?;
        let key_id = header[1..]
            .try_into()
            .map(u32::from_be_bytes)
            .map_err(|_| SealFault)?;
        let nonce: [u8; NONCE_LENGTH] = nonce.try_into().map_err(|_| SealFault)?;
        if header[0] != FORMAT {
            return Err(SealFault);
        }
        let (_, cipher) = self
            .sealing
            .iter()
            .find(|(id, _)| *id == key_id)
            .ok_or(SealFault)?;
        let aad = associated_data(merchant, subject, purpose);
        cipher
            .decrypt(
                &Nonce::from(nonce),
                Payload {
                    msg: ciphertext,
                    aad: &aad,
                },
            )
            .map(Zeroizing::new)
            .map_err(|_| SealFault)
    }

    /// HMAC-SHA-256 over merchant and identity: equal for the same account of the same merchant, unlinkable across
    /// merchants and not guessable without the key.
    pub fn fingerprint(&self, merchant: MerchantId, details: &Details) -> [u8; 32] {
        let mut mac = self.fingerprint.clone();
        mac.update(merchant.0.as_bytes());
        mac.update(details.identity().as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// HMAC-SHA-256 over merchant and parts: what a request or its Idempotency-Key is recognised by. Each part counts
    /// with its length, so that no two lists of parts are one. Never equals a fingerprint.
    pub fn request_digest(&self, merchant: MerchantId, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.fingerprint.clone();
        mac.update(REQUEST_LABEL);
        mac.update(merchant.0.as_bytes());
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    /// The form an API key is stored and found by.
    pub fn hash_api_key(&self, key: &ApiKey) -> ApiKeyHash {
        let mut mac = self.api_keys.clone();
        mac.update(key.expose().as_bytes());
        ApiKeyHash(mac.finalize().into_bytes().into())
    }
}

fn associated_data(merchant: MerchantId, subject: Uuid, purpose: Purpose) -> [u8; 33] {
    let mut aad = [0u8; 33];
    aad[..16].copy_from_slice(merchant.0.as_bytes());
    aad[16..32].copy_from_slice(subject.as_bytes());
    aad[32] = match purpose {
        Purpose::Details => 1,
        Purpose::ValidationResult => 2,
        Purpose::Credentials => 3,
        Purpose::Contact => 4,
        Purpose::Answer => 5,
    };
    aad
}

fn key_bytes(encoded: &str) -> Result<Zeroizing<[u8; 32]>, KeyringFault> {
    let decoded = BASE64
        .decode(encoded)
        .map(Zeroizing::new)
        .map_err(|_| KeyringFault::Malformed("a key is not base64"))?;
    let bytes: [u8; 32] = decoded
        .as_slice()
        .try_into()
        .map_err(|_| KeyringFault::Malformed("a key is not 32 bytes"))?;
    if bytes.iter().all(|byte| *byte == bytes[0]) {
        return Err(KeyringFault::Malformed("a key is one byte repeated"));
    }
    Ok(Zeroizing::new(bytes))
}

fn mac(encoded: &str) -> Result<Hmac<Sha256>, KeyringFault> {
    let bytes = key_bytes(encoded)?;
    Hmac::new_from_slice(bytes.as_ref())
        .map_err(|_| KeyringFault::Malformed("a key is not 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountId, Vpa};

    fn keyring() -> Keyring {
        Keyring::parse(&Keyring::generate()).unwrap()
    }

    #[test]
    fn opens_only_for_its_owner_and_purpose() {
        let (keyring, merchant, account) = (keyring(), MerchantId::new(), AccountId::new());
        let sealed = keyring.seal(merchant, account.0, Purpose::Details, b"026291800001191");
        assert_eq!(
            &*keyring
                .open(merchant, account.0, Purpose::Details, &sealed)
                .unwrap(),
            b"026291800001191"
        );
        assert!(
            keyring
                .open(MerchantId::new(), account.0, Purpose::Details, &sealed)
                .is_err()
        );
        assert!(
            keyring
                .open(merchant, AccountId::new().0, Purpose::Details, &sealed)
                .is_err()
        );
        assert!(
            keyring
                .open(merchant, account.0, Purpose::ValidationResult, &sealed)
                .is_err()
        );
        assert!(
            super::tests::keyring()
                .open(merchant, account.0, Purpose::Details, &sealed)
                .is_err()
        );
        for cut in 0..sealed.len() {
            assert!(
                keyring
                    .open(merchant, account.0, Purpose::Details, &sealed[..cut])
                    .is_err()
            );
        }
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(
                keyring
                    .open(merchant, account.0, Purpose::Details, &altered)
                    .is_err(),
                "byte {at}"
            );
        }
    }

    #[test]
    fn an_old_key_still_opens_and_the_newest_seals() {
        let one: KeyringFile = serde_json::from_str(&Keyring::generate()).unwrap();
        let old = Keyring::parse(&serde_json::to_string(&one).unwrap()).unwrap();
        let (merchant, account) = (MerchantId::new(), AccountId::new());
        let sealed = old.seal(merchant, account.0, Purpose::Details, b"x");
        let mut two = one;
        let other: KeyringFile = serde_json::from_str(&Keyring::generate()).unwrap();
        two.sealing.insert(
            0,
            SealingKeyFile {
                id: 2,
                key: other.sealing[0].key.clone(),
            },
        );
        let both = Keyring::parse(&serde_json::to_string(&two).unwrap()).unwrap();
        assert!(
            both.open(merchant, account.0, Purpose::Details, &sealed)
                .is_ok()
        );
        assert_eq!(
            both.seal(merchant, account.0, Purpose::Details, b"x")[1..5],
            [0, 0, 0, 2]
        );
    }

    #[test]
    fn fingerprints_tell_accounts_and_merchants_apart() {
        let (keyring, merchant) = (keyring(), MerchantId::new());
        let vpa = |text| Details::Upi(Vpa::parse(text).unwrap());
        let print = |merchant, details: &Details| keyring.fingerprint(merchant, details);
        assert_eq!(
            print(merchant, &vpa("asha@upi")),
            print(merchant, &vpa("ASHA@upi"))
        );
        assert_ne!(
            print(merchant, &vpa("asha@upi")),
            print(merchant, &vpa("asha2@upi"))
        );
        assert_ne!(
            print(merchant, &vpa("asha@upi")),
            print(MerchantId::new(), &vpa("asha@upi"))
        );
    }

    #[test]
    fn request_digests_tell_keys_merchants_and_the_cuts_between_parts_apart() {
        let (keyring, merchant) = (keyring(), MerchantId::new());
        let digest = |parts: &[&[u8]]| keyring.request_digest(merchant, parts);
        let of: [&[&[u8]]; 7] = [
            &[],
            &[b""],
            &[b"", b""],
            &[b"POST", b"/customers"],
            &[b"POST/", b"customers"],
            &[b"POST/customers"],
            &[b"POST", b"/customers", b""],
        ];
        let different: std::collections::HashSet<_> =
            of.iter().map(|parts| digest(parts)).collect();
        assert_eq!(different.len(), of.len());
        assert_eq!(digest(of[3]), digest(&[b"POST", b"/customers"]));
        assert_ne!(
            digest(of[3]),
            keyring.request_digest(MerchantId::new(), of[3])
        );
        assert_ne!(
            digest(of[3]),
            super::tests::keyring().request_digest(merchant, of[3])
        );
    }

    #[test]
    fn a_request_digest_is_no_fingerprint() {
        let (keyring, merchant) = (keyring(), MerchantId::new());
        // The bytes a fingerprint is made of, as far as a caller can choose them.
        let details = Details::Upi(Vpa::parse("asha@upi").unwrap());
        let print = keyring.fingerprint(merchant, &details);
        assert_ne!(
            print,
            keyring.request_digest(merchant, &[details.identity().as_bytes()])
        );
        assert!(REQUEST_LABEL.len() >= 16 && REQUEST_LABEL[8] < 0x80);
        assert!(merchant.0.as_bytes()[8] >= 0x80, "the UUID's variant");
    }

    #[test]
    fn weak_keyrings_are_refused() {
        let zero = BASE64.encode([0u8; 32]);
        let short = BASE64.encode([1u8, 2, 3]);
        for bad in [
            "{}".to_owned(),
            format!(r#"{{"sealing":[],"fingerprint":"{zero}","api_keys":"{zero}"}}"#),
            Keyring::generate().replace("\"id\": 1", "\"id\": 1, \"x\": 2"),
            format!(
                r#"{{"sealing":[{{"id":1,"key":"{zero}"}}],"fingerprint":"{zero}","api_keys":"{zero}"}}"#
            ),
            format!(
                r#"{{"sealing":[{{"id":1,"key":"{short}"}}],"fingerprint":"{short}","api_keys":"{short}"}}"#
            ),
        ] {
            assert!(Keyring::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let json = Keyring::generate();
        let file: KeyringFile = serde_json::from_str(&json).unwrap();
        let shown = format!("{:?}", Keyring::parse(&json).unwrap());
        assert!(!shown.contains(&file.fingerprint) && !shown.contains(&file.sealing[0].key));
    }
}
