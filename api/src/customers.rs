//! Merchants' customers: create, get, update (contract, *Customers*). The contact data of a customer is encrypted as one value.

use actix_web::HttpResponse;
use khata_crypto::{Keyring, Purpose};
use khata_domain::{CustomerId, MerchantId, ObjectReferenceId};
use khata_present::time;
use khata_store::customers;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::{Span, field};
use utoipa::ToSchema;

use crate::context::RequestContext;
use crate::decode::Fields;
use crate::error::{ApiError, Faults, NO_CUSTOMER};
use crate::{reply, schema};

/// Country code if the merchant sends none, as at Juspay.
const DEFAULT_COUNTRY_CODE: &str = "91";

/// A merchant's customer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Customer<'a> {
    #[schema(
        pattern = "^cst_[0-9a-v]{26}$",
        example = "cst_01k82u7s7deddovl581r211s9l"
    )]
    id: String,
    #[schema(value_type = schema::CustomerObject)]
    object: &'static str,
    /// Your own name for the customer.
    #[schema(example = "customer_1122")]
    object_reference_id: &'a str,
    #[schema(example = "91")]
    mobile_country_code: &'a str,
    #[schema(required, example = "9876543210")]
    mobile_number: Option<&'a str>,
    #[schema(required, example = "asha@example.com")]
    email_address: Option<&'a str>,
    #[schema(required, example = "Asha")]
    first_name: Option<&'a str>,
    #[schema(required, example = "Rao")]
    last_name: Option<&'a str>,
    #[schema(format = DateTime)]
    date_created: String,
    #[schema(format = DateTime)]
    last_updated: String,
}

/// Create a customer
///
/// *Create accounts* registers unknown customers too, so this call is optional.
#[utoipa::path(post, path = "/customers", operation_id = "createCustomer", tag = "Customers",
    request_body(content((schema::CreateCustomer = "application/x-www-form-urlencoded"), (schema::CreateCustomer = "application/json"))),
    responses((status = 200, description = "The customer.", body = Customer)))]
pub(crate) async fn create(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let (reference, contact) = read_new(&body)?;
    let id = CustomerId::new();
    let (keyring, merchant) = (context.state.keyring.clone(), context.merchant_id());
    let (reply, _) = context
        .idempotent()?
        .write_reply("insert customer", move |connection| {
            let sealed = contact.encrypt(&keyring, merchant, id);
            let row = customers::insert(connection, merchant, id, &reference, &sealed)?;
            let row = row.ok_or(ApiError::CustomerExists)?;
            Ok((contact.present(&row)?, ()))
        })
        .await?;
    Span::current().record("khata.customer_id", field::display(id));
    Ok(reply)
}

/// Get a customer
///
/// Returns the current state of the customer.
#[utoipa::path(get, path = "/customers/{customer_id}", operation_id = "getCustomer", tag = "Customers",
    params(schema::CustomerPath), responses((status = 200, description = "The customer.", body = Customer)))]
pub(crate) async fn get(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let (customer, merchant) = (context.customer()?, context.merchant_id());
    let read = context.database.read("find customer", move |connection| {
        customers::find(connection, merchant, &customer)
    });
    let row = read.await?.ok_or_else(|| context.not_found(NO_CUSTOMER))?;
    Span::current().record("khata.customer_id", field::display(row.id));
    let contact = Contact::decrypt(&context.state.keyring, merchant, &row)?;
    Ok(reply::ok(contact.present(&row)?))
}

/// Update a customer
///
/// Changes only the fields that are sent.
#[utoipa::path(post, path = "/customers/{customer_id}", operation_id = "updateCustomer", tag = "Customers",
    params(schema::CustomerPath),
    request_body(content((schema::Contact = "application/x-www-form-urlencoded"), (schema::Contact = "application/json"))),
    responses((status = 200, description = "The customer.", body = Customer)))]
pub(crate) async fn update(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let customer = context.customer()?;
    let changes = read_changes(&body)?;
    let (keyring, merchant) = (context.state.keyring.clone(), context.merchant_id());
    let (reply, _) = context
        .idempotent()?
        .write_reply("update customer", move |connection| {
            let named = customers::find(connection, merchant, &customer)?.ok_or(NO_CUSTOMER)?;
            let current = customers::lock(connection, merchant, named.id)?.ok_or(NO_CUSTOMER)?;
            let contact = Contact::decrypt(&keyring, merchant, &current)?.changed(changes);
            let sealed = contact.encrypt(&keyring, merchant, current.id);
            let row = customers::update_contact(connection, merchant, current.id, &sealed)?;
            Ok((contact.present(&row.ok_or(NO_CUSTOMER)?)?, ()))
        })
        .await
        .map_err(|error| context.not_found(error))?;
    Ok(reply)
}

/// Reads the body of *create customer*.
pub(crate) fn read_new(
    body: &Map<String, Value>,
) -> Result<(ObjectReferenceId, Contact), ApiError> {
    let mut faults = Faults::default();
    let fields = &mut Fields::of(body, &mut faults);
    let reference = fields.required(&schema::OBJECT_REFERENCE_ID);
    let contact = Contact::read(fields);
    fields.only(&schema::CUSTOMER_FIELDS);
    match reference.filter(|_| faults.is_empty()) {
        Some(reference) => Ok((reference, contact)),
        None => Err(ApiError::Invalid(faults.into_list())),
    }
}

/// Reads the body of *update customer*.
pub(crate) fn read_changes(body: &Map<String, Value>) -> Result<Contact, ApiError> {
    let mut faults = Faults::default();
    let fields = &mut Fields::of(body, &mut faults);
    let changes = Contact::read(fields);
    fields.only(&schema::CONTACT_FIELDS);
    faults.check()?;
    Ok(changes)
}

/// A customer's contact data. `None`: the merchant never sent the field.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Contact {
    #[serde(rename = "m", skip_serializing_if = "Option::is_none")]
    mobile_number: Option<String>,
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    mobile_country_code: Option<String>,
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    email_address: Option<String>,
    #[serde(rename = "f", skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    last_name: Option<String>,
}

impl Contact {
    /// Reads the contact fields of a call.
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            mobile_number: fields.optional(&schema::MOBILE_NUMBER),
            mobile_country_code: fields.optional(&schema::MOBILE_COUNTRY_CODE),
            email_address: fields.optional(&schema::EMAIL_ADDRESS),
            first_name: fields.optional(&schema::FIRST_NAME),
            last_name: fields.optional(&schema::LAST_NAME),
        }
    }

    /// This contact with every field that the changes have.
    fn changed(self, changes: Self) -> Self {
        Self {
            mobile_number: changes.mobile_number.or(self.mobile_number),
            mobile_country_code: changes.mobile_country_code.or(self.mobile_country_code),
            email_address: changes.email_address.or(self.email_address),
            first_name: changes.first_name.or(self.first_name),
            last_name: changes.last_name.or(self.last_name),
        }
    }

    fn encrypt(&self, keyring: &Keyring, merchant: MerchantId, customer: CustomerId) -> Vec<u8> {
        keyring.encrypt(merchant, customer.0, Purpose::Contact, &self.to_plaintext())
    }

    fn to_plaintext(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Decrypts the stored contact. A customer that *create accounts* registered has none.
    fn decrypt(
        keyring: &Keyring,
        merchant: MerchantId,
        row: &customers::Customer,
    ) -> Result<Self, ApiError> {
        let Some(sealed) = &row.sealed_contact else {
            return Ok(Self::default());
        };
        let contact = keyring
            .decrypt(merchant, row.id.0, Purpose::Contact, sealed)
            .ok()
            .and_then(|plain| serde_json::from_slice(&plain).ok());
        contact.ok_or_else(|| {
            tracing::error!(customer_id = %row.id, "cannot decrypt a customer's contact; check that the keyring holds its key");
            ApiError::Internal
        })
    }

    /// The JSON of the customer with this contact.
    fn present(&self, row: &customers::Customer) -> Result<Vec<u8>, ApiError> {
        let country_code = self.mobile_country_code.as_deref();
        reply::to_json(&Customer {
            id: row.id.to_string(),
            object: "customer",
            object_reference_id: &row.object_reference_id,
            mobile_country_code: country_code.unwrap_or(DEFAULT_COUNTRY_CODE),
            mobile_number: self.mobile_number.as_deref(),
            email_address: self.email_address.as_deref(),
            first_name: self.first_name.as_deref(),
            last_name: self.last_name.as_deref(),
            date_created: time(row.created_at),
            last_updated: time(row.updated_at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;

    /// What Juspay's API, clients and samples send: flat as its Node and .NET clients write it, in brackets as `http_build_query`,
    /// axios and qs do, and as an object in JSON.
    #[test]
    fn the_option_of_a_client_auth_token_is_ignored() {
        const FORM: &str = "application/x-www-form-urlencoded";
        const JSON: &str = "application/json";
        for (content_type, option) in [
            (FORM, "options.get_client_auth_token=true"),
            (FORM, "options.get_client_auth_token="),
            (FORM, "options%5Bget_client_auth_token%5D=True"),
            (FORM, "options=%7B%22get_client_auth_token%22%3Atrue%7D"),
            (JSON, r#""options.get_client_auth_token":"true""#),
            (JSON, r#""options.get_client_auth_token":true"#),
            (JSON, r#""options":{"get_client_auth_token":true}"#),
            (JSON, r#""options":null"#),
        ] {
            let (new, change) = if content_type == FORM {
                let rest = format!("mobile_number=9876543210&{option}");
                (format!("object_reference_id=c1122333&{rest}"), rest)
            } else {
                let rest = format!(r#""mobile_number":"9876543210",{option}}}"#);
                (
                    format!(r#"{{"object_reference_id":"c1122333",{rest}"#),
                    format!("{{{rest}"),
                )
            };
            let new = decode(Some(content_type), new.as_bytes()).unwrap();
            assert!(read_new(&new).is_ok(), "{option}");
            let change = decode(Some(content_type), change.as_bytes()).unwrap();
            assert!(read_changes(&change).is_ok(), "{option}");
        }
        let other = decode(
            Some(FORM),
            b"object_reference_id=c1122333&options.create_mandate=true",
        );
        assert!(read_new(&other.unwrap()).is_err());
    }

    #[test]
    fn a_change_keeps_fields_that_it_does_not_send() {
        let text = |text: &str| Some(text.to_owned());
        let contact = Contact {
            first_name: text("Asha"),
            last_name: text("Rao"),
            ..Contact::default()
        };
        let changed = contact.changed(Contact {
            last_name: text(""),
            mobile_number: text("9876543210"),
            ..Contact::default()
        });
        let read: Contact = serde_json::from_slice(&changed.to_plaintext()).unwrap();
        assert_eq!(read.first_name, text("Asha"));
        assert_eq!(read.last_name, text(""));
        assert_eq!(read.mobile_number, text("9876543210"));
        assert_eq!(read.email_address, None);
    }
}
