//! The audit log's line of a gateway account that was added or updated.

use diesel::{PgConnection, QueryResult};
use khata_domain::MerchantId;
use khata_store::audit::{self, Actor, Changes};
use khata_store::gateway_accounts::NewGatewayAccount;
use serde_json::{Value, json};

use super::which::gateway_name;

/// Writes the audit log's line of a gateway account that was added or updated. `before`: its settings until now, by
/// [`settings_json`], or null.
#[allow(clippy::too_many_arguments, reason = "a line of the audit log")]
pub(crate) fn audit_gateway(
    connection: &mut PgConnection,
    merchant: MerchantId,
    actor: &Actor,
    action: &str,
    account: &NewGatewayAccount<'_>,
    before: &Value,
    credentials_changed: bool,
) -> QueryResult<()> {
    let NewGatewayAccount {
        id,
        gateway_id,
        reference_id,
        priority,
        pinned_only,
        base_url,
        settings,
    } = *account;
    let after = settings_json(priority, pinned_only, base_url, settings);
    let mut changes = Changes::between(before, &after);
    if credentials_changed {
        changes.add_secret("credentials");
    }
    let about = json!({ "gateway": gateway_name(gateway_id), "reference_id": reference_id });
    audit::record(
        connection,
        merchant,
        actor,
        action,
        &id.to_string(),
        about,
        &changes,
    )
}

/// Returns a gateway account's settings as the audit log names them; a member of the JSON settings is `settings.NAME`.
pub(super) fn settings_json(
    priority: i16,
    pinned_only: bool,
    base_url: Option<&str>,
    settings: &Value,
) -> Value {
    let mut all = json!({ "priority": priority, "pinned_only": pinned_only, "base_url": base_url });
    for (name, value) in settings.as_object().into_iter().flatten() {
        all[format!("settings.{name}")] = value.clone();
    }
    all
}
