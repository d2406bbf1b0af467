//! Tables of refusals and field rules. Each gateway has a text of them (`rules.txt`), which this module
//! interprets.
//!
//! A line of a refusal has a name, an HTTP status, the gateway's code and a message. A line of a rule has
//! the name of a table, the path of a field (such as `user_consent.type`), a check, and the refusal of a
//! breach. In the refusal of a field, `{}` means the field's path, `{last}` the last name of the
//! path, `{least}` and `{most}` for the limits.

use std::collections::HashMap;

use chrono::DateTime;
use serde_json::Value;

use crate::body::{at, form, text};

/// A refusal: HTTP status, the gateway's code, message.
pub(crate) type RefusalRow<'a> = (u16, &'a str, &'a str);

/// The tables of one text.
pub(crate) struct Tables {
    refusals: HashMap<&'static str, RefusalRow<'static>>,
    rules: HashMap<&'static str, Vec<Rule>>,
    /// Lines that cannot be read; a test keeps this empty.
    unreadable: Vec<&'static str>,
}

struct Rule {
    field: &'static str,
    check: Check,
    refusal: RefusalRow<'static>,
}

/// A check of a field: an object (`Given`), a text (`Sent`), any text or none, any flag or none, and so on.
/// Lengths are in characters, times are RFC 3339. All but `Given`, `Present`, `Sent`, `Is` and `True` let an
/// absent field pass.
#[derive(Debug, PartialEq)]
enum Check {
    Given,
    /// The field is a text that is not blank.
    Present,
    Sent,
    Text,
    Flag,
    /// The field is the JSON value `true`.
    True,
    /// The text has at least this length. An empty text passes: it counts as absent.
    AtLeast(usize),
    AtMost(usize),
    /// The text without the spaces around it has at most this length.
    TrimmedAtMost(usize),
    BytesAtMost(usize),
    Length(usize, usize),
    /// The text has ASCII letters, digits and these characters only.
    Characters(String),
    /// The text is ASCII and has none of these characters.
    AsciiWithout(&'static str),
    Digits,
    Number,
    Time,
    /// Four capitals, a zero, six capitals or digits.
    Ifsc,
    IfscInAnyCase,
    /// The text is a user part and a handle around one `@`, both of letters, digits and these characters.
    Vpa(&'static str, &'static str),
    OneOf(Vec<&'static str>),
    Is(&'static str),
    MembersAtMost(usize),
    /// The members of an object have no nesting, and their texts at most this length.
    ShortMembers(usize),
    /// The check holds where another field is true.
    When(&'static str, Box<Check>),
}

impl Check {
    fn parse(words: &[&'static str]) -> Option<Self> {
        let number = |word: &str| word.parse().ok();
        Some(match words {
            ["given"] => Self::Given,
            ["present"] => Self::Present,
            ["sent"] => Self::Sent,
            ["text"] => Self::Text,
            ["flag"] => Self::Flag,
            ["true"] => Self::True,
            ["at", "least", least] => Self::AtLeast(number(least)?),
            ["at", "most", most] => Self::AtMost(number(most)?),
            ["trimmed", "at", "most", most] => Self::TrimmedAtMost(number(most)?),
            ["bytes", "at", "most", most] => Self::BytesAtMost(number(most)?),
            ["length", least, most] => Self::Length(number(least)?, number(most)?),
            ["characters", others @ ..] => Self::Characters(others.concat().replace("space", " ")),
            ["ascii", "without", others] => Self::AsciiWithout(others),
            ["digits"] => Self::Digits,
            ["number"] => Self::Number,
            ["time"] => Self::Time,
            ["ifsc"] => Self::Ifsc,
            ["ifsc", "in", "any", "case"] => Self::IfscInAnyCase,
            ["vpa", user, handle] => Self::Vpa(user, handle),
            ["one", "of", words @ ..] => Self::OneOf(words.to_vec()),
            ["is", word] => Self::Is(word),
            ["members", "at", "most", most] => Self::MembersAtMost(number(most)?),
            ["short", "members", most] => Self::ShortMembers(number(most)?),
            ["when", field, check @ ..] => Self::When(field, Box::new(Self::parse(check)?)),
            _ => return None,
        })
    }

    /// Returns whether a value that is not null has the type that this check is for.
    fn has_type(&self, value: &Value) -> bool {
        match self {
            Self::Given | Self::MembersAtMost(_) | Self::ShortMembers(_) => value.is_object(),
            Self::True | Self::Flag => value.is_boolean(),
            _ => value.is_string(),
        }
    }

    fn passes(&self, field: &str, request: &Value) -> bool {
        let value = at(request, field);
        match self {
            Self::Given => return value.is_object(),
            Self::True => return *value == true,
            Self::MembersAtMost(most) => {
                return value
                    .as_object()
                    .is_none_or(|members| members.len() <= *most);
            }
            Self::ShortMembers(most) => {
                let short = |value: &Value| match value {
                    Value::String(text) => text.chars().count() <= *most,
                    other => !other.is_object() && !other.is_array(),
                };
                return value
                    .as_object()
                    .is_none_or(|members| members.values().all(short));
            }
            Self::When(condition, check) => {
                return !is_true(request, condition) || check.passes(field, request);
            }
            _ => {}
        }
        match value.as_str() {
            Some(text) => self.passes_text(text),
            None => !matches!(self, Self::Present | Self::Sent | Self::Is(_)),
        }
    }

    fn passes_text(&self, text: &str) -> bool {
        let length = || text.chars().count();
        let are_in = |text: &str, others: &str| {
            let mut characters = text.chars();
            characters.all(|letter| letter.is_ascii_alphanumeric() || others.contains(letter))
        };
        match self {
            Self::Present => !text.trim().is_empty(),
            Self::AtLeast(least) => text.is_empty() || length() >= *least,
            Self::AtMost(most) => length() <= *most,
            Self::TrimmedAtMost(most) => text.trim().chars().count() <= *most,
            Self::BytesAtMost(most) => text.len() <= *most,
            Self::Length(least, most) => (*least..=*most).contains(&length()),
            Self::Characters(others) => are_in(text, others),
            Self::AsciiWithout(others) => {
                text.is_ascii() && !text.contains(|letter| others.contains(letter))
            }
            Self::Digits => text.bytes().all(|byte| byte.is_ascii_digit()),
            Self::Number => text.parse::<u64>().is_ok(),
            Self::Time => DateTime::parse_from_rfc3339(text).is_ok(),
            Self::Ifsc => is_ifsc(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase()),
            Self::IfscInAnyCase => is_ifsc(text),
            Self::Vpa(user, handle) => text.split_once('@').is_some_and(|parts| {
                let parts = [(parts.0, user), (parts.1, handle)];
                let mut parts = parts.iter();
                parts.all(|(part, others)| !part.is_empty() && are_in(part, others))
            }),
            Self::OneOf(words) => words.contains(&text),
            Self::Is(word) => text == *word,
            _ => true,
        }
    }

    fn limits(&self) -> (usize, usize) {
        match *self {
            Self::Length(least, most) => (least, most),
            Self::AtLeast(limit) | Self::AtMost(limit) | Self::TrimmedAtMost(limit) => {
                (limit, limit)
            }
            _ => (0, 0),
        }
    }
}

/// Returns whether a text is an IFSC in capital or small letters.
fn is_ifsc(text: &str) -> bool {
    text.bytes().enumerate().all(|(index, byte)| match index {
        0..=3 => byte.is_ascii_alphabetic(),
        4 => byte == b'0',
        _ => byte.is_ascii_alphanumeric(),
    }) && text.len() == 11
}

/// Returns whether a field is true, or the text `true` as a form has it.
pub(crate) fn is_true(request: &Value, field: &str) -> bool {
    at(request, field) == true || text(request, field) == Some("true")
}

/// The refusal of a field that breaches a rule, and the last name of the field's path.
#[derive(Debug)]
pub(crate) struct Breach {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) name: &'static str,
}

impl Tables {
    /// Reads the tables of a text.
    pub(crate) fn parse(source: &'static str) -> Self {
        let mut tables = Self {
            refusals: HashMap::new(),
            rules: HashMap::new(),
            unreadable: Vec::new(),
        };
        for line in source
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            if tables.read(line).is_none() {
                tables.unreadable.push(line);
            }
        }
        tables
    }

    fn read(&mut self, line: &'static str) -> Option<()> {
        let mut cells = line.splitn(4, " | ");
        let (first, second) = (cells.next()?, cells.next()?);
        let (third, fourth) = (cells.next()?, cells.next()?);
        if let Ok(status) = second.parse() {
            self.refusals.insert(first, (status, third, fourth));
            return Some(());
        }
        let words: Vec<_> = third.split(' ').collect();
        let refusal = match fourth {
            "-" => (400, "", ""),
            name => *self.refusals.get(name)?,
        };
        self.rules.entry(first).or_default().push(Rule {
            field: second,
            check: Check::parse(&words)?,
            refusal,
        });
        Some(())
    }

    /// Returns the refusal of this name.
    pub(crate) fn refusal(&self, name: &str) -> RefusalRow<'static> {
        let missing = (500, "", "this refusal is missing in the sandbox's table");
        self.refusals.get(name).copied().unwrap_or(missing)
    }

    /// Checks a request against the rules of a table, in their order.
    pub(crate) fn check(&self, table: &str, request: &Value) -> Result<(), Breach> {
        let tables = [table];
        let breached = |rule: &&Rule| !rule.check.passes(rule.field, request);
        let Some(rule) = self.rules(&tables).find(breached) else {
            return Ok(());
        };
        let name = rule.field.rsplit('.').next().unwrap_or(rule.field);
        let (least, most) = rule.check.limits();
        let fill = |template: &str| {
            let named = template.replace("{}", rule.field).replace("{last}", name);
            named
                .replace("{least}", &least.to_string())
                .replace("{most}", &most.to_string())
        };
        let (status, code, message) = rule.refusal;
        Err(Breach {
            status,
            code: fill(code),
            message: fill(message),
            name,
        })
    }

    /// Reads a JSON object in which the fields of these tables have the types of their checks; `None` if the
    /// body is none. A field may be absent or null.
    pub(crate) fn json(&self, body: &[u8], tables: &[&str]) -> Option<Value> {
        let request: Value = serde_json::from_slice(body).ok()?;
        let typed = self.rules(tables).all(|rule| {
            let value = at(&request, rule.field);
            value.is_null() || rule.check.has_type(value)
        });
        (typed && request.is_object()).then_some(request)
    }

    /// Reads the fields of these tables from a form or a query; other fields are ignored.
    pub(crate) fn form(&self, form_text: &[u8], tables: &[&str]) -> Option<Value> {
        let fields: Vec<_> = self.rules(tables).map(|rule| rule.field).collect();
        form(form_text, &fields)
    }

    fn rules<'a>(&'a self, tables: &'a [&str]) -> impl Iterator<Item = &'a Rule> {
        let tables = tables.iter().filter_map(|table| self.rules.get(table));
        tables.flatten()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn each_check_accepts_and_refuses() {
        let long = "a".repeat(5);
        for (check, value, passes) in [
            ("given", json!({}), true),
            ("given", Value::Null, false),
            ("present", json!("a"), true),
            ("present", json!("  "), false),
            ("present", Value::Null, false),
            ("at least 2", json!(""), true),
            ("at least 2", json!("a"), false),
            ("at most 4", json!(long), false),
            ("at most 4", json!("नमस्"), true),
            ("at most 4", json!(" aaaa "), false),
            ("trimmed at most 4", json!(" aaaa "), true),
            ("trimmed at most 4", json!(long), false),
            ("at most 4", Value::Null, true),
            ("bytes at most 4", json!("नमस्"), false),
            ("length 1 4", json!(""), false),
            ("length 1 4", Value::Null, true),
            ("characters", json!("aB1"), true),
            ("characters", json!("१२३"), false),
            ("characters -_ space", json!("a b_c-9"), true),
            ("characters -_ space", json!("a/b"), false),
            ("ascii without .@", json!("a_b-C9"), true),
            ("ascii without .@", json!("a.b"), false),
            ("ascii without .@", json!("ключ"), false),
            ("digits", json!("12a"), false),
            ("number", json!(""), false),
            ("time", json!("2025-10-27T09:24:36Z"), true),
            ("time", json!("today"), false),
            ("ifsc", json!("CNRR0002640"), true),
            ("ifsc", json!("ABCD0A1B2C3"), true),
            ("ifsc", json!("yesb0000262"), false),
            ("ifsc in any case", json!("yesb0000262"), true),
            ("ifsc", json!("YESB000026"), false),
            ("ifsc", json!("YESB00002622"), false),
            ("ifsc", json!("YESB1000262"), false),
            ("ifsc", json!("YES10000262"), false),
            ("ifsc", json!("YESB0000 62"), false),
            ("vpa .-_ .", json!("a.b-c_d@okhdfcbank"), true),
            ("vpa .-_ .", json!("asha"), false),
            ("vpa .-_ .", json!("@upi"), false),
            ("vpa .-_ .", json!("asha@"), false),
            ("vpa .-_ .", json!("a@b@c"), false),
            ("vpa .-_ .", json!("a b@upi"), false),
            ("vpa .-_ .", json!("a@u-pi"), false),
            ("one of a b", json!("b"), true),
            ("one of a b", json!("c"), false),
            ("one of a b", Value::Null, true),
            ("is a", json!("a"), true),
            ("is a", Value::Null, false),
            ("true", json!(true), true),
            ("true", json!(false), false),
            ("true", Value::Null, false),
            ("members at most 1", json!({"a": 1}), true),
            ("members at most 1", json!({"a": 1, "b": 2}), false),
            ("short members 2", json!({"a": "xy", "b": null}), true),
            ("short members 2", json!({"a": "xyz"}), false),
            ("short members 2", json!({"a": []}), false),
            ("when on present", Value::Null, false),
            ("when off present", Value::Null, true),
        ] {
            let words: Vec<_> = check.split(' ').collect();
            let parsed = Check::parse(&words).unwrap();
            let request = json!({"outer": {"field": value}, "on": "true", "off": false});
            let found = parsed.passes("outer.field", &request);
            assert_eq!(found, passes, "{check} of {value}");
        }
        assert_eq!(Check::parse(&["at", "most", "few"]), None);
        assert_eq!(Check::parse(&["guess"]), None);
    }

    #[test]
    fn a_breach_fills_the_field_and_the_limits_into_its_refusal() {
        let tables = Tables::parse(
            "# A comment\n\nBAD | 400 | {}_bad | {last}: {least} to {most}.\n\
             t | a.b | present | BAD\nt | a.b | length 2 3 | BAD\nt | c | flag | -",
        );
        assert!(tables.unreadable.is_empty());
        assert!(tables.check("t", &json!({"a": {"b": "xy"}})).is_ok());
        let breach = tables.check("t", &json!({"a": {"b": "x"}})).unwrap_err();
        let row = (breach.status, breach.code.as_str(), breach.message.as_str());
        assert_eq!(row, (400, "a.b_bad", "b: 2 to 3."));
        assert_eq!(breach.name, "b");
        for (body, typed) in [
            (r#"{"a":{"b":"x"},"c":true,"d":1}"#, true),
            (r#"{"a":null,"c":null}"#, true),
            (r#"{"a":{"b":1}}"#, false),
            (r#"{"c":"true"}"#, false),
            ("[]", false),
            ("{", false),
        ] {
            let request = tables.json(body.as_bytes(), &["t"]);
            assert_eq!(request.is_some(), typed, "{body}");
        }
    }

    #[test]
    fn every_line_is_readable_and_every_name_in_the_code_has_its_line() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let folders = fs::read_dir(&sources).unwrap();
        let folders = folders.map(|entry| entry.unwrap().path());
        let files = folders.filter(|path| path.is_dir()).flat_map(|folder| {
            let files = fs::read_dir(folder).unwrap();
            files.map(|entry| entry.unwrap().path())
        });
        let rules: Vec<_> = files
            .filter(|path| path.to_string_lossy().ends_with("rules.txt"))
            .collect();
        assert!(rules.len() >= 8, "{rules:?}");
        for path in rules {
            let gateway = path.parent().unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let book = name.trim_end_matches("_rules").to_uppercase();
            let handlers = fs::read_to_string(gateway.with_extension("rs")).unwrap();
            let outcomes = fs::read_to_string(gateway.join("outcomes.rs")).unwrap();
            let rules = fs::read_to_string(&path).unwrap();
            let tables = Tables::parse(rules.leak());
            assert_eq!(tables.unreadable, [""; 0]);
            let pattern = format!("{book}.refuse(\"");
            let calls = handlers.split(pattern.as_str()).skip(1).collect::<Vec<_>>();
            let outcomes = if book == "RULES" {
                outcomes.as_str()
            } else {
                ""
            };
            let errors = outcomes.split("Err(\"").skip(1);
            let text = |rest| str::split(rest, '"').next().unwrap();
            let is_name = |name: &&str| !name.contains(|letter: char| letter.is_ascii_lowercase());
            let calls = calls.into_iter();
            let mut names: Vec<_> = calls.chain(errors).map(text).filter(is_name).collect();
            assert!(names.len() > 1, "{names:?}");
            names.push("MALFORMED");
            if book != "OAUTH" {
                names.extend(["FAILURE", "TOO_MANY_CALLS", "IP"]);
            }
            if handlers.contains("ACCESS_DENIED") {
                names.push("ACCESS_DENIED");
            }
            for name in names {
                assert!(tables.refusals.contains_key(name), "{name}");
            }
        }
    }
}
