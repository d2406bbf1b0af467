//! `khata keyring`: creates, extends, promotes, rotates and prunes keyrings.
//!
//! A keyring goes to standard output, for a pipe to the place where it is kept; messages go to standard error.

mod file;
mod rotate;
mod show;

use anyhow::bail;
use khata_crypto::{KeyringFile, KeyringSettings, TransitSettings};
use khata_store::{DatabaseSettings, rotation};

use crate::options::connect_without_timeout;
use crate::output::note;
use file::{Output, read};

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum KeyringCommand {
    /// Print a new keyring; store it where only the services can read it, and keep a copy: without it the data is lost
    Generate {
        #[command(flatten)]
        transit: TransitSettings,
        #[command(flatten)]
        output: Output,
    },
    /// Print the keyring encrypted by the transit key of the OpenBao or Vault server at KHATA_VAULT_URL
    ///
    /// The other commands that print a keyring, except decrypt, encrypt it too while KHATA_VAULT_URL is set.
    Encrypt {
        #[command(flatten)]
        keyring: KeyringSettings,
        #[command(flatten)]
        output: Output,
    },
    /// Print the keyring without the encryption of the transit engine: the copy to keep offline, in case the engine is lost
    Decrypt {
        #[command(flatten)]
        keyring: KeyringSettings,
        #[command(flatten)]
        output: Output,
    },
    /// Print the keyring with a new encryption key, which is unused until it is promoted; give it to every process
    Add {
        #[command(flatten)]
        keyring: KeyringSettings,
        #[command(flatten)]
        output: Output,
    },
    /// Print the keyring with its newest encryption key as the primary, once every process knows that key
    Promote {
        #[command(flatten)]
        keyring: KeyringSettings,
        #[command(flatten)]
        output: Output,
    },
    /// Re-encrypt under the primary key all data of other keys; safe while the services run, and to repeat
    Rotate(rotate::Rotate),
    /// Print the keyring without the old encryption keys that no data needs, once every process has the primary
    Prune {
        #[command(flatten)]
        database: DatabaseSettings,
        #[command(flatten)]
        keyring: KeyringSettings,
        #[command(flatten)]
        output: Output,
    },
    /// Show the encryption keys: age, which one is the primary and when to replace it, and with a database the number of
    /// values of each key
    ///
    /// With a database, the exit code is 1 if the keyring does not fit the database: a key is missing, or cannot decrypt
    /// values that carry its id. Some values of each key are tried.
    Show(show::Show),
}

impl KeyringCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Generate { transit, output } => output.write(&KeyringFile::generate(), &transit),
            Self::Encrypt { keyring, output } => {
                if !keyring.transit.is_set() {
                    bail!("there is no transit engine: set --vault-url (KHATA_VAULT_URL)");
                }
                output.write(&read(&keyring)?, &keyring.transit)
            }
            Self::Decrypt { keyring, output } => {
                output.write_plain(&read(&keyring)?, &keyring.transit)
            }
            Self::Add { keyring, output } => {
                let (file, id) = read(&keyring)?.with_new_key()?;
                output.write(&file, &keyring.transit)?;
                let primary = file.primary();
                note(&format!(
                    "added encryption key {id}; {primary} is still the primary."
                ));
                Ok(())
            }
            Self::Promote { keyring, output } => {
                let file = read(&keyring)?;
                let old = file.primary();
                let file = file.promoted();
                let new = file.primary();
                if new == old {
                    bail!(
                        "nothing to promote: encryption key {old} is the newest one, and already the primary. If \
                         `khata keyring add` wrote a newer key, let --keyring-file (KHATA_KEYRING_FILE) name its file"
                    );
                }
                output.write(&file, &keyring.transit)?;
                note(&format!(
                    "encryption key {new} replaces {old} as the primary."
                ));
                Ok(())
            }
            Self::Rotate(rotate) => rotate.run(),
            Self::Prune {
                database,
                keyring,
                output,
            } => prune(&database, &keyring, &output),
            Self::Show(show) => show.run(),
        }
    }
}

fn prune(
    database: &DatabaseSettings,
    keyring: &KeyringSettings,
    output: &Output,
) -> anyhow::Result<()> {
    let file = read(keyring)?;
    let primary = file.primary();
    let mut connection = connect_without_timeout(&database.database_url)?;
    let dropped = file.droppable(&rotation::keys_in_use(&mut connection)?);
    let pruned = file.clone().without(&dropped)?;
    output.write_pruned(&file, &pruned, &keyring.transit)?;
    for id in &dropped {
        note(&format!(
            "dropped encryption key {id}: no data is encrypted with it."
        ));
    }
    for id in file.ids() {
        if id > primary {
            note(&format!(
                "kept encryption key {id}: it is newer than the primary {primary}."
            ));
        } else if id != primary && !dropped.contains(&id) {
            note(&format!(
                "kept encryption key {id}: data is encrypted with it; re-encrypt it with `khata keyring rotate`."
            ));
        }
    }
    Ok(())
}
