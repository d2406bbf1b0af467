//! `khata account accept` and `khata account reject`.

use anyhow::{Context, bail};
use diesel::Connection;
use khata_domain::AccountStatus;
use khata_store::audit::{self, Changes};
use khata_store::name_review;
use serde_json::json;

use super::which::WhichAccount;
use crate::options::OperatorOptions;

/// Decides about the holder's name of an account that waits for a person.
pub(super) fn decide(
    which: &WhichAccount,
    operator: &OperatorOptions,
    accept: bool,
) -> anyhow::Result<()> {
    let actor = operator.actor()?;
    let mut connection = which.common.connect()?;
    let account = which.find(&mut connection)?;
    let (id, merchant) = (account.id.to_string(), account.merchant);
    let validation = account.validation();
    let validation = validation.with_context(|| format!("account {id} has no validation"))?;
    let (action, status) = if accept {
        ("account.accept", AccountStatus::Active)
    } else {
        ("account.reject", AccountStatus::Failure)
    };
    connection.transaction(|connection| {
        if !name_review::decide(connection, validation, accept)? {
            bail!(
                "account {id} is {}, and no person decides about its holder's name; see `khata account show {id}`",
                account.status
            );
        }
        let about = json!({ "validation_id": validation.id.to_string() });
        let changes = Changes::of("status", AccountStatus::Pending.as_str(), status.as_str());
        audit::record(connection, merchant, &actor, action, &id, about, &changes)?;
        Ok(())
    })?;
    let document = json!({
        "account_id": id,
        "merchant_id": merchant.to_string(),
        "validation_id": validation.id.to_string(),
        "status": status,
    });
    which
        .common
        .print(&document, &format!("Account {id} is {status} now."))
}
