//! Why an account or an event cannot be shown.

/// Why an account or an event cannot be shown. The function that returns the error has logged it with the account's id.
#[derive(Debug, thiserror::Error)]
pub enum PresentError {
    #[error("cannot decrypt an account; check that the keyring holds its key")]
    Encrypted,
    #[error("cannot parse a decrypted account")]
    Unreadable,
    #[error("the account belongs to another merchant than the event")]
    OtherMerchant,
    #[error("the event is not JSON")]
    NotJson,
}
