//! Published words: enums of the OpenAPI document.

use khata_domain::AccountStatus;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use super::field::named_schema;

/// The schema of an enum with these words.
pub(crate) fn enum_of<'a>(
    description: &str,
    words: impl IntoIterator<Item = &'a str>,
) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words))
        .into()
}

named_schema! {
    Status = enum_of("`CREATED`: stored, validation not completed. `PENDING`: waiting for the outcome at the gateway. `ACTIVE`: the gateway confirmed the details. `FAILURE`: the details are not valid; see `validation.failure`. `DELETED`: deleted.", AccountStatus::ALL.iter().map(|one| one.as_str()));
    Category = enum_of("Who can correct the error.", ["USER_ERROR", "CONFIG_ERROR", "API_ERROR"]);
    CustomerAccountObject = enum_of("Always `customer_account`.", ["customer_account"]);
    BankBranchObject = enum_of("Always `bank_branch`.", ["bank_branch"]);
    BankAccountObject = enum_of("Always `bank_account`.", ["bank_account"]);
    CustomerObject = enum_of("Always `customer`.", ["customer"]);
    ListObject = enum_of("Always `list`.", ["list"]);
}

/// Pairs of strings.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({ "order": "A-17" }))]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct Metadata(std::collections::BTreeMap<String, String>);
