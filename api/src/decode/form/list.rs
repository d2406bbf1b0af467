//! The items of a list that a form gives field by field.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

const MIXED: &str = "has items with a number and items with []: number all of them from 0, as in bank_account_details[0][ifsc]";
const UNEVEN: &str = "has items with different fields in the [] form (Rails, Rack, qs with arrayFormat: 'brackets'), which does not say where an item begins: number the items, as in bank_account_details[0][ifsc], or send the array as JSON text";
const GAPS: &str =
    "must number its items 0, 1, 2 … without a gap; in PHP, array_values() numbers an array again";

/// Items by their number, and items in the order of their pairs.
#[derive(Default)]
pub(super) struct List {
    numbered: BTreeMap<usize, Map<String, Value>>,
    in_order: Vec<Map<String, Value>>,
    /// Fields of the first item in order.
    fields: Vec<String>,
    /// Number of fields of the last item in order.
    filled: usize,
    /// Whether an item in order has other fields than the first one, or in another order.
    is_uneven: bool,
}

impl List {
    /// Adds a field of an item. Returns whether the field is new: one that repeats begins another item in order.
    pub(super) fn add(&mut self, index: Option<usize>, field: &str, value: Value) -> bool {
        if let Some(index) = index {
            let item = self.numbered.entry(index).or_default();
            return item.insert(field.to_owned(), value).is_none();
        }
        let continues = self.in_order.last();
        if continues.is_none_or(|item| item.contains_key(field)) {
            self.is_uneven |= self.filled != self.fields.len();
            self.filled = 0;
            self.in_order.push(Map::new());
        }
        if self.in_order.len() == 1 {
            self.fields.push(field.to_owned());
        } else {
            let expected = self.fields.get(self.filled);
            self.is_uneven |= expected.is_none_or(|expected| expected != field);
        }
        self.filled += 1;
        if let Some(item) = self.in_order.last_mut() {
            item.insert(field.to_owned(), value);
        }
        true
    }

    /// The items, none if no pair named one. A list whose values might belong to another item is a fault.
    pub(super) fn into_items(self) -> Result<Vec<Value>, &'static str> {
        let Self {
            numbered, in_order, ..
        } = self;
        if !numbered.is_empty() && !in_order.is_empty() {
            Err(MIXED)
        } else if self.is_uneven || self.filled != self.fields.len() {
            Err(UNEVEN)
        } else if numbered
            .keys()
            .enumerate()
            .any(|(place, index)| place != *index)
        {
            Err(GAPS)
        } else {
            let items = numbered.into_values().chain(in_order);
            Ok(items.map(Value::Object).collect())
        }
    }
}
