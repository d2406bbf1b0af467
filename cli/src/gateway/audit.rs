//! The changes of a gateway account's configuration, as the command prints them and as the audit log keeps them.

use diesel::{PgConnection, QueryResult};
use khata_domain::MerchantId;
use khata_store::audit::{self, Actor, Changes};
use khata_store::gateway_accounts::{GatewayAccount, NewGatewayAccount};
use serde_json::{Value, json};

use super::which::gateway_name;

/// Returns what differs from the existing gateway account; without one, the whole configuration.
pub(crate) fn gateway_changes(
    existing: Option<&GatewayAccount>,
    account: &NewGatewayAccount<'_>,
    credentials_changed: bool,
) -> Changes {
    let before = existing.map_or(Value::Null, |existing| {
        let base_url = existing.base_url.as_deref();
        named(
            existing.priority,
            existing.pinned_only,
            base_url,
            &existing.settings,
        )
    });
    let NewGatewayAccount {
        priority,
        pinned_only,
        base_url,
        settings,
        ..
    } = *account;
    let mut changes = Changes::between(&before, &named(priority, pinned_only, base_url, settings));
    if credentials_changed {
        changes.add_secret("credentials");
    }
    changes
}

/// Writes the audit log's line of a gateway account that was added or changed.
pub(crate) fn audit_gateway(
    connection: &mut PgConnection,
    merchant: MerchantId,
    actor: &Actor,
    action: &str,
    account: &NewGatewayAccount<'_>,
    changes: &Changes,
) -> QueryResult<()> {
    let about = json!({
        "gateway": gateway_name(account.gateway_id),
        "reference_id": account.reference_id,
    });
    let subject = account.id.to_string();
    audit::record(
        connection, merchant, actor, action, &subject, about, changes,
    )
}

/// Returns the configuration by the audit log's names; a member of the JSON settings is `settings.NAME`.
fn named(priority: i16, pinned_only: bool, base_url: Option<&str>, settings: &Value) -> Value {
    let mut all = json!({ "priority": priority, "pinned_only": pinned_only, "base_url": base_url });
    for (name, value) in settings.as_object().into_iter().flatten() {
        all[format!("settings.{name}")] = value.clone();
    }
    all
}
