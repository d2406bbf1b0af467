//! The limits of what a merchant's calls may spend: validations of the same account in 24 hours, and penny drops in a day. A
//! penny drop costs a rupee, so storing, deleting and validating an account again and again, or in many spellings, must not
//! collect rupees.
//!
//! A transaction that begins validations locks their accounts and the merchant's budget before it counts, so that the limits are
//! exact over all connections and processes. It never waits for a lock: what is locked by another transaction is busy, and its
//! caller tries again.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::new::CreateAccounts;
use crate::budget::{self, Hold, Used};
use crate::customers::Customers;
use crate::locks::{Lock, in_order};
use crate::statement::{rows, statement};
use khata_crypto::LIMIT_LENGTH;
use khata_domain::{AccountId, CustomerId, MerchantId};

/// How long a validation counts.
const WINDOW: TimeDelta = TimeDelta::hours(24);

/// Why a call may begin no validation now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limited {
    /// The merchant has validated this account too often.
    Validations {
        /// Index of the account in the call.
        account: usize,
        /// Time until the merchant may validate the account again.
        wait: TimeDelta,
    },
    /// The call would exceed the merchant's budget of penny drops.
    PennyDrops {
        /// Time until the budget of the next day begins.
        wait: TimeDelta,
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
        let index = usize::from(limit.unsigned_abs()).saturating_sub(1);
        self.times.get(index).map(|oldest| *oldest + WINDOW)
    }

    /// Returns how long this limit permits no other validation, if `more` of them begin at `now`; `None` if it permits one now.
    pub(super) fn wait(&self, limit: i16, more: usize, now: DateTime<Utc>) -> Option<TimeDelta> {
        let limit = usize::from(limit.unsigned_abs());
        match limit.checked_sub(more + 1) {
            // Validations that begin now are enough to reach the limit.
            None => Some(WINDOW),
            Some(index) => self.times.get(index).map(|oldest| *oldest + WINDOW - now),
        }
    }
}

/// The accounts, in all spellings, and the budgets that a transaction holds until it ends.
pub(super) struct Locks {
    accounts: HashSet<i64>,
    budgets: HashMap<MerchantId, Hold>,
}

/// The key of an account that was locked, or a merchant with the hold of its budget: its slot and whether it is alone.
type LockRow = (Option<i64>, Option<MerchantId>, Option<i32>, bool);

impl Locks {
    /// Takes what no other transaction holds. Call it before counting: a statement sees what was committed before it began.
    pub(super) fn take(
        connection: &mut PgConnection,
        accounts: &[Wanted<'_>],
        budgets: &[budget::Wanted],
    ) -> QueryResult<Self> {
        let keys = accounts
            .iter()
            .map(|(merchant, _, fingerprint)| lock_of(*merchant, fingerprint));
        let rows: Vec<LockRow> = statement(format!(
            "with wanted as (
                select * from $1 as wanted
             )
             select account.key, null::uuid as merchant_id, null::integer as slot, false as is_alone
             from $2 as account
             where pg_try_advisory_xact_lock(account.key)
             union all
             select null, budget.* from ({}) as budget
             where budget.slot is not null",
            budget::hold(),
        ))
        .rows_beside(budget::wanted(budgets))
        .rows(rows!(in_order(keys.collect()), key => { key = *key }))
        .tuples(connection)?;
        let mut locks = Self {
            accounts: HashSet::with_capacity(rows.len()),
            budgets: HashMap::with_capacity(budgets.len()),
        };
        for (key, merchant, slot, is_alone) in rows {
            locks.accounts.extend(key);
            let hold = merchant.zip(slot);
            let hold = hold.map(|(merchant, slot)| (merchant, Hold { slot, is_alone }));
            locks.budgets.extend(hold);
        }
        Ok(locks)
    }

    pub(super) fn has_account(&self, merchant: MerchantId, fingerprint: &[u8]) -> bool {
        self.accounts.contains(&lock_of(merchant, fingerprint))
    }

    pub(super) fn budget(&self, merchant: MerchantId) -> Option<&Hold> {
        self.budgets.get(&merchant)
    }
}

/// Returns the lock of an account, in all its spellings.
fn lock_of(merchant: MerchantId, fingerprint: &[u8]) -> i64 {
    // A fingerprint has 32 bytes.
    let fingerprint = fingerprint.first_chunk().unwrap_or(&[0; 8]);
    Lock::Account.of(merchant, *fingerprint)
}

/// The counts that decide whether validations may begin.
pub(super) struct Counted {
    /// By the place of the account; accounts without any are left out.
    pub(super) recent: HashMap<usize, RecentValidations>,
    pub(super) used: Used,
}

/// Reads the recent validations of these accounts, and the penny drops of these merchants.
pub(super) fn count(
    connection: &mut PgConnection,
    wanted: &[Wanted<'_>],
    merchants: &[MerchantId],
) -> QueryResult<Counted> {
    // For new accounts, the common case, this reads one entry of each of two indexes. `order by` and `offset 0` keep it so: a
    // plan made while the table was empty would otherwise read all accounts of the merchant, or a whole index once a batch.
    let rows: Vec<(i64, Option<DateTime<Utc>>, bool, i64)> = statement(format!(
        r"with wanted as (
            select * from $1 as wanted
         )
         select w.place, began.at, a.customer_id = w.customer_id and a.fingerprint = w.fingerprint, 0::bigint
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
         select w.place, began.at, false, 0
         from wanted w
         cross join lateral (
            select * from customer_accounts a
            where a.merchant_id = w.merchant_id and a.deleted_at is not null
              and a.fingerprint between w.identity and w.identity || '\xffffffffffffffffffffffffffffffff'::bytea
            order by a.merchant_id, a.fingerprint offset 0
         ) a
         cross join lateral unnest(array_append(a.revalidated_at, a.created_at)) as began (at)
         where began.at > now() - interval '24 hours'
         union all
         select -m.place, now(), false, {} from $2 as m",
        budget::drops_of("m.merchant_id"),
    ))
    .rows(
        rows!(wanted, (merchant, customer, fingerprint) => {
            merchant_id = *merchant,
            customer_id = *customer,
            fingerprint = *fingerprint,
            identity = identity(fingerprint),
        })
        .numbered(),
    )
    .rows_beside(rows!(merchants, merchant => { merchant_id = *merchant }).numbered())
    .tuples(connection)?;
    let mut recent: HashMap<usize, RecentValidations> = HashMap::new();
    let (mut now, mut drops) = (None, HashMap::with_capacity(merchants.len()));
    for (place, at, is_own, of_merchant) in rows {
        let index = usize::try_from(place.unsigned_abs() - 1).unwrap_or(usize::MAX);
        if place < 0 {
            now = at;
            drops.extend(
                merchants
                    .get(index)
                    .map(|merchant| (*merchant, of_merchant)),
            );
        } else {
            let recent = recent.entry(index).or_default();
            recent.is_own |= is_own;
            recent.times.extend(at);
        }
    }
    for recent in recent.values_mut() {
        recent.times.sort_unstable_by(|one, other| other.cmp(one));
    }
    let used = Used::new(now.unwrap_or_else(Utc::now), drops);
    Ok(Counted { recent, used })
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
    let mut counts = count(connection, &[(merchant, customer, &fingerprint)], &[])?;
    Ok(counts.recent.remove(&0).unwrap_or_default())
}

/// Why a call begins nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Limited(Limited),
    /// Another transaction holds an account of the call, or the merchant's budget.
    Busy,
}

/// The calls of a batch that begin nothing, and the accounts that exist.
pub(super) struct Checked<'a> {
    pub(super) refused: Vec<Option<Refused>>,
    /// Accounts that their customers have already.
    pub(super) existing: HashSet<Wanted<'a>>,
    pub(super) locks: Locks,
    /// Time of the transaction.
    pub(super) now: DateTime<Utc>,
}

/// Finds the calls that exceed a limit or are busy; calls of one batch count for each other.
pub(super) fn check<'a>(
    connection: &mut PgConnection,
    calls: &[&'a CreateAccounts],
    customers: &Customers<'_>,
) -> QueryResult<Checked<'a>> {
    let customer_of = |call: &CreateAccounts| {
        let found = customers.get(call.merchant, &call.customer);
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
    let mut budgets: HashMap<MerchantId, budget::Wanted> = HashMap::new();
    for call in calls {
        let none = budget::Wanted {
            merchant: call.merchant,
            budget: call.terms.penny_drops_per_day,
            drops: 0,
        };
        let wanted = budgets.entry(call.merchant).or_insert(none);
        wanted.drops += i64::try_from(call.accounts.len()).unwrap_or(i64::MAX);
    }
    let budgets: Vec<budget::Wanted> = budgets.into_values().collect();
    let locks = Locks::take(connection, &wanted, &budgets)?;
    let merchants: Vec<MerchantId> = budgets.iter().map(|wanted| wanted.merchant).collect();
    let counted = count(connection, &wanted, &merchants)?;
    let mut counts = Counts {
        recent: counted.recent,
        begun: HashMap::new(),
        stored: HashSet::new(),
        used: counted.used,
        locks: &locks,
    };
    let mut place = 0;
    let mut judge = |call: &&CreateAccounts| {
        customer_of(call)?;
        let accounts = &wanted[place..][..call.accounts.len()];
        let first = place;
        place += accounts.len();
        counts.admit(call, first, accounts).err()
    };
    let refused = calls.iter().map(&mut judge).collect();
    let recent = counts.recent.iter();
    let existing = recent
        .filter(|(_, recent)| recent.is_own)
        .filter_map(|(place, _)| wanted.get(*place).copied())
        .collect();
    let now = counts.used.now;
    Ok(Checked {
        refused,
        existing,
        locks,
        now,
    })
}

/// The counts for the limits of a batch: of stored rows, and of the admitted calls of the batch itself.
struct Counts<'a, 'l> {
    /// By the place of the account in the batch.
    recent: HashMap<usize, RecentValidations>,
    /// Number of validations that the batch begins, by the account's identity for limits.
    begun: HashMap<(MerchantId, &'a [u8]), usize>,
    /// Accounts that the batch stores.
    stored: HashSet<Wanted<'a>>,
    used: Used,
    locks: &'l Locks,
}

impl<'a> Counts<'a, '_> {
    /// Counts the validations of a call, whose accounts have the places from `first` on, or none of them if the call is refused.
    fn admit(
        &mut self,
        call: &CreateAccounts,
        first: usize,
        accounts: &[Wanted<'a>],
    ) -> Result<(), Refused> {
        let (merchant, terms, now) = (call.merchant, &call.terms, self.used.now);
        let mut new: HashSet<Wanted<'a>> = HashSet::new();
        let mut begun: HashMap<&'a [u8], usize> = HashMap::new();
        let mut drops: i64 = 0;
        let mut is_busy = false;
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
            if let Some(wait) = recent.wait(terms.validations_per_day, more, now) {
                let account = index;
                return Err(Refused::Limited(Limited::Validations { account, wait }));
            }
            is_busy |= !self.locks.has_account(merchant, wanted.2);
            *in_call += 1;
            drops += i64::from(call.may_pay(&call.accounts[index]));
        }
        // Without a lock, a count may be too low, and never too high.
        let budget = terms.penny_drops_per_day;
        if drops > 0 && self.used.by(merchant) + drops > budget.into() {
            let wait = self.used.until_next_day();
            return Err(Refused::Limited(Limited::PennyDrops { wait }));
        }
        let hold = self.locks.budget(merchant);
        if is_busy || drops > 0 && !self.used.permits(hold, merchant, drops, budget) {
            return Err(Refused::Busy);
        }
        self.used.begin(merchant, drops);
        for (identity, validations) in begun {
            *self.begun.entry((merchant, identity)).or_default() += validations;
        }
        self.stored.extend(new);
        Ok(())
    }
}
