//! Published words: enums of the OpenAPI document.

use khata_domain::AccountStatus;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

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

/// Declares enums: each has the words of a domain type, or the words that are listed.
macro_rules! words {
    () => {};
    ($name:ident: $domain:ty, $description:literal; $($rest:tt)*) => {
        words!(@one $name, $description, <$domain>::ALL.iter().map(|one| one.as_str()));
        words!($($rest)*);
    };
    ($name:ident = $words:expr, $description:literal; $($rest:tt)*) => {
        words!(@one $name, $description, $words);
        words!($($rest)*);
    };
    (@one $name:ident, $description:literal, $words:expr) => {
        pub(crate) struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                enum_of($description, $words)
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}
pub(crate) use words;

words! {
    Status: AccountStatus, "`CREATED`: stored, validation not completed. `PENDING`: waiting for the outcome at the gateway. `ACTIVE`: the gateway confirmed the details. `FAILURE`: the details are not valid; see `validation.failure`. `DELETED`: deleted.";
    Category = ["USER_ERROR", "CONFIG_ERROR", "API_ERROR"], "Who can correct the error.";
    CustomerAccountObject = ["customer_account"], "Always `customer_account`.";
    BankAccountObject = ["bank_account"], "Always `bank_account`.";
    CustomerObject = ["customer"], "Always `customer`.";
    ListObject = ["list"], "Always `list`.";
}

/// Pairs of strings.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({ "order": "A-17" }))]
#[allow(dead_code, reason = "a schema")]
pub(crate) struct Metadata(std::collections::BTreeMap<String, String>);
