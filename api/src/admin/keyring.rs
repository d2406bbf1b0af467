//! `khata-api keyring`.

use khata_shared::crypto::Keyring;

/// Keyrings.
#[derive(Clone, Copy, Debug, clap::Subcommand)]
pub enum KeyringCommand {
    /// Print a fresh keyring; put it where only the services can read it, and keep a copy: without it the data is lost
    Generate,
}

impl KeyringCommand {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Generate => println!("{}", *Keyring::generate()),
        }
        Ok(())
    }
}
