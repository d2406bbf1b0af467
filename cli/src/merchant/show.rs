//! `khata merchant show`.

use khata_store::merchant_settings::{self, Overview, Settings};
use serde_json::{Map, Value, json};

use super::settings::{merchant_json, results_reused};
use crate::options::{CommonOptions, MerchantOption};
use crate::output::{Table, time, yes_or_no};

/// Maximum number of a merchant's accounts, the newest first, that are counted by status.
const COUNTED_ACCOUNTS: i64 = 100_000;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Show {
    #[command(flatten)]
    merchant: MerchantOption,
    #[command(flatten)]
    common: CommonOptions,
}

impl Show {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut connection = self.common.connect()?;
        let merchant = self.merchant.find(&mut connection)?.id;
        let settings = merchant_settings::of_merchant(&mut connection, merchant)?;
        let has = merchant_settings::overview(&mut connection, merchant, COUNTED_ACCOUNTS)?;
        let by_status: Map<String, Value> = has
            .accounts
            .iter()
            .map(|row| (row.status.to_string(), row.accounts.into()))
            .collect();
        let counted = has.accounts_counted();
        let mut document = merchant_json(&settings);
        document["keys"] = json!({ "active": has.active_keys });
        document["gateway_accounts"] =
            json!({ "enabled": has.enabled_gateway_accounts, "total": has.gateway_accounts });
        document["accounts"] = json!({
            "counted": counted, "all_counted": counted < COUNTED_ACCOUNTS, "by_status": by_status,
        });
        self.common
            .print(&document, &facts(&settings, &has).to_string())
    }
}

fn facts(settings: &Settings, has: &Overview) -> Table {
    let id = settings.merchant;
    let deadline = settings.validation_deadline_seconds;
    let requests = settings.requests_per_second;
    let validations = settings.validations_per_account_per_day;
    let requests = format!(
        "{requests} per key and process; further requests are rejected (429, TOO_MANY_REQUESTS)"
    );
    let validations = format!(
        "{validations} of the same details in 24 hours; further calls are rejected (429, TOO_MANY_VALIDATIONS)"
    );
    let rejected = format!(
        "counted in khata_requests_limited_total{{merchant_id=\"{id}\"}}; nothing is stored. To raise the limits: \
         `khata merchant set`",
    );
    let (enabled, total) = (has.enabled_gateway_accounts, has.gateway_accounts);
    Table::facts()
        .fact("merchant", &settings.name)
        .fact("id", id)
        .fact("created", time(settings.created_at))
        .fact("implicit customers", yes_or_no(settings.implicit_customers))
        .fact("validation deadline", format!("{deadline} s"))
        .fact("requests per second", requests)
        .fact("validations per account per day", validations)
        .fact("rejected by these limits", rejected)
        .fact(
            "fail on name mismatch",
            yes_or_no(settings.fail_on_name_mismatch),
        )
        .fact("results reused", results_reused(settings))
        .fact("keys", format!("{} active", has.active_keys))
        .fact("gateway accounts", format!("{enabled} enabled of {total}"))
        .fact("accounts", accounts(has))
}

fn accounts(has: &Overview) -> String {
    let statuses: Vec<String> = has
        .accounts
        .iter()
        .map(|row| format!("{} {}", row.accounts, row.status))
        .collect();
    match has.accounts_counted() {
        0 => "none".to_owned(),
        COUNTED_ACCOUNTS.. => format!("newest {COUNTED_ACCOUNTS}: {}", statuses.join(", ")),
        _ => statuses.join(", "),
    }
}
