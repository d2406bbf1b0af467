//! Merchants and their API keys.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Double, Nullable};

use super::keys::KeyScope;
use super::schema::{api_keys, merchants};
use khata_crypto::ApiKeyHash;
use khata_domain::{KeyId, MerchantId};

/// A merchant and its settings.
#[derive(Clone, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = merchants, check_for_backend(diesel::pg::Pg))]
pub struct Merchant {
    pub id: MerchantId,
    /// Unique: lower-case letters, digits, `_` and `-`.
    pub name: String,
    /// Whether *create accounts* registers an unknown customer reference.
    pub implicit_customers: bool,
    /// Time after which an unfinished validation fails as `VALIDATION_UNAVAILABLE`, in seconds: 60 to 2,592,000.
    pub validation_deadline_seconds: i32,
    /// Maximum requests per second of one key, in each process: 1 to 1,000,000.
    pub requests_per_second: i32,
    /// Maximum validations of the same details in 24 hours: 1 to 32,767.
    pub validations_per_account_per_day: i16,
    /// Maximum age of a result that is reused for the same details, in seconds: 0 (never) to 31,536,000.
    pub reuse_results_seconds: i32,
    /// Time for which a lost response is looked up before another gateway account may move a second rupee, in seconds: 0 to
    /// 172,800.
    pub recovery_patience_seconds: i32,
    /// Maximum attempts of one validation that may have moved a rupee: 1 to 100.
    pub paid_attempts_per_validation: i16,
    /// Penny drops that calls of one day may start: 0 to 1,000,000,000.
    pub penny_drops_per_day: i32,
    /// Score of the name match, 0 to 100, below which an account fails; 0: none does.
    pub fail_names_below: i16,
    /// Score of the name match, 0 to 100, below which a person decides; 0: no account waits for one.
    pub review_names_below: i16,
    /// Days for which events and their deliveries are kept: 4 to 365.
    pub event_days: i16,
    pub created_at: DateTime<Utc>,
}

impl Merchant {
    pub fn validation_deadline(&self) -> TimeDelta {
        TimeDelta::seconds(self.validation_deadline_seconds.into())
    }
}

/// Lists every merchant by name.
pub fn all(connection: &mut PgConnection) -> QueryResult<Vec<Merchant>> {
    merchants::table
        .order(merchants::name)
        .select(Merchant::as_select())
        .load(connection)
}

/// Finds the merchant with this name or id. The id may be the UUID that SQL shows; a name may look like either.
pub fn find(connection: &mut PgConnection, name_or_id: &str) -> QueryResult<Option<Merchant>> {
    let query = merchants::table.select(Merchant::as_select());
    if let Some(id) = MerchantId::parse_or_uuid(name_or_id) {
        let found = query.find(id).first(connection).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    query
        .filter(merchants::name.eq(name_or_id))
        .first(connection)
        .optional()
}

/// Reads the merchant with this id.
pub fn of_id(connection: &mut PgConnection, merchant: MerchantId) -> QueryResult<Merchant> {
    let query = merchants::table.find(merchant);
    query.select(Merchant::as_select()).first(connection)
}

/// Inserts a merchant with the default settings; `None` if the name is taken.
pub fn insert(connection: &mut PgConnection, name: &str) -> QueryResult<Option<Merchant>> {
    diesel::insert_into(merchants::table)
        .values((
            merchants::id.eq(MerchantId::new()),
            merchants::name.eq(name),
        ))
        .on_conflict(merchants::name)
        .do_nothing()
        .returning(Merchant::as_returning())
        .get_result(connection)
        .optional()
}

/// Stores a key's hash and returns the key's id.
pub fn insert_key(
    connection: &mut PgConnection,
    merchant: MerchantId,
    hash: &ApiKeyHash,
    prefix: &str,
    expires_at: Option<DateTime<Utc>>,
    scope: KeyScope,
) -> QueryResult<KeyId> {
    let id = KeyId::new();
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::merchant_id.eq(merchant),
            api_keys::id.eq(id),
            api_keys::key_hash.eq(hash.0.as_slice()),
            api_keys::prefix.eq(prefix),
            api_keys::expires_at.eq(expires_at),
            api_keys::scope.eq(scope.as_str()),
        ))
        .execute(connection)
        .map(|_| id)
}

/// A key that is neither revoked nor expired.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidKey {
    pub id: KeyId,
    pub merchant: Merchant,
    pub scope: KeyScope,
    /// Seconds until the key expires, by the database's clock; `None` if it never does.
    pub expires_in: Option<f64>,
}

/// Finds the key with this hash if it is neither revoked nor expired.
pub fn authenticate(
    connection: &mut PgConnection,
    hash: &ApiKeyHash,
) -> QueryResult<Option<ValidKey>> {
    let rest = sql::<Nullable<Double>>(
        "extract(epoch from api_keys.expires_at - statement_timestamp())::float8",
    );
    let found: Option<(KeyId, Merchant, KeyScope, Option<f64>)> = api_keys::table
        .inner_join(merchants::table)
        .filter(api_keys::key_hash.eq(hash.0.as_slice()))
        .filter(api_keys::revoked_at.is_null())
        .filter(
            api_keys::expires_at
                .is_null()
                .or(api_keys::expires_at.gt(diesel::dsl::now)),
        )
        .select((api_keys::id, Merchant::as_select(), api_keys::scope, rest))
        .first(connection)
        .optional()?;
    Ok(found.map(|(id, merchant, scope, expires_in)| ValidKey {
        id,
        merchant,
        scope,
        expires_in,
    }))
}
