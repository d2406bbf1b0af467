//! Encryption, fingerprints and API keys: they protect the data if the database alone leaks.

mod api_key;
mod key_age;
mod keyring;
mod keyring_file;
pub mod secret_buf;
mod settings;
mod strength;
mod transit;

pub use api_key::{ApiKey, ApiKeyHash};
pub use key_age::RotateBy;
pub use keyring::{DecryptError, Keyring, LIMIT_LENGTH, Purpose, header, key_id};
pub use keyring_file::{EncryptionKey, KeyringError, KeyringFile};
pub use settings::KeyringSettings;
pub use transit::TransitSettings;
