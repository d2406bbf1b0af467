//! The attempts of deliveries: claimed and settled by the worker that owns the endpoint, in batches.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::column::row;
use crate::statement::{milliseconds, rows, statement};
use khata_domain::MerchantId;
use khata_domain::events::{DeliveryState, EndpointId, EndpointKey, EventId};
use khata_domain::mutants::{self, Mutant};

/// Time after which an attempt without a result counts as lost: its worker was stopped or lost its connection. Longer than a call
/// with its settlement takes.
pub const LOST_AFTER: Duration = Duration::from_secs(45);

/// `state = 'OPEN'` where Postgres should find a delivery by its key: with the literal, a plan made while few are open would walk the
/// index of open ones.
pub(super) const IS_OPEN: &str = "state not in ('DELIVERED', 'GIVEN_UP')";
/// `failure` of an attempt without a call, because Khata could not make the body.
pub const NO_BODY: &str = "no_body";

row! {
    /// The delivery of an event to an endpoint.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct DeliveryKey {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        #[diesel(column_name = endpoint_id)]
        pub endpoint: EndpointId,
        /// The account or endpoint that the event is about.
        #[diesel(column_name = subject_id)]
        pub subject: Uuid,
        /// The version of the subject that the event reports.
        pub version: i32,
    }

    /// A delivery whose next attempt begins.
    #[derive(Clone, Debug)]
    pub struct StartedDelivery {
        #[diesel(embed)]
        pub key: DeliveryKey,
        #[diesel(column_name = event_id)]
        pub event: EventId,
        /// Number of the attempt, from 1.
        #[diesel(column_name = attempts)]
        pub number: i16,
        /// Failed attempts since the first one, or since the replay.
        pub failures: i16,
        /// When the first of them began.
        pub failing_since: Option<DateTime<Utc>>,
        /// The body of the attempts before, encrypted for the event.
        pub sealed_body: Option<Vec<u8>>,
        /// An attempt before has no result: the endpoint may have got it.
        pub is_repeated: bool,
        /// Time of the claim.
        pub started_at: DateTime<Utc>,
        /// No delivery of the endpoint waits that was due before, so that the next claim may look from here; `None`: unknown.
        pub due_from: Option<DateTime<Utc>>,
    }
}

impl DeliveryKey {
    pub fn endpoint(&self) -> EndpointKey {
        EndpointKey {
            merchant: self.merchant,
            id: self.endpoint,
        }
    }
}

/// The calls that an endpoint can take now.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub endpoint: EndpointKey,
    pub calls: i64,
    /// Leave out deliveries that were due before. The index keeps the entries of delivered ones until Postgres has vacuumed it, and a
    /// claim from its beginning would read all that an outage left.
    pub due_from: Option<DateTime<Utc>>,
}

/// A delivery is due from the beginning of its transaction on, and visible after the end. Few transactions take longer than this.
const LATE_COMMIT: Duration = Duration::from_secs(5);

/// Begins the attempts of due deliveries of endpoints that the worker owns: the earliest due first, and of an ordered endpoint only the
/// first open one of each subject. Those behind one that waits for its next attempt wait as long.
pub fn claim(
    connection: &mut PgConnection,
    worker: Uuid,
    wanted: &[Wanted],
) -> QueryResult<Vec<StartedDelivery>> {
    let is_ordered = if mutants::is_on(Mutant::UnorderedDeliveries) {
        "false"
    } else {
        "e.is_ordered"
    };
    // Each due delivery that is read leads to the first open one of its subject, which may be due or not, or be in progress.
    statement(format!(
        "with found as materialized (
            select d.merchant_id, d.endpoint_id, d.subject_id, d.version, d.due_at as own_due_at, h.version as head, h.due_at,
                h.started_at, w.calls
            from $1 as w
            join webhook_endpoints e on e.merchant_id = w.merchant_id and e.id = w.endpoint_id
              and e.owner_id = $2 and e.owned_until > now() and e.disabled_at is null
            cross join lateral (
                select d.merchant_id, d.endpoint_id, d.subject_id, d.version, d.due_at from webhook_deliveries d
                where d.merchant_id = w.merchant_id and d.endpoint_id = w.endpoint_id and d.state = 'OPEN' and d.due_at <= now()
                  and d.due_at >= coalesce(w.due_from, '-infinity')
                order by d.due_at limit 2 * e.concurrency + 2 * w.calls
            ) d
            cross join lateral (
                select h.version, h.due_at, h.started_at from webhook_deliveries h
                where h.merchant_id = d.merchant_id and h.endpoint_id = d.endpoint_id and h.subject_id = d.subject_id
                  and h.version <= d.version and ({is_ordered} or h.version = d.version) and h.{IS_OPEN}
                order by h.version limit 1
            ) h
         ), due as materialized (
            select merchant_id, endpoint_id, subject_id, head as version, started_at, calls,
                row_number() over (partition by merchant_id, endpoint_id order by due_at) as place
            from found
            where due_at <= now() and (started_at is null or started_at < now() - $3 * interval '1 ms')
            group by merchant_id, endpoint_id, subject_id, head, due_at, started_at, calls
         ), first as materialized (
            -- Without those in progress: a lost one is found by a claim from the beginning.
            select merchant_id, endpoint_id, least(min(own_due_at), now() - $4 * interval '1 ms') as due_from
            from found where started_at is null or head < version group by merchant_id, endpoint_id
         ), later as (
            update webhook_deliveries d set due_at = f.due_at from found f
            where f.due_at > now() and f.head < f.version and d.merchant_id = f.merchant_id and d.endpoint_id = f.endpoint_id
              and d.subject_id = f.subject_id and d.version = f.version and d.{IS_OPEN}
         )
         update webhook_deliveries d set started_at = now(), attempts = least(d.attempts, 32766) + 1
         from due left join first on first.merchant_id = due.merchant_id and first.endpoint_id = due.endpoint_id
         where due.place <= due.calls and d.merchant_id = due.merchant_id and d.endpoint_id = due.endpoint_id
           and d.subject_id = due.subject_id and d.version = due.version and d.{IS_OPEN}
           -- Another owner may have begun the attempt meanwhile.
           and d.started_at is not distinct from due.started_at
         returning d.merchant_id, d.endpoint_id, d.subject_id, d.version, d.event_id, d.attempts, d.failures, d.failing_since,
            d.sealed_body, due.started_at is not null as is_repeated, d.started_at,
            first.due_from",
    ))
    .rows(rows!(wanted, wanted => {
        merchant_id = wanted.endpoint.merchant,
        endpoint_id = wanted.endpoint.id,
        calls = wanted.calls,
        due_from = wanted.due_from,
    }))
    .bind(worker)
    .bind(milliseconds(LOST_AFTER))
    .bind(milliseconds(LATE_COMMIT))
    .load(connection)
}

/// The result of an attempt.
#[derive(Clone, Debug)]
pub struct Attempted {
    pub key: DeliveryKey,
    pub event: EventId,
    /// Number of the attempt.
    pub number: i16,
    pub state: DeliveryState,
    /// Time to the next attempt, if the delivery stays open.
    pub delay: Duration,
    /// Why the attempt failed, one word; `None` if it delivered.
    pub failure: Option<&'static str>,
    /// The reply's status.
    pub status: Option<i16>,
    pub latency_ms: i32,
    /// The start of the reply, encrypted for the event.
    pub sealed_reply: Option<Vec<u8>>,
    /// The body, encrypted for the event, if the attempt failed.
    pub sealed_body: Option<Vec<u8>>,
    /// Whether the call went to the account's own URL; `None`: there was no call.
    pub to_account_url: Option<bool>,
    /// The result is about the endpoint, and not about one URL of its host or about Khata.
    pub concerns_endpoint: bool,
}

row! {
    /// A delivery whose result was stored.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SettledDelivery {
        #[diesel(embed)]
        pub key: DeliveryKey,
        /// An event of the same subject waits behind it: a later claim may find it.
        pub has_successor: bool,
    }
}

/// Stores results: states, failed attempts, and how the endpoints are. A result counts once; one that comes after another attempt
/// began counts only if it delivered. Returns the deliveries whose results were stored.
pub fn settle(
    connection: &mut PgConnection,
    results: &[Attempted],
) -> QueryResult<Vec<SettledDelivery>> {
    statement(format!(
        "with input as (
            select * from $1 as input
         ), settled as (
            update webhook_deliveries d
            set state = i.state, started_at = null,
                due_at = case when i.state = 'OPEN' then now() + i.delay_ms * interval '1 ms' else d.due_at end,
                failures = case when i.failure is null then d.failures else d.failures + 1 end,
                failing_since = case when i.failure is null then d.failing_since else coalesce(d.failing_since, d.started_at) end,
                sealed_body = coalesce(d.sealed_body, i.sealed_body),
                status = case when i.failure is null then i.status end,
                latency_ms = case when i.failure is null then i.latency_ms end,
                sealed_reply = case when i.failure is null then i.sealed_reply end,
                to_account_url = coalesce(i.to_account_url, d.to_account_url),
                delivered_at = case when i.state = 'DELIVERED' then now() end
            from input i
            where d.merchant_id = i.merchant_id and d.endpoint_id = i.endpoint_id and d.subject_id = i.subject_id
              and d.version = i.version and d.{IS_OPEN}
              -- A worker whose COMMIT had no response sends the result again; meanwhile a replay may wait for its first attempt.
              and (d.attempts = i.number and d.started_at is not null
                or i.state = 'DELIVERED' and (d.started_at is not null or d.failures > 0))
            returning d.merchant_id, d.endpoint_id, d.subject_id, d.version, exists (
                select from webhook_deliveries n
                where n.merchant_id = d.merchant_id and n.endpoint_id = d.endpoint_id and n.subject_id = d.subject_id
                  and n.version > d.version and n.{IS_OPEN}) as has_successor
         ), attempt as (
            insert into webhook_attempts (merchant_id, endpoint_id, subject_id, version, number, event_id, started_at, status,
                failure, latency_ms, sealed_reply, to_account_url)
            select merchant_id, endpoint_id, subject_id, version, number, event_id, now() - latency_ms * interval '1 ms', status, failure,
                latency_ms, sealed_reply, to_account_url
            from input i
            where failure is not null and exists (
                select from webhook_deliveries d
                where d.merchant_id = i.merchant_id and d.endpoint_id = i.endpoint_id and d.subject_id = i.subject_id
                  and d.version = i.version)
            on conflict do nothing
         ), result as materialized (
            select merchant_id, endpoint_id, bool_or(failure is null) as has_success from input
            where concerns_endpoint group by 1, 2 order by 1, 2
         ), endpoint as (
            update webhook_endpoints w
            set last_success_at = case when r.has_success then now() else w.last_success_at end,
                failing_since = case when r.has_success then null else now() end
            from result r
            where w.merchant_id = r.merchant_id and w.id = r.endpoint_id
              and case when r.has_success
                then w.failing_since is not null or coalesce(w.last_success_at < now() - interval '10 s', true)
                else w.failing_since is null end
         )
         select * from settled",
    ))
    .rows(rows!(results, result => {
        merchant_id = result.key.merchant,
        endpoint_id = result.key.endpoint,
        subject_id = result.key.subject,
        version = result.key.version,
        number = result.number,
        event_id = result.event,
        state = result.state,
        delay_ms = milliseconds(result.delay),
        failure = result.failure,
        status = result.status,
        latency_ms = result.latency_ms,
        sealed_reply = result.sealed_reply.as_deref(),
        sealed_body = result.sealed_body.as_deref(),
        to_account_url = result.to_account_url,
        concerns_endpoint = result.concerns_endpoint,
    }))
    .load(connection)
}

row! {
    struct NextDue {
        #[diesel(embed)]
        endpoint: EndpointKey,
        next_ms: i64,
    }
}

/// Returns the time to the next due delivery of each of these endpoints that has an open one; it may be in the past, or one in
/// progress.
pub fn next_due(
    connection: &mut PgConnection,
    endpoints: &[EndpointKey],
) -> QueryResult<Vec<(EndpointKey, Duration)>> {
    let rows: Vec<NextDue> = statement(
        "select mine.merchant_id, mine.id as endpoint_id,
            greatest(extract(epoch from d.due_at - now()) * 1000, 0)::bigint as next_ms
         from $1 as mine
         cross join lateral (
            select d.due_at from webhook_deliveries d
            where d.merchant_id = mine.merchant_id and d.endpoint_id = mine.id and d.state = 'OPEN' and d.started_at is null
            order by d.due_at limit 1
         ) d",
    )
    .rows(super::owners::endpoint_keys(endpoints))
    .load(connection)?;
    let next = |row: NextDue| {
        let next = Duration::from_millis(row.next_ms.unsigned_abs());
        (row.endpoint, next)
    };
    Ok(rows.into_iter().map(next).collect())
}
