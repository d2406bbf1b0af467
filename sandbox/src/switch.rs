//! Reads what the desk is told for one gateway: a JSON object with the gateway's name among its
//! members. What is left out takes its default; a misspelt member is an error.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::gateway::Gateway;

/// The longest time that can be set: one day, in milliseconds.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;

/// Takes the gateway out of the object and reads the rest, or says in a sentence what is wrong.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<(Gateway, T), String> {
    let mut members: Map<String, Value> =
        serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let gateway = match members.remove("gateway") {
        Some(Value::String(name)) => Gateway::named(&name)?,
        Some(_) => return Err("gateway must be text".to_owned()),
        None => return Err("gateway is missing".to_owned()),
    };
    let rest = serde_json::from_value(Value::Object(members)).map_err(|error| error.to_string())?;
    Ok((gateway, rest))
}

/// A fraction of calls: 0 to 1.
pub(crate) fn rate(name: &str, rate: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&rate) {
        Ok(())
    } else {
        Err(format!("{name} must be from 0 to 1, not {rate}"))
    }
}

/// A time in milliseconds: a day at most.
pub(crate) fn milliseconds(name: &str, ms: u64) -> Result<(), String> {
    if ms <= LONGEST_MS {
        Ok(())
    } else {
        Err(format!(
            "{name} must be at most {LONGEST_MS} (a day), not {ms}"
        ))
    }
}
