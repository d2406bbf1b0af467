//! Accounts of many calls, stored in a handful of statements.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Binary, Bool, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use uuid::Uuid;

use super::{AccountRow, RING_GRACE_MS, select_account, velocity};
use crate::customers::{self, Customers};
use crate::statement::statement;
use khata_domain::ids::CustomerRef;
use khata_domain::routing::Pin;
use khata_domain::{AccountId, CustomerId, MerchantId, ValidationId};

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
    /// Until when the caller waits for the outcome; `None` where it does not.
    pub awaited_until: Option<DateTime<Utc>>,
    /// Validations that the same details may have in 24 hours.
    pub validations_per_day: i16,
    /// A gateway is to be asked, however young an earlier result is.
    pub fresh: bool,
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
    /// The merchant has had these details validated too often; nothing was stored.
    TooManyValidations {
        /// Which account, counted from 0 in the order of the call.
        account: usize,
        /// When there is room again.
        until: DateTime<Utc>,
    },
}

/// What became of one account of a call.
#[derive(Debug)]
pub enum CreatedAccount {
    /// It is new, as it was handed in.
    New,
    /// The customer has had it: the live account in its place.
    Standing(Box<AccountRow>),
}

/// Rounds of inserting and reading what stood in the way, before a batch is given up.
const ROUNDS: usize = 3;

/// Stores the accounts of many calls, each with its first validation, in four statements however many they are.
pub fn create<C: Borrow<CreateAccounts>>(
    connection: &mut PgConnection,
    calls: &[C],
) -> QueryResult<Vec<Created>> {
    let customers = resolve_customers(connection, calls)?;
    let limited = velocity::limited(connection, calls, &customers)?;
    let wanted: Vec<Wanted<'_>> = calls
        .iter()
        .zip(&limited)
        .filter(|(_, limited)| limited.is_none())
        .map(|(call, _)| call.borrow())
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
            return answers(calls, &customers, limited, outcomes);
        }
    }
    Err(diesel::result::Error::RollbackTransaction)
}

/// The outcomes, call by call.
fn answers<C: Borrow<CreateAccounts>>(
    calls: &[C],
    customers: &Customers<'_>,
    limited: Vec<Option<velocity::Limited>>,
    mut outcomes: HashMap<AccountId, CreatedAccount>,
) -> QueryResult<Vec<Created>> {
    let answer = |(call, limited): (&C, Option<velocity::Limited>)| {
        let call = call.borrow();
        let Some((customer, object_reference_id)) = customers.get(&(call.merchant, &call.customer))
        else {
            return Some(Created::UnknownCustomer);
        };
        if let Some(velocity::Limited { account, until }) = limited {
            return Some(Created::TooManyValidations { account, until });
        }
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
        .zip(limited)
        .map(answer)
        .collect::<Option<_>>()
        .ok_or(diesel::result::Error::NotFound)
}

/// The customers the calls name; unknown references are registered where the call allows it.
fn resolve_customers<'a, C: Borrow<CreateAccounts>>(
    connection: &mut PgConnection,
    calls: &'a [C],
) -> QueryResult<Customers<'a>> {
    let named = |call: &'a C| {
        let call = call.borrow();
        (call.merchant, &call.customer, call.implicit_customer)
    };
    customers::resolve(connection, calls.iter().map(named))
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
                $15::text[], $16::timestamptz[], $17::timestamptz[], $18::timestamptz[], $19::bool[])
            as t (merchant_id, customer_id, id, validation_id, kind, sealed_details, fingerprint,
                masked, bank_code, pinned_gateway_id, pinned_gateway_reference_id, metadata, consent, routing_id,
                trace_parent, created_at, deadline_at, awaited_until, fresh)
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
            insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, trace_parent, created_at,
                awaited_until, fresh)
            select i.merchant_id, i.validation_id, i.id, 'DUE', now() + $20 * interval '1 ms', i.deadline_at,
                i.trace_parent, i.created_at, i.awaited_until, i.fresh
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
    .bind::<Array<Nullable<Timestamptz>>, _>(column!(row => row.call.awaited_until))
    .bind::<Array<Bool>, _>(column!(row => row.call.fresh))
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
              and a.fingerprint = wanted.fingerprint and a.deleted_at is null offset 0) as found"
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
