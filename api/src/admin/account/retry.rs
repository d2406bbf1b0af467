//! `khata-api account retry`.

use anyhow::{Context, bail};
use diesel::Connection;
use khata_shared::config::DatabaseSettings;
use khata_shared::domain::AccountStatus;
use khata_shared::store::audit;
use khata_shared::store::retry::{MadeDue, make_due};
use serde_json::json;

use super::super::table::time;
use super::super::{connect, print};
use super::WhichAccount;

/// `khata-api account retry`.
#[derive(Clone, Debug, clap::Args)]
pub struct Retry {
    #[command(flatten)]
    which: WhichAccount,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Retry {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut connection = connect(&self.database.database_url)?;
        let account = self.which.find(&mut connection)?;
        let id = account.id();
        if account.status == AccountStatus::Deleted.as_str() {
            bail!("account {id} is deleted: there is nothing to validate");
        }
        let validation = account
            .validation()
            .with_context(|| format!("account {id} has no validation"))?;
        let was = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let made = make_due(connection, validation)?
                .with_context(|| format!("the validation {} of account {id} is gone", validation.id))?;
            let was = match made {
                MadeDue::Done { was } => was,
                MadeDue::Held { until } => bail!(
                    "a worker is on account {id} now and holds it until {} at the latest: look again then",
                    time(until)
                ),
                MadeDue::Completed { outcome } => bail!(
                    "account {id} is {}, its validation {outcome}: final; the merchant can validate it again",
                    account.status
                ),
            };
            let detail = json!({ "validation_id": validation.id.to_string(), "was": was });
            audit::record(connection, account.merchant(), "account.retry", &id.to_string(), &detail)?;
            Ok(was)
        })?;
        let told = json!({
            "account_id": id.to_string(),
            "merchant_id": account.merchant().to_string(),
            "validation_id": validation.id.to_string(),
            "was": was,
            "state": "DUE",
        });
        print(
            self.json,
            &told,
            &format!(
                "The validation of account {id} was {was} and is due now; a worker takes it up within seconds. \
                 `khata-api account show {id}` tells how it went."
            ),
        )
    }
}
