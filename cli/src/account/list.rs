//! `khata account list`.

use serde_json::json;

use super::{in_review, set_aside};
use crate::options::{CommonOptions, find_merchant};

/// Maximum number of accounts that are listed.
const MAX_LISTED: i64 = 1_000;

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("listed").required(true).args(["in_review", "set_aside"]))]
pub(crate) struct ListOptions {
    /// The accounts whose holder's name waits for `khata account accept` or `reject`, the oldest first
    #[arg(long)]
    in_review: bool,
    /// The accounts whose validation was set aside after ten failed steps, the first deadline first
    #[arg(long)]
    set_aside: bool,
    /// Name or id of the merchant, if not of all
    #[arg(long)]
    merchant: Option<String>,
    #[command(flatten)]
    common: CommonOptions,
}

impl ListOptions {
    pub(super) fn list(&self) -> anyhow::Result<()> {
        let mut connection = self.common.connect()?;
        let merchant = match &self.merchant {
            Some(merchant) => Some(find_merchant(&mut connection, merchant)?.id),
            None => None,
        };
        let (list, text) = if self.in_review {
            in_review::list(&mut connection, merchant, MAX_LISTED)?
        } else {
            set_aside::list(&mut connection, merchant, MAX_LISTED)?
        };
        self.common.print(&json!({ "accounts": list }), &text)
    }
}
