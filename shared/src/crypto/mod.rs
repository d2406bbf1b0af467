//! Sealing, fingerprints and API keys: everything that a leak of the database alone must not undo.

mod api_key;
mod key_age;
mod keyring;
mod keyring_file;
mod strength;

pub use api_key::{ApiKey, ApiKeyHash};
pub use key_age::{MaxAge, RotateBy};
pub(crate) use keyring::header;
pub use keyring::{HEADER_LENGTH, Keyring, Purpose, SealFault, key_id};
pub use keyring_file::{KeyringFault, KeyringFile, SealingKey};
