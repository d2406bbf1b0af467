//! Request bodies. Both encodings become one tree of JSON values; `fields` then reads the tree and collects every fault.

mod body;
mod fields;
mod form;
mod json;
mod media_type;
mod nearest;
mod parameters;

pub(crate) use body::{Body, MAX_BODY, decode};
pub(crate) use fields::Fields;
pub(crate) use form::pairs;
pub(crate) use json::printable;
pub(crate) use media_type::check_content_encoding;
pub(crate) use nearest::nearest;
pub(crate) use parameters::{event_name, number_or, parameter};
