//! Lists of deliveries, and replays of events.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;

use super::deliveries::DeliveryKey;
use super::endpoints::shown_url;
use super::settings::AccountUrl;
use crate::column::row;
use crate::events::{self, Event};
use crate::statement::statement;
use khata_crypto::{DecryptError, Keyring};
use khata_domain::events::{DeliveryState, EndpointId, EndpointKey, EventId, EventName};
use khata_domain::ids::first_at;
use khata_domain::{AccountId, MerchantId};
use uuid::Uuid;

row! {
    /// A delivery, for merchants and operators.
    #[derive(Clone, Debug)]
    pub struct DeliveryRow {
        #[diesel(embed)]
        pub key: DeliveryKey,
        pub event_id: EventId,
        pub event_name: EventName,
        pub state: DeliveryState,
        pub attempts: i16,
        pub created_at: DateTime<Utc>,
        /// When the next attempt begins, if the delivery is open.
        pub due_at: DateTime<Utc>,
        /// When the attempt in progress began.
        pub started_at: Option<DateTime<Utc>>,
        pub delivered_at: Option<DateTime<Utc>>,
        /// HTTP status of the attempt that delivered it.
        pub status: Option<i16>,
        pub latency_ms: Option<i32>,
        /// Encrypted for the event.
        pub sealed_reply: Option<Vec<u8>>,
        /// The endpoint's URL, as merchants and operators see it.
        pub endpoint_url: String,
        /// Whether the newest call that ended went to the account's own URL; `None`: none has ended.
        pub to_account_url: Option<bool>,
        /// The account's own URL, if it has one: an encrypted [`AccountUrl`].
        pub sealed_webhook_url: Option<Vec<u8>>,
    }

    /// A failed attempt.
    #[derive(Clone, Debug)]
    pub struct AttemptRow {
        #[diesel(embed)]
        pub key: DeliveryKey,
        pub number: i16,
        pub started_at: DateTime<Utc>,
        pub status: Option<i16>,
        pub failure: String,
        pub latency_ms: Option<i32>,
        /// Encrypted for the event.
        pub sealed_reply: Option<Vec<u8>>,
        /// Whether the call went to the account's own URL; `None`: there was no call.
        pub to_account_url: Option<bool>,
    }
}

impl DeliveryRow {
    /// Returns the URL of a call as merchants and operators see it, without its query: the account's own, or the endpoint's as it is
    /// now. `None` if there was no call.
    pub fn url_of(
        &self,
        to_account_url: Option<bool>,
        keyring: &Keyring,
    ) -> Result<Option<String>, DecryptError> {
        match (to_account_url, &self.sealed_webhook_url) {
            (None, _) => Ok(None),
            (Some(true), Some(sealed)) => {
                let account = AccountId(self.key.subject);
                let own = AccountUrl::open(keyring, self.key.merchant, account, sealed)?;
                Ok(Some(shown_url(&own.url)))
            }
            (Some(_), _) => Ok(Some(self.endpoint_url.clone())),
        }
    }
}

/// By which the time in the id of an event may differ from Postgres's.
const CLOCK_DIFFERENCE: TimeDelta = TimeDelta::minutes(1);
/// Events that one call reads at most to find deliveries.
const READ: i64 = 10_000;

/// Filter of a list of deliveries.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeliveryFilter {
    pub event: Option<EventId>,
    pub endpoint: Option<EndpointId>,
    pub state: Option<DeliveryState>,
}

/// Lists at most `limit` deliveries of the merchant's 10,000 newest events before `before`, the newest event first.
pub fn deliveries(
    connection: &mut PgConnection,
    merchant: MerchantId,
    filter: DeliveryFilter,
    before: Option<EventId>,
    limit: i64,
) -> QueryResult<Vec<DeliveryRow>> {
    // Event by event, the newest first, and each delivery by its whole key: joined without statistics, Postgres may read all deliveries
    // of the merchant, and it must not read those of older events than the page shows.
    statement(
        "with endpoint as materialized (
            select id, url from webhook_endpoints where merchant_id = $1 and ($2 is null or id = $2)
         )
         select d.*, a.sealed_webhook_url
         from (
            select d.merchant_id, d.endpoint_id, d.subject_id, d.version, d.event_id, e.name as event_name, d.state, d.attempts,
                d.created_at, d.due_at, d.started_at, d.delivered_at, d.status, d.latency_ms, d.sealed_reply, d.to_account_url,
                d.url as endpoint_url
            from (
                select merchant_id, id, subject_id, version, name from events
                where merchant_id = $1 and id >= $3 and id <= $4 and id < $5 order by id desc limit $6
            ) e
            cross join lateral (
                select found.*, w.url from endpoint w
                cross join lateral (
                    select * from webhook_deliveries
                    where merchant_id = e.merchant_id and endpoint_id = w.id and subject_id = e.subject_id and version = e.version
                      and ($7 is null or state = $7) limit 1
                ) found
                order by w.id
            ) d
            -- The order in which the events are read: no sort, for which all of them would be read.
            order by e.id desc limit $8
         ) d
         left join lateral (
            select sealed_webhook_url from customer_accounts
            where merchant_id = d.merchant_id and id = d.subject_id limit 1
         ) a on true
         order by d.event_id desc, d.endpoint_id",
    )
    .bind(merchant)
    .bind(filter.endpoint)
    .bind(filter.event.map_or(Uuid::nil(), |event| event.0))
    .bind(filter.event.map_or(Uuid::max(), |event| event.0))
    .bind(before.map_or(Uuid::max(), |before| before.0))
    .bind(READ)
    .bind(filter.state)
    .bind(limit)
    .load(connection)
}

/// Lists the failed attempts of a delivery, the first one first.
pub fn attempts(
    connection: &mut PgConnection,
    delivery: DeliveryKey,
) -> QueryResult<Vec<AttemptRow>> {
    statement(
        "select merchant_id, endpoint_id, subject_id, version, number, started_at, status, failure, latency_ms, sealed_reply,
            to_account_url
         from webhook_attempts
         where merchant_id = $1 and endpoint_id = $2 and subject_id = $3 and version = $4 order by number",
    )
    .bind(delivery.merchant)
    .bind(delivery.endpoint)
    .bind(delivery.subject)
    .bind(delivery.version)
    .load(connection)
}

/// Filter of the events of a replay.
#[derive(Clone, Debug, Default)]
pub struct ReplayFilter {
    /// One event; otherwise those of a time.
    pub event: Option<EventId>,
    pub since: Option<DateTime<Utc>>,
    pub until: Option<DateTime<Utc>>,
    /// Empty: all.
    pub names: Vec<EventName>,
    /// `None`: every enabled endpoint that gets the event.
    pub endpoint: Option<EndpointId>,
    /// Only what no attempt has delivered.
    pub undelivered_only: bool,
}

/// Result of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Deliveries that are open again, or exist now.
    pub deliveries: i64,
    /// The last event that was read; the next batch begins after it.
    pub last: Option<EventId>,
}

/// Opens again the deliveries of at most `limit` of the merchant's events after the event `after`, the oldest first, makes those that
/// do not exist, and makes those due that wait for their next attempt. The attempts keep their numbers, and the schedule begins again. With `dry_run` it only counts.
pub fn replay(
    connection: &mut PgConnection,
    merchant: MerchantId,
    filter: &ReplayFilter,
    after: Option<EventId>,
    limit: i64,
    dry_run: bool,
) -> QueryResult<Replayed> {
    let (first, last) = match filter.event {
        Some(event) => (event.0, event.0),
        None => (next_after(after, filter.since), Uuid::max()),
    };
    let (deliveries, last): (i64, Option<EventId>) = statement(
        "with event as materialized (
            select e.merchant_id, e.id, e.subject_id, e.version, e.name from events e
            where e.merchant_id = $1 and e.id >= $2 and e.id <= $3
              and ($4 is null or e.created_at >= $4) and ($5 is null or e.created_at < $5)
              and ($6 or e.name = any ($7))
            order by e.id limit $8
         ), wanted as materialized (
            select e.merchant_id, w.id as endpoint_id, e.subject_id, e.version, e.id as event_id
            from event e
            join webhook_endpoints w on w.merchant_id = e.merchant_id
            -- By the whole key: joined without statistics, Postgres may read all deliveries of the merchant.
            left join lateral (
                select event_id, state, started_at, due_at from webhook_deliveries
                where merchant_id = e.merchant_id and endpoint_id = w.id and subject_id = e.subject_id and version = e.version
                limit 1
            ) d on true
            where w.deleted_at is null and ($9 is null or w.id = $9) and ($9 is not null or w.disabled_at is null)
              and (d.event_id is not null or w.id <> e.subject_id and (w.event_names = '{}' or e.name = any (w.event_names)))
              and (d.state is distinct from 'OPEN' or d.started_at is null and d.due_at > now()) and not ($10 and coalesce(d.state = 'DELIVERED', false))
         ), opened as (
            insert into webhook_deliveries as d (merchant_id, endpoint_id, subject_id, version, event_id, state, due_at, created_at)
            select merchant_id, endpoint_id, subject_id, version, event_id, 'OPEN', now(), now() from wanted where not $11
            on conflict (merchant_id, endpoint_id, subject_id, version) do update
            set state = 'OPEN', due_at = now(), failures = 0, failing_since = null, started_at = null, delivered_at = null
            -- Another replay may have opened it, and its attempt begun.
            where d.state in ('DELIVERED', 'GIVEN_UP') or d.started_at is null
         )
         select (select count(*) from wanted), (select id from event order by id desc limit 1)",
    )
    .bind(merchant)
    .bind(first)
    .bind(last)
    .bind(filter.since)
    .bind(filter.until)
    .bind(filter.names.is_empty())
    .bind(filter.names.clone())
    .bind(limit)
    .bind(filter.endpoint)
    .bind(filter.undelivered_only)
    .bind(dry_run)
    .tuple(connection)?;
    Ok(Replayed { deliveries, last })
}

/// Returns the smallest id after this event and not before this time.
fn next_after(after: Option<EventId>, since: Option<DateTime<Utc>>) -> Uuid {
    let next = after.map_or(Uuid::nil(), |after| Uuid::from_u128(after.0.as_u128() + 1));
    // Ids have the clock of the process that made them.
    let since = since.map_or(Uuid::nil(), |since| first_at(since - CLOCK_DIFFERENCE));
    next.max(since)
}

/// Writes a test event for an endpoint, which alone gets it. Returns the event; `None` if there is no such endpoint, or it is disabled.
pub fn test(connection: &mut PgConnection, key: EndpointKey) -> QueryResult<Option<Event>> {
    let event = EventId::new();
    let name = EventName::EndpointTest;
    let written = statement(format!(
        "with endpoint as (
            update webhook_endpoints w set version = w.version + 1
            where w.merchant_id = $1 and w.id = $2 and w.disabled_at is null
            returning w.merchant_id, w.id, w.version
         ), event as (
            insert into events (merchant_id, id, position, subject_id, version, name, created_at)
            select merchant_id, $3, {}, id, version, '{name}', now() from endpoint
         )
         insert into webhook_deliveries (merchant_id, endpoint_id, subject_id, version, event_id, state, due_at, created_at)
         select merchant_id, id, id, version, $4, 'OPEN', now(), now() from endpoint",
        events::POSITION
    ))
    .key(key.merchant, key.id)
    .bind(event)
    .bind(event)
    .execute(connection)?;
    if written == 0 {
        return Ok(None);
    }
    events::find(connection, key.merchant, event)
}
