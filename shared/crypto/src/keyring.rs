//! The keys in use: encryption and decryption, fingerprints and digests. `keyring_file` reads and writes them.
//!
//! An encrypted value is called *sealed*: it is authenticated for its merchant, its subject and its purpose, and decrypts for
//! those only.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use rand::Rng;
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::api_key::{ApiKey, ApiKeyHash};
use super::keyring_file::KeyringFile;
use super::strength::KEY_LENGTH;
use khata_domain::{Details, MerchantId};

const FORMAT: u8 = 1;
const NONCE_LENGTH: usize = 12;
/// Length of format byte and key id, the header of every sealed value.
const HEADER_LENGTH: usize = 1 + 4;
/// Length of the first half of a fingerprint, which is equal for all spellings of one account.
pub const LIMIT_LENGTH: usize = 16;
/// The first bytes of a request digest's input. The input of a fingerprint begins with the merchant's UUID, and its ninth byte
/// is above ASCII.
const REQUEST_LABEL: &[u8] = b"khata request digest\0";

/// A value that cannot be decrypted: another key, another owner, or altered bytes. The reason stays unknown on purpose.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot decrypt the value: its key is missing, it belongs to another row, or it was altered"
)]
pub struct DecryptError;

/// The column of a sealed value: part of the associated data, so that a value moved to another column does not decrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Purpose {
    /// An account's details; the subject is the account.
    Details = 1,
    /// A validation's name at bank and UTR; the subject is the account.
    ValidationResult = 2,
    /// A gateway account's credentials; the subject is the gateway account.
    Credentials = 3,
    /// A customer's telephone number, address and name; the subject is the customer.
    Contact = 4,
    /// The reply to an idempotent call; the subject is the first 16 bytes of its key's digest.
    Reply = 5,
    /// A gateway webhook; the subject is the validation.
    Webhook = 6,
    /// A webhook endpoint's URL, secrets and credentials; the subject is the endpoint.
    Endpoint = 7,
    /// The body of a delivery and the endpoint's reply to it; the subject is the event.
    Delivery = 8,
    /// The URL that gets the events of an account; the subject is the account.
    AccountUrl = 9,
}

/// The keys in use.
pub struct Keyring {
    /// The key that encrypts.
    primary: (u32, Aes256Gcm),
    primary_created_at: Option<DateTime<Utc>>,
    /// Keys that only decrypt.
    others: Vec<(u32, Aes256Gcm)>,
    /// Number of values that this process has encrypted.
    encryptions: AtomicU64,
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
    /// Returns the id of the key that encrypts.
    pub fn primary(&self) -> u32 {
        self.primary.0
    }

    /// Returns when the primary key was created, if the keyring has the time.
    pub fn primary_created_at(&self) -> Option<DateTime<Utc>> {
        self.primary_created_at
    }

    /// Returns how many values this keyring has encrypted since it was loaded.
    pub fn encryptions(&self) -> u64 {
        self.encryptions.load(Ordering::Relaxed)
    }

    /// Encrypts: format byte, key id, random nonce, ciphertext and tag. Decryption needs the same merchant, subject and purpose.
    /// The nonces are random and have 96 bits: rotate a key before it has encrypted 2³² values (NIST SP 800-38D).
    pub fn encrypt(
        &self,
        merchant: MerchantId,
        subject: Uuid,
        purpose: Purpose,
        plaintext: &[u8],
    ) -> Vec<u8> {
        self.encryptions.fetch_add(1, Ordering::Relaxed);
        let mut nonce = [0u8; NONCE_LENGTH];
        rand::rng().fill_bytes(&mut nonce);
        let (key_id, cipher) = &self.primary;
        let aad = &associated_data(merchant, subject, purpose);
        let msg = plaintext;
        #[allow(clippy::expect_used)]
        let ciphertext = cipher
            .encrypt(&Nonce::from(nonce), Payload { msg, aad })
            .expect("AES-GCM fails only beyond 64 GiB of plaintext");
        [&header(*key_id)[..], &nonce, &ciphertext].concat()
    }

    /// Decrypts what [`Self::encrypt`] made for the same merchant, subject and purpose.
    pub fn decrypt(
        &self,
        merchant: MerchantId,
        subject: Uuid,
        purpose: Purpose,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let (header, rest) = sealed.split_at_checked(HEADER_LENGTH).ok_or(DecryptError)?;
        let (nonce, msg) = rest.split_first_chunk().ok_or(DecryptError)?;
        let key_id = key_id(header).ok_or(DecryptError)?;
        let (_, cipher) = std::iter::once(&self.primary)
            .chain(&self.others)
            .find(|(id, _)| *id == key_id)
            .ok_or(DecryptError)?;
        let aad = &associated_data(merchant, subject, purpose);
        cipher
            .decrypt(&Nonce::from(*nonce), Payload { msg, aad })
            .map(Zeroizing::new)
            .map_err(|_| DecryptError)
    }

    /// Encrypts again, with the primary key, a value of another key.
    pub fn reencrypt(
        &self,
        merchant: MerchantId,
        subject: Uuid,
        purpose: Purpose,
        sealed: &[u8],
    ) -> Result<Vec<u8>, DecryptError> {
        let plaintext = self.decrypt(merchant, subject, purpose, sealed)?;
        Ok(self.encrypt(merchant, subject, purpose, &plaintext))
    }

    /// Returns the header of the primary key's values.
    pub fn header(&self) -> [u8; HEADER_LENGTH] {
        header(self.primary.0)
    }

    /// Returns the fingerprint of an account: equal for the same account of the same merchant, not linkable across merchants and
    /// not guessable without the key. Each half is the first half of an HMAC-SHA-256 over merchant and text. The first half,
    /// [`LIMIT_LENGTH`] bytes, is of the identity for limits, and therefore equal for all spellings of one account; the second
    /// half is of the account's own identity.
    pub fn fingerprint(&self, merchant: MerchantId, details: &Details) -> [u8; 32] {
        let digest = |text: String| -> [u8; 32] {
            let mut mac = self.fingerprint.clone();
            mac.update(merchant.0.as_bytes());
            mac.update(text.as_bytes());
            mac.finalize().into_bytes().into()
        };
        let mut fingerprint = digest(details.limit_identity());
        let own = digest(details.identity());
        fingerprint[LIMIT_LENGTH..].copy_from_slice(&own[..LIMIT_LENGTH]);
        fingerprint
    }

    /// Returns the HMAC-SHA-256 over merchant and parts, which identifies a request or its Idempotency-Key. The input contains
    /// the length of each part, so that different lists of parts have different digests. Never equals a fingerprint.
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

    /// Returns the hash that the database stores for an API key.
    pub fn hash_api_key(&self, key: &ApiKey) -> ApiKeyHash {
        let mut mac = self.api_keys.clone();
        mac.update(key.expose().as_bytes());
        ApiKeyHash(mac.finalize().into_bytes().into())
    }
}

impl From<&KeyringFile> for Keyring {
    fn from(file: &KeyringFile) -> Self {
        let (mut primary, mut primary_created_at) = (None, None);
        // The capacity is enough: a vector that grows leaves copies of its keys in memory.
        let mut others = Vec::with_capacity(file.keys().len());
        for key in file.keys() {
            let cipher = Aes256Gcm::new((&**key.key).into());
            if key.id == file.primary() {
                primary = Some((key.id, cipher));
                primary_created_at = key.created_at;
            } else {
                others.push((key.id, cipher));
            }
        }
        #[allow(clippy::expect_used)]
        Self {
            primary: primary.expect("a keyring file whose primary is missing cannot be made"),
            primary_created_at,
            others,
            encryptions: AtomicU64::new(0),
            fingerprint: mac(&file.fingerprint),
            api_keys: mac(&file.api_keys),
        }
    }
}

/// Returns the header of the values of this key.
pub fn header(key_id: u32) -> [u8; HEADER_LENGTH] {
    let mut header = [FORMAT; HEADER_LENGTH];
    header[1..].copy_from_slice(&key_id.to_be_bytes());
    header
}

/// Returns the key id of a sealed value; `None` if it has no known header.
pub fn key_id(sealed: &[u8]) -> Option<u32> {
    let (format, rest) = sealed.split_first()?;
    let (id, _) = rest.split_first_chunk()?;
    (*format == FORMAT).then(|| u32::from_be_bytes(*id))
}

fn associated_data(merchant: MerchantId, subject: Uuid, purpose: Purpose) -> [u8; 33] {
    let mut aad = [0u8; 33];
    aad[..16].copy_from_slice(merchant.0.as_bytes());
    aad[16..32].copy_from_slice(subject.as_bytes());
    aad[32] = purpose as u8;
    aad
}

fn mac(key: &[u8; KEY_LENGTH]) -> Hmac<Sha256> {
    #[allow(clippy::expect_used)]
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use khata_domain::account::{AccountNumber, BankAccount, Ifsc};
    use khata_domain::{AccountId, Vpa};

    fn keyring() -> Keyring {
        Keyring::from(&KeyringFile::generate())
    }

    #[test]
    fn a_value_decrypts_only_for_its_owner_and_purpose() {
        let (keyring, merchant, account) = (keyring(), MerchantId::new(), AccountId::new());
        let sealed = keyring.encrypt(merchant, account.0, Purpose::Details, b"026291800001191");
        assert_eq!(
            &*keyring
                .decrypt(merchant, account.0, Purpose::Details, &sealed)
                .unwrap(),
            b"026291800001191"
        );
        assert!(
            keyring
                .decrypt(MerchantId::new(), account.0, Purpose::Details, &sealed)
                .is_err()
        );
        assert!(
            keyring
                .decrypt(merchant, AccountId::new().0, Purpose::Details, &sealed)
                .is_err()
        );
        assert!(
            keyring
                .decrypt(merchant, account.0, Purpose::ValidationResult, &sealed)
                .is_err()
        );
        assert!(
            super::tests::keyring()
                .decrypt(merchant, account.0, Purpose::Details, &sealed)
                .is_err()
        );
        for cut in 0..sealed.len() {
            assert!(
                keyring
                    .decrypt(merchant, account.0, Purpose::Details, &sealed[..cut])
                    .is_err()
            );
        }
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(
                keyring
                    .decrypt(merchant, account.0, Purpose::Details, &altered)
                    .is_err(),
                "byte {at}"
            );
        }
    }

    #[test]
    fn every_key_decrypts_and_only_the_primary_encrypts() {
        let (one, _) = KeyringFile::generate().with_new_key().unwrap();
        let two = one.clone().promoted();
        let (one, two) = (Keyring::from(&one), Keyring::from(&two));
        let (merchant, account) = (MerchantId::new(), AccountId::new());
        for (encrypting, decrypting, id) in [(&one, &two, 1), (&two, &one, 2)] {
            let sealed = encrypting.encrypt(merchant, account.0, Purpose::Details, b"x");
            assert_eq!((encrypting.primary(), key_id(&sealed)), (id, Some(id)));
            assert!(encrypting.primary_created_at().is_some());
            assert!(sealed.starts_with(&encrypting.header()));
            let plaintext = decrypting.decrypt(merchant, account.0, Purpose::Details, &sealed);
            assert_eq!(plaintext.unwrap().as_slice(), b"x");
        }
        assert_eq!(key_id(b""), None);
        assert_eq!(key_id(&[1, 0, 0, 0]), None);
        assert_eq!(key_id(&[2, 0, 0, 0, 1]), None);
    }

    #[test]
    fn a_reencrypted_value_has_the_same_owner_and_the_primary_key() {
        let (old, _) = KeyringFile::generate().with_new_key().unwrap();
        let new = Keyring::from(&old.clone().promoted());
        let old = Keyring::from(&old);
        let (merchant, customer) = (MerchantId::new(), Uuid::now_v7());
        let sealed = old.encrypt(merchant, customer, Purpose::Contact, b"x");
        let again = new
            .reencrypt(merchant, customer, Purpose::Contact, &sealed)
            .unwrap();
        assert_eq!(key_id(&again), Some(2));
        assert_eq!(
            new.decrypt(merchant, customer, Purpose::Contact, &again)
                .unwrap()
                .as_slice(),
            b"x"
        );
        assert!(
            new.reencrypt(merchant, customer, Purpose::Reply, &sealed)
                .is_err()
        );
        assert!(
            new.reencrypt(MerchantId::new(), customer, Purpose::Contact, &sealed)
                .is_err()
        );
        assert!(
            new.reencrypt(merchant, Uuid::now_v7(), Purpose::Contact, &sealed)
                .is_err()
        );
    }

    #[test]
    fn fingerprints_differ_between_accounts_and_merchants() {
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
    fn spellings_of_one_account_share_the_first_half_of_the_fingerprint() {
        let (keyring, merchant) = (keyring(), MerchantId::new());
        let print = |ifsc, number| {
            let details = Details::Bank(BankAccount {
                ifsc: Ifsc::parse(ifsc).unwrap(),
                account_number: AccountNumber::parse(number).unwrap(),
                beneficiary_name: None,
            });
            keyring.fingerprint(merchant, &details)
        };
        let one = print("HDFC0000001", "0026291");
        let branch = print("HDFC0000002", "26291");
        let other = print("HDFC0000001", "26292");
        assert_eq!(one[..LIMIT_LENGTH], branch[..LIMIT_LENGTH]);
        assert_ne!(one[LIMIT_LENGTH..], branch[LIMIT_LENGTH..]);
        assert_ne!(one[..LIMIT_LENGTH], other[..LIMIT_LENGTH]);
        assert_ne!(one[LIMIT_LENGTH..], other[LIMIT_LENGTH..]);
    }

    #[test]
    fn request_digests_differ_between_keys_merchants_and_lists_of_parts() {
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
    fn a_request_digest_never_equals_a_fingerprint() {
        let (keyring, merchant) = (keyring(), MerchantId::new());
        // The input of a fingerprint, as far as a caller can choose it.
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
