//! Changed replies and webhooks: every field with every other JSON type, absent, twice, and in other encodings.

use serde_json::Value;

/// A changed body.
pub(crate) struct Change {
    /// The changed field, after the fields that hold it; empty if the body as a whole has another encoding.
    pub(crate) field: Vec<String>,
    /// The change, for messages.
    pub(crate) what: String,
    pub(crate) body: Vec<u8>,
    /// Whether the change keeps every value.
    pub(crate) keeps_values: bool,
    /// Whether the new value says yes or no by itself.
    pub(crate) is_statement: bool,
}

enum Step {
    Member(String),
    Item(usize),
}

/// The values of a field in a changed body: each one written after the name of the field, or after its other name.
type Values = Vec<(Name, Vec<u8>)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Own,
    /// Without underscores and in capital letters.
    Other,
}

/// Returns each change of a body.
pub(crate) fn changes(body: &Value) -> Vec<Change> {
    let text = body.to_string();
    let utf16 = |unit: fn(u16) -> [u8; 2], mark: &str| {
        let units = mark.encode_utf16().chain(text.encode_utf16());
        units.flat_map(unit).collect::<Vec<_>>()
    };
    let whole = [
        (
            "with a byte-order mark",
            [b"\xEF\xBB\xBF", text.as_bytes()].concat(),
        ),
        ("in UTF-16", utf16(u16::to_le_bytes, "\u{FEFF}")),
        ("in UTF-16, big-endian", utf16(u16::to_be_bytes, "\u{FEFF}")),
        ("in UTF-16 without a mark", utf16(u16::to_le_bytes, "")),
        ("in a list", format!("[{text}]").into_bytes()),
        ("with a line end", format!("{text}\r\n").into_bytes()),
        (
            "with a member of a damaged name",
            text.replacen('{', r#"{"\ud83d":1,"#, 1).into_bytes(),
        ),
    ];
    let mut changes: Vec<_> = whole
        .into_iter()
        .map(|(what, body)| Change {
            field: Vec::new(),
            what: what.to_owned(),
            body,
            keeps_values: true,
            is_statement: false,
        })
        .collect();
    let mut fields = Vec::new();
    collect(body, &mut Vec::new(), &mut fields);
    for path in &fields {
        changes.extend(field_changes(body, path));
    }
    changes
}

fn field_changes(body: &Value, path: &[Step]) -> Vec<Change> {
    let original = at(body, path).to_string().into_bytes();
    let text = |text: &str| text.as_bytes().to_vec();
    let mut variants: Vec<(String, Values, bool)> = Vec::new();
    for other in [
        "null",
        "true",
        "false",
        "7",
        "0.5",
        "1e999",
        "NaN",
        r#""text""#,
        r#""""#,
        "[]",
        r#"["text"]"#,
        "{}",
        r#"{"a":"text"}"#,
        r#""\ud800""#,
    ] {
        variants.push((other.to_owned(), vec![(Name::Own, text(other))], false));
    }
    let latin = b"\"Jos\xE9\"".to_vec();
    variants.push(("Latin-1".to_owned(), vec![(Name::Own, latin)], false));
    if let Value::String(value) = at(body, path) {
        let padded = Value::from(format!("\u{FEFF}\u{200B}{value}\u{0}"));
        let padded = (Name::Own, padded.to_string().into_bytes());
        variants.push(("padded".to_owned(), vec![padded], true));
    }
    let renamed = vec![(Name::Other, original.clone())];
    variants.push(("under its other name".to_owned(), renamed, true));
    let another = (Name::Other, text(r#""text""#));
    let both = vec![(Name::Own, original.clone()), another];
    variants.push((
        "also under its other name, with another text".to_owned(),
        both,
        false,
    ));
    variants.push(("absent".to_owned(), Vec::new(), false));
    let null = || text("null");
    for (what, other, keeps_values) in [
        ("null", null(), true),
        ("itself", original.clone(), true),
        ("another text", text(r#""text""#), false),
        ("a list", text("[]"), false),
    ] {
        let (original, other) = ((Name::Own, original.clone()), (Name::Own, other));
        let both = vec![original.clone(), other.clone()];
        variants.push((format!("twice, then {what}"), both, keeps_values));
        let both = vec![other, original];
        variants.push((format!("twice, first {what}"), both, keeps_values));
    }
    let names = path.iter().filter_map(|step| match step {
        Step::Member(name) => Some(name.clone()),
        Step::Item(_) => None,
    });
    let field: Vec<_> = names.collect();
    let change = |(what, values, keeps_values): (String, Values, bool)| {
        let mut changed = Vec::new();
        write(body, Some(path), &values, &mut changed);
        Change {
            field: field.clone(),
            is_statement: matches!(what.as_str(), "true" | "false"),
            what,
            body: changed,
            keeps_values,
        }
    };
    variants.into_iter().map(change).collect()
}

/// Collects the paths of all members.
fn collect(value: &Value, path: &mut Vec<Step>, fields: &mut Vec<Vec<Step>>) {
    let copy = |path: &[Step]| {
        let steps = path.iter().map(|step| match step {
            Step::Member(name) => Step::Member(name.clone()),
            Step::Item(place) => Step::Item(*place),
        });
        steps.collect()
    };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                path.push(Step::Member(name.clone()));
                fields.push(copy(path));
                collect(value, path, fields);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (place, value) in items.iter().enumerate() {
                path.push(Step::Item(place));
                collect(value, path, fields);
                path.pop();
            }
        }
        _ => {}
    }
}

fn at<'a>(value: &'a Value, path: &[Step]) -> &'a Value {
    path.iter().fold(value, |value, step| match step {
        Step::Member(name) => &value[name.as_str()],
        Step::Item(place) => &value[*place],
    })
}

/// Writes a value as JSON, with the member at this path written once for each of these values.
fn write(value: &Value, path: Option<&[Step]>, values: &Values, out: &mut Vec<u8>) {
    match value {
        Value::Object(members) => {
            let mut parts: Vec<Vec<u8>> = Vec::new();
            for (name, member) in members {
                let key = format!("{}:", Value::from(name.as_str()));
                let rest = path.and_then(|path| match path.split_first() {
                    Some((Step::Member(first), rest)) if first == name => Some(rest),
                    _ => None,
                });
                if let Some([]) = rest {
                    let other = name.replace('_', "").to_uppercase();
                    let other = format!("{}:", Value::from(other));
                    parts.extend(values.iter().map(|(name, value)| {
                        let key = if *name == Name::Own { &key } else { &other };
                        [key.as_bytes(), value].concat()
                    }));
                } else {
                    let mut part = key.into_bytes();
                    write(member, rest, values, &mut part);
                    parts.push(part);
                }
            }
            out.push(b'{');
            out.extend(parts.join(&b','));
            out.push(b'}');
        }
        Value::Array(items) => {
            let parts = items.iter().enumerate().map(|(place, item)| {
                let rest = path.and_then(|path| match path.split_first() {
                    Some((Step::Item(first), rest)) if *first == place => Some(rest),
                    _ => None,
                });
                let mut part = Vec::new();
                write(item, rest, values, &mut part);
                part
            });
            out.push(b'[');
            out.extend(parts.collect::<Vec<_>>().join(&b','));
            out.push(b']');
        }
        value => out.extend(value.to_string().into_bytes()),
    }
}
