//! Results that need not be asked for again: what a gateway told of the same details of the same merchant lately.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel::sql_types::{Array, Binary, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::{Provenance, ids, merchants};
use crate::statement::statement;
use khata_domain::ValidationKey;
use khata_domain::validation::{FailureCode, Outcome};
use khata_domain::{AccountId, MerchantId, Method, ValidationId};

/// A result that a gateway told.
#[derive(Clone, Debug, QueryableByName)]
pub struct Reusable {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    wanted_by: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    account_id: Uuid,
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = Nullable<Text>)]
    failure_code: Option<String>,
    #[diesel(sql_type = SmallInt)]
    gateway_id: i16,
    #[diesel(sql_type = Text)]
    gateway_reference_id: String,
    #[diesel(sql_type = Text)]
    method: String,
    /// Sealed for [`Self::account`].
    #[diesel(sql_type = Nullable<Binary>)]
    pub sealed_result: Option<Vec<u8>>,
    /// The gateway's own.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub gateway_name_match_score: Option<i16>,
}

impl Reusable {
    /// Whose result it is.
    pub fn validation(&self) -> ValidationId {
        ValidationId(self.id)
    }

    /// The account it was told of: the same details, perhaps of another customer.
    pub fn account(&self) -> AccountId {
        AccountId(self.account_id)
    }

    /// What was told, and why not, unless VALID; `None` if the row holds words of another version.
    pub fn told(&self) -> Option<(Outcome, Option<FailureCode>)> {
        let failure = match &self.failure_code {
            Some(word) => Some(FailureCode::parse(word)?),
            None => None,
        };
        Some((Outcome::parse(&self.outcome)?, failure))
    }

    /// Which gateway told.
    pub fn gateway_id(&self) -> i16 {
        self.gateway_id
    }

    /// Who told.
    pub fn provenance(&self) -> Option<Provenance> {
        Some(Provenance {
            gateway_id: self.gateway_id,
            gateway_reference_id: self.gateway_reference_id.clone(),
            method: Method::parse(&self.method)?,
        })
    }
}

/// For each of these validations the newest result of the same details that is no older than so many seconds; only what
/// a gateway told itself, and of accounts that are not deleted.
pub fn reusable(
    connection: &mut PgConnection,
    wanted: &[(ValidationKey, i32)],
) -> QueryResult<HashMap<ValidationKey, Reusable>> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<_> = wanted.iter().map(|(key, _)| *key).collect();
    let rows: Vec<Reusable> = statement(
        "select wanted.merchant_id, wanted.id as wanted_by, earlier.*
         from unnest($1::uuid[], $2::uuid[], $3::integer[]) as wanted (merchant_id, id, seconds)
         join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
         join customer_accounts a on a.merchant_id = v.merchant_id and a.id = v.account_id
         cross join lateral (
            select e.id, e.account_id, e.outcome, e.failure_code, e.gateway_id, e.gateway_reference_id, e.method,
                e.sealed_result, e.gateway_name_match_score
            from customer_accounts same
            join validations e on e.merchant_id = same.merchant_id and e.id = same.told_validation_id
            where same.merchant_id = a.merchant_id and same.fingerprint = a.fingerprint and same.deleted_at is null
              and e.completed_at > now() - wanted.seconds * interval '1 s'
              and e.gateway_id is not null and e.gateway_reference_id is not null and e.method is not null
            order by e.completed_at desc limit 1
         ) earlier",
    )
    .bind::<Array<SqlUuid>, _>(merchants(&keys))
    .bind::<Array<SqlUuid>, _>(ids(&keys))
    .bind::<Array<Integer>, _>(wanted.iter().map(|(_, seconds)| *seconds).collect::<Vec<_>>())
    .load(connection)?;
    let by_validation = rows.into_iter().map(|row| {
        let key = ValidationKey {
            merchant: MerchantId(row.merchant_id),
            id: ValidationId(row.wanted_by),
        };
        (key, row)
    });
    Ok(by_validation.collect())
}
