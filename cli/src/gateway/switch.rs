//! `khata gateway enable` and `khata gateway disable`.

use diesel::{Connection, PgConnection, QueryResult};
use khata_store::audit::{Actor, Changes, record};
use khata_store::gateway_accounts;
use serde_json::json;

use super::which::{FoundAccount, WhichAccount};
use crate::options::OperatorOptions;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Switch {
    #[command(flatten)]
    which: WhichAccount,
    #[command(flatten)]
    operator: OperatorOptions,
}

impl Switch {
    /// Enables or disables the account.
    pub(super) fn run(self, enabled: bool) -> anyhow::Result<()> {
        let (which, actor) = (self.which, self.operator.actor()?);
        let (verb, state) = if enabled {
            ("Enabled", "enabled")
        } else {
            ("Disabled", "disabled")
        };
        let (mut connection, found) = which.find()?;
        let (changed, left) = connection.transaction::<_, anyhow::Error, _>(|connection| {
            let changed = switch_account(connection, &actor, &found, enabled)?;
            let all = gateway_accounts::of_merchant(connection, found.merchant.id)?;
            let left = all.iter().filter(|one| one.enabled && !one.pinned_only);
            Ok((changed, left.count()))
        })?;
        let name = found.name();
        let mut sentence = if changed {
            format!("{verb} {name}. Workers apply this within five seconds.")
        } else {
            format!("Nothing to change: {name} is already {state}.")
        };
        if left == 0 {
            sentence.push_str(
            "\nThe merchant has no enabled gateway account for calls that name no gateway: their validations wait, and \
             fail at their deadline.",
        );
        }
        let mut document = found.json();
        document["enabled"] = enabled.into();
        document["changed"] = changed.into();
        document["enabled_for_all_calls"] = left.into();
        which.common.print(&document, &sentence)
    }
}

/// Enables or disables the account, with a line of the audit log. Returns whether that changed anything.
pub(super) fn switch_account(
    connection: &mut PgConnection,
    actor: &Actor,
    found: &FoundAccount,
    enabled: bool,
) -> QueryResult<bool> {
    let (id, merchant) = (found.account.id, found.merchant.id);
    let changed = gateway_accounts::set_enabled(connection, merchant, id, enabled)?;
    if changed {
        let action = if enabled {
            "gateway.enable"
        } else {
            "gateway.disable"
        };
        let reference_id = &found.account.reference_id;
        let about = json!({ "gateway": found.gateway.name(), "reference_id": reference_id });
        let subject = id.to_string();
        let enabling = Changes::of("enabled", !enabled, enabled);
        record(
            connection, merchant, actor, action, &subject, about, &enabling,
        )?;
    }
    Ok(changed)
}
