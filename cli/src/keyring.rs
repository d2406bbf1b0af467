//! `khata-api keyring`: keys are made, added, promoted, and dropped once nothing needs them. A keyring goes to standard
//! output, to be piped to where it is kept; what is said about it goes to standard error.

mod age;
mod output;
mod progress;
mod rotate;
mod show;

use khata_crypto::KeyringFile;
use khata_crypto::KeyringSettings;
use khata_store::DatabaseSettings;
use khata_store::rotation;

use super::connect_patiently;
use output::Output;
use rotate::Rotate;
use show::Show;

/// Keyrings.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum KeyringCommand {
    /// Print a fresh keyring; put it where only the services can read it, and keep a copy: without it the data is lost
    Generate {
        /// Where it goes
        #[command(flatten)]
        output: Output,
    },
    /// Print the keyring with one more sealing key, which seals nothing until it is promoted; give it to every process
    Add {
        /// The keys
        #[command(flatten)]
        keyring: KeyringSettings,
        /// Where it goes
        #[command(flatten)]
        output: Output,
    },
    /// Print the keyring with its newest sealing key as the primary, once every process knows that key
    Promote {
        /// The keys
        #[command(flatten)]
        keyring: KeyringSettings,
        /// Where it goes
        #[command(flatten)]
        output: Output,
    },
    /// Seal anew, under the primary, everything that another key sealed; while the services run, and as often as need be
    Rotate(Rotate),
    /// Print the keyring without the old sealing keys that nothing in the database needs, once every process has the
    /// primary
    Prune {
        /// Where Postgres is
        #[command(flatten)]
        database: DatabaseSettings,
        /// The keys
        #[command(flatten)]
        keyring: KeyringSettings,
        /// Where it goes
        #[command(flatten)]
        output: Output,
    },
    /// Show the sealing keys: their age, which one is the primary and by when it is to be replaced, and with a database how many
    /// values each one sealed
    ///
    /// With a database, the exit code is 1 if the keyring is not the one that the database was written with: a key is
    /// missing, or does not open what was sealed under its id. Of each, some values are tried.
    Show(Show),
}

impl KeyringCommand {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Generate { output } => output.write(&KeyringFile::generate()),
            Self::Add { keyring, output } => {
                let (file, id) = read(&keyring)?.with_new_key()?;
                output.write(&file)?;
                eprintln!(
                    "khata-api: sealing key {id} is new; {} is still the primary.",
                    file.primary()
                );
                Ok(())
            }
            Self::Promote { keyring, output } => {
                let file = read(&keyring)?;
                let was = file.primary();
                let file = file.promoted();
                output.write(&file)?;
                if file.primary() == was {
                    eprintln!("khata-api: sealing key {was} was the primary already.");
                } else {
                    eprintln!(
                        "khata-api: sealing key {} is the primary in place of {was}.",
                        file.primary()
                    );
                }
                Ok(())
            }
            Self::Rotate(rotate) => rotate.run(),
            Self::Prune {
                database,
                keyring,
                output,
            } => prune(&database, read(&keyring)?, &output),
            Self::Show(show) => show.run(),
        }
    }
}

/// The keyring as it stands; of weak keys it is told, but they may be in it: this is how one gets rid of them.
fn read(settings: &KeyringSettings) -> anyhow::Result<KeyringFile> {
    let file = settings.read()?;
    for weakness in file.weaknesses() {
        eprintln!("khata-api: {weakness}: outside sandbox mode no service starts with it.");
    }
    Ok(file)
}

fn prune(database: &DatabaseSettings, file: KeyringFile, output: &Output) -> anyhow::Result<()> {
    let primary = file.primary();
    let in_use = rotation::keys_in_use(&mut connect_patiently(&database.database_url)?)?;
    let dropped = file.droppable(&in_use);
    let kept: Vec<u32> = file
        .ids()
        .into_iter()
        .filter(|id| *id != primary && !dropped.contains(id))
        .collect();
    let file = file.without(&dropped)?;
    output.write(&file)?;
    for id in dropped {
        eprintln!("khata-api: dropped sealing key {id}: nothing is sealed under it.");
    }
    for id in kept {
        if id > primary {
            eprintln!("khata-api: kept sealing key {id}: it is newer than the primary {primary}.");
        } else {
            eprintln!(
                "khata-api: kept sealing key {id}: values are sealed under it; `khata-api keyring rotate` seals them anew."
            );
        }
    }
    Ok(())
}
