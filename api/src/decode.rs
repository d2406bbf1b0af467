//! Request bodies. Both encodings become one tree of JSON values; `fields` then reads the tree and collects every fault.

mod body;
mod fields;
mod form;
mod json;

pub(crate) use body::{Body, MAX_BODY, decode};
pub(crate) use fields::{Fields, out_of_range};
