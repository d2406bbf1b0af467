//! Reading of request bodies: of the control API into types, of the gateways into JSON values.

use actix_web::web::Query;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::gateway::{Gateway, Named};

/// Longest time that can be set: one day, in milliseconds.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1000;

/// Reads settings from a JSON object that has a gateway's name among its members, or says in a sentence what
/// is wrong. Absent members take their defaults; a misspelt member is an error.
pub(crate) fn named<T: DeserializeOwned>(
    json: &[u8],
    known: &[Gateway],
) -> Result<Named<T>, String> {
    let mut members: Map<String, Value> =
        serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let gateway = match members.remove("gateway") {
        Some(Value::String(name)) => Gateway::named(&name, known)?,
        Some(_) => return Err("gateway must be text".to_owned()),
        None => return Err("gateway is missing".to_owned()),
    };
    let value =
        serde_json::from_value(Value::Object(members)).map_err(|error| error.to_string())?;
    Ok(Named { gateway, value })
}

/// Checks a fraction of calls: 0 to 1.
pub(crate) fn check_rate(name: &str, rate: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&rate) {
        Ok(())
    } else {
        Err(format!("{name} must be from 0 to 1, not {rate}"))
    }
}

/// Checks a time in milliseconds: a day at most.
pub(crate) fn check_milliseconds(name: &str, ms: u64) -> Result<(), String> {
    if ms <= LONGEST_MS {
        Ok(())
    } else {
        Err(format!(
            "{name} must be at most {LONGEST_MS} (a day), not {ms}"
        ))
    }
}

/// Reads these fields of a form or a query as a JSON object of texts. Other fields are ignored; `None`
/// if the text is no form or has one of the fields twice.
pub(crate) fn form(text: &[u8], fields: &[&str]) -> Option<Value> {
    let text = std::str::from_utf8(text).ok()?;
    let pairs = Query::<Vec<(String, String)>>::from_query(text).ok()?;
    let mut form = Map::new();
    for (name, value) in pairs.into_inner() {
        if fields.contains(&name.as_str()) && form.insert(name, value.into()).is_some() {
            return None;
        }
    }
    Some(Value::Object(form))
}

/// Returns the member at a path; null if it is absent.
pub(crate) fn at<'a>(request: &'a Value, path: &str) -> &'a Value {
    path.split('.')
        .fold(request, |value, member| &value[member])
}

/// Returns the text at a path.
pub(crate) fn text<'a>(request: &'a Value, path: &str) -> Option<&'a str> {
    at(request, path).as_str()
}

/// Returns the text at a path; "" if it is absent.
pub(crate) fn field<'a>(request: &'a Value, path: &str) -> &'a str {
    text(request, path).unwrap_or_default()
}

/// Returns the text at a path unless it is blank.
pub(crate) fn filled<'a>(request: &'a Value, path: &str) -> Option<&'a str> {
    text(request, path).filter(|text| !text.trim().is_empty())
}

/// Removes these members of a JSON object where they are null.
pub(crate) fn omit_nulls(mut object: Value, members: &[&str]) -> Value {
    if let Value::Object(object) = &mut object {
        object.retain(|name, value| !(value.is_null() && members.contains(&name.as_str())));
    }
    object
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_has_each_listed_field_once() {
        let read = |text: &str| form(text.as_bytes(), &["a", "b"]);
        assert_eq!(
            read("a=1&b=x%20y&c=3&c=4"),
            Some(json!({"a": "1", "b": "x y"}))
        );
        assert_eq!(read(""), Some(json!({})));
        assert_eq!(read("a=1&a=2"), None);
        assert_eq!(form(b"\xff", &["a"]), None);
    }
}
