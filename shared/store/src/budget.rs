//! The budget of penny drops: how many a merchant's calls may start in a day. A stolen key must not spend without limit.

use std::collections::HashMap;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::statement::{rows, statement};
use khata_domain::MerchantId;

/// India's offset from UTC: the day begins at midnight in India, as the hours of gateways do.
const IST: TimeDelta = TimeDelta::minutes(330);

/// The day of a transaction, in SQL.
pub(super) const DAY: &str = "(now() at time zone interval '5 h 30 min')::date";

/// Returns when the budget of the next day begins.
pub(super) fn next_day(now: DateTime<Utc>) -> DateTime<Utc> {
    let next = (now + IST).date_naive().checked_add_days(Days::new(1));
    next.map_or(now + TimeDelta::days(1), |next| {
        next.and_time(NaiveTime::MIN).and_utc() - IST
    })
}

/// Reads the penny drops of this day; merchants without any are missing.
pub(super) fn used(
    connection: &mut PgConnection,
    merchants: &[MerchantId],
) -> QueryResult<HashMap<MerchantId, i32>> {
    let sql = format!(
        "select c.merchant_id, c.drops
         from $1 as wanted
         join penny_drop_counts c on c.merchant_id = wanted.merchant_id and c.day = {DAY}"
    );
    let rows: Vec<(MerchantId, i32)> = statement(sql)
        .rows(rows!(merchants, merchant => { merchant_id = *merchant }))
        .tuples(connection)?;
    Ok(rows.into_iter().collect())
}

/// Returns the statement that counts one penny drop for each row of `drops`, which has the column `merchant_id`. The rows of
/// counts stay locked until the transaction ends, so that this is its last statement with locks that others wait for. Every
/// transaction locks them in the same order.
pub(super) fn count(drops: &str) -> String {
    format!(
        "insert into penny_drop_counts (merchant_id, day, drops)
         select merchant_id, {DAY}, count(*) from {drops} group by merchant_id order by merchant_id
         on conflict (merchant_id, day) do update set drops = penny_drop_counts.drops + excluded.drops"
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
