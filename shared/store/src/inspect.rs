//! One account with its whole past, for ops people to look at. Nothing sealed is read here, and no reference of the
//! merchant's for its customer.

mod attempts;

pub use attempts::{Attempt, attempts};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::statement::statement;
use super::validations::Slot;
use khata_domain::ValidationKey;
use khata_domain::ids::first_at;
use khata_domain::{AccountId, CustomerId, GatewayAccountId, MerchantId, ValidationId};

/// An account's first validation has an id of the same moment; this is more than lies between the two.
const SAME_MOMENT: TimeDelta = TimeDelta::seconds(1);

/// An account in its masked form, deleted ones too.
#[derive(Clone, Debug, QueryableByName)]
pub struct Account {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    /// The merchant's name.
    #[diesel(sql_type = Text)]
    pub merchant_name: String,
    #[diesel(sql_type = SqlUuid)]
    customer_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// `BANK` or `UPI`.
    #[diesel(sql_type = Text)]
    pub kind: String,
    /// What people may see of its number or address.
    #[diesel(sql_type = Text)]
    pub masked: String,
    /// `AccountStatus` by its word.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// The gateway that the call named.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub pinned_gateway_id: Option<i16>,
    /// The account there that the call named.
    #[diesel(sql_type = Nullable<Text>)]
    pub pinned_gateway_reference_id: Option<String>,
    /// `x-routing-id` of the call, where it gave one.
    #[diesel(sql_type = Nullable<Text>)]
    pub routing_id: Option<String>,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    validation_id: Option<Uuid>,
    /// When it was stored.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// When its status last changed.
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
    /// When a gateway last told.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_validated_at: Option<DateTime<Utc>>,
    /// When it was deleted.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub deleted_at: Option<DateTime<Utc>>,
}

impl Account {
    /// Its merchant.
    pub fn merchant(&self) -> MerchantId {
        MerchantId(self.merchant_id)
    }

    /// Its customer.
    pub fn customer(&self) -> CustomerId {
        CustomerId(self.customer_id)
    }

    /// Its id.
    pub fn id(&self) -> AccountId {
        AccountId(self.id)
    }

    /// Its newest validation: the only one that may change its status.
    pub fn validation(&self) -> Option<ValidationKey> {
        let id = self.validation_id.map(ValidationId)?;
        Some(ValidationKey {
            merchant: self.merchant(),
            id,
        })
    }
}

macro_rules! account_columns {
    () => {
        "a.merchant_id, m.name as merchant_name, a.customer_id, a.id, a.kind, a.masked, a.status,
         a.pinned_gateway_id, a.pinned_gateway_reference_id, a.routing_id, a.validation_id, a.created_at, a.updated_at,
         a.last_validated_at, a.deleted_at"
    };
}

/// The merchant's account with this id.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: AccountId,
) -> QueryResult<Option<Account>> {
    statement(concat!(
        "select ",
        account_columns!(),
        " from customer_accounts a join merchants m on m.id = a.merchant_id where a.merchant_id = $1 and a.id = $2"
    ))
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<SqlUuid, _>(account.0)
    .get_result(connection)
    .optional()
}

/// The account with this id, whoever's it is: for ops people, who have nothing but the id. One look-up by the primary
/// key for each merchant there is.
pub fn find_of_any_merchant(
    connection: &mut PgConnection,
    account: AccountId,
) -> QueryResult<Option<Account>> {
    // `limit` keeps the look-up inside the loop over the merchants: the planner must not scan the accounts.
    statement(concat!(
        "select ",
        account_columns!(),
        " from merchants m
          cross join lateral (
             select * from customer_accounts where merchant_id = m.id and id = $1 limit 1
          ) as a"
    ))
    .bind::<SqlUuid, _>(account.0)
    .get_result(connection)
    .optional()
}

/// The account that this validation is of, and whose it is, sought in the same way; with a merchant, among its own only.
pub fn account_of_validation(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    validation: ValidationId,
) -> QueryResult<Option<(MerchantId, AccountId)>> {
    #[derive(QueryableByName)]
    struct Of {
        #[diesel(sql_type = SqlUuid)]
        merchant_id: Uuid,
        #[diesel(sql_type = SqlUuid)]
        account_id: Uuid,
    }
    let found: Option<Of> = statement(
        "select v.merchant_id, v.account_id from merchants m
          cross join lateral (
             select * from validations where merchant_id = m.id and id = $1 limit 1
          ) as v
          where $2 is null or m.id = $3",
    )
    .bind::<SqlUuid, _>(validation.0)
    .bind::<Nullable<SqlUuid>, _>(merchant.map(|merchant| merchant.0))
    .bind::<Nullable<SqlUuid>, _>(merchant.map(|merchant| merchant.0))
    .get_result(connection)
    .optional()?;
    Ok(found.map(|of| (MerchantId(of.merchant_id), AccountId(of.account_id))))
}

/// A validation, without what it found out.
#[derive(Clone, Debug, QueryableByName)]
pub struct Validation {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// `DUE`, `LEASED`, `WAITING` or `COMPLETED`.
    #[diesel(sql_type = Text)]
    pub state: String,
    /// When the scheduler looks at it, unless it is completed.
    #[diesel(sql_type = Timestamptz)]
    pub due_at: DateTime<Utc>,
    /// When trying ends.
    #[diesel(sql_type = Timestamptz)]
    pub deadline_at: DateTime<Utc>,
    /// Until when a worker holds it.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub leased_until: Option<DateTime<Utc>>,
    /// Gateway attempts so far.
    #[diesel(sql_type = SmallInt)]
    pub attempts: i16,
    /// W3C trace context of the call that asked for it.
    #[diesel(sql_type = Nullable<Text>)]
    pub trace_parent: Option<String>,
    /// `Outcome` by its word.
    #[diesel(sql_type = Nullable<Text>)]
    pub outcome: Option<String>,
    /// `FailureCode` by its word.
    #[diesel(sql_type = Nullable<Text>)]
    pub failure_code: Option<String>,
    /// Its sentence.
    #[diesel(sql_type = Nullable<Text>)]
    pub failure_reason: Option<String>,
    /// When it was asked for.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// When it ended.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub completed_at: Option<DateTime<Utc>>,
    /// How well the names match, by our own reckoning, 0–100.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub name_match_score: Option<i16>,
    /// The same by the gateway's.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub gateway_name_match_score: Option<i16>,
    /// A gateway is to be asked, however young an earlier result is.
    #[diesel(sql_type = Bool)]
    pub fresh: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    reused_from: Option<Uuid>,
    /// A gateway has called back since a worker last took it.
    #[diesel(sql_type = Bool)]
    pub webhook_received: bool,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    slot_gateway_account_id: Option<Uuid>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    slot_at: Option<DateTime<Utc>>,
}

impl Validation {
    /// Its id.
    pub fn id(&self) -> ValidationId {
        ValidationId(self.id)
    }

    /// Whose result it is, where no gateway was asked anew.
    pub fn reused_from(&self) -> Option<ValidationId> {
        self.reused_from.map(ValidationId)
    }

    /// The call that is booked for it.
    pub fn slot(&self) -> Option<Slot> {
        Some(Slot {
            gateway_account: GatewayAccountId(self.slot_gateway_account_id?),
            at: self.slot_at?,
        })
    }

    /// The trace of the call that asked for it: 32 hex digits.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_parent.as_deref()?.split('-').nth(1)
    }
}

/// An account's validations.
#[derive(Clone, Debug)]
pub struct Validations {
    /// In the order in which they were asked for.
    pub rows: Vec<Validation>,
    /// Whether these are all: others may lie in the part of the merchant's validations that was not read.
    pub complete: bool,
}

/// The account's validations. No index names the account, so the others beside the newest are sought by time: among
/// the merchant's `reach` validations from the account's creation on, and the `reach` before the newest.
pub fn validations(
    connection: &mut PgConnection,
    account: &Account,
    reach: i64,
) -> QueryResult<Validations> {
    let Some(newest) = account.validation_id else {
        return Ok(Validations {
            rows: Vec::new(),
            complete: true,
        });
    };
    let (mut ids, complete) = earlier_validations(connection, account, newest, reach)?;
    ids.push(newest);
    let rows = statement(
        "select v.id, v.state, v.due_at, v.deadline_at, v.leased_until, v.attempts, v.trace_parent, v.outcome,
            v.failure_code, v.failure_reason, v.created_at, v.completed_at, v.name_match_score,
            v.gateway_name_match_score, v.fresh, v.reused_from, v.webhook_received, v.slot_gateway_account_id, v.slot_at
         from unnest($1::uuid[]) as wanted (id)
         join validations v on v.merchant_id = $2 and v.id = wanted.id
         order by v.id",
    )
    .bind::<Array<SqlUuid>, _>(ids)
    .bind::<SqlUuid, _>(account.merchant_id)
    .load(connection)?;
    Ok(Validations { rows, complete })
}

/// The account's validations before the newest, as far as they are in reach, and whether everything was.
fn earlier_validations(
    connection: &mut PgConnection,
    account: &Account,
    newest: Uuid,
    reach: i64,
) -> QueryResult<(Vec<Uuid>, bool)> {
    #[derive(QueryableByName)]
    struct Earlier {
        #[diesel(sql_type = Array<SqlUuid>)]
        ids: Vec<Uuid>,
        #[diesel(sql_type = Bool)]
        complete: bool,
    }
    let began = first_at(account.created_at - SAME_MOMENT);
    if newest < first_at(account.created_at + SAME_MOMENT) {
        // The one that it began with.
        return Ok((Vec::new(), true));
    }
    let row: Earlier = statement(
        "with early as materialized (
            select id, account_id from validations
            where merchant_id = $1 and id >= $2 and id < $3 order by id limit $4
         ), late as materialized (
            select id, account_id from validations
            where merchant_id = $5 and id >= $6 and id < $7 order by id desc limit $8
         )
         select array(select id from early where account_id = $9 union select id from late where account_id = $10) as ids,
            coalesce((select id from early order by id desc limit 1) >= (select id from late order by id limit 1), true)
                as complete",
    )
    .bind::<SqlUuid, _>(account.merchant_id)
    .bind::<SqlUuid, _>(began)
    .bind::<SqlUuid, _>(newest)
    .bind::<BigInt, _>(reach)
    .bind::<SqlUuid, _>(account.merchant_id)
    .bind::<SqlUuid, _>(began)
    .bind::<SqlUuid, _>(newest)
    .bind::<BigInt, _>(reach)
    .bind::<SqlUuid, _>(account.id)
    .bind::<SqlUuid, _>(account.id)
    .get_result(connection)?;
    Ok((row.ids, row.complete))
}
