//! A few stored values, by which a service tries its keyring when it starts.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{PgConnection, QueryResult};
use khata_crypto::{Keyring, key_id};
use khata_domain::MerchantId;
use uuid::Uuid;

use super::column::SealedColumn;
use crate::statement::statement;

/// The columns that [`undecryptable_keys`] samples. Only the first can be null, in a small table, so that a sample reads few rows of a
/// database of any size.
const SAMPLED: [SealedColumn; 3] = [
    SealedColumn::Credentials,
    SealedColumn::Endpoints,
    SealedColumn::Details,
];

/// Returns the keys of a few stored values of which the keyring decrypts none: it lacks them, or has other keys with their ids. Empty
/// if nothing is stored yet. One altered value among others of its key does not count.
pub(crate) fn undecryptable_keys(
    connection: &mut PgConnection,
    keyring: &Keyring,
) -> QueryResult<BTreeSet<u32>> {
    let mut decrypts = BTreeMap::<u32, bool>::new();
    for column in SAMPLED {
        let [table, sealed, subject] = column.location();
        let rows: Vec<(MerchantId, Uuid, Vec<u8>)> = statement(format!(
            "select merchant_id, {subject}, {sealed} from {table} where {sealed} is not null limit 20"
        ))
        .tuples(connection)?;
        for (merchant, subject, value) in rows {
            // A value without a key's id was altered.
            let Some(key) = key_id(&value) else { continue };
            let decrypted = keyring.decrypt(merchant, subject, column.purpose(), &value);
            *decrypts.entry(key).or_default() |= decrypted.is_ok();
        }
    }
    decrypts.retain(|_, decrypts| !*decrypts);
    Ok(decrypts.into_keys().collect())
}
