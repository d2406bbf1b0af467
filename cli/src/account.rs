//! `khata account`: one customer account, by its id, and the accounts that wait for a person.

mod advice;
mod double_drops;
mod find;
mod gateways;
mod history;
mod in_review;
mod json;
mod list;
mod next;
mod price;
mod retry;
mod retry_all;
mod review;
mod set_aside;
mod situation;
mod text;
mod which;

use advice::advice;
use history::History;
use json::history_json;
use list::ListOptions;
use next::next_step;
use text::history_text;
use which::WhichAccount;

use crate::options::OperatorOptions;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum AccountCommand {
    /// Show an account with its validations and attempts, what happens next, and what to do
    ///
    /// Shows the account number or UPI address only in masked form, and no name.
    Show(WhichAccount),
    /// Find accounts by what a merchant, a payee or a gateway knows of them; at most 100
    ///
    /// Shows account numbers only in masked form, and no name. A value of `-` is read from standard input, so that the shell's history
    /// does not keep it. A search without an index reads the merchant's newest rows, 100,000 at most, and says how many and since when.
    Find(Box<find::Find>),
    /// Retry a pending validation now instead of at its scheduled time, or all of a merchant that wait; validate a FAILURE again
    ///
    /// For a validation that waits because a gateway was down or misconfigured. A worker recovers an attempt that may
    /// have paid, and calls a gateway if needed. A validation that a worker holds, and an account that is ACTIVE or in review, stay unchanged.
    ///
    /// For an account that is FAILURE the command begins another validation, which may pay another rupee and a fee: it needs --yes, and
    /// without it only says what the retry may cost. The merchant's daily limits do not bind an operator; the retry counts for them.
    ///
    /// With --all the command leaves those that wait in a gateway account's queue or for a booked call, which continue by themselves. Each
    /// batch of 500 is stored by itself, with a line of the audit log: after an interruption, run the command again. --set-aside retries
    /// the validations that `khata account list --set-aside` lists.
    Retry(Box<retry::Retry>),
    /// List the accounts that wait for a person, whose validation was set aside, or that may have been paid twice, by merchant
    ///
    /// Shows account numbers only in masked form, and no name. At most 1,000 accounts or attempts.
    List(ListOptions),
    /// Accept the holder's name of an account that waits for a person: the account becomes ACTIVE
    ///
    /// For an account whose names score less than the merchant's setting `--review-names-below`. No rupee is moved. With the id of a
    /// validation, only if that one is the account's newest: its names are those that you have seen.
    Accept {
        #[command(flatten)]
        which: WhichAccount,
        #[command(flatten)]
        operator: OperatorOptions,
    },
    /// Reject the holder's name of an account that waits for a person: the account becomes FAILURE (NAME_MISMATCH)
    ///
    /// With the id of a validation, only if that one is the account's newest: its names are those that you have seen.
    Reject {
        #[command(flatten)]
        which: WhichAccount,
        #[command(flatten)]
        operator: OperatorOptions,
    },
}

impl AccountCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Show(which) => show(&which),
            Self::Find(find) => find.run(),
            Self::Retry(retry) => retry.run(),
            Self::List(options) => options.list(),
            Self::Accept { which, operator } => review::decide(&which, &operator, true),
            Self::Reject { which, operator } => review::decide(&which, &operator, false),
        }
    }
}

fn show(which: &WhichAccount) -> anyhow::Result<()> {
    let mut connection = which.common.connect()?;
    // One snapshot, so that the account, its validations and its attempts fit together.
    let snapshot = connection.build_transaction();
    let history = snapshot.repeatable_read().read_only().run(|connection| {
        let account = which.find(connection)?;
        History::read(connection, account)
    })?;
    let situation = history.situation();
    let next = next_step(situation.as_ref(), history.now);
    let advice = advice(situation.as_ref(), history.now);
    let document = history_json(&history, &next, &advice);
    let text = history_text(&history, &next, &advice);
    which.common.print(&document, &text)
}
