//! `khata-api account`: one customer account, by its id.

mod gateways;
mod next;
mod retry;
mod show;

use anyhow::Context;
use diesel::PgConnection;
use khata_shared::domain::AccountId;
use khata_shared::store::inspect::{self, Account};

use super::find_merchant;

/// Customer accounts.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum AccountCommand {
    /// Show an account with its validations and attempts, and say what happens next
    ///
    /// Never shows the account number, UPI address or name, nor what a bank said of the name: only the masked form.
    Show(show::Show),
    /// Have an account's open validation looked at now, instead of when its time comes
    ///
    /// For a validation that waits after a gateway was down or misconfigured. Nothing is decided by it: a worker looks,
    /// recovers what may have been paid, and asks a gateway if it must. What a worker is on already is left to it, and
    /// what is final stays so: the merchant can validate the account again.
    Retry(retry::Retry),
}

impl AccountCommand {
    /// Runs it.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Show(show) => show.run(),
            Self::Retry(retry) => retry.run(),
        }
    }
}

/// Which account is meant.
#[derive(Clone, Debug, clap::Args)]
struct WhichAccount {
    /// The account's id: banh_ and 26 characters
    #[arg(value_name = "ACCOUNT", value_parser = parse_id)]
    account: AccountId,
    /// The name or id of its merchant, if known: faster, as otherwise it is sought among each merchant's accounts
    #[arg(long)]
    merchant: Option<String>,
}

fn parse_id(text: &str) -> Result<AccountId, &'static str> {
    AccountId::parse(text).ok_or("no account id: it is banh_ and 26 characters")
}

impl WhichAccount {
    fn find(&self, connection: &mut PgConnection) -> anyhow::Result<Account> {
        match &self.merchant {
            None => inspect::find_of_any_merchant(connection, self.account)?
                .with_context(|| format!("no merchant has an account {}", self.account)),
            Some(name) => {
                let merchant = find_merchant(connection, name)?;
                inspect::find(connection, merchant.id(), self.account)?.with_context(|| {
                    format!(
                        "{} has no account {}; without --merchant it is sought among all merchants",
                        merchant.name, self.account
                    )
                })
            }
        }
    }
}
