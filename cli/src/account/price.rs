//! The price of another validation of an account that is FAILURE: `khata account retry` reads it before it begins one.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::PgConnection;
use khata_domain::validation::{FailureCode, Outcome};
use khata_store::merchants;
use khata_store::validations::{budget_renewed_at, penny_drops_today};
use serde_json::{Value, json};

use super::history::History;
use crate::output::time;

pub(super) struct Price {
    account: String,
    outcome: Option<Outcome>,
    failure: Option<FailureCode>,
    /// Penny drops of this day that count for the merchant's budget.
    used: i32,
    budget: i32,
    renewed_at: DateTime<Utc>,
    /// The attempts that may have paid a rupee already.
    may_have_paid: Vec<String>,
}

impl Price {
    pub(super) fn read(connection: &mut PgConnection, history: &History) -> anyhow::Result<Self> {
        let merchant = history.account.merchant;
        let newest = history.validations.rows.last();
        let used = penny_drops_today(connection, &[merchant])?;
        Ok(Self {
            account: history.account.id.to_string(),
            outcome: newest.and_then(|newest| newest.outcome),
            failure: newest.and_then(|newest| newest.failure_code),
            used: used.get(&merchant).copied().unwrap_or_default(),
            budget: merchants::of_id(connection, merchant)?.penny_drops_per_day,
            renewed_at: budget_renewed_at(history.now),
            may_have_paid: history.may_have_paid(),
        })
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "penny_drops_today": self.used,
            "penny_drops_per_day": self.budget,
            "budget_renewed_at": time(self.renewed_at),
            "may_have_paid": self.may_have_paid,
        })
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.outcome.map_or("final", Outcome::as_str);
        write!(f, "The validation of account {} is {outcome}", self.account)?;
        if let Some(failure) = self.failure {
            write!(f, " ({failure})")?;
        }
        write!(
            f,
            ": a retry begins another one, which may pay another rupee and a gateway's fee. The merchant's budget has {} of {} penny drops \
             used on this day in India, until {}; it does not bind an operator, and the retry counts.",
            self.used,
            self.budget,
            time(self.renewed_at)
        )?;
        if !self.may_have_paid.is_empty() {
            write!(
                f,
                " Each of these penny drops may have paid the payee a rupee: {}. Search their references in the gateways' reports first.",
                self.may_have_paid.join(", ")
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_and_the_rupees_so_far_are_named() {
        let price = Price {
            account: "banh_1".to_owned(),
            outcome: Some(Outcome::Unavailable),
            failure: Some(FailureCode::AttemptsExhausted),
            used: 15,
            budget: 1,
            renewed_at: "2026-11-30T18:30:00Z".parse().unwrap(),
            may_have_paid: Vec::new(),
        };
        let text = price.to_string();
        for says in [
            "account banh_1 is UNAVAILABLE (ATTEMPTS_EXHAUSTED): a retry begins",
            "may pay another rupee",
            "15 of 1 penny drops used on this day in India, until 2026-11-30T18:30:00Z",
        ] {
            assert!(text.contains(says), "{says}: {text}");
        }
        assert!(text.ends_with("and the retry counts."), "{text}");
        let paid = Price {
            may_have_paid: vec!["kh1_01 at SETU main".to_owned()],
            ..price
        };
        assert!(
            paid.to_string()
                .contains("a rupee: kh1_01 at SETU main. Search")
        );
        assert_eq!(paid.json()["penny_drops_today"], 15);
    }
}
