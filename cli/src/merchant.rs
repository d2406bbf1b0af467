//! `khata merchant`.

mod create;
mod list;
mod set;
mod settings;
mod show;

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum MerchantCommand {
    /// Create a merchant; in sandbox mode with a DUMMY gateway account that calls can name
    Create(create::Create),
    /// List all merchants with their settings
    List(list::List),
    /// Show a merchant's settings, keys, gateway accounts, and number of accounts by status
    ///
    /// Accounts are counted among the newest 100,000 only: no index begins with the status, and the command must not
    /// slow down a busy database.
    Show(show::Show),
    /// Change a merchant's settings; the services apply them within five seconds
    Set(set::Set),
}

impl MerchantCommand {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Set(set) => set.run(),
        }
    }
}
