//! The keys in use: sealing and opening, fingerprints and digests. How they are written down is in `keyring_file`.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use rand::Rng;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::api_key::{ApiKey, ApiKeyHash};
use super::keyring_file::{KEY_LENGTH, KeyringError, KeyringFile};
use khata_domain::{Details, MerchantId};

const FORMAT: u8 = 1;
const NONCE_LENGTH: usize = 12;
/// Format byte and key id, in front of everything sealed.
pub const HEADER_LENGTH: usize = 1 + 4;
/// What a request digest begins with. A fingerprint begins with the merchant's UUID, whose ninth byte is above ASCII.
const REQUEST_LABEL: &[u8] = b"khata request digest\0";

/// Why something sealed does not open: another key, another owner, or altered bytes. Not told apart on purpose.
#[derive(Debug, thiserror::Error)]
#[error("sealed data does not open")]
pub struct DecryptError;

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
    /// What a gateway called back with; the subject is the validation.
    Notice,
    /// The first answer to an idempotent call; the subject is the first 16 bytes of its key's digest.
    Answer,
}

/// The keys in use.
pub struct Keyring {
    /// Seals.
    primary: (u32, Aes256Gcm),
    primary_created_at: Option<DateTime<Utc>>,
    /// Only open.
    others: Vec<(u32, Aes256Gcm)>,
    fingerprint: Hmac<Sha256>,
    api_keys: Hmac<Sha256>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others: Vec<_> = self.others.iter().map(|(id, _)| id).collect();
        f.debug_struct("Keyring")
            .field("primary", &self.primary.0)
            .field("others", &others)
            .finish_non_exhaustive()
    }
}

impl Keyring {
    /// Reads the JSON of a keyring.
    pub fn parse(json: &str) -> Result<Self, KeyringError> {
        Ok(Self::from(&KeyringFile::parse(json)?))
    }

    /// The key that seals.
    pub fn primary(&self) -> u32 {
        self.primary.0
    }

    /// When that one was made, where the keyring says so.
    pub fn primary_created_at(&self) -> Option<DateTime<Utc>> {
        self.primary_created_at
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
        let (key_id, cipher) = &self.primary;
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
        sealed.extend_from_slice(&header(*key_id));
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
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let (header, rest) = sealed.split_at_checked(HEADER_LENGTH).ok_or(DecryptError)?;
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LENGTH).ok_or(DecryptError)?;
        let key_id = key_id(header).ok_or(DecryptError)?;
        let nonce: [u8; NONCE_LENGTH] = nonce.try_into().map_err(|_| DecryptError)?;
        let (_, cipher) = std::iter::once(&self.primary)
            .chain(&self.others)
            .find(|(id, _)| *id == key_id)
            .ok_or(DecryptError)?;
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
            .map_err(|_| DecryptError)
    }

    /// Seals anew, under the primary, what another key sealed.
    pub fn reseal(
        &self,
        merchant: MerchantId,
        subject: Uuid,
        purpose: Purpose,
        sealed: &[u8],
    ) -> Result<Vec<u8>, DecryptError> {
        let plaintext = self.open(merchant, subject, purpose, sealed)?;
        Ok(self.seal(merchant, subject, purpose, &plaintext))
    }

    /// What stands in front of everything that the primary seals.
    pub fn header(&self) -> [u8; HEADER_LENGTH] {
        header(self.primary.0)
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

impl From<&KeyringFile> for Keyring {
    fn from(file: &KeyringFile) -> Self {
        let (mut primary, mut primary_created_at) = (None, None);
        // Room for all: a vector that grows leaves its old keys behind.
        let mut others = Vec::with_capacity(file.sealing().len());
        for sealing in file.sealing() {
            let cipher = Aes256Gcm::new((&**sealing.key).into());
            if sealing.id == file.primary() {
                primary = Some((sealing.id, cipher));
                primary_created_at = sealing.created_at;
            } else {
                others.push((sealing.id, cipher));
            }
        }
        #[allow(clippy::expect_used)]
        Self {
            primary: primary.expect("a keyring file whose primary is missing cannot be made"),
            primary_created_at,
            others,
            fingerprint: mac(file.fingerprint()),
            api_keys: mac(file.api_keys()),
        }
    }
}

/// What stands in front of everything that the key of this id seals.
pub fn header(key_id: u32) -> [u8; HEADER_LENGTH] {
    let mut header = [FORMAT; HEADER_LENGTH];
    header[1..].copy_from_slice(&key_id.to_be_bytes());
    header
}

/// The id of the key that sealed this; `None` if it is nothing that was sealed.
pub fn key_id(sealed: &[u8]) -> Option<u32> {
    let (format, rest) = sealed.split_first()?;
    let (id, _) = rest.split_first_chunk()?;
    (*format == FORMAT).then(|| u32::from_be_bytes(*id))
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
        Purpose::Notice => 6,
    };
    aad
}

fn mac(key: &[u8; KEY_LENGTH]) -> Hmac<Sha256> {
    // A key of any length makes one.
    #[allow(clippy::expect_used)]
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use khata_domain::{AccountId, Vpa};

    fn keyring() -> Keyring {
        Keyring::from(&KeyringFile::generate())
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
    fn every_key_opens_and_only_the_primary_seals() {
        let (one, _) = KeyringFile::generate().with_new_key().unwrap();
        let two = one.clone().promoted();
        let (one, two) = (Keyring::from(&one), Keyring::from(&two));
        let (merchant, account) = (MerchantId::new(), AccountId::new());
        for (sealing, opening, id) in [(&one, &two, 1), (&two, &one, 2)] {
            let sealed = sealing.seal(merchant, account.0, Purpose::Details, b"x");
            assert_eq!((sealing.primary(), key_id(&sealed)), (id, Some(id)));
            assert!(sealing.primary_created_at().is_some());
            assert!(sealed.starts_with(&sealing.header()));
            let opened = opening.open(merchant, account.0, Purpose::Details, &sealed);
            assert_eq!(opened.unwrap().as_slice(), b"x");
        }
        assert_eq!(key_id(b""), None);
        assert_eq!(key_id(&[1, 0, 0, 0]), None);
        assert_eq!(key_id(&[2, 0, 0, 0, 1]), None);
    }

    #[test]
    fn what_is_resealed_belongs_to_the_same_owner_under_the_primary() {
        let (old, _) = KeyringFile::generate().with_new_key().unwrap();
        let new = Keyring::from(&old.clone().promoted());
        let old = Keyring::from(&old);
        let (merchant, customer) = (MerchantId::new(), Uuid::now_v7());
        let sealed = old.seal(merchant, customer, Purpose::Contact, b"x");
        let again = new
            .reseal(merchant, customer, Purpose::Contact, &sealed)
            .unwrap();
        assert_eq!(key_id(&again), Some(2));
        assert_eq!(
            new.open(merchant, customer, Purpose::Contact, &again)
                .unwrap()
                .as_slice(),
            b"x"
        );
        assert!(
            new.reseal(merchant, customer, Purpose::Answer, &sealed)
                .is_err()
        );
        assert!(
            new.reseal(MerchantId::new(), customer, Purpose::Contact, &sealed)
                .is_err()
        );
        assert!(
            new.reseal(merchant, Uuid::now_v7(), Purpose::Contact, &sealed)
                .is_err()
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
    fn debug_shows_no_key() {
        let file = KeyringFile::generate();
        let keyring = Keyring::from(&file);
        assert_eq!(
            format!("{keyring:?}"),
            "Keyring { primary: 1, others: [], .. }"
        );
        assert_eq!(
            format!("{file:?}"),
            "KeyringFile { primary: 1, sealing_key_ids: [1], .. }"
        );
    }
}
