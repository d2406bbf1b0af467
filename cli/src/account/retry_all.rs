//! `khata account retry --all`.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use diesel::{Connection, PgConnection};
use khata_domain::{Gateway, GatewayAccountId, MerchantId, ValidationId, ValidationKey};
use khata_store::audit::{self, Actor, Changes};
use khata_store::gateway_accounts;
use khata_store::merchants::Merchant;
use khata_store::retry::{RetryResult, Waiting, retry_now, waiting};
use serde_json::json;

use crate::gateway::parse_gateway_account;
use crate::options::{CommonOptions, OperatorOptions, find_merchant};
use crate::output::{counted, time};

/// Validations that one transaction makes due.
const BATCH: usize = 500;
/// Maximum number of validations of one run.
const MAX_RETRIED: i64 = 100_000;

/// Selects the waiting validations of a merchant that are retried.
pub(super) struct Selection<'a> {
    pub(super) merchant: &'a str,
    /// Name or id of a gateway, or id of a gateway account.
    pub(super) gateway: Option<&'a str>,
    pub(super) since: Option<DateTime<Utc>>,
    /// Only those that were set aside.
    pub(super) set_aside: bool,
    pub(super) dry_run: bool,
}

/// Makes the selected validations due now.
pub(super) fn retry_all(
    selection: &Selection<'_>,
    common: &CommonOptions,
    operator: &OperatorOptions,
) -> anyhow::Result<()> {
    let dry_run = selection.dry_run;
    let actor = (!dry_run).then(|| operator.actor()).transpose()?;
    let mut connection = common.connect()?;
    let merchant = find_merchant(&mut connection, selection.merchant)?;
    let gateway = selection.gateway;
    let accounts = gateway.map(|text| gateway_accounts_of(&mut connection, &merchant, text));
    let accounts = accounts.transpose()?;
    let id = merchant.id;
    let wanted = Waiting {
        gateway_accounts: accounts.as_deref(),
        since: selection.since,
        set_aside: selection.set_aside,
    };
    let found = waiting(&mut connection, id, wanted, MAX_RETRIED)?;
    let mut retried = 0;
    if let Some(actor) = &actor {
        for batch in found.chunks(BATCH) {
            retried += connection
                .transaction(|connection| retry_batch(connection, id, actor, selection, batch))?;
        }
    }
    let count = found.len();
    let document = json!({
        "merchant_id": id.to_string(),
        "waiting": count,
        "retried": retried,
        "dry_run": dry_run,
        "complete": i64::try_from(count).is_ok_and(|count| count < MAX_RETRIED),
    });
    let name = &merchant.name;
    let validations = counted(i64::try_from(count)?, "validation");
    let sentence = match (count, dry_run) {
        (0, _) => format!("Nothing to retry: no such validation of {name} waits."),
        (_, true) => {
            format!("{validations} of {name} would be due now. Nothing was changed.")
        }
        (_, false) => format!(
            "Due now: {retried} of {validations} of {name}; workers claim them within seconds. The others went on meanwhile."
        ),
    };
    common.print(&document, &sentence)
}

/// Returns the gateway accounts of the merchant that the text names.
fn gateway_accounts_of(
    connection: &mut PgConnection,
    merchant: &Merchant,
    text: &str,
) -> anyhow::Result<Vec<GatewayAccountId>> {
    let own = gateway_accounts::of_merchant(connection, merchant.id)?;
    let named: Vec<GatewayAccountId> = if let Some(gateway) = Gateway::parse(text) {
        let at_gateway = own.iter().filter(|one| one.gateway_id == gateway.id());
        at_gateway.map(|one| one.id).collect()
    } else {
        let id = parse_gateway_account(text).ok().with_context(|| {
            format!(
                "--gateway {text:?} is neither a gateway nor the id of a gateway account (gwa_…)"
            )
        })?;
        own.iter()
            .map(|one| one.id)
            .filter(|one| *one == id)
            .collect()
    };
    if named.is_empty() {
        bail!(
            "{0} has no gateway account {text:?}; list its accounts with `khata gateway list --merchant {0}`",
            merchant.name
        );
    }
    Ok(named)
}

/// Makes the validations of a batch due that still wait, with one line of the audit log. Returns their number.
fn retry_batch(
    connection: &mut PgConnection,
    merchant: MerchantId,
    actor: &Actor,
    selection: &Selection<'_>,
    batch: &[ValidationId],
) -> anyhow::Result<u32> {
    let mut retried = 0;
    for id in batch {
        let key = ValidationKey { merchant, id: *id };
        if let Some(RetryResult::MadeDue { .. }) = retry_now(connection, key)? {
            retried += 1;
        }
    }
    let about = json!({
        "gateway": selection.gateway,
        "since": selection.since.map(time),
        "set_aside": selection.set_aside,
        "validations": retried,
    });
    let (subject, changes) = (merchant.to_string(), Changes::default());
    audit::record(
        connection,
        merchant,
        actor,
        "account.retry",
        &subject,
        about,
        &changes,
    )?;
    Ok(retried)
}
