//! A person's decision about an account whose holder's name the merchant's settings leave to a person.

use diesel::prelude::*;

use super::statement::statement;
use khata_domain::validation::{FailureCode, Outcome};
use khata_domain::{AccountStatus, ValidationKey};

/// Accepts or rejects the name of the account whose newest validation is this one. Returns `false` if no person decides about
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
    // The validation is locked before the account, as settling does.
    let decided = statement(
        "with review as (
            select v.merchant_id, v.id, v.account_id from validations v
            where v.merchant_id = $1 and v.id = $2 and v.outcome = 'REVIEW' and v.failure_code = 'NAME_MISMATCH'
            for no key update
         ), account as (
            update customer_accounts a set status = $3, updated_at = now()
            from review r
            where a.merchant_id = r.merchant_id and a.id = r.account_id and a.validation_id = r.id
              and a.status = 'PENDING'
            returning r.merchant_id, r.id
         )
         update validations v set outcome = $4, failure_code = $5, failure_reason = $6
         from account d where v.merchant_id = d.merchant_id and v.id = d.id",
    )
    .key(validation.merchant, validation.id)
    .bind(status)
    .bind(outcome)
    .bind(failure)
    .bind(failure.map(FailureCode::reason))
    .execute(connection)?;
    Ok(decided == 1)
}
