//! `khata account`: one customer account, by its id.

mod advice;
mod gateways;
mod history;
mod json;
mod next;
mod retry;
mod show;
mod situation;
mod text;
mod which;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum AccountCommand {
    /// Show an account with its validations and attempts, what happens next, and what to do
    ///
    /// Shows the account number or UPI address only in masked form, and no name.
    Show(show::Show),
    /// Retry a pending validation now instead of at its scheduled time
    ///
    /// For a validation that waits because a gateway was down or misconfigured. A worker recovers an attempt that may
    /// have paid, and calls a gateway if needed. A validation that a worker holds, and a final result, stay unchanged: the
    /// merchant can validate the account again.
    Retry(retry::Retry),
}

impl AccountCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Show(show) => show.run(),
            Self::Retry(retry) => retry.run(),
        }
    }
}
