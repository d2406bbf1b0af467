//! The limits of what a merchant's calls may spend: validations of the same account in 24 hours, and penny drops in a day. A
//! penny drop costs a rupee, so storing, deleting and validating an account again and again, or in many spellings, must not
//! collect rupees.
//!
//! A transaction that begins validations locks their accounts before it counts, so that the limits are exact over all
//! connections and processes.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::new::CreateAccounts;
use crate::budget;
use crate::customers::Customers;
use crate::statement::{rows, statement};
use khata_crypto::LIMIT_LENGTH;
use khata_domain::{AccountId, CustomerId, MerchantId};

/// How long a validation counts.
const WINDOW: TimeDelta = TimeDelta::hours(24);
/// Largest budget that is exact. Transactions of a merchant with a larger one do not wait for each other from here to their
/// commit, and may together exceed the budget by what each of them stores.
const LARGEST_EXACT_BUDGET: i32 = 1_000_000;

/// Why a call may begin no validation now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// The merchant has validated this account too often.
    Validations {
        /// Index of the account in the call.
        account: usize,
        /// When the merchant may validate the account again.
        until: DateTime<Utc>,
    },
    /// The call would exceed the merchant's budget of penny drops.
    PennyDrops {
        /// When the budget of the next day begins.
        until: DateTime<Utc>,
    },
}

/// An account of a customer, by its fingerprint.
pub(super) type Wanted<'a> = (MerchantId, CustomerId, &'a [u8]);

/// Returns the part of a fingerprint that is equal for all spellings of one account.
fn identity(fingerprint: &[u8]) -> &[u8] {
    &fingerprint[..LIMIT_LENGTH.min(fingerprint.len())]
}

/// The recent validations of an account of a merchant, in all its spellings.
#[derive(Clone, Debug, Default)]
pub struct RecentValidations {
    /// When each of those of the last 24 hours began, the newest first.
    times: Vec<DateTime<Utc>>,
    /// Whether the customer itself has a live account with the same details.
    is_own: bool,
}

impl RecentValidations {
    /// Returns the number of validations in the last 24 hours.
    pub fn validations(&self) -> usize {
        self.times.len()
    }

    /// Returns until when this limit permits no other validation; `None` if it permits one now.
    pub fn until(&self, limit: i16) -> Option<DateTime<Utc>> {
        self.until_with(limit, 0, Utc::now())
    }

    /// Like [`Self::until`], with `more` validations that begin now.
    fn until_with(&self, limit: i16, more: usize, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let limit = usize::from(limit.unsigned_abs());
        let oldest = match limit.checked_sub(more + 1) {
            // Validations that begin now are enough to reach the limit.
            None => now,
            Some(index) => *self.times.get(index)?,
        };
        Some(oldest + WINDOW)
    }
}

/// Locks these accounts, in all spellings, and the small budgets of these merchants until the transaction ends. Call it before
/// counting: a statement sees what was committed before it began.
pub(super) fn lock(
    connection: &mut PgConnection,
    wanted: &[Wanted<'_>],
    budgets: impl Iterator<Item = (MerchantId, i32)>,
) -> QueryResult<()> {
    let accounts = wanted.iter().map(|(_, _, fingerprint)| *fingerprint);
    let accounts = accounts.filter_map(|fingerprint| fingerprint.first_chunk());
    let keys = accounts.copied().map(i64::from_be_bytes);
    let budgets = budgets.filter(|(_, budget)| *budget <= LARGEST_EXACT_BUDGET);
    // The last 8 bytes of a UUID are its random part.
    let merchants = budgets.filter_map(|(merchant, _)| merchant.0.as_bytes().last_chunk().copied());
    let mut keys: Vec<i64> = keys.chain(merchants.map(i64::from_be_bytes)).collect();
    // Every transaction locks in the same order, so that two cannot deadlock.
    keys.sort_unstable();
    keys.dedup();
    statement("select pg_advisory_xact_lock(key) from $1 as wanted")
        .rows(rows!(&keys, key => { key = *key }))
        .run(connection)
}

/// Reads the recent validations of these accounts; the result leaves out accounts without any.
pub(super) fn recent(
    connection: &mut PgConnection,
    wanted: &[Wanted<'_>],
) -> QueryResult<HashMap<usize, RecentValidations>> {
    // For new accounts, the common case, this reads one entry of each of two indexes. `order by` and `offset 0` keep it so: a
    // plan made while the table was empty would otherwise read all accounts of the merchant, or a whole index once a batch.
    let rows: Vec<(i64, Option<DateTime<Utc>>, bool)> = statement(
        r"with wanted as (
            select * from $1 as wanted
         )
         select w.place, began.at, a.customer_id = w.customer_id and a.fingerprint = w.fingerprint
         from wanted w
         cross join lateral (
            select * from customer_accounts a
            where a.merchant_id = w.merchant_id and a.deleted_at is null
              and a.fingerprint between w.identity and w.identity || '\xffffffffffffffffffffffffffffffff'::bytea
            order by a.merchant_id, a.fingerprint offset 0
         ) a
         left join lateral (
            select at from unnest(array_append(a.revalidated_at, a.created_at)) as at
            where at > now() - interval '24 hours'
         ) began on true
         where began.at is not null or (a.customer_id = w.customer_id and a.fingerprint = w.fingerprint)
         union all
         select w.place, began.at, false
         from wanted w
         cross join lateral (
            select * from customer_accounts a
            where a.merchant_id = w.merchant_id and a.deleted_at is not null
              and a.fingerprint between w.identity and w.identity || '\xffffffffffffffffffffffffffffffff'::bytea
            order by a.merchant_id, a.fingerprint offset 0
         ) a
         cross join lateral unnest(array_append(a.revalidated_at, a.created_at)) as began (at)
         where began.at > now() - interval '24 hours'",
    )
    .rows(
        rows!(wanted, (merchant, customer, fingerprint) => {
            merchant_id = *merchant,
            customer_id = *customer,
            fingerprint = *fingerprint,
            identity = identity(fingerprint),
        })
        .numbered(),
    )
    .tuples(connection)?;
    let mut recent: HashMap<usize, RecentValidations> = HashMap::new();
    for (place, began, is_own) in rows {
        let Some(place) = usize::try_from(place - 1).ok() else {
            continue;
        };
        let recent = recent.entry(place).or_default();
        recent.is_own |= is_own;
        recent.times.extend(began);
    }
    for recent in recent.values_mut() {
        recent.times.sort_unstable_by(|one, other| other.cmp(one));
    }
    Ok(recent)
}

/// Reads the recent validations of an account: its own, and those of every account of the merchant that is the same at the bank.
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
    let mut recent = recent(connection, &[(merchant, customer, &fingerprint)])?;
    Ok(recent.remove(&0).unwrap_or_default())
}

/// The requests of a batch that exceed a limit, and the accounts that exist.
pub(super) struct Checked<'a> {
    /// The limit that each request exceeds.
    pub(super) limited: Vec<Option<Limited>>,
    /// Accounts that their customers have already.
    pub(super) existing: HashSet<Wanted<'a>>,
}

/// Finds the requests that exceed a limit; requests of one batch count for each other.
pub(super) fn check<'a>(
    connection: &mut PgConnection,
    calls: &[&'a CreateAccounts],
    customers: &Customers<'_>,
) -> QueryResult<Checked<'a>> {
    let customer_of = |call: &CreateAccounts| {
        let found = customers.get(&(call.merchant, &call.customer));
        found.map(|(customer, _)| *customer)
    };
    let wanted: Vec<Wanted<'a>> = calls
        .iter()
        .filter_map(|call| Some((*call, customer_of(call)?)))
        .flat_map(|(call, customer)| {
            let accounts = call.accounts.iter();
            accounts.map(move |account| (call.merchant, customer, account.fingerprint.as_slice()))
        })
        .collect();
    let budgets = calls
        .iter()
        .map(|call| (call.merchant, call.terms.penny_drops_per_day));
    lock(connection, &wanted, budgets)?;
    let merchants: HashSet<MerchantId> = calls.iter().map(|call| call.merchant).collect();
    let merchants: Vec<MerchantId> = merchants.into_iter().collect();
    let mut counts = Counts {
        recent: recent(connection, &wanted)?,
        begun: HashMap::new(),
        stored: HashSet::new(),
        drops: budget::used(connection, &merchants)?,
    };
    let mut place = 0;
    let mut judge = |call: &&CreateAccounts| {
        customer_of(call)?;
        let accounts = &wanted[place..][..call.accounts.len()];
        let first = place;
        place += accounts.len();
        counts.admit(call, first, accounts).err()
    };
    let limited = calls.iter().map(&mut judge).collect();
    let recent = counts.recent.iter();
    let existing = recent
        .filter(|(_, recent)| recent.is_own)
        .filter_map(|(place, _)| wanted.get(*place).copied());
    Ok(Checked {
        limited,
        existing: existing.collect(),
    })
}

/// The counts for the limits of a batch: of stored rows, and of the admitted calls of the batch itself.
struct Counts<'a> {
    /// By the place of the account in the batch.
    recent: HashMap<usize, RecentValidations>,
    /// Number of validations that the batch begins, by the account's identity for limits.
    begun: HashMap<(MerchantId, &'a [u8]), usize>,
    /// Accounts that the batch stores.
    stored: HashSet<Wanted<'a>>,
    /// Penny drops of this day.
    drops: HashMap<MerchantId, i32>,
}

impl<'a> Counts<'a> {
    /// Counts the validations of a call, whose accounts have the places from `first` on, or none of them if one exceeds a limit.
    fn admit(
        &mut self,
        call: &CreateAccounts,
        first: usize,
        accounts: &[Wanted<'a>],
    ) -> Result<(), Limited> {
        let (merchant, terms) = (call.merchant, &call.terms);
        let mut new: HashSet<Wanted<'a>> = HashSet::new();
        let mut begun: HashMap<&'a [u8], usize> = HashMap::new();
        let mut drops: i32 = 0;
        for (index, wanted) in accounts.iter().enumerate() {
            let recent = self.recent.get(&(first + index));
            let is_stored =
                self.stored.contains(wanted) || recent.is_some_and(|recent| recent.is_own);
            if is_stored || !new.insert(*wanted) {
                continue;
            }
            let identity = identity(wanted.2);
            let in_call = begun.entry(identity).or_default();
            let in_batch = self.begun.get(&(merchant, identity)).copied();
            let more = *in_call + in_batch.unwrap_or_default();
            let none = RecentValidations::default();
            let recent = recent.unwrap_or(&none);
            if let Some(until) = recent.until_with(terms.validations_per_day, more, terms.now) {
                return Err(Limited::Validations {
                    account: index,
                    until,
                });
            }
            *in_call += 1;
            drops += i32::from(call.may_pay(&call.accounts[index]));
        }
        let used = self.drops.entry(merchant).or_default();
        if drops > 0 && used.saturating_add(drops) > terms.penny_drops_per_day {
            let until = budget::next_day(terms.now);
            return Err(Limited::PennyDrops { until });
        }
        *used = used.saturating_add(drops);
        for (identity, validations) in begun {
            *self.begun.entry((merchant, identity)).or_default() += validations;
        }
        self.stored.extend(new);
        Ok(())
    }
}
