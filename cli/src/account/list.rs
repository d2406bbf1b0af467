//! `khata account list`.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{double_drops, in_review, set_aside};
use crate::options::{CommonOptions, find_merchant};
use crate::times::parse_past;

/// Maximum number of accounts or attempts that are listed.
const MAX_LISTED: i64 = 1_000;

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("listed").required(true).args(["in_review", "set_aside", "double_drops"]))]
pub(crate) struct ListOptions {
    /// The accounts whose holder's name waits for `khata account accept` or `reject`, the oldest first
    #[arg(long)]
    in_review: bool,
    /// The accounts whose validation was set aside after ten failed steps, the first deadline first
    #[arg(long)]
    set_aside: bool,
    /// The penny drops that followed another one of the same validation whose result is unknown, so that each may have paid: account,
    /// gateway account, time and references; the newest first. Reads all attempts since --since
    #[arg(long)]
    double_drops: bool,
    /// With --double-drops, those that began since then: 2h (also 30m, 7d), "2026-11-29 IST", or a time in RFC 3339 [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = parse_past, conflicts_with_all = ["in_review", "set_aside"])]
    since: Option<DateTime<Utc>>,
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
            Some(merchant) => Some(find_merchant(&mut connection, merchant)?),
            None => None,
        };
        let id = merchant.as_ref().map(|merchant| merchant.id);
        let (list, text) = if self.in_review {
            in_review::list(&mut connection, id, MAX_LISTED)?
        } else if self.set_aside {
            set_aside::list(&mut connection, id, MAX_LISTED)?
        } else {
            let limit = usize::try_from(MAX_LISTED)?;
            double_drops::list(&mut connection, merchant, self.since, limit)?
        };
        self.common.print(&json!({ "accounts": list }), &text)
    }
}
