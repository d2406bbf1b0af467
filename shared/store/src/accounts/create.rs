//! Creates the accounts of many requests in a handful of statements.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::columns::{AccountRow, WAKEUP_GRACE_MS, select_small_account};
use super::new::{CreateAccounts, NewAccount};
use super::velocity::{self, Limited, Locks, Refused};
use crate::budget;
use crate::customers::{self, Customers};
use crate::events;
use crate::statement::{rows, statement};
use khata_domain::{AccountId, CustomerId, EventId, MerchantId};

/// The result of one request.
#[derive(Debug)]
pub enum Created {
    /// Stored.
    Accounts {
        customer: CustomerId,
        /// The merchant's reference for the customer.
        object_reference_id: String,
        /// When the new accounts were created.
        created_at: DateTime<Utc>,
        /// One per requested account, in the order of the request.
        accounts: Vec<CreatedAccount>,
        /// Their events are delivered to endpoints of the merchant.
        has_deliveries: bool,
    },
    /// There is no such customer; nothing was stored.
    UnknownCustomer,
    /// A limit of the merchant rejects the request; nothing was stored.
    Limited(Limited),
    /// Another transaction holds a lock that the request needs; nothing was stored. The caller submits it again.
    Busy,
}

/// The result for one account of a request.
#[derive(Debug)]
pub enum CreatedAccount {
    /// Stored as the request gave it.
    New,
    /// The customer already has a live account with these details. Large metadata is left out, because the whole batch would
    /// wait for it: the caller reads it after the commit ([`AccountRow::lacks_metadata`]).
    Existing(Box<AccountRow>),
}

/// Stores the accounts of many requests, each with its first validation, in a few statements however many they are. Never waits
/// for a merchant's locks.
pub fn create(
    connection: &mut PgConnection,
    calls: &[&CreateAccounts],
) -> QueryResult<Vec<Created>> {
    let named = calls
        .iter()
        .map(|call| (call.merchant, &call.customer, call.implicit_customer));
    let customers = customers::resolve(connection, named)?;
    let mut checked = velocity::check(connection, calls, &customers)?;
    // Read before anything is inserted: a request whose account is deleted at this moment can still be refused.
    let mut old = wanted(calls, &customers, &checked.refused);
    old.retain(|wanted| checked.existing.contains(&wanted.key()));
    let mut existing = existing_accounts(connection, &old)?;
    for (call, refused) in calls.iter().zip(&mut checked.refused) {
        let mut of_call = old.iter().filter(|wanted| std::ptr::eq(wanted.call, *call));
        if of_call.any(|wanted| !existing.contains_key(&wanted.owned_key())) {
            *refused = Some(Refused::Busy);
        }
    }
    let mut new = wanted(calls, &customers, &checked.refused);
    new.retain(|wanted| !existing.contains_key(&wanted.owned_key()));
    // Requests of one batch may name the same new account.
    let mut seen = HashSet::with_capacity(new.len());
    let (new, mut others): (Vec<_>, Vec<_>) = new
        .into_iter()
        .partition(|wanted| seen.insert(wanted.key()));
    let inserted = insert_accounts(connection, &new, &checked.locks)?;
    let is_inserted = |wanted: &Wanted<'_>| inserted.contains_key(&wanted.account.id);
    others.extend(new.into_iter().filter(|wanted| !is_inserted(wanted)));
    existing.extend(existing_accounts(connection, &others)?);
    let result = |(call, refused): (&&CreateAccounts, Option<Refused>)| {
        let found = customers.get(call.merchant, &call.customer);
        let (customer, object_reference_id) = match (found, refused) {
            (_, Some(Refused::Limited(limited))) => return Some(Created::Limited(limited)),
            (_, Some(Refused::Busy)) => return Some(Created::Busy),
            (Some(found), None) => found.clone(),
            (None, None) if customers.is_busy(call.merchant, &call.customer) => {
                return Some(Created::Busy);
            }
            (None, None) => return Some(Created::UnknownCustomer),
        };
        let account = |account: &NewAccount| {
            if inserted.contains_key(&account.id) {
                return Some(CreatedAccount::New);
            }
            let key = (call.merchant, customer, account.fingerprint.to_vec());
            let row = existing.get(&key)?.clone();
            Some(CreatedAccount::Existing(Box::new(row)))
        };
        Some(Created::Accounts {
            customer,
            object_reference_id,
            created_at: checked.now,
            accounts: call.accounts.iter().map(account).collect::<Option<_>>()?,
            has_deliveries: call
                .accounts
                .iter()
                .any(|account| inserted.get(&account.id) == Some(&true)),
        })
    };
    calls
        .iter()
        .zip(checked.refused)
        .map(result)
        .collect::<Option<_>>()
        .ok_or(diesel::result::Error::NotFound)
}

/// Returns the accounts of the requests that are not refused.
fn wanted<'a>(
    calls: &[&'a CreateAccounts],
    customers: &Customers<'_>,
    refused: &[Option<Refused>],
) -> Vec<Wanted<'a>> {
    let admitted = calls.iter().zip(refused);
    admitted
        .filter(|(_, refused)| refused.is_none())
        .filter_map(|(call, _)| Some((*call, customers.get(call.merchant, &call.customer)?.0)))
        .flat_map(|(call, customer)| {
            call.accounts.iter().map(move |account| Wanted {
                call,
                customer,
                account,
            })
        })
        .collect()
}

/// An account to store, with its request and customer.
struct Wanted<'a> {
    call: &'a CreateAccounts,
    customer: CustomerId,
    account: &'a NewAccount,
}

impl<'a> Wanted<'a> {
    fn key(&self) -> (MerchantId, CustomerId, &'a [u8]) {
        let fingerprint = self.account.fingerprint.as_slice();
        (self.call.merchant, self.customer, fingerprint)
    }

    fn owned_key(&self) -> (MerchantId, CustomerId, Vec<u8>) {
        let (merchant, customer, fingerprint) = self.key();
        (merchant, customer, fingerprint.to_vec())
    }
}

/// Inserts the accounts that do not exist. Returns their ids, each with whether its merchant gets deliveries.
fn insert_accounts(
    connection: &mut PgConnection,
    wanted: &[Wanted<'_>],
    locks: &Locks,
) -> QueryResult<HashMap<AccountId, bool>> {
    let input = rows!(wanted, row => {
        merchant_id = row.call.merchant,
        customer_id = row.customer,
        id = row.account.id,
        validation_id = row.account.validation,
        kind = row.account.kind,
        sealed_details = row.account.sealed_details.as_slice(),
        fingerprint = row.account.fingerprint.as_slice(),
        masked = row.account.masked.as_str(),
        bank_code = row.account.bank_code.as_deref(),
        sealed_webhook_url = row.account.sealed_webhook_url.as_deref(),
        pinned_gateway_id = row.call.pin.gateway_id,
        pinned_gateway_reference_id = row.call.pin.reference_id.as_deref(),
        metadata = row.call.metadata.as_str(),
        consent = row.call.terms.consent.as_deref(),
        routing_id = row.call.routing_id.as_deref(),
        trace_parent = row.call.terms.trace_parent.as_deref(),
        deadline_ms = row.call.terms.deadline.num_milliseconds(),
        awaited_ms = row.call.terms.awaited.map(|wait| wait.num_milliseconds()),
        fresh = row.call.terms.fresh,
        event_id = EventId::new(),
    });
    let mut drops: HashMap<MerchantId, i64> = HashMap::new();
    for wanted in wanted
        .iter()
        .filter(|wanted| wanted.call.may_pay(wanted.account))
    {
        *drops.entry(wanted.call.merchant).or_default() += 1;
    }
    let drops: Vec<_> = drops
        .into_iter()
        .filter_map(|(merchant, drops)| Some((merchant, locks.budget(merchant)?.slot, drops)))
        .collect();
    let count_drops = budget::count("$3 as counted");
    let record = events::record(
        &["trace_parent, status, pinned_gateway_id, pinned_gateway_reference_id"],
        "select merchant_id, event_id, event_position, id, 1, 'CUSTOMER_ACCOUNT_CREATED', now(), trace_parent, 'CREATED',
            pinned_gateway_id, pinned_gateway_reference_id
         from new",
    );
    let position = events::POSITION;
    let inserted: Vec<(AccountId, bool)> = statement(format!(
        "with input as (
            select * from $1 as input
         ), account as (
            insert into customer_accounts (merchant_id, customer_id, id, validation_id, kind, sealed_details,
                fingerprint, masked, bank_code, pinned_gateway_id, pinned_gateway_reference_id, metadata, consent,
                routing_id, sealed_webhook_url, status, created_at, updated_at, event_position)
            select merchant_id, customer_id, id, validation_id, kind, sealed_details, fingerprint, masked, bank_code,
                pinned_gateway_id, pinned_gateway_reference_id, metadata::jsonb, consent::jsonb, routing_id,
                sealed_webhook_url, 'CREATED', now(), now(), {position}
            from input
            on conflict (merchant_id, customer_id, fingerprint) where deleted_at is null do nothing
            returning merchant_id, id
         ), new as materialized (
            -- Not a join: the settings of a lane permit it to compare each pair of rows only.
            select i.*, {position} as event_position from input i
            where ((merchant_id, id) in (select merchant_id, id from account)) is true
         ), validation as (
            insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, trace_parent, created_at,
                awaited_until, fresh)
            select merchant_id, validation_id, id, 'DUE', now() + $2 * interval '1 ms',
                now() + deadline_ms * interval '1 ms', trace_parent, now(), now() + awaited_ms * interval '1 ms', fresh
            from new
         ), drops as (
            {count_drops}
         ), {record}
         select id, merchant_id in (select merchant_id from delivery) from account",
    ))
    .rows(input)
    .bind(WAKEUP_GRACE_MS)
    .rows_beside(rows!(&drops, (merchant, slot, drops) => {
        merchant_id = *merchant,
        slot = *slot,
        drops = *drops,
    }))
    .tuples(connection)?;
    Ok(inserted.into_iter().collect())
}

type ExistingAccounts = HashMap<(MerchantId, CustomerId, Vec<u8>), AccountRow>;

/// Reads the live accounts that have the details of the missing ones.
fn existing_accounts(
    connection: &mut PgConnection,
    missing: &[Wanted<'_>],
) -> QueryResult<ExistingAccounts> {
    let sql = format!(
        "select found.* from $1 as wanted cross join lateral (
            {} where a.merchant_id = wanted.merchant_id and a.customer_id = wanted.customer_id
              and a.fingerprint = wanted.fingerprint and a.deleted_at is null offset 0) as found",
        select_small_account()
    );
    let rows: Vec<AccountRow> = statement(sql)
        .rows(rows!(missing, row => {
            merchant_id = row.call.merchant,
            customer_id = row.customer,
            fingerprint = row.account.fingerprint.as_slice(),
        }))
        .load(connection)?;
    let keyed = |row: AccountRow| ((row.merchant, row.customer, row.fingerprint.clone()), row);
    Ok(rows.into_iter().map(keyed).collect())
}
