//! Forms. A field is a pair; arrays are JSON text in one pair or one pair for each field of each item; `metadata` and `consent`
//! have one pair for each member, or JSON text. The names of such pairs are written as the encoders of PHP, Ruby, JavaScript,
//! Go, Java, Python and .NET write them (`names`); what does not say to which account a value belongs is a fault.

mod hint;
mod list;
mod names;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::{Map, Value};

use self::list::List;
pub(super) use self::names::GROUPS;
use self::names::{LISTS, Name, name};
use super::json::{self, REPEATED, printable};
use crate::error::FaultCode::{Conflict, Duplicate, Encoding, TooLong, Type};
use crate::error::{Faults, FieldFault};
use crate::schema::may_be_empty;

/// Most pairs of a form; a call with 100 accounts has about 450.
const MAX_PAIRS: usize = 2_000;

/// A form as far as it is decoded.
#[derive(Default)]
struct Form {
    object: Map<String, Value>,
    /// Items that are given field by field, for each of [`LISTS`].
    lists: [List; LISTS.len()],
    faults: Faults,
}

/// Decodes a form. Reports every fault of its encoding.
pub(super) fn decode(body: &[u8]) -> Result<Map<String, Value>, Vec<FieldFault>> {
    let mut form = Form::default();
    for (place, pair) in pairs(body).enumerate() {
        if place == MAX_PAIRS {
            let reason = format!("must not have more than {MAX_PAIRS} name-value pairs");
            return Err(vec![FieldFault::new("body", TooLong, reason)]);
        }
        if form.faults.is_full() {
            break;
        }
        match pair {
            (Some(name), Some(value)) => form.add(name, value),
            (name, _) => {
                let name = printable(name.as_deref().unwrap_or("body"));
                form.faults.push(
                    name,
                    Encoding,
                    "is not UTF-8 in percent-encoding: encode the form in UTF-8",
                );
            }
        }
    }
    form.add_lists();
    for group in GROUPS {
        form.add_group(group);
    }
    if form.faults.is_empty() {
        Ok(form.object)
    } else {
        Err(form.faults.into_list())
    }
}

/// A decoded part of a pair; `None` if it cannot be decoded.
type Part<'a> = Option<Cow<'a, str>>;

/// The names and values of a form or of a query.
pub(crate) fn pairs(body: &[u8]) -> impl Iterator<Item = (Part<'_>, Part<'_>)> {
    let pairs = body.split(|byte| *byte == b'&');
    pairs.filter(|pair| !pair.is_empty()).map(|pair| {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let mut part = || percent_decode(parts.next().unwrap_or_default());
        (part(), part())
    })
}

impl Form {
    fn add(&mut self, text: Cow<'_, str>, value: Cow<'_, str>) {
        match name(&text) {
            Name::Plain => self.insert(text.into_owned(), value),
            Name::Member { group, key } => {
                let name = format!("{}.{key}", GROUPS[group]);
                self.insert(name, value);
            }
            Name::Item { list, index, field } => {
                let value = text_or_null(field, value);
                if !self.lists[list].add(index, field, value) {
                    let place = index.map_or_else(String::new, |index| index.to_string());
                    let name = format!("{}[{place}].{}", LISTS[list], printable(field));
                    self.faults.push(name, Duplicate, REPEATED);
                }
            }
            // How Rails writes an empty array.
            Name::WholeItem { is_new: true } if value.is_empty() => {}
            Name::WholeItem { .. } => {
                self.faults
                    .push(printable(&text), Encoding, names::WHOLE_ITEM);
            }
            Name::Wrong(reason) => self.faults.push(printable(&text), Encoding, reason),
        }
    }

    /// Inserts a value under its name; one that is there already is a fault.
    fn insert(&mut self, name: String, value: Cow<'_, str>) {
        if let Some(earlier) = self.object.get(&name) {
            let is_nested = LISTS.contains(&name.as_str()) || GROUPS.contains(&name.as_str());
            let reason = if is_nested && !earlier.is_null() {
                hint::REPEATED_NESTED
            } else {
                REPEATED
            };
            self.faults.push(printable(&name), Duplicate, reason);
            return;
        }
        let value = text_or_null(&name, value);
        self.object.insert(name, value);
    }

    /// Puts the lists into the object, from JSON text or from items, but not from both.
    fn add_lists(&mut self) {
        for (name, list) in LISTS.into_iter().zip(std::mem::take(&mut self.lists)) {
            if let Some(Value::String(text)) = self.object.get(name) {
                match json::parse(text.as_bytes(), Some(name), &mut self.faults) {
                    Ok(value) => {
                        self.object.insert(name.to_owned(), value);
                    }
                    Err(error) => {
                        self.faults.push(
                            name,
                            hint::code(text, &error),
                            hint::not_json(text, &error),
                        );
                        self.object.remove(name);
                    }
                }
            }
            match list.into_items() {
                Ok(items) if items.is_empty() => {}
                Ok(items) => {
                    if self.object.get(name).is_some_and(|value| !value.is_null()) {
                        let reason = "is given both as JSON and in the indexed form";
                        self.faults.push(name, Conflict, reason);
                    }
                    self.object.insert(name.to_owned(), Value::Array(items));
                }
                Err(reason) => self.faults.push(name, Encoding, reason),
            }
        }
    }

    /// Puts the members of an object that is given as JSON text under their dotted names.
    fn add_group(&mut self, group: &'static str) {
        let Some(Value::String(text)) = self.object.remove(group) else {
            return;
        };
        match json::parse(text.as_bytes(), Some(group), &mut self.faults) {
            Ok(Value::Object(members)) => {
                flatten(group, members, &mut self.object, &mut self.faults);
            }
            Ok(Value::Null) => {}
            Ok(other) => self.faults.push(group, Type, no_object(&other)),
            Err(error) => {
                let reason = hint::not_json(&text, &error);
                self.faults.push(group, hint::code(&text, &error), reason);
            }
        }
    }
}

/// The reason of a fault for a value of [`GROUPS`] that is no object.
pub(super) fn no_object(value: &Value) -> &'static str {
    match value {
        Value::Array(items) if items.is_empty() => {
            "must be an object: PHP's json_encode makes a list of an empty array; leave it out"
        }
        _ => "must be an object",
    }
}

/// A form has no null: an empty value means absent, unless the field may be empty.
fn text_or_null(name: &str, value: Cow<'_, str>) -> Value {
    if value.is_empty() && !(name.starts_with("metadata.") || may_be_empty(name)) {
        Value::Null
    } else {
        Value::String(value.into_owned())
    }
}

/// Puts the members of an object under their dotted names: `{"metadata":{"a":"b"}}` becomes `metadata.a`.
pub(super) fn flatten(
    group: &str,
    members: Map<String, Value>,
    object: &mut Map<String, Value>,
    faults: &mut Faults,
) {
    for (name, value) in members {
        let name = format!("{group}.{name}");
        if object.contains_key(&name) {
            faults.push(printable(&name), Duplicate, REPEATED);
        }
        object.insert(name, value);
    }
}

/// Decodes percent-encoding; `None` if the result is not UTF-8.
fn percent_decode(bytes: &[u8]) -> Part<'_> {
    if !bytes.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                let hex = |digit: u8| char::from(digit).to_digit(16);
                decoded.push(u8::try_from(hex(digits[0])? * 16 + hex(digits[1])?).ok()?);
                rest = tail;
            }
            other => decoded.push(other),
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}
