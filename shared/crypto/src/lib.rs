//! Sealing, fingerprints and API keys: everything that a leak of the database alone must not undo.

mod api_key;
mod key_age;
mod keyring;
mod keyring_file;
pub mod secret_buf;
mod settings;
mod strength;

pub use api_key::{ApiKey, ApiKeyHash};
pub use key_age::{MaxAge, RotateBy};
pub use keyring::{DecryptError, HEADER_LENGTH, Keyring, Purpose, header, key_id};
pub use keyring_file::{KeyringError, KeyringFile, SealingKey};
pub use settings::KeyringSettings;
