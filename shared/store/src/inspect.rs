//! One account with its history, for operators. Reads no encrypted column, and not the merchant's reference for its customer.

pub mod search;

use std::ops::Deref;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::accounts::{ACCOUNT_COLUMNS, AccountColumns};
use super::column::row;
use super::statement::statement;
use super::validations::{self, ATTEMPT_COLUMNS, MAY_PAY, Slot};
use khata_domain::ids::first_at;
use khata_domain::validation::{FailureCode, Outcome};
use khata_domain::{
    AccountId, GatewayAccountId, MerchantId, PendingReason, ValidationId, ValidationKey,
    ValidationState,
};

/// Maximum time between the creation of an account and the id of its first validation.
const SAME_MOMENT: TimeDelta = TimeDelta::seconds(1);

row! {
    /// An account in its masked form, deleted ones too.
    #[derive(Clone, Debug)]
    pub struct Account {
        pub merchant_name: String,
        #[diesel(embed)]
        columns: AccountColumns,
        /// The number or address that operators may see.
        pub masked: String,
        /// The request's `x-routing-id`.
        pub routing_id: Option<String>,
        validation_id: Option<ValidationId>,
        /// The validation whose names a person accepted.
        #[diesel(column_name = accepted_validation_id)]
        pub accepted_validation: Option<ValidationId>,
        pub deleted_at: Option<DateTime<Utc>>,
    }
}

impl Deref for Account {
    type Target = AccountColumns;

    fn deref(&self) -> &AccountColumns {
        &self.columns
    }
}

impl Account {
    /// Returns the newest validation: the only one that may change the account's status.
    pub fn validation(&self) -> Option<ValidationKey> {
        let merchant = self.merchant;
        self.validation_id.map(|id| ValidationKey { merchant, id })
    }
}

fn select_account() -> String {
    format!(
        "select m.name as merchant_name, {ACCOUNT_COLUMNS}, a.masked, a.routing_id, a.validation_id,
            a.accepted_validation_id, a.deleted_at"
    )
}

/// Finds the merchant's account with this id.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: AccountId,
) -> QueryResult<Option<Account>> {
    statement(format!(
        "{} from customer_accounts a join merchants m on m.id = a.merchant_id where a.merchant_id = $1 and a.id = $2",
        select_account()
    ))
    .key(merchant, account)
    .get_result(connection)
    .optional()
}

/// Finds the account with this id of any merchant: for operators, who may have only the id. Costs one lookup by primary key
/// per merchant.
pub fn find_of_any_merchant(
    connection: &mut PgConnection,
    account: AccountId,
) -> QueryResult<Option<Account>> {
    // `limit` keeps the lookup inside the loop over the merchants, so that the planner cannot scan the accounts.
    statement(format!(
        "{} from merchants m
          cross join lateral (
             select * from customer_accounts where merchant_id = m.id and id = $1 limit 1
          ) as a",
        select_account()
    ))
    .bind(account)
    .get_result(connection)
    .optional()
}

/// Finds the account of a validation in the same way, among one merchant's accounts or all.
pub fn account_of_validation(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    validation: ValidationId,
) -> QueryResult<Option<(MerchantId, AccountId)>> {
    statement(
        "select v.merchant_id, v.account_id from merchants m
          cross join lateral (
             select * from validations where merchant_id = m.id and id = $1 limit 1
          ) as v
          where $2 is null or m.id = $2",
    )
    .bind(validation)
    .bind(merchant)
    .tuple(connection)
    .optional()
}

row! {
    /// A validation, without its result.
    #[derive(Clone, Debug)]
    pub struct Validation {
        pub id: ValidationId,
        pub state: ValidationState,
        /// When the scheduler makes it due, unless it is completed.
        pub due_at: DateTime<Utc>,
        /// When the workers give up.
        pub deadline_at: DateTime<Utc>,
        /// When the lease of the worker expires.
        pub leased_until: Option<DateTime<Utc>>,
        /// Number of attempts so far.
        pub attempts: i16,
        /// W3C trace context of the request.
        pub trace_parent: Option<String>,
        pub outcome: Option<Outcome>,
        pub failure_code: Option<FailureCode>,
        /// The sentence for the failure code.
        pub failure_reason: Option<String>,
        /// Why an unfinished validation has no result yet; `None` before its first attempt.
        pub pending_reason: Option<PendingReason>,
        pub created_at: DateTime<Utc>,
        pub completed_at: Option<DateTime<Utc>>,
        /// Khata's own score, 0–100.
        pub name_match_score: Option<i16>,
        /// The gateway's score, 0–100.
        pub gateway_name_match_score: Option<i16>,
        /// Call a gateway even if a recent result could be reused.
        pub fresh: bool,
        /// The validation whose result this one reuses.
        pub reused_from: Option<ValidationId>,
        /// A gateway webhook arrived since the last claim.
        #[diesel(column_name = called_back)]
        pub webhook_received: bool,
        /// The gateway account in whose queue it waits.
        #[diesel(column_name = queued_gateway_account_id)]
        pub queued_at: Option<GatewayAccountId>,
        /// The call that is booked for this validation.
        #[diesel(embed)]
        pub slot: Option<Slot>,
    }
}

impl Validation {
    /// Returns the trace id of the request: 32 hex digits.
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_parent.as_deref()?.split('-').nth(1)
    }
}

/// An account's validations.
#[derive(Clone, Debug)]
pub struct Validations {
    /// In the order of their creation.
    pub rows: Vec<Validation>,
    /// Whether these are all: others may be among the merchant's validations that were not read.
    pub complete: bool,
}

/// Reads the account's validations. No index contains the account, so the validations before the newest are found by time:
/// among the merchant's `reach` validations after the account's creation, and the `reach` before the newest.
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
    // By whole keys: joined without statistics, Postgres may read all validations of the merchant.
    let rows = statement(
        "select v.id, v.state, v.due_at, v.deadline_at, v.leased_until, v.attempts, v.trace_parent, v.outcome,
            v.failure_code, v.failure_reason, v.pending_reason, v.created_at, v.completed_at, v.name_match_score,
            v.gateway_name_match_score, v.fresh, v.reused_from, v.called_back, v.slot_gateway_account_id, v.slot_at,
            v.queued_gateway_account_id
         from unnest($1) as wanted (id)
         cross join lateral (select * from validations where merchant_id = $2 and id = wanted.id limit 1) v
         order by v.id",
    )
    .bind(ids)
    .bind(account.merchant)
    .load(connection)?;
    Ok(Validations { rows, complete })
}

/// Finds the account's validations before the newest within `reach`, and whether those are all.
fn earlier_validations(
    connection: &mut PgConnection,
    account: &Account,
    newest: ValidationId,
    reach: i64,
) -> QueryResult<(Vec<ValidationId>, bool)> {
    let began = first_at(account.created_at - SAME_MOMENT);
    if newest.0 < first_at(account.created_at + SAME_MOMENT) {
        // The newest is the first.
        return Ok((Vec::new(), true));
    }
    statement(
        "with early as materialized (
            select id, account_id from validations
            where merchant_id = $1 and id >= $2 and id < $3 order by id limit $4
         ), late as materialized (
            select id, account_id from validations
            where merchant_id = $1 and id >= $2 and id < $3 order by id desc limit $4
         )
         select array(select id from early where account_id = $5 union select id from late where account_id = $5),
            coalesce((select id from early order by id desc limit 1) >= (select id from late order by id limit 1), true)",
    )
    .key(account.merchant, began)
    .bind(newest)
    .bind(reach)
    .bind(account.id)
    .tuple(connection)
}

row! {
    /// An attempt with the reasons for it and its times, for operators.
    #[derive(Clone, Debug)]
    pub struct Attempt {
        #[diesel(embed)]
        columns: validations::Attempt,
        /// The merchant's name for the gateway account.
        pub gateway_reference_id: Option<String>,
        /// Why the routing chose this gateway account.
        pub choice: String,
        /// The gateway's code is in none of the connector's tables.
        pub unlisted_code: bool,
        /// Fields of the gateway's responses that could not be read, by name.
        pub not_understood: Vec<String>,
        /// Milliseconds that the newest call took.
        pub latency_ms: Option<i32>,
        /// Whether this attempt and one before may each have dropped a rupee.
        pub possible_double_drop: bool,
        pub settled_at: Option<DateTime<Utc>>,
    }
}

impl Deref for Attempt {
    type Target = validations::Attempt;

    fn deref(&self) -> &validations::Attempt {
        &self.columns
    }
}

/// Reads all attempts of these validations, in order.
pub fn attempts(
    connection: &mut PgConnection,
    merchant: MerchantId,
    validations: &[ValidationId],
) -> QueryResult<Vec<Attempt>> {
    statement(format!(
        "select {ATTEMPT_COLUMNS}, g.reference_id as gateway_reference_id, t.choice, t.unlisted_code, t.not_understood, t.latency_ms,
            t.possible_double_drop and {MAY_PAY} as possible_double_drop, t.settled_at
         from unnest($1) as wanted (id)
         cross join lateral (
            select * from validation_attempts where merchant_id = $2 and validation_id = wanted.id order by number
         ) t
         left join lateral (
            select reference_id from gateway_accounts where merchant_id = t.merchant_id and id = t.gateway_account_id limit 1
         ) g on true
         order by t.validation_id, t.number"
    ))
    .bind(validations)
    .bind(merchant)
    .load(connection)
}
