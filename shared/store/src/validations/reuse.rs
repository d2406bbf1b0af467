//! Earlier results: a gateway's recent result for the same details of the same merchant, and one whose names a person accepted.

use std::collections::HashMap;

use diesel::prelude::*;

use super::settle::Provenance;
use crate::column::row;
use crate::statement::{rows, statement};
use khata_domain::validation::{FailureCode, Outcome};
use khata_domain::{AccountId, ValidationId, ValidationKey};

row! {
    /// A result that a gateway gave.
    #[derive(Clone, Debug)]
    pub struct Reusable {
        /// The validation that can reuse it.
        #[diesel(embed)]
        wanted_by: ValidationKey,
        /// The validation that called the gateway.
        #[diesel(column_name = source_id)]
        pub validation: ValidationId,
        /// The account of that validation: the same details, perhaps of another customer.
        #[diesel(column_name = account_id)]
        pub account: AccountId,
        pub outcome: Outcome,
        pub failure_code: Option<FailureCode>,
        /// The gateway that gave the result.
        #[diesel(embed)]
        pub provenance: Provenance,
        /// Encrypted for [`Self::account`].
        pub sealed_result: Option<Vec<u8>>,
        /// The gateway's own score.
        pub gateway_name_match_score: Option<i16>,
    }
}

row! {
    /// A result whose names a person accepted.
    #[derive(Clone, Debug)]
    pub struct Accepted {
        /// The validation of the same account that began later.
        #[diesel(embed)]
        pub wanted_by: ValidationKey,
        /// Encrypted for the account.
        pub sealed_result: Vec<u8>,
    }
}

/// Finds the results that a person accepted of these accounts, whose validations are these.
pub fn accepted(
    connection: &mut PgConnection,
    wanted: &[(ValidationKey, AccountId)],
) -> QueryResult<Vec<Accepted>> {
    statement(
        "select wanted.merchant_id, wanted.id as validation_id, e.sealed_result
         from $1 as wanted
         cross join lateral (
            select accepted_validation_id from customer_accounts
            where merchant_id = wanted.merchant_id and id = wanted.account_id limit 1
         ) a
         cross join lateral (
            select sealed_result from validations
            where merchant_id = wanted.merchant_id and id = a.accepted_validation_id and sealed_result is not null limit 1
         ) e",
    )
    .rows(rows!(wanted, (key, account) => {
        merchant_id = key.merchant,
        id = key.id,
        account_id = *account,
    }))
    .load(connection)
}

/// Finds for each of these validations the newest result of the same details within its maximum age in seconds. Only
/// results of gateway calls, and of accounts that are not deleted.
pub fn reusable(
    connection: &mut PgConnection,
    wanted: &[(ValidationKey, i32)],
) -> QueryResult<HashMap<ValidationKey, Reusable>> {
    let rows: Vec<Reusable> = statement(
        "select wanted.merchant_id, wanted.id as validation_id, earlier.*
         from $1 as wanted
         join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
         join customer_accounts a on a.merchant_id = v.merchant_id and a.id = v.account_id
         cross join lateral (
            select e.id as source_id, e.account_id, e.outcome, e.failure_code, e.gateway_id, e.gateway_reference_id,
                e.method, e.sealed_result, e.gateway_name_match_score
            from customer_accounts same
            -- By its key: joined without statistics, Postgres may read all validations of the merchant.
            cross join lateral (
                select * from validations where merchant_id = same.merchant_id and id = same.told_validation_id limit 1
            ) e
            where same.merchant_id = a.merchant_id and same.fingerprint = a.fingerprint and same.deleted_at is null
              and e.completed_at > now() - wanted.seconds * interval '1 s'
              and e.gateway_id is not null and e.gateway_reference_id is not null and e.method is not null
            order by e.completed_at desc limit 1
         ) earlier",
    )
    .rows(rows!(wanted, (key, seconds) => {
        merchant_id = key.merchant,
        id = key.id,
        seconds = *seconds,
    }))
    .load(connection)?;
    Ok(rows.into_iter().map(|row| (row.wanted_by, row)).collect())
}
