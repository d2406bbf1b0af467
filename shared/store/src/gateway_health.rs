//! What all workers know together of merchants' gateway accounts: health, pauses, used-up limits, how they fare by bank.
//!
//! Rows of several gateway accounts are always locked in the order of their keys, so that no two workers wait for each
//! other.

mod reset;
mod scores;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Double, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::statement::statement;
use khata_domain::circuit::Circuit;
use khata_domain::traffic::RateBudget;
use khata_domain::{GatewayAccountId, MerchantId};

pub use khata_domain::gateway::GatewayKey;
pub use reset::{forget_bookings, reset};
pub use scores::{Outcomes, ScoreKey, add_outcomes, scores};

/// A gateway account as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Which.
    pub key: GatewayKey,
    /// Whether it can be asked.
    pub circuit: Circuit,
    /// It asked us to stay away until then.
    pub paused_until: Option<DateTime<Utc>>,
    /// When its limit of calls a minute has room again.
    pub next_call_at: Option<DateTime<Utc>>,
    /// Why it refuses us, and since when.
    pub misconfigured: Option<(String, DateTime<Utc>)>,
    /// Calls that other workers have in hand there.
    pub in_hand: u32,
}

impl State {
    /// What is left of it, with what this worker has in hand.
    pub fn budget(&self, mine: u32) -> RateBudget {
        RateBudget {
            circuit: self.circuit,
            paused_until: self.paused_until,
            next_call_at: self.next_call_at,
            in_hand: self.in_hand.saturating_add(mine),
            rejected: 0,
        }
    }
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    gateway_account_id: Uuid,
    #[diesel(sql_type = Double)]
    served: f64,
    #[diesel(sql_type = Double)]
    failed: f64,
    #[diesel(sql_type = Timestamptz)]
    counted_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    open_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = SmallInt)]
    trips: i16,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    probed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    paused_until: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    next_call_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    misconfigured_code: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    misconfigured_since: Option<DateTime<Utc>>,
    #[diesel(sql_type = BigInt)]
    in_hand: i64,
}

impl From<Row> for State {
    fn from(row: Row) -> Self {
        Self {
            key: GatewayKey {
                merchant: MerchantId(row.merchant_id),
                account: GatewayAccountId(row.gateway_account_id),
            },
            circuit: Circuit {
                served: row.served,
                failed: row.failed,
                counted_at: row.counted_at,
                open_until: row.open_until,
                trips: row.trips,
                probed_at: row.probed_at,
            },
            paused_until: row.paused_until,
            next_call_at: row.next_call_at,
            misconfigured: row.misconfigured_code.zip(row.misconfigured_since),
            in_hand: u32::try_from(row.in_hand).unwrap_or(0),
        }
    }
}

fn merchants(keys: &[GatewayKey]) -> Vec<Uuid> {
    keys.iter().map(|key| key.merchant.0).collect()
}

fn accounts(keys: &[GatewayKey]) -> Vec<Uuid> {
    keys.iter().map(|key| key.account.0).collect()
}

/// Locks these gateway accounts' states until the transaction ends, and answers them: nobody else plans calls there
/// meanwhile. Calls in hand are those of other workers than `worker` that have written within `fresh`.
pub fn lock(
    connection: &mut PgConnection,
    keys: &[GatewayKey],
    worker: Uuid,
    fresh: Duration,
) -> QueryResult<Vec<State>> {
    let states = lock_those_there(connection, keys, worker, fresh)?;
    if states.len() == keys.len() {
        return Ok(states);
    }
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    statement(
        "insert into gateway_states (merchant_id, gateway_account_id)
         select * from unnest($1::uuid[], $2::uuid[]) on conflict do nothing",
    )
    .bind::<Array<SqlUuid>, _>(merchants(&sorted))
    .bind::<Array<SqlUuid>, _>(accounts(&sorted))
    .execute(connection)?;
    lock_those_there(connection, keys, worker, fresh)
}

fn lock_those_there(
    connection: &mut PgConnection,
    keys: &[GatewayKey],
    worker: Uuid,
    fresh: Duration,
) -> QueryResult<Vec<State>> {
    let rows: Vec<Row> = statement(
        "select s.merchant_id, s.gateway_account_id, s.served, s.failed, s.counted_at, s.open_until, s.trips,
            s.probed_at, s.paused_until, s.next_call_at, s.misconfigured_code, s.misconfigured_since,
            coalesce((
                select sum(h.calls) from gateway_calls_in_hand h
                where h.merchant_id = s.merchant_id and h.gateway_account_id = s.gateway_account_id
                  and h.worker_id <> $1 and h.written_at > now() - $2 * interval '1 ms'
            ), 0)::bigint as in_hand
         from unnest($3::uuid[], $4::uuid[]) as wanted (merchant_id, gateway_account_id)
         join gateway_states s
           on s.merchant_id = wanted.merchant_id and s.gateway_account_id = wanted.gateway_account_id
         order by s.merchant_id, s.gateway_account_id
         for no key update of s",
    )
    .bind::<SqlUuid, _>(worker)
    .bind::<BigInt, _>(super::milliseconds(fresh))
    .bind::<Array<SqlUuid>, _>(merchants(keys))
    .bind::<Array<SqlUuid>, _>(accounts(keys))
    .load(connection)?;
    Ok(rows.into_iter().map(State::from).collect())
}

/// Keeps what was taken of locked gateway accounts: calls booked and calls let through to see.
pub fn store_budgets(
    connection: &mut PgConnection,
    taken: &[(GatewayKey, RateBudget)],
) -> QueryResult<()> {
    if taken.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = taken.iter().map(|(key, _)| *key).collect();
    statement(
        "update gateway_states s set next_call_at = t.next_call_at, probed_at = t.probed_at
         from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[])
            as t (merchant_id, gateway_account_id, next_call_at, probed_at)
         where s.merchant_id = t.merchant_id and s.gateway_account_id = t.gateway_account_id",
    )
    .bind::<Array<SqlUuid>, _>(merchants(&keys))
    .bind::<Array<SqlUuid>, _>(accounts(&keys))
    .bind::<Array<Nullable<Timestamptz>>, _>(
        taken
            .iter()
            .map(|(_, a)| a.next_call_at)
            .collect::<Vec<_>>(),
    )
    .bind::<Array<Nullable<Timestamptz>>, _>(
        taken
            .iter()
            .map(|(_, a)| a.circuit.probed_at)
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .map(drop)
}

/// Writes how many calls a worker has in hand.
pub fn write_in_hand(
    connection: &mut PgConnection,
    worker: Uuid,
    in_hand: &[(GatewayKey, u32)],
) -> QueryResult<()> {
    if in_hand.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = in_hand.iter().map(|(key, _)| *key).collect();
    let calls = in_hand
        .iter()
        .map(|(_, calls)| i32::try_from(*calls).unwrap_or(i32::MAX));
    statement(
        "insert into gateway_calls_in_hand (worker_id, written_at, merchant_id, gateway_account_id, calls)
         select $1, now(), t.* from unnest($2::uuid[], $3::uuid[], $4::integer[]) as t
         on conflict (merchant_id, gateway_account_id, worker_id)
         do update set calls = excluded.calls, written_at = excluded.written_at",
    )
    .bind::<SqlUuid, _>(worker)
    .bind::<Array<SqlUuid>, _>(merchants(&keys))
    .bind::<Array<SqlUuid>, _>(accounts(&keys))
    .bind::<Array<Integer>, _>(calls.collect::<Vec<_>>())
    .execute(connection)
    .map(drop)
}

/// The gateway accounts that cannot simply be asked: circuits that are not closed, pauses that are not over. Of all
/// merchants: for workers, who work for all of them.
pub fn troubled(connection: &mut PgConnection) -> QueryResult<Vec<State>> {
    let rows: Vec<Row> = statement(
        "select merchant_id, gateway_account_id, served, failed, counted_at, open_until, trips, probed_at, paused_until,
            next_call_at, misconfigured_code, misconfigured_since, 0::bigint as in_hand
         from gateway_states where circuit <> 'CLOSED' or paused_until > now()",
    )
    .load(connection)?;
    Ok(rows.into_iter().map(State::from).collect())
}

/// The states of a merchant's gateway accounts that have one.
pub fn of_merchant(connection: &mut PgConnection, merchant: MerchantId) -> QueryResult<Vec<State>> {
    let rows: Vec<Row> = statement(
        "select merchant_id, gateway_account_id, served, failed, counted_at, open_until, trips, probed_at, paused_until,
            next_call_at, misconfigured_code, misconfigured_since, 0::bigint as in_hand
         from gateway_states where merchant_id = $1",
    )
    .bind::<SqlUuid, _>(merchant.0)
    .load(connection)?;
    Ok(rows.into_iter().map(State::from).collect())
}

/// What a worker has heard of a gateway account since it last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthChange {
    /// Calls that were of use.
    pub served: u32,
    /// Calls that were not: no answer, or one that refuses us.
    pub failed: u32,
    /// It asks us to stay away until then.
    pub paused_until: Option<DateTime<Utc>>,
    /// The code it refuses us with; `Some(None)`: it does not, any more.
    pub misconfigured: Option<Option<String>>,
}

/// Adds what was heard, and answers the states that came of it.
pub fn tell(
    connection: &mut PgConnection,
    news: &[(GatewayKey, HealthChange)],
    now: DateTime<Utc>,
) -> QueryResult<Vec<State>> {
    if news.is_empty() {
        return Ok(Vec::new());
    }
    let news: HashMap<GatewayKey, &HealthChange> =
        news.iter().map(|(key, news)| (*key, news)).collect();
    let keys: Vec<_> = news.keys().copied().collect();
    let mut states = lock(connection, &keys, Uuid::nil(), Duration::ZERO)?;
    for state in &mut states {
        let Some(news) = news.get(&state.key) else {
            continue;
        };
        state.circuit = state.circuit.after(news.served, news.failed, now);
        state.paused_until = state.paused_until.max(news.paused_until);
        match (&news.misconfigured, &state.misconfigured) {
            (Some(None), _) => state.misconfigured = None,
            (Some(Some(code)), None) => state.misconfigured = Some((code.clone(), now)),
            (Some(Some(code)), Some((_, since))) => {
                state.misconfigured = Some((code.clone(), *since));
            }
            (None, _) => {}
        }
    }
    let keys: Vec<_> = states.iter().map(|state| state.key).collect();
    macro_rules! column {
        ($state:pat => $value:expr) => {
            states.iter().map(|$state| $value).collect::<Vec<_>>()
        };
    }
    statement(
        "update gateway_states s
         set served = t.served, failed = t.failed, counted_at = t.counted_at, open_until = t.open_until,
            circuit = case when t.open_until is null then 'CLOSED' else 'OPEN' end, trips = t.trips,
            probed_at = t.probed_at, paused_until = t.paused_until, misconfigured_code = t.misconfigured_code,
            misconfigured_since = t.misconfigured_since
         from unnest($1::uuid[], $2::uuid[], $3::float8[], $4::float8[], $5::timestamptz[], $6::timestamptz[],
            $7::smallint[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::timestamptz[])
            as t (merchant_id, gateway_account_id, served, failed, counted_at, open_until, trips, probed_at,
                paused_until, misconfigured_code, misconfigured_since)
         where s.merchant_id = t.merchant_id and s.gateway_account_id = t.gateway_account_id",
    )
    .bind::<Array<SqlUuid>, _>(merchants(&keys))
    .bind::<Array<SqlUuid>, _>(accounts(&keys))
    .bind::<Array<Double>, _>(column!(s => s.circuit.served))
    .bind::<Array<Double>, _>(column!(s => s.circuit.failed))
    .bind::<Array<Timestamptz>, _>(column!(s => s.circuit.counted_at))
    .bind::<Array<Nullable<Timestamptz>>, _>(column!(s => s.circuit.open_until))
    .bind::<Array<SmallInt>, _>(column!(s => s.circuit.trips))
    .bind::<Array<Nullable<Timestamptz>>, _>(column!(s => s.circuit.probed_at))
    .bind::<Array<Nullable<Timestamptz>>, _>(column!(s => s.paused_until))
    .bind::<Array<Nullable<Text>>, _>(column!(s => s.misconfigured.as_ref().map(|(code, _)| code.as_str())))
    .bind::<Array<Nullable<Timestamptz>>, _>(column!(s => s.misconfigured.as_ref().map(|(_, since)| *since)))
    .execute(connection)?;
    Ok(states)
}

/// Forgets at most `limit` scores that nothing was added to for a day, and what dead workers had in hand. Answers how
/// many.
pub fn forget(connection: &mut PgConnection, limit: i64) -> QueryResult<usize> {
    let scores = statement(
        "delete from gateway_scores s using (
            select merchant_id, gateway_account_id, bank from gateway_scores
            where counted_at < now() - interval '1 day' order by counted_at limit $1
         ) old
         where s.merchant_id = old.merchant_id and s.gateway_account_id = old.gateway_account_id and s.bank = old.bank",
    )
    .bind::<BigInt, _>(limit)
    .execute(connection)?;
    let workers =
        statement("delete from gateway_calls_in_hand where written_at < now() - interval '1 hour'")
            .execute(connection)?;
    Ok(scores + workers)
}
