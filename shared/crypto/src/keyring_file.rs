//! A keyring as it is written down: JSON in a file, in a Kubernetes secret, or in the environment.
//!
//! ```json
//! {"primary":1,"sealing":[{"id":1,"created_at":"2026-11-24T10:00:00Z","key":"<base64, 32 bytes>"}],
//!  "fingerprint":"<base64, 32 bytes>","api_keys":"<base64, 32 bytes>"}
//! ```
//!
//! `primary` names the sealing key that seals, by default the one with the highest id; all of them open. A new key must
//! be known to every process before the first one seals with it, so a keyring is changed in two steps: a key is added,
//! and once it is everywhere it is promoted. `created_at` may be missing: nobody knows how old that key is. The other two keys
//! cannot be changed without computing anew what they made, so they stand apart.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::strength::{self, Flaw, Key};
use crate::secret_buf as wiped;

/// Length of every key.
pub(super) const KEY_LENGTH: usize = 32;
/// A keyring of a hundred keys is shorter.
const MAX_LENGTH: usize = 64 * 1024;

/// Why a keyring cannot be used. Never shows key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// Nobody said where the keys are.
    #[error(
        "there is no keyring: give --keyring-file (KHATA_KEYRING_FILE), or its JSON as KHATA_KEYRING"
    )]
    Missing,
    /// Two places at once.
    #[error(
        "there are two keyrings: a file (--keyring-file or KHATA_KEYRING_FILE) and KHATA_KEYRING; give one of them"
    )]
    Ambiguous,
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
    /// Keys that could be guessed, outside sandbox mode.
    #[error("the keyring is too weak to be used with real data: {}; `khata-api keyring generate` makes keys that are not", .0.join(", "))]
    Weak(Vec<String>),
    /// The key that seals cannot be taken out.
    #[error("sealing key {0} is the primary: promote another before this one is dropped")]
    Primary(u32),
}

/// What stands in the JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    primary: Option<u32>,
    sealing: Vec<WrittenKey>,
    fingerprint: Zeroizing<String>,
    api_keys: Zeroizing<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenKey {
    id: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<DateTime<Utc>>,
    key: Zeroizing<String>,
}

/// A key that seals, or that sealed and still opens.
#[derive(Clone)]
pub struct SealingKey {
    /// Stands in front of all that it sealed.
    pub id: u32,
    /// When it was made, in whole seconds; `None` where the keyring does not say.
    pub created_at: Option<DateTime<Utc>>,
    pub(super) key: Key,
}

impl SealingKey {
    fn fresh(id: u32) -> Self {
        Self {
            id,
            created_at: Some(Utc::now().trunc_subsecs(0)),
            key: strength::fresh_key(),
        }
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

/// A keyring that can be changed and written down again. It is whole: at least one sealing key, ids unique, a primary
/// that is among them, every key 32 bytes and not all alike.
#[derive(Clone)]
pub struct KeyringFile {
    primary: u32,
    /// By id.
    sealing: Vec<SealingKey>,
    fingerprint: Key,
    api_keys: Key,
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
    /// A fresh one, from the operating system's random numbers.
    pub fn generate() -> Self {
        Self {
            primary: 1,
            sealing: vec![SealingKey::fresh(1)],
            fingerprint: strength::fresh_key(),
            api_keys: strength::fresh_key(),
        }
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, KeyringError> {
        let unreadable = |source| KeyringError::Unreadable {
            path: path.display().to_string(),
            source,
        };
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let bytes = wiped::read(file, MAX_LENGTH)
            .map_err(unreadable)?
            .ok_or(KeyringError::Malformed("too long for a keyring"))?;
        let text = std::str::from_utf8(&bytes).map_err(|_| KeyringError::Malformed("not text"))?;
        Self::parse(text)
    }

    /// Reads the JSON.
    pub fn parse(json: &str) -> Result<Self, KeyringError> {
        let written: Written = serde_json::from_str(json)
            .map_err(|_| KeyringError::Malformed("not the JSON of a keyring"))?;
        let mut sealing = Vec::with_capacity(written.sealing.len());
        for key in &written.sealing {
            sealing.push(SealingKey {
                id: key.id,
                created_at: key.created_at,
                key: key_bytes(&key.key)?,
            });
        }
        sealing.sort_by_key(|key| key.id);
        let Some(newest) = sealing.last() else {
            return Err(KeyringError::Malformed("no sealing key"));
        };
        if sealing.windows(2).any(|pair| pair[0].id == pair[1].id) {
            return Err(KeyringError::Malformed("two sealing keys have the same id"));
        }
        let primary = written.primary.unwrap_or(newest.id);
        if sealing.iter().all(|key| key.id != primary) {
            return Err(KeyringError::Malformed(
                "the primary is not among the sealing keys",
            ));
        }
        Ok(Self {
            primary,
            sealing,
            fingerprint: key_bytes(&written.fingerprint)?,
            api_keys: key_bytes(&written.api_keys)?,
        })
    }

    /// The JSON; ends without a line break.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let encoded = |key: &Key| Zeroizing::new(BASE64.encode(&key[..]));
        let written = Written {
            primary: Some(self.primary),
            sealing: self
                .sealing
                .iter()
                .map(|key| WrittenKey {
                    id: key.id,
                    created_at: key.created_at,
                    key: encoded(&key.key),
                })
                .collect(),
            fingerprint: encoded(&self.fingerprint),
            api_keys: encoded(&self.api_keys),
        };
        wiped::pretty_json(&written)
    }

    /// The key that seals.
    pub fn primary(&self) -> u32 {
        self.primary
    }

    /// The sealing keys, by id.
    pub fn sealing(&self) -> &[SealingKey] {
        &self.sealing
    }

    /// The ids of the sealing keys, ascending.
    pub fn ids(&self) -> Vec<u32> {
        self.sealing.iter().map(|key| key.id).collect()
    }

    /// The same with one more sealing key, which seals nothing yet; and its id.
    pub fn with_new_key(mut self) -> Result<(Self, u32), KeyringError> {
        let newest = self.sealing.last().map_or(0, |key| key.id);
        let id = newest
            .checked_add(1)
            .ok_or(KeyringError::Malformed("the ids are used up"))?;
        self.sealing.push(SealingKey::fresh(id));
        Ok((self, id))
    }

    /// The same with its newest key as the primary.
    #[must_use]
    pub fn promoted(mut self) -> Self {
        self.primary = self.sealing.last().map_or(self.primary, |key| key.id);
        self
    }

    /// The sealing keys that are done with: older than the primary, and not among those in use. A newer one waits to be
    /// promoted.
    pub fn droppable(&self, in_use: &BTreeSet<u32>) -> Vec<u32> {
        let mut ids = self.ids();
        ids.retain(|id| *id < self.primary && !in_use.contains(id));
        ids
    }

    /// The same without these sealing keys; never without the primary.
    pub fn without(mut self, ids: &[u32]) -> Result<Self, KeyringError> {
        if ids.contains(&self.primary) {
            return Err(KeyringError::Primary(self.primary));
        }
        self.sealing.retain(|key| !ids.contains(&key.id));
        Ok(self)
    }

    /// What makes the keys easier to guess than random ones, key by key; nothing where they are as they should be.
    pub fn weaknesses(&self) -> Vec<String> {
        let mut keys: Vec<(String, &Key)> = self
            .sealing
            .iter()
            .map(|sealing| (format!("sealing key {}", sealing.id), &sealing.key))
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

    pub(super) fn fingerprint(&self) -> &[u8; KEY_LENGTH] {
        &self.fingerprint
    }

    pub(super) fn api_keys(&self) -> &[u8; KEY_LENGTH] {
        &self.api_keys
    }
}

fn key_bytes(encoded: &str) -> Result<Key, KeyringError> {
    // One byte more than a key has room, so that what is longer shows.
    let mut room = Zeroizing::new([0u8; KEY_LENGTH + 4]);
    let length = BASE64
        .decode_slice(encoded, room.as_mut())
        .map_err(|fault| match fault {
            base64::DecodeSliceError::DecodeError(_) => {
                KeyringError::Malformed("a key is not base64")
            }
            base64::DecodeSliceError::OutputSliceTooSmall => {
                KeyringError::Malformed("a key is not 32 bytes")
            }
        })?;
    if length != KEY_LENGTH {
        return Err(KeyringError::Malformed("a key is not 32 bytes"));
    }
    let mut key = Key::default();
    key.copy_from_slice(&room[..KEY_LENGTH]);
    room.zeroize();
    if strength::flaw(&key) == Some(Flaw::OneByte) {
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
        KeyringFile::parse(json).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let (file, _) = KeyringFile::generate().with_new_key().unwrap();
        let again = KeyringFile::parse(&json(&file)).unwrap();
        assert_eq!((again.primary(), again.ids()), (1, vec![1, 2]));
        assert_eq!(json(&again), json(&file));
    }

    #[test]
    fn a_keyring_that_names_no_primary_has_its_highest_id() {
        let (file, _) = KeyringFile::generate().with_new_key().unwrap();
        let old = json(&file).replace("\"primary\": 1,", "");
        assert_eq!(KeyringFile::parse(&old).unwrap().primary(), 2);
        let unknown = json(&file).replace("\"primary\": 1,", "\"primary\": 3,");
        assert!(fault(&unknown).contains("primary"), "{}", fault(&unknown));
    }

    #[test]
    fn a_key_has_the_time_it_was_made_at_unless_the_keyring_is_older() {
        let before = Utc::now().trunc_subsecs(0);
        let (file, _) = KeyringFile::generate().with_new_key().unwrap();
        let again = KeyringFile::parse(&json(&file)).unwrap();
        for key in again.sealing() {
            let created_at = key.created_at.unwrap();
            assert!((before..=Utc::now()).contains(&created_at), "{created_at}");
        }
        let mut written: serde_json::Value = serde_json::from_str(&json(&file)).unwrap();
        let first = written["sealing"][0].as_object_mut().unwrap();
        let time = first.remove("created_at").unwrap();
        assert!(time.as_str().unwrap().len() == "2026-11-24T10:00:00Z".len());
        let older = KeyringFile::parse(&written.to_string()).unwrap();
        assert_eq!(older.sealing()[0].created_at, None);
        assert_eq!(older.sealing()[1].created_at, again.sealing()[1].created_at);
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
    fn only_old_keys_that_nothing_needs_are_done_with() {
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
    fn what_is_no_keyring_is_refused() {
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
                "no sealing key",
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
        assert!(KeyringFile::parse(&with(&strong(32))).is_ok());
    }

    #[test]
    fn weak_keys_are_named_and_never_shown() {
        let typed = "correct horse battery staple 123";
        assert_eq!(typed.len(), 32);
        let mut file = KeyringFile::generate();
        file.sealing.push(SealingKey {
            key: Box::new(Zeroizing::new(typed.as_bytes().try_into().unwrap())),
            ..SealingKey::fresh(7)
        });
        file.api_keys = file.fingerprint.clone();
        let weaknesses = file.weaknesses();
        assert_eq!(weaknesses.len(), 2, "{weaknesses:?}");
        assert!(
            weaknesses[0].starts_with("sealing key 7 "),
            "{weaknesses:?}"
        );
        assert!(weaknesses[1].contains("api_keys"), "{weaknesses:?}");
        let shown = format!("{file:?} {}", KeyringError::Weak(weaknesses));
        assert!(!shown.contains("horse") && !shown.contains(&BASE64.encode(typed)));
    }

    #[test]
    fn a_file_is_read_up_to_a_length() {
        let path = std::env::temp_dir().join(format!("khata-keyring-{}", uuid::Uuid::new_v4()));
        let file = KeyringFile::generate();
        std::fs::write(&path, file.to_json().as_slice()).unwrap();
        assert_eq!(json(&KeyringFile::read(&path).unwrap()), json(&file));
        std::fs::write(&path, " ".repeat(MAX_LENGTH + 1)).unwrap();
        let fault = KeyringFile::read(&path).unwrap_err().to_string();
        assert!(fault.contains("too long"), "{fault}");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            KeyringFile::read(&path),
            Err(KeyringError::Unreadable { .. })
        ));
    }
}
