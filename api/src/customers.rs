//! Merchants' customers: create, get, update (contract, *Customers*).

mod contact;
pub(crate) mod present;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{SubsecRound, Utc};
use khata_crypto::Purpose;
use khata_domain::CustomerId;
use khata_domain::account::Fault;
use khata_domain::ids::{CustomerRef, ObjectReferenceId};
use khata_store::customers;
use khata_store::idempotency::IdempotentCall;
use tracing::{Span, field};
use zeroize::Zeroizing;

use crate::accounts::not_allowed;
use crate::auth::Caller;
use crate::decode::{Body, Fields};
use crate::error::ApiError;
use crate::idempotency;
use crate::openapi;
use crate::state::{State, Written};
use contact::Contact;

const NO_CUSTOMER: ApiError = ApiError::NotFound("There is no such customer.");

/// Adds the routes; each path answers 405 to the methods it does not take.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/customers")
                .route(web::post().to(create))
                .default_service(web::to(|| async { not_allowed("POST") })),
        )
        .service(
            web::resource("/customers/{customer_id}")
                .route(web::get().to(get))
                .route(web::post().to(update))
                .default_service(web::to(|| async { not_allowed("GET, POST") })),
        );
}

/// Create a customer
///
/// A customer need not be created before its accounts are.
#[utoipa::path(
    post,
    path = "/customers",
    operation_id = "createCustomer",
    tag = "Customers",
    request_body(content(
        (openapi::CreateCustomer = "application/x-www-form-urlencoded"),
        (openapi::CreateCustomer = "application/json"),
    )),
    responses((status = 200, description = "The customer.", body = present::Customer), openapi::WriteErrors),
)]
pub(crate) async fn create(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let body = Body::receive(&request, payload).await?;
    let decoded = body.decode()?;
    let mut faults = Vec::new();
    let fields = &mut Fields::of(&decoded, &mut faults);
    let reference = fields.required("object_reference_id", |text| {
        match CustomerRef::parse(text) {
            // By its form it would be taken for an id, and this customer never be found.
            Some(CustomerRef::Id(_)) => Err(Fault("must not have the form of a Khata customer id")),
            Some(CustomerRef::Reference(_)) | None => ObjectReferenceId::parse(text)
                .ok_or(Fault("must be 1 to 128 visible ASCII characters")),
        }
    });
    let mut contact = Contact::default();
    contact.change(fields);
    let Some(reference) = reference.filter(|_| faults.is_empty()) else {
        return Err(ApiError::Invalid(faults));
    };
    let idempotent = idempotency::call_of(&request, merchant.id, &state.keyring, body.bytes())?;
    let (id, now) = (CustomerId::new(), Utc::now().trunc_subsecs(6));
    let (keyring, call, merchant) = (state.keyring.clone(), idempotent.clone(), merchant.id);
    let written = state
        .write_once("insert customer", idempotent.clone(), move |connection| {
            let sealed = keyring.encrypt(merchant, id.0, Purpose::Contact, &contact.to_plaintext());
            let row = customers::insert(connection, merchant, id, &reference, &sealed, now)?
                .ok_or(ApiError::CustomerExists)?;
            let body = present::body(&row, &contact);
            let record = call.map(|call| idempotency::answered(&call, &keyring, &body, now));
            Ok((body, record))
        })
        .await?;
    Span::current().record("khata.customer_id", field::display(id));
    answer(&state, written, idempotent.as_ref())
}

/// Get a customer
///
/// The customer as it stands.
#[utoipa::path(
    get,
    path = "/customers/{customer_id}",
    operation_id = "getCustomer",
    tag = "Customers",
    params(openapi::CustomerPath),
    responses((status = 200, description = "The customer.", body = present::Customer), openapi::ReadErrors),
)]
pub(crate) async fn get(
    Caller(merchant): Caller,
    state: web::Data<State>,
    path: web::Path<String>,
) -> Result<HttpResponse, ApiError> {
    let customer = CustomerRef::parse(&path).ok_or(NO_CUSTOMER)?;
    let merchant = merchant.id;
    let row = state
        .read("find customer", move |connection| {
            customers::find(connection, merchant, &customer)
        })
        .await?
        .ok_or(NO_CUSTOMER)?;
    Span::current().record("khata.customer_id", field::display(row.id));
    let contact = Contact::open(&state.keyring, merchant, &row)?;
    Ok(idempotency::first(present::body(&row, &contact)))
}

/// Update a customer
///
/// Fields that are not given stay as they are.
#[utoipa::path(
    post,
    path = "/customers/{customer_id}",
    operation_id = "updateCustomer",
    tag = "Customers",
    params(openapi::CustomerPath),
    request_body(content(
        (openapi::Contact = "application/x-www-form-urlencoded"),
        (openapi::Contact = "application/json"),
    )),
    responses((status = 200, description = "The customer.", body = present::Customer), openapi::WriteErrors),
)]
pub(crate) async fn update(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let body = Body::receive(&request, payload).await?;
    let decoded = body.decode()?;
    let customer = CustomerRef::parse(&path).ok_or(NO_CUSTOMER)?;
    let mut faults = Vec::new();
    let mut changes = Contact::default();
    changes.change(&mut Fields::of(&decoded, &mut faults));
    if !faults.is_empty() {
        return Err(ApiError::Invalid(faults));
    }
    let idempotent = idempotency::call_of(&request, merchant.id, &state.keyring, body.bytes())?;
    let now = Utc::now().trunc_subsecs(6);
    let (keyring, call, merchant) = (state.keyring.clone(), idempotent.clone(), merchant.id);
    let written = state
        .write_once("update customer", idempotent.clone(), move |connection| {
            let named = customers::find(connection, merchant, &customer)?.ok_or(NO_CUSTOMER)?;
            let standing = customers::lock(connection, merchant, named.id)?.ok_or(NO_CUSTOMER)?;
            let mut contact = Contact::open(&keyring, merchant, &standing)?;
            contact.merge(changes);
            let id = standing.id;
            let sealed = keyring.encrypt(merchant, id.0, Purpose::Contact, &contact.to_plaintext());
            let row = customers::update_contact(connection, merchant, id, &sealed, now)?
                .ok_or(NO_CUSTOMER)?;
            let body = present::body(&row, &contact);
            let record = call.map(|call| idempotency::answered(&call, &keyring, &body, now));
            Ok((body, record))
        })
        .await?;
    answer(&state, written, idempotent.as_ref())
}

fn answer(
    state: &State,
    written: Written<Zeroizing<Vec<u8>>>,
    idempotent: Option<&IdempotentCall>,
) -> Result<HttpResponse, ApiError> {
    match (written, idempotent) {
        (Written::Done(body), _) => Ok(idempotency::first(body)),
        (Written::Before(before), Some(call)) => {
            idempotency::refuse_or_replay(&state.keyring, call, &before)
        }
        (Written::Before(_), None) => Err(ApiError::Internal),
    }
}
