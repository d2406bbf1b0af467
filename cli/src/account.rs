//! `khata-api account`: one customer account, by its id.

mod gateways;
mod next;
mod retry;
mod show;
mod to_do;
mod which;

use which::WhichAccount;

/// Customer accounts.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum AccountCommand {
    /// Show an account with its validations and attempts, and say what happens next and what to do
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
