//! The columns with encrypted values, and the statements that reach them.

use std::collections::{BTreeMap, BTreeSet};

use diesel::{PgConnection, QueryResult};
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
    /// `webhook_endpoints.sealed_settings`
    Endpoints,
    /// `customer_accounts.sealed_webhook_url`
    AccountUrls,
    /// `webhook_deliveries.sealed_body`
    DeliveryBodies,
    /// `webhook_deliveries.sealed_reply`
    DeliveryReplies,
    /// `webhook_attempts.sealed_reply`
    AttemptReplies,
}

/// Location of an encrypted value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedValue {
    pub column: SealedColumn,
    pub merchant: MerchantId,
    /// The rest of the row's primary key.
    pub(super) key: Vec<u8>,
}

impl std::fmt::Display for SealedValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (table, merchant) = (self.column.table(), self.merchant.0);
        write!(f, "{table}, merchant_id {merchant}, ")?;
        if let Ok(id) = Uuid::from_slice(&self.key) {
            return write!(f, "id {id}");
        }
        f.write_str("key \\x")?;
        self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The id that a stored reply is encrypted for.
const REPLY_SUBJECT: &str = "encode(substring(key_hash from 1 for 16), 'hex')::uuid";

impl SealedColumn {
    /// Every column.
    pub const ALL: [Self; 11] = [
        Self::Credentials,
        Self::Contacts,
        Self::Details,
        Self::Results,
        Self::Webhooks,
        Self::Replies,
        Self::Endpoints,
        Self::AccountUrls,
        Self::DeliveryBodies,
        Self::DeliveryReplies,
        Self::AttemptReplies,
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
            Self::Endpoints => Purpose::Endpoint,
            Self::AccountUrls => Purpose::AccountUrl,
            Self::DeliveryBodies | Self::DeliveryReplies | Self::AttemptReplies => {
                Purpose::Delivery
            }
        }
    }

    /// Returns in SQL: the table, the column, the id that a value is encrypted for.
    pub(super) fn location(self) -> [&'static str; 3] {
        match self {
            Self::Credentials => ["gateway_accounts", "sealed_credentials", "id"],
            Self::Contacts => ["customers", "sealed_contact", "id"],
            Self::Details => ["customer_accounts", "sealed_details", "id"],
            Self::Results => ["validations", "sealed_result", "account_id"],
            Self::Webhooks => ["gateway_notices", "sealed_answer", "validation_id"],
            Self::Replies => ["idempotency_records", "sealed_answer", REPLY_SUBJECT],
            Self::Endpoints => ["webhook_endpoints", "sealed_settings", "id"],
            Self::AccountUrls => ["customer_accounts", "sealed_webhook_url", "id"],
            Self::DeliveryBodies => ["webhook_deliveries", "sealed_body", "event_id"],
            Self::DeliveryReplies => ["webhook_deliveries", "sealed_reply", "event_id"],
            Self::AttemptReplies => ["webhook_attempts", "sealed_reply", "event_id"],
        }
    }

    /// Returns the columns of the primary key after the merchant.
    fn key(self) -> &'static [(&'static str, Part)] {
        match self {
            Self::Credentials
            | Self::Contacts
            | Self::Details
            | Self::Results
            | Self::Endpoints
            | Self::AccountUrls => &[("id", Part::Uuid)],
            Self::Webhooks => &[("digest", Part::Digest)],
            Self::Replies => &[("key_hash", Part::Digest)],
            Self::DeliveryBodies | Self::DeliveryReplies => &DELIVERY,
            Self::AttemptReplies => &ATTEMPT,
        }
    }

    /// Reads `$4` rows after the place `$3` of merchant `$2`; a place is the primary key after the merchant, as bytes.
    /// `sealed` is null if the key with the header `$1` encrypted it.
    pub(super) fn walk(self) -> String {
        let [table, sealed, subject] = self.location();
        let key = self.key();
        let names = names(key).join(", ");
        let place: Vec<String> = key.iter().map(|(name, part)| part.bytes(name)).collect();
        let (place, after) = (place.join(" || "), at("$3", key).join(", "));
        format!(
            "select merchant_id, {place} as place, {subject} as subject,
                case when substring({sealed} from 1 for 5) <> $1 then {sealed} end as sealed
             from {table} where (merchant_id, {names}) > ($2, {after}) order by merchant_id, {names} limit $4"
        )
    }

    /// Reads, of the `$3` rows of merchant `$1` before the place `$2`, the last one, and for each key at most `$4` values.
    fn samples(self) -> String {
        let [table, sealed, subject] = self.location();
        let key = self.key();
        let names = names(key);
        let place: Vec<String> = key.iter().map(|(name, part)| part.bytes(name)).collect();
        let (place, before) = (place.join(" || "), at("$2", key).join(", "));
        let order: Vec<String> = names.iter().map(|name| format!("{name} desc")).collect();
        let (names, order) = (names.join(", "), order.join(", "));
        format!(
            "with page as materialized (
                select {place} as place, {subject} as subject, {sealed} as sealed from {table}
                where merchant_id = $1 and ({names}) < ({before}) order by {order} limit $3
             ), ranked as (
                select *, row_number() over (order by place) as number, count(*) over () as rows,
                    row_number() over (partition by substring(sealed from 1 for 5) order by place desc) as sample
                from page
             )
             select place, subject, case when sample <= $4 then sealed end as sealed, rows from ranked
             where number = 1 or sealed is not null and sample <= $4 order by number"
        )
    }

    /// Replaces the values `$1` that are unchanged and not locked.
    pub(super) fn replace(self) -> String {
        let [table, sealed, _] = self.location();
        let key = self.key();
        let keys: Vec<String> = names(key)
            .iter()
            .zip(at("place", key))
            .map(|(name, at)| format!("{at} as {name}"))
            .collect();
        let keys = keys.join(", ");
        let same = |one: &str| {
            let same: Vec<String> = names(key)
                .iter()
                .map(|name| format!("t.{name} = {one}.{name}"))
                .collect();
            same.join(" and ")
        };
        let (of_input, of_mine) = (same("i"), same("m"));
        format!(
            "with input as (
                select merchant_id, {keys}, was, becomes from $1 as input
             ), mine as (
                select i.* from {table} t join input i on t.merchant_id = i.merchant_id and {of_input}
                where t.{sealed} = i.was
                for no key update of t skip locked
             )
             update {table} t set {sealed} = m.becomes from mine m
             where t.merchant_id = m.merchant_id and {of_mine} and t.{sealed} = m.was
             returning t.merchant_id"
        )
    }
}

const DELIVERY: [(&str, Part); 3] = [
    ("endpoint_id", Part::Uuid),
    ("subject_id", Part::Uuid),
    ("version", Part::Integer),
];
const ATTEMPT: [(&str, Part); 4] = [
    ("endpoint_id", Part::Uuid),
    ("subject_id", Part::Uuid),
    ("version", Part::Integer),
    ("number", Part::SmallInteger),
];

/// A place before every row: at least as long as the longest key.
pub(super) const BEGINNING: [u8; 38] = [0; 38];

/// The type of a column of a primary key.
#[derive(Clone, Copy)]
enum Part {
    Uuid,
    /// The only column.
    Digest,
    Integer,
    SmallInteger,
}

impl Part {
    /// Returns the SQL of the column as bytes, in the order of its values; numbers are never negative.
    fn bytes(self, name: &str) -> String {
        match self {
            Self::Uuid => format!("uuid_send({name})"),
            Self::Digest => name.to_owned(),
            Self::Integer => format!("int4send({name})"),
            Self::SmallInteger => format!("int2send({name})"),
        }
    }

    /// Returns the bytes of the largest value.
    fn largest(self) -> Vec<u8> {
        match self {
            Self::Uuid | Self::Digest => vec![0xff; self.length()],
            Self::Integer => i32::MAX.to_be_bytes().to_vec(),
            Self::SmallInteger => i16::MAX.to_be_bytes().to_vec(),
        }
    }

    fn length(self) -> usize {
        match self {
            Self::Uuid => 16,
            Self::Digest => 32,
            Self::Integer => 4,
            Self::SmallInteger => 2,
        }
    }

    /// Returns the SQL of the value in the bytes of a place from `start` on.
    fn at(self, place: &str, start: usize) -> String {
        let bytes = format!(
            "substring({place}::bytea from {start} for {})",
            self.length()
        );
        match self {
            Self::Uuid => format!("encode({bytes}, 'hex')::uuid"),
            Self::Digest => bytes,
            Self::Integer => format!("('x' || encode({bytes}, 'hex'))::bit(32)::integer"),
            Self::SmallInteger => {
                format!("('x' || encode({bytes}, 'hex'))::bit(16)::integer::smallint")
            }
        }
    }
}

fn names(key: &'static [(&'static str, Part)]) -> Vec<&'static str> {
    key.iter().map(|(name, _)| *name).collect()
}

/// Returns the SQL of each column of a key in the bytes of a place.
fn at(place: &str, key: &[(&str, Part)]) -> Vec<String> {
    let mut start = 1;
    let value = |(_, part): &(&str, Part)| {
        let value = part.at(place, start);
        start += part.length();
        value
    };
    key.iter().map(value).collect()
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
    let [table, sealed, subject] = column.location();
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

row! {
    struct Sample {
        place: Vec<u8>,
        subject: Uuid,
        sealed: Option<Vec<u8>>,
        /// Number of rows of the page.
        rows: i64,
    }
}

/// Values of a page of rows that were decrypted.
#[derive(Clone, Debug)]
pub struct Decrypted {
    /// Number of rows that were read.
    pub rows: i64,
    /// Number of values that were tried.
    pub values: usize,
    /// Values that the keyring does not decrypt, each with the id of its key, if it has one.
    pub failed: Vec<(SealedValue, Option<u32>)>,
    /// The last row: the next page is before it.
    pub last: Vec<u8>,
}

/// Decrypts, of at most `rows` rows of a merchant before a place or from the newest on, the values of each key: at most `samples`. `None`
/// if there are no more rows. Keeps no plaintext.
pub fn decrypt(
    connection: &mut PgConnection,
    keyring: &Keyring,
    (column, merchant): (SealedColumn, MerchantId),
    before: Option<&[u8]>,
    (rows, samples): (i64, i64),
) -> QueryResult<Option<Decrypted>> {
    let parts = column.key().iter();
    let end: Vec<u8> = parts.flat_map(|(_, part)| part.largest()).collect();
    let read: Vec<Sample> = statement(column.samples())
        .bind(merchant)
        .bind(before.unwrap_or(&end))
        .bind(rows)
        .bind(samples)
        .load(connection)?;
    let Some(first) = read.first() else {
        return Ok(None);
    };
    let (rows, last) = (first.rows, first.place.clone());
    let (mut values, mut failed) = (0, Vec::new());
    for sample in read {
        let Some(sealed) = sample.sealed else {
            continue;
        };
        values += 1;
        let decrypted = keyring.decrypt(merchant, sample.subject, column.purpose(), &sealed);
        if decrypted.is_err() {
            let value = SealedValue {
                column,
                merchant,
                key: sample.place,
            };
            failed.push((value, key_id(&sealed)));
        }
    }
    Ok(Some(Decrypted {
        rows,
        values,
        failed,
        last,
    }))
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
