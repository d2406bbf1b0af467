//! Reads `metadata`.

use khata_domain::account::ValueError;
use serde_json::{Map, Value};

use crate::decode::Fields;
use crate::error::FaultCode::{self, Format, Placeholder, TooLong, Type};
use crate::schema::{MAX_METADATA, MAX_METADATA_BYTES, MAX_METADATA_KEY, MAX_METADATA_VALUE};

/// Maximum bytes of the metadata of all accounts of a call together, as JSON.
pub(super) const MAX_METADATA_OF_CALL: usize = 256 * 1024;

/// The metadata of a call with this number of accounts. Each account has a copy, so that their size together is bounded too.
pub(super) fn metadata(fields: &mut Fields<'_>, accounts: usize) -> Map<String, Value> {
    let given: Vec<(&str, &Value)> = fields.starting_with("metadata.").collect();
    if given.len() > MAX_METADATA {
        let reason = format!("must not have more than {MAX_METADATA} members");
        fields.fault("metadata", TooLong, reason);
    }
    let mut metadata = Map::new();
    for (key, value) in given.into_iter().take(MAX_METADATA) {
        if let Some((code, reason)) = metadata_fault(key, value) {
            let printable = key.chars().filter(|c| !c.is_control());
            let shown: String = printable.take(MAX_METADATA_KEY).collect();
            fields.fault(&format!("metadata.{shown}"), code, reason);
        } else {
            metadata.insert(key.to_owned(), value.clone());
        }
    }
    // Replies and tables hold the JSON, which is longer than the text: a quotation mark takes two bytes.
    let bytes = serde_json::to_string(&metadata).map_or(0, |json| json.len());
    if bytes > MAX_METADATA_BYTES {
        let reason = format!("must not be larger than {MAX_METADATA_BYTES} bytes as JSON");
        fields.fault("metadata", TooLong, reason);
    }
    if bytes * accounts > MAX_METADATA_OF_CALL {
        let reason = format!(
            "is stored with each account: its JSON has {bytes} bytes, for {accounts} accounts more than {MAX_METADATA_OF_CALL} \
             together; name fewer accounts in one call"
        );
        fields.fault("metadata", TooLong, reason);
    }
    metadata
}

fn metadata_fault(key: &str, value: &Value) -> Option<(FaultCode, String)> {
    let Value::String(value) = value else {
        return Some((Type, "must be a string".to_owned()));
    };
    let (length, key_length) = (value.chars().count(), key.chars().count());
    let form = |length, most| if length > most { TooLong } else { Format };
    if key_length == 0 || key_length > MAX_METADATA_KEY || key.chars().any(char::is_control) {
        let reason = format!(
            "must have a key of 1 to {MAX_METADATA_KEY} characters without control characters"
        );
        Some((form(key_length, MAX_METADATA_KEY), reason))
    } else if value.starts_with("[object ") {
        let reason = "is an object that JavaScript turned into text: send a text";
        Some((Placeholder, reason.to_owned()))
    } else if value == "undefined" {
        // Other words and templates may be the merchant's own data.
        Some((Placeholder, ValueError::PLACEHOLDER.reason().to_owned()))
    } else if length > MAX_METADATA_VALUE || value.chars().any(char::is_control) {
        let reason =
            format!("must be at most {MAX_METADATA_VALUE} characters without control characters");
        Some((form(length, MAX_METADATA_VALUE), reason))
    } else {
        None
    }
}
