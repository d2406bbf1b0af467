//! Walks through whole tables, page by page, the newest rows first.

use diesel::prelude::*;
use khata_domain::MerchantId;
use uuid::Uuid;

use super::finding::Found;
use crate::statement::statement;

/// A table that is walked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Accounts,
    Validations,
    Attempts,
}

/// Rows of a merchant with neighbouring ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The smallest id of the page.
    pub from: Uuid,
    /// The smallest id of the page before, or the largest UUID.
    pub before: Uuid,
    /// Number of rows.
    pub rows: i64,
}

impl Table {
    /// Every table, in the order of a walk.
    pub const ALL: [Self; 3] = [Self::Accounts, Self::Validations, Self::Attempts];

    /// Returns the name that operators read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Validations => "validations",
            Self::Attempts => "attempts",
        }
    }

    /// Returns the table and the column of its primary key after the merchant.
    fn location(self) -> (&'static str, &'static str) {
        match self {
            Self::Accounts => ("customer_accounts", "id"),
            Self::Validations => ("validations", "id"),
            Self::Attempts => ("validation_attempts", "validation_id"),
        }
    }

    fn check(self) -> &'static str {
        match self {
            Self::Accounts => ACCOUNTS,
            Self::Validations => VALIDATIONS,
            Self::Attempts => ATTEMPTS,
        }
    }
}

/// Finds the page of at most `limit` rows before this id; `None` if there are no more.
pub fn page(
    connection: &mut PgConnection,
    table: Table,
    merchant: MerchantId,
    before: Uuid,
    limit: i64,
) -> QueryResult<Option<Page>> {
    let (table, key) = table.location();
    let (from, rows): (Option<Uuid>, i64) = statement(format!(
        "with page as materialized (
            select {key} as key from {table} where merchant_id = $1 and {key} < $2 order by {key} desc limit $3
         )
         select (select key from page order by key limit 1), (select count(*) from page)"
    ))
    .key(merchant, before)
    .bind(limit)
    .tuple(connection)?;
    Ok(from.map(|from| Page { from, before, rows }))
}

/// Checks the rows of a page.
pub fn check(
    connection: &mut PgConnection,
    table: Table,
    merchant: MerchantId,
    page: Page,
) -> QueryResult<Vec<Found>> {
    statement(table.check())
        .key(merchant, page.from)
        .bind(page.before)
        .load(connection)
}

/// The status is that of `Next::account_status` for the outcome; a test compares the two.
const ACCOUNTS: &str = "
    select case when v.id is null then 'account-without-validation' else 'status-differs' end as rule,
        a.id as account, a.validation_id as validation, null::smallint as number, null::uuid as event, null::uuid as endpoint,
        a.updated_at as since,
        case when v.id is null then 'the account is ' || a.status || ', and its newest validation does not exist'
             else 'the account is ' || a.status || ', its newest validation '
                || coalesce(concat_ws(' ', v.outcome, v.failure_code), v.state)
        end as detail
    from customer_accounts a
    left join lateral (
        select v.id, v.state, v.outcome, v.failure_code from validations v
        where v.merchant_id = a.merchant_id and v.id = a.validation_id and v.account_id = a.id limit 1
    ) v on true
    where a.merchant_id = $1 and a.id >= $2 and a.id < $3
      and case
        when v.id is null then true
        when a.status = 'DELETED' then false
        when v.outcome is null then a.status not in ('CREATED', 'PENDING')
        when v.outcome = 'VALID' then a.status <> 'ACTIVE'
        when v.outcome = 'REVIEW' and v.failure_code = 'NAME_MISMATCH' then a.status <> 'PENDING'
        when v.outcome = 'CANCELLED' then true
        else a.status <> 'FAILURE'
      end";

/// A deletion cancels a validation whose attempt is unfinished: the outcome of the attempt does not matter any more.
const VALIDATIONS: &str = "
    select case when a.id is null then 'validation-without-account' else 'unfinished-attempt' end as rule,
        v.account_id as account, v.id as validation, t.number, null::uuid as event, null::uuid as endpoint,
        coalesce(v.completed_at, v.created_at) as since,
        case when a.id is null then 'the validation is ' || v.state || ', and its account does not exist'
             else 'the validation is ' || v.outcome || ', its attempt ' || t.reference || ' ' || t.state
        end as detail
    from validations v
    left join lateral (
        select a.id from customer_accounts a where a.merchant_id = v.merchant_id and a.id = v.account_id limit 1
    ) a on true
    left join lateral (
        select t.number, t.state, t.reference from validation_attempts t
        where t.merchant_id = v.merchant_id and t.validation_id = v.id and t.state <> 'SETTLED' and v.outcome <> 'CANCELLED'
        order by t.number limit 1
    ) t on true
    where v.merchant_id = $1 and v.id >= $2 and v.id < $3 and (a.id is null or t.number is not null)";

/// A penny drop that succeeded at SETU (1001), which takes no reference of ours, has SETU's id too.
const ATTEMPTS: &str = "
    select case when v.id is null then 'attempt-without-validation' else 'attempt-without-reference' end as rule,
        v.account_id as account, t.validation_id as validation, t.number, null::uuid as event, null::uuid as endpoint,
        t.started_at as since,
        case when v.id is null then 'the attempt is ' || concat_ws(' ', t.state, t.class) || ', and its validation does not exist'
             when t.is_ours then 'the penny drop ' || t.reference || ' is VALID, and has no id of SETU'
             else 'the attempt is ' || concat_ws(' ', t.state, t.class) || ', and has no reference of ours'
        end as detail
    from (
        select *, reference ~ ('^kh[0-9a-v]{26}_0*' || number || '\\Z') as is_ours from validation_attempts
        where merchant_id = $1 and validation_id >= $2 and validation_id < $3
    ) t
    left join lateral (
        select v.id, v.account_id from validations v where v.merchant_id = t.merchant_id and v.id = t.validation_id limit 1
    ) v on true
    where v.id is null or not t.is_ours
      or t.class = 'VALID' and t.method = 'PENNY_DROP' and t.gateway_id = 1001 and coalesce(t.gateway_reference, '') = ''";
