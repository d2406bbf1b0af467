//! JSON as gateways send it. A value that is no JSON, too deep or damaged costs nothing but itself.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Maximum length of a text that is kept, in characters: names and ids of banks have up to 140.
const MAX_TEXT: usize = 256;
/// Half a surrogate pair.
const UNREADABLE: &str = r#""\ud800""#;
/// Maximum depth that is read; gateways' replies have up to six.
const MAX_DEPTH: usize = 16;

/// A JSON value whose members keep their order and may have one name twice.
#[cfg_attr(test, derive(Debug, PartialEq))]
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

    /// Whether the value is null or an empty text.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => trimmed(text).is_empty(),
            _ => false,
        }
    }

    /// Returns the value as a word, empty for null; `None` if it has no one clear meaning.
    pub(super) fn word(&self) -> Option<String> {
        match self {
            Self::Null => Some(String::new()),
            Self::Bool(boolean) => Some(boolean.to_string()),
            Self::Number(number) => Some(whole(number).unwrap_or(number).to_owned()),
            Self::Text(text) => {
                let text = trimmed(text);
                let is_damaged =
                    text.contains(|c: char| is_invisible(c) || c == char::REPLACEMENT_CHARACTER);
                (!is_damaged).then(|| text.to_owned())
            }
            Self::List(items) => match &items[..] {
                [item @ (Self::Text(_) | Self::Number(_) | Self::Bool(_))] => item.word(),
                _ => None,
            },
            Self::Object(_) | Self::Unreadable => None,
        }
    }

    /// Returns a text or a whole number as text, with single spaces; an error for anything else.
    pub(super) fn text(&self) -> Result<Option<String>, ()> {
        match self {
            Self::Null => Ok(None),
            Self::Number(number) => whole(number)
                .map(|number| Some(number.to_owned()))
                .ok_or(()),
            Self::Text(text) => {
                let spaced = text.replace(['\t', '\n', '\r'], " ");
                let text = trimmed(&spaced);
                let is_damaged = text.contains(char::REPLACEMENT_CHARACTER)
                    || text.contains(char::is_control)
                    || text.chars().count() > MAX_TEXT;
                if is_damaged {
                    return Err(());
                }
                Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
            }
            Self::Bool(_) | Self::List(_) | Self::Object(_) | Self::Unreadable => Err(()),
        }
    }
}

/// Returns the text without blanks and characters of no width at its ends.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_invisible(c))
}

/// Whether the character is a control character, or has no width.
fn is_invisible(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

/// Returns the digits of a whole number: `34` and `34.0` are the same id.
fn whole(number: &str) -> Option<&str> {
    let (digits, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_whole = fraction.bytes().all(|byte| byte == b'0');
    let has_digits = digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() <= MAX_TEXT;
    (is_whole && has_digits).then_some(digits)
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
            while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                // A damaged name is that of no field.
                let name = serde_json::from_str(name.get()).unwrap_or_default();
                members.push((name, value));
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
/// lose their backslash, and words such as `NaN` become a text that cannot be read: null could be a word that decides.
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
                    repaired.push_str(UNREADABLE);
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
            ("NaN", Json::Unreadable),
            ("-Infinity", Json::Unreadable),
            ("undefined", Json::Unreadable),
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
        let damaged_name = Json::parse(br#"{"status":"VALID","\ud83d":1}"#);
        let number = Json::Number("1".to_owned());
        let members = vec![("status", text("VALID")), ("", number)];
        assert_eq!(damaged_name, Some(object(members)));
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
