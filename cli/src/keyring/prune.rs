//! `khata keyring prune`.

use khata_crypto::KeyringSettings;
use khata_store::{DatabaseSettings, rotation};

use super::file::{Output, read};
use crate::database::connect_without_timeout;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Prune {
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    keyring: KeyringSettings,
    #[command(flatten)]
    output: Output,
}

impl Prune {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let file = read(&self.keyring)?;
        let primary = file.primary();
        let mut connection = connect_without_timeout(&self.database.database_url)?;
        let in_use = rotation::keys_in_use(&mut connection)?;
        let dropped = file.droppable(&in_use);
        let kept: Vec<u32> = file
            .ids()
            .into_iter()
            .filter(|id| *id != primary && !dropped.contains(id))
            .collect();
        let file = file.without(&dropped)?;
        self.output.write(&file)?;
        for id in dropped {
            eprintln!("khata: dropped encryption key {id}: no data is encrypted with it.");
        }
        for id in kept {
            if id > primary {
                eprintln!(
                    "khata: kept encryption key {id}: it is newer than the primary {primary}."
                );
            } else {
                eprintln!(
                    "khata: kept encryption key {id}: data is encrypted with it; re-encrypt it with `khata keyring rotate`."
                );
            }
        }
        Ok(())
    }
}
