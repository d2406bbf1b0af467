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
use khata_domain::validation::MAX_FAILED_STEPS;
use khata_domain::{MerchantId, ValidationKey, ValidationState};

/// Interval at which a validation that is set aside is tried again, until its deadline.
const SET_ASIDE_RETRY: Duration = Duration::from_hours(1);
/// Open validations that one round checks for an expired lease. A larger backlog takes several rounds.
const PAGE: i64 = 5_000;
/// Without statistics Postgres may choose plans that read a whole table, and compile them for hundreds of milliseconds.
const PLAN_SETTINGS: &str = "set local enable_seqscan = off; set local enable_hashjoin = off; \
                             set local enable_mergejoin = off; set local enable_bitmapscan = off; \
                             set local enable_sort = off; set local jit = off";

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
    /// Merchants of which nothing is taken but awaited validations and those with an expired lease.
    pub full: &'a [MerchantId],
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
    after: [Uuid; 2],
    /// The last open validation that was checked for an expired lease.
    checked: Option<Checked>,
}

/// The validations that are taken in turns by merchant. Those that have waited come first: their next step may complete them.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Waited,
    Open,
}

impl Kind {
    /// The condition of the index of these validations.
    fn condition(self) -> &'static str {
        match self {
            Self::Waited => "v.pending_reason is not null",
            Self::Open => "v.completed_at is null",
        }
    }
}

row! {
    /// An open validation that was checked for an expired lease.
    #[derive(Clone, Debug)]
    struct Checked {
        #[diesel(embed)]
        key: ValidationKey,
        due_at: DateTime<Utc>,
        is_due: bool,
        /// The last one of a full page.
        is_last: bool,
    }
}

impl DueTurns {
    /// Makes validations DUE and returns them: awaited ones, those whose wait is over, those with an expired lease, and those
    /// that had a wake-up and were not claimed. Several workers may call this at once: no row is returned twice.
    ///
    /// Each merchant with due validations has an equal share of the limit. With more merchants than the limit, the next call
    /// continues with the merchants that had no turn.
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
            let mut taken = Taken {
                rows: awaited(connection, wanted)?,
                more: false,
            };
            self.take_expired(connection, wanted, &mut taken)?;
            self.take_in_turns(connection, wanted, Kind::Waited, &mut taken)?;
            self.take_in_turns(connection, wanted, Kind::Open, &mut taken)?;
            taken.more |= wanted.left(&taken) == 0;
            Ok(taken)
        })
    }

    /// Takes validations whose lease expired, among the next [`PAGE`] open ones: no index knows the leases, because a claim is a
    /// heap-only update. Takes also those that wait without having been settled.
    fn take_expired(
        &mut self,
        connection: &mut PgConnection,
        wanted: &Wanted<'_>,
        taken: &mut Taken,
    ) -> QueryResult<()> {
        const IS_DUE: &str = "v.due_at <= now() and (v.state = 'LEASED' and v.leased_until < now()
                              or v.state = 'WAITING' and v.pending_reason is null)";
        let last = self.checked.take();
        let (merchant, due_at, id) = last
            .map_or((Uuid::nil(), DateTime::UNIX_EPOCH, Uuid::nil()), |last| {
                (last.key.merchant.0, last.due_at, last.key.id.0)
            });
        let page: Vec<Checked> = statement(format!(
            "select * from (
                select v.merchant_id, v.id as validation_id, v.due_at, {IS_DUE} as is_due, row_number() over () = $1 as is_last
                from (
                    select merchant_id, id, due_at, state, leased_until, pending_reason from validations
                    where completed_at is null and (merchant_id, due_at) >= ($2, $3)
                      and (merchant_id, due_at, id) > ($2, $3, $4)
                    order by merchant_id, due_at, id limit $1
                ) v
             ) page where is_due or is_last"
        ))
        .bind(PAGE)
        .bind(merchant)
        .bind(due_at)
        .bind(id)
        .load(connection)?;
        let due = page.iter().filter(|row| row.is_due).map(|row| row.key);
        let due: Vec<ValidationKey> = due.collect();
        let left = usize::try_from(wanted.left(taken)).unwrap_or(0);
        let (now, later) = due.split_at(due.len().min(left));
        if later.is_empty() {
            self.checked = page.into_iter().find(|row| row.is_last);
        }
        let rows = make_due(
            &format!(
                "select v.merchant_id, v.id, v.state from $1 as wanted
                 join validations v on v.merchant_id = wanted.merchant_id and v.id = wanted.id
                 where v.completed_at is null and {IS_DUE}
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
        let limit = wanted.left(taken);
        let (states, without) = match kind {
            Kind::Waited if wanted.hold => ("('WAITING')", wanted.full.to_vec()),
            Kind::Waited => ("('WAITING', 'DUE')", wanted.full.to_vec()),
            Kind::Open if wanted.hold => return Ok(()),
            Kind::Open => ("('WAITING', 'DUE')", [wanted.held, wanted.full].concat()),
        };
        if limit == 0 {
            return Ok(());
        }
        let after = self.after[kind as usize];
        let mut merchants = with_due(connection, kind, (after, Uuid::max()), &without, limit)?;
        let left = limit - length(&merchants);
        merchants.extend(with_due(
            connection,
            kind,
            (Uuid::nil(), after),
            &without,
            left,
        )?);
        let Some(last) = merchants.last() else {
            return Ok(());
        };
        self.after[kind as usize] = last.0;
        let share = limit / length(&merchants);
        let condition = kind.condition();
        let rows = make_due(
            &format!(
                "select due.* from $1 as turn cross join lateral (
                    select v.merchant_id, v.id, v.state from validations v
                    where v.merchant_id = turn.merchant_id and {condition} and v.due_at <= now() and v.state in {states}
                    order by v.due_at limit $2
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

/// Takes validations that a caller waits for.
fn awaited(connection: &mut PgConnection, wanted: &Wanted<'_>) -> QueryResult<Vec<DueRow>> {
    make_due(
        "select v.merchant_id, v.id, v.state from validations v
         where v.completed_at is null and v.awaited_until > now() and v.due_at <= now()
           and (v.state <> 'LEASED' or v.leased_until < now())
         order by v.awaited_until limit $1
         for update skip locked",
        1,
        |statement| statement.bind(wanted.limit),
        connection,
        wanted,
    )
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
    if limit == 0 || after >= last {
        return Ok(Vec::new());
    }
    let condition = kind.condition();
    statement(format!(
        "with recursive first as (
            (select v.merchant_id, v.due_at from validations v
             where {condition} and v.merchant_id > $1 and v.merchant_id <= $2
             order by v.merchant_id, v.due_at limit 1)
            union all
            select next.merchant_id, next.due_at from first cross join lateral (
                select v.merchant_id, v.due_at from validations v
                where {condition} and v.merchant_id > first.merchant_id and v.merchant_id <= $2
                order by v.merchant_id, v.due_at limit 1
            ) next
         )
         select merchant_id from first where due_at <= now() and merchant_id <> all($3) limit $4"
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
            coalesce(v.awaited_until > now(), false) as awaited"
    )))
    .bind(MAX_FAILED_STEPS)
    .bind(milliseconds(SET_ASIDE_RETRY))
    .bind(milliseconds(wanted.wakeup_grace))
    .load(connection)
}
