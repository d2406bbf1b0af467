//! A person's decision about an account whose holder's name the merchant's settings leave to a person.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::column::row;
use super::events;
use super::statement::statement;
use khata_domain::validation::{FailureCode, Outcome};
use khata_domain::{
    AccountId, AccountStatus, CustomerId, EventId, MerchantId, ValidationId, ValidationKey,
};

row! {
    /// An account that waits for a person, in its masked form.
    #[derive(Clone, Debug)]
    pub struct InReview {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        pub merchant_name: String,
        #[diesel(column_name = account_id)]
        pub account: AccountId,
        #[diesel(column_name = customer_id)]
        pub customer: CustomerId,
        #[diesel(column_name = validation_id)]
        pub validation: ValidationId,
        /// The number that operators may see.
        pub masked: String,
        /// When the account began to wait.
        pub since: DateTime<Utc>,
        /// Age in seconds.
        pub age_seconds: f64,
        /// Khata's own score of the names.
        pub name_match_score: Option<i16>,
    }
}

/// Lists the accounts that wait for a person, of one merchant or of all: by the merchant's name, the oldest first.
pub fn in_review(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    limit: i64,
) -> QueryResult<Vec<InReview>> {
    statement(
        "select m.id as merchant_id, m.name as merchant_name, r.* from merchants m
         cross join lateral (
            select v.account_id, a.customer_id, v.id as validation_id, a.masked, v.completed_at as since,
                greatest(extract(epoch from now() - v.completed_at), 0)::float8 as age_seconds, v.name_match_score
            from validations v
            -- By its key: joined without statistics, Postgres may read all accounts of the merchant.
            cross join lateral (
                select masked, customer_id from customer_accounts
                where merchant_id = v.merchant_id and id = v.account_id and validation_id = v.id and status = 'PENDING' limit 1
            ) a
            where v.merchant_id = m.id and v.outcome = 'REVIEW' and v.failure_code = 'NAME_MISMATCH'
            order by v.completed_at limit $1
         ) r
         where $2 is null or m.id = $2
         order by m.name, r.since, r.validation_id limit $1",
    )
    .bind(limit)
    .bind(merchant)
    .load(connection)
}

/// Accepts or rejects the name of the account whose newest validation is this one. The account remembers an acceptance
/// ([`crate::validations::accepted`]) until the next decision. Returns `false` if no person decides about
/// it: the validation is not in review, or the account has been deleted or is being validated again.
pub fn decide(
    connection: &mut PgConnection,
    validation: ValidationKey,
    accept: bool,
) -> QueryResult<bool> {
    let (outcome, failure, status) = if accept {
        (Outcome::Valid, None, AccountStatus::Active)
    } else {
        let failure = Some(FailureCode::NameMismatch);
        (Outcome::Invalid, failure, AccountStatus::Failure)
    };
    let position = events::POSITION;
    let record = events::record(
        &["trace_parent", events::SNAPSHOT_COLUMNS],
        &format!(
            "select a.merchant_id, $7, a.event_position, a.id, a.version, 'CUSTOMER_ACCOUNT_' || a.status, now(), v.trace_parent, {}
             from account a join validation v on v.merchant_id = a.merchant_id and v.id = a.validation_id",
            events::SNAPSHOT
        ),
    );
    // The validation is locked before the account, as settling does.
    let decided = statement(format!(
        "with review as (
            select v.merchant_id, v.id, v.account_id from validations v
            where v.merchant_id = $1 and v.id = $2 and v.outcome = 'REVIEW' and v.failure_code = 'NAME_MISMATCH'
            for no key update
         ), account as (
            update customer_accounts a
            set status = $3, accepted_validation_id = case when $3 = 'ACTIVE' then r.id end, updated_at = now(),
                version = a.version + 1, event_position = greatest({position}, a.event_position)
            from review r
            where a.merchant_id = r.merchant_id and a.id = r.account_id and a.validation_id = r.id
              and a.status = 'PENDING'
            returning a.*
         ), validation as (
            update validations v set outcome = $4, failure_code = $5, failure_reason = $6
            from account d where v.merchant_id = d.merchant_id and v.id = d.validation_id
            returning v.*
         ), {record}
         select 1 from validation",
    ))
    .key(validation.merchant, validation.id)
    .bind(status)
    .bind(outcome)
    .bind(failure)
    .bind(failure.map(FailureCode::reason))
    .bind(EventId::new())
    .execute(connection)?;
    Ok(decided == 1)
}
