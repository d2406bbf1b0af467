//! JSON as gateways send it. A value that is no JSON, too deep or damaged costs nothing but itself.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Maximum depth that is read; gateways' replies have up to six.
const MAX_DEPTH: usize = 16;

/// A JSON value whose members keep their order and may have one name twice.
#[derive(Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// As written, because an id may have more digits than a number type.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// Too deep, or a text with half a surrogate pair.
    Unreadable,
}

impl Json {
    /// Parses the bytes of a body, in UTF-8 or UTF-16. `None` if they hold no JSON also after a repair.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = decode(bytes);
        let parsed = serde_json::from_str::<&RawValue>(&text);
        if let Ok(raw) = parsed {
            return Some(Self::of(raw, 0));
        }
        let repaired = repair(&text);
        let raw = serde_json::from_str::<&RawValue>(&repaired).ok()?;
        Some(Self::of(raw, 0))
    }

    fn of(raw: &RawValue, depth: usize) -> Self {
        let json = raw.get();
        match json.as_bytes().first() {
            Some(b'n') => Some(Self::Null),
            Some(b't') => Some(Self::Bool(true)),
            Some(b'f') => Some(Self::Bool(false)),
            Some(b'"') => serde_json::from_str(json).ok().map(Self::Text),
            Some(b'[' | b'{') if depth >= MAX_DEPTH => None,
            Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(json)
                .ok()
                .map(|items| {
                    let items = items.into_iter().map(|item| Self::of(item, depth + 1));
                    Self::List(items.collect())
                }),
            Some(b'{') => members(json).map(|members| {
                let members = members.into_iter();
                let member = |(name, value)| (name, Self::of(value, depth + 1));
                Self::Object(members.map(member).collect())
            }),
            Some(_) => Some(Self::Number(json.to_owned())),
            None => None,
        }
        .unwrap_or(Self::Unreadable)
    }
}

/// Returns the members of a JSON object in their order, a name that comes twice with both values.
fn members(json: &str) -> Option<Vec<(String, &RawValue)>> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(Members).ok()
}

/// Decodes a body: UTF-16 with a byte-order mark, or recognized by the zero byte beside its first character; else UTF-8, with
/// U+FFFD in the place of other bytes.
fn decode(bytes: &[u8]) -> String {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let pairs = bytes.chunks_exact(2);
        let units: Vec<u16> = pairs.map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [b'{' | b'[', 0, ..] => utf16(bytes, u16::from_le_bytes),
        [0, b'{' | b'[', ..] => utf16(bytes, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Returns the text with what some encoders write and JSON forbids replaced: control characters become spaces, unknown escapes
/// lose their backslash, and words such as `NaN` become null.
fn repair(text: &str) -> String {
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text.chars();
    let mut in_text = false;
    while let Some(c) = rest.next() {
        match c {
            _ if c.is_control() => repaired.push(' '),
            '"' => {
                in_text = !in_text;
                repaired.push(c);
            }
            '\\' if in_text => {
                let mut next = rest.clone();
                match next.next() {
                    Some('u')
                        if next.clone().take(4).filter(char::is_ascii_hexdigit).count() < 4 => {}
                    Some(escaped) if "\"\\/bfnrtu".contains(escaped) => {
                        repaired.extend([c, escaped]);
                        rest = next;
                    }
                    _ => {}
                }
            }
            // An exponent belongs to its number.
            'e' | 'E' if !in_text && repaired.ends_with(|c: char| c.is_ascii_digit()) => {
                repaired.push(c);
            }
            _ if !in_text && c.is_ascii_alphabetic() => {
                let mut word = String::from(c);
                while let Some(c) = rest.clone().next().filter(char::is_ascii_alphanumeric) {
                    word.push(c);
                    rest.next();
                }
                if matches!(word.as_str(), "true" | "false" | "null") {
                    repaired.push_str(&word);
                } else {
                    let sign = repaired.ends_with(['-', '+']);
                    repaired.truncate(repaired.len() - usize::from(sign));
                    repaired.push_str("null");
                }
            }
            _ => repaired.push(c),
        }
    }
    repaired
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Json {
        Json::Text(text.to_owned())
    }

    fn object(members: Vec<(&str, Json)>) -> Json {
        let members = members.into_iter();
        Json::Object(
            members
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    #[test]
    fn members_keep_their_order_and_may_come_twice() {
        let read = Json::parse(br#" {"a":"x","b":[1,null],"a":{"c":true}} "#);
        let list = Json::List(vec![Json::Number("1".to_owned()), Json::Null]);
        let inner = object(vec![("c", Json::Bool(true))]);
        assert_eq!(
            read,
            Some(object(vec![("a", text("x")), ("b", list), ("a", inner)]))
        );
    }

    #[test]
    fn every_encoding_is_read() {
        let json = r#"{"name":"आशा"}"#;
        let expected = Some(object(vec![("name", text("आशा"))]));
        let le = |text: &str| {
            text.encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<_>>()
        };
        let be = |text: &str| {
            text.encode_utf16()
                .flat_map(u16::to_be_bytes)
                .collect::<Vec<_>>()
        };
        for bytes in [
            json.as_bytes().to_vec(),
            [b"\xEF\xBB\xBF", json.as_bytes()].concat(),
            le(json),
            be(json),
            le(&format!("\u{FEFF}{json}")),
            be(&format!("\u{FEFF}{json}")),
        ] {
            assert_eq!(Json::parse(&bytes), expected, "{bytes:x?}");
        }
        assert_eq!(
            Json::parse(b"{\"name\":\"Jos\xE9\"}"),
            Some(object(vec![("name", text("Jos\u{FFFD}"))]))
        );
    }

    #[test]
    fn a_damaged_value_costs_nothing_but_itself() {
        let nested = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        for (damaged, read) in [
            (r#""\ud800""#, Json::Unreadable),
            ("1e999", Json::Number("1e999".to_owned())),
            (
                "395137559835395137559835",
                Json::Number("395137559835395137559835".to_owned()),
            ),
            ("NaN", Json::Null),
            ("-Infinity", Json::Null),
            ("undefined", Json::Null),
            ("\"ASHA\nRAO\"", text("ASHA RAO")),
            (r#""D\'SOUZA \x \u12""#, text("D'SOUZA x u12")),
        ] {
            let json = format!(r#"{{"bad":{damaged},"status":"VALID","n":1e5}}"#);
            let expected = object(vec![
                ("bad", read),
                ("status", text("VALID")),
                ("n", Json::Number("1e5".to_owned())),
            ]);
            assert_eq!(Json::parse(json.as_bytes()), Some(expected), "{damaged}");
        }
        let Some(Json::Object(members)) =
            Json::parse(format!(r#"{{"bad":{nested},"status":"VALID"}}"#).as_bytes())
        else {
            panic!("an object");
        };
        assert_eq!(members[1].1, text("VALID"));
    }

    #[test]
    fn half_a_body_is_none() {
        for bytes in [
            &b""[..],
            b"{",
            b"{\"a\":1",
            b"<html>",
            b"{} x",
            b"\xFF\xFE",
            b"{\"a\":\"\\",
        ] {
            assert_eq!(Json::parse(bytes), None, "{bytes:x?}");
        }
    }
}
