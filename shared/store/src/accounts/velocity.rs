//! Counts the recent validations of the same details of a merchant. A penny drop costs a rupee, so storing, deleting and
//! validating an account again and again must not collect rupees.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::new::CreateAccounts;
use crate::customers::Customers;
use crate::statement::{rows, statement};
use khata_domain::{AccountId, CustomerId, MerchantId};

/// How long a validation counts.
pub(super) const WINDOW: TimeDelta = TimeDelta::hours(24);

/// A request that the limit rejects: the index of the account that exceeds the limit, and until when.
pub(super) type Limited = (usize, DateTime<Utc>);

/// The recent validations of some details of a merchant.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecentValidations {
    /// Number of validations in the last 24 hours.
    pub validations: i64,
    oldest: Option<DateTime<Utc>>,
    /// Whether the customer itself has a live account with the details.
    is_own: bool,
}

impl RecentValidations {
    /// Returns when the oldest validation stops counting.
    pub fn until(&self) -> Option<DateTime<Utc>> {
        self.oldest.map(|oldest| oldest + WINDOW)
    }
}

/// Counts the validations of these details; the result leaves out details without any.
pub(super) fn of_details(
    connection: &mut PgConnection,
    wanted: &[(MerchantId, CustomerId, &[u8])],
) -> QueryResult<HashMap<usize, RecentValidations>> {
    // For new details, the common case, this reads one entry of each of two indexes. `offset 0` keeps it so: a plan made
    // while the table was empty would otherwise scan a whole index once a batch.
    let rows: Vec<(i64, i16, DateTime<Utc>, bool, bool)> = statement(
        "with wanted as (
            select * from $1 as wanted
         )
         select w.place, a.velocity_count, a.velocity_since, a.velocity_since > now() - interval '24 hours',
            a.customer_id = w.customer_id
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
    .rows(
        rows!(wanted, (merchant, customer, fingerprint) => {
            merchant_id = *merchant,
            customer_id = *customer,
            fingerprint = *fingerprint,
        })
        .numbered(),
    )
    .tuples(connection)?;
    let mut recent: HashMap<usize, RecentValidations> = HashMap::new();
    // A row is an account with the same details: validated recently, or the customer's own.
    for (place, validations, since, is_recent, is_own) in rows {
        let Some(place) = usize::try_from(place - 1).ok() else {
            continue;
        };
        let recent = recent.entry(place).or_default();
        recent.is_own |= is_own;
        if is_recent {
            recent.validations += i64::from(validations);
            recent.oldest = recent.oldest.min(Some(since)).or(Some(since));
        }
    }
    Ok(recent)
}

/// Counts the validations of an account's details: its own, and those of every account of the merchant with the same details.
pub fn recent_validations(
    connection: &mut PgConnection,
    merchant: MerchantId,
    account: AccountId,
) -> QueryResult<RecentValidations> {
    let details: Option<(CustomerId, Vec<u8>)> = statement(
        "select customer_id, fingerprint from customer_accounts where merchant_id = $1 and id = $2",
    )
    .key(merchant, account)
    .tuple(connection)
    .optional()?;
    let Some((customer, fingerprint)) = details else {
        return Ok(RecentValidations::default());
    };
    let wanted = (merchant, customer, &*fingerprint);
    let mut recent = of_details(connection, &[wanted])?;
    Ok(recent.remove(&0).unwrap_or_default())
}

/// Finds the requests that would validate some details too often; requests of one batch count for each other. Two processes
/// that store the same details at the same moment do not see each other and exceed the limit by one.
pub(super) fn limited(
    connection: &mut PgConnection,
    calls: &[&CreateAccounts],
    customers: &Customers<'_>,
) -> QueryResult<Vec<Option<Limited>>> {
    let customer_of = |call: &CreateAccounts| {
        let found = customers.get(&(call.merchant, &call.customer));
        found.map(|(customer, _)| *customer)
    };
    let wanted: Vec<(MerchantId, CustomerId, &[u8])> = calls
        .iter()
        .filter_map(|call| Some((call, customer_of(call)?)))
        .flat_map(|(call, customer)| {
            let accounts = call.accounts.iter();
            accounts.map(move |account| (call.merchant, customer, account.fingerprint.as_slice()))
        })
        .collect();
    let recent = of_details(connection, &wanted)?;
    let mut places = 0..wanted.len();
    let mut in_batch: HashMap<(MerchantId, &[u8]), i64> = HashMap::new();
    let mut existing: HashSet<(MerchantId, CustomerId, &[u8])> = HashSet::new();
    let mut judge = |call: &CreateAccounts| -> Option<Limited> {
        customer_of(call)?;
        let places: Vec<usize> = places.by_ref().take(call.accounts.len()).collect();
        let new: Vec<(usize, usize)> = places
            .into_iter()
            .enumerate()
            .filter(|(_, place)| {
                !existing.contains(&wanted[*place])
                    && !recent.get(place).is_some_and(|recent| recent.is_own)
            })
            .collect();
        for (account, place) in &new {
            let (merchant, _, details) = wanted[*place];
            let before = recent.get(place).map_or(0, |recent| recent.validations)
                + in_batch.get(&(merchant, details)).copied().unwrap_or(0);
            if before >= i64::from(call.terms.validations_per_day) {
                let until = recent.get(place).and_then(RecentValidations::until);
                return Some((*account, until.unwrap_or(call.terms.now + WINDOW)));
            }
        }
        for (_, place) in new {
            let (merchant, _, details) = wanted[place];
            *in_batch.entry((merchant, details)).or_default() += 1;
            existing.insert(wanted[place]);
        }
        None
    };
    Ok(calls.iter().map(|call| judge(call)).collect())
}
