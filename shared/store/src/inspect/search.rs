//! Searches for accounts by what a merchant, a payee or a gateway knows of them. A search by a reference or by fingerprints reads an index.
//! The other searches have no index, because each index would cost every account a write: they read the newest rows of one merchant.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use khata_domain::ids::{CustomerRef, first_at};
use khata_domain::{AccountId, MerchantId, ValidationId};

use super::{Account, select_account};
use crate::statement::{rows, statement};

/// Bytes of a fingerprint that are equal for all spellings of one account.
const SPELLINGS: usize = khata_crypto::LIMIT_LENGTH;

/// The rows that a search without an index reads: those of one merchant, the newest first.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    pub since: DateTime<Utc>,
    /// Maximum number of rows.
    pub rows: i64,
}

/// Finds the live accounts of this customer, of one merchant or of any: two lookups by index for each merchant.
pub fn by_customer(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    customer: &CustomerRef,
    limit: i64,
) -> QueryResult<Vec<Account>> {
    let of = |column: &str| {
        format!(
            "{} from merchants m
             cross join lateral (
                select id from customers where merchant_id = m.id and {column} = $1 limit 1
             ) c
             cross join lateral (
                select * from customer_accounts
                where merchant_id = m.id and customer_id = c.id and deleted_at is null order by id desc limit $2
             ) a
             where $3 is null or m.id = $3
             order by a.id desc limit $2",
            select_account()
        )
    };
    let found = match customer {
        CustomerRef::Id(id) => statement(of("id")).bind(*id),
        CustomerRef::Reference(reference) => {
            statement(of("object_reference_id")).bind(reference.expose())
        }
    };
    found.bind(limit).bind(merchant).load(connection)
}

/// Finds the accounts with these details in any spelling, deleted ones too. The fingerprint of the same details differs by merchant.
pub fn by_fingerprint(
    connection: &mut PgConnection,
    fingerprints: &[(MerchantId, [u8; 32])],
    limit: i64,
) -> QueryResult<Vec<Account>> {
    let bound = |fingerprint: &[u8; 32], rest: u8| {
        let mut bound = vec![rest; fingerprint.len()];
        bound[..SPELLINGS].copy_from_slice(&fingerprint[..SPELLINGS]);
        bound
    };
    statement(format!(
        "{} from $1 as wanted
         join merchants m on m.id = wanted.merchant_id
         cross join lateral (
            (select * from customer_accounts
             where merchant_id = wanted.merchant_id and fingerprint between wanted.least and wanted.most
               and deleted_at is null limit $2)
            union all
            (select * from customer_accounts
             where merchant_id = wanted.merchant_id and fingerprint between wanted.least and wanted.most
               and deleted_at is not null limit $2)
         ) a
         order by a.id desc limit $2",
        select_account()
    ))
    .rows(rows!(fingerprints, (merchant, fingerprint) => {
        merchant_id = *merchant,
        least = bound(fingerprint, 0),
        most = bound(fingerprint, u8::MAX),
    }))
    .bind(limit)
    .load(connection)
}

/// Finds bank accounts by the last four characters of the number. Returns also the number of accounts that were read.
pub fn by_last_four(
    connection: &mut PgConnection,
    merchant: MerchantId,
    last_four: &str,
    reach: Reach,
    limit: i64,
) -> QueryResult<(Vec<Account>, i64)> {
    let first = first_at(reach.since);
    let read = statement(
        "select count(*) from (
            select from customer_accounts where merchant_id = $1 and id >= $2 order by id desc limit $3
         ) newest",
    )
    .key(merchant, first)
    .bind(reach.rows)
    .tuple::<i64>(connection)?;
    // The masked form of a number ends with its last four characters; that of a UPI address which names a number, before its @.
    let accounts = statement(format!(
        "with newest as materialized (
            select * from customer_accounts where merchant_id = $1 and id >= $2 order by id desc limit $3
         )
         {} from newest a join merchants m on m.id = a.merchant_id
         where right(split_part(a.masked, '@', 1), 4) = $4
         order by a.id desc limit $5",
        select_account()
    ))
    .key(merchant, first)
    .bind(reach.rows)
    .bind(last_four)
    .bind(limit)
    .load(connection)?;
    Ok((accounts, read))
}

/// Finds the validations of attempts to which a gateway gave this id, by the index for gateway webhooks: it has the attempts whose outcome a
/// gateway reported later, for 31 days.
pub fn by_gateway_reference(
    connection: &mut PgConnection,
    merchant: Option<MerchantId>,
    reference: &str,
) -> QueryResult<Vec<(MerchantId, ValidationId)>> {
    statement(
        "select r.merchant_id, r.validation_id from gateway_accounts g
         cross join lateral (
            select merchant_id, validation_id from gateway_references
            where merchant_id = g.merchant_id and gateway_account_id = g.id and gateway_reference = $1 limit 1
         ) r
         where $2 is null or g.merchant_id = $2",
    )
    .bind(reference)
    .bind(merchant)
    .tuples(connection)
}

/// Finds the validations of attempts to which a gateway gave this id, among the newest attempts. Returns also how many were read.
pub fn by_newest_attempts(
    connection: &mut PgConnection,
    merchant: MerchantId,
    reference: &str,
    reach: Reach,
) -> QueryResult<(Vec<ValidationId>, i64)> {
    statement(
        "with newest as materialized (
            select validation_id, gateway_reference from validation_attempts
            where merchant_id = $1 and validation_id >= $2 order by validation_id desc, number desc limit $3
         )
         select array(select distinct validation_id from newest where gateway_reference = $4), (select count(*) from newest)",
    )
    .key(merchant, first_at(reach.since))
    .bind(reach.rows)
    .bind(reference)
    .tuple(connection)
}

/// A validation with its account, its encrypted result, and the validation whose result it reuses.
pub type SealedResult = (
    ValidationId,
    AccountId,
    Option<Vec<u8>>,
    Option<ValidationId>,
);

/// Reads the encrypted results of the validations before one, the newest first: at most `limit` rows, also those without a result.
pub fn results(
    connection: &mut PgConnection,
    merchant: MerchantId,
    since: DateTime<Utc>,
    before: ValidationId,
    limit: i64,
) -> QueryResult<Vec<SealedResult>> {
    statement(
        "select id, account_id, sealed_result, reused_from from validations
         where merchant_id = $1 and id >= $2 and id < $3 order by id desc limit $4",
    )
    .key(merchant, first_at(since))
    .bind(before)
    .bind(limit)
    .tuples(connection)
}
