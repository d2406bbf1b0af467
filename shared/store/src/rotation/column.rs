//! The columns with encrypted values, and the statements that reach them.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{PgConnection, QueryResult};
use uuid::Uuid;

use crate::statement::statement;
use khata_crypto::{Keyring, Purpose, header, key_id};
use khata_domain::MerchantId;

/// A column with encrypted values. `Ord` is the order of a rotation: small columns that every request uses come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SealedColumn {
    /// `gateway_accounts.sealed_credentials`
    Credentials,
    /// `customers.sealed_contact`
    Contacts,
    /// `customer_accounts.sealed_details`
    Details,
    /// `validations.sealed_result`
    Results,
    /// `gateway_notices.sealed_answer`
    Webhooks,
    /// `idempotency_records.sealed_answer`
    Replies,
}

/// The id that a stored reply is encrypted for.
const REPLY_SUBJECT: &str = "encode(substring(key_hash from 1 for 16), 'hex')::uuid";

impl SealedColumn {
    /// Every column.
    pub const ALL: [Self; 6] = [
        Self::Credentials,
        Self::Contacts,
        Self::Details,
        Self::Results,
        Self::Webhooks,
        Self::Replies,
    ];

    pub fn table(self) -> &'static str {
        self.location()[0]
    }

    pub(super) fn purpose(self) -> Purpose {
        match self {
            Self::Credentials => Purpose::Credentials,
            Self::Contacts => Purpose::Contact,
            Self::Details => Purpose::Details,
            Self::Results => Purpose::ValidationResult,
            Self::Webhooks => Purpose::Webhook,
            Self::Replies => Purpose::Reply,
        }
    }

    /// Returns in SQL: the table, the column, the primary key after the merchant, the id that a value is encrypted for.
    fn location(self) -> [&'static str; 4] {
        match self {
            Self::Credentials => ["gateway_accounts", "sealed_credentials", "id", "id"],
            Self::Contacts => ["customers", "sealed_contact", "id", "id"],
            Self::Details => ["customer_accounts", "sealed_details", "id", "id"],
            Self::Results => ["validations", "sealed_result", "id", "account_id"],
            Self::Webhooks => [
                "gateway_notices",
                "sealed_answer",
                "digest",
                "validation_id",
            ],
            Self::Replies => [
                "idempotency_records",
                "sealed_answer",
                "key_hash",
                REPLY_SUBJECT,
            ],
        }
    }

    /// Reads `$4` rows after the place `$3` of merchant `$2`; a place is the primary key after the merchant, as bytes.
    /// `sealed` is null if the key with the header `$1` encrypted it.
    pub(super) fn walk(self) -> String {
        let [table, sealed, key, subject] = self.location();
        let after = key_at("$3", key);
        let place = if key == "id" { "uuid_send(id)" } else { key };
        format!(
            "select merchant_id, {place} as place, {subject} as subject,
                case when substring({sealed} from 1 for 5) <> $1 then {sealed} end as sealed
             from {table} where (merchant_id, {key}) > ($2, {after}) order by merchant_id, {key} limit $4"
        )
    }

    /// Replaces the values `$1` that are unchanged and not locked.
    pub(super) fn replace(self) -> String {
        let [table, sealed, key, _] = self.location();
        let at = key_at("place", key);
        format!(
            "with input as (
                select merchant_id, {at} as key, was, becomes from $1 as input
             ), mine as (
                select i.* from {table} t join input i on t.merchant_id = i.merchant_id and t.{key} = i.key
                where t.{sealed} = i.was
                for no key update of t skip locked
             )
             update {table} t set {sealed} = m.becomes from mine m
             where t.merchant_id = m.merchant_id and t.{key} = m.key and t.{sealed} = m.was
             returning t.merchant_id"
        )
    }
}

/// Returns the SQL that converts a place to the key.
fn key_at(place: &str, key: &str) -> String {
    if key == "id" {
        format!("encode({place}, 'hex')::uuid")
    } else {
        format!("{place}::bytea")
    }
}

/// Number of values by key; `None` counts values without a known header.
pub type KeyUsage = BTreeMap<Option<u32>, i64>;

/// Counts the values of a column by key. Reads the whole table.
pub fn count_by_key(connection: &mut PgConnection, column: SealedColumn) -> QueryResult<KeyUsage> {
    let [table, sealed, ..] = column.location();
    let rows: Vec<(Vec<u8>, i64)> = statement(format!(
        "select substring({sealed} from 1 for 5), count(*) from {table} where {sealed} is not null group by 1"
    ))
    .tuples(connection)?;
    let mut usage = KeyUsage::new();
    for (header, count) in rows {
        *usage.entry(key_id(&header)).or_default() += count;
    }
    Ok(usage)
}

/// Values of a key that [`decrypts`] tries: a single one may have been altered.
const SAMPLES: i64 = 5;

/// Whether the keyring's key with this id decrypts the column's values: unrelated keyrings have keys with the same ids. Tries a
/// few values; true if there are none.
pub fn decrypts(
    connection: &mut PgConnection,
    keyring: &Keyring,
    column: SealedColumn,
    key: u32,
) -> QueryResult<bool> {
    let [table, sealed, _, subject] = column.location();
    let rows: Vec<(MerchantId, Uuid, Vec<u8>)> = statement(format!(
        "select merchant_id, {subject}, {sealed} from {table} where substring({sealed} from 1 for 5) = $1 limit $2"
    ))
    .bind(&header(key)[..])
    .bind(SAMPLES)
    .tuples(connection)?;
    let decrypts = |(merchant, subject, value): &(MerchantId, Uuid, Vec<u8>)| {
        let purpose = column.purpose();
        let decrypted = keyring.decrypt(*merchant, *subject, purpose, value);
        decrypted.is_ok()
    };
    Ok(rows.is_empty() || rows.iter().any(decrypts))
}

/// Finds the encryption keys of the values that are stored now. Before dropping the other keys, make sure that no process
/// encrypts with them any more.
pub fn keys_in_use(connection: &mut PgConnection) -> QueryResult<BTreeSet<u32>> {
    let mut keys = BTreeSet::new();
    for column in SealedColumn::ALL {
        keys.extend(count_by_key(connection, column)?.into_keys().flatten());
    }
    Ok(keys)
}
