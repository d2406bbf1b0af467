//! API keys as operators manage them: list, revoke, expire, and what each may do. Authentication is in `merchants`.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text, Timestamptz};

use super::column::{Column, row};
use super::schema::api_keys;
use super::statement::statement;
use khata_domain::words;
use khata_domain::{KeyId, MerchantId};

words! {
    /// Whether a key authenticates.
    KeyState {
        Active = "ACTIVE",
        Expired = "EXPIRED",
        Revoked = "REVOKED",
    }
}

impl Column for KeyState {
    type Sql = Text;
}

words! {
    /// The calls that a key permits, from the fewest to all.
    KeyScope {
        /// Read: GET.
        Read = "READ",
        /// Also create, change and validate.
        Create = "CREATE",
        /// Also delete.
        Admin = "ADMIN",
    }
}

impl Column for KeyScope {
    type Sql = Text;
}

impl KeyScope {
    /// Whether a key with this scope may do what needs the other.
    pub fn includes(self, needed: Self) -> bool {
        self as u8 >= needed as u8
    }
}

row! {
    /// An API key, without its hash.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Key {
        pub id: KeyId,
        /// First characters of the key.
        pub prefix: String,
        pub created_at: DateTime<Utc>,
        pub expires_at: Option<DateTime<Utc>>,
        pub revoked_at: Option<DateTime<Utc>>,
        pub scope: KeyScope,
        /// By the database's clock, as authentication.
        pub state: KeyState,
    }
}

const SELECT: &str = "select id, prefix, created_at, expires_at, revoked_at, scope,
    case when revoked_at is not null then 'REVOKED' when expires_at <= now() then 'EXPIRED' else 'ACTIVE' end as state
    from api_keys";

/// Lists the merchant's keys, the oldest first.
pub fn of_merchant(connection: &mut PgConnection, merchant: MerchantId) -> QueryResult<Vec<Key>> {
    statement(format!("{SELECT} where merchant_id = $1 order by id"))
        .bind(merchant)
        .load(connection)
}

/// Finds the merchant's keys with this prefix, the oldest first, and locks them until the transaction ends.
pub fn starting_with(
    connection: &mut PgConnection,
    merchant: MerchantId,
    beginning: &str,
) -> QueryResult<Vec<Key>> {
    statement(format!(
        "{SELECT} where merchant_id = $1 and starts_with(prefix, $2) order by id for update"
    ))
    .bind(merchant)
    .bind(beginning)
    .load(connection)
}

/// Finds the merchant's key with this id and locks it until the transaction ends.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    key: KeyId,
) -> QueryResult<Option<Key>> {
    statement(format!(
        "{SELECT} where merchant_id = $1 and id = $2 for update"
    ))
    .key(merchant, key)
    .get_result(connection)
    .optional()
}

/// Revokes a key now. A key that was revoked before keeps its time.
pub fn revoke(
    connection: &mut PgConnection,
    merchant: MerchantId,
    key: KeyId,
) -> QueryResult<DateTime<Utc>> {
    diesel::update(api_keys::table)
        .filter(api_keys::merchant_id.eq(merchant))
        .filter(api_keys::id.eq(key))
        .set(
            api_keys::revoked_at.eq(diesel::dsl::sql::<Nullable<Timestamptz>>(
                "coalesce(revoked_at, now())",
            )),
        )
        .returning(api_keys::revoked_at.assume_not_null())
        .get_result(connection)
}

/// Lets a key expire after `rest` by the database's clock, or earlier if it does so already. Returns the time.
pub fn expire_within(
    connection: &mut PgConnection,
    merchant: MerchantId,
    key: KeyId,
    rest: TimeDelta,
) -> QueryResult<DateTime<Utc>> {
    // `least` ignores nulls.
    statement(
        "update api_keys set expires_at = least(expires_at, now() + $1 * interval '1 s')
         where merchant_id = $2 and id = $3 returning expires_at",
    )
    .bind(rest.num_seconds())
    .key(merchant, key)
    .tuple(connection)
}
