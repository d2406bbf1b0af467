//! What Postgres knows of all validations and gateway accounts at one moment, for metrics. Of all merchants: for workers,
//! who work for all of them.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Double, SmallInt, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::statement::statement;
use khata_domain::MerchantId;

/// Unfinished validations that are looked at, those that are due first. With more the numbers are of these: it is a
/// backlog either way, and looking at it must not add to it.
pub const LOOKED_AT: i64 = 50_000;

/// A merchant's unfinished validations in one state.
#[derive(Clone, Debug, PartialEq, QueryableByName)]
pub struct Unfinished {
    /// Whose, as it is stored.
    #[diesel(sql_type = SqlUuid)]
    pub merchant_id: Uuid,
    /// `DUE`, `LEASED` or `WAITING`.
    #[diesel(sql_type = Text)]
    pub state: String,
    /// How many.
    #[diesel(sql_type = BigInt)]
    pub count: i64,
    /// Of these the scheduler should have taken care and has not: the lease ran out over a minute ago, or the time to look
    /// at it was over two minutes ago. No scheduler runs, or it holds back as the queue is deep.
    #[diesel(sql_type = BigInt)]
    pub stuck: i64,
    /// Seconds since the oldest was asked for.
    #[diesel(sql_type = Double)]
    pub oldest_seconds: f64,
    /// Seconds since the scheduler should have looked at the first of those that no worker holds; 0 where it need not yet.
    #[diesel(sql_type = Double)]
    pub overdue_seconds: f64,
}

impl Unfinished {
    /// Whose.
    pub fn merchant(&self) -> MerchantId {
        MerchantId(self.merchant_id)
    }
}

/// The unfinished validations, by merchant and state. Reads no more of the table than [`LOOKED_AT`] rows by the index of
/// the unfinished ones, however many are completed: `servers/facts.rs` holds the plan to that.
pub fn unfinished(connection: &mut PgConnection) -> QueryResult<Vec<Unfinished>> {
    statement(UNFINISHED)
        .bind::<BigInt, _>(LOOKED_AT)
        .load(connection)
}

/// The statement, for the test that explains it.
#[doc(hidden)]
pub const UNFINISHED: &str = "
    with unfinished as materialized (
        select merchant_id, state, created_at, due_at, leased_until from validations
        where completed_at is null order by due_at limit $1
    )
    select merchant_id, state, count(*) as count,
        count(*) filter (where (state = 'LEASED' and leased_until < now() - interval '60 s')
            or (state <> 'LEASED' and due_at < now() - interval '2 min')) as stuck,
        greatest(extract(epoch from now() - min(created_at)), 0)::float8 as oldest_seconds,
        coalesce(greatest(extract(epoch from now() - min(due_at) filter (where state <> 'LEASED')), 0), 0)::float8
            as overdue_seconds
    from unfinished group by merchant_id, state";

/// An enabled gateway account as all workers know it.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "four facts that exclude none of the others"
)]
pub struct GatewayStatus {
    /// Whose, as it is stored.
    #[diesel(sql_type = SqlUuid)]
    pub merchant_id: Uuid,
    /// Which gateway.
    #[diesel(sql_type = SmallInt)]
    pub gateway_id: i16,
    /// The merchant's name for the gateway account.
    #[diesel(sql_type = Text)]
    pub reference_id: String,
    /// The merchant's own.
    #[diesel(sql_type = Text)]
    pub merchant_name: String,
    /// Most calls failed of late: it is left alone, but for one call now and then.
    #[diesel(sql_type = Bool)]
    pub is_down: bool,
    /// It asked us to stay away for a while.
    #[diesel(sql_type = Bool)]
    pub is_paused: bool,
    /// It refuses us.
    #[diesel(sql_type = Bool)]
    pub is_misconfigured: bool,
    /// CallKind only by calls that name it.
    #[diesel(sql_type = Bool)]
    pub pinned_only: bool,
}

impl GatewayStatus {
    /// Whose.
    pub fn merchant(&self) -> MerchantId {
        MerchantId(self.merchant_id)
    }
}

/// The enabled gateway accounts.
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
