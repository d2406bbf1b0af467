//! `khata-api account retry`.

use anyhow::{Context, bail};
use chrono::Utc;
use diesel::{Connection, PgConnection};
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountStatus, ValidationId, ValidationState};
use khata_store::DatabaseSettings;
use khata_store::accounts::{Revalidation, ValidateAgain, validate_again};
use khata_store::inspect::Account;
use khata_store::retry::{RetryResult, retry_now};
use khata_store::{audit, merchants};
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
        let id = account.id;
        if account.status == AccountStatus::Deleted {
            bail!("account {id} is deleted: there is nothing to validate");
        }
        let validation = account
            .validation()
            .with_context(|| format!("account {id} has no validation"))?;
        let (validation, was) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let made = retry_now(connection, validation)?
                .with_context(|| format!("the validation {} of account {id} is gone", validation.id))?;
            let (validation, was) = match made {
                RetryResult::MadeDue { was } => (validation.id, was),
                RetryResult::Leased { until } => bail!(
                    "a worker is on account {id} now and holds it until {} at the latest: look again then",
                    time(until)
                ),
                RetryResult::Completed { .. } if account.status != AccountStatus::Failure => {
                    bail!("account {id} is {}: there is nothing to retry", account.status)
                }
                RetryResult::Completed { .. } => (begin(connection, &account)?, ValidationState::Completed),
            };
            let detail = json!({ "validation_id": validation.to_string(), "was": was });
            audit::record(connection, account.merchant, "account.retry", &id.to_string(), &detail)?;
            Ok((validation, was))
        })?;
        let told = json!({
            "account_id": id.to_string(),
            "merchant_id": account.merchant.to_string(),
            "validation_id": validation.to_string(),
            "was": was,
        });
        print(
            self.json,
            &told,
            &format!(
                "The validation of account {id} was {was}; validation {validation} is due now, and a worker takes it up within seconds. \
                 `khata-api account show {id}` tells how it went."
            ),
        )
    }
}

/// Begins another validation, as the merchant could. That these details were validated often does not keep ops from it, and
/// the earlier result is what they do not believe.
fn begin(connection: &mut PgConnection, account: &Account) -> anyhow::Result<ValidationId> {
    let merchant = merchants::find(connection, &account.merchant.to_string())?
        .context("the merchant of this account is gone")?;
    let (validation, now) = (ValidationId::new(), Utc::now());
    let again = ValidateAgain {
        merchant: merchant.id,
        customer: CustomerRef::Id(account.customer),
        account: account.id,
        kind: None,
        validation,
        pin: None,
        consent: None,
        trace_parent: None,
        now,
        deadline_at: now + merchant.validation_deadline(),
        awaited_until: None,
        validations_per_day: i16::MAX,
        fresh: true,
    };
    match validate_again(connection, &again)? {
        Revalidation::Started(_) => Ok(validation),
        Revalidation::AlreadyOpen(_, open) => Ok(open.id),
        Revalidation::TooMany(_) | Revalidation::Deleted | Revalidation::NotFound => {
            bail!(
                "account {} was changed meanwhile: look at it again",
                account.id
            )
        }
    }
}
