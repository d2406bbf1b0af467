//! Definitions that both the code and the OpenAPI document use: request fields, request bodies, path parameters and
//! published words. Nothing here depends on a route.

mod account_fields;
mod customer_fields;
mod endpoint_fields;
mod field;
mod parameters;
mod words;

pub(crate) use account_fields::*;
pub(crate) use customer_fields::*;
pub(crate) use endpoint_fields::*;
pub(crate) use field::{Field, Rule, TextField, one_of};
pub(crate) use parameters::*;
pub(crate) use words::*;

/// Whether an empty text is a value of the field with this name.
pub(crate) fn may_be_empty(name: &str) -> bool {
    let mut fields = CUSTOMER_FIELDS.iter().chain(&ENDPOINT_FIELDS);
    let field = fields.find(|field| field.name == name);
    field.is_some_and(|field| field.may_be_empty())
}
