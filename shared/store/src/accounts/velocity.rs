//! How often the same details were validated for a merchant lately: a penny drop is a rupee, and nobody may farm them by
//! storing, deleting and validating an account again and again.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Binary, Bool, SmallInt, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::CreateAccounts;
use crate::customers::Customers;
use crate::statement::statement;
use khata_domain::{AccountId, CustomerId, MerchantId};

/// How long a validation counts.
pub(super) const WINDOW: TimeDelta = TimeDelta::hours(24);

/// A call that may not be carried out now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limited {
    /// Which of its accounts stands in the way.
    pub(super) account: usize,
    pub(super) until: DateTime<Utc>,
}

/// What counts for some details of a merchant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// So often they were validated in the last 24 hours.
    pub validations: i64,
    oldest: Option<DateTime<Utc>>,
    /// Whether the customer itself has it live.
    standing: bool,
}

impl Used {
    /// When the oldest of what counts does no longer.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        self.oldest.map(|oldest| oldest + WINDOW)
    }
}

/// An account of the same details: validated lately, or the customer's own.
#[derive(QueryableByName)]
struct SameRow {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = SmallInt)]
    validations: i16,
    #[diesel(sql_type = Timestamptz)]
    since: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    recent: bool,
    #[diesel(sql_type = Bool)]
    own: bool,
}

/// What counts for these details; those for which nothing does are left out.
pub(super) fn used(
    connection: &mut PgConnection,
    wanted: &[(MerchantId, CustomerId, &[u8])],
) -> QueryResult<HashMap<usize, Used>> {
    // For details that nobody has had, as most are, it is one look into each of two indexes. `offset 0` keeps it that: a
    // plan made while the table was empty would otherwise walk a whole index once a batch and compare.
    let rows: Vec<SameRow> = statement(
        "with wanted as (
            select * from unnest($1::uuid[], $2::uuid[], $3::bytea[]) with ordinality
                as w (merchant_id, customer_id, fingerprint, place)
         )
         select w.place, a.velocity_count as validations, a.velocity_since as since,
            a.velocity_since > now() - interval '24 hours' as recent, a.customer_id = w.customer_id as own
         from wanted w
         cross join lateral (
            select * from customer_accounts a
            where a.merchant_id = w.merchant_id and a.fingerprint = w.fingerprint and a.deleted_at is null offset 0
         ) a
         where a.velocity_since > now() - interval '24 hours' or a.customer_id = w.customer_id
         union all
         select w.place, a.velocity_count, a.velocity_since, true, false
         from wanted w
         cross join lateral (
            select * from customer_accounts a
            where a.merchant_id = w.merchant_id and a.fingerprint = w.fingerprint and a.deleted_at is not null offset 0
         ) a
         where a.velocity_since > now() - interval '24 hours'",
    )
    .bind::<Array<SqlUuid>, _>(wanted.iter().map(|w| w.0.0).collect::<Vec<_>>())
    .bind::<Array<SqlUuid>, _>(wanted.iter().map(|w| w.1.0).collect::<Vec<_>>())
    .bind::<Array<Binary>, _>(wanted.iter().map(|w| w.2).collect::<Vec<_>>())
    .load(connection)?;
    let mut used: HashMap<usize, Used> = HashMap::new();
    for row in rows {
        let Some(place) = usize::try_from(row.place - 1).ok() else {
            continue;
        };
        let used = used.entry(place).or_default();
        used.standing |= row.own;
        if row.recent {
            used.validations += i64::from(row.validations);
            used.oldest = used.oldest.min(Some(row.since)).or(Some(row.since));
        }
    }
    Ok(used)
}

/// What counts for the details of an account: its own validations, and those of all that the merchant has or had with the
/// same details.
pub fn used_by(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: AccountId,
) -> QueryResult<Used> {
    #[derive(QueryableByName)]
    struct Details {
        #[diesel(sql_type = SqlUuid)]
        customer_id: Uuid,
        #[diesel(sql_type = Binary)]
        fingerprint: Vec<u8>,
    }
    let details: Option<Details> = statement(
        "select customer_id, fingerprint from customer_accounts where merchant_id = $1 and id = $2",
    )
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<SqlUuid, _>(account.0)
    .get_result(connection)
    .optional()?;
    let Some(details) = details else {
        return Ok(Used::default());
    };
    let customer = CustomerId(details.customer_id);
    let mut used = used(connection, &[(merchant, customer, &details.fingerprint)])?;
    Ok(used.remove(&0).unwrap_or_default())
}

/// Which of the calls would validate an account too often; calls of one batch count for each other. Two processes that
/// store the same details at the same moment do not see each other: the limit is then passed by one.
pub(super) fn limited<C: Borrow<CreateAccounts>>(
    connection: &mut PgConnection,
    calls: &[C],
    customers: &Customers<'_>,
) -> QueryResult<Vec<Option<Limited>>> {
    let customer_of = |call: &CreateAccounts| {
        let found = customers.get(&(call.merchant, &call.customer));
        found.map(|(customer, _)| *customer)
    };
    let wanted: Vec<(MerchantId, CustomerId, &[u8])> = calls
        .iter()
        .map(Borrow::borrow)
        .filter_map(|call| Some((call, customer_of(call)?)))
        .flat_map(|(call, customer)| {
            let accounts = call.accounts.iter();
            accounts.map(move |account| (call.merchant, customer, account.fingerprint.as_slice()))
        })
        .collect();
    if wanted.is_empty() {
        return Ok(vec![None; calls.len()]);
    }
    let used = used(connection, &wanted)?;
    let mut places = 0..wanted.len();
    let mut in_batch: HashMap<(MerchantId, &[u8]), i64> = HashMap::new();
    let mut standing: HashSet<(MerchantId, CustomerId, &[u8])> = HashSet::new();
    let mut judge = |call: &CreateAccounts| -> Option<Limited> {
        customer_of(call)?;
        let places: Vec<usize> = places.by_ref().take(call.accounts.len()).collect();
        let new: Vec<(usize, usize)> = places
            .into_iter()
            .enumerate()
            .filter(|(_, place)| {
                !standing.contains(&wanted[*place])
                    && !used.get(place).is_some_and(|used| used.standing)
            })
            .collect();
        for (account, place) in &new {
            let (merchant, _, details) = wanted[*place];
            let before = used.get(place).map_or(0, |used| used.validations)
                + in_batch.get(&(merchant, details)).copied().unwrap_or(0);
            if before >= i64::from(call.validations_per_day) {
                let until = used.get(place).and_then(Used::until);
                return Some(Limited {
                    account: *account,
                    until: until.unwrap_or(call.created_at + WINDOW),
                });
            }
        }
        for (_, place) in new {
            let (merchant, _, details) = wanted[place];
            *in_batch.entry((merchant, details)).or_default() += 1;
            standing.insert(wanted[place]);
        }
        None
    };
    Ok(calls.iter().map(|call| judge(call.borrow())).collect())
}
