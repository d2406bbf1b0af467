//! Due validations: the scheduler makes them DUE and publishes their wake-ups. It takes them in turns by merchant, so that the
//! backlog of one merchant delays no other.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use uuid::Uuid;

use crate::column::row;
use crate::statement::{Statement, milliseconds, rows, statement, validation_keys};
use khata_domain::failpoints::{self, Failpoint};
use khata_domain::mutants::{self, Mutant};
use khata_domain::validation::MAX_FAILED_STEPS;
use khata_domain::{MerchantId, ValidationKey, ValidationState};

/// Interval at which a validation that is set aside is tried again, until its deadline.
const SET_ASIDE_RETRY: Duration = Duration::from_hours(1);

/// Returns the SQL condition that a validation of this table is set aside. The list, the retry, the metric and `khata doctor` use it, so
/// that they mean the same validations.
///
/// A validation keeps its failed steps until it is settled. One that a worker postponed into a gateway account's queue, to a booked call,
/// or to a time later than [`SET_ASIDE_RETRY`] has been planned since, and continues by itself.
pub(crate) fn is_set_aside(table: &str) -> String {
    let retry = SET_ASIDE_RETRY.as_secs();
    format!(
        "({table}.failed_steps >= {MAX_FAILED_STEPS} and {table}.state = 'WAITING' and {table}.queued_gateway_account_id is null
            and coalesce({table}.slot_at <= now(), true) and {table}.due_at <= now() + interval '{retry} s')"
    )
}

/// Merchants of which one round checks for expired leases.
const MERCHANTS_CHECKED: i64 = 500;
/// Without statistics Postgres may choose plans that read a whole table, and compile them for hundreds of milliseconds.
const PLAN_SETTINGS: &str = "set local enable_seqscan = off; set local enable_hashjoin = off; \
                             set local enable_mergejoin = off; set local enable_bitmapscan = off; \
                             set local enable_sort = off; set local jit = off";

const WAITING_OR_DUE: &str = "v.state in ('WAITING', 'DUE')";

row! {
    /// A validation that needs a wake-up.
    #[derive(Clone, Debug)]
    pub struct DueRow {
        #[diesel(embed)]
        pub key: ValidationKey,
        /// W3C trace context of the account's trace.
        pub trace_parent: Option<String>,
        /// The state before: `Due` (the wake-up was lost), `Waiting` (the wait is over) or `Leased` (the worker stopped).
        pub was: ValidationState,
        /// The lease of [`MAX_FAILED_STEPS`] steps or more expired: the validation waits, and needs no wake-up.
        pub set_aside: bool,
        /// A caller waits for the outcome.
        pub awaited: bool,
        /// An earlier step was settled: the next one may complete the validation.
        pub has_waited: bool,
    }
}

/// The due validations that a scheduler takes.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Maximum number of validations.
    pub limit: i64,
    /// Leave out those that had a wake-up and were not claimed: enough wake-ups are on their way.
    pub hold: bool,
    /// The same for these merchants only.
    pub held: &'a [MerchantId],
    /// Merchants of which nothing is taken but awaited validations, those that have waited, and those with an expired lease.
    pub full: &'a [MerchantId],
    /// Merchants of which none are taken that have waited.
    pub full_of_waited: &'a [MerchantId],
    /// Maximum number of due validations that are checked for an expired lease. A merchant with more takes several calls.
    pub checks: i64,
    /// Time after which a validation is taken again, if its new wake-up is lost too.
    pub wakeup_grace: Duration,
}

/// Taken validations; awaited ones first.
#[derive(Debug, Default)]
pub struct Taken {
    pub rows: Vec<DueRow>,
    /// Whether more may be due now.
    pub more: bool,
}

/// The position of a scheduler among the merchants.
#[derive(Debug, Default)]
pub struct DueTurns {
    /// The merchant that had the last turn, for each [`Kind`].
    after: [Uuid; 4],
    /// The last due validation of a merchant that was checked for an expired lease, while there are more.
    checked: HashMap<MerchantId, (DateTime<Utc>, Uuid)>,
}

/// The validations that are taken in turns by merchant, in this order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Awaited,
    /// Their lease expired.
    Leased,
    /// Their next step may complete them.
    Waited,
    Open,
}

impl Kind {
    /// The condition of the index of these validations.
    fn condition(self) -> &'static str {
        match self {
            Self::Awaited => "v.completed_at is null and v.awaited_until is not null",
            Self::Waited => "v.pending_reason is not null",
            Self::Leased | Self::Open => "v.completed_at is null",
        }
    }

    /// The second column of the index, its order, and when the first entry of a merchant shows that there are such
    /// validations.
    fn first(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Awaited => ("awaited_until", "desc", "> now()"),
            Self::Leased | Self::Waited | Self::Open => ("due_at", "asc", "<= now()"),
        }
    }
}

row! {
    /// A due validation that was checked for an expired lease.
    #[derive(Clone, Debug)]
    struct Checked {
        #[diesel(embed)]
        key: ValidationKey,
        due_at: DateTime<Utc>,
        is_expired: bool,
        /// There may be more of its merchant.
        is_last: bool,
    }
}

impl DueTurns {
    /// Makes validations DUE and returns them: awaited ones, those with an expired lease, those whose wait is over, and those
    /// that had a wake-up and were not claimed. Several workers may call this at once: no row is returned twice.
    ///
    /// Each merchant with due validations has an equal share of the limit. With more merchants than the limit, the next call
    /// continues with the merchants that had no turn. Awaited validations take half of the limit at most.
    ///
    /// An expired lease counts as a failed step. A validation is set aside after [`MAX_FAILED_STEPS`] of them in a row: it
    /// waits for an hour, or until its deadline. It is not completed, because its attempt may have paid a rupee.
    pub fn take(
        &mut self,
        connection: &mut PgConnection,
        wanted: &Wanted<'_>,
    ) -> QueryResult<Taken> {
        connection.transaction(|connection| {
            connection.batch_execute(PLAN_SETTINGS)?;
            let mut taken = Taken::default();
            self.take_in_turns(connection, wanted, Kind::Awaited, &mut taken)?;
            self.take_expired(connection, wanted, &mut taken)?;
            self.take_in_turns(connection, wanted, Kind::Waited, &mut taken)?;
            self.take_in_turns(connection, wanted, Kind::Open, &mut taken)?;
            taken.more |= wanted.left(&taken) == 0;
            if !taken.rows.is_empty() {
                failpoints::pass_blocking(Failpoint::SCHEDULE_BEFORE_COMMIT);
            }
            Ok(taken)
        })
    }

    /// Takes validations whose lease expired. No index knows the leases, because a claim is a heap-only update, so that the due
    /// validations are checked: of each merchant as many, from where the last call ended. Takes also those that wait without
    /// having been settled.
    fn take_expired(
        &mut self,
        connection: &mut PgConnection,
        wanted: &Wanted<'_>,
        taken: &mut Taken,
    ) -> QueryResult<()> {
        const IS_EXPIRED: &str = "(v.state = 'LEASED' and v.leased_until < now()
                                   or v.state = 'WAITING' and v.pending_reason is null)";
        let limit = MERCHANTS_CHECKED.min(wanted.checks);
        let merchants = self.next_merchants(connection, Kind::Leased, &[], limit)?;
        if merchants.is_empty() || mutants::is_on(Mutant::NoRescue) {
            return Ok(());
        }
        let start = |merchant: &MerchantId| {
            let checked = self.checked.get(merchant);
            checked
                .copied()
                .unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()))
        };
        let turns: Vec<_> = merchants
            .iter()
            .map(|merchant| (*merchant, start(merchant)))
            .collect();
        let share = wanted.checks / length(&merchants);
        let page: Vec<Checked> = statement(format!(
            "select page.* from $1 as turn cross join lateral (
                select v.merchant_id, v.id as validation_id, v.due_at, {IS_EXPIRED} as is_expired,
                    row_number() over () = $2 as is_last
                from (
                    select merchant_id, id, due_at, state, leased_until, pending_reason from validations
                    where merchant_id = turn.merchant_id and completed_at is null and due_at <= now()
                      and (due_at, id) > (turn.due_at, turn.id)
                    order by due_at, id limit $2
                ) v
             ) page where is_expired or is_last"
        ))
        .rows(rows!(&turns, (merchant, (due_at, id)) => {
            merchant_id = *merchant,
            due_at = *due_at,
            id = *id,
        }))
        .bind(share)
        .load(connection)?;
        let expired = page.iter().filter(|row| row.is_expired).map(|row| row.key);
        let expired: Vec<ValidationKey> = expired.collect();
        let left = usize::try_from(wanted.left(taken)).unwrap_or(0);
        let (now, later) = expired.split_at(expired.len().min(left));
        for merchant in &merchants {
            // The next call finds the leases beyond the limit again.
            if later.iter().all(|key| key.merchant != *merchant) {
                self.checked.remove(merchant);
            }
        }
        for row in page.iter().filter(|row| row.is_last) {
            if later.iter().all(|key| key.merchant != row.key.merchant) {
                self.checked
                    .insert(row.key.merchant, (row.due_at, row.key.id.0));
            }
        }
        let rows = make_due(
            &format!(
                "select v.merchant_id, v.id, v.state from $1 as wanted
                 join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
                 where v.completed_at is null and v.due_at <= now() and {IS_EXPIRED}
                 for update of v skip locked"
            ),
            1,
            |statement| statement.rows(validation_keys(now)),
            connection,
            wanted,
        )?;
        taken.rows.extend(rows);
        Ok(())
    }

    /// Takes validations of one kind, with a turn for each merchant.
    fn take_in_turns(
        &mut self,
        connection: &mut PgConnection,
        wanted: &Wanted<'_>,
        kind: Kind,
        taken: &mut Taken,
    ) -> QueryResult<()> {
        let mut limit = wanted.left(taken);
        let (condition, (column, ..)) = (kind.condition(), kind.first());
        let (states, without) = match kind {
            Kind::Awaited | Kind::Leased => {
                // Half of the limit, so that the polls of others go on beside any number of callers.
                limit = (limit + 1) / 2;
                let states =
                    "(v.state <> 'LEASED' or v.leased_until < now()) and v.awaited_until > now()";
                (states, Vec::new())
            }
            Kind::Waited if wanted.hold => ("v.state = 'WAITING'", wanted.full_of_waited.to_vec()),
            Kind::Waited => (WAITING_OR_DUE, wanted.full_of_waited.to_vec()),
            Kind::Open if wanted.hold => return Ok(()),
            Kind::Open => (WAITING_OR_DUE, [wanted.held, wanted.full].concat()),
        };
        let merchants = self.next_merchants(connection, kind, &without, limit)?;
        if merchants.is_empty() {
            return Ok(());
        }
        let share = limit / length(&merchants);
        let rows = make_due(
            &format!(
                "select due.* from $1 as turn cross join lateral (
                    select v.merchant_id, v.id, v.state from validations v
                    where v.merchant_id = turn.merchant_id and {condition} and v.due_at <= now() and {states}
                    order by v.{column} limit $2
                    for update skip locked
                 ) due"
            ),
            2,
            |statement| {
                let merchants = rows!(&merchants, merchant => { merchant_id = *merchant });
                statement.rows(merchants).bind(share)
            },
            connection,
            wanted,
        )?;
        let mut of_merchants: HashMap<MerchantId, i64> = HashMap::new();
        for row in &rows {
            *of_merchants.entry(row.key.merchant).or_default() += 1;
        }
        taken.more |= of_merchants.values().any(|count| *count >= share);
        taken.rows.extend(rows);
        Ok(())
    }

    /// Returns at most `limit` merchants with due validations of a kind, from the one whose turn it is.
    fn next_merchants(
        &mut self,
        connection: &mut PgConnection,
        kind: Kind,
        without: &[MerchantId],
        limit: i64,
    ) -> QueryResult<Vec<MerchantId>> {
        let after = &mut self.after[kind as usize];
        let to_the_end = (*after, Uuid::max());
        let mut merchants = with_due(connection, kind, to_the_end, without, limit)?;
        let from_the_start = (Uuid::nil(), *after);
        let left = limit - length(&merchants);
        merchants.extend(with_due(connection, kind, from_the_start, without, left)?);
        if let Some(last) = merchants.last() {
            *after = last.0;
        }
        Ok(merchants)
    }
}

impl Wanted<'_> {
    /// Returns how many more may be taken.
    fn left(&self, taken: &Taken) -> i64 {
        (self.limit - length(&taken.rows)).max(0)
    }
}

fn length<T>(items: &[T]) -> i64 {
    i64::try_from(items.len()).unwrap_or(i64::MAX)
}

/// Returns merchants with due validations of a kind, in order: those after the first bound, up to the second one. Reads one
/// entry of the index for each merchant with such validations, due or not.
fn with_due(
    connection: &mut PgConnection,
    kind: Kind,
    (after, last): (Uuid, Uuid),
    without: &[MerchantId],
    limit: i64,
) -> QueryResult<Vec<MerchantId>> {
    if limit <= 0 || after >= last {
        return Ok(Vec::new());
    }
    let (condition, (column, order, is_due)) = (kind.condition(), kind.first());
    statement(format!(
        "with recursive first as (
            (select v.merchant_id, v.{column} from validations v
             where {condition} and v.merchant_id > $1 and v.merchant_id <= $2
             order by v.merchant_id, v.{column} {order} limit 1)
            union all
            select next.merchant_id, next.{column} from first cross join lateral (
                select v.merchant_id, v.{column} from validations v
                where {condition} and v.merchant_id > first.merchant_id and v.merchant_id <= $2
                order by v.merchant_id, v.{column} {order} limit 1
            ) next
         )
         select merchant_id from first where {column} {is_due} and merchant_id <> all($3) limit $4"
    ))
    .bind(after)
    .bind(last)
    .bind(without)
    .bind(limit)
    .tuples(connection)
}

/// Makes the validations of `source` DUE, whose statement has this number of parameters.
fn make_due<'a>(
    source: &str,
    parameters: usize,
    bind: impl FnOnce(Statement<'a>) -> Statement<'a>,
    connection: &mut PgConnection,
    wanted: &Wanted<'_>,
) -> QueryResult<Vec<DueRow>> {
    let [max_failed_steps, retry, grace] =
        [1, 2, 3].map(|place| format!("${}", parameters + place));
    bind(statement(format!(
        "with due as (
            {source}
         )
         update validations v
         set state = case when due.state = 'LEASED' and v.failed_steps + 1 >= {max_failed_steps} then 'WAITING' else 'DUE' end,
            -- Later than now, so that no later statement of the transaction takes it again.
            due_at = greatest(now() + interval '1 microsecond',
                case when due.state = 'LEASED' and v.failed_steps + 1 >= {max_failed_steps}
                     then least(now() + {retry} * interval '1 ms', v.deadline_at)
                     else now() + {grace} * interval '1 ms' end),
            failed_steps = case when due.state = 'LEASED' then least(v.failed_steps + 1, 1000) else v.failed_steps end,
            lease_token = null, leased_until = null
         from due where v.merchant_id = due.merchant_id and v.id = due.id
         returning v.merchant_id, v.id as validation_id, v.trace_parent, due.state as was, v.state = 'WAITING' as set_aside,
            coalesce(v.awaited_until > now(), false) as awaited, v.pending_reason is not null as has_waited"
    )))
    .bind(MAX_FAILED_STEPS)
    .bind(milliseconds(SET_ASIDE_RETRY))
    .bind(milliseconds(wanted.wakeup_grace))
    .load(connection)
}
