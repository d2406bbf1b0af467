//! `khata event`: the changes of accounts that Khata reports to merchants.

mod list;
mod replay;
mod show;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum EventCommand {
    /// List a merchant's events, the newest first
    List(list::List),
    /// Show an event, with its deliveries and their failed attempts
    Show(show::Show),
    /// Deliver events again, or to endpoints that did not get them
    ///
    /// Each delivery begins again at once, with the first delay of the retry schedule: what was delivered or given up, what waits for
    /// its next attempt, and what an enabled endpoint should have got and did not. The request has the same webhook-id as before, so that a receiver recognizes what it has. With --dry-run
    /// the command only counts. Each batch of 1,000 events is stored by itself: after an interruption, run the command again with
    /// --undelivered.
    Replay(replay::Replay),
}

impl EventCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Replay(replay) => replay.run(),
        }
    }
}
