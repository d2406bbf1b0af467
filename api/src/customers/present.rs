//! A customer as merchants see it: every wire detail of the answer is here.

use khata_crypto::secret_buf as wiped;
use khata_store::customers;
use serde::Serialize;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::contact::{Contact, INDIA};
use crate::accounts::present::time;
use crate::openapi;

/// A merchant's customer.
#[derive(Serialize, ToSchema)]
pub(crate) struct Customer<'a> {
    #[schema(
        pattern = "^cst_[0-9a-v]{26}$",
        example = "cst_01k82u7s7deddovl581r211s9l"
    )]
    id: String,
    #[schema(value_type = openapi::CustomerObject)]
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
pub(super) fn body(row: &customers::Customer, contact: &Contact) -> Zeroizing<Vec<u8>> {
    let customer = Customer {
        id: row.id.to_string(),
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
    wiped::json(&customer)
}
