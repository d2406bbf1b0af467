//! `khata account list --set-aside`.

use diesel::{PgConnection, QueryResult};
use khata_domain::MerchantId;
use khata_store::retry::{self, SetAside};
use serde_json::{Value, json};

use crate::output::{Table, time};

/// Returns the accounts as JSON and as a text.
pub(super) fn list(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    limit: i64,
) -> QueryResult<(Vec<Value>, String)> {
    let accounts = retry::set_aside(connection, merchant, limit)?;
    let list = accounts.iter().map(json_of).collect();
    Ok((list, text(&accounts)))
}

fn json_of(account: &SetAside) -> Value {
    json!({
        "merchant_id": account.merchant.to_string(),
        "merchant": account.merchant_name,
        "account_id": account.account.to_string(),
        "validation_id": account.validation.to_string(),
        "masked": account.masked,
        "failed_steps": account.failed_steps,
        "created_at": time(account.created_at),
        "next_attempt_at": time(account.due_at),
        "deadline_at": time(account.deadline_at),
    })
}

fn text(accounts: &[SetAside]) -> String {
    if accounts.is_empty() {
        return "No validation was set aside.".to_owned();
    }
    let headings = [
        "MERCHANT",
        "ACCOUNT",
        "VALIDATION",
        "NUMBER",
        "FAILED STEPS",
        "NEXT",
        "DEADLINE",
    ];
    let rows = accounts.iter().map(|account| {
        [
            account.merchant_name.clone(),
            account.account.to_string(),
            account.validation.to_string(),
            account.masked.clone(),
            account.failed_steps.to_string(),
            time(account.due_at),
            time(account.deadline_at),
        ]
    });
    let table = Table::rows(headings, rows);
    format!(
        "{table}\n\nWhen the cause is repaired: `khata account retry --all --set-aside --merchant …`."
    )
}
