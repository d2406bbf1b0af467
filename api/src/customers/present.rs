//! A customer as merchants see it: every wire detail of the reply.

use khata_store::customers;
use serde::Serialize;
use utoipa::ToSchema;

use super::contact::{Contact, DEFAULT_COUNTRY_CODE};
use crate::error::ApiError;
use crate::reply::{self, time};
use crate::schema;

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

/// The JSON of a customer.
pub(super) fn body(row: &customers::Customer, contact: &Contact) -> Result<Vec<u8>, ApiError> {
    let country_code = contact.mobile_country_code.as_deref();
    reply::to_json(&Customer {
        id: row.id.to_string(),
        object: "customer",
        object_reference_id: &row.object_reference_id,
        mobile_country_code: country_code.unwrap_or(DEFAULT_COUNTRY_CODE),
        mobile_number: contact.mobile_number.as_deref(),
        email_address: contact.email_address.as_deref(),
        first_name: contact.first_name.as_deref(),
        last_name: contact.last_name.as_deref(),
        date_created: time(row.created_at),
        last_updated: time(row.updated_at),
    })
}
