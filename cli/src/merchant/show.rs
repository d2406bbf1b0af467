//! `khata merchant show`.

use khata_store::merchant_settings::{self, Holdings, Settings};
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
        let merchant = self.merchant.find(&mut connection)?.id();
        let settings = merchant_settings::of_merchant(&mut connection, merchant)?;
        let has = merchant_settings::holdings(&mut connection, merchant, COUNTED_ACCOUNTS)?;
        let by_status: Map<String, Value> = has
            .accounts
            .iter()
            .map(|row| (row.status.clone(), row.accounts.into()))
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

fn facts(settings: &Settings, has: &Holdings) -> Table {
    let id = settings.merchant();
    Table::facts([
        ("merchant", settings.name.clone()),
        ("id", id.to_string()),
        ("created", time(settings.created_at)),
        ("implicit customers", yes_or_no(settings.implicit_customers)),
        (
            "validation deadline",
            format!("{} s", settings.validation_deadline_seconds),
        ),
        (
            "requests per second",
            format!(
                "{} per key and process; further requests are rejected (429, TOO_MANY_REQUESTS)",
                settings.requests_per_second
            ),
        ),
        (
            "validations per account per day",
            format!(
                "{} of the same details in 24 hours; further calls are rejected (429, TOO_MANY_VALIDATIONS)",
                settings.validations_per_account_per_day
            ),
        ),
        (
            "rejected by these limits",
            format!(
                "counted in khata_requests_limited_total{{merchant_id=\"{id}\"}}; nothing is stored. To raise the limits: \
                 `khata merchant set`",
            ),
        ),
        (
            "fail on name mismatch",
            yes_or_no(settings.fail_on_name_mismatch),
        ),
        ("results reused", results_reused(settings)),
        ("keys", format!("{} active", has.active_keys)),
        (
            "gateway accounts",
            format!(
                "{} enabled of {}",
                has.enabled_gateway_accounts, has.gateway_accounts
            ),
        ),
        ("accounts", accounts(has)),
    ])
}

fn accounts(has: &Holdings) -> String {
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
