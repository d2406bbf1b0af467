//! JSON without repeated names, and with a bounded number of values. Parsers differ in which of two members they take, so a call
//! with both is ambiguous. A decoded value takes up to a hundred times the memory of its text.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::FaultCode::{self, Duplicate, Encoding, TooLong};
use crate::error::Faults;

/// The reason of a fault for a repeated name.
pub(super) const REPEATED: &str = "is given more than once";
/// Most values of a text, lists and objects included; a call with 100 accounts has about 600.
const MAX_VALUES: usize = 5_000;

/// Parses JSON. Each repeated name is a fault; `within` is the field whose value the JSON is. Stops with an error if no more
/// faults can be collected, or at the maximum number of values.
pub(super) fn parse(
    bytes: &[u8],
    within: Option<&str>,
    faults: &mut Faults,
) -> serde_json::Result<Value> {
    let place = within.map(|name| Part::Name(name.to_owned()));
    let reader = Reader {
        place: RefCell::new(place.into_iter().collect()),
        faults: RefCell::new(faults),
        values: Cell::new(0),
    };
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let value = (&reader).deserialize(&mut parser)?;
    parser.end()?;
    Ok(value)
}

/// The reason of a fault for text that cannot be parsed. It never repeats the text.
pub(super) fn not_json(error: &serde_json::Error) -> String {
    // The only error of the reader itself.
    if error.is_data() {
        return format!("must not have more than {MAX_VALUES} values");
    }
    let (line, column) = (error.line(), error.column());
    format!("is not JSON: line {line}, column {column}")
}

/// The code of a fault for text that cannot be parsed.
pub(super) fn code(error: &serde_json::Error) -> FaultCode {
    if error.is_data() { TooLong } else { Encoding }
}

/// A field's name as a reply may repeat it: short and printable.
pub(crate) fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

struct Reader<'a> {
    /// Where in the body the parser is.
    place: RefCell<Vec<Part>>,
    faults: RefCell<&'a mut Faults>,
    /// The number of values so far.
    values: Cell<usize>,
}

enum Part {
    Name(String),
    Index(usize),
}

impl Reader<'_> {
    fn repeated(&self, name: &str) {
        let mut field = String::new();
        for part in self.place.borrow().iter() {
            match part {
                Part::Name(name) if field.is_empty() => field.push_str(&printable(name)),
                Part::Name(name) => field.extend([".", &printable(name)]),
                Part::Index(index) => field.extend(["[", &index.to_string(), "]"]),
            }
        }
        if !field.is_empty() {
            field.push('.');
        }
        field.push_str(&printable(name));
        let field = printable(&field);
        self.faults.borrow_mut().push(field, Duplicate, REPEATED);
    }
}

impl<'de> DeserializeSeed<'de> for &Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let values = self.values.get() + 1;
        if values > MAX_VALUES || self.faults.borrow().is_full() {
            return Err(D::Error::custom("too many values or faults"));
        }
        self.values.set(values);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            self.place.borrow_mut().push(Part::Index(list.len()));
            let item = items.next_element_seed(self)?;
            self.place.borrow_mut().pop();
            let Some(item) = item else { break };
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            self.place.borrow_mut().push(Part::Name(name.clone()));
            let value = members.next_value_seed(self)?;
            self.place.borrow_mut().pop();
            if object.contains_key(&name) {
                self.repeated(&name);
            } else {
                object.insert(name, value);
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_name_is_a_fault_at_every_depth() {
        for (text, field) in [
            (
                r#"{"account_number":"111111","account_number":"222222"}"#,
                "account_number",
            ),
            (r#"{"metadata":{"a":"b","a":"c"}}"#, "metadata.a"),
            (
                r#"{"upi_details":[{"vpa":"a1@upi"},{"vpa":"b1@upi","vpa":"b1@upi"}]}"#,
                "upi_details[1].vpa",
            ),
        ] {
            let mut faults = Faults::default();
            parse(text.as_bytes(), None, &mut faults).unwrap();
            let fields: Vec<String> = faults
                .into_list()
                .into_iter()
                .map(|fault| fault.field_name)
                .collect();
            assert_eq!(fields, [field], "{text}");
        }
    }

    #[test]
    fn json_without_repeated_names_is_read_as_it_is() {
        let text = r#"{"a":[1,-2,0.5,true,null,"é"],"b":{"a":{}}}"#;
        let mut faults = Faults::default();
        let value = parse(text.as_bytes(), None, &mut faults).unwrap();
        assert_eq!(value.to_string(), text);
        assert!(faults.is_empty());
        assert!(parse(b"{} x", None, &mut faults).is_err());
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let list = |items: usize| format!("[{}]", vec![r#"{"":0}"#; items].join(","));
        let mut faults = Faults::default();
        // The list, and two values for each item.
        assert!(parse(list(2_499).as_bytes(), None, &mut faults).is_ok());
        let error = parse(list(2_500).as_bytes(), None, &mut faults).unwrap_err();
        assert_eq!(not_json(&error), "must not have more than 5000 values");
        assert!(faults.is_empty());
        let deep = "[".repeat(200);
        let error = parse(deep.as_bytes(), None, &mut faults).unwrap_err();
        assert!(not_json(&error).starts_with("is not JSON: line 1"));
    }

    #[test]
    fn the_parser_stops_when_no_more_faults_can_be_collected() {
        let name = "n".repeat(16_000);
        let text = format!(r#"{{"{name}":{{{}}}}}"#, vec![r#""a":0"#; 2_000].join(","));
        let mut faults = Faults::default();
        assert!(parse(text.as_bytes(), None, &mut faults).is_err());
        assert!(faults.is_full());
    }
}
