//! Definitions that both the code and the OpenAPI document use: request fields, request bodies, path parameters and
//! published words. Nothing here depends on a route.

mod account_fields;
mod customer_fields;
mod field;
mod parameters;
mod words;

pub(crate) use account_fields::*;
pub(crate) use customer_fields::*;
pub(crate) use field::{Field, Rule, TextField, one_of};
pub(crate) use parameters::*;
pub(crate) use words::*;
