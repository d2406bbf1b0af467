//! Parts that replies and events share: the form of a time, and published words as the OpenAPI document defines them.

use chrono::{DateTime, SecondsFormat, Utc};
use khata_domain::AccountStatus;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// RFC 3339 in UTC, whole seconds.
pub fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The schema of an enum with these words.
pub fn enum_of<'a>(description: &str, words: impl IntoIterator<Item = &'a str>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words))
        .into()
}

/// Declares types of the OpenAPI document by their schemas.
#[macro_export]
macro_rules! named_schema {
    ($($visibility:vis $name:ident = $schema:expr;)+) => {$(
        $visibility struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $schema
            }
        }

        impl utoipa::ToSchema for $name {}
    )+};
}

named_schema! {
    pub Status = enum_of("`CREATED`: stored, validation not completed. `PENDING`: waiting for the outcome at the gateway. `ACTIVE`: the gateway confirmed the details. `FAILURE`: the details are not valid; see `validation.failure`. `DELETED`: deleted.", AccountStatus::ALL.iter().map(|one| one.as_str()));
    pub CustomerAccountObject = enum_of("Always `customer_account`.", ["customer_account"]);
}

/// Pairs of strings.
#[derive(ToSchema, Serialize)]
#[schema(example = json!({ "order": "A-17" }))]
#[allow(dead_code, reason = "a schema")]
pub struct Metadata(std::collections::BTreeMap<String, String>);
