//! The settings of the keyring. `--help` of each binary lists them.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use zeroize::Zeroizing;

use super::key_age::RotateBy;
use super::keyring::Keyring;
use super::keyring_file::{KeyringError, KeyringFile};
use super::transit::{self, TransitSettings};

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
    #[command(flatten)]
    pub transit: TransitSettings,
}

impl KeyringSettings {
    /// Loads the keyring. Rejects weak keys, and a file that other users can read, outside sandbox mode; in sandbox mode only
    /// logs them.
    pub fn load(&self, sandbox_mode: bool) -> Result<Keyring, KeyringError> {
        let file = self.read()?;
        match self.check_mode() {
            Err(exposed) if sandbox_mode => {
                tracing::warn!(%exposed, "keyring file open to other users: rejected outside sandbox mode");
            }
            checked => checked?,
        }
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

    /// Checks that other users of the machine cannot read or change the keyring's file, if there is one.
    pub fn check_mode(&self) -> Result<(), KeyringError> {
        self.keyring_file
            .as_deref()
            .map_or(Ok(()), KeyringFile::check_mode)
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
            &self.transit,
        )
    }
}

impl KeyringFile {
    /// Reads a keyring's file, after the transit engine has decrypted it if it encrypted it. Accepts weak keys.
    pub fn read(path: &Path, transit: &TransitSettings) -> Result<Self, KeyringError> {
        parse(&Self::read_json(path)?, transit)
    }
}

fn read_keyring(
    file: Option<&Path>,
    json: Option<&[u8]>,
    transit: &TransitSettings,
) -> Result<KeyringFile, KeyringError> {
    match (file, json) {
        (None, None) => Err(KeyringError::Missing),
        (Some(_), Some(_)) => Err(KeyringError::Ambiguous),
        (Some(file), None) => KeyringFile::read(file, transit),
        (None, Some(json)) => parse(json, transit),
    }
}

/// Parses the JSON of a keyring, after the transit engine has decrypted it if it encrypted it.
fn parse(json: &[u8], transit: &TransitSettings) -> Result<KeyringFile, KeyringError> {
    match transit::ciphertext(json) {
        Some(ciphertext) => KeyringFile::parse(&transit.decrypt(&ciphertext)?),
        None => KeyringFile::parse(json),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_keyring_has_exactly_one_source() {
        let transit = TransitSettings::default();
        let read = |file: Option<&Path>, json: Option<&[u8]>| read_keyring(file, json, &transit);
        let json = KeyringFile::generate().to_json();
        let path = std::env::temp_dir().join(format!("khata-config-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, json.as_slice()).unwrap();
        assert!(read(Some(&path), None).is_ok());
        assert!(read(None, Some(&json)).is_ok());
        assert!(matches!(
            read(Some(&path), Some(&json)),
            Err(KeyringError::Ambiguous)
        ));
        assert!(matches!(read(None, None), Err(KeyringError::Missing)));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(
            read(None, Some(b"\xff")),
            Err(KeyringError::Malformed(_))
        ));
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_other_users_can_read_or_change_is_accepted_in_the_sandbox_only() {
        let path = std::env::temp_dir().join(format!("khata-config-{}", uuid::Uuid::new_v4()));
        let settings = KeyringSettings {
            keyring_file: Some(path.clone()),
            key_max_age_days: 365,
            transit: TransitSettings::default(),
        };
        std::fs::write(&path, KeyringFile::generate().to_json().as_slice()).unwrap();
        // The file belongs to the user of this process.
        for (mode, accepted) in [
            (0o600, true),
            (0o400, true),
            (0o644, false),
            (0o640, false),
            (0o440, false),
            (0o604, false),
            (0o602, false),
            (0o620, false),
        ] {
            set_mode(&path, mode);
            let loaded = settings.load(false);
            assert_eq!(loaded.is_ok(), accepted, "{mode:o}");
            if let Err(error) = loaded {
                assert!(error.to_string().contains("chmod 600"), "{error}");
            }
            assert!(settings.load(true).is_ok(), "{mode:o}");
        }
        std::fs::remove_file(&path).unwrap();
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
            transit: TransitSettings::default(),
        };
        std::fs::write(&path, value.to_string()).unwrap();
        set_mode(&path, 0o600);
        assert!(settings.load(true).is_ok());
        let fault = settings.load(false).unwrap_err().to_string();
        assert!(fault.contains("api_keys"), "{fault}");
        std::fs::write(&path, json).unwrap();
        set_mode(&path, 0o600);
        assert!(settings.load(false).is_ok());
        std::fs::remove_file(&path).unwrap();
    }
}
