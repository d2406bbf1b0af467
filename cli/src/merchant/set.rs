//! `khata merchant set`.

use diesel::Connection;
use khata_store::{audit, merchant_settings};
use serde_json::{Map, Value, json};

use super::settings::{SettingsOptions, merchant_json, settings_json};
use crate::options::{CommonOptions, MerchantOption};

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args([
    "implicit_customers", "validation_deadline", "requests_per_second", "validations_per_account_per_day",
    "fail_on_name_mismatch", "reuse_results_seconds",
]))]
pub(crate) struct Set {
    #[command(flatten)]
    merchant: MerchantOption,
    #[command(flatten)]
    settings: SettingsOptions,
    #[command(flatten)]
    common: CommonOptions,
}

impl Set {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let wanted = self.settings.changes();
        let mut connection = self.common.connect()?;
        let merchant = self.merchant.find(&mut connection)?;
        let (settings, changed) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let id = merchant.id;
            let (before, after) = merchant_settings::change(connection, id, &wanted)?;
            let changed = difference(&settings_json(&before), &settings_json(&after));
            if !changed.is_empty() {
                let detail = Value::Object(changed.clone());
                audit::record(connection, id, "merchant.set", &id.to_string(), &detail)?;
            }
            Ok((after, changed))
        })?;
        let sentence = if changed.is_empty() {
            format!(
                "Nothing to change: merchant {} already has these settings.",
                merchant.name
            )
        } else {
            let lines: Vec<String> = changed
                .iter()
                .map(|(name, change)| format!("{name}: {} -> {}", change["from"], change["to"]))
                .collect();
            format!(
                "{}\nThe services apply this within five seconds.",
                lines.join("\n")
            )
        };
        let mut document = merchant_json(&settings);
        document["changed"] = changed.into();
        self.common.print(&document, &sentence)
    }
}

/// Returns the changed settings: `{"requests_per_second": {"from": 500, "to": 100}}`.
fn difference(before: &Value, after: &Value) -> Map<String, Value> {
    let before = before.as_object().into_iter().flatten();
    before
        .filter(|(name, from)| after[name.as_str()] != **from)
        .map(|(name, from)| {
            let change = json!({ "from": from, "to": after[name.as_str()] });
            (name.clone(), change)
        })
        .collect()
}
