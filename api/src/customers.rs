//! Merchants' customers: create, get, update (contract, *Customers*).

mod contact;
pub(crate) mod present;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use chrono::{SubsecRound, Utc};
use khata_crypto::Purpose;
use khata_domain::CustomerId;
use khata_store::customers;
use tracing::{Span, field};

use crate::context::RequestContext;
use crate::decode::Fields;
use crate::error::{ApiError, NO_CUSTOMER, method_not_allowed};
use crate::idempotency::Written;
use crate::{reply, schema};
use contact::Contact;

/// Adds the routes.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/customers")
                .route(web::post().to(create))
                .default_service(method_not_allowed("POST")),
        )
        .service(
            web::resource("/customers/{customer_id}")
                .route(web::get().to(get))
                .route(web::post().to(update))
                .default_service(method_not_allowed("GET, POST")),
        );
}

/// Create a customer
///
/// *Create accounts* registers unknown customers too, so this call is optional.
#[utoipa::path(post, path = "/customers", operation_id = "createCustomer", tag = "Customers",
    request_body(content((schema::CreateCustomer = "application/x-www-form-urlencoded"), (schema::CreateCustomer = "application/json"))),
    responses((status = 200, description = "The customer.", body = present::Customer)))]
pub(crate) async fn create(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let mut faults = Vec::new();
    let fields = &mut Fields::of(&body, &mut faults);
    let reference = fields.required(&schema::OBJECT_REFERENCE_ID);
    let contact = Contact::read(fields);
    let Some(reference) = reference.filter(|_| faults.is_empty()) else {
        return Err(ApiError::Invalid(faults));
    };
    let (id, now) = (CustomerId::new(), Utc::now().trunc_subsecs(6));
    let (keyring, merchant) = (context.state.keyring.clone(), context.merchant_id());
    let written = context
        .idempotent()?
        .write("insert customer", move |connection, idempotent| {
            let sealed = keyring.encrypt(merchant, id.0, Purpose::Contact, &contact.to_plaintext());
            let row = customers::insert(connection, merchant, id, &reference, &sealed, now)?
                .ok_or(ApiError::CustomerExists)?;
            let body = present::body(&row, &contact)?;
            let record = idempotent.replied(&body, now);
            Ok((body, record))
        })
        .await?;
    Span::current().record("khata.customer_id", field::display(id));
    Ok(reply_of(written))
}

/// Get a customer
///
/// Returns the current state of the customer.
#[utoipa::path(get, path = "/customers/{customer_id}", operation_id = "getCustomer", tag = "Customers",
    params(schema::CustomerPath), responses((status = 200, description = "The customer.", body = present::Customer)))]
pub(crate) async fn get(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let (customer, merchant) = (context.customer()?, context.merchant_id());
    let row = context
        .state
        .database
        .read("find customer", move |connection| {
            customers::find(connection, merchant, &customer)
        })
        .await?
        .ok_or(NO_CUSTOMER)?;
    Span::current().record("khata.customer_id", field::display(row.id));
    let contact = Contact::decrypt(&context.state.keyring, merchant, &row)?;
    Ok(reply::ok(present::body(&row, &contact)?))
}

/// Update a customer
///
/// Changes only the fields that are sent.
#[utoipa::path(post, path = "/customers/{customer_id}", operation_id = "updateCustomer", tag = "Customers",
    params(schema::CustomerPath),
    request_body(content((schema::Contact = "application/x-www-form-urlencoded"), (schema::Contact = "application/json"))),
    responses((status = 200, description = "The customer.", body = present::Customer)))]
pub(crate) async fn update(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let customer = context.customer()?;
    let mut faults = Vec::new();
    let changes = Contact::read(&mut Fields::of(&body, &mut faults));
    if !faults.is_empty() {
        return Err(ApiError::Invalid(faults));
    }
    let now = Utc::now().trunc_subsecs(6);
    let (keyring, merchant) = (context.state.keyring.clone(), context.merchant_id());
    let written = context
        .idempotent()?
        .write("update customer", move |connection, idempotent| {
            let named = customers::find(connection, merchant, &customer)?.ok_or(NO_CUSTOMER)?;
            let current = customers::lock(connection, merchant, named.id)?.ok_or(NO_CUSTOMER)?;
            let mut contact = Contact::decrypt(&keyring, merchant, &current)?;
            contact.merge(changes);
            let id = current.id;
            let sealed = keyring.encrypt(merchant, id.0, Purpose::Contact, &contact.to_plaintext());
            let row = customers::update_contact(connection, merchant, id, &sealed, now)?
                .ok_or(NO_CUSTOMER)?;
            let body = present::body(&row, &contact)?;
            let record = idempotent.replied(&body, now);
            Ok((body, record))
        })
        .await?;
    Ok(reply_of(written))
}

fn reply_of(written: Written<Vec<u8>>) -> HttpResponse {
    match written {
        Written::Done(body) => reply::ok(body),
        Written::Reply(reply) => reply,
    }
}
