//! Bodies into values. Both encodings become one tree of JSON values here, and no_gateway else does it matter which it
//! was; `fields` then reads the tree and gathers every fault there is.

mod body;
mod fields;
mod form;

pub(crate) use body::{Body, decode};
pub(crate) use fields::Fields;
