//! Forms: flat fields, arrays as JSON text in a field, and the indexed form that PHP, Rails and Node encoders emit.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::json::{self, REPEATED, not_json, printable};
use crate::error::{Faults, FieldFault};

/// The fields whose value is a list of objects.
const LISTS: [&str; 2] = ["bank_account_details", "upi_details"];
/// Highest accepted index: above the accounts that a call may have, and low enough to be harmless.
const MAX_INDEX: usize = 9_999;
/// Most pairs of a form; a call with 100 accounts has about 450.
const MAX_PAIRS: usize = 2_000;

/// Decodes a form. Reports every fault of its encoding.
pub(super) fn decode(body: &[u8]) -> Result<Map<String, Value>, Vec<FieldFault>> {
    let (mut object, mut faults) = (Map::new(), Faults::default());
    let mut indexed: BTreeMap<&'static str, BTreeMap<usize, Map<String, Value>>> = BTreeMap::new();
    let pairs = body.split(|byte| *byte == b'&');
    for (place, pair) in pairs.filter(|pair| !pair.is_empty()).enumerate() {
        if place == MAX_PAIRS {
            let reason = format!("must not have more than {MAX_PAIRS} name-value pairs");
            return Err(vec![FieldFault::new("body", reason)]);
        }
        if faults.is_full() {
            break;
        }
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let mut part = || parts.next().unwrap_or_default();
        let (name, value) = (part(), part());
        let (name, value) = (percent_decode(name), percent_decode(value));
        if let (Some(name), Some(value)) = (&name, value) {
            add_pair(name, value, &mut object, &mut indexed, &mut faults);
        } else {
            let name = printable(name.as_deref().unwrap_or("body"));
            faults.push(name, "is not UTF-8 in percent-encoding");
        }
    }
    for list in LISTS {
        let items = indexed.remove(list);
        merge_list(list, items, &mut object, &mut faults);
    }
    if faults.is_empty() {
        Ok(object)
    } else {
        Err(faults.into_list())
    }
}

/// Adds one decoded pair to the flat fields or to the items of a list.
fn add_pair(
    name: &str,
    value: String,
    object: &mut Map<String, Value>,
    indexed: &mut BTreeMap<&'static str, BTreeMap<usize, Map<String, Value>>>,
    faults: &mut Faults,
) {
    match bracketed(name) {
        Bracketed::No => {
            let earlier = object.insert(name.to_owned(), Value::String(value));
            if earlier.is_some() {
                faults.push(printable(name), REPEATED);
            }
        }
        Bracketed::Bad => faults.push(
            printable(name),
            "must be written as bank_account_details[0][ifsc] or upi_details[0][vpa]",
        ),
        Bracketed::Item { list, index, field } => {
            let items = indexed.entry(list).or_default();
            // `[]` continues the last item until a field repeats.
            let index = index.unwrap_or_else(|| match items.last_key_value() {
                Some((last, item)) if !item.contains_key(field) => *last,
                Some((last, _)) => last + 1,
                None => 0,
            });
            let item = items.entry(index).or_default();
            let earlier = item.insert(field.to_owned(), Value::String(value));
            if earlier.is_some() {
                let name = format!("{list}[{index}].{}", printable(field));
                faults.push(name, REPEATED);
            }
        }
    }
}

/// Puts a list into the object, from JSON text or from indexed items, but not from both.
fn merge_list(
    list: &str,
    items: Option<BTreeMap<usize, Map<String, Value>>>,
    object: &mut Map<String, Value>,
    faults: &mut Faults,
) {
    if let Some(Value::String(text)) = object.get(list) {
        match json::parse(text.as_bytes(), Some(list), faults) {
            Ok(value) => {
                object.insert(list.to_owned(), value);
            }
            Err(error) => {
                faults.push(list, not_json(&error));
                object.remove(list);
            }
        }
    }
    if let Some(items) = items {
        if object.contains_key(list) {
            let reason = "is given both as JSON and in the indexed form";
            faults.push(list, reason);
        }
        let items = items.into_values().map(Value::Object).collect();
        object.insert(list.to_owned(), items);
    }
}

enum Bracketed<'a> {
    No,
    Bad,
    Item {
        list: &'static str,
        index: Option<usize>,
        field: &'a str,
    },
}

/// Reads `bank_account_details[0][ifsc]`, and `[]` for the index.
fn bracketed(name: &str) -> Bracketed<'_> {
    let Some((list, rest)) = LISTS.iter().find_map(|list| {
        let rest = name.strip_prefix(list)?;
        rest.starts_with('[').then_some((*list, rest))
    }) else {
        return Bracketed::No;
    };
    let parts = rest
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
        .and_then(|(index, rest)| Some((index, rest.strip_prefix('[')?.strip_suffix(']')?)));
    match parts {
        Some((index, field)) if !field.is_empty() && !field.contains(['[', ']']) => {
            let index = match (index, index.parse()) {
                ("", _) => None,
                (_, Ok(number)) if number <= MAX_INDEX && index.len() <= 4 => Some(number),
                _ => return Bracketed::Bad,
            };
            Bracketed::Item { list, index, field }
        }
        _ => Bracketed::Bad,
    }
}

/// Decodes percent-encoding; `None` if the result is not UTF-8.
fn percent_decode(bytes: &[u8]) -> Option<String> {
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
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_encoding_of_a_list_decodes_the_same() {
        let expected = json!({"bank_account_details":[{"ifsc":"HDFC0000001","account_number":"00011020001772"}]});
        for body in [
            r#"bank_account_details=[{"ifsc":"HDFC0000001","account_number":"00011020001772"}]"#,
            "bank_account_details%5B0%5D%5Bifsc%5D=HDFC0000001&bank_account_details%5B0%5D%5Baccount_number%5D=00011020001772",
            "bank_account_details[][ifsc]=HDFC0000001&bank_account_details[][account_number]=00011020001772",
            "bank_account_details[7][ifsc]=HDFC0000001&bank_account_details[7][account_number]=00011020001772",
        ] {
            let decoded = decode(body.as_bytes()).unwrap();
            assert_eq!(Value::Object(decoded), expected, "{body}");
        }
    }

    #[test]
    fn empty_brackets_start_an_item_when_a_field_repeats() {
        let object = decode(b"upi_details[][vpa]=a1@upi&upi_details[][vpa]=b1@upi").unwrap();
        assert_eq!(
            object["upi_details"],
            json!([{"vpa":"a1@upi"},{"vpa":"b1@upi"}])
        );
    }

    #[test]
    fn faults_name_the_field() {
        for (body, field) in [
            ("ifsc=a&ifsc=b", "ifsc"),
            ("ifsc=%ff", "ifsc"),
            ("ifsc=%4", "ifsc"),
            ("upi_details={", "upi_details"),
            ("upi_details[0]=x", "upi_details[0]"),
            ("upi_details[x][vpa]=x", "upi_details[x][vpa]"),
            (
                "upi_details[0][vpa]=x&upi_details[0][vpa]=y",
                "upi_details[0].vpa",
            ),
            (
                "upi_details[0][%00%0av]=x&upi_details[0][%00%0av]=y",
                "upi_details[0].v",
            ),
            ("upi_details=[]&upi_details[0][vpa]=y", "upi_details"),
        ] {
            let faults = decode(body.as_bytes()).unwrap_err();
            assert_eq!(faults[0].field_name, field, "{body}");
        }
    }

    #[test]
    fn the_pairs_and_the_faults_of_a_form_are_bounded() {
        let pairs = |many: usize| "a&".repeat(many);
        let faults = decode(pairs(2_001).as_bytes()).unwrap_err();
        assert_eq!(faults.len(), 101, "one more than a reply lists");
        let faults = decode("%=&".repeat(87_000).as_bytes()).unwrap_err();
        assert_eq!(faults.len(), 101);
        let different = |many: usize| -> String {
            let pairs: Vec<String> = (0..many).map(|place| format!("f{place}=x")).collect();
            pairs.join("&")
        };
        let faults = decode(different(2_001).as_bytes()).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].field_name, "body");
        assert_eq!(decode(different(2_000).as_bytes()).unwrap().len(), 2_000);
        let json = r#"upi_details=[{"vpa":"a1@upi","vpa":"b1@upi"}]"#;
        assert_eq!(
            decode(json.as_bytes()).unwrap_err()[0].field_name,
            "upi_details[0].vpa"
        );
    }

    /// Fields with any text, and lists of objects with any text fields.
    fn any_tree() -> impl Strategy<Value = Map<String, Value>> {
        let text = || "\\PC{0,12}".prop_map(Value::String);
        let item = proptest::collection::btree_map("[a-z_]{1,8}", text(), 1..4);
        let list = proptest::collection::vec(item, 1..4).prop_map(|items| {
            items
                .into_iter()
                .map(|item| Value::Object(item.into_iter().collect()))
                .collect()
        });
        let fields = proptest::collection::btree_map("[a-z.é]{1,8}", text(), 0..5);
        let lists = proptest::collection::btree_map(proptest::sample::select(&LISTS), list, 0..3);
        (fields, lists).prop_map(|(fields, lists)| {
            let lists = lists
                .into_iter()
                .map(|(name, list)| (name.to_owned(), list));
            fields.into_iter().chain(lists).collect()
        })
    }

    /// The tree as a form, its lists in the indexed form or as JSON.
    fn encoded(tree: &Map<String, Value>, indexed: bool) -> String {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in tree {
            match value {
                Value::Array(items) if indexed => {
                    for (index, item) in items.iter().enumerate() {
                        for (field, value) in item.as_object().into_iter().flatten() {
                            let text = value.as_str().unwrap();
                            pairs.push((format!("{name}[{index}][{field}]"), text.to_owned()));
                        }
                    }
                }
                Value::String(text) => pairs.push((name.clone(), text.clone())),
                other => pairs.push((name.clone(), other.to_string())),
            }
        }
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)))
            .collect();
        pairs.join("&")
    }

    fn percent_encode(text: &str) -> String {
        text.bytes()
            .map(|byte| match byte {
                b' ' => "+".to_owned(),
                byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                byte => format!("%{byte:02x}"),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn decoding_never_panics(body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&body);
        }

        #[test]
        fn a_tree_encoded_as_a_form_decodes_to_itself(tree in any_tree(), indexed in any::<bool>()) {
            let form = encoded(&tree, indexed);
            prop_assert_eq!(decode(form.as_bytes()).map_err(|faults| faults.len()), Ok(tree), "{}", form);
        }

        #[test]
        fn percent_encoded_text_is_unchanged(text in "\\PC{0,40}") {
            let encoded: Vec<String> = text.bytes().map(|b| format!("%{b:02X}")).collect();
            let encoded = encoded.concat();
            let object = decode(format!("beneficiary_name={encoded}").as_bytes()).unwrap();
            prop_assert_eq!(&object["beneficiary_name"], &Value::String(text));
        }
    }
}
