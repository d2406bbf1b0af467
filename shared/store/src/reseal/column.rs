//! What is sealed, where, and the statements that reach it.

use std::collections::{BTreeMap, BTreeSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Uuid as SqlUuid};
use uuid::Uuid;

use crate::statement::statement;
use khata_crypto::{Keyring, Purpose, header, key_id};
use khata_domain::MerchantId;

/// A column that holds sealed values. `Ord` is the order in which they are walked: what is few and used by all first.
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
    Notices,
    /// `idempotency_records.sealed_answer`
    Answers,
}

pub(super) struct Sql {
    pub(super) walk: &'static str,
    pub(super) replace: &'static str,
    census: &'static str,
    sample: &'static str,
}

/// The statements for one column. A row's place is the rest of its primary key as bytes: `$to` and `$from` write SQL
/// that makes bytes of the key and the key of bytes.
macro_rules! statements {
    ($table:literal, $sealed:literal, $key:literal, $to:literal, $from:literal, $from_end:literal, $subject:literal) => {
        Sql {
            walk: concat!(
                "select merchant_id, ", $to, "(", $key, ") as place, ", $subject, " as subject,
                    case when substring(", $sealed, " from 1 for 5) <> $1 then ", $sealed, " end as sealed
                 from ", $table, "
                 where (merchant_id, ", $key, ") > ($2, ", $from, "$3", $from_end, ")
                 order by merchant_id, ", $key, " limit $4"
            ),
            replace: concat!(
                "with input as (
                    select merchant_id, ", $from, "place", $from_end, " as key, was, becomes
                    from unnest($1::uuid[], $2::bytea[], $3::bytea[], $4::bytea[]) as t (merchant_id, place, was, becomes)
                 ), mine as (
                    select i.* from ", $table, " t join input i on t.merchant_id = i.merchant_id and t.", $key, " = i.key
                    where t.", $sealed, " = i.was
                    for no key update of t skip locked
                 )
                 update ", $table, " t set ", $sealed, " = m.becomes from mine m
                 where t.merchant_id = m.merchant_id and t.", $key, " = m.key and t.", $sealed, " = m.was
                 returning t.merchant_id"
            ),
            census: concat!(
                "select substring(", $sealed, " from 1 for 5) as header, count(*) as count
                 from ", $table, " where ", $sealed, " is not null group by 1"
            ),
            sample: concat!(
                "select merchant_id, ", $subject, " as subject, ", $sealed, " as sealed
                 from ", $table, " where substring(", $sealed, " from 1 for 5) = $1 limit $2"
            ),
        }
    };
    ($table:literal, $sealed:literal, subject $subject:literal) => {
        statements!($table, $sealed, "id", "uuid_send", "encode(", ", 'hex')::uuid", $subject)
    };
}

impl SealedColumn {
    /// Every one there is.
    pub const ALL: [Self; 6] = [
        Self::Credentials,
        Self::Contacts,
        Self::Details,
        Self::Results,
        Self::Notices,
        Self::Answers,
    ];

    /// Its table.
    pub fn table(self) -> &'static str {
        match self {
            Self::Credentials => "gateway_accounts",
            Self::Contacts => "customers",
            Self::Details => "customer_accounts",
            Self::Results => "validations",
            Self::Notices => "gateway_notices",
            Self::Answers => "idempotency_records",
        }
    }

    pub(super) fn purpose(self) -> Purpose {
        match self {
            Self::Credentials => Purpose::Credentials,
            Self::Contacts => Purpose::Contact,
            Self::Details => Purpose::Details,
            Self::Results => Purpose::ValidationResult,
            Self::Notices => Purpose::Notice,
            Self::Answers => Purpose::Answer,
        }
    }

    #[rustfmt::skip]
    pub(super) fn sql(self) -> Sql {
        match self {
            Self::Credentials => statements!("gateway_accounts", "sealed_credentials", subject "uuid_send(id)"),
            Self::Contacts => statements!("customers", "sealed_contact", subject "uuid_send(id)"),
            Self::Details => statements!("customer_accounts", "sealed_details", subject "uuid_send(id)"),
            Self::Results => statements!("validations", "sealed_result", subject "uuid_send(account_id)"),
            Self::Notices => statements!(
                "gateway_notices", "sealed_answer", "digest", "", "", "::bytea", "uuid_send(validation_id)"
            ),
            Self::Answers => statements!(
                "idempotency_records", "sealed_answer", "key_hash", "", "", "::bytea", "substring(key_hash from 1 for 16)"
            ),
        }
    }
}

/// How many values each key sealed; `None` for what nothing of ours sealed.
pub type KeyUsage = BTreeMap<Option<u32>, i64>;

#[derive(QueryableByName)]
struct CensusRow {
    #[diesel(sql_type = Binary)]
    header: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// Counts the values of a column, key by key. Reads the whole table.
pub fn census(connection: &mut PgConnection, column: SealedColumn) -> QueryResult<KeyUsage> {
    let rows: Vec<CensusRow> = statement(column.sql().census).load(connection)?;
    let mut census = KeyUsage::new();
    for row in rows {
        *census.entry(key_id(&row.header)).or_default() += row.count;
    }
    Ok(census)
}

/// Values of a key that are tried: one may have been altered, not all.
const TRIED: i64 = 5;

#[derive(QueryableByName)]
struct SampleRow {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = Binary)]
    subject: Vec<u8>,
    #[diesel(sql_type = Binary)]
    sealed: Vec<u8>,
}

/// Whether the keyring's key of this id is the one that sealed values of a column: keyrings that have nothing to do with
/// each other have keys of the same ids. Some are tried; nothing to try is no fault.
pub fn opens(
    connection: &mut PgConnection,
    keyring: &Keyring,
    column: SealedColumn,
    key: u32,
) -> QueryResult<bool> {
    let rows: Vec<SampleRow> = statement(column.sql().sample)
        .bind::<Binary, _>(header(key).to_vec())
        .bind::<BigInt, _>(TRIED)
        .load(connection)?;
    let opens = |row: &SampleRow| {
        Uuid::from_slice(&row.subject).is_ok_and(|subject| {
            let merchant = MerchantId(row.merchant_id);
            keyring
                .open(merchant, subject, column.purpose(), &row.sealed)
                .is_ok()
        })
    };
    Ok(rows.is_empty() || rows.iter().any(opens))
}

/// The sealing keys that are needed to open what is stored now. Whoever asks in order to drop the others must know that
/// nobody seals with them any more.
pub fn keys_in_use(connection: &mut PgConnection) -> QueryResult<BTreeSet<u32>> {
    let mut keys = BTreeSet::new();
    for column in SealedColumn::ALL {
        keys.extend(census(connection, column)?.into_keys().flatten());
    }
    Ok(keys)
}
