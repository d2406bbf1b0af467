//! Settings of programs, as environment variables.

/// Name of the keyring's file in a stack's folder.
pub(crate) const KEYRING: &str = "keyring.json";

/// Name and value of an environment variable.
pub(crate) type Setting = (String, String);
pub(crate) type Settings = Vec<Setting>;

pub(crate) fn settings(pairs: &[(&str, &str)]) -> Settings {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
