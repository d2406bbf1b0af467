//! The audit log: every change of a merchant's configuration, with the operator and the time.

use diesel::prelude::*;
use uuid::Uuid;

use super::schema::audit_log;
use khata_domain::MerchantId;

/// Writes one line of the audit log. Call it in the transaction of the change; `detail` holds no secret.
pub fn record(
    connection: &mut PgConnection,
    merchant: MerchantId,
    action: &str,
    subject: &str,
    detail: &serde_json::Value,
) -> QueryResult<()> {
    let id = Uuid::now_v7();
    insert(connection, merchant, id, action, subject, detail)
}

/// Writes a line, or replaces its detail: for work of many transactions that belongs in one line.
pub fn record_growing(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: Uuid,
    action: &str,
    subject: &str,
    detail: &serde_json::Value,
) -> QueryResult<()> {
    let grown = diesel::update(audit_log::table.find((merchant, id)))
        .set(audit_log::detail.eq(detail))
        .execute(connection)?;
    if grown == 0 {
        insert(connection, merchant, id, action, subject, detail)?;
    }
    Ok(())
}

fn insert(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: Uuid,
    action: &str,
    subject: &str,
    detail: &serde_json::Value,
) -> QueryResult<()> {
    let actor = std::env::var("USER")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "unknown".into());
    diesel::insert_into(audit_log::table)
        .values((
            audit_log::merchant_id.eq(merchant),
            audit_log::id.eq(id),
            audit_log::actor.eq(actor),
            audit_log::action.eq(action),
            audit_log::subject.eq(subject),
            audit_log::detail.eq(detail),
        ))
        .execute(connection)
        .map(drop)
}
