//! The attempts that a gateway's statement is compared with.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use khata_domain::ids::AttemptReference;
use khata_domain::{AccountId, GatewayAccountId, MerchantId, ValidationId};

use super::finding::{Found, Rule};
use super::walk::Page;
use crate::column::row;
use crate::statement::{rows, statement};
use crate::validations::{ATTEMPT_COLUMNS, Attempt};

row! {
    /// An attempt at a gateway account.
    #[derive(Clone, Debug)]
    pub struct Payment {
        #[diesel(embed)]
        attempt: Attempt,
        pub account_id: Option<AccountId>,
        pub settled_at: Option<DateTime<Utc>>,
    }
}

impl Payment {
    /// Returns our reference and the gateway's.
    pub fn references(&self) -> (&str, Option<&str>) {
        let theirs = self.attempt.gateway_reference.as_deref();
        (&self.attempt.reference, theirs)
    }

    pub fn started_at(&self) -> DateTime<Utc> {
        self.attempt.started_at
    }

    /// Returns the attempt by the rules of the domain.
    pub fn attempt(&self) -> khata_domain::attempt::Attempt {
        self.attempt.clone().into()
    }

    /// Returns a finding about this attempt.
    pub fn found(&self, rule: Rule, detail: String) -> Found {
        Found {
            account: self.account_id,
            validation: Some(self.attempt.key.id),
            number: Some(self.attempt.number),
            since: Some(self.attempt.started_at),
            ..Found::new(rule, detail)
        }
    }
}

/// Reads the attempts of a page of validations at one gateway account.
pub fn payments(
    connection: &mut PgConnection,
    merchant: MerchantId,
    page: Page,
    gateway_account: GatewayAccountId,
) -> QueryResult<Vec<Payment>> {
    statement(format!(
        "select {ATTEMPT_COLUMNS}, t.settled_at, v.account_id
         from validation_attempts t
         left join lateral (
            select v.account_id from validations v where v.merchant_id = t.merchant_id and v.id = t.validation_id limit 1
         ) v on true
         where t.merchant_id = $1 and t.validation_id >= $2 and t.validation_id < $3 and t.gateway_account_id = $4"
    ))
    .key(merchant, page.from)
    .bind(page.before)
    .bind(gateway_account)
    .load(connection)
}

/// Finds which of these attempts exist, at any gateway account of any merchant, and where: a rupee may be in the wrong statement.
pub fn attempts_by_reference(
    connection: &mut PgConnection,
    references: &[AttemptReference],
) -> QueryResult<Vec<(ValidationId, i16, GatewayAccountId, String)>> {
    statement(
        "select t.validation_id, t.number, t.gateway_account_id, m.name from $1 as wanted
         cross join merchants m
         cross join lateral (
            select validation_id, number, gateway_account_id from validation_attempts
            where merchant_id = m.id and validation_id = wanted.validation_id and number = wanted.number limit 1
         ) t",
    )
    .rows(rows!(references, reference => {
        validation_id = reference.validation,
        number = reference.number,
    }))
    .tuples(connection)
}
