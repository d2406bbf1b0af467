//! Whether each version of an account has its event. No index leads from an account to its events: the events of a range of accounts are
//! read in the order of time, and counted.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use khata_domain::ids::first_at;
use khata_domain::{AccountId, MerchantId};
use uuid::Uuid;

use super::finding::{Found, Rule};
use super::walk::Page;
use crate::column::row;
use crate::events::{HORIZON, is_of_this_cluster};
use crate::statement::statement;

/// Events that one statement reads.
const EVENTS: i64 = 10_000;
/// By which the time in an id may differ from Postgres's, and housekeeping may be late or early.
const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::hours(1);

row! {
    struct Account {
        id: Uuid,
        /// Number of the last change.
        version: i32,
        created_at: DateTime<Utc>,
        updated_at: DateTime<Utc>,
    }

    struct EventOfSubject {
        id: Uuid,
        subject_id: Uuid,
        version: i32,
    }
}

/// The events of an account that were read. There are many of them in memory.
struct Counted {
    /// Number of the account's last change.
    version: i32,
    events: i32,
    first: i32,
    last: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Accounts of a merchant whose events are counted together.
pub struct EventCount {
    merchant: MerchantId,
    /// The events below this position are complete, and stay as they are.
    horizon: i64,
    accounts: HashMap<Uuid, Counted>,
}

/// Whether the positions of events count the transactions of another cluster: later events could then come before earlier ones.
pub fn clock_is_of_another_cluster(connection: &mut PgConnection) -> QueryResult<bool> {
    Ok(!is_of_this_cluster(connection)?)
}

/// Returns the time since when the merchant's events are kept: housekeeping has deleted none that is younger. While `event_days` was
/// smaller, it deleted events that it would keep now, all of them older than the oldest one that exists.
fn kept_since(connection: &mut PgConnection, merchant: MerchantId) -> QueryResult<DateTime<Utc>> {
    // `event_days` is never below the four days: younger events are not deleted, and the oldest one may itself be missing.
    statement(
        "select greatest(
            now() - m.event_days * interval '1 day',
            least(now() - interval '4 days', (select e.created_at from events e where e.merchant_id = m.id order by e.id limit 1))
         )
         from merchants m where m.id = $1",
    )
    .bind(merchant)
    .tuple(connection)
}

impl EventCount {
    /// Begins a count. Accounts that change from now on are left out.
    pub fn begin(connection: &mut PgConnection, merchant: MerchantId) -> QueryResult<Self> {
        Ok(Self {
            merchant,
            horizon: statement(format!("select {HORIZON}")).tuple(connection)?,
            accounts: HashMap::new(),
        })
    }

    /// Returns the number of accounts that are counted together.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Adds the accounts of a page.
    pub fn add(&mut self, connection: &mut PgConnection, page: Page) -> QueryResult<()> {
        let accounts: Vec<Account> = statement(
            "select id, version, created_at, updated_at from customer_accounts
             where merchant_id = $1 and id >= $2 and id < $3 and event_position > 0 and event_position < $4",
        )
        .key(self.merchant, page.from)
        .bind(page.before)
        .bind(self.horizon)
        .load(connection)?;
        let counted = accounts.into_iter().map(|account| {
            let counted = Counted {
                version: account.version,
                events: 0,
                first: i32::MAX,
                last: 0,
                created_at: account.created_at,
                updated_at: account.updated_at,
            };
            (account.id, counted)
        });
        self.accounts.extend(counted);
        Ok(())
    }

    /// Reads the events that are younger than the accounts, page by page. Finds the accounts whose versions have no events, except events
    /// that are old enough to be deleted.
    pub fn missing(mut self, connection: &mut PgConnection) -> QueryResult<Vec<Found>> {
        let oldest = self.accounts.values().map(|account| account.created_at);
        let Some(oldest) = oldest.min() else {
            return Ok(Vec::new());
        };
        let mut after = first_at(oldest - CLOCK_DIFFERENCE);
        loop {
            let events: Vec<EventOfSubject> = statement(
                "select id, subject_id, version from events
                 where merchant_id = $1 and id > $2 and position < $3 order by id limit $4",
            )
            .key(self.merchant, after)
            .bind(self.horizon)
            .bind(EVENTS)
            .load(connection)?;
            let Some(last) = events.last() else { break };
            after = last.id;
            for event in &events {
                if let Some(counted) = self.accounts.get_mut(&event.subject_id) {
                    counted.events += 1;
                    counted.first = counted.first.min(event.version);
                    counted.last = counted.last.max(event.version);
                }
            }
        }
        // Housekeeping may have deleted events meanwhile.
        let kept_since = kept_since(connection, self.merchant)? + CLOCK_DIFFERENCE;
        let found = self.accounts.iter();
        let found = found.filter_map(|(id, counted)| {
            Some(Found {
                account: Some(AccountId(*id)),
                since: Some(counted.updated_at),
                ..Found::new(Rule::EventMissing, counted.missing(kept_since)?)
            })
        });
        let mut found: Vec<Found> = found.collect();
        found.sort_by_key(|found| found.account);
        Ok(found)
    }
}

impl Counted {
    /// Returns which versions have no event, although each event that is younger than this is kept.
    fn missing(&self, kept_since: DateTime<Utc>) -> Option<String> {
        let Self {
            version,
            events,
            first,
            last,
            ..
        } = *self;
        let missing = if events == 0 && self.updated_at > kept_since {
            "no version has an event".to_owned()
        } else if events == 0 {
            return None;
        } else if last != version {
            format!("the newest event has version {last}")
        } else if events != last - first + 1 {
            format!("versions {first} to {last} have {events} events")
        } else if first > 1 && self.created_at > kept_since {
            format!("the oldest event has version {first}")
        } else {
            return None;
        };
        Some(format!("the account has version {version}: {missing}"))
    }
}
