//! Validates an account again, and deletes it. A transaction that locks a validation and its account locks the validation
//! first, as settling does, so that the two cannot deadlock.

use diesel::prelude::*;

use super::columns::{AccountRow, WAKEUP_GRACE_MS, find, find_any};
use super::new::ValidationTerms;
use super::velocity::{self, Counted, Limited, Locks};
use crate::budget::{self, Hold, Used};
use crate::events;
use crate::statement::{rows, statement};
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin;
use khata_domain::{
    AccountId, AccountKind, AccountStatus, EventId, MerchantId, ValidationId, ValidationKey,
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
    Started {
        row: Box<AccountRow>,
        /// The event is delivered to endpoints of the merchant.
        has_deliveries: bool,
    },
    /// The validation before is not finished and continues.
    AlreadyOpen(Box<AccountRow>, ValidationKey),
    /// A limit of the merchant rejects the validation. The account is the only one.
    Limited(Limited),
    /// Another transaction holds a lock that the validation needs; nothing was stored. The caller tries again.
    Busy,
    /// The account is deleted.
    Deleted,
    /// The customer has no such account.
    NotFound,
}

/// Begins another validation of a live account whose newest one is completed. Call it in a transaction. Waits for no lock, so
/// that the calls of one merchant do not hold connections in a queue; what needs no lock is checked first.
pub fn validate_again(
    connection: &mut PgConnection,
    wanted: &ValidateAgain,
) -> QueryResult<Revalidation> {
    if let Some(found) = check(connection, wanted, None)?.err() {
        return Ok(found);
    }
    let (merchant, account) = (wanted.merchant, wanted.account);
    let is_locked = statement(
        "select 1 from customer_accounts where merchant_id = $1 and id = $2 for update skip locked",
    )
    .key(merchant, account)
    .execute(connection)?;
    let row = find_any(connection, merchant, &wanted.customer, account)?;
    let Some(row) = row.filter(|_| is_locked == 1) else {
        return Ok(Revalidation::Busy);
    };
    let details = [(merchant, row.customer, &*row.fingerprint)];
    let budget = budget::Wanted {
        merchant,
        budget: wanted.terms.penny_drops_per_day,
        drops: 1,
    };
    let locks = Locks::take(connection, &details, &[budget])?;
    // Again under the locks: the validation may have ended, and others begun, before they were taken.
    let (may_pay, used) = match check(connection, wanted, Some(&locks))? {
        Ok(permitted) => permitted,
        Err(found) => return Ok(found),
    };
    let hold = locks.budget(merchant);
    if may_pay && !used.permits(hold, merchant, 1, wanted.terms.penny_drops_per_day) {
        return Ok(Revalidation::Busy);
    }
    let has_deliveries = begin(connection, wanted, hold.filter(|_| may_pay))?;
    match find_any(connection, merchant, &wanted.customer, account)? {
        Some(row) => Ok(Revalidation::Started {
            row: Box::new(row),
            has_deliveries,
        }),
        None => Ok(Revalidation::NotFound),
    }
}

/// Returns whether the validation may pay, with the penny drops of the day, or why no validation begins.
fn check(
    connection: &mut PgConnection,
    wanted: &ValidateAgain,
    locks: Option<&Locks>,
) -> QueryResult<Result<(bool, Used), Revalidation>> {
    let (merchant, terms) = (wanted.merchant, &wanted.terms);
    let row = find_any(connection, merchant, &wanted.customer, wanted.account)?;
    let row = row.filter(|row| wanted.kind.is_none_or(|kind| kind == row.kind));
    let Some(row) = row.map(Box::new) else {
        return Ok(Err(Revalidation::NotFound));
    };
    if row.status == AccountStatus::Deleted {
        return Ok(Err(Revalidation::Deleted));
    }
    if let Some(open) = row.open_validation() {
        return Ok(Err(Revalidation::AlreadyOpen(row, open)));
    }
    if locks.is_some_and(|locks| !locks.has_account(merchant, &row.fingerprint)) {
        return Ok(Err(Revalidation::Busy));
    }
    let details = (merchant, row.customer, &*row.fingerprint);
    let Counted { recent, used } = velocity::count(connection, &[details], &[merchant])?;
    if let Some(wait) = recent
        .get(&0)
        .and_then(|recent| recent.wait(terms.validations_per_day, 0, used.now))
    {
        let limited = Limited::Validations { account: 0, wait };
        return Ok(Err(Revalidation::Limited(limited)));
    }
    let mut has_consent = || {
        statement(
            "select consent is not null from customer_accounts where merchant_id = $1 and id = $2",
        )
        .key(merchant, wanted.account)
        .tuple(connection)
    };
    let may_pay = row.kind == AccountKind::Bank || terms.consent.is_some() || has_consent()?;
    if may_pay && used.by(merchant) >= terms.penny_drops_per_day.into() {
        let wait = used.until_next_day();
        let limited = Limited::PennyDrops { wait };
        return Ok(Err(Revalidation::Limited(limited)));
    }
    Ok(Ok((may_pay, used)))
}

/// Begins a validation. Counts a penny drop in the slot of the hold, if there is one. Returns whether the event has deliveries.
fn begin(
    connection: &mut PgConnection,
    wanted: &ValidateAgain,
    hold: Option<&Hold>,
) -> QueryResult<bool> {
    let terms = &wanted.terms;
    statement(
        "insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, trace_parent, created_at,
            awaited_until, fresh)
         values ($1, $2, $3, 'DUE', now() + $4 * interval '1 ms', now() + $5 * interval '1 ms', $6, now(),
            now() + $7 * interval '1 ms', $8)",
    )
    .bind(wanted.merchant)
    .bind(wanted.validation)
    .bind(wanted.account)
    .bind(WAKEUP_GRACE_MS)
    .bind(terms.deadline.num_milliseconds())
    .bind(terms.trace_parent.as_deref())
    .bind(terms.awaited.map(|wait| wait.num_milliseconds()))
    .bind(terms.fresh)
    .run(connection)?;
    let pin = wanted.pin.as_ref();
    let position = events::POSITION;
    let record = events::record(
        &["trace_parent, status, last_validated_at, pinned_gateway_id, pinned_gateway_reference_id, validation_id, attempts, due_at"],
        "select a.merchant_id, $8, a.event_position, a.id, a.version,
            case when a.was in ('ACTIVE', 'FAILURE') then 'CUSTOMER_ACCOUNT_PENDING' else 'CUSTOMER_ACCOUNT_UPDATED' end,
            now(), v.trace_parent, a.status, a.last_validated_at, a.pinned_gateway_id, a.pinned_gateway_reference_id,
            v.id, v.attempts, v.due_at
         from account a join validations v on v.merchant_id = a.merchant_id and v.id = a.validation_id",
    );
    let has_deliveries = statement(format!(
        "with account as (
            update customer_accounts a
            set validation_id = $1, updated_at = now(), version = a.version + 1,
                event_position = greatest({position}, a.event_position),
                status = case when a.status in ('ACTIVE', 'FAILURE') then 'PENDING' else a.status end,
                pinned_gateway_id = case when $2 then $3 else a.pinned_gateway_id end,
                pinned_gateway_reference_id = case when $2 then $4 else a.pinned_gateway_reference_id end,
                consent = coalesce($5::jsonb, a.consent),
                revalidated_at = array(select at from unnest(a.revalidated_at) as at where at > now() - interval '24 hours') || now()
            from customer_accounts o
            where a.merchant_id = $6 and a.id = $7 and a.status <> 'DELETED' and o.merchant_id = a.merchant_id and o.id = a.id
            returning a.*, o.status as was
         ), {record}
         select exists (select from delivery)",
    ))
    .bind(wanted.validation)
    .bind(pin.is_some())
    .bind(pin.and_then(|pin| pin.gateway_id))
    .bind(pin.and_then(|pin| pin.reference_id.as_deref()))
    .bind(terms.consent.as_deref())
    .key(wanted.merchant, wanted.account)
    .bind(EventId::new())
    .tuple(connection)?;
    statement(budget::count("$1 as counted"))
        .rows(rows!(hold.as_slice(), hold => {
            merchant_id = wanted.merchant,
            slot = hold.slot,
            drops = 1,
        }))
        .run(connection)?;
    Ok(has_deliveries)
}

/// A deleted account.
#[derive(Debug)]
pub struct Deleted {
    /// The account after the deletion.
    pub account: AccountRow,
    /// The open validation and its trace: after its wake-up, a worker cancels it.
    pub open: Option<(ValidationKey, Option<String>)>,
    /// The event is delivered to endpoints of the merchant.
    pub has_deliveries: bool,
}

/// Deletes the customer's live account; `None` if there is none. A waiting validation becomes due, so that it ends now
/// instead of after its wait. Call it in a transaction.
pub fn delete(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    account: AccountId,
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
    // A statement sees what was committed before it began: with both locks, no other transaction changes the account and this validation
    // until the event is written. A newer validation may begin before the account's lock; the event then shows that one.
    if let Some(validation) = row.validation.id {
        statement("select 1 from validations where merchant_id = $1 and id = $2 for no key update")
            .key(merchant, validation)
            .run(connection)?;
    }
    statement(
        "select 1 from customer_accounts where merchant_id = $1 and id = $2 for no key update",
    )
    .key(merchant, account)
    .run(connection)?;
    let (position, snapshot) = (events::POSITION, events::SNAPSHOT_COLUMNS);
    let record = events::record(
        &["trace_parent", snapshot],
        &format!(
            "select a.merchant_id, $4, a.event_position, a.id, a.version, 'CUSTOMER_ACCOUNT_DELETED', now(), v.trace_parent, {}
             from account a left join validations v on v.merchant_id = a.merchant_id and v.id = a.validation_id",
            events::SNAPSHOT
        ),
    );
    let deleted: Option<bool> = statement(format!(
        "with account as (
            update customer_accounts a
            set status = $1, deleted_at = now(), updated_at = now(), version = a.version + 1,
                event_position = greatest({position}, a.event_position)
            where a.merchant_id = $2 and a.id = $3 and a.status <> 'DELETED'
            returning a.*
         ), {record}
         select exists (select from delivery) from account",
    ))
    .bind(AccountStatus::Deleted)
    .key(merchant, account)
    .bind(EventId::new())
    .tuple(connection)
    .optional()?;
    let Some(has_deliveries) = deleted else {
        return Ok(None);
    };
    let row = find_any(connection, merchant, customer, account)?;
    Ok(row.map(|account| Deleted {
        account,
        open,
        has_deliveries,
    }))
}
