//! `khata migrate`.

use khata_store::DatabaseSettings;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Migrate {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let ran = khata_store::migrate(&self.database.database_url)?;
        if ran.is_empty() {
            println!("The schema is up to date.");
        }
        for name in ran {
            println!("Ran {name}.");
        }
        Ok(())
    }
}
