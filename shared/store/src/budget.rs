//! The budget of penny drops: how many a merchant's calls may start in a day. A stolen key must not spend without limit.
//!
//! A transaction reads the count, begins validations, and adds them to the count. The limit is exact over all processes, and
//! transactions wait for nothing:
//! - Far from the limit a transaction shares the budget with others and holds one of its slots, whose row it counts in. All
//!   transactions together can add no more than their slots permit, and so much is still left.
//! - Near the limit a transaction holds the budget alone.
//! - A transaction that finds no slot free, or the budget held, begins nothing; its caller tries again.

use std::collections::HashMap;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::locks::Lock;
use super::statement::{Rows, rows, statement};
use khata_domain::MerchantId;

/// India's offset from UTC: the day begins at midnight in India, as the hours of gateways do.
const IST: TimeDelta = TimeDelta::minutes(330);

/// The day of a transaction, in SQL.
pub(super) const DAY: &str = "(now() at time zone interval '5 h 30 min')::date";

/// Transactions that may share a merchant's budget at the same moment.
const SLOTS: i64 = 16; // A power of two: the last bits of a slot's lock.
/// Penny drops of a merchant that a transaction with a slot may begin: a whole batch.
const OF_SLOT: i64 = 256;
/// Penny drops that the transactions of all slots may begin: as many are left of a budget that is shared.
const SHARED: i64 = SLOTS * OF_SLOT;

/// The slot in which a worker's connection counts, in SQL: its own.
pub(super) const WORKER_SLOT: &str = "-pg_backend_pid()";

/// A merchant's budget that a transaction holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    /// Where the transaction counts.
    pub(super) slot: i32,
    pub(super) is_alone: bool,
}

/// The counts of the day of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Used {
    /// Time of the transaction.
    pub(super) now: DateTime<Utc>,
    drops: HashMap<MerchantId, i64>,
    /// Penny drops that the transaction itself begins.
    begun: HashMap<MerchantId, i64>,
}

impl Used {
    /// The counts that a transaction reads at this time.
    pub(super) fn new(now: DateTime<Utc>, drops: HashMap<MerchantId, i64>) -> Self {
        Self {
            now,
            drops,
            begun: HashMap::new(),
        }
    }

    /// Returns the penny drops of a merchant, with those that the transaction begins.
    pub(super) fn by(&self, merchant: MerchantId) -> i64 {
        let of = |counts: &HashMap<_, _>| counts.get(&merchant).copied().unwrap_or_default();
        of(&self.drops) + of(&self.begun)
    }

    /// Adds penny drops that the transaction begins.
    pub(super) fn begin(&mut self, merchant: MerchantId, drops: i64) {
        *self.begun.entry(merchant).or_default() += drops;
    }

    /// Returns the time until the next day's budget.
    pub(super) fn until_next_day(&self) -> TimeDelta {
        next_day(self.now) - self.now
    }

    /// Whether a transaction with this hold may begin these penny drops too, which do not exceed the budget. The counts must have
    /// been read after the hold was taken.
    pub(super) fn permits(
        &self,
        hold: Option<&Hold>,
        merchant: MerchantId,
        drops: i64,
        budget: i32,
    ) -> bool {
        let counted = self.drops.get(&merchant).copied().unwrap_or_default();
        let begun = self.begun.get(&merchant).copied().unwrap_or_default();
        let is_far = counted + SHARED <= budget.into() && begun + drops <= OF_SLOT;
        hold.is_some_and(|hold| hold.is_alone || is_far)
    }
}

/// Returns when the budget of the next day begins.
pub(super) fn next_day(now: DateTime<Utc>) -> DateTime<Utc> {
    let next = (now + IST).date_naive().checked_add_days(Days::new(1));
    next.map_or(now + TimeDelta::days(1), |next| {
        next.and_time(NaiveTime::MIN).and_utc() - IST
    })
}

/// The penny drops of a merchant and day, in SQL.
pub(super) fn drops_of(merchant: &str) -> String {
    format!(
        "(select coalesce(sum(c.drops), 0)::bigint from penny_drop_counts c
          where c.merchant_id = {merchant} and c.day = {DAY})"
    )
}

/// Reads the penny drops of this day.
pub(super) fn used(connection: &mut PgConnection, merchants: &[MerchantId]) -> QueryResult<Used> {
    let rows: Vec<(MerchantId, i64, DateTime<Utc>)> = statement(format!(
        "select wanted.merchant_id, {}, now() from $1 as wanted",
        drops_of("wanted.merchant_id")
    ))
    .rows(rows!(merchants, merchant => { merchant_id = *merchant }))
    .tuples(connection)?;
    let now = rows.first().map_or_else(Utc::now, |(_, _, now)| *now);
    let drops = rows
        .into_iter()
        .map(|(merchant, drops, _)| (merchant, drops));
    Ok(Used::new(now, drops.collect()))
}

/// A merchant's budget that a transaction needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) merchant: MerchantId,
    pub(super) budget: i32,
    /// Most penny drops that the transaction may begin.
    pub(super) drops: i64,
}

/// Returns the `select` that takes the budgets of the table `wanted`, shared or alone, until the transaction ends: `slot` is
/// null where another transaction holds the budget, and where it is used up. The columns are `merchant_id`, `slot`, `is_alone`.
pub(super) fn hold() -> String {
    format!(
        "select wanted.merchant_id,
            case
                when used.drops >= wanted.budget then null
                when used.is_near then case when pg_try_advisory_xact_lock(wanted.key) then 0 end
                when pg_try_advisory_xact_lock_shared(wanted.key) then (
                    select ((wanted.first + n) % {SLOTS})::integer from generate_series(1, {SLOTS}) as n
                    where pg_try_advisory_xact_lock(wanted.slots + (wanted.first + n) % {SLOTS}) limit 1
                )
            end as slot,
            used.is_near as is_alone
         from wanted
         cross join lateral (
            select drops, drops + {SHARED} > wanted.budget or wanted.drops > {OF_SLOT} as is_near
            from (select {} as drops) as counted offset 0
         ) as used",
        drops_of("wanted.merchant_id")
    )
}

/// Returns the rows of the table `wanted` of [`hold`].
pub(super) fn wanted(budgets: &[Wanted]) -> Rows<'_> {
    // Processes try the slots in different orders, so that they seldom try a taken one.
    let first = i64::from(std::process::id()) % SLOTS;
    rows!(budgets, wanted => {
        merchant_id = wanted.merchant,
        budget = wanted.budget,
        drops = wanted.drops,
        key = Lock::Budget.of_merchant(wanted.merchant),
        slots = Lock::BudgetSlot.of_merchant(wanted.merchant) & !(SLOTS - 1),
        first = first,
    })
}

/// Returns the statement that adds the penny drops of the table `counted`, which has a row for each `merchant_id` and `slot`.
/// A transaction runs it once at most, so that two transactions that count in the same rows lock them in the same order.
pub(super) fn count(counted: &str) -> String {
    format!(
        "insert into penny_drop_counts (merchant_id, day, slot, drops)
         select merchant_id, {DAY}, slot, drops from {counted} order by merchant_id, slot
         on conflict (merchant_id, day, slot) do update set drops = penny_drop_counts.drops + excluded.drops"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_begins_at_midnight_in_india() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        for (now, next) in [
            ("2026-11-29T18:29:59Z", "2026-11-29T18:30:00Z"),
            ("2026-11-29T18:30:00Z", "2026-11-30T18:30:00Z"),
            ("2026-12-31T20:00:00Z", "2027-01-01T18:30:00Z"),
        ] {
            assert_eq!(next_day(time(now)), time(next), "{now}");
        }
    }
}
