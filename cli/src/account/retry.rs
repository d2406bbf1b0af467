//! `khata account retry`.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use diesel::{Connection, PgConnection};
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountStatus, ValidationId, ValidationState};
use khata_store::accounts::{Revalidation, ValidateAgain, ValidationTerms, validate_again};
use khata_store::audit::{self, Changes};
use khata_store::inspect::Account;
use khata_store::merchants;
use khata_store::retry::{RetryResult, retry_now};
use serde_json::json;

use super::history::History;
use super::price::Price;
use super::retry_all::{Selection, retry_all};
use super::which::{AnyId, WhichAccount, parse};
use crate::options::{CommonOptions, OperatorOptions};
use crate::output::time;
use crate::times::parse_past;

#[derive(Clone, Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "the command's own flags")]
#[command(group = clap::ArgGroup::new("retried").required(true).args(["account", "all"]))]
pub(crate) struct Retry {
    /// Id of the account (banh_…) or of one of its validations (val_…), either also as the UUID that Postgres shows; or
    /// our reference at a gateway (kh…_01)
    #[arg(value_name = "ACCOUNT", value_parser = parse)]
    account: Option<AnyId>,
    /// Retry every validation of the merchant that waits for a later time, at most 100,000
    #[arg(long, requires = "merchant")]
    all: bool,
    /// Name or id of the merchant; required with --all
    #[arg(long)]
    merchant: Option<String>,
    /// With --all, only validations whose newest attempt was at this gateway or gateway account (gwa_…), and those without an attempt
    #[arg(long, value_name = "GATEWAY", requires = "all")]
    gateway: Option<String>,
    /// With --all, only validations that were created since then: 2h (also 30m, 7d), "2026-11-29 15:30 IST", or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = parse_past, requires = "all")]
    since: Option<DateTime<Utc>>,
    /// With --all, only validations that were set aside after ten failed steps: their steps are counted from the beginning
    #[arg(long, requires = "all")]
    set_aside: bool,
    /// Validate an account that is FAILURE again, which may pay another rupee, beyond the daily budget too
    #[arg(long, conflicts_with_all = ["all", "dry_run"])]
    yes: bool,
    /// Only say what the retry would do and may cost, or with --all count the validations; change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    common: CommonOptions,
    #[command(flatten)]
    operator: OperatorOptions,
}

impl Retry {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if let Some(account) = self.account {
            let which = WhichAccount::new(account, self.merchant, self.common);
            return retry(&which, self.yes, self.dry_run, &self.operator);
        }
        let merchant = self.merchant.as_deref();
        let selection = Selection {
            merchant: merchant.context("--merchant is missing")?,
            gateway: self.gateway.as_deref(),
            since: self.since,
            set_aside: self.set_aside,
            dry_run: self.dry_run,
        };
        retry_all(&selection, &self.common, &self.operator)
    }
}

fn retry(
    which: &WhichAccount,
    yes: bool,
    dry_run: bool,
    operator: &OperatorOptions,
) -> anyhow::Result<()> {
    let actor = (!dry_run).then(|| operator.actor()).transpose()?;
    let mut connection = which.common.connect()?;
    let account = which.find(&mut connection)?;
    let (id, merchant) = (account.id.to_string(), account.merchant);
    let price = price(&mut connection, &account)?;
    let mut document = json!({
        "account_id": id,
        "merchant_id": merchant.to_string(),
        "dry_run": dry_run,
        "begins_validation": price.is_some(),
        "price": price.as_ref().map(Price::json),
    });
    let costs = price.as_ref().map(Price::to_string);
    let Some(actor) = actor else {
        let does = costs.unwrap_or_else(|| {
            format!(
                "A retry makes the open validation of account {id} due now. It begins no other one."
            )
        });
        let sentence = format!("{does} Nothing was changed.");
        return which.common.print(&document, &sentence);
    };
    if let Some(costs) = costs.as_ref().filter(|_| !yes) {
        bail!("{costs} Nothing was changed. To begin it, add --yes");
    }
    let (validation, was) = connection.transaction(|connection| {
        let (validation, was) = retry_account(connection, &account, yes)?;
        let about = json!({ "validation_id": validation.to_string() });
        let changes = Changes::of("state", was.as_str(), ValidationState::Due.as_str());
        let action = "account.retry";
        audit::record(connection, merchant, &actor, action, &id, about, &changes)?;
        anyhow::Ok((validation, was))
    })?;
    document["validation_id"] = validation.to_string().into();
    document["was"] = was.as_str().into();
    let costs = costs.map_or_else(String::new, |costs| format!("{costs}\n"));
    let sentence = format!(
        "{costs}The validation of account {id} was {was}. Validation {validation} is due now; a worker claims it within \
         seconds. See the result with `khata account show {id}`."
    );
    which.common.print(&document, &sentence)
}

/// Returns what the validation may cost that a retry begins; `None` if a retry makes the open one due. Fails if there is nothing to retry.
fn price(connection: &mut PgConnection, account: &Account) -> anyhow::Result<Option<Price>> {
    let (id, status) = (account.id, account.status);
    if status == AccountStatus::Deleted {
        bail!("account {id} is deleted: there is nothing to validate");
    }
    let history = History::read(connection, account.clone())?;
    match (history.is_final(), status) {
        (false, _) => Ok(None),
        (true, AccountStatus::Failure) => Price::read(connection, &history).map(Some),
        (true, _) => bail!("account {id} is {status}: there is nothing to retry"),
    }
}

/// Makes the open validation due, or begins a new one after a failure if the operator agreed. Returns the validation's id, and the state
/// before.
fn retry_account(
    connection: &mut PgConnection,
    account: &Account,
    yes: bool,
) -> anyhow::Result<(ValidationId, ValidationState)> {
    let (id, status) = (account.id, account.status);
    let validation = account.validation();
    let validation = validation.with_context(|| format!("account {id} has no validation"))?;
    let validation_id = validation.id;
    let made = retry_now(connection, validation)?
        .with_context(|| format!("validation {validation_id} of account {id} does not exist"))?;
    match made {
        RetryResult::MadeDue { was } => Ok((validation_id, was)),
        RetryResult::Leased { until } => bail!(
            "a worker holds account {id} until {} at the latest; try again then",
            time(until)
        ),
        RetryResult::Completed { .. } if status != AccountStatus::Failure => {
            bail!("account {id} is {status}: there is nothing to retry")
        }
        RetryResult::Completed { .. } if !yes => {
            bail!("account {id} was changed meanwhile; try again")
        }
        RetryResult::Completed { .. } => {
            Ok((begin(connection, account)?, ValidationState::Completed))
        }
    }
}

/// Begins another validation, as the merchant could. An operator is not bound by the limits of validations and penny drops per day, and
/// never reuses the earlier result: the operator doubts it.
fn begin(connection: &mut PgConnection, account: &Account) -> anyhow::Result<ValidationId> {
    let merchant = merchants::of_id(connection, account.merchant)?;
    let validation = ValidationId::new();
    let again = ValidateAgain {
        merchant: merchant.id,
        customer: CustomerRef::Id(account.customer),
        account: account.id,
        kind: None,
        validation,
        pin: None,
        terms: ValidationTerms {
            consent: None,
            trace_parent: None,
            deadline: merchant.validation_deadline(),
            awaited: None,
            validations_per_day: i16::MAX,
            penny_drops_per_day: i32::MAX,
            fresh: true,
        },
    };
    match validate_again(connection, &again)? {
        Revalidation::Started { .. } => Ok(validation),
        Revalidation::AlreadyOpen(_, open) => Ok(open.id),
        Revalidation::Limited(_)
        | Revalidation::Busy
        | Revalidation::Deleted
        | Revalidation::NotFound => {
            bail!("account {} was changed meanwhile; try again", account.id)
        }
    }
}
