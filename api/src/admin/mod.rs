//! Commands for ops people, who have a shell beside the service and no HTTP client. Each writes the audit log.

mod gateway;
mod healthcheck;
mod key;
mod keyring;
mod merchant;

pub use gateway::GatewayCommand;
pub use healthcheck::healthcheck;
pub use key::KeyCommand;
pub use keyring::KeyringCommand;
pub use merchant::MerchantCommand;

use anyhow::Context;
use diesel::{Connection, PgConnection};
use khata_shared::store::merchants::{self, Merchant};

fn connect(database_url: &str) -> anyhow::Result<PgConnection> {
    PgConnection::establish(database_url).context("cannot connect to the database")
}

fn find_merchant(connection: &mut PgConnection, name_or_id: &str) -> anyhow::Result<Merchant> {
    merchants::find(connection, name_or_id)?.with_context(|| {
        format!("there is no merchant {name_or_id:?}; `khata-api merchant create` makes one")
    })
}

/// Prints the JSON, or the sentence for a person.
fn print(json: bool, value: &serde_json::Value, sentence: &str) {
    if json {
        println!("{value}");
    } else {
        println!("{sentence}");
    }
}
