//! `khata account accept` and `khata account reject`.

use anyhow::{Context, bail};
use diesel::Connection;
use khata_domain::{AccountStatus, ValidationId};
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
    let (account, named) = which.find_named(&mut connection)?;
    let (id, merchant) = (account.id.to_string(), account.merchant);
    let validation = account.validation();
    let validation = validation.with_context(|| format!("account {id} has no validation"))?;
    check_newest(named, validation.id, &id)?;
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

/// Fails if the operator named another validation than the newest one: the operator has not seen the names of the newest one.
fn check_newest(
    named: Option<ValidationId>,
    newest: ValidationId,
    account: &str,
) -> anyhow::Result<()> {
    match named {
        Some(named) if named != newest => bail!(
            "validation {named} is not the newest of account {account} any more: that is {newest}, perhaps with another name; see \
             `khata account show {account}`"
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_validation_is_decided() {
        let (old, newest) = (ValidationId::new(), ValidationId::new());
        check_newest(None, newest, "banh_1").unwrap();
        check_newest(Some(newest), newest, "banh_1").unwrap();
        let error = check_newest(Some(old), newest, "banh_1").unwrap_err();
        assert!(error.to_string().contains(&newest.to_string()), "{error}");
    }
}
