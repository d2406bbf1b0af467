//! `khata account show`.

use super::advice::advice;
use super::history::History;
use super::json::history_json;
use super::next::next_step;
use super::text::history_text;
use super::which::WhichAccount;
use crate::options::CommonOptions;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    which: WhichAccount,
    #[command(flatten)]
    common: CommonOptions,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut connection = self.common.connect()?;
        // One snapshot, so that the account, its validations and its attempts fit together.
        let history = connection
            .build_transaction()
            .repeatable_read()
            .read_only()
            .run(|connection| {
                let account = self.which.find(connection)?;
                History::read(connection, account)
            })?;
        let situation = history.situation();
        let next = next_step(situation.as_ref(), history.now);
        let advice = advice(situation.as_ref(), history.now);
        self.common.print(
            &history_json(&history, &next, &advice),
            &history_text(&history, &next, &advice),
        )
    }
}
