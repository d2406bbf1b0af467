//! A customer as merchants see it: every wire detail of the answer is here.

use khata_shared::store::customers;
use serde::Serialize;

use super::contact::{Contact, INDIA};
use crate::accounts::present::time;
use crate::error::ApiError;

#[derive(Serialize)]
struct Customer<'a> {
    id: String,
    object: &'static str,
    object_reference_id: &'a str,
    mobile_country_code: &'a str,
    mobile_number: Option<&'a str>,
    email_address: Option<&'a str>,
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    date_created: String,
    last_updated: String,
}

/// The JSON of a customer.
pub(super) fn body(row: &customers::Customer, contact: &Contact) -> Result<Vec<u8>, ApiError> {
    let customer = Customer {
        id: row.id().to_string(),
        object: "customer",
        object_reference_id: &row.object_reference_id,
        mobile_country_code: contact
            .mobile_country_code
            .as_ref()
            .map_or(INDIA, |text| text),
        mobile_number: contact.mobile_number.as_ref().map(|text| text.as_str()),
        email_address: contact.email_address.as_ref().map(|text| text.as_str()),
        first_name: contact.first_name.as_ref().map(|text| text.as_str()),
        last_name: contact.last_name.as_ref().map(|text| text.as_str()),
        date_created: time(row.created_at),
        last_updated: time(row.updated_at),
    };
    serde_json::to_vec(&customer).map_err(|_| ApiError::Internal)
}
