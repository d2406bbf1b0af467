//! A merchant's API keys as ops people handle them: listed, revoked, made to end. How a key names its merchant is in
//! `merchants`.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::schema::api_keys;
use super::statement::statement;
use khata_domain::words;
use khata_domain::{KeyId, MerchantId};

words! {
    /// Whether a key opens anything.
    KeyState {
        /// It does.
        Active = "ACTIVE",
        /// Its time is over.
        Expired = "EXPIRED",
        /// Somebody ended it.
        Revoked = "REVOKED",
    }
}

/// A key, without what would let anybody use it.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct Key {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    /// Its first characters.
    #[diesel(sql_type = Text)]
    pub prefix: String,
    /// When it was issued.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// From when on it is refused.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub revoked_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Text)]
    state: String,
}

impl Key {
    /// Its id.
    pub fn id(&self) -> KeyId {
        KeyId(self.id)
    }

    /// Whether it opened anything when it was read, by the database's clock, as that of *authenticate*.
    pub fn state(&self) -> KeyState {
        KeyState::parse(&self.state).unwrap_or(KeyState::Revoked)
    }
}

macro_rules! select_key {
    () => {
        "select id, prefix, created_at, expires_at, revoked_at,
            case when revoked_at is not null then 'REVOKED' when expires_at <= now() then 'EXPIRED'
                 else 'ACTIVE' end as state
         from api_keys "
    };
}

/// The merchant's keys, the oldest first.
pub fn of_merchant(connection: &mut PgConnection, merchant: MerchantId) -> QueryResult<Vec<Key>> {
    statement(concat!(select_key!(), "where merchant_id = $1 order by id"))
        .bind::<SqlUuid, _>(merchant.0)
        .load(connection)
}

/// The merchant's keys whose prefix begins so, the oldest first; locked until the transaction ends.
pub fn starting_with(
    connection: &mut PgConnection,
    merchant: MerchantId,
    beginning: &str,
) -> QueryResult<Vec<Key>> {
    statement(concat!(
        select_key!(),
        "where merchant_id = $1 and starts_with(prefix, $2) order by id for update"
    ))
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<Text, _>(beginning)
    .load(connection)
}

/// The merchant's key with this id; locked until the transaction ends.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    key: KeyId,
) -> QueryResult<Option<Key>> {
    statement(concat!(
        select_key!(),
        "where merchant_id = $1 and id = $2 for update"
    ))
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<SqlUuid, _>(key.0)
    .get_result(connection)
    .optional()
}

/// Ends a key now. A key that was revoked before keeps the time of that.
pub fn revoke(
    connection: &mut PgConnection,
    merchant: MerchantId,
    key: KeyId,
) -> QueryResult<DateTime<Utc>> {
    diesel::update(api_keys::table)
        .filter(api_keys::merchant_id.eq(merchant.0))
        .filter(api_keys::id.eq(key.0))
        .set(
            api_keys::revoked_at.eq(diesel::dsl::sql::<Nullable<Timestamptz>>(
                "coalesce(revoked_at, now())",
            )),
        )
        .returning(api_keys::revoked_at.assume_not_null())
        .get_result(connection)
}

/// Has a key expire so long from now, by the database's clock, or earlier if it does so already. Answers when.
pub fn expire_within(
    connection: &mut PgConnection,
    merchant: MerchantId,
    key: KeyId,
    rest: TimeDelta,
) -> QueryResult<DateTime<Utc>> {
    #[derive(QueryableByName)]
    struct Expiry {
        #[diesel(sql_type = Timestamptz)]
        expires_at: DateTime<Utc>,
    }
    // `least` passes over nulls.
    let row: Expiry = statement(
        "update api_keys set expires_at = least(expires_at, now() + $1 * interval '1 s')
         where merchant_id = $2 and id = $3 returning expires_at",
    )
    .bind::<BigInt, _>(rest.num_seconds())
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<SqlUuid, _>(key.0)
    .get_result(connection)?;
    Ok(row.expires_at)
}
