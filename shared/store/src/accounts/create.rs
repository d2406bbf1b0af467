//! Creates the accounts of many requests in a handful of statements.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;

use super::columns::{AccountRow, WAKEUP_GRACE_MS, select_small_account};
use super::new::{CreateAccounts, NewAccount};
use super::velocity::{self, Checked, Limited};
use crate::budget;
use crate::customers::{self, Customers};
use crate::statement::{rows, statement};
use khata_domain::{AccountId, CustomerId, MerchantId};

/// The result of one request.
#[derive(Debug)]
pub enum Created {
    /// Stored.
    Accounts {
        customer: CustomerId,
        /// The merchant's reference for the customer.
        object_reference_id: String,
        /// One per requested account, in the order of the request.
        accounts: Vec<CreatedAccount>,
    },
    /// There is no such customer; nothing was stored.
    UnknownCustomer,
    /// A limit of the merchant rejects the request; nothing was stored.
    Limited(Limited),
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

/// Rounds of inserting accounts and reading existing ones, before the batch fails.
const ROUNDS: usize = 3;

/// Stores the accounts of many requests, each with its first validation, in a few statements however many they are.
pub fn create(
    connection: &mut PgConnection,
    calls: &[&CreateAccounts],
) -> QueryResult<Vec<Created>> {
    let named = calls
        .iter()
        .map(|call| (call.merchant, &call.customer, call.implicit_customer));
    let customers = customers::resolve(connection, named)?;
    let Checked { limited, existing } = velocity::check(connection, calls, &customers)?;
    let wanted: Vec<Wanted<'_>> = calls
        .iter()
        .zip(&limited)
        .filter(|(_, limited)| limited.is_none())
        .filter_map(|(call, _)| Some((*call, customers.get(&(call.merchant, &call.customer))?.0)))
        .flat_map(|(call, customer)| {
            call.accounts.iter().map(move |account| Wanted {
                call,
                customer,
                account,
            })
        })
        .collect();
    let mut results: HashMap<AccountId, CreatedAccount> = HashMap::with_capacity(wanted.len());
    let mut missing = wanted;
    for round in 0..ROUNDS {
        // No statement carries an account that exists, as far as the limits' count has seen it.
        let is_new = |wanted: &&Wanted<'_>| round > 0 || !existing.contains(&wanted.key());
        let new: Vec<&Wanted<'_>> = missing.iter().filter(is_new).collect();
        let inserted = insert_accounts(connection, new)?;
        missing.retain(|wanted| !inserted.contains(&wanted.account.id));
        results.extend(inserted.into_iter().map(|id| (id, CreatedAccount::New)));
        let found = existing_accounts(connection, &missing)?;
        missing.retain(|wanted| {
            let (merchant, customer, fingerprint) = wanted.key();
            let Some(row) = found.get(&(merchant, customer, fingerprint.to_vec())) else {
                // Deleted between the two statements: the next round inserts it.
                return true;
            };
            let row = CreatedAccount::Existing(Box::new(row.clone()));
            results.insert(wanted.account.id, row);
            false
        });
        if missing.is_empty() {
            return by_call(calls, &customers, limited, results);
        }
    }
    Err(diesel::result::Error::RollbackTransaction)
}

/// Sorts the results by request.
fn by_call(
    calls: &[&CreateAccounts],
    customers: &Customers<'_>,
    limited: Vec<Option<Limited>>,
    mut results: HashMap<AccountId, CreatedAccount>,
) -> QueryResult<Vec<Created>> {
    let created = |(call, limited): (&&CreateAccounts, Option<Limited>)| {
        let Some((customer, object_reference_id)) = customers.get(&(call.merchant, &call.customer))
        else {
            return Some(Created::UnknownCustomer);
        };
        if let Some(limited) = limited {
            return Some(Created::Limited(limited));
        }
        let accounts = call
            .accounts
            .iter()
            .map(|account| results.remove(&account.id))
            .collect::<Option<Vec<_>>>()?;
        Some(Created::Accounts {
            customer: *customer,
            object_reference_id: object_reference_id.clone(),
            accounts,
        })
    };
    calls
        .iter()
        .zip(limited)
        .map(created)
        .collect::<Option<_>>()
        .ok_or(diesel::result::Error::NotFound)
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
}

/// Inserts the accounts that do not exist, and returns their ids.
fn insert_accounts(
    connection: &mut PgConnection,
    mut wanted: Vec<&Wanted<'_>>,
) -> QueryResult<HashSet<AccountId>> {
    // Every batch inserts in the same order, so that two batches with the same accounts cannot deadlock.
    wanted.sort_unstable_by_key(|wanted| wanted.key());
    let input = rows!(&wanted, row => {
        merchant_id = row.call.merchant,
        customer_id = row.customer,
        id = row.account.id,
        validation_id = row.account.validation,
        kind = row.account.kind,
        sealed_details = row.account.sealed_details.as_slice(),
        fingerprint = row.account.fingerprint.as_slice(),
        masked = row.account.masked.as_str(),
        bank_code = row.account.bank_code.as_deref(),
        pinned_gateway_id = row.call.pin.gateway_id,
        pinned_gateway_reference_id = row.call.pin.reference_id.as_deref(),
        metadata = row.call.metadata.as_str(),
        consent = row.call.terms.consent.as_deref(),
        routing_id = row.call.routing_id.as_deref(),
        trace_parent = row.call.terms.trace_parent.as_deref(),
        created_at = row.call.terms.now,
        deadline_at = row.call.terms.deadline_at,
        awaited_until = row.call.terms.awaited_until,
        fresh = row.call.terms.fresh,
        may_pay = row.call.may_pay(row.account),
    });
    let count_drops = budget::count("drops");
    let inserted: Vec<AccountId> = statement(format!(
        "with input as (
            select * from $1 as input
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
            select i.merchant_id, i.validation_id, i.id, 'DUE', now() + $2 * interval '1 ms', i.deadline_at,
                i.trace_parent, i.created_at, i.awaited_until, i.fresh
            from input i join account a on a.merchant_id = i.merchant_id and a.id = i.id
         ), drops as (
            select i.merchant_id from input i join account a on a.merchant_id = i.merchant_id and a.id = i.id
            where i.may_pay
         ), counted as (
            {count_drops}
         )
         select id from account",
    ))
    .rows(input)
    .bind(WAKEUP_GRACE_MS)
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
