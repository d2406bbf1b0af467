//! The state of gateway accounts that all workers share: health, pauses, used quotas, scores by bank.
//!
//! Rows of several gateway accounts are always locked in the order of their keys, so that two workers cannot deadlock.

mod scores;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::column::row;
use super::statement::{Rows, milliseconds, rows, statement};
use khata_domain::MerchantId;
use khata_domain::circuit::Circuit;
use khata_domain::traffic::RateBudget;

pub use khata_domain::gateway::GatewayKey;
pub use scores::{OutcomeCounts, ScoreKey, add_outcomes, scores};

/// How long workers may still plan by the old limit. Validations are planned again after that.
const SETTINGS_DELAY: Duration = Duration::from_secs(6);

row! {
    /// The state of a gateway account.
    #[derive(Clone, Debug, PartialEq)]
    pub struct GatewayState {
        #[diesel(embed)]
        pub key: GatewayKey,
        #[diesel(embed)]
        pub circuit: Circuit,
        /// End of the pause that the gateway asked for.
        pub paused_until: Option<DateTime<Utc>>,
        /// When the rate limit admits the next call.
        pub next_call_at: Option<DateTime<Utc>>,
        #[diesel(embed)]
        pub misconfigured: Option<Misconfigured>,
        /// Open calls of other workers.
        pub open_calls: i64,
    }

    /// A wrong configuration.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Misconfigured {
        /// The gateway's code.
        #[diesel(column_name = misconfigured_code)]
        pub code: String,
        /// When the gateway first returned a code for a wrong configuration.
        #[diesel(column_name = misconfigured_since)]
        pub since: DateTime<Utc>,
    }
}

impl GatewayState {
    /// Returns the rate budget that is left, after the open calls of this worker too.
    pub fn budget(&self, own_calls: u32) -> RateBudget {
        let others = u32::try_from(self.open_calls).unwrap_or(0);
        RateBudget {
            circuit: self.circuit,
            paused_until: self.paused_until,
            next_call_at: self.next_call_at,
            in_hand: others.saturating_add(own_calls),
            share_left: None,
        }
    }
}

/// The columns of [`GatewayState`], except the open calls, in `gateway_states s`.
const COLUMNS: &str =
    "s.merchant_id, s.gateway_account_id, s.served, s.failed, s.counted_at, s.open_until, s.trips,
    s.probed_at, s.paused_until, s.next_call_at, s.misconfigured_code, s.misconfigured_since";

/// Locks the states of these gateway accounts until the transaction ends, and returns them: no other worker plans calls there
/// meanwhile. Open calls are those of workers other than `worker` that were written within `fresh`.
pub fn lock(
    connection: &mut PgConnection,
    wanted: &[GatewayKey],
    worker: Uuid,
    fresh: Duration,
) -> QueryResult<Vec<GatewayState>> {
    let states = lock_existing(connection, wanted, worker, fresh)?;
    if states.len() == wanted.len() {
        return Ok(states);
    }
    let mut sorted = wanted.to_vec();
    sorted.sort_unstable();
    statement(
        "insert into gateway_states (merchant_id, gateway_account_id)
         select merchant_id, gateway_account_id from $1 as input on conflict do nothing",
    )
    .rows(keys(&sorted))
    .run(connection)?;
    lock_existing(connection, wanted, worker, fresh)
}

fn lock_existing(
    connection: &mut PgConnection,
    wanted: &[GatewayKey],
    worker: Uuid,
    fresh: Duration,
) -> QueryResult<Vec<GatewayState>> {
    statement(format!(
        "select {COLUMNS},
            coalesce((
                select sum(h.calls) from gateway_calls_in_hand h
                where h.merchant_id = s.merchant_id and h.gateway_account_id = s.gateway_account_id
                  and h.worker_id <> $1 and h.written_at > now() - $2 * interval '1 ms'
            ), 0)::bigint as open_calls
         from $3 as wanted
         join gateway_states s
           on s.merchant_id = wanted.merchant_id and s.gateway_account_id = wanted.gateway_account_id
         order by s.merchant_id, s.gateway_account_id
         for no key update of s"
    ))
    .bind(worker)
    .bind(milliseconds(fresh))
    .rows(keys(wanted))
    .load(connection)
}

/// The keys as rows `(merchant_id, gateway_account_id)`.
fn keys(keys: &[GatewayKey]) -> Rows<'_> {
    rows!(keys, key => { merchant_id = key.merchant, gateway_account_id = key.account })
}

/// Stores the budgets of locked gateway accounts: booked calls and probes.
pub fn store_budgets(
    connection: &mut PgConnection,
    budgets: &[(GatewayKey, RateBudget)],
) -> QueryResult<()> {
    statement(
        "update gateway_states s set next_call_at = t.next_call_at, probed_at = t.probed_at
         from $1 as t
         where s.merchant_id = t.merchant_id and s.gateway_account_id = t.gateway_account_id",
    )
    .rows(rows!(budgets, (key, budget) => {
        merchant_id = key.merchant,
        gateway_account_id = key.account,
        next_call_at = budget.next_call_at,
        probed_at = budget.circuit.probed_at,
    }))
    .run(connection)
}

/// Writes the number of a worker's open calls.
pub fn write_open_calls(
    connection: &mut PgConnection,
    worker: Uuid,
    open_calls: &[(GatewayKey, u32)],
) -> QueryResult<()> {
    let mut open_calls = open_calls.to_vec();
    open_calls.sort_unstable();
    statement(
        "insert into gateway_calls_in_hand (worker_id, written_at, merchant_id, gateway_account_id, calls)
         select $1, now(), merchant_id, gateway_account_id, calls from $2 as input
         on conflict (merchant_id, gateway_account_id, worker_id)
         do update set calls = excluded.calls, written_at = excluded.written_at",
    )
    .bind(worker)
    .rows(rows!(&open_calls, (key, calls) => {
        merchant_id = key.merchant,
        gateway_account_id = key.account,
        calls = i32::try_from(*calls).unwrap_or(i32::MAX),
    }))
    .run(connection)
}

/// Reads the gateway accounts of every merchant whose circuit is not closed or whose pause is not over.
pub fn impaired(connection: &mut PgConnection) -> QueryResult<Vec<GatewayState>> {
    statement(format!(
        "select {COLUMNS}, 0::bigint as open_calls from gateway_states s
         where circuit <> 'CLOSED' or paused_until > now()"
    ))
    .load(connection)
}

/// Reads the states of a merchant's gateway accounts.
pub fn of_merchant(
    connection: &mut PgConnection,
    merchant: MerchantId,
) -> QueryResult<Vec<GatewayState>> {
    statement(format!(
        "select {COLUMNS}, 0::bigint as open_calls from gateway_states s where merchant_id = $1"
    ))
    .bind(merchant)
    .load(connection)
}

/// A worker's observations of a gateway account since its last report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthChange {
    /// Calls with a usable response.
    pub served: u32,
    /// Calls without a response, or that the gateway rejected.
    pub failed: u32,
    /// End of the pause that the gateway asked for.
    pub paused_until: Option<DateTime<Utc>>,
    /// The gateway's code for a wrong configuration; `Some(None)` if the gateway accepts it again.
    pub misconfigured: Option<Option<String>>,
}

/// Adds the changes and returns the new states.
pub fn record_changes(
    connection: &mut PgConnection,
    changes: &[(GatewayKey, HealthChange)],
    now: DateTime<Utc>,
) -> QueryResult<Vec<GatewayState>> {
    let changes: HashMap<GatewayKey, &HealthChange> =
        changes.iter().map(|(key, change)| (*key, change)).collect();
    let wanted: Vec<_> = changes.keys().copied().collect();
    let mut states = lock(connection, &wanted, Uuid::nil(), Duration::ZERO)?;
    for state in &mut states {
        if let Some(change) = changes.get(&state.key) {
            apply(state, change, now);
        }
    }
    statement(
        "update gateway_states s
         set served = t.served, failed = t.failed, counted_at = t.counted_at, open_until = t.open_until,
            circuit = case when t.open_until is null then 'CLOSED' else 'OPEN' end, trips = t.trips,
            probed_at = t.probed_at, paused_until = t.paused_until, misconfigured_code = t.misconfigured_code,
            misconfigured_since = t.misconfigured_since
         from $1 as t
         where s.merchant_id = t.merchant_id and s.gateway_account_id = t.gateway_account_id",
    )
    .rows(rows!(&states, state => {
        merchant_id = state.key.merchant,
        gateway_account_id = state.key.account,
        served = state.circuit.served,
        failed = state.circuit.failed,
        counted_at = state.circuit.counted_at,
        open_until = state.circuit.open_until,
        trips = state.circuit.trips,
        probed_at = state.circuit.probed_at,
        paused_until = state.paused_until,
        misconfigured_code = state.misconfigured.as_ref().map(|found| found.code.as_str()),
        misconfigured_since = state.misconfigured.as_ref().map(|found| found.since),
    }))
    .run(connection)?;
    Ok(states)
}

fn apply(state: &mut GatewayState, change: &HealthChange, now: DateTime<Utc>) {
    state.circuit = state.circuit.after(change.served, change.failed, now);
    state.paused_until = state.paused_until.max(change.paused_until);
    if let Some(code) = &change.misconfigured {
        let since = state
            .misconfigured
            .take()
            .map_or(now, |before| before.since);
        state.misconfigured = code.clone().map(|code| Misconfigured { code, since });
    }
}

/// Closes the circuit and clears the configuration error, as other credentials or another address may work. A pause that the
/// gateway asked for stays. Call it in the transaction of the change: a worker that plans calls there waits for it and sees
/// both or neither.
pub fn reset(connection: &mut PgConnection, gateway: GatewayKey) -> QueryResult<()> {
    statement(
        "update gateway_states
         set served = 0, failed = 0, counted_at = now(), circuit = 'CLOSED', open_until = null, trips = 0,
            probed_at = null, misconfigured_code = null, misconfigured_since = null
         where merchant_id = $1 and gateway_account_id = $2",
    )
    .key(gateway.merchant, gateway.account)
    .run(connection)
}

/// Cancels the calls that were booked under an old rate limit. Their validations become due as soon as all workers know the
/// new limit, and book again. Returns their number. Call it in a transaction.
pub fn forget_bookings(connection: &mut PgConnection, gateway: GatewayKey) -> QueryResult<usize> {
    // The state first: its lock keeps other workers from booking until this transaction ends.
    statement(
        "update gateway_states set next_call_at = null where merchant_id = $1 and gateway_account_id = $2",
    )
    .key(gateway.merchant, gateway.account)
    .run(connection)?;
    statement(
        "with booked as (
            select id from validations
            where merchant_id = $1 and slot_gateway_account_id = $2 and completed_at is null
            for update skip locked
         )
         update validations v
         set slot_gateway_account_id = null, slot_at = null,
            due_at = case when v.state = 'WAITING' then least(v.due_at, now() + $3 * interval '1 ms') else v.due_at end
         from booked where v.merchant_id = $1 and v.id = booked.id",
    )
    .key(gateway.merchant, gateway.account)
    .bind(milliseconds(SETTINGS_DELAY))
    .execute(connection)
}

/// Deletes at most `limit` scores that were unchanged for a day, and the open calls of stopped workers. Returns their number.
pub fn delete_expired(connection: &mut PgConnection, limit: i64) -> QueryResult<usize> {
    let scores = statement(
        "delete from gateway_scores s using (
            select merchant_id, gateway_account_id, bank from gateway_scores
            where counted_at < now() - interval '1 day' order by counted_at limit $1
         ) old
         where s.merchant_id = old.merchant_id and s.gateway_account_id = old.gateway_account_id and s.bank = old.bank",
    )
    .bind(limit)
    .execute(connection)?;
    let workers =
        statement("delete from gateway_calls_in_hand where written_at < now() - interval '1 hour'")
            .execute(connection)?;
    Ok(scores + workers)
}
