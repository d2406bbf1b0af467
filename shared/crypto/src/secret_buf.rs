//! Memory that is wiped before it is freed. A `Vec` or a `String` that grows leaves its old bytes behind, and so does
//! serde_json's writer; keys and credentials use these types instead.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read, Write};
use std::ops::Deref;

use bytes::Bytes;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

const FIRST_ROOM: usize = 512;

/// Bytes that grow without leaving copies: the room that became too small is wiped.
#[derive(Default)]
pub struct Buffer(Zeroizing<Vec<u8>>);

impl Buffer {
    /// Creates a buffer with this capacity.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(capacity)))
    }

    /// Appends.
    pub fn push(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut roomier = Vec::with_capacity(needed.max(self.0.capacity() * 2).max(FIRST_ROOM));
            move_out(&mut self.0, &mut roomier);
            self.0 = Zeroizing::new(roomier);
        }
        self.0.extend_from_slice(bytes);
    }

    /// The bytes.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies and leaves zeros.
fn move_out(from: &mut [u8], to: &mut Vec<u8>) {
    to.extend_from_slice(from);
    from.zeroize();
}

/// Reads to the end; `None` if there is more than `limit`.
pub fn read(from: impl Read, limit: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut from = from.take(limit as u64 + 1);
    let (mut buffer, mut chunk) = (Buffer::default(), Zeroizing::new([0u8; 4096]));
    loop {
        match from.read(chunk.as_mut()) {
            Ok(0) => break,
            Ok(count) => buffer.push(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok((buffer.len() <= limit).then(|| buffer.into_bytes()))
}

/// The JSON of a value; nothing where it cannot be JSON, which no type of ours is.
pub fn json(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut buffer = Buffer::default();
    if serde_json::to_writer(&mut buffer, value).is_err() {
        return Zeroizing::default();
    }
    buffer.into_bytes()
}

/// The same as a body to send: wiped when the last who holds it lets go.
pub fn json_body(value: &impl Serialize) -> Bytes {
    Bytes::from_owner(json(value))
}

/// Text to share: wiped when the last who holds it lets go.
pub fn shared(text: Zeroizing<String>) -> Bytes {
    Bytes::from_owner(text)
}

/// The JSON of a value over several lines, for a person to read.
pub fn pretty_json(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut buffer = Buffer::default();
    if serde_json::to_writer_pretty(&mut buffer, value).is_err() {
        return Zeroizing::default();
    }
    buffer.into_bytes()
}

/// Text of a JSON document: borrowed from it if possible, and wiped if it had to be copied.
#[derive(Serialize)]
#[serde(transparent)]
pub struct Text<'a>(Cow<'a, str>);

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Text<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(text) = &mut self.0 {
            text.zeroize();
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E>(self, text: String) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// A JSON object whose strings, at any depth, are wiped when it goes.
#[derive(Default)]
pub struct Object(Map<String, Value>);

impl From<Map<String, Value>> for Object {
    fn from(object: Map<String, Value>) -> Self {
        Self(object)
    }
}

impl From<Object> for Map<String, Value> {
    fn from(mut object: Object) -> Self {
        std::mem::take(&mut object.0)
    }
}

impl Object {
    /// Takes a field away and wipes it.
    pub fn forget(&mut self, name: &str) {
        if let Some(value) = self.0.remove(name) {
            wipe(value);
        }
    }

    /// Gives a field this value, and wipes the one it had; answers whether it had one.
    pub fn set(&mut self, name: &str, value: Value) -> bool {
        match self.0.insert(name.to_owned(), value) {
            Some(before) => {
                wipe(before);
                true
            }
            None => false,
        }
    }
}

impl Deref for Object {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Map<String, Value> {
        &self.0
    }
}

/// Shows the names only.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        wipe_object(std::mem::take(&mut self.0));
    }
}

/// Wipes every string of a value.
pub fn wipe(value: Value) {
    each_string(value, &mut String::zeroize);
}

/// Wipes every string of an object, the names too.
pub fn wipe_object(object: Map<String, Value>) {
    each_string(Value::Object(object), &mut String::zeroize);
}

fn each_string(value: Value, visit: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(mut text) => visit(&mut text),
        Value::Array(items) => items.into_iter().for_each(|item| each_string(item, visit)),
        Value::Object(object) => {
            for (mut name, value) in object {
                visit(&mut name);
                each_string(value, visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_moved_out_leaves_zeros() {
        let (mut from, mut to) = (*b"026291800001191", Vec::new());
        move_out(&mut from, &mut to);
        assert_eq!(
            (from, to.as_slice()),
            ([0; 15], b"026291800001191".as_slice())
        );
    }

    #[test]
    fn every_string_is_wiped_at_any_depth() {
        let value =
            json!({"a": "one", "b": ["two", 3, {"c": {"d": ["three"]}}], "e": null, "f": true});
        let mut seen = Vec::new();
        each_string(value, &mut |text| {
            let was = text.clone();
            text.zeroize();
            assert_eq!(text, "");
            seen.push(was);
        });
        seen.sort();
        assert_eq!(seen, ["a", "b", "c", "d", "e", "f", "one", "three", "two"]);
    }

    #[test]
    fn an_object_shows_its_names_and_no_value() {
        let Value::Object(object) = json!({"vpa": "asha@upi"}) else {
            unreachable!()
        };
        let object = Object::from(object);
        assert_eq!(object["vpa"], "asha@upi");
        assert_eq!(format!("{object:?}"), r#"{"vpa"}"#);
        let mut object = object;
        assert!(!object.set("ifsc", json!("AABF0008032")));
        assert!(object.set("vpa", json!(["asha@upi"])));
        assert_eq!(
            Value::Object(Map::from(object)),
            json!({"ifsc": "AABF0008032", "vpa": ["asha@upi"]})
        );
    }

    #[test]
    fn text_is_borrowed_where_it_can_be() {
        let plain: Vec<Text<'_>> = serde_json::from_str(r#"["asha", "O\"Neil"]"#).unwrap();
        assert!(matches!(plain[0].0, Cow::Borrowed("asha")));
        assert!(matches!(&plain[1].0, Cow::Owned(text) if text == "O\"Neil"));
        assert_eq!(json(&plain).as_slice(), br#"["asha","O\"Neil"]"#);
    }

    #[test]
    fn what_is_shared_is_the_text_itself() {
        let text = Zeroizing::new("secret".to_owned());
        let place = text.as_ptr();
        let shared = shared(text);
        assert_eq!((shared.as_ptr(), &shared[..]), (place, &b"secret"[..]));
        assert_eq!(shared.clone().as_ptr(), place, "no copy is made");
    }

    #[test]
    fn reading_stops_at_the_limit() {
        let long = vec![7u8; 10_000];
        assert_eq!(
            read(long.as_slice(), 10_000).unwrap().unwrap().as_slice(),
            long
        );
        assert!(read(long.as_slice(), 9_999).unwrap().is_none());
    }

    proptest! {
        #[test]
        fn a_buffer_holds_what_was_pushed(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..20)) {
            let mut buffer = Buffer::default();
            for part in &parts {
                let (room, length) = (buffer.0.capacity(), buffer.len());
                buffer.push(part);
                // It grows only by itself, where the old room is wiped.
                prop_assert!(buffer.0.capacity() == room || length + part.len() > room);
            }
            prop_assert_eq!(&buffer[..], parts.concat());
        }

        #[test]
        fn json_is_as_serde_json_writes_it(texts in proptest::collection::vec(any::<String>(), 0..40)) {
            let written = json(&texts);
            prop_assert_eq!(written.as_slice(), serde_json::to_vec(&texts).unwrap());
            prop_assert_eq!(&json_body(&texts)[..], written.as_slice());
            let written = pretty_json(&texts);
            prop_assert_eq!(written.as_slice(), serde_json::to_vec_pretty(&texts).unwrap());
        }
    }
}
