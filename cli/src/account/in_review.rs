//! `khata account list --in-review`.

use chrono::TimeDelta;
use diesel::{PgConnection, QueryResult};
use khata_domain::MerchantId;
use khata_name_match::NameMatchResult;
use khata_store::name_review::{self, InReview};
use serde_json::{Value, json};

use crate::output::{NONE, Table, time};

/// Returns the accounts as JSON and as a text.
pub(super) fn list(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    limit: i64,
) -> QueryResult<(Vec<Value>, String)> {
    let accounts = name_review::in_review(connection, merchant, limit)?;
    let list = accounts.iter().map(json_of).collect();
    Ok((list, text(&accounts)))
}

fn json_of(account: &InReview) -> Value {
    json!({
        "merchant_id": account.merchant.to_string(),
        "merchant": account.merchant_name,
        "account_id": account.account.to_string(),
        "customer_id": account.customer.to_string(),
        "validation_id": account.validation.to_string(),
        "masked": account.masked,
        "in_review_since": time(account.since),
        "age_seconds": whole_seconds(account.age_seconds),
        "name_match_score": account.name_match_score,
    })
}

fn text(accounts: &[InReview]) -> String {
    if accounts.is_empty() {
        return "No account waits for a person.".to_owned();
    }
    let headings = [
        "MERCHANT",
        "ACCOUNT",
        "CUSTOMER",
        "VALIDATION",
        "NUMBER",
        "SINCE",
        "AGE",
        "NAME MATCH",
    ];
    let rows = accounts.iter().map(|account| {
        let score = account.name_match_score.map(|score| {
            let result = NameMatchResult::of_stored_score(score);
            format!("{score} {}", result.as_str())
        });
        [
            account.merchant_name.clone(),
            account.account.to_string(),
            account.customer.to_string(),
            account.validation.to_string(),
            account.masked.clone(),
            time(account.since),
            age(whole_seconds(account.age_seconds)),
            score.unwrap_or_else(|| NONE.to_owned()),
        ]
    });
    Table::rows(headings, rows).to_string()
}

#[allow(clippy::cast_possible_truncation, reason = "an age in seconds")]
fn whole_seconds(seconds: f64) -> i64 {
    seconds as i64
}

/// Formats an age by days and hours, or by hours and minutes.
fn age(seconds: i64) -> String {
    let age = TimeDelta::seconds(seconds);
    match age.num_days() {
        0 => format!("{} h {} min", age.num_hours(), age.num_minutes() % 60),
        days => format!("{days} d {} h", age.num_hours() % 24),
    }
}

#[cfg(test)]
mod tests {
    use khata_domain::{AccountId, CustomerId, ValidationId};

    use super::*;

    #[test]
    fn each_account_is_a_line_with_its_age_and_score() {
        let account = InReview {
            merchant: MerchantId::new(),
            merchant_name: "acme".into(),
            account: AccountId::new(),
            customer: CustomerId::new(),
            validation: ValidationId::new(),
            masked: "XXXXXXX1191".into(),
            since: "2026-11-23T12:00:00Z".parse().unwrap(),
            age_seconds: 183_600.5,
            name_match_score: Some(55),
        };
        let table = text(std::slice::from_ref(&account));
        let line = table.lines().nth(1).unwrap();
        let words: Vec<_> = line.split("  ").filter(|word| !word.is_empty()).collect();
        assert_eq!(
            words,
            [
                "acme",
                &account.account.to_string(),
                &account.customer.to_string(),
                &account.validation.to_string(),
                "XXXXXXX1191",
                "2026-11-23T12:00:00Z",
                "2 d 3 h",
                "55 POOR_PARTIAL_MATCH"
            ]
        );
        assert_eq!(json_of(&account)["age_seconds"], 183_600);
        assert_eq!(age(3_725), "1 h 2 min");
        assert_eq!(text(&[]), "No account waits for a person.");
    }
}
