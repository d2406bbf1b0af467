//! Reads typed values out of a decoded object and collects the faults under the names that the merchant wrote.

use khata_domain::account::ValueError;
use serde_json::{Map, Value};

use crate::banks::fault_of_ifsc;
use crate::error::Faults;
use crate::schema::{Field, IFSC, Rule, TextField};

/// An object, and its place in the body.
pub(crate) struct Fields<'a> {
    object: &'a Map<String, Value>,
    prefix: String,
    faults: &'a mut Faults,
}

impl<'a> Fields<'a> {
    /// Reads the body itself.
    pub(crate) fn of(object: &'a Map<String, Value>, faults: &'a mut Faults) -> Self {
        Self {
            object,
            prefix: String::new(),
            faults,
        }
    }

    /// Whether the field is present. JSON's null means absent.
    pub(crate) fn has(&self, field: &Field) -> bool {
        self.value(field).is_some()
    }

    fn value(&self, field: &Field) -> Option<&'a Value> {
        self.object.get(field.name).filter(|value| !value.is_null())
    }

    /// Adds a fault of this object's field.
    pub(crate) fn fault(&mut self, name: &str, reason: impl Into<String>) {
        self.faults.push(format!("{}{name}", self.prefix), reason);
    }

    /// A field that may be absent. A number is a fault, because it has lost its leading zeros.
    pub(crate) fn optional<T>(&mut self, field: &TextField<T>) -> Option<T> {
        let Value::String(text) = self.value(field)? else {
            self.fault(field.name, "must be a string");
            return None;
        };
        let parsed = (field.parse)(text);
        let reason = |fault: ValueError| {
            if field.name == IFSC.name {
                fault_of_ifsc(text, fault.0)
            } else {
                fault.0.to_owned()
            }
        };
        parsed
            .map_err(|fault| self.fault(field.name, reason(fault)))
            .ok()
    }

    /// A field that must be present.
    pub(crate) fn required<T>(&mut self, field: &TextField<T>) -> Option<T> {
        self.require(field);
        self.optional(field)
    }

    /// Adds a fault if the field is absent.
    pub(crate) fn require(&mut self, field: &Field) {
        if !self.has(field) {
            self.fault(field.name, "is required");
        }
    }

    /// `true` or `false`, as text or as a JSON boolean.
    pub(crate) fn flag(&mut self, field: &Field) -> Option<bool> {
        let flag = match self.value(field)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        if flag.is_none() {
            self.fault(field.name, "must be true or false");
        }
        flag
    }

    /// A whole number in the field's range, as digits or as a JSON number.
    pub(crate) fn number(&mut self, field: &Field) -> Option<i64> {
        let Rule::Number(range) = &field.rule else {
            return None;
        };
        let number = match self.value(field)? {
            Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.fault(field.name, out_of_range(range));
        }
        number
    }

    /// Number of items of a list field; `None` if it is absent or not a list.
    pub(crate) fn length(&self, field: &Field) -> Option<usize> {
        self.value(field)?.as_array().map(Vec::len)
    }

    /// The place of this item of a list, `upi_details[0]`; for the body itself, the name of the field.
    pub(crate) fn place_or(&self, field: &Field) -> String {
        self.prefix
            .strip_suffix('.')
            .unwrap_or(field.name)
            .to_owned()
    }

    /// The items of a list field, each read by `read`; none if the field is absent.
    pub(crate) fn list<T>(
        &mut self,
        field: &Field,
        mut read: impl FnMut(&mut Fields<'_>) -> Option<T>,
    ) -> Vec<T> {
        let name = field.name;
        let items = match self.value(field) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.fault(name, "must be a list");
                return Vec::new();
            }
        };
        let mut read_items = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if self.faults.is_full() {
                break;
            }
            let Value::Object(object) = item else {
                self.fault(&format!("{name}[{index}]"), "must be an object");
                continue;
            };
            let mut fields = Fields {
                object,
                prefix: format!("{}{name}[{index}].", self.prefix),
                faults: self.faults,
            };
            read_items.extend(read(&mut fields));
        }
        read_items
    }

    /// The fields whose names start with `prefix`, without the prefix.
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

/// The reason of a fault for a number outside its range.
pub(crate) fn out_of_range(range: &std::ops::RangeInclusive<i64>) -> String {
    let (least, most) = (range.start(), range.end());
    format!("must be a whole number from {least} to {most}")
}
