//! Counts of open validations and the state of gateway accounts, for metrics and for alerts to operators. Workers serve every merchant,
//! so these statements read the rows of every merchant.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::budget;
use super::column::row;
use super::events::HORIZON;
use super::statement::statement;
use super::validations::is_set_aside;
use khata_domain::events::{DisabledBy, EndpointId};
use khata_domain::{MerchantId, ValidationState};

/// Maximum open validations that are counted: of each merchant an equal share, the first due ones. A larger backlog counts as
/// this many: counting must not add to it.
pub const MAX_COUNTED: i64 = 50_000;

row! {
    /// A merchant's open validations in one state.
    #[derive(Clone, Debug, PartialEq)]
    pub struct OpenValidations {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        pub state: ValidationState,
        pub count: i64,
        /// Validations that the scheduler should have made due and has not: the lease expired over a minute ago, or `due_at`
        /// passed over two minutes ago. No scheduler runs, or it holds back because the queue is deep.
        pub stuck: i64,
        /// Validations that are set aside, because their steps fail each time.
        pub set_aside: i64,
        /// Age of the oldest in seconds.
        pub oldest_seconds: f64,
        /// Seconds since the first `due_at` of those that no worker holds; 0 if it has not passed.
        pub overdue_seconds: f64,
    }
}

/// Counts the open validations by merchant and state. Reads at most [`MAX_COUNTED`] rows by the index of the open ones,
/// however many are completed: `tests/postgres/database_metrics.rs` checks the plan.
pub fn open_validations(connection: &mut PgConnection) -> QueryResult<Vec<OpenValidations>> {
    statement(open_validations_text())
        .bind(MAX_COUNTED)
        .load(connection)
}

/// The statement, for the test that checks its plan.
#[doc(hidden)]
pub fn open_validations_text() -> String {
    format!(
        "
    with recursive merchant as (
        (select merchant_id from validations where completed_at is null order by merchant_id limit 1)
        union all
        select next.merchant_id from merchant m cross join lateral (
            select v.merchant_id from validations v where v.completed_at is null and v.merchant_id > m.merchant_id
            order by v.merchant_id limit 1
        ) next
    ), open as materialized (
        select first.* from merchant m cross join lateral (
            select v.merchant_id, v.state, v.created_at, v.due_at, v.leased_until, v.failed_steps,
                v.queued_gateway_account_id, v.slot_at
            from validations v
            where v.merchant_id = m.merchant_id and v.completed_at is null
            order by v.due_at limit greatest($1 / (select count(*) from merchant), 100)
        ) first limit $1
    )
    select merchant_id, state, count(*) as count,
        count(*) filter (where (state = 'LEASED' and leased_until < now() - interval '60 s')
            or (state <> 'LEASED' and due_at < now() - interval '2 min')) as stuck,
        count(*) filter (where {}) as set_aside,
        greatest(extract(epoch from now() - min(created_at)), 0)::float8 as oldest_seconds,
        coalesce(greatest(extract(epoch from now() - min(due_at) filter (where state <> 'LEASED')), 0), 0)::float8
            as overdue_seconds
    from open group by merchant_id, state",
        is_set_aside("open")
    )
}

row! {
    /// A merchant's budget of penny drops.
    #[derive(Clone, Debug, PartialEq)]
    pub struct Budget {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        pub merchant_name: String,
        /// Used share of this day's budget; 1: used up.
        pub used_share: f64,
    }
}

/// Reads the budgets of this day of all merchants that have one: a budget of 0 turns penny drops off.
pub fn budgets(connection: &mut PgConnection) -> QueryResult<Vec<Budget>> {
    statement(format!(
        "select m.id as merchant_id, m.name as merchant_name, {}::float8 / m.penny_drops_per_day as used_share
         from merchants m
         where m.penny_drops_per_day > 0
         order by m.name",
        budget::drops_of("m.id")
    ))
    .load(connection)
}

row! {
    /// A merchant's accounts that wait for a person's decision about the holder's name.
    #[derive(Clone, Debug, PartialEq)]
    pub struct AccountsInReview {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        pub count: i64,
        /// Age of the oldest in seconds.
        pub oldest_seconds: f64,
    }
}

/// Counts each merchant's accounts in review by an index of their own. Reads at most the newest 10,000 of a merchant.
pub fn accounts_in_review(connection: &mut PgConnection) -> QueryResult<Vec<AccountsInReview>> {
    statement(ACCOUNTS_IN_REVIEW).load(connection)
}

/// The statement, for the test that checks its plan.
#[doc(hidden)]
pub const ACCOUNTS_IN_REVIEW: &str = "
    select m.id as merchant_id, count(*) as count,
        greatest(extract(epoch from now() - min(r.completed_at)), 0)::float8 as oldest_seconds
    from merchants m
    cross join lateral (
        -- A validation that the merchant has repeated is not the account's newest any more.
        select v.merchant_id, v.account_id, v.id, v.completed_at from validations v
        where v.merchant_id = m.id and v.outcome = 'REVIEW' and v.failure_code = 'NAME_MISMATCH'
        order by v.completed_at desc limit 10000
    ) r
    join customer_accounts a on a.merchant_id = r.merchant_id and a.id = r.account_id and a.validation_id = r.id
      and a.status = 'PENDING'
    group by m.id";

row! {
    /// Open deliveries of events, by how their endpoints are.
    #[derive(Clone, Debug, PartialEq)]
    pub struct OpenDeliveries {
        /// The endpoint is disabled: no call is made.
        pub is_disabled: bool,
        /// The endpoint's last call failed.
        pub is_failing: bool,
        /// Their next attempt is due.
        pub due: i64,
        /// An attempt is in progress.
        pub started: i64,
        /// They wait for the time of their next attempt.
        pub waiting: i64,
        /// Seconds since the oldest of the due ones was due; 0 if there is none.
        pub overdue_seconds: f64,
    }
}

/// Counts the open deliveries. Reads at most [`MAX_COUNTED`] rows by the index of the open ones: of each endpoint an equal share, the
/// first due ones.
pub fn open_deliveries(connection: &mut PgConnection) -> QueryResult<Vec<OpenDeliveries>> {
    statement(OPEN_DELIVERIES)
        .bind(MAX_COUNTED)
        .load(connection)
}

/// The statement, for the test that checks its plan.
#[doc(hidden)]
pub const OPEN_DELIVERIES: &str = "
    select w.disabled_at is not null as is_disabled, w.failing_since is not null as is_failing,
        count(*) filter (where d.started_at is null and d.due_at <= now()) as due,
        count(d.started_at) as started,
        count(*) filter (where d.started_at is null and d.due_at > now()) as waiting,
        coalesce(greatest(extract(epoch from now() - min(d.due_at) filter (where d.started_at is null)), 0), 0)::float8
            as overdue_seconds
    from webhook_endpoints w
    cross join lateral (
        select d.due_at, d.started_at from webhook_deliveries d
        where d.merchant_id = w.merchant_id and d.endpoint_id = w.id and d.state = 'OPEN'
        order by d.due_at limit greatest($1 / (select count(*) from webhook_endpoints), 100)
    ) d
    group by 1, 2";

row! {
    /// A webhook endpoint that a rule disabled.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct DisabledEndpoint {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        pub merchant_name: String,
        pub id: EndpointId,
        pub disabled_by: DisabledBy,
        pub disabled_at: DateTime<Utc>,
    }
}

/// Lists at most `limit` endpoints that a rule has disabled within 24 hours, the newest first.
pub fn disabled_endpoints(
    connection: &mut PgConnection,
    limit: i64,
) -> QueryResult<Vec<DisabledEndpoint>> {
    statement(
        "select w.merchant_id, m.name as merchant_name, w.id, w.disabled_by, w.disabled_at
         from webhook_endpoints w join merchants m on m.id = w.merchant_id
         where w.disabled_by in ('FAILING', 'GONE') and w.disabled_at > now() - interval '24 hours' and w.deleted_at is null
         order by w.disabled_at desc limit $1",
    )
    .bind(limit)
    .load(connection)
}

/// Returns the age in seconds of the oldest event that readers do not see yet, because a transaction that began to write before it is
/// still open; 0 if there is none. Reads one event of each merchant by the index of the positions.
pub fn events_held_back(connection: &mut PgConnection) -> QueryResult<f64> {
    statement(events_held_back_text()).tuple(connection)
}

/// The statement, for the test that checks its plan.
#[doc(hidden)]
pub fn events_held_back_text() -> String {
    format!(
        "select coalesce(greatest(extract(epoch from now() - min(e.created_at)), 0), 0)::float8
    from merchants m
    cross join lateral (
        select created_at from events
        where merchant_id = m.id
          and position >= {HORIZON}
        order by position limit 1
    ) e"
    )
}

row! {
    /// A merchant's API keys that expire soon.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ExpiringKeys {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        pub keys: i64,
    }
}

/// Counts the valid keys that expire within 14 days and have no successor: a newer key of the merchant that lives longer and
/// permits every call of the old one.
pub fn expiring_keys(connection: &mut PgConnection) -> QueryResult<Vec<ExpiringKeys>> {
    statement(
        "select k.merchant_id, count(*) as keys
         from api_keys k
         where k.revoked_at is null and k.expires_at > now() and k.expires_at < now() + interval '14 days'
           and not exists (
             select from api_keys n
             where n.merchant_id = k.merchant_id and n.created_at > k.created_at and n.revoked_at is null
               and (n.expires_at is null or n.expires_at > k.expires_at)
               and array_position(array['READ', 'CREATE', 'ADMIN'], n.scope)
                   >= array_position(array['READ', 'CREATE', 'ADMIN'], k.scope)
           )
         group by k.merchant_id",
    )
    .load(connection)
}

row! {
    /// State of an enabled gateway account, shared by all workers.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[allow(
        clippy::struct_excessive_bools,
        reason = "four facts that exclude none of the others"
    )]
    pub struct GatewayStatus {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        pub gateway_id: i16,
        /// The merchant's name for the gateway account.
        pub reference_id: String,
        pub merchant_name: String,
        /// The circuit is open: most recent calls failed, and only single probes pass.
        pub is_down: bool,
        /// The gateway asked for a pause.
        pub is_paused: bool,
        /// The gateway rejects the configuration, for example the credentials.
        pub is_misconfigured: bool,
        /// Used only by requests that name it.
        pub pinned_only: bool,
    }
}

/// Reads the state of every enabled gateway account.
pub fn gateways(connection: &mut PgConnection) -> QueryResult<Vec<GatewayStatus>> {
    statement(
        "select g.merchant_id, g.gateway_id, g.reference_id, m.name as merchant_name, g.pinned_only,
            coalesce(s.circuit <> 'CLOSED', false) as is_down,
            coalesce(s.paused_until > now(), false) as is_paused,
            s.misconfigured_code is not null as is_misconfigured
         from gateway_accounts g
         join merchants m on m.id = g.merchant_id
         left join gateway_states s on s.merchant_id = g.merchant_id and s.gateway_account_id = g.id
         where g.enabled",
    )
    .load(connection)
}
