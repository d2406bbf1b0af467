//! The audit log: every change of a merchant's configuration, with the operator and the time.

use diesel::{PgConnection, QueryResult};
use uuid::Uuid;

use super::statement::statement;
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
    record_growing(connection, merchant, id, action, subject, detail)
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
    let actor = std::env::var("USER")
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "unknown".into());
    statement(
        "insert into audit_log (merchant_id, id, actor, action, subject, detail) values ($1, $2, $3, $4, $5, $6)
         on conflict (merchant_id, id) do update set detail = excluded.detail",
    )
    .key(merchant, id)
    .bind(actor)
    .bind(action)
    .bind(subject)
    .bind(detail)
    .run(connection)
}
