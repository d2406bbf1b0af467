//! `khata gateway enable` and `khata gateway disable`.

use diesel::Connection;
use khata_store::{audit, gateway_accounts};
use serde_json::json;

use super::which::WhichAccount;
use crate::options::CommonOptions;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Switch {
    #[command(flatten)]
    which: WhichAccount,
    #[command(flatten)]
    common: CommonOptions,
}

impl Switch {
    pub(super) fn run(self, enabled: bool) -> anyhow::Result<()> {
        let (verb, state, action) = if enabled {
            ("Enabled", "enabled", "gateway.enable")
        } else {
            ("Disabled", "disabled", "gateway.disable")
        };
        let mut connection = self.common.connect()?;
        let (merchant, gateway, account) = self.which.find(&mut connection)?;
        let id = account.id;
        let (changed, left) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let changed = gateway_accounts::set_enabled(connection, merchant.id, id, enabled)?;
            if changed {
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
        let name = format!(
            "{gateway} account {} of {}",
            account.reference_id, merchant.name
        );
        let mut sentence = if changed {
            format!("{verb} {name}. Workers apply this within five seconds.")
        } else {
            format!("Nothing to change: {name} is already {state}.")
        };
        if left == 0 {
            sentence.push_str(
                "\nThe merchant has no enabled gateway account for calls that name no gateway: their validations wait, \
                 and fail at their deadline.",
            );
        }
        let document = json!({
            "id": id.to_string(),
            "gateway": gateway.name(),
            "reference_id": account.reference_id,
            "enabled": enabled,
            "changed": changed,
            "enabled_for_all_calls": left,
        });
        self.common.print(&document, &sentence)
    }
}
