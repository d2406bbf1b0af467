//! Which account a command means: by whatever name of it ops people have before them.

use std::fmt;

use anyhow::Context;
use diesel::{PgConnection, QueryResult};
use khata_domain::ids::AttemptReference;
use khata_domain::{AccountId, MerchantId, ValidationId};
use khata_store::inspect::{self, Account};
use uuid::Uuid;

use super::super::find_merchant;

/// Which account is meant.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct WhichAccount {
    /// The account's id (banh_ and 26 characters), or that of one of its validations (val_…); either also as the UUID
    /// that Postgres shows; or our reference at a gateway (kh…_01)
    #[arg(value_name = "ACCOUNT", value_parser = parse)]
    account: Name,
    /// The name or id of its merchant, if known: faster, as otherwise it is sought among each merchant's accounts
    #[arg(long)]
    merchant: Option<String>,
}

/// What an account is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Account(AccountId),
    Validation(ValidationId),
    /// Of either: Postgres shows both alike.
    Uuid(Uuid),
}

fn parse(text: &str) -> Result<Name, &'static str> {
    let account = AccountId::parse(text).map(Name::Account);
    account
        .or_else(|| ValidationId::parse(text).map(Name::Validation))
        .or_else(|| AttemptReference::parse(text).map(|of| Name::Validation(of.validation)))
        .or_else(|| Uuid::try_parse(text).ok().map(Name::Uuid))
        .ok_or(
            "no account id: it is banh_ and 26 characters, val_ and 26 characters, a UUID, or a reference kh…_01",
        )
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "account {id}"),
            Self::Validation(id) => write!(f, "validation {id}"),
            Self::Uuid(id) => write!(f, "account or validation {id}"),
        }
    }
}

impl WhichAccount {
    pub(super) fn find(&self, connection: &mut PgConnection) -> anyhow::Result<Account> {
        let name = self.account;
        match &self.merchant {
            None => {
                find(connection, None, name)?.with_context(|| format!("no merchant has the {name}"))
            }
            Some(merchant) => {
                let merchant = find_merchant(connection, merchant)?;
                find(connection, Some(merchant.id), name)?.with_context(|| {
                    format!(
                        "{} has no {name}; without --merchant it is sought among all merchants",
                        merchant.name
                    )
                })
            }
        }
    }
}

/// Among the accounts of the merchant, or of all.
fn find(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    name: Name,
) -> QueryResult<Option<Account>> {
    let by_id = |connection: &mut PgConnection, id| match merchant {
        Some(merchant) => inspect::find(connection, merchant, id),
        None => inspect::find_of_any_merchant(connection, id),
    };
    let validation = match name {
        Name::Account(id) => return by_id(connection, id),
        Name::Validation(id) => id,
        Name::Uuid(id) => match by_id(connection, AccountId(id))? {
            Some(found) => return Ok(Some(found)),
            None => ValidationId(id),
        },
    };
    match inspect::account_of_validation(connection, merchant, validation)? {
        Some((merchant, account)) => inspect::find(connection, merchant, account),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_ops_people_have_before_them_is_taken() {
        let (account, validation) = (AccountId::new(), ValidationId::new());
        let reference = AttemptReference {
            validation,
            number: 2,
        };
        for (text, name) in [
            (account.to_string(), Name::Account(account)),
            (account.0.to_string(), Name::Uuid(account.0)),
            (validation.to_string(), Name::Validation(validation)),
            (reference.to_string(), Name::Validation(validation)),
        ] {
            assert_eq!(parse(&text), Ok(name), "{text}");
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
