//! Merchants' customers.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::column::row;
use super::locks::{Lock, try_lock};
use super::statement::{Rows, rows, statement};
use khata_domain::ids::{CustomerRef, ObjectReferenceId};
use khata_domain::{CustomerId, MerchantId};
use sha2::{Digest, Sha256};

row! {
    /// A customer.
    #[derive(Clone, Debug)]
    pub struct Customer {
        pub id: CustomerId,
        /// The merchant's reference.
        pub object_reference_id: String,
        pub created_at: DateTime<Utc>,
        /// Time of the last change of the contact data.
        pub updated_at: DateTime<Utc>,
        /// Contact data, encrypted for the customer's id.
        pub sealed_contact: Option<Vec<u8>>,
    }
}

const COLUMNS: &str = "id, object_reference_id, created_at, updated_at, sealed_contact";

/// Inserts a customer; `None` if the merchant already has one with this reference.
pub fn insert(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: CustomerId,
    reference: &ObjectReferenceId,
    sealed_contact: &[u8],
) -> QueryResult<Option<Customer>> {
    statement("select pg_advisory_xact_lock($1)")
        .bind(lock_of(merchant, reference.expose()))
        .run(connection)?;
    statement(format!(
        "insert into customers (merchant_id, id, object_reference_id, sealed_contact, created_at, updated_at)
         values ($1, $2, $3, $4, now(), now())
         on conflict (merchant_id, object_reference_id) do nothing returning {COLUMNS}"
    ))
    .key(merchant, id)
    .bind(reference.expose())
    .bind(sealed_contact)
    .get_result(connection)
    .optional()
}

/// Finds the merchant's customer.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
) -> QueryResult<Option<Customer>> {
    let of = |column| {
        format!("select {COLUMNS} from customers where merchant_id = $1 and {column} = $2")
    };
    match customer {
        CustomerRef::Id(id) => statement(of("id")).key(merchant, *id),
        CustomerRef::Reference(reference) => statement(of("object_reference_id"))
            .bind(merchant)
            .bind(reference.expose()),
    }
    .get_result(connection)
    .optional()
}

/// Finds the merchant's customer with this id and locks the row until the transaction ends.
pub fn lock(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: CustomerId,
) -> QueryResult<Option<Customer>> {
    statement(format!(
        "select {COLUMNS} from customers where merchant_id = $1 and id = $2 for update"
    ))
    .key(merchant, customer)
    .get_result(connection)
    .optional()
}

/// Changes the contact data; `None` if there is no such customer.
pub fn update_contact(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: CustomerId,
    sealed_contact: &[u8],
) -> QueryResult<Option<Customer>> {
    statement(format!(
        "update customers set sealed_contact = $1, updated_at = now() where merchant_id = $2 and id = $3 returning {COLUMNS}"
    ))
    .bind(sealed_contact)
    .key(merchant, customer)
    .get_result(connection)
    .optional()
}

/// Returns the lock of a reference: the transaction that holds it registers the customer.
fn lock_of(merchant: MerchantId, reference: &str) -> i64 {
    let digest = Sha256::new_with_prefix(merchant.0.as_bytes()).chain_update(reference);
    let digest: [u8; 32] = digest.finalize().into();
    Lock::Customer.key(*digest.first_chunk().unwrap_or(&[0; 8]))
}

/// Id and reference of each customer that a call names.
type Found<'a> = HashMap<(MerchantId, &'a CustomerRef), (CustomerId, String)>;

/// The customers that calls name.
pub(super) struct Customers<'a> {
    found: Found<'a>,
    /// References that other transactions register now.
    busy: HashSet<(MerchantId, &'a str)>,
}

impl Customers<'_> {
    /// Returns the customer's id and reference; `None` if the customer is unknown.
    pub(super) fn get<'c>(
        &'c self,
        merchant: MerchantId,
        customer: &'c CustomerRef,
    ) -> Option<&'c (CustomerId, String)> {
        self.found.get(&(merchant, customer))
    }

    /// Whether another transaction registers the customer now.
    pub(super) fn is_busy(&self, merchant: MerchantId, customer: &CustomerRef) -> bool {
        match customer {
            CustomerRef::Reference(reference) => {
                self.busy.contains(&(merchant, reference.expose()))
            }
            CustomerRef::Id(_) => false,
        }
    }
}

/// Finds the customers that calls name, and registers an unknown reference if its call allows it. Never waits for another
/// transaction that registers one.
pub(super) fn resolve<'a>(
    connection: &mut PgConnection,
    named: impl Iterator<Item = (MerchantId, &'a CustomerRef, bool)> + Clone,
) -> QueryResult<Customers<'a>> {
    let wanted: HashSet<(MerchantId, &CustomerRef)> = named
        .clone()
        .map(|(merchant, customer, _)| (merchant, customer))
        .collect();
    let mut found = select_customers(connection, &wanted)?;
    let mut missing: Vec<(MerchantId, &str)> = named
        .filter(|(merchant, customer, register)| {
            *register && !found.contains_key(&(*merchant, *customer))
        })
        .filter_map(|(merchant, customer, _)| match customer {
            CustomerRef::Reference(reference) => Some((merchant, reference.expose())),
            CustomerRef::Id(_) => None,
        })
        .collect();
    missing.sort_unstable();
    missing.dedup();
    let mut busy = HashSet::new();
    if !missing.is_empty() {
        let key = |(merchant, reference): &(MerchantId, &str)| lock_of(*merchant, reference);
        let locked = try_lock(connection, missing.iter().map(key).collect())?;
        busy.extend(missing.extract_if(.., |missing| !locked.contains(&key(missing))));
        statement(
            "insert into customers (merchant_id, id, object_reference_id)
             select merchant_id, id, object_reference_id from $1 as input
             on conflict (merchant_id, object_reference_id) do nothing",
        )
        .rows(rows!(&missing, (merchant, reference) => {
            merchant_id = *merchant,
            id = CustomerId::new(),
            object_reference_id = *reference,
        }))
        .run(connection)?;
        // A busy customer may be registered meanwhile.
        found = select_customers(connection, &wanted)?;
    }
    Ok(Customers { found, busy })
}

/// Finds the id and reference of one customer.
pub(super) fn find_id(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
) -> QueryResult<Option<(CustomerId, String)>> {
    let wanted = HashSet::from([(merchant, customer)]);
    Ok(select_customers(connection, &wanted)?.remove(&(merchant, customer)))
}

fn select_customers<'a>(
    connection: &mut PgConnection,
    wanted: &HashSet<(MerchantId, &'a CustomerRef)>,
) -> QueryResult<Found<'a>> {
    let (mut by_reference, mut by_id) = (Vec::new(), Vec::new());
    for named in wanted {
        match named.1 {
            CustomerRef::Reference(reference) => by_reference.push((*named, reference.expose())),
            CustomerRef::Id(id) => by_id.push((*named, *id)),
        }
    }
    let mut load = |sql: &'static str, wanted: Rows<'_>| -> QueryResult<_> {
        let rows: Vec<(i64, CustomerId, String)> =
            statement(sql).rows(wanted.numbered()).tuples(connection)?;
        Ok(rows.into_iter().map(|(place, id, reference)| {
            let index = usize::try_from(place - 1).unwrap_or(usize::MAX);
            (index, (id, reference))
        }))
    };
    let mut found = HashMap::with_capacity(wanted.len());
    let of_references = load(
        "select wanted.place, c.id, c.object_reference_id
         from $1 as wanted
         join customers c on c.merchant_id = wanted.merchant_id and c.object_reference_id = wanted.reference",
        rows!(&by_reference, ((merchant, _), name) => { merchant_id = *merchant, reference = *name }),
    )?;
    let of_ids = load(
        "select wanted.place, c.id, c.object_reference_id
         from $1 as wanted
         join customers c on c.merchant_id = wanted.merchant_id and c.id = wanted.id",
        rows!(&by_id, ((merchant, _), id) => { merchant_id = *merchant, id = *id }),
    )?;
    found.extend(of_references.filter_map(|(index, row)| Some((by_reference.get(index)?.0, row))));
    found.extend(of_ids.filter_map(|(index, row)| Some((by_id.get(index)?.0, row))));
    Ok(found)
}
