//! Validates an account again, and deletes it. A transaction that locks a validation and its account locks the validation
//! first, as settling does, so that the two cannot deadlock.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::columns::{AccountRow, WAKEUP_GRACE_MS, find, find_any};
use super::new::ValidationTerms;
use super::velocity;
use crate::budget;
use crate::statement::{rows, statement};
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin;
use khata_domain::{
    AccountId, AccountKind, AccountStatus, CustomerId, MerchantId, ValidationId, ValidationKey,
};

/// A request to validate an account again.
#[derive(Clone, Debug)]
pub struct ValidateAgain {
    pub merchant: MerchantId,
    pub customer: CustomerRef,
    pub account: AccountId,
    /// Kind that the account must have, if the request names one.
    pub kind: Option<AccountKind>,
    /// Id for the new validation.
    pub validation: ValidationId,
    /// Gateway to call, instead of the one in the request that created the account.
    pub pin: Option<Pin>,
    /// A consent replaces the one in the request that created the account.
    pub terms: ValidationTerms,
}

/// The result of [`validate_again`].
#[derive(Debug)]
pub enum Revalidation {
    /// A validation began; the caller publishes its wake-up.
    Started(Box<AccountRow>),
    /// The validation before is not finished and continues.
    AlreadyOpen(Box<AccountRow>, ValidationKey),
    /// The merchant has used up the validations of this account until this time.
    TooMany(DateTime<Utc>),
    /// The merchant has used up its penny drops until this time.
    BudgetExhausted(DateTime<Utc>),
    /// The account is deleted.
    Deleted,
    /// The customer has no such account.
    NotFound,
}

/// Begins another validation of a live account whose newest one is completed. Call it in a transaction.
pub fn validate_again(
    connection: &mut PgConnection,
    wanted: &ValidateAgain,
) -> QueryResult<Revalidation> {
    let (merchant, account) = (wanted.merchant, wanted.account);
    let row = find_any(connection, merchant, &wanted.customer, account)?;
    if !row.is_some_and(|row| wanted.kind.is_none_or(|kind| kind == row.kind)) {
        return Ok(Revalidation::NotFound);
    }
    // A concurrent request for the same account waits here and then finds the validation open.
    let (owner, fingerprint, has_consent, deleted_at) = statement(
        "select customer_id, fingerprint, consent is not null, deleted_at from customer_accounts
         where merchant_id = $1 and id = $2 for update",
    )
    .key(merchant, account)
    .tuple::<(CustomerId, Vec<u8>, bool, Option<DateTime<Utc>>)>(connection)?;
    if deleted_at.is_some() {
        return Ok(Revalidation::Deleted);
    }
    // Read again under the lock: the validation may have ended, and another begun, during the wait for the lock.
    let row = find_any(connection, merchant, &wanted.customer, account)?;
    let Some(row) = row.map(Box::new) else {
        return Ok(Revalidation::NotFound);
    };
    if let Some(open) = row.open_validation() {
        return Ok(Revalidation::AlreadyOpen(row, open));
    }
    let (details, terms) = ([(merchant, owner, &*fingerprint)], &wanted.terms);
    let budget = (merchant, terms.penny_drops_per_day);
    velocity::lock(connection, &details, std::iter::once(budget))?;
    if let Some(recent) = velocity::recent(connection, &details)?.remove(&0)
        && let Some(until) = recent.until(terms.validations_per_day)
    {
        return Ok(Revalidation::TooMany(until));
    }
    let used = budget::used(connection, &[merchant])?;
    let may_pay = row.kind == AccountKind::Bank || has_consent || terms.consent.is_some();
    if may_pay && used.get(&merchant).copied().unwrap_or_default() >= terms.penny_drops_per_day {
        let until = budget::next_day(terms.now);
        return Ok(Revalidation::BudgetExhausted(until));
    }
    begin(connection, wanted, may_pay)?;
    match find_any(connection, merchant, &wanted.customer, account)? {
        Some(row) => Ok(Revalidation::Started(Box::new(row))),
        None => Ok(Revalidation::NotFound),
    }
}

fn begin(connection: &mut PgConnection, wanted: &ValidateAgain, may_pay: bool) -> QueryResult<()> {
    statement(
        "insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, trace_parent, created_at,
            awaited_until, fresh)
         values ($1, $2, $3, 'DUE', now() + $4 * interval '1 ms', $5, $6, $7, $8, $9)",
    )
    .bind(wanted.merchant)
    .bind(wanted.validation)
    .bind(wanted.account)
    .bind(WAKEUP_GRACE_MS)
    .bind(wanted.terms.deadline_at)
    .bind(wanted.terms.trace_parent.as_deref())
    .bind(wanted.terms.now)
    .bind(wanted.terms.awaited_until)
    .bind(wanted.terms.fresh)
    .run(connection)?;
    let pin = wanted.pin.as_ref();
    statement(
        "update customer_accounts
         set validation_id = $1, updated_at = $2,
            status = case when status in ('ACTIVE', 'FAILURE') then 'PENDING' else status end,
            pinned_gateway_id = case when $3 then $4 else pinned_gateway_id end,
            pinned_gateway_reference_id = case when $3 then $5 else pinned_gateway_reference_id end,
            consent = coalesce($6::jsonb, consent),
            revalidated_at = array(select at from unnest(revalidated_at) as at where at > now() - interval '24 hours') || $2
         where merchant_id = $7 and id = $8 and status <> 'DELETED'",
    )
    .bind(wanted.validation)
    .bind(wanted.terms.now)
    .bind(pin.is_some())
    .bind(pin.and_then(|pin| pin.gateway_id))
    .bind(pin.and_then(|pin| pin.reference_id.as_deref()))
    .bind(wanted.terms.consent.as_deref())
    .key(wanted.merchant, wanted.account)
    .run(connection)?;
    if !may_pay {
        return Ok(());
    }
    statement(budget::count("$1 as drops"))
        .rows(rows!(&[wanted], again => { merchant_id = again.merchant }))
        .run(connection)
}

/// A deleted account.
#[derive(Debug)]
pub struct Deleted {
    /// The account after the deletion.
    pub account: AccountRow,
    /// The open validation and its trace: after its wake-up, a worker cancels it.
    pub open: Option<(ValidationKey, Option<String>)>,
}

/// Deletes the customer's live account; `None` if there is none. A waiting validation becomes due, so that it ends now
/// instead of after its wait. Call it in a transaction.
pub fn delete(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    account: AccountId,
    now: DateTime<Utc>,
) -> QueryResult<Option<Deleted>> {
    let Some(row) = find(connection, merchant, customer, account)? else {
        return Ok(None);
    };
    let open = match row.open_validation() {
        None => None,
        Some(open) => statement(
            "update validations set state = 'DUE', due_at = now() + $1 * interval '1 ms'
             where merchant_id = $2 and id = $3 and state in ('DUE', 'WAITING') returning trace_parent",
        )
        .bind(WAKEUP_GRACE_MS)
        .key(merchant, open.id)
        .tuple(connection)
        .optional()?
        .map(|trace_parent| (open, trace_parent)),
    };
    let deleted = statement(
        "update customer_accounts set status = $1, deleted_at = $2, updated_at = $2
         where merchant_id = $3 and id = $4 and status <> 'DELETED'",
    )
    .bind(AccountStatus::Deleted)
    .bind(now)
    .key(merchant, account)
    .execute(connection)?;
    if deleted == 0 {
        return Ok(None);
    }
    let row = find_any(connection, merchant, customer, account)?;
    Ok(row.map(|account| Deleted { account, open }))
}
