//! `khata merchant show`.

use khata_store::merchant_settings::{self, Overview};
use khata_store::merchants::Merchant;
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
        let merchant = self.merchant.find(&mut connection)?;
        let has = merchant_settings::overview(&mut connection, merchant.id, COUNTED_ACCOUNTS)?;
        let by_status: Map<String, Value> = has
            .accounts
            .iter()
            .map(|(status, accounts)| (status.to_string(), (*accounts).into()))
            .collect();
        let counted = has.accounts_counted();
        let mut document = merchant_json(&merchant);
        document["keys"] = json!({ "active": has.active_keys });
        document["gateway_accounts"] =
            json!({ "enabled": has.enabled_gateway_accounts, "total": has.gateway_accounts });
        document["accounts"] = json!({
            "counted": counted, "all_counted": counted < COUNTED_ACCOUNTS, "by_status": by_status,
        });
        self.common
            .print(&document, &facts(&merchant, &has).to_string())
    }
}

fn facts(merchant: &Merchant, has: &Overview) -> Table {
    let id = merchant.id;
    let deadline = merchant.validation_deadline_seconds;
    let requests = merchant.requests_per_second;
    let validations = merchant.validations_per_account_per_day;
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
        .fact("merchant", &merchant.name)
        .fact("id", id)
        .fact("created", time(merchant.created_at))
        .fact("implicit customers", yes_or_no(merchant.implicit_customers))
        .fact("validation deadline", format!("{deadline} s"))
        .fact("requests per second", requests)
        .fact("validations per account per day", validations)
        .fact("rejected by these limits", rejected)
        .fact(
            "fail on name mismatch",
            yes_or_no(merchant.fail_on_name_mismatch),
        )
        .fact("results reused", results_reused(merchant))
        .fact("keys", format!("{} active", has.active_keys))
        .fact("gateway accounts", format!("{enabled} enabled of {total}"))
        .fact("accounts", accounts(has))
}

fn accounts(has: &Overview) -> String {
    let statuses: Vec<String> = has
        .accounts
        .iter()
        .map(|(status, accounts)| format!("{accounts} {status}"))
        .collect();
    match has.accounts_counted() {
        0 => "none".to_owned(),
        COUNTED_ACCOUNTS.. => format!("newest {COUNTED_ACCOUNTS}: {}", statuses.join(", ")),
        _ => statuses.join(", "),
    }
}
