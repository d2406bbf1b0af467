//! `khata-api gateway enable` and `disable`.

use diesel::Connection;
use khata_store::DatabaseSettings;
use khata_store::{audit, gateway_accounts};
use serde_json::json;

use super::super::{connect, print};
use super::WhichAccount;

/// `khata-api gateway enable` and `disable`.
#[derive(Clone, Debug, clap::Args)]
pub struct Switch {
    #[command(flatten)]
    which: WhichAccount,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

impl Switch {
    pub(super) fn run(self, enabled: bool) -> anyhow::Result<()> {
        let word = if enabled { "enabled" } else { "disabled" };
        let mut connection = connect(&self.database.database_url)?;
        let (merchant, gateway, account) = self.which.find(&mut connection)?;
        let (changed, left) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let id = account.id;
            let changed = gateway_accounts::set_enabled(connection, merchant.id, id, enabled)?;
            if changed {
                let action = if enabled {
                    "gateway.enable"
                } else {
                    "gateway.disable"
                };
                let detail =
                    json!({ "gateway": gateway.name(), "reference_id": account.reference_id });
                audit::record(connection, merchant.id, action, &id.to_string(), &detail)?;
            }
            let all = gateway_accounts::of_merchant(connection, merchant.id)?;
            let left = all
                .iter()
                .filter(|account| account.enabled && !account.pinned_only);
            Ok((changed, left.count()))
        })?;
        let mut sentence = if changed {
            format!(
                "{gateway} account {} of {} is {word}; workers follow within five seconds.",
                account.reference_id, merchant.name
            )
        } else {
            format!(
                "{gateway} account {} of {} was {word} already.",
                account.reference_id, merchant.name
            )
        };
        if left == 0 {
            sentence.push_str(
                "\nThe merchant has no enabled gateway account now for calls that name none: their validations wait, \
                 and fail at their deadline.",
            );
        }
        let told = json!({
            "id": account.id.to_string(),
            "gateway": gateway.name(),
            "reference_id": account.reference_id,
            "enabled": enabled,
            "changed": changed,
            "enabled_for_all_calls": left,
        });
        print(self.json, &told, &sentence)
    }
}
