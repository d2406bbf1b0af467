//! Customers and their accounts: created in batches by the group commit, read one by one.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Binary, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::statement::statement;
use crate::domain::ids::CustomerRef;
use crate::domain::routing::Pin;
use crate::domain::{AccountId, CustomerId, MerchantId, ValidationId};

/// Time that the ring has before the scheduler rings again, in milliseconds.
const RING_GRACE_MS: i64 = 5_000;

/// One call's accounts.
#[derive(Clone, Debug)]
pub struct CreateAccounts {
    /// Whose.
    pub merchant: MerchantId,
    /// Whose customer.
    pub customer: CustomerRef,
    /// Whether an unknown reference is registered.
    pub implicit_customer: bool,
    /// What the call asked of the routing.
    pub pin: Pin,
    /// JSON object of the call's metadata.
    pub metadata: String,
    /// JSON of the payee's consent.
    pub consent: Option<String>,
    /// `x-routing-id`, where given.
    pub routing_id: Option<String>,
    /// W3C trace context of the call.
    pub trace_parent: Option<String>,
    /// Now.
    pub created_at: DateTime<Utc>,
    /// When trying to validate ends.
    pub deadline_at: DateTime<Utc>,
    /// The accounts.
    pub accounts: Vec<NewAccount>,
}

/// An account, sealed and ready to store, with the validation it begins with.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its id.
    pub id: AccountId,
    /// Its first validation's id.
    pub validation: ValidationId,
    /// `BANK` or `UPI`.
    pub kind: &'static str,
    /// Sealed for the account's id.
    pub sealed_details: Vec<u8>,
    /// Equal for equal details.
    pub fingerprint: [u8; 32],
    /// For people's eyes.
    pub masked: String,
    /// Juspay's bank code.
    pub bank_code: Option<String>,
}

/// What became of one call.
#[derive(Debug)]
pub enum Created {
    /// Stored, in the order of the call.
    Accounts {
        /// The customer.
        customer: CustomerId,
        /// The merchant's reference for it.
        object_reference_id: String,
        /// Each account, new or standing.
        accounts: Vec<CreatedAccount>,
    },
    /// There is no such customer; nothing was stored.
    UnknownCustomer,
}

/// What became of one account of a call.
#[derive(Debug)]
pub enum CreatedAccount {
    /// It is new, as it was handed in.
    New,
    /// The customer has had it: the live account in its place.
    Standing(Box<AccountRow>),
}

/// An account as it is read: with its customer's reference and its newest validation.
#[derive(Clone, Debug, QueryableByName)]
pub struct AccountRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    customer_id: Uuid,
    /// The merchant's reference for the customer.
    #[diesel(sql_type = Text)]
    pub object_reference_id: String,
    /// Sealed for the account's id.
    #[diesel(sql_type = Binary)]
    pub sealed_details: Vec<u8>,
    #[diesel(sql_type = Binary)]
    fingerprint: Vec<u8>,
    /// Juspay's bank code.
    #[diesel(sql_type = Nullable<Text>)]
    pub bank_code: Option<String>,
    /// `AccountStatus` by its word.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// The gateway that the call named.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub pinned_gateway_id: Option<i16>,
    /// The account there that the call named.
    #[diesel(sql_type = Nullable<Text>)]
    pub pinned_gateway_reference_id: Option<String>,
    /// The call's metadata, a JSON object.
    #[diesel(sql_type = Jsonb)]
    pub metadata: serde_json::Value,
    /// When it was stored.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// When its status last changed.
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
    /// When a gateway last told.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub last_validated_at: Option<DateTime<Utc>>,
    /// Its newest validation.
    #[diesel(embed)]
    pub validation: ValidationColumns,
}

/// The newest validation's columns; all null where there is none.
#[derive(Clone, Debug, QueryableByName)]
pub struct ValidationColumns {
    #[diesel(sql_type = Nullable<SqlUuid>)]
    validation_id: Option<Uuid>,
    /// Gateway attempts so far.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub attempts: Option<i16>,
    /// The gateway asked last.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub gateway_id: Option<i16>,
    /// The merchant's account there.
    #[diesel(sql_type = Nullable<Text>)]
    pub gateway_reference_id: Option<String>,
    /// `Method` by its word.
    #[diesel(sql_type = Nullable<Text>)]
    pub method: Option<String>,
    /// Name at bank and UTR, sealed for the account's id.
    #[diesel(sql_type = Nullable<Binary>)]
    pub sealed_result: Option<Vec<u8>>,
    /// 0–100.
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub name_match_score: Option<i16>,
    /// `FailureCode` by its word.
    #[diesel(sql_type = Nullable<Text>)]
    pub failure_code: Option<String>,
    /// Its sentence.
    #[diesel(sql_type = Nullable<Text>)]
    pub failure_reason: Option<String>,
    /// When it was asked for.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub validation_created_at: Option<DateTime<Utc>>,
    /// When it ended.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub completed_at: Option<DateTime<Utc>>,
}

impl AccountRow {
    /// Its id.
    pub fn id(&self) -> AccountId {
        AccountId(self.id)
    }

    /// Its customer.
    pub fn customer(&self) -> CustomerId {
        CustomerId(self.customer_id)
    }
}

impl ValidationColumns {
    /// The newest validation's id.
    pub fn id(&self) -> Option<ValidationId> {
        self.validation_id.map(ValidationId)
    }
}

/// What [`AccountRow`] is read from; callers add a `where`.
macro_rules! select_account {
    () => {
        "
    select a.id, a.customer_id, c.object_reference_id, a.sealed_details, a.fingerprint, a.bank_code, a.status,
           a.pinned_gateway_id, a.pinned_gateway_reference_id, a.metadata, a.created_at, a.updated_at,
           a.last_validated_at, v.id as validation_id, v.attempts, v.gateway_id, v.gateway_reference_id, v.method,
           v.sealed_result, v.name_match_score, v.failure_code, v.failure_reason,
           v.created_at as validation_created_at, v.completed_at
    from customer_accounts a
    join customers c on c.merchant_id = a.merchant_id and c.id = a.customer_id
    left join validations v on v.merchant_id = a.merchant_id and v.id = a.validation_id"
    };
}

/// Rounds of inserting and reading what stood in the way, before a batch is given up.
const ROUNDS: usize = 3;

/// Stores the accounts of many calls, each with its first validation, in three statements however many they are.
pub fn create(
    connection: &mut PgConnection,
    calls: &[CreateAccounts],
) -> QueryResult<Vec<Created>> {
    let customers = resolve_customers(connection, calls)?;
    let wanted: Vec<Wanted<'_>> = calls
        .iter()
        .filter_map(|call| Some((call, customers.get(&(call.merchant, &call.customer))?.0)))
        .flat_map(|(call, customer)| {
            call.accounts.iter().map(move |account| Wanted {
                call,
                customer,
                account,
            })
        })
        .collect();
    let mut outcomes: HashMap<AccountId, CreatedAccount> = HashMap::with_capacity(wanted.len());
    let mut missing = wanted;
    for _ in 0..ROUNDS {
        let inserted = insert_accounts(connection, &missing)?;
        missing.retain(|wanted| !inserted.contains(&wanted.account.id.0));
        outcomes.extend(
            inserted
                .into_iter()
                .map(|id| (AccountId(id), CreatedAccount::New)),
        );
        let standing = standing_accounts(connection, &missing)?;
        missing.retain(|wanted| match standing.get(&wanted.key()) {
            Some(row) => {
                outcomes.insert(
                    wanted.account.id,
                    CreatedAccount::Standing(Box::new(row.clone())),
                );
                false
            }
            // Deleted between the two statements: there is room for it now.
            None => true,
        });
        if missing.is_empty() {
            return answers(calls, &customers, outcomes);
        }
    }
    Err(diesel::result::Error::RollbackTransaction)
}

/// The outcomes, call by call.
fn answers(
    calls: &[CreateAccounts],
    customers: &Customers<'_>,
    mut outcomes: HashMap<AccountId, CreatedAccount>,
) -> QueryResult<Vec<Created>> {
    let answer = |call: &CreateAccounts| {
        let Some((customer, object_reference_id)) = customers.get(&(call.merchant, &call.customer))
        else {
            return Some(Created::UnknownCustomer);
        };
        let accounts = call
            .accounts
            .iter()
            .map(|account| outcomes.remove(&account.id))
            .collect::<Option<_>>()?;
        Some(Created::Accounts {
            customer: *customer,
            object_reference_id: object_reference_id.clone(),
            accounts,
        })
    };
    calls
        .iter()
        .map(answer)
        .collect::<Option<_>>()
        .ok_or(diesel::result::Error::NotFound)
}

/// An account to store, with its call and customer.
struct Wanted<'a> {
    call: &'a CreateAccounts,
    customer: CustomerId,
    account: &'a NewAccount,
}

impl Wanted<'_> {
    fn key(&self) -> (MerchantId, CustomerId, Vec<u8>) {
        (
            self.call.merchant,
            self.customer,
            self.account.fingerprint.to_vec(),
        )
    }
}

type Customers<'a> = HashMap<(MerchantId, &'a CustomerRef), (CustomerId, String)>;

#[derive(QueryableByName)]
struct CustomerRow {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    object_reference_id: String,
}

/// The customers the calls name; unknown references are registered where the call allows it.
fn resolve_customers<'a>(
    connection: &mut PgConnection,
    calls: &'a [CreateAccounts],
) -> QueryResult<Customers<'a>> {
    let wanted: HashSet<(MerchantId, &CustomerRef)> = calls
        .iter()
        .map(|call| (call.merchant, &call.customer))
        .collect();
    let mut found = select_customers(connection, &wanted)?;
    let mut missing: Vec<(Uuid, &str)> = calls
        .iter()
        .filter(|call| {
            call.implicit_customer && !found.contains_key(&(call.merchant, &call.customer))
        })
        .filter_map(|call| match &call.customer {
            CustomerRef::Reference(reference) => Some((call.merchant.0, reference.expose())),
            CustomerRef::Id(_) => None,
        })
        .collect();
    // In one order everywhere, so that two batches that register the same customers do not wait for each other.
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        statement(
            "insert into customers (merchant_id, id, object_reference_id)
             select * from unnest($1::uuid[], $2::uuid[], $3::text[])
             on conflict (merchant_id, object_reference_id) do nothing",
        )
        .bind::<Array<SqlUuid>, _>(
            missing
                .iter()
                .map(|(merchant, _)| *merchant)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<SqlUuid>, _>(
            missing
                .iter()
                .map(|_| CustomerId::new().0)
                .collect::<Vec<_>>(),
        )
        .bind::<Array<Text>, _>(
            missing
                .iter()
                .map(|(_, reference)| *reference)
                .collect::<Vec<_>>(),
        )
        .execute(connection)?;
        found = select_customers(connection, &wanted)?;
    }
    Ok(found)
}

fn select_customers<'a>(
    connection: &mut PgConnection,
    wanted: &HashSet<(MerchantId, &'a CustomerRef)>,
) -> QueryResult<Customers<'a>> {
    let (mut merchants, mut references) = (Vec::new(), Vec::new());
    let (mut merchants_of_ids, mut ids) = (Vec::new(), Vec::new());
    for (merchant, customer) in wanted {
        match customer {
            CustomerRef::Reference(reference) => {
                merchants.push(merchant.0);
                references.push(reference.expose());
            }
            CustomerRef::Id(id) => {
                merchants_of_ids.push(merchant.0);
                ids.push(id.0);
            }
        }
    }
    let mut rows: HashMap<(MerchantId, CustomerRef), (CustomerId, String)> =
        HashMap::with_capacity(wanted.len());
    let mut keep = |loaded: Vec<CustomerRow>, by_id: bool| {
        for row in loaded {
            let name = if by_id {
                Some(CustomerRef::Id(CustomerId(row.id)))
            } else {
                CustomerRef::parse(&row.object_reference_id)
            };
            if let Some(name) = name {
                rows.insert(
                    (MerchantId(row.merchant_id), name),
                    (CustomerId(row.id), row.object_reference_id),
                );
            }
        }
    };
    if !references.is_empty() {
        keep(
            statement(
                "select c.merchant_id, c.id, c.object_reference_id
                 from unnest($1::uuid[], $2::text[]) as wanted (merchant_id, reference)
                 join customers c on c.merchant_id = wanted.merchant_id and c.object_reference_id = wanted.reference",
            )
            .bind::<Array<SqlUuid>, _>(merchants)
            .bind::<Array<Text>, _>(references)
            .load(connection)?,
            false,
        );
    }
    if !ids.is_empty() {
        keep(
            statement(
                "select c.merchant_id, c.id, c.object_reference_id
                 from unnest($1::uuid[], $2::uuid[]) as wanted (merchant_id, id)
                 join customers c on c.merchant_id = wanted.merchant_id and c.id = wanted.id",
            )
            .bind::<Array<SqlUuid>, _>(merchants_of_ids)
            .bind::<Array<SqlUuid>, _>(ids)
            .load(connection)?,
            true,
        );
    }
    Ok(wanted
        .iter()
        .filter_map(|(merchant, customer)| {
            rows.remove(&(*merchant, (*customer).clone()))
                .map(|found| ((*merchant, *customer), found))
        })
        .collect())
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

/// Inserts what is not standing and returns the ids of what it inserted.
fn insert_accounts(
    connection: &mut PgConnection,
    wanted: &[Wanted<'_>],
) -> QueryResult<HashSet<Uuid>> {
    if wanted.is_empty() {
        return Ok(HashSet::new());
    }
    let mut rows: Vec<&Wanted<'_>> = wanted.iter().collect();
    // In one order everywhere: two batches with the same accounts then wait for each other in turn, not in a circle.
    rows.sort_unstable_by_key(|wanted| {
        (
            wanted.call.merchant,
            wanted.customer,
            wanted.account.fingerprint,
        )
    });
    macro_rules! column {
        ($row:pat => $value:expr) => {
            rows.iter().map(|$row| $value).collect::<Vec<_>>()
        };
    }
    let inserted: Vec<IdRow> = statement(
        "with input as (
            select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::bytea[], $7::bytea[],
                $8::text[], $9::text[], $10::smallint[], $11::text[], $12::text[], $13::text[], $14::text[],
                $15::text[], $16::timestamptz[], $17::timestamptz[])
            as t (merchant_id, customer_id, id, validation_id, kind, sealed_details, fingerprint,
                masked, bank_code, pinned_gateway_id, pinned_gateway_reference_id, metadata, consent, routing_id,
                trace_parent, created_at, deadline_at)
         ), account as (
            insert into customer_accounts (merchant_id, customer_id, id, validation_id, kind, sealed_details,
                fingerprint, masked, bank_code, pinned_gateway_id, pinned_gateway_reference_id, metadata, consent,
                routing_id, status, created_at, updated_at)
            select merchant_id, customer_id, id, validation_id, kind, sealed_details, fingerprint, masked, bank_code,
                pinned_gateway_id, pinned_gateway_reference_id, metadata::jsonb, consent::jsonb, routing_id,
                'CREATED', created_at, created_at
            from input
            on conflict (merchant_id, customer_id, fingerprint) where deleted_at is null do nothing
            returning merchant_id, id
         ), validation as (
            insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, trace_parent, created_at)
            select i.merchant_id, i.validation_id, i.id, 'DUE', now() + $18 * interval '1 ms', i.deadline_at,
                i.trace_parent, i.created_at
            from input i join account a on a.merchant_id = i.merchant_id and a.id = i.id
         )
         select id from account",
    )
    .bind::<Array<SqlUuid>, _>(column!(row => row.call.merchant.0))
    .bind::<Array<SqlUuid>, _>(column!(row => row.customer.0))
    .bind::<Array<SqlUuid>, _>(column!(row => row.account.id.0))
    .bind::<Array<SqlUuid>, _>(column!(row => row.account.validation.0))
    .bind::<Array<Text>, _>(column!(row => row.account.kind))
    .bind::<Array<Binary>, _>(column!(row => row.account.sealed_details.as_slice()))
    .bind::<Array<Binary>, _>(column!(row => row.account.fingerprint.as_slice()))
    .bind::<Array<Text>, _>(column!(row => row.account.masked.as_str()))
    .bind::<Array<Nullable<Text>>, _>(column!(row => row.account.bank_code.as_deref()))
    .bind::<Array<Nullable<SmallInt>>, _>(column!(row => row.call.pin.gateway_id))
    .bind::<Array<Nullable<Text>>, _>(column!(row => row.call.pin.reference_id.as_deref()))
    .bind::<Array<Text>, _>(column!(row => row.call.metadata.as_str()))
    .bind::<Array<Nullable<Text>>, _>(column!(row => row.call.consent.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(column!(row => row.call.routing_id.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(column!(row => row.call.trace_parent.as_deref()))
    .bind::<Array<Timestamptz>, _>(column!(row => row.call.created_at))
    .bind::<Array<Timestamptz>, _>(column!(row => row.call.deadline_at))
    .bind::<BigInt, _>(RING_GRACE_MS)
    .load(connection)?;
    Ok(inserted.into_iter().map(|row| row.id).collect())
}

type Standing = HashMap<(MerchantId, CustomerId, Vec<u8>), AccountRow>;

#[derive(QueryableByName)]
struct OwnedAccountRow {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(embed)]
    account: AccountRow,
}

/// The live accounts that stand in the place of these.
fn standing_accounts(
    connection: &mut PgConnection,
    missing: &[Wanted<'_>],
) -> QueryResult<Standing> {
    let wanted: Vec<(Uuid, Uuid, &[u8])> = missing
        .iter()
        .map(|row| {
            (
                row.call.merchant.0,
                row.customer.0,
                row.account.fingerprint.as_slice(),
            )
        })
        .collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = concat!(
        "select wanted.merchant_id, found.* from unnest($1::uuid[], $2::uuid[], $3::bytea[])
            as wanted (merchant_id, customer_id, fingerprint)
         cross join lateral (",
        select_account!(),
        "
            where a.merchant_id = wanted.merchant_id and a.customer_id = wanted.customer_id
              and a.fingerprint = wanted.fingerprint and a.deleted_at is null) as found"
    );
    let rows: Vec<OwnedAccountRow> = statement(sql)
        .bind::<Array<SqlUuid>, _>(wanted.iter().map(|w| w.0).collect::<Vec<_>>())
        .bind::<Array<SqlUuid>, _>(wanted.iter().map(|w| w.1).collect::<Vec<_>>())
        .bind::<Array<Binary>, _>(wanted.iter().map(|w| w.2).collect::<Vec<_>>())
        .load(connection)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let account = row.account;
            (
                (
                    MerchantId(row.merchant_id),
                    account.customer(),
                    account.fingerprint.clone(),
                ),
                account,
            )
        })
        .collect())
}

/// The customer's live account with this id.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    account: AccountId,
) -> QueryResult<Option<AccountRow>> {
    let sql = concat!(
        select_account!(),
        " where a.merchant_id = $1 and a.id = $2 and a.deleted_at is null"
    );
    let row: Option<AccountRow> = statement(sql)
        .bind::<SqlUuid, _>(merchant.0)
        .bind::<SqlUuid, _>(account.0)
        .get_result(connection)
        .optional()?;
    Ok(row.filter(|row| match customer {
        CustomerRef::Id(id) => row.customer_id == id.0,
        CustomerRef::Reference(reference) => row.object_reference_id == reference.expose(),
    }))
}

/// One page of a customer's live accounts, newest first.
#[derive(Debug)]
pub struct Page {
    /// The accounts.
    pub accounts: Vec<AccountRow>,
    /// How many the customer has.
    pub total: i64,
}

#[derive(QueryableByName)]
struct CountRow {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// A page of `count` accounts after the first `offset`; `None` if there is no such customer.
pub fn list(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
    count: i64,
    offset: i64,
) -> QueryResult<Option<Page>> {
    let wanted = HashSet::from([(merchant, customer)]);
    let Some((id, _)) = select_customers(connection, &wanted)?.remove(&(merchant, customer)) else {
        return Ok(None);
    };
    let total: CountRow = statement(
        "select count(*) as total from customer_accounts
         where merchant_id = $1 and customer_id = $2 and deleted_at is null",
    )
    .bind::<SqlUuid, _>(merchant.0)
    .bind::<SqlUuid, _>(id.0)
    .get_result(connection)?;
    let sql = concat!(
        select_account!(),
        " where a.merchant_id = $1 and a.customer_id = $2 and a.deleted_at is null
         order by a.id desc limit $3 offset $4"
    );
    let accounts = statement(sql)
        .bind::<SqlUuid, _>(merchant.0)
        .bind::<SqlUuid, _>(id.0)
        .bind::<BigInt, _>(count)
        .bind::<BigInt, _>(offset)
        .load(connection)?;
    Ok(Some(Page {
        accounts,
        total: total.total,
    }))
}
