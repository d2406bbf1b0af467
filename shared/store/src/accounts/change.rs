//! Validating an account again, and deleting it. Where both a validation's row and its account's are locked, the validation
//! is first, as in settling: the two never wait for each other in a circle.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    BigInt, Binary, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::{AccountRow, Kind, RING_GRACE_MS, find_any, velocity};
use crate::statement::statement;
use khata_domain::ValidationKey;
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin;
use khata_domain::{AccountId, AccountStatus, CustomerId, MerchantId, ValidationId};

/// What *validate again* asks for.
#[derive(Clone, Debug)]
pub struct ValidateAgain {
    /// Whose.
    pub merchant: MerchantId,
    /// Whose customer.
    pub customer: CustomerRef,
    /// Which account.
    pub account: AccountId,
    /// What it must be.
    pub kind: Kind,
    /// Id of the validation, should one begin.
    pub validation: ValidationId,
    /// The gateway to ask, in the place of what the account was created with.
    pub pin: Option<Pin>,
    /// JSON of the payee's consent, in the place of what the account was created with.
    pub consent: Option<String>,
    /// W3C trace context of the call.
    pub trace_parent: Option<String>,
    /// Now.
    pub now: DateTime<Utc>,
    /// When trying to validate ends.
    pub deadline_at: DateTime<Utc>,
    /// Until when the caller waits for the outcome; `None` where it does not.
    pub awaited_until: Option<DateTime<Utc>>,
    /// Validations that the same details may have in 24 hours.
    pub validations_per_day: i16,
    /// A gateway is to be asked, however young an earlier result is.
    pub fresh: bool,
}

/// What became of it.
#[derive(Debug)]
pub enum Revalidation {
    /// A validation began; it is to be rung for.
    Begun(Box<AccountRow>),
    /// The one before is not finished: it goes on.
    GoesOn(Box<AccountRow>, ValidationKey),
    /// These details were validated too often; there is room again at this time.
    TooMany(DateTime<Utc>),
    /// The account is deleted.
    Deleted,
    /// The customer has no such account.
    NotFound,
}

#[derive(QueryableByName)]
struct Locked {
    #[diesel(sql_type = SqlUuid)]
    customer_id: Uuid,
    #[diesel(sql_type = Binary)]
    fingerprint: Vec<u8>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    deleted_at: Option<DateTime<Utc>>,
}

/// Begins another validation of a live account whose newest one is finished. In a transaction.
pub fn validate_again(
    connection: &mut PgConnection,
    wanted: &ValidateAgain,
) -> QueryResult<Revalidation> {
    let (merchant, account) = (wanted.merchant, wanted.account);
    let standing = find_any(connection, merchant, &wanted.customer, account)?;
    if !standing.is_some_and(|row| row.is(wanted.kind)) {
        return Ok(Revalidation::NotFound);
    }
    // Who validates the same account at the same moment waits here and then finds the validation open.
    let locked: Locked = statement(
        "select customer_id, fingerprint, deleted_at from customer_accounts
         where merchant_id = $1 and id = $2 for update",
    )
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<SqlUuid, _>(account.0)
    .get_result(connection)?;
    if locked.deleted_at.is_some() {
        return Ok(Revalidation::Deleted);
    }
    // Read after the lock: the one before may have ended, and another begun, while this call waited for it.
    let standing = find_any(connection, merchant, &wanted.customer, account)?;
    let Some(standing) = standing.map(Box::new) else {
        return Ok(Revalidation::NotFound);
    };
    if let Some(open) = standing.open_validation(merchant) {
        return Ok(Revalidation::GoesOn(standing, open));
    }
    let details = (
        merchant,
        CustomerId(locked.customer_id),
        &*locked.fingerprint,
    );
    if let Some(used) = velocity::used(connection, &[details])?.remove(&0)
        && used.validations >= i64::from(wanted.validations_per_day)
    {
        let until = used.until().unwrap_or(wanted.now + velocity::WINDOW);
        return Ok(Revalidation::TooMany(until));
    }
    begin(connection, wanted)?;
    match find_any(connection, merchant, &wanted.customer, account)? {
        Some(row) => Ok(Revalidation::Begun(Box::new(row))),
        None => Ok(Revalidation::NotFound),
    }
}

fn begin(connection: &mut PgConnection, wanted: &ValidateAgain) -> QueryResult<()> {
    statement(
        "insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, trace_parent, created_at,
            awaited_until, fresh)
         values ($1, $2, $3, 'DUE', now() + $4 * interval '1 ms', $5, $6, $7, $8, $9)",
    )
    .bind::<SqlUuid, _>(wanted.merchant.0)
    .bind::<SqlUuid, _>(wanted.validation.0)
    .bind::<SqlUuid, _>(wanted.account.0)
    .bind::<BigInt, _>(RING_GRACE_MS)
    .bind::<Timestamptz, _>(wanted.deadline_at)
    .bind::<Nullable<Text>, _>(wanted.trace_parent.as_deref())
    .bind::<Timestamptz, _>(wanted.now)
    .bind::<Nullable<Timestamptz>, _>(wanted.awaited_until)
    .bind::<Bool, _>(wanted.fresh)
    .execute(connection)?;
    let pin = wanted.pin.as_ref();
    statement(
        "update customer_accounts
         set validation_id = $1, updated_at = $2,
            status = case when status in ('ACTIVE', 'FAILURE') then 'PENDING' else status end,
            pinned_gateway_id = case when $3 then $4 else pinned_gateway_id end,
            pinned_gateway_reference_id = case when $5 then $6 else pinned_gateway_reference_id end,
            consent = coalesce($7::jsonb, consent),
            velocity_count = case when velocity_since > now() - interval '24 hours' then velocity_count + 1 else 1 end,
            velocity_since = case when velocity_since > now() - interval '24 hours' then velocity_since else now() end
         where merchant_id = $8 and id = $9 and status <> 'DELETED'",
    )
    .bind::<SqlUuid, _>(wanted.validation.0)
    .bind::<Timestamptz, _>(wanted.now)
    .bind::<Bool, _>(pin.is_some())
    .bind::<Nullable<SmallInt>, _>(pin.and_then(|pin| pin.gateway_id))
    .bind::<Bool, _>(pin.is_some())
    .bind::<Nullable<Text>, _>(pin.and_then(|pin| pin.reference_id.as_deref()))
    .bind::<Nullable<Text>, _>(wanted.consent.as_deref())
    .bind::<SqlUuid, _>(wanted.merchant.0)
    .bind::<SqlUuid, _>(wanted.account.0)
    .execute(connection)
    .map(drop)
}

#[derive(QueryableByName)]
struct OpenRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    trace_parent: Option<String>,
}

/// A deleted account.
#[derive(Debug)]
pub struct Deleted {
    /// As it stands now.
    pub account: AccountRow,
    /// Its validation that is not finished, with its trace: wakeup, and a worker cancels it.
    pub open: Option<(ValidationKey, Option<String>)>,
}

/// Deletes the customer's live account; `None` if there is none. A validation that waits is made due, so that it ends
/// now and not when its wait is over. In a transaction.
pub fn delete(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    account: AccountId,
    now: DateTime<Utc>,
) -> QueryResult<Option<Deleted>> {
    let Some(standing) = super::find(connection, merchant, customer, account)? else {
        return Ok(None);
    };
    let open: Option<OpenRow> = match standing.open_validation(merchant) {
        None => None,
        Some(open) => statement(
            "update validations set state = 'DUE', due_at = now() + $1 * interval '1 ms'
             where merchant_id = $2 and id = $3 and state in ('DUE', 'WAITING') returning id, trace_parent",
        )
        .bind::<BigInt, _>(RING_GRACE_MS)
        .bind::<SqlUuid, _>(merchant.0)
        .bind::<SqlUuid, _>(open.id.0)
        .get_result(connection)
        .optional()?,
    };
    let deleted = statement(
        "update customer_accounts set status = $1, deleted_at = $2, updated_at = $3
         where merchant_id = $4 and id = $5 and status <> 'DELETED'",
    )
    .bind::<Text, _>(AccountStatus::Deleted.as_str())
    .bind::<Timestamptz, _>(now)
    .bind::<Timestamptz, _>(now)
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<SqlUuid, _>(account.0)
    .execute(connection)?;
    if deleted == 0 {
        return Ok(None);
    }
    let row = find_any(connection, merchant, customer, account)?;
    Ok(row.map(|account| Deleted {
        account,
        open: open.map(|row| {
            let key = ValidationKey {
                merchant,
                id: ValidationId(row.id),
            };
            (key, row.trace_parent)
        }),
    }))
}
