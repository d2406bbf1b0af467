//! Disabling an endpoint by rule.

use diesel::{Connection, PgConnection, QueryResult};
use khata_domain::events::{DisabledBy, EndpointKey};
use khata_store::audit::{self, Actor, Changes};
use khata_store::webhooks;
use serde_json::{Value, json};
use tracing::warn;

use crate::metrics::Metrics;

/// Disables an endpoint, with a line in the audit log. Returns whether it was enabled.
pub(crate) fn disable(
    connection: &mut PgConnection,
    key: EndpointKey,
    by: DisabledBy,
) -> QueryResult<bool> {
    connection.transaction(|connection| {
        let Some(endpoint) = webhooks::disable(connection, key, by)? else {
            return Ok(false);
        };
        audit::record(
            connection,
            key.merchant,
            &Actor::worker(),
            "webhook.disable",
            &key.id.to_string(),
            json!({ "failing_since": endpoint.failing_since }),
            &Changes::of("disabled_by", Value::Null, by.as_str()),
        )?;
        Ok(true)
    })
}

/// Counts and logs an endpoint that a rule disabled.
pub(crate) fn report_disabled(metrics: &Metrics, key: EndpointKey, by: DisabledBy) {
    metrics.endpoint_disabled(by);
    let why = match by {
        DisabledBy::Gone => "it replied 410",
        _ => "no call succeeded for five days",
    };
    warn!(
        merchant_id = %key.merchant, webhook_endpoint_id = %key.id,
        "webhook endpoint disabled: {why}; the merchant enables it again"
    );
}
