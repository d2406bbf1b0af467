//! Merchants' customers.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::schema::customers;
use super::statement::statement;
use khata_domain::ids::{CustomerRef, ObjectReferenceId};
use khata_domain::{CustomerId, MerchantId};

/// A customer.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = customers, check_for_backend(diesel::pg::Pg))]
pub struct Customer {
    id: Uuid,
    /// The merchant's name for it.
    pub object_reference_id: String,
    /// When it was stored.
    pub created_at: DateTime<Utc>,
    /// When its contact data last changed.
    pub updated_at: DateTime<Utc>,
    /// Contact data, sealed for the customer's id.
    pub sealed_contact: Option<Vec<u8>>,
}

impl Customer {
    /// Its id.
    pub fn id(&self) -> CustomerId {
        CustomerId(self.id)
    }
}

/// Inserts a customer; `None` if the merchant has one of this reference.
pub fn insert(
    connection: &mut PgConnection,
    merchant: MerchantId,
    id: CustomerId,
    reference: &ObjectReferenceId,
    sealed_contact: &[u8],
    now: DateTime<Utc>,
) -> QueryResult<Option<Customer>> {
    diesel::insert_into(customers::table)
        .values((
            customers::merchant_id.eq(merchant.0),
            customers::id.eq(id.0),
            customers::object_reference_id.eq(reference.expose()),
            customers::sealed_contact.eq(sealed_contact),
            customers::created_at.eq(now),
            customers::updated_at.eq(now),
        ))
        .on_conflict((customers::merchant_id, customers::object_reference_id))
        .do_nothing()
        .returning(Customer::as_returning())
        .get_result(connection)
        .optional()
}

/// The merchant's customer of this name.
pub fn find(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: &CustomerRef,
) -> QueryResult<Option<Customer>> {
    named(merchant, customer)
        .select(Customer::as_select())
        .first(connection)
        .optional()
}

/// The merchant's customer with this id, locked: nobody else changes it until the transaction ends.
pub fn lock(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: CustomerId,
) -> QueryResult<Option<Customer>> {
    customers::table
        .find((merchant.0, customer.0))
        .select(Customer::as_select())
        .for_update()
        .first(connection)
        .optional()
}

/// Changes the contact data; `None` if there is no such customer.
pub fn update_contact(
    connection: &mut PgConnection,
    merchant: MerchantId,
    customer: CustomerId,
    sealed_contact: &[u8],
    now: DateTime<Utc>,
) -> QueryResult<Option<Customer>> {
    diesel::update(customers::table.find((merchant.0, customer.0)))
        .set((
            customers::sealed_contact.eq(sealed_contact),
            customers::updated_at.eq(now),
        ))
        .returning(Customer::as_returning())
        .get_result(connection)
        .optional()
}

fn named(
    merchant: MerchantId,
    customer: &CustomerRef,
) -> customers::BoxedQuery<'_, diesel::pg::Pg> {
    let all = customers::table.into_boxed();
    let own = all.filter(customers::merchant_id.eq(merchant.0));
    match customer {
        CustomerRef::Id(id) => own.filter(customers::id.eq(id.0)),
        CustomerRef::Reference(reference) => {
            own.filter(customers::object_reference_id.eq(reference.expose()))
        }
    }
}

/// Id and reference by the name that was asked for; what there is not, is missing.
pub(super) type Customers<'a> = HashMap<(MerchantId, &'a CustomerRef), (CustomerId, String)>;

#[derive(QueryableByName)]
struct NamedRow {
    #[diesel(sql_type = SqlUuid)]
    merchant_id: Uuid,
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
    #[diesel(sql_type = Text)]
    object_reference_id: String,
}

/// The customers that calls name, each with whether an unknown reference is to be registered.
pub(super) fn resolve<'a>(
    connection: &mut PgConnection,
    named: impl Iterator<Item = (MerchantId, &'a CustomerRef, bool)> + Clone,
) -> QueryResult<Customers<'a>> {
    let wanted: HashSet<(MerchantId, &CustomerRef)> = named
        .clone()
        .map(|(merchant, customer, _)| (merchant, customer))
        .collect();
    let mut found = select_customers(connection, &wanted)?;
    let mut missing: Vec<(Uuid, &str)> = named
        .filter(|(merchant, customer, register)| {
            *register && !found.contains_key(&(*merchant, *customer))
        })
        .filter_map(|(merchant, customer, _)| match customer {
            CustomerRef::Reference(reference) => Some((merchant.0, reference.expose())),
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

/// Id and reference of one customer.
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
    let mut keep = |loaded: Vec<NamedRow>, by_id: bool| {
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
