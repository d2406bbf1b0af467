//! Sealing, fingerprints and API keys: everything that a leak of the database alone must not undo.

mod api_key;
mod keyring;

pub use api_key::{ApiKey, ApiKeyHash};
pub use keyring::{Keyring, KeyringFault, Purpose, SealFault};
