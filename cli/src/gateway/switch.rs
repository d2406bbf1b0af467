//! `khata gateway enable` and `khata gateway disable`.

use diesel::Connection;
use khata_store::{audit, gateway_accounts};
use serde_json::json;

use super::which::WhichAccount;

pub(super) fn switch(which: &WhichAccount, enabled: bool) -> anyhow::Result<()> {
    let (verb, state, action) = if enabled {
        ("Enabled", "enabled", "gateway.enable")
    } else {
        ("Disabled", "disabled", "gateway.disable")
    };
    let (mut connection, found) = which.find()?;
    let (id, merchant) = (found.account.id, found.merchant.id);
    let (changed, left) = connection.transaction::<_, anyhow::Error, _>(|connection| {
        let changed = gateway_accounts::set_enabled(connection, merchant, id, enabled)?;
        if changed {
            let reference_id = &found.account.reference_id;
            let detail = json!({ "gateway": found.gateway.name(), "reference_id": reference_id });
            audit::record(connection, merchant, action, &id.to_string(), &detail)?;
        }
        let all = gateway_accounts::of_merchant(connection, merchant)?;
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
