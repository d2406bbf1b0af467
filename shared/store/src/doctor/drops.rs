//! Whether the budget counted the penny drops of the last days.

use std::collections::BTreeMap;

use diesel::prelude::*;
use khata_domain::MerchantId;

use super::walk::Page;
use crate::budget::DAY;
use crate::statement::statement;

/// Days that are checked, without this one. Housekeeping keeps their counts.
const DAYS: i32 = 6;
/// Days by which the clock of an id may be wrong.
const CLOCK_DIFFERENCE: i32 = 2;

/// The penny drops of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// The penny drops that the budget counted.
    pub counted: i64,
    /// The least that the budget must have counted: one for each validation of a bank account that began, and one for each attempt after
    /// a penny drop whose result is unknown. A validation of a UPI address counts only with the payee's consent, which may have come
    /// later, and is not among them.
    pub begun: i64,
}

/// The penny drops of a merchant in the six days before this one. A day begins at midnight in India.
#[derive(Clone, Debug)]
pub struct DropsByDay {
    /// By date.
    pub days: BTreeMap<String, Drops>,
    /// Validations that began before this date are not read.
    begin: String,
}

impl DropsByDay {
    /// Reads what the budget counted.
    pub fn counted(connection: &mut PgConnection, merchant: MerchantId) -> QueryResult<Self> {
        let begin = statement(format!("select ({DAY} - $1)::text"))
            .bind(DAYS + CLOCK_DIFFERENCE)
            .tuple(connection)?;
        let counted: Vec<(String, i64)> = statement(format!(
            "select day::text, (
                select coalesce(sum(c.drops), 0)::bigint from penny_drop_counts c where c.merchant_id = $1 and c.day = d.day
             )
             from (select {DAY} - n as day from generate_series(1, $2) n) d"
        ))
        .bind(merchant)
        .bind(DAYS)
        .tuples(connection)?;
        let day = |(date, counted)| (date, Drops { counted, begun: 0 });
        let days = counted.into_iter().map(day).collect();
        Ok(Self { days, begin })
    }

    /// Adds the penny drops of a page of validations. Returns whether earlier ones may have begun in these days, too.
    pub fn add(
        &mut self,
        connection: &mut PgConnection,
        merchant: MerchantId,
        page: Page,
    ) -> QueryResult<bool> {
        let date = |time: &str| format!("({time} at time zone interval '5 h 30 min')::date::text");
        let begun: Vec<(String, i64)> = statement(format!(
            "select {}, count(*) filter (where a.kind = 'BANK') from validations v
             cross join lateral (
                select a.kind from customer_accounts a where a.merchant_id = v.merchant_id and a.id = v.account_id limit 1
             ) a
             where v.merchant_id = $1 and v.id >= $2 and v.id < $3 group by 1",
            date("v.created_at")
        ))
        .key(merchant, page.from)
        .bind(page.before)
        .tuples(connection)?;
        let further: Vec<(String, i64)> = statement(format!(
            "select {}, count(*) from validation_attempts t
             where t.merchant_id = $1 and t.validation_id >= $2 and t.validation_id < $3
               and t.possible_double_drop and t.method = 'PENNY_DROP' group by 1",
            date("t.started_at")
        ))
        .key(merchant, page.from)
        .bind(page.before)
        .tuples(connection)?;
        let has_more = begun.iter().any(|(date, _)| *date >= self.begin);
        for (date, count) in begun.into_iter().chain(further) {
            if let Some(day) = self.days.get_mut(&date) {
                day.begun += count;
            }
        }
        Ok(has_more)
    }
}
