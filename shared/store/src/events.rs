//! Events: the changes of accounts that Khata reports to merchants. The transaction that makes a change writes its event, and a delivery for
//! each webhook endpoint of the merchant that wants it, so that neither exists without the other.
//!
//! A reader pages through the events of a merchant by their positions. It sees an event only when no transaction runs any more that
//! could write one before it, so that a page never skips an event, however long a transaction takes to commit.

use std::ops::Range;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use super::accounts::{AccountRow, row_columns};
use super::column::row;
use super::statement::{rows, statement};
use khata_domain::events::{EventId, EventName};
use khata_domain::mutants::{self, Mutant};
use khata_domain::validation::FailureCode;
use khata_domain::{AccountStatus, MerchantId, Method, PendingReason, ValidationId};

/// The position of an event that the transaction writes, unless the account's event before has a greater one.
pub(super) const POSITION: &str =
    "((select base from event_clock where is_only) + pg_current_xact_id()::text::bigint)";

/// The position from which on readers see no event: a transaction that may still write there runs.
pub(super) const HORIZON: &str = "((select base from event_clock where is_only) + pg_snapshot_xmin(pg_current_snapshot())::text::bigint)";

/// The columns of an event that keep what later changes overwrite, and their values, of an account `a` and its validation `v`.
pub(super) const SNAPSHOT_COLUMNS: &str =
    "status, last_validated_at, pinned_gateway_id, pinned_gateway_reference_id, validation_id, attempts, gateway_id,
     gateway_reference_id, method, failure_code, pending_reason, due_at, completed_at";
pub(super) const SNAPSHOT: &str =
    "a.status, a.last_validated_at, a.pinned_gateway_id, a.pinned_gateway_reference_id, v.id, v.attempts, v.gateway_id,
     v.gateway_reference_id, v.method, v.failure_code, v.pending_reason,
     case when v.queued_gateway_account_id is null then v.due_at end, v.completed_at";

/// Columns of an event.
const EVENT_COLUMNS: &str = "e.id as event_id, e.position, e.subject_id, e.version as event_version, e.name as event_name,
    e.created_at as event_created_at, e.trace_parent, e.status as event_status,
    e.last_validated_at as event_last_validated_at, e.pinned_gateway_id as event_pinned_gateway_id,
    e.pinned_gateway_reference_id as event_pinned_gateway_reference_id, e.validation_id as event_validation_id,
    e.attempts as event_attempts, e.gateway_id as event_gateway_id, e.gateway_reference_id as event_gateway_reference_id,
    e.method as event_method, e.failure_code as event_failure_code, e.pending_reason as event_pending_reason,
    e.due_at as event_due_at, e.completed_at as event_completed_at";

/// Returns the CTEs `event` and `delivery`: they write the events that `changes` selects, with these columns after the first seven, and
/// the deliveries to the merchants' endpoints.
pub(super) fn record(columns: &[&str], changes: &str) -> String {
    let columns: String = columns.iter().flat_map(|column| [", ", *column]).collect();
    format!(
        "event as (
            insert into events (merchant_id, id, position, subject_id, version, name, created_at{columns})
            {changes}
            returning merchant_id, id, subject_id, version, name
         ), delivery as (
            insert into webhook_deliveries (merchant_id, endpoint_id, subject_id, version, event_id, state, due_at, created_at)
            select e.merchant_id, w.id, e.subject_id, e.version, e.id, 'OPEN', now(), now()
            from event e join webhook_endpoints w on w.merchant_id = e.merchant_id
            where w.disabled_at is null and (w.event_names = '{{}}' or e.name = any (w.event_names)) and w.id <> e.subject_id
            returning merchant_id
         )"
    )
}

row! {
    /// An event. The columns after `trace_parent` are those of the account and of its newest validation, as the event left them; all
    /// are `None` if the event is about an endpoint.
    #[derive(Clone, Debug)]
    pub struct Event {
        #[diesel(column_name = event_id)]
        pub id: EventId,
        pub position: i64,
        /// The account or the endpoint.
        pub subject_id: Uuid,
        /// Number of the change of the subject, from 1.
        #[diesel(column_name = event_version)]
        pub version: i32,
        #[diesel(column_name = event_name)]
        pub name: EventName,
        #[diesel(column_name = event_created_at)]
        pub created_at: DateTime<Utc>,
        /// W3C trace context of the account's trace.
        pub trace_parent: Option<String>,
        #[diesel(column_name = event_status)]
        pub status: Option<AccountStatus>,
        #[diesel(column_name = event_last_validated_at)]
        pub last_validated_at: Option<DateTime<Utc>>,
        #[diesel(column_name = event_pinned_gateway_id)]
        pub pinned_gateway_id: Option<i16>,
        #[diesel(column_name = event_pinned_gateway_reference_id)]
        pub pinned_gateway_reference_id: Option<String>,
        /// `None`: the account had no validation to show.
        #[diesel(column_name = event_validation_id)]
        pub validation: Option<ValidationId>,
        #[diesel(column_name = event_attempts)]
        pub attempts: Option<i16>,
        #[diesel(column_name = event_gateway_id)]
        pub gateway_id: Option<i16>,
        #[diesel(column_name = event_gateway_reference_id)]
        pub gateway_reference_id: Option<String>,
        #[diesel(column_name = event_method)]
        pub method: Option<Method>,
        #[diesel(column_name = event_failure_code)]
        pub failure_code: Option<FailureCode>,
        #[diesel(column_name = event_pending_reason)]
        pub pending_reason: Option<PendingReason>,
        #[diesel(column_name = event_due_at)]
        pub due_at: Option<DateTime<Utc>>,
        #[diesel(column_name = event_completed_at)]
        pub completed_at: Option<DateTime<Utc>>,
    }
}

/// A page of a merchant's events.
#[derive(Clone, Debug, Default)]
pub struct EventPage {
    /// In order; of an account, in the order of its versions.
    pub events: Vec<Event>,
    /// Whether more events may be visible now.
    pub has_more: bool,
    /// The last event that was read, also one with another name: the next page begins after it.
    pub last: Option<EventId>,
}

/// Events that one page reads at most to find those with other names.
const READ: i64 = 10_000;

/// Lists at most `limit` events with one of these names, or with any, after the event `after` or from the oldest one that is kept.
/// `None` if there is no such event `after`, or it is not kept any more.
pub fn list(
    connection: &mut PgConnection,
    merchant: MerchantId,
    after: Option<EventId>,
    names: &[EventName],
    limit: i64,
) -> QueryResult<Option<EventPage>> {
    let begin: Option<(i64, i32, Uuid)> = match after {
        None => Some((-1, 0, Uuid::nil())),
        Some(after) => {
            statement("select position, version, id from events where merchant_id = $1 and id = $2")
                .key(merchant, after)
                .tuple(connection)
                .optional()?
        }
    };
    let Some((position, version, id)) = begin else {
        return Ok(None);
    };
    let read = if names.is_empty() {
        limit.saturating_add(1)
    } else {
        READ
    };
    let horizon = if mutants::is_on(Mutant::EagerCursor) {
        "9223372036854775807"
    } else {
        HORIZON
    };
    // Postgres reads the snapshot of the statement: an event below is committed or was never written.
    let mut events: Vec<Event> = statement(format!(
        "with e as materialized (
            select * from events
            where merchant_id = $1 and position >= $2 and (position, version, id) > ($2, $3, $4)
              and position < {horizon}
            order by position, version, id limit $5
         ), wanted as (
            select * from e where $6 or name = any ($7) order by position, version, id limit $8
         ), last as (
            select * from e order by position desc, version desc, id desc limit 1
         )
         select {EVENT_COLUMNS} from (select * from wanted union select * from last) e
         order by e.position, e.version, e.id",
    ))
    .bind(merchant)
    .bind(position)
    .bind(version)
    .bind(id)
    .bind(read)
    .bind(names.is_empty())
    .bind(names.to_vec())
    .bind(limit.saturating_add(1))
    .load(connection)?;
    let Some(end) = events.last().cloned() else {
        return Ok(Some(EventPage::default()));
    };
    // The last event that was read is only the end of the page, unless its name is wanted.
    events.retain(|event| names.is_empty() || names.contains(&event.name));
    let limit = usize::try_from(limit).unwrap_or(0);
    let is_full = events.len() > limit;
    events.truncate(limit);
    let last = if is_full {
        events.last().map(|event| event.id)
    } else {
        Some(end.id)
    };
    let has_more = is_full || !names.is_empty() && has_after(connection, merchant, &end)?;
    Ok(Some(EventPage {
        events,
        has_more,
        last,
    }))
}

/// Finds the newest event that readers see now: a page after it begins with the first event that they do not see yet. `None` if they
/// see none.
pub fn latest(connection: &mut PgConnection, merchant: MerchantId) -> QueryResult<Option<EventId>> {
    statement(format!(
        "select id from events
         where merchant_id = $1 and position < {HORIZON}
         order by position desc, version desc, id desc limit 1",
    ))
    .bind(merchant)
    .tuple(connection)
    .optional()
}

/// Whether an event after this one is visible now.
fn has_after(
    connection: &mut PgConnection,
    merchant: MerchantId,
    event: &Event,
) -> QueryResult<bool> {
    let more: Option<EventId> = statement(format!(
        "select id from events
         where merchant_id = $1 and position >= $2 and (position, version, id) > ($2, $3, $4) and position < {HORIZON}
         order by position, version, id limit 1",
    ))
    .bind(merchant)
    .bind(event.position)
    .bind(event.version)
    .bind(event.id)
    .tuple(connection)
    .optional()?;
    Ok(more.is_some())
}

/// Lists at most `limit` events with one of these names, or with any, whose ids are in the range, the newest first; also those that
/// readers do not see yet. For operators: ids follow the time, and events of one moment may have another order in [`list`].
pub fn newest(
    connection: &mut PgConnection,
    merchant: MerchantId,
    ids: Range<EventId>,
    names: &[EventName],
    limit: i64,
) -> QueryResult<Vec<Event>> {
    statement(format!(
        "select {EVENT_COLUMNS} from events e
         where e.merchant_id = $1 and e.id >= $2 and e.id < $3 and ($4 or e.name = any ($5))
         order by e.id desc limit $6"
    ))
    .key(merchant, ids.start)
    .bind(ids.end)
    .bind(names.is_empty())
    .bind(names.to_vec())
    .bind(limit)
    .load(connection)
}

/// Finds the merchant of an event.
pub fn owner(connection: &mut PgConnection, event: EventId) -> QueryResult<Option<MerchantId>> {
    // `limit` keeps the lookup inside the loop over the merchants, so that the planner cannot scan the events.
    statement(
        "select m.id from merchants m
         cross join lateral (select from events where merchant_id = m.id and id = $1 limit 1) e",
    )
    .bind(event)
    .tuple(connection)
    .optional()
}

/// Finds an event of the merchant, also one that readers do not see yet.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    event: EventId,
) -> QueryResult<Option<Event>> {
    statement(format!(
        "select {EVENT_COLUMNS} from events e where e.merchant_id = $1 and e.id = $2"
    ))
    .key(merchant, event)
    .get_result(connection)
    .optional()
}

row! {
    /// An event with its account. The account's columns are those of now; its validation is that of the event.
    #[derive(Clone, Debug)]
    pub struct AccountEvent {
        #[diesel(embed)]
        pub event: Event,
        #[diesel(embed)]
        pub account: AccountRow,
        /// The URL that gets the account's events, if it has its own: an encrypted [`crate::webhooks::AccountUrl`].
        pub sealed_webhook_url: Option<Vec<u8>>,
    }
}

/// Reads events of accounts with their accounts; the order is any.
pub fn with_accounts(
    connection: &mut PgConnection,
    events: &[(MerchantId, EventId)],
) -> QueryResult<Vec<AccountEvent>> {
    let account = row_columns("a.metadata");
    // Each row by its whole key: joined without statistics, Postgres may compare all accounts of a merchant with all of its events.
    statement(format!(
        "select {EVENT_COLUMNS}, {account}, a.sealed_webhook_url
         from $1 as wanted
         cross join lateral (select * from events where merchant_id = wanted.merchant_id and id = wanted.id limit 1) e
         cross join lateral (
            select * from customer_accounts where merchant_id = e.merchant_id and id = e.subject_id limit 1
         ) a
         cross join lateral (
            select object_reference_id from customers where merchant_id = a.merchant_id and id = a.customer_id limit 1
         ) c
         left join lateral (
            select * from validations where merchant_id = e.merchant_id and id = e.validation_id limit 1
         ) v on true"
    ))
    .rows(rows!(events, (merchant, event) => { merchant_id = *merchant, id = *event }))
    .load(connection)
}

/// Deletes at most `limit` events, with their deliveries and attempts, that are older than their merchant keeps them. Returns the
/// number of events.
pub fn delete_expired(connection: &mut PgConnection, limit: i64) -> QueryResult<usize> {
    statement(
        "with old as (
            select o.merchant_id, o.id from merchants m
            cross join lateral (
                select e.merchant_id, e.id from events e
                where e.merchant_id = m.id and e.id < (lpad(to_hex(
                    (extract(epoch from now() - m.event_days * interval '1 day') * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
                order by e.id limit $1
            ) o limit $1
         ), event as (
            delete from events e using old o where e.merchant_id = o.merchant_id and e.id = o.id
            returning e.merchant_id, e.subject_id, e.version
         ), key as materialized (
            -- The whole keys: by a part of them, Postgres may read all deliveries of the merchant for each.
            select e.merchant_id, w.id as endpoint_id, e.subject_id, e.version
            from event e join webhook_endpoints w on w.merchant_id = e.merchant_id
         ), delivery as (
            delete from webhook_deliveries d using key k
            where d.merchant_id = k.merchant_id and d.endpoint_id = k.endpoint_id and d.subject_id = k.subject_id
              and d.version = k.version
         ), attempt as (
            delete from webhook_attempts t using key k
            where t.merchant_id = k.merchant_id and t.endpoint_id = k.endpoint_id and t.subject_id = k.subject_id
              and t.version = k.version
         )
         select count(*) from event",
    )
    .bind(limit)
    .tuple::<i64>(connection)
    .map(|deleted| usize::try_from(deleted).unwrap_or(0))
}

/// Raises the base of positions above all events, if Postgres numbers transactions from the beginning, as a cluster does into which a dump
/// was restored. Returns whether it did.
pub(super) fn repair_clock(connection: &mut PgConnection) -> QueryResult<bool> {
    if is_of_this_cluster(connection)? {
        return Ok(false);
    }
    // Accounts keep the positions of events that are deleted.
    statement(
        "with last as (
            select greatest(
                (select max(e.position) from merchants m cross join lateral (
                    select position from events where merchant_id = m.id order by position desc limit 1) e),
                (select max(event_position) from customer_accounts)) as position
         )
         update event_clock
         set cluster_id = (select system_identifier from pg_control_system()),
            base = greatest(base, coalesce(last.position + 1 - pg_current_xact_id()::text::bigint, 0))
         from last",
    )
    .execute(connection)?;
    Ok(true)
}

/// Whether the clock counts the transactions of this cluster. In another one, positions could be smaller than those of events before.
pub(super) fn is_of_this_cluster(connection: &mut PgConnection) -> QueryResult<bool> {
    statement(
        "select cluster_id = (select system_identifier from pg_control_system()) from event_clock",
    )
    .tuple(connection)
}
