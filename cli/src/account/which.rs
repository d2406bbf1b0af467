//! Finding a customer account by any of the ids that an operator may have.

use std::fmt;

use anyhow::Context;
use diesel::{PgConnection, QueryResult};
use khata_domain::ids::AttemptReference;
use khata_domain::{AccountId, MerchantId, ValidationId};
use khata_store::inspect::{self, Account};
use uuid::Uuid;

use crate::options::{CommonOptions, find_merchant};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct WhichAccount {
    /// Id of the account (banh_…) or of one of its validations (val_…), either also as the UUID that Postgres shows; or
    /// our reference at a gateway (kh…_01)
    #[arg(value_name = "ACCOUNT", value_parser = parse)]
    account: AnyId,
    /// Name or id of the account's merchant, if known; faster, because only this merchant's accounts are searched
    #[arg(long)]
    merchant: Option<String>,
    #[command(flatten)]
    pub(super) common: CommonOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnyId {
    Account(AccountId),
    Validation(ValidationId),
    /// The UUID of an account or a validation: Postgres shows both alike.
    Uuid(Uuid),
}

pub(super) fn parse(text: &str) -> Result<AnyId, &'static str> {
    let account = AccountId::parse(text).map(AnyId::Account);
    account
        .or_else(|| ValidationId::parse(text).map(AnyId::Validation))
        .or_else(|| AttemptReference::parse(text).map(|of| AnyId::Validation(of.validation)))
        .or_else(|| Uuid::try_parse(text).ok().map(AnyId::Uuid))
        .ok_or(
            "not an account id; expected banh_… or val_… (each with 26 characters), a UUID, or a reference kh…_01",
        )
}

impl fmt::Display for AnyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account {id}"),
            Self::Validation(id) => write!(f, "validation {id}"),
            Self::Uuid(id) => write!(f, "account or validation {id}"),
        }
    }
}

impl AnyId {
    /// Returns what else the text may be, as the end of an error: a trace id has the digits of a UUID.
    fn advice(self) -> String {
        let Self::Uuid(id) = self else {
            return String::new();
        };
        let trace = id.simple();
        format!(
            ". If this is a trace id, as log lines and `account show` have it: Tempo (locally the trace viewer, \
             /trace/{trace}) shows its spans, and their khata.account_id is the account; the log lines with the \
             trace_id {trace} name the account too"
        )
    }
}

impl WhichAccount {
    pub(super) fn new(account: AnyId, merchant: Option<String>, common: CommonOptions) -> Self {
        Self {
            account,
            merchant,
            common,
        }
    }

    pub(super) fn find(&self, connection: &mut PgConnection) -> anyhow::Result<Account> {
        Ok(self.find_named(connection)?.0)
    }

    /// Finds the account, and the validation if the operator named one.
    pub(super) fn find_named(
        &self,
        connection: &mut PgConnection,
    ) -> anyhow::Result<(Account, Option<ValidationId>)> {
        let id = self.account;
        let Some(merchant) = &self.merchant else {
            return find(connection, None, id)?
                .with_context(|| format!("no merchant has {id}{}", id.advice()));
        };
        let merchant = find_merchant(connection, merchant)?;
        let name = &merchant.name;
        find(connection, Some(merchant.id), id)?.with_context(|| {
            let advice = id.advice();
            format!("{name} has no {id}; omit --merchant to search all merchants{advice}")
        })
    }
}

/// Searches the accounts of the merchant, or of all merchants. Returns also the validation, if the id is a validation's.
fn find(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    id: AnyId,
) -> QueryResult<Option<(Account, Option<ValidationId>)>> {
    let by_id = |connection: &mut PgConnection, id| match merchant {
        Some(merchant) => inspect::find(connection, merchant, id),
        None => inspect::find_of_any_merchant(connection, id),
    };
    let validation = match id {
        AnyId::Account(id) => {
            return Ok(by_id(connection, id)?.map(|account| (account, None)));
        }
        AnyId::Validation(id) => id,
        AnyId::Uuid(id) => match by_id(connection, AccountId(id))? {
            Some(found) => return Ok(Some((found, None))),
            None => ValidationId(id),
        },
    };
    match inspect::account_of_validation(connection, merchant, validation)? {
        Some((merchant, account)) => {
            let account = inspect::find(connection, merchant, account)?;
            Ok(account.map(|account| (account, Some(validation))))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_uuids_and_references_are_accepted() {
        let (account, validation) = (AccountId::new(), ValidationId::new());
        let reference = AttemptReference {
            validation,
            number: 2,
        };
        for (text, id) in [
            (account.to_string(), AnyId::Account(account)),
            (account.0.to_string(), AnyId::Uuid(account.0)),
            (validation.to_string(), AnyId::Validation(validation)),
            (reference.to_string(), AnyId::Validation(validation)),
        ] {
            assert_eq!(parse(&text), Ok(id), "{text}");
        }
        for text in [
            "",
            "banh_x",
            "cst_01k82u7s7deddovl581r211s9l",
            "026291800001191",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
