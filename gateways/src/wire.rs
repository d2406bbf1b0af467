//! Texts and numbers in the replies of several gateways.

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::name::trimmed;

/// Returns a text or a number as text without spaces at its ends; `None` if it is absent, empty or of another form.
pub(crate) fn text(value: &Value) -> Option<String> {
    trimmed(text_or_number(value).ok()?.as_deref())
}

/// Reads a text or a number as text: some gateways send scores as strings and ids as numbers, others the other way round.
pub(crate) fn text_or_number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(D::Error::custom("neither a text nor a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_numbers_are_read_alike() {
        for (json, read) in [
            (r#""90.00""#, Some("90.00")),
            ("90", Some("90")),
            ("59.45", Some("59.45")),
            ("-1", Some("-1")),
            ("null", None),
        ] {
            let mut deserializer = serde_json::Deserializer::from_str(json);
            let text = text_or_number(&mut deserializer).unwrap();
            assert_eq!(text.as_deref(), read, "{json}");
        }
        for json in ["true", "[]", "{}"] {
            let mut deserializer = serde_json::Deserializer::from_str(json);
            assert!(text_or_number(&mut deserializer).is_err(), "{json}");
        }
    }

    #[test]
    fn a_value_of_another_form_is_no_text() {
        let value = serde_json::json!({"text": " UTR ", "number": 34, "empty": " ", "list": []});
        assert_eq!(text(&value["text"]).as_deref(), Some("UTR"));
        assert_eq!(text(&value["number"]).as_deref(), Some("34"));
        for name in ["empty", "list", "absent"] {
            assert_eq!(text(&value[name]), None, "{name}");
        }
    }
}
