//! Reads typed values out of a decoded object and collects the faults under the names that the merchant wrote.

use std::fmt::Display;

use chrono::DateTime;
use khata_domain::EventName;
use khata_domain::account::ValueError;
use khata_domain::text::{foreign_characters, is_placeholder, is_placeholder_word, trim};
use serde_json::{Map, Value};

use super::parameters::{event_name, out_of_range, whole_number};
use super::{nearest, printable};
use crate::banks::fault_of_ifsc;
use crate::error::FaultCode::{
    self, Conflict, Format, OutOfRange, Placeholder, Required, TooLong, Type, Unknown,
};
use crate::error::Faults;
use crate::schema::{ALL_EVENTS, EVENT_NAMES, Field, IFSC, METADATA, Rule, TextField};

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

    /// Whether the field is present. JSON's null means absent, and so does an empty text, unless the field may be empty.
    pub(crate) fn has(&self, field: &Field) -> bool {
        self.value(field).is_some()
    }

    fn value(&self, field: &Field) -> Option<&'a Value> {
        let value = self.object.get(field.name)?;
        let is_absent = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty() && !field.may_be_empty(),
            _ => false,
        };
        (!is_absent).then_some(value)
    }

    /// Adds a fault for each field of the object that is not one of these.
    pub(crate) fn only(&mut self, known: &[&Field]) {
        let object = self.object;
        for name in object.keys() {
            let is_known = |field: &&Field| {
                field.name == name || field.name == METADATA.name && name.starts_with("metadata.")
            };
            if known.iter().any(is_known) {
                continue;
            }
            if self.faults.is_full() {
                break;
            }
            self.fault(&printable(name), Unknown, unknown(name, known));
        }
    }

    /// Adds a fault of this object's field.
    pub(crate) fn fault(&mut self, name: &str, code: FaultCode, reason: impl Into<String>) {
        let name = format!("{}{name}", self.prefix);
        self.faults.push(name, code, reason);
    }

    /// Adds a fault of a value that has the type of its field and is refused for this reason.
    pub(crate) fn refuse(&mut self, field: &Field, error: &impl Display) {
        self.fault(field.name, Format, format!("is refused: {error}"));
    }

    /// A field that may be absent. A number is a fault, because it has lost its leading zeros; so is a placeholder.
    pub(crate) fn optional<T>(&mut self, field: &TextField<T>) -> Option<T> {
        self.parse(field, |text| match &field.rule {
            // A person may have the name Null.
            Rule::Length(_) => names_field(field, text),
            _ => is_placeholder(text) || names_field(field, text),
        })
    }

    /// A secret that may be absent. It may look like a template: `$ecret`.
    pub(crate) fn secret<T>(&mut self, field: &TextField<T>) -> Option<T> {
        self.parse(field, is_placeholder_word)
    }

    fn parse<T>(
        &mut self,
        field: &TextField<T>,
        is_placeholder: impl FnOnce(&str) -> bool,
    ) -> Option<T> {
        let Value::String(text) = self.value(field)? else {
            let is_number = self.value(field).is_some_and(Value::is_number);
            let reason = if is_number && matches!(field.rule, Rule::Pattern(..)) {
                "must be a string: a JSON number loses leading zeros"
            } else {
                "must be a string"
            };
            self.fault(field.name, Type, reason);
            return None;
        };
        let parsed = if is_placeholder(text) {
            Err(ValueError::PLACEHOLDER)
        } else {
            (field.parse)(text)
        };
        let reason = |fault: &ValueError| match fault {
            ValueError::Form(reason) if field.name == IFSC.name => fault_of_ifsc(text, reason),
            _ => fault.reason().to_owned(),
        };
        parsed
            .map_err(|fault| self.fault(field.name, code_of(field, text, &fault), reason(&fault)))
            .ok()
    }

    /// Adds a fault if a text that must be something else than text is a placeholder. Returns whether it is.
    fn refuse_placeholder(&mut self, field: &Field) -> bool {
        let text = self.value(field).and_then(Value::as_str);
        let is_one = text.is_some_and(|text| is_placeholder(text) || names_field(field, text));
        if is_one {
            self.fault(field.name, Placeholder, ValueError::PLACEHOLDER.reason());
        }
        is_one
    }

    /// A field that must be present.
    pub(crate) fn required<T>(&mut self, field: &TextField<T>) -> Option<T> {
        self.require(field);
        self.optional(field)
    }

    /// Adds a fault if the field is absent.
    pub(crate) fn require(&mut self, field: &Field) {
        if !self.has(field) {
            self.fault(field.name, Required, "is required");
        }
    }

    /// `true` or `false`, as text or as a JSON boolean.
    pub(crate) fn flag(&mut self, field: &Field) -> Option<bool> {
        if self.refuse_placeholder(field) {
            return None;
        }
        let flag = match self.value(field)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) => trim(text).parse().ok(),
            _ => None,
        };
        if flag.is_none() {
            let (code, reason) = match self.value(field) {
                Some(Value::String(_)) => (
                    Format,
                    "must be the text true or false, in lower case: PHP sends true as 1, Python as True",
                ),
                _ => (Type, "must be true or false"),
            };
            self.fault(field.name, code, reason);
        }
        flag
    }

    /// A whole number in the field's range, as digits or as a JSON number.
    pub(crate) fn number(&mut self, field: &Field) -> Option<i64> {
        let Rule::Number(range) = &field.rule else {
            return None;
        };
        if self.refuse_placeholder(field) {
            return None;
        }
        let value = self.value(field)?;
        let number = match value {
            Value::String(text) => whole_number(trim(text)),
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        let is_number = number.is_some();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let foreign = value.as_str().and_then(foreign_characters);
            let reason = foreign.map_or_else(|| out_of_range(range), str::to_owned);
            let code = match value {
                _ if is_number => OutOfRange,
                Value::String(_) | Value::Number(_) => Format,
                _ => Type,
            };
            self.fault(field.name, code, reason);
        }
        number
    }

    /// Names of events, as a list or with commas between them; none for `ALL`. A list without items is absent.
    pub(crate) fn event_names(&mut self, field: &Field) -> Option<Vec<EventName>> {
        if self.refuse_placeholder(field) {
            return None;
        }
        let texts: Vec<&str> = match self.value(field)? {
            Value::String(text) => text.split(',').map(trim).collect(),
            Value::Array(items) if items.is_empty() => return None,
            Value::Array(items) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(Value::as_str).map(trim).collect()
            }
            _ => {
                self.fault(field.name, Type, "must be a list of names of events");
                return None;
            }
        };
        if texts == [ALL_EVENTS] {
            return Some(Vec::new());
        }
        let mut names = Vec::with_capacity(texts.len());
        for text in texts {
            match event_name(text) {
                Ok(name) if names.contains(&name) => {}
                Ok(EventName::EndpointTest) => {
                    let reason = "has WEBHOOK_ENDPOINT_TEST, which each endpoint gets for its own tests: leave it out";
                    self.fault(field.name, Format, reason);
                    return None;
                }
                Ok(name) => names.push(name),
                Err(_) if text == ALL_EVENTS => {
                    self.fault(
                        field.name,
                        Conflict,
                        "has ALL beside names: send ALL alone, or the names",
                    );
                    return None;
                }
                Err((code, reason)) => {
                    self.fault(field.name, code, reason);
                    return None;
                }
            }
        }
        Some(names)
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
            Some(other) => {
                if !self.refuse_placeholder(field) {
                    self.fault(name, Type, no_list(other));
                }
                return Vec::new();
            }
        };
        let mut read_items = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if self.faults.is_full() {
                break;
            }
            let Value::Object(object) = item else {
                self.fault(&format!("{name}[{index}]"), Type, "must be an object");
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

/// Returns whether the text is the name of its own field, as `accountNumber` for `account_number`.
fn names_field(field: &Field, text: &str) -> bool {
    let letters = |text: &str| -> String {
        let kept = text.chars().filter(|c| !matches!(c, '_' | '-' | ' '));
        kept.map(|c| c.to_ascii_lowercase()).collect()
    };
    text.len() <= 2 * field.name.len() && letters(trim(text)) == letters(field.name)
}

/// The code of a fault for a text that breaks the rule of its field.
fn code_of<T>(field: &TextField<T>, text: &str, fault: &ValueError) -> FaultCode {
    let most = match &field.rule {
        Rule::Pattern(_, most) | Rule::MayBeEmpty(_, most) => *most,
        Rule::Length(length) => Some(*length.end()),
        _ => None,
    };
    let is_time = matches!(field.rule, Rule::Time);
    if matches!(fault, ValueError::Placeholder(_)) {
        Placeholder
    } else if is_time && DateTime::parse_from_rfc3339(trim(text)).is_ok() {
        OutOfRange
    } else if most.is_some_and(|most| trim(text).chars().count() > most) {
        TooLong
    } else {
        Format
    }
}

/// The reason of a fault for a value that is no list.
fn no_list(value: &Value) -> &'static str {
    let is_number = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    match value {
        Value::Object(object) if object.keys().all(is_number) => {
            "must be a list: PHP's json_encode makes an object of an array with gaps; number it again with array_values"
        }
        Value::Object(_) => "must be a list, also of one item",
        Value::String(text) if text.trim_start().starts_with('[') => {
            "must be a list and not its text: encode the body once"
        }
        _ => "must be a list",
    }
}

/// The reason of a fault for a name that is none of these fields.
fn unknown(name: &str, known: &[&Field]) -> String {
    let base = name.split(['[', '.']).next().unwrap_or_default();
    if name.len() > base.len() && known.iter().any(|field| field.name == base) {
        if base == EVENT_NAMES.name {
            return "is one name of a list: send event_names with commas between the names, or JSON"
                .to_owned();
        }
        return format!(
            "has one value: send it as {base}; many accounts go into bank_account_details and upi_details"
        );
    }
    let names: Vec<&str> = known.iter().map(|field| field.name).collect();
    match nearest(name, &names) {
        Some(nearest) => format!("is not a field of this call: did you mean {nearest}?"),
        None if known.is_empty() => "is not a field of this call, which has none".to_owned(),
        // The list of a large call would fill the reply.
        None if known.len() > 4 => "is not a field of this call".to_owned(),
        None => format!("is not a field here: the fields are {}", names.join(", ")),
    }
}
