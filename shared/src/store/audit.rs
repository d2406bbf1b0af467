//! Who changed what about a merchant, and when.

use diesel::prelude::*;
use uuid::Uuid;

use super::schema::audit_log;
use crate::domain::MerchantId;

/// Writes one line of the audit log; in the transaction of what it tells of. `detail` holds no secret.
pub fn record(
    connection: &mut PgConnection,
    merchant: MerchantId,
    action: &str,
    subject: &str,
    detail: &serde_json::Value,
) -> QueryResult<()> {
    let actor = std::env::var("USER")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "unknown".into());
    diesel::insert_into(audit_log::table)
        .values((
            audit_log::merchant_id.eq(merchant.0),
            audit_log::id.eq(Uuid::now_v7()),
            audit_log::actor.eq(actor),
            audit_log::action.eq(action),
            audit_log::subject.eq(subject),
            audit_log::detail.eq(detail),
        ))
        .execute(connection)
        .map(drop)
}
