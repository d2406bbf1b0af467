//! The columns with encrypted values, and the statements that reach them.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use uuid::Uuid;

use crate::column::row;
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

pub(super) struct Sql {
    pub(super) walk: &'static str,
    pub(super) replace: &'static str,
    count_by_key: &'static str,
    sample: &'static str,
}

/// The statements for one column. A row's place is its primary key after the merchant, as bytes: `$to` and `$from` are the SQL
/// that converts the key to bytes and back.
macro_rules! statements {
    ($table:literal, $sealed:literal, $key:literal, $to:literal, $from:literal, $from_end:literal, $subject:literal) => {
        Sql {
            walk: concat!(
                "select merchant_id, ",
                $to,
                "(",
                $key,
                ") as place, ",
                $subject,
                " as subject,
                    case when substring(",
                $sealed,
                " from 1 for 5) <> $1 then ",
                $sealed,
                " end as sealed
                 from ",
                $table,
                "
                 where (merchant_id, ",
                $key,
                ") > ($2, ",
                $from,
                "$3",
                $from_end,
                ")
                 order by merchant_id, ",
                $key,
                " limit $4"
            ),
            replace: concat!(
                "with input as (
                    select merchant_id, ",
                $from,
                "place",
                $from_end,
                " as key, was, becomes
                    from $1 as input
                 ), mine as (
                    select i.* from ",
                $table,
                " t join input i on t.merchant_id = i.merchant_id and t.",
                $key,
                " = i.key
                    where t.",
                $sealed,
                " = i.was
                    for no key update of t skip locked
                 )
                 update ",
                $table,
                " t set ",
                $sealed,
                " = m.becomes from mine m
                 where t.merchant_id = m.merchant_id and t.",
                $key,
                " = m.key and t.",
                $sealed,
                " = m.was
                 returning t.merchant_id"
            ),
            count_by_key: concat!(
                "select substring(",
                $sealed,
                " from 1 for 5) as header, count(*) as count
                 from ",
                $table,
                " where ",
                $sealed,
                " is not null group by 1"
            ),
            sample: concat!(
                "select merchant_id, ",
                $subject,
                " as subject, ",
                $sealed,
                " as sealed
                 from ",
                $table,
                " where substring(",
                $sealed,
                " from 1 for 5) = $1 limit $2"
            ),
        }
    };
    ($table:literal, $sealed:literal, subject $subject:literal) => {
        statements!(
            $table,
            $sealed,
            "id",
            "uuid_send",
            "encode(",
            ", 'hex')::uuid",
            $subject
        )
    };
}

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
        match self {
            Self::Credentials => "gateway_accounts",
            Self::Contacts => "customers",
            Self::Details => "customer_accounts",
            Self::Results => "validations",
            Self::Webhooks => "gateway_notices",
            Self::Replies => "idempotency_records",
        }
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

    #[rustfmt::skip]
    pub(super) fn sql(self) -> Sql {
        match self {
            Self::Credentials => statements!("gateway_accounts", "sealed_credentials", subject "uuid_send(id)"),
            Self::Contacts => statements!("customers", "sealed_contact", subject "uuid_send(id)"),
            Self::Details => statements!("customer_accounts", "sealed_details", subject "uuid_send(id)"),
            Self::Results => statements!("validations", "sealed_result", subject "uuid_send(account_id)"),
            Self::Webhooks => statements!(
                "gateway_notices", "sealed_answer", "digest", "", "", "::bytea", "uuid_send(validation_id)"
            ),
            Self::Replies => statements!(
                "idempotency_records", "sealed_answer", "key_hash", "", "", "::bytea", "substring(key_hash from 1 for 16)"
            ),
        }
    }
}

/// Number of values by key; `None` counts values without a known header.
pub type KeyUsage = BTreeMap<Option<u32>, i64>;

row! {
    struct CensusRow {
        header: Vec<u8>,
        count: i64,
    }
}

/// Counts the values of a column by key. Reads the whole table.
pub fn count_by_key(connection: &mut PgConnection, column: SealedColumn) -> QueryResult<KeyUsage> {
    let rows: Vec<CensusRow> = statement(column.sql().count_by_key).load(connection)?;
    let mut usage = KeyUsage::new();
    for row in rows {
        *usage.entry(key_id(&row.header)).or_default() += row.count;
    }
    Ok(usage)
}

/// Values of a key that [`decrypts`] tries: a single one may have been altered.
const SAMPLES: i64 = 5;

row! {
    struct SampleRow {
        #[diesel(column_name = merchant_id)]
        merchant: MerchantId,
        subject: Vec<u8>,
        sealed: Vec<u8>,
    }
}

/// Whether the keyring's key with this id decrypts the column's values: unrelated keyrings have keys with the same ids. Tries a
/// few values; true if there are none.
pub fn decrypts(
    connection: &mut PgConnection,
    keyring: &Keyring,
    column: SealedColumn,
    key: u32,
) -> QueryResult<bool> {
    let rows: Vec<SampleRow> = statement(column.sql().sample)
        .bind(header(key).to_vec())
        .bind(SAMPLES)
        .load(connection)?;
    let decrypts = |row: &SampleRow| {
        Uuid::from_slice(&row.subject).is_ok_and(|subject| {
            keyring
                .decrypt(row.merchant, subject, column.purpose(), &row.sealed)
                .is_ok()
        })
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
