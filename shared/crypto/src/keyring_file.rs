//! The JSON of a keyring: in a file, a Kubernetes secret or an environment variable.
//!
//! ```json
//! {"primary":1,"sealing":[{"id":1,"created_at":"2026-11-24T10:00:00Z","key":"<base64, 32 bytes>"}],
//!  "fingerprint":"<base64, 32 bytes>","api_keys":"<base64, 32 bytes>"}
//! ```
//!
//! `primary` is the id of the key that encrypts, by default the highest id; all keys of `sealing` decrypt. Every process must
//! know a new key before the first one encrypts with it, so a keyring changes in two steps: add a key, and promote it once it
//! is everywhere. A key without `created_at` has an unknown age. A change of the other two keys would need every fingerprint
//! and API-key hash to be computed again, so they are separate.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::{DecodeSliceError, Engine};
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::secret_buf;
use super::strength::{self, KEY_LENGTH, Key, ONE_BYTE};

/// Maximum length of a keyring: more than a hundred keys.
const MAX_LENGTH: usize = 64 * 1024;

/// Why a keyring cannot be used. Never shows key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(
        "there is no keyring: set --keyring-file (KHATA_KEYRING_FILE), or its JSON as KHATA_KEYRING"
    )]
    Missing,
    #[error(
        "there are two keyrings: a file (--keyring-file or KHATA_KEYRING_FILE) and KHATA_KEYRING; set only one of them"
    )]
    Ambiguous,
    #[error("cannot read the keyring file {path}")]
    Unreadable {
        path: String,
        source: std::io::Error,
    },
    /// A file that other users of the machine can read or change, outside sandbox mode.
    #[error(
        "the keyring file {path} has mode {mode:04o}, so that other users of this machine can read or change it: run \
         `chmod 600 {path}` (or 0440, if another user owns the file and the services read it by their group)"
    )]
    Exposed { path: String, mode: u32 },
    #[error("the keyring is not valid: {0}")]
    Malformed(&'static str),
    /// Keys that are easy to guess, outside sandbox mode.
    #[error("the keyring is too weak for real data: {}; create a strong one with `khata keyring generate`", .0.join(", "))]
    Weak(Vec<String>),
    /// A transit engine encrypted the keyring, and its settings are missing.
    #[error(
        "the keyring is encrypted by a transit engine: set its URL (--vault-url, KHATA_VAULT_URL) and the file of a token \
         (--vault-token-file, KHATA_VAULT_TOKEN_FILE)"
    )]
    Encrypted,
    #[error(
        "KHATA_VAULT_URL must be the https URL of the server, as https://vault.example.com:8200; http only for a server on this machine"
    )]
    TransitUrl,
    #[error(
        "KHATA_VAULT_TRANSIT_KEY must be the path of the engine and the name of the key, as transit/khata"
    )]
    TransitKey,
    #[error("the transit engine did not encrypt or decrypt the keyring: {0}")]
    Transit(String),
    /// The primary key cannot be dropped.
    #[error("encryption key {0} is the primary: promote another key before you drop this one")]
    Primary(u32),
}

/// The JSON of a keyring.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyringJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    primary: Option<u32>,
    sealing: Vec<KeyJson>,
    fingerprint: Zeroizing<String>,
    api_keys: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyJson {
    id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<DateTime<Utc>>,
    key: Zeroizing<String>,
}

/// An encryption key: the primary encrypts, all others only decrypt.
#[derive(Clone)]
pub struct EncryptionKey {
    /// The id in the header of the key's values.
    pub id: u32,
    /// Time of creation in whole seconds; `None` if the keyring has none.
    pub created_at: Option<DateTime<Utc>>,
    pub(super) key: Key,
}

impl EncryptionKey {
    fn fresh(id: u32) -> Self {
        Self {
            id,
            created_at: Some(Utc::now().trunc_subsecs(0)),
            key: strength::fresh_key(),
        }
    }
}

/// A keyring that operators can change and write again. It is valid: at least one encryption key, unique ids, an existing
/// primary, every key 32 bytes and not one byte repeated.
#[derive(Clone)]
pub struct KeyringFile {
    primary: u32,
    /// Sorted by id.
    sealing: Vec<EncryptionKey>,
    pub(super) fingerprint: Key,
    pub(super) api_keys: Key,
}

impl std::fmt::Debug for KeyringFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyringFile")
            .field("primary", &self.primary)
            .field("sealing_key_ids", &self.ids())
            .finish_non_exhaustive()
    }
}

impl KeyringFile {
    /// Generates a keyring from the operating system's random numbers.
    pub fn generate() -> Self {
        Self {
            primary: 1,
            sealing: vec![EncryptionKey::fresh(1)],
            fingerprint: strength::fresh_key(),
            api_keys: strength::fresh_key(),
        }
    }

    /// Reads the JSON in a keyring's file.
    pub(super) fn read_json(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let unreadable = |source| KeyringError::Unreadable {
            path: path.display().to_string(),
            source,
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        secret_buf::read(file, MAX_LENGTH)
            .map_err(unreadable)?
            .ok_or(KeyringError::Malformed("too long for a keyring"))
    }

    /// Checks that no other user of the machine can read or change the file. The group may read a file whose owner is another
    /// user: Kubernetes mounts a secret as root's file with mode 0440, for the pod's group.
    pub(super) fn check_mode(path: &Path) -> Result<(), KeyringError> {
        let metadata = |path: &Path| {
            std::fs::metadata(path).map_err(|source| KeyringError::Unreadable {
                path: path.display().to_string(),
                source,
            })
        };
        let file = metadata(path)?;
        let mode = file.mode() & 0o777;
        let for_others = mode & 0o077;
        // The owner of a process's folder is the user of the process.
        if for_others == 0
            || for_others == 0o040 && file.uid() != metadata(Path::new("/proc/self"))?.uid()
        {
            return Ok(());
        }
        Err(KeyringError::Exposed {
            path: path.display().to_string(),
            mode,
        })
    }

    /// Parses the JSON of a keyring.
    pub(super) fn parse(json: &[u8]) -> Result<Self, KeyringError> {
        let written: KeyringJson = serde_json::from_slice(json)
            .map_err(|_| KeyringError::Malformed("not the JSON of a keyring"))?;
        let read = |key: &KeyJson| {
            Ok(EncryptionKey {
                id: key.id,
                created_at: key.created_at,
                key: key_bytes(&key.key)?,
            })
        };
        let mut sealing: Vec<_> = written.sealing.iter().map(read).collect::<Result<_, _>>()?;
        sealing.sort_by_key(|key| key.id);
        let Some(newest) = sealing.last() else {
            return Err(KeyringError::Malformed("no encryption key"));
        };
        if sealing.windows(2).any(|pair| pair[0].id == pair[1].id) {
            return Err(KeyringError::Malformed(
                "two encryption keys have the same id",
            ));
        }
        let primary = written.primary.unwrap_or(newest.id);
        if sealing.iter().all(|key| key.id != primary) {
            return Err(KeyringError::Malformed(
                "the primary is not among the encryption keys",
            ));
        }
        Ok(Self {
            primary,
            sealing,
            fingerprint: key_bytes(&written.fingerprint)?,
            api_keys: key_bytes(&written.api_keys)?,
        })
    }

    /// Returns the JSON, without a line break at the end.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let encoded = |key: &Key| Zeroizing::new(BASE64.encode(&key[..]));
        let written = KeyringJson {
            primary: Some(self.primary),
            sealing: self
                .sealing
                .iter()
                .map(|key| KeyJson {
                    id: key.id,
                    created_at: key.created_at,
                    key: encoded(&key.key),
                })
                .collect(),
            fingerprint: encoded(&self.fingerprint),
            api_keys: encoded(&self.api_keys),
        };
        secret_buf::pretty_json(&written)
    }

    /// Returns the id of the key that encrypts.
    pub fn primary(&self) -> u32 {
        self.primary
    }

    /// Returns the encryption keys, sorted by id.
    pub fn keys(&self) -> &[EncryptionKey] {
        &self.sealing
    }

    /// Returns the ids of the encryption keys, ascending.
    pub fn ids(&self) -> Vec<u32> {
        self.sealing.iter().map(|key| key.id).collect()
    }

    /// Adds an encryption key, which does not encrypt before it is promoted; returns its id too.
    pub fn with_new_key(mut self) -> Result<(Self, u32), KeyringError> {
        let newest = self.sealing.last().map_or(0, |key| key.id);
        let id = newest
            .checked_add(1)
            .ok_or(KeyringError::Malformed("the ids are used up"))?;
        self.sealing.push(EncryptionKey::fresh(id));
        Ok((self, id))
    }

    /// Makes the newest key the primary.
    #[must_use]
    pub fn promoted(mut self) -> Self {
        self.primary = self.sealing.last().map_or(self.primary, |key| key.id);
        self
    }

    /// Returns the encryption keys that are not needed any more: older than the primary, and not in use. A newer key waits for
    /// its promotion.
    pub fn droppable(&self, in_use: &BTreeSet<u32>) -> Vec<u32> {
        let mut ids = self.ids();
        ids.retain(|id| *id < self.primary && !in_use.contains(id));
        ids
    }

    /// Drops these encryption keys; an error if the primary is among them.
    pub fn without(mut self, ids: &[u32]) -> Result<Self, KeyringError> {
        if ids.contains(&self.primary) {
            return Err(KeyringError::Primary(self.primary));
        }
        self.sealing.retain(|key| !ids.contains(&key.id));
        Ok(self)
    }

    /// Names the keys that the other keyring does not have under the same id.
    pub fn keys_missing_in(&self, other: &Self) -> Vec<String> {
        let has = |key: &EncryptionKey| {
            let mut keys = other.sealing.iter();
            keys.any(|of_other| of_other.id == key.id && of_other.key == key.key)
        };
        let missing = self.sealing.iter().filter(|key| !has(key));
        let mut missing: Vec<String> = missing
            .map(|key| format!("encryption key {}", key.id))
            .collect();
        if self.fingerprint != other.fingerprint {
            missing.push("the fingerprint key".to_owned());
        }
        if self.api_keys != other.api_keys {
            missing.push("the api_keys key".to_owned());
        }
        missing
    }

    /// Lists, key by key, why the keys are easier to guess than random ones; empty if they are not.
    pub fn weaknesses(&self) -> Vec<String> {
        let mut keys: Vec<(String, &Key)> = self
            .sealing
            .iter()
            .map(|key| (format!("encryption key {}", key.id), &key.key))
            .collect();
        keys.push(("the fingerprint key".into(), &self.fingerprint));
        keys.push(("the api_keys key".into(), &self.api_keys));
        let mut weaknesses = Vec::new();
        for (place, (name, key)) in keys.iter().enumerate() {
            if let Some(flaw) = strength::flaw(key) {
                weaknesses.push(format!("{name} {flaw}"));
            }
            if let Some((same, _)) = keys[..place].iter().find(|(_, other)| other == key) {
                weaknesses.push(format!("{name} is the same as {same}"));
            }
        }
        weaknesses
    }
}

fn key_bytes(encoded: &str) -> Result<Key, KeyringError> {
    // Space for more than a key, so that a longer one is noticed.
    let mut bytes = Zeroizing::new([0u8; KEY_LENGTH + 4]);
    match BASE64.decode_slice(encoded, bytes.as_mut()) {
        Ok(KEY_LENGTH) => {}
        Err(DecodeSliceError::DecodeError(_)) => {
            return Err(KeyringError::Malformed("a key is not base64"));
        }
        Ok(_) | Err(DecodeSliceError::OutputSliceTooSmall) => {
            return Err(KeyringError::Malformed("a key is not 32 bytes"));
        }
    }
    let mut key = Key::default();
    key.copy_from_slice(&bytes[..KEY_LENGTH]);
    bytes.zeroize();
    if strength::flaw(&key) == Some(ONE_BYTE) {
        return Err(KeyringError::Malformed("a key is one byte repeated"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(file: &KeyringFile) -> String {
        String::from_utf8(file.to_json().to_vec()).unwrap()
    }

    fn fault(json: &str) -> String {
        KeyringFile::parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_keyring_reads_back_its_own_json() {
        let (file, _) = KeyringFile::generate().with_new_key().unwrap();
        let again = KeyringFile::parse(json(&file).as_bytes()).unwrap();
        assert_eq!((again.primary(), again.ids()), (1, vec![1, 2]));
        assert_eq!(json(&again), json(&file));
    }

    #[test]
    fn the_default_primary_is_the_highest_id() {
        let (file, _) = KeyringFile::generate().with_new_key().unwrap();
        let old = json(&file).replace("\"primary\": 1,", "");
        assert_eq!(KeyringFile::parse(old.as_bytes()).unwrap().primary(), 2);
        let unknown = json(&file).replace("\"primary\": 1,", "\"primary\": 3,");
        assert!(fault(&unknown).contains("primary"), "{}", fault(&unknown));
    }

    #[test]
    fn a_key_has_its_creation_time_unless_the_keyring_is_older() {
        let before = Utc::now().trunc_subsecs(0);
        let (file, _) = KeyringFile::generate().with_new_key().unwrap();
        let again = KeyringFile::parse(json(&file).as_bytes()).unwrap();
        for key in again.keys() {
            let created_at = key.created_at.unwrap();
            assert!((before..=Utc::now()).contains(&created_at), "{created_at}");
        }
        let mut written: serde_json::Value = serde_json::from_str(&json(&file)).unwrap();
        let first = written["sealing"][0].as_object_mut().unwrap();
        let time = first.remove("created_at").unwrap();
        assert!(time.as_str().unwrap().len() == "2026-11-24T10:00:00Z".len());
        let older = KeyringFile::parse(written.to_string().as_bytes()).unwrap();
        assert_eq!(older.keys()[0].created_at, None);
        assert_eq!(older.keys()[1].created_at, again.keys()[1].created_at);
        assert_eq!(json(&older).matches("created_at").count(), 1);
        written["sealing"][0]["created_at"] = "last year".into();
        let fault = fault(&written.to_string());
        assert!(fault.contains("not the JSON"), "{fault}");
    }

    #[test]
    fn a_key_is_added_promoted_and_dropped() {
        let (file, id) = KeyringFile::generate().with_new_key().unwrap();
        assert_eq!((id, file.primary()), (2, 1), "adding changes no primary");
        assert!(matches!(
            file.clone().without(&[1]),
            Err(KeyringError::Primary(1))
        ));
        let file = file.promoted();
        assert_eq!(file.primary(), 2);
        let file = file.without(&[1]).unwrap();
        assert_eq!((file.ids(), file.primary()), (vec![2], 2));
        let (file, id) = file.with_new_key().unwrap();
        assert_eq!((id, file.primary()), (3, 2), "no id is given twice");
    }

    #[test]
    fn the_keys_that_another_keyring_lacks_are_named() {
        let first = KeyringFile::generate();
        let (second, _) = first.clone().with_new_key().unwrap();
        assert_eq!(first.keys_missing_in(&second), [""; 0]);
        assert_eq!(second.keys_missing_in(&first), ["encryption key 2"]);
        let (other_key, _) = first.clone().with_new_key().unwrap();
        assert_eq!(second.keys_missing_in(&other_key), ["encryption key 2"]);
        assert_eq!(
            first.keys_missing_in(&KeyringFile::generate()),
            [
                "encryption key 1",
                "the fingerprint key",
                "the api_keys key"
            ]
        );
    }

    #[test]
    fn only_older_keys_that_are_not_in_use_are_droppable() {
        let mut file = KeyringFile::generate();
        for _ in 0..4 {
            file = file.with_new_key().unwrap().0;
        }
        file.primary = 4;
        let droppable = |in_use: &[u32]| file.droppable(&in_use.iter().copied().collect());
        assert_eq!(droppable(&[]), [1, 2, 3], "5 is newer than the primary");
        assert_eq!(droppable(&[2, 4, 99]), [1, 3]);
        assert_eq!(droppable(&[1, 2, 3]), [0; 0]);
    }

    #[test]
    fn invalid_keyrings_are_rejected() {
        let zero = BASE64.encode([0u8; 32]);
        let strong =
            |length: u8| BASE64.encode((0..length).map(|n| n.wrapping_mul(7)).collect::<Vec<_>>());
        let with = |key: &str| {
            format!(
                r#"{{"sealing":[{{"id":1,"key":"{key}"}}],"fingerprint":"{key}","api_keys":"{key}"}}"#
            )
        };
        let good = json(&KeyringFile::generate());
        for (bad, why) in [
            ("{}".to_owned(), "not the JSON"),
            (
                good.replace("\"id\": 1", "\"id\": 1, \"x\": 2"),
                "not the JSON",
            ),
            (
                format!(r#"{{"sealing":[],"fingerprint":"{zero}","api_keys":"{zero}"}}"#),
                "no encryption key",
            ),
            (with(&zero), "one byte repeated"),
            (with("?"), "not base64"),
            (with(&strong(3)), "not 32 bytes"),
            (with(&strong(31)), "not 32 bytes"),
            (with(&strong(33)), "not 32 bytes"),
            (with(&strong(99)), "not 32 bytes"),
            (
                good.replace(
                    "\"sealing\": [",
                    &format!("\"sealing\": [{{\"id\":1,\"key\":\"{}\"}},", strong(32)),
                ),
                "same id",
            ),
        ] {
            assert!(fault(&bad).contains(why), "{bad}: {}", fault(&bad));
        }
        assert!(KeyringFile::parse(with(&strong(32)).as_bytes()).is_ok());
    }

    #[test]
    fn weak_keys_are_named_but_not_shown() {
        let typed = "correct horse battery staple 123";
        assert_eq!(typed.len(), 32);
        let mut file = KeyringFile::generate();
        file.sealing.push(EncryptionKey {
            key: Box::new(Zeroizing::new(typed.as_bytes().try_into().unwrap())),
            ..EncryptionKey::fresh(7)
        });
        file.api_keys = file.fingerprint.clone();
        let weaknesses = file.weaknesses();
        assert_eq!(weaknesses.len(), 2, "{weaknesses:?}");
        assert!(
            weaknesses[0].starts_with("encryption key 7 "),
            "{weaknesses:?}"
        );
        assert!(weaknesses[1].contains("api_keys"), "{weaknesses:?}");
        let shown = format!("{file:?} {}", KeyringError::Weak(weaknesses));
        assert!(!shown.contains("horse") && !shown.contains(&BASE64.encode(typed)));
    }

    #[test]
    fn a_file_is_read_up_to_its_maximum_length() {
        let path = std::env::temp_dir().join(format!("khata-keyring-{}", uuid::Uuid::new_v4()));
        let file = KeyringFile::generate();
        std::fs::write(&path, file.to_json().as_slice()).unwrap();
        let read = KeyringFile::read_json(&path).unwrap();
        assert_eq!(read.as_slice(), file.to_json().as_slice());
        std::fs::write(&path, " ".repeat(MAX_LENGTH + 1)).unwrap();
        let fault = KeyringFile::read_json(&path).unwrap_err().to_string();
        assert!(fault.contains("too long"), "{fault}");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            KeyringFile::read_json(&path),
            Err(KeyringError::Unreadable { .. })
        ));
    }
}
