//! The endpoints of merchants.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::settings::EndpointSettings;
use crate::column::row;
use crate::events;
use crate::locks::Lock;
use crate::statement::statement;
use khata_crypto::{DecryptError, Keyring};
use khata_domain::MerchantId;
use khata_domain::events::{DisabledBy, EndpointId, EndpointKey, EventId, EventName, Payload};

/// Endpoints that a merchant may have.
pub const MAX_ENDPOINTS: i64 = 20;
/// Calls at once of an endpoint that sets no limit of its own.
pub const DEFAULT_CONCURRENCY: i16 = 32;

row! {
    /// An endpoint.
    #[derive(Clone, Debug)]
    pub struct Endpoint {
        #[diesel(column_name = merchant_id)]
        pub merchant: MerchantId,
        pub id: EndpointId,
        /// As merchants and operators see it; calls go to the one in the sealed settings.
        pub url: String,
        /// URL, secrets and credentials, encrypted for the endpoint's id.
        pub sealed_settings: Vec<u8>,
        /// Names of the events that it gets; empty: all. A release may know more names than this one.
        pub event_names: Vec<String>,
        pub payload: Payload,
        /// Whether the events of an account are delivered in the order of their versions.
        pub is_ordered: bool,
        /// Calls at once, 1 to 256.
        pub concurrency: i16,
        /// 1 to 10,000; `None`: no limit.
        pub calls_per_second: Option<i32>,
        /// Whether calls that create accounts may name another URL of its host for the events of the account.
        pub allows_url_per_account: bool,
        /// Grows by one with each change of the settings.
        pub version: i32,
        pub created_at: DateTime<Utc>,
        pub updated_at: DateTime<Utc>,
        pub disabled_at: Option<DateTime<Utc>>,
        pub disabled_by: Option<DisabledBy>,
        /// The first failed call since the last success.
        pub failing_since: Option<DateTime<Utc>>,
        /// To about ten seconds.
        pub last_success_at: Option<DateTime<Utc>>,
    }
}

impl Endpoint {
    /// Decrypts the settings.
    pub fn settings(&self, keyring: &Keyring) -> Result<EndpointSettings, DecryptError> {
        EndpointSettings::open(keyring, self.key(), &self.sealed_settings)
    }

    pub fn key(&self) -> EndpointKey {
        EndpointKey {
            merchant: self.merchant,
            id: self.id,
        }
    }
}

/// Columns of [`Endpoint`], of `webhook_endpoints w`.
pub(super) const COLUMNS: &str = "w.merchant_id, w.id, w.url, w.sealed_settings, w.event_names, w.payload, w.is_ordered,
    w.concurrency, w.calls_per_second, w.allows_url_per_account, w.version, w.created_at, w.updated_at, w.disabled_at, w.disabled_by,
    w.failing_since, w.last_success_at";

/// Returns the URL of an endpoint for lists and the audit log: without its query, which may hold a token.
pub fn shown_url(url: &str) -> String {
    match url.split_once('?') {
        None => url.to_owned(),
        Some((before, _)) => format!("{before}?***"),
    }
}

/// An endpoint to insert.
#[derive(Clone, Debug)]
pub struct NewEndpoint<'a> {
    pub id: EndpointId,
    pub url: &'a str,
    /// Encrypted for the id.
    pub sealed_settings: &'a [u8],
    /// Empty: all.
    pub event_names: &'a [EventName],
    pub payload: Payload,
    pub is_ordered: bool,
    pub concurrency: i16,
    pub calls_per_second: Option<i32>,
    pub allows_url_per_account: bool,
}

/// Inserts an endpoint, unless the merchant has `limit` of them: then `None`.
pub fn insert(
    connection: &mut PgConnection,
    merchant: MerchantId,
    new: &NewEndpoint<'_>,
    limit: i64,
) -> QueryResult<Option<Endpoint>> {
    connection.transaction(|connection| {
        // One at a time, so that the count holds.
        statement("select pg_advisory_xact_lock($1)")
            .bind(Lock::Endpoints.of_merchant(merchant))
            .run(connection)?;
        statement(format!(
            "insert into webhook_endpoints as w (merchant_id, id, url, sealed_settings, event_names, payload, is_ordered,
                concurrency, calls_per_second, allows_url_per_account)
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
             where (select count(*) from webhook_endpoints where merchant_id = $1 and deleted_at is null) < $11
             returning {COLUMNS}"
        ))
        .key(merchant, new.id)
        .bind(shown_url(new.url))
        .bind(new.sealed_settings)
        .bind(new.event_names.to_vec())
        .bind(new.payload)
        .bind(new.is_ordered)
        .bind(new.concurrency)
        .bind(new.calls_per_second)
        .bind(new.allows_url_per_account)
        .bind(limit)
        .get_result(connection)
        .optional()
    })
}

/// Finds an endpoint.
pub fn find(connection: &mut PgConnection, key: EndpointKey) -> QueryResult<Option<Endpoint>> {
    statement(format!(
        "select {COLUMNS} from webhook_endpoints w where w.merchant_id = $1 and w.id = $2 and w.deleted_at is null"
    ))
    .key(key.merchant, key.id)
    .get_result(connection)
    .optional()
}

/// Finds the endpoint with this id of any merchant: for receivers that read its public keys, who name no merchant.
pub fn find_by_id(
    connection: &mut PgConnection,
    endpoint: EndpointId,
) -> QueryResult<Option<Endpoint>> {
    statement(format!(
        "select {COLUMNS} from webhook_endpoints w where w.id = $1 and w.deleted_at is null"
    ))
    .bind(endpoint)
    .get_result(connection)
    .optional()
}

/// Lists the endpoints of a merchant, or of all, the oldest first.
pub fn all(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
) -> QueryResult<Vec<Endpoint>> {
    statement(format!(
        "select {COLUMNS} from webhook_endpoints w where w.deleted_at is null and ($1 is null or w.merchant_id = $1) order by w.merchant_id, w.id"
    ))
    .bind(merchant)
    .load(connection)
}

/// New settings of an endpoint; `None` keeps one.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    /// With the sealed settings that have the same URL.
    pub url: Option<&'a str>,
    pub sealed_settings: Option<&'a [u8]>,
    pub event_names: Option<&'a [EventName]>,
    pub payload: Option<Payload>,
    pub is_ordered: Option<bool>,
    pub concurrency: Option<i16>,
    /// `Some(None)`: no limit.
    pub calls_per_second: Option<Option<i32>>,
    pub allows_url_per_account: Option<bool>,
}

/// Changes an endpoint whose version is still `version`; `None` if it has another one now, or is deleted.
pub fn change(
    connection: &mut PgConnection,
    key: EndpointKey,
    version: i32,
    change: &Change<'_>,
) -> QueryResult<Option<Endpoint>> {
    statement(format!(
        "update webhook_endpoints w
         set url = coalesce($1, w.url), sealed_settings = coalesce($2, w.sealed_settings),
            event_names = coalesce($3, w.event_names), payload = coalesce($4, w.payload),
            is_ordered = coalesce($5, w.is_ordered), concurrency = coalesce($6, w.concurrency),
            calls_per_second = case when $7 then $8 else w.calls_per_second end,
            allows_url_per_account = coalesce($9, w.allows_url_per_account),
            version = w.version + 1, updated_at = now()
         where w.merchant_id = $10 and w.id = $11 and w.version = $12 and w.deleted_at is null
         returning {COLUMNS}"
    ))
    .bind(change.url.map(shown_url))
    .bind(change.sealed_settings)
    .bind(change.event_names.map(<[EventName]>::to_vec))
    .bind(change.payload)
    .bind(change.is_ordered)
    .bind(change.concurrency)
    .bind(change.calls_per_second.is_some())
    .bind(change.calls_per_second.flatten())
    .bind(change.allows_url_per_account)
    .key(key.merchant, key.id)
    .bind(version)
    .get_result(connection)
    .optional()
}

/// Lets calls begin again. The deliveries that were open when it was disabled continue; events since then have none, and can be
/// replayed. `None` if the endpoint is not disabled.
pub fn enable(connection: &mut PgConnection, key: EndpointKey) -> QueryResult<Option<Endpoint>> {
    statement(format!(
        "update webhook_endpoints w
         set disabled_at = null, disabled_by = null, failing_since = null, version = w.version + 1, updated_at = now()
         where w.merchant_id = $1 and w.id = $2 and w.disabled_at is not null and w.deleted_at is null
         returning {COLUMNS}"
    ))
    .key(key.merchant, key.id)
    .get_result(connection)
    .optional()
}

/// Disables an endpoint, and writes an event for the merchant's other endpoints. `None` if it is disabled already, or no longer fails.
pub fn disable(
    connection: &mut PgConnection,
    key: EndpointKey,
    by: DisabledBy,
) -> QueryResult<Option<Endpoint>> {
    let (position, name) = (events::POSITION, EventName::EndpointDisabled);
    let record = events::record(
        &[],
        &format!(
            "select w.merchant_id, $4, {position}, w.id, w.version, '{name}', now() from disabled w"
        ),
    );
    statement(format!(
        "with disabled as (
            update webhook_endpoints w
            set disabled_at = now(), disabled_by = $1, version = w.version + 1, updated_at = now()
            where w.merchant_id = $2 and w.id = $3 and w.disabled_at is null
              -- A call may have succeeded since it was found to fail.
              and ($1 <> 'FAILING' or w.failing_since < now() - interval '5 days')
            returning w.*
         ), {record}
         select {COLUMNS} from disabled w"
    ))
    .bind(by)
    .key(key.merchant, key.id)
    .bind(EventId::new())
    .get_result(connection)
    .optional()
}

/// Finds at most `limit` enabled endpoints that have failed for five days without a success.
pub fn failing(connection: &mut PgConnection, limit: i64) -> QueryResult<Vec<EndpointKey>> {
    statement(
        "select merchant_id, id as endpoint_id from webhook_endpoints
         where disabled_at is null and failing_since < now() - interval '5 days' order by failing_since limit $1",
    )
    .bind(limit)
    .load(connection)
}

/// Disables an endpoint for good. Its deliveries are deleted later ([`delete_expired`]). Returns whether there was one.
pub fn delete(connection: &mut PgConnection, key: EndpointKey) -> QueryResult<bool> {
    let deleted = statement(
        "update webhook_endpoints
         set deleted_at = now(), disabled_at = coalesce(disabled_at, now()), disabled_by = coalesce(disabled_by, 'MERCHANT'),
            version = version + 1
         where merchant_id = $1 and id = $2 and deleted_at is null",
    )
    .key(key.merchant, key.id)
    .execute(connection)?;
    Ok(deleted > 0)
}

/// Deletes at most `limit` deliveries of deleted endpoints, and the endpoints that have none left. Returns the number of rows.
pub fn delete_expired(connection: &mut PgConnection, limit: i64) -> QueryResult<usize> {
    let attempts = statement(
        "delete from webhook_attempts t using (
            select a.merchant_id, a.endpoint_id, a.subject_id, a.version, a.number from webhook_endpoints w
            join webhook_attempts a on a.merchant_id = w.merchant_id and a.endpoint_id = w.id
            where w.deleted_at is not null limit $1
         ) old
         where t.merchant_id = old.merchant_id and t.endpoint_id = old.endpoint_id and t.subject_id = old.subject_id
           and t.version = old.version and t.number = old.number",
    )
    .bind(limit)
    .execute(connection)?;
    let deliveries = statement(
        "delete from webhook_deliveries d using (
            select a.merchant_id, a.endpoint_id, a.subject_id, a.version from webhook_endpoints w
            join webhook_deliveries a on a.merchant_id = w.merchant_id and a.endpoint_id = w.id
            where w.deleted_at is not null limit $1
         ) old
         where d.merchant_id = old.merchant_id and d.endpoint_id = old.endpoint_id and d.subject_id = old.subject_id
           and d.version = old.version",
    )
    .bind(limit)
    .execute(connection)?;
    let endpoints = statement(
        "delete from webhook_endpoints w
         where w.deleted_at < now() - interval '1 hour' and not exists (
            select from webhook_deliveries d where d.merchant_id = w.merchant_id and d.endpoint_id = w.id) and not exists (
            select from webhook_attempts t where t.merchant_id = w.merchant_id and t.endpoint_id = w.id)",
    )
    .execute(connection)?;
    Ok(attempts + deliveries + endpoints)
}
