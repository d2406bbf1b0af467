//! Reads typed values out of a decoded object and gathers the faults under the names the merchant wrote.

use khata_domain::account::ValueError;
use serde_json::{Map, Value};

use crate::error::FieldFault;

/// An object being read, and where it stands in the body.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    prefix: String,
    faults: &'a mut Vec<FieldFault>,
}

impl<'a> Fields<'a> {
    /// Reads the body itself.
    pub(crate) fn of(object: &'a Map<String, Value>, faults: &'a mut Vec<FieldFault>) -> Self {
        Self {
            object,
            prefix: String::new(),
            faults,
        }
    }

    /// Whether the field is there at all; JSON's null is not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.object.get(name).is_some_and(|value| !value.is_null())
    }

    /// Notes a fault of this object's field.
    pub(crate) fn fault(&mut self, name: &str, reason: impl Into<String>) {
        self.faults.push(FieldFault {
            field_name: format!("{}{name}", self.prefix),
            reason: reason.into(),
        });
    }

    /// The field's text; a number, list or object is a fault (a number has lost its leading zeros).
    pub(crate) fn text(&mut self, name: &str) -> Option<&'a str> {
        match self.object.get(name) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => {
                self.fault(name, "must be a string");
                None
            }
        }
    }

    /// A field that may be absent.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        let text = self.text(name)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.fault(name, fault.0);
                None
            }
        }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, ValueError>,
    ) -> Option<T> {
        if !self.has(name) {
            self.fault(name, "is required");
            return None;
        }
        self.optional(name, parse)
    }

    /// `true` or `false`, as text or as JSON's own.
    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        let boolean = match self.object.get(name) {
            None | Some(Value::Null) => return None,
            Some(Value::Bool(boolean)) => Some(*boolean),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        if boolean.is_none() {
            self.fault(name, "must be true or false");
        }
        boolean
    }

    /// A whole number in this range, as digits or as a JSON number.
    pub(crate) fn number(
        &mut self,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let number = match self.object.get(name) {
            None | Some(Value::Null) => return None,
            Some(Value::String(text)) if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().ok()
            }
            Some(Value::Number(number)) => number.as_i64(),
            Some(_) => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.fault(
                name,
                format!(
                    "must be a whole number from {} to {}",
                    range.start(),
                    range.end()
                ),
            );
        }
        number
    }

    /// How many items a list field has; `None` where it is absent or no list.
    pub(crate) fn length(&self, name: &str) -> Option<usize> {
        self.object
            .get(name)
            .and_then(Value::as_array)
            .map(Vec::len)
    }

    /// The items of a list field, each with its name and read by `read`; none where the field is absent.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        mut read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Vec<(String, T)> {
        let items = match self.object.get(name) {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.fault(name, "must be a list");
                return Vec::new();
            }
        };
        let mut read_items = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let item_name = format!("{}{name}[{index}]", self.prefix);
            let Value::Object(object) = item else {
                self.fault(&format!("{name}[{index}]"), "must be an object");
                continue;
            };
            let mut fields = Fields {
                object,
                prefix: format!("{item_name}."),
                faults: self.faults,
            };
            read_items.extend(read(&mut fields).map(|value| (item_name, value)));
        }
        read_items
    }

    /// The fields whose names start with `prefix`, the prefix taken off.
    pub(crate) fn starting_with(
        &self,
        prefix: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        let prefix = prefix.to_owned();
        self.object
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(&prefix)?, value)))
    }
}
