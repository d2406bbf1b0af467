//! The settings of the keyring. `--help` of each binary lists them.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::key_age::RotateBy;
use super::keyring::Keyring;
use super::keyring_file::{KeyringError, KeyringFile};

/// Environment variable for the keyring's JSON, for a Kubernetes secret. There is no flag for it, as every user of the machine
/// sees flags.
const KEYRING_VARIABLE: &str = "KHATA_KEYRING";

/// Settings of the keyring.
#[derive(Clone, Debug, clap::Args)]
pub struct KeyringSettings {
    /// File with the keyring's JSON, from `khata keyring generate`; instead, the environment variable KHATA_KEYRING can hold
    /// the JSON itself
    #[arg(long, env = "KHATA_KEYRING_FILE")]
    keyring_file: Option<PathBuf>,
    /// Maximum age of the primary encryption key in days, for /metrics and `khata keyring show`; 0: no maximum
    #[arg(long, env = "KHATA_KEY_MAX_AGE_DAYS", default_value_t = 365, value_parser = clap::value_parser!(u16).range(..=3_650))]
    pub key_max_age_days: u16,
}

impl KeyringSettings {
    /// Loads the keyring. Rejects weak keys outside sandbox mode; in sandbox mode only logs them.
    pub fn load(&self, sandbox_mode: bool) -> Result<Keyring, KeyringError> {
        let file = self.read()?;
        let weaknesses = file.weaknesses();
        if !weaknesses.is_empty() {
            if !sandbox_mode {
                return Err(KeyringError::Weak(weaknesses));
            }
            tracing::warn!(
                weaknesses = weaknesses.join(", "),
                "weak keys in the keyring: outside sandbox mode they are rejected"
            );
        }
        Ok(Keyring::from(&file))
    }

    /// Returns when the primary key, which was created at this time, must be replaced.
    pub fn rotate_by(&self, created_at: Option<DateTime<Utc>>) -> RotateBy {
        RotateBy::of(created_at, self.key_max_age_days)
    }

    /// Reads the keyring to change it; accepts weak keys.
    pub fn read(&self) -> Result<KeyringFile, KeyringError> {
        let json = std::env::var_os(KEYRING_VARIABLE)
            .filter(|json| !json.is_empty())
            .map(|json| Zeroizing::new(json.into_encoded_bytes()));
        read_keyring(
            self.keyring_file.as_deref(),
            json.as_deref().map(Vec::as_slice),
        )
    }
}

fn read_keyring(file: Option<&Path>, json: Option<&[u8]>) -> Result<KeyringFile, KeyringError> {
    match (file, json) {
        (None, None) => Err(KeyringError::Missing),
        (Some(_), Some(_)) => Err(KeyringError::Ambiguous),
        (Some(file), None) => KeyringFile::read(file),
        (None, Some(json)) => KeyringFile::parse(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyring_has_exactly_one_source() {
        let json = KeyringFile::generate().to_json();
        let path = std::env::temp_dir().join(format!("khata-config-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, json.as_slice()).unwrap();
        assert!(read_keyring(Some(&path), None).is_ok());
        assert!(read_keyring(None, Some(&json)).is_ok());
        assert!(matches!(
            read_keyring(Some(&path), Some(&json)),
            Err(KeyringError::Ambiguous)
        ));
        assert!(matches!(
            read_keyring(None, None),
            Err(KeyringError::Missing)
        ));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            read_keyring(None, Some(b"\xff")),
            Err(KeyringError::Malformed(_))
        ));
    }

    #[test]
    fn weak_keys_are_accepted_in_the_sandbox_only() {
        let file = KeyringFile::generate();
        let json = String::from_utf8(file.to_json().to_vec()).unwrap();
        // The same key twice.
        let mut value: serde_json::Value = serde_json::from_str(&json).unwrap();
        value["api_keys"] = value["fingerprint"].clone();
        let path = std::env::temp_dir().join(format!("khata-config-{}", uuid::Uuid::new_v4()));
        let settings = KeyringSettings {
            keyring_file: Some(path.clone()),
            key_max_age_days: 365,
        };
        std::fs::write(&path, value.to_string()).unwrap();
        assert!(settings.load(true).is_ok());
        let fault = settings.load(false).unwrap_err().to_string();
        assert!(fault.contains("api_keys"), "{fault}");
        std::fs::write(&path, json).unwrap();
        assert!(settings.load(false).is_ok());
        std::fs::remove_file(&path).unwrap();
    }
}
