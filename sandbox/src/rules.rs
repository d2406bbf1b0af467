//! Field rules: each gateway has tables of them, and this module interprets the tables.

use serde_json::{Map, Value};

use crate::body::{at, text};
use crate::refusal::RefusalRow;
use crate::rules::Check::{
    AtLeast, AtMost, Flag, Given, Is, Length, Matches, Object, OneOf, Present, Sent, Text,
    TrimmedAtMost, True, When,
};

/// A rule: the path of a field in the request (such as `user_consent.type`), a check of the field, and the
/// refusal that a breach gives.
pub(crate) type Rule = (&'static str, Check, RefusalRow<'static>);

/// Declares tables of rules, each as `NAME { "field": Check => REFUSAL; … }`.
macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident {$($field:literal: $check:expr => $refusal:expr;)*})*) => {
        $($(#[$doc])* pub(super) const $name: &[Rule] = &[$(($field, $check, $refusal)),*];)*
    };
}
pub(crate) use rules;

/// The refusal of a check that a field of the right type cannot breach.
pub(crate) const NO_REFUSAL: RefusalRow<'static> = (400, "", "");

/// A check of a field. Lengths are in characters. All but `Given`, `Present`, `Sent`, `Is` and `True` let an
/// absent field pass.
#[derive(Debug)]
pub(crate) enum Check {
    /// The field is an object.
    Given,
    /// The field is a text that is not blank.
    Present,
    /// The field is a text.
    Sent,
    /// The text has at least this length. An empty text passes: it counts as absent.
    AtLeast(usize),
    AtMost(usize),
    /// The text without the spaces around it has at most this length.
    TrimmedAtMost(usize),
    Length(usize, usize),
    Matches(fn(&str) -> bool),
    OneOf(&'static [&'static str]),
    Is(&'static str),
    /// The field is the JSON value `true`.
    True,
    /// The field may be any text.
    Text,
    /// The field may be true or false.
    Flag,
    /// The object satisfies this condition.
    Object(fn(&Map<String, Value>) -> bool),
    /// The check holds where another field is true.
    When(&'static str, &'static Check),
}

impl Check {
    /// Returns whether a value that is not null has the type that this check is for.
    pub(crate) fn has_type(&self, value: &Value) -> bool {
        match self {
            Given | Object(_) => value.is_object(),
            True | Flag => value.is_boolean(),
            _ => value.is_string(),
        }
    }

    fn passes(&self, field: &str, request: &Value) -> bool {
        let value = at(request, field);
        let sent = value.as_str();
        let chars = |text: &str| text.chars().count();
        match self {
            Given => value.is_object(),
            Present => sent.is_some_and(|text| !text.trim().is_empty()),
            Sent => sent.is_some(),
            AtLeast(least) => sent.is_none_or(|text| text.is_empty() || chars(text) >= *least),
            AtMost(most) => sent.is_none_or(|text| chars(text) <= *most),
            TrimmedAtMost(most) => sent.is_none_or(|text| chars(text.trim()) <= *most),
            Length(least, most) => sent.is_none_or(|text| (*least..=*most).contains(&chars(text))),
            Matches(matches) => sent.is_none_or(matches),
            OneOf(words) => sent.is_none_or(|text| words.contains(&text)),
            Is(word) => sent == Some(word),
            True => *value == true,
            Text | Flag => true,
            Object(holds) => value.as_object().is_none_or(holds),
            When(condition, check) => !is_true(request, condition) || check.passes(field, request),
        }
    }
}

/// The first rule that a request breaches, with its refusal.
#[derive(Debug)]
pub(crate) struct Breach {
    status: u16,
    code: String,
    message: String,
    /// Last name of the field's path.
    pub(crate) name: &'static str,
}

impl Breach {
    pub(crate) fn row(&self) -> RefusalRow<'_> {
        (self.status, &self.code, &self.message)
    }
}

/// Checks a request against a table of rules, in their order.
pub(crate) fn check(rules: &'static [Rule], request: &Value) -> Result<(), Breach> {
    let breached = rules
        .iter()
        .find(|(field, check, _)| !check.passes(field, request));
    let Some((field, check, (status, code, message))) = breached else {
        return Ok(());
    };
    let name = field.rsplit('.').next().unwrap_or(field);
    let (least, most) = match check {
        Length(least, most) => (*least, *most),
        AtLeast(limit) | AtMost(limit) | TrimmedAtMost(limit) => (*limit, *limit),
        _ => (0, 0),
    };
    let fill = |template: &str| {
        let named = template.replace("{}", field).replace("{last}", name);
        named
            .replace("{least}", &least.to_string())
            .replace("{most}", &most.to_string())
    };
    Err(Breach {
        status: *status,
        code: fill(code),
        message: fill(message),
        name,
    })
}

/// Returns whether a field is true, or the text `true` as a form has it.
pub(crate) fn is_true(request: &Value, field: &str) -> bool {
    at(request, field) == true || text(request, field) == Some("true")
}

/// Returns whether all characters are ASCII letters and digits.
pub(crate) fn alphanumeric(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Returns whether a text is an IFSC: four capitals, a zero, six capitals or digits.
pub(crate) fn ifsc(text: &str) -> bool {
    ifsc_in_any_case(text) && !text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Returns whether a text is an IFSC in capital or small letters.
pub(crate) fn ifsc_in_any_case(text: &str) -> bool {
    text.len() == 11
        && alphanumeric(text)
        && text.bytes().take(4).all(|byte| byte.is_ascii_alphabetic())
        && text.as_bytes()[4] == b'0'
}

/// Returns whether a text is a user part and a handle around one `@`, both of letters, digits and the
/// given other characters.
pub(crate) fn vpa(text: &str, others_in_user: &[u8], others_in_handle: &[u8]) -> bool {
    let part = |part: &str, others: &[u8]| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
    };
    text.split_once('@')
        .is_some_and(|(user, handle)| part(user, others_in_user) && part(handle, others_in_handle))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_check_accepts_and_refuses() {
        let long = "a".repeat(5);
        for (check, value, passes) in [
            (Given, json!({}), true),
            (Given, Value::Null, false),
            (Present, json!("a"), true),
            (Present, json!("  "), false),
            (Present, Value::Null, false),
            (AtLeast(2), json!(""), true),
            (AtLeast(2), json!("a"), false),
            (AtMost(4), json!(long), false),
            (AtMost(4), json!("नमस्"), true),
            (AtMost(4), json!(" aaaa "), false),
            (TrimmedAtMost(4), json!(" aaaa "), true),
            (TrimmedAtMost(4), json!(long), false),
            (AtMost(4), Value::Null, true),
            (Length(1, 4), json!(""), false),
            (Length(1, 4), Value::Null, true),
            (Matches(ifsc), json!("HDFC0000001"), true),
            (Matches(ifsc), json!("hdfc0000001"), false),
            (OneOf(&["a", "b"]), json!("b"), true),
            (OneOf(&["a", "b"]), json!("c"), false),
            (OneOf(&["a", "b"]), Value::Null, true),
            (Is("a"), json!("a"), true),
            (Is("a"), Value::Null, false),
            (True, json!(true), true),
            (True, json!(false), false),
            (True, Value::Null, false),
            (Object(Map::is_empty), json!({"a": 1}), false),
            (Object(Map::is_empty), Value::Null, true),
            (When("on", &Present), Value::Null, false),
            (When("off", &Present), Value::Null, true),
        ] {
            let request = json!({"outer": {"field": value}, "on": "true", "off": false});
            let found = check.passes("outer.field", &request);
            assert_eq!(found, passes, "{check:?} of {value}");
        }
    }

    #[test]
    fn a_breach_fills_the_field_and_the_limits_into_its_refusal() {
        const ROW: RefusalRow<'static> = (400, "{}_bad", "{last}: {least} to {most}.");
        const RULES: &[Rule] = &[("a.b", Present, ROW), ("a.b", Length(2, 3), ROW)];
        assert!(check(RULES, &json!({"a": {"b": "xy"}})).is_ok());
        let breach = check(RULES, &json!({"a": {"b": "x"}})).unwrap_err();
        assert_eq!(breach.row(), (400, "a.b_bad", "b: 2 to 3."));
        assert_eq!(breach.name, "b");
    }

    #[test]
    fn an_ifsc_has_four_letters_a_zero_and_six_more() {
        for good in ["YESB0000262", "CNRR0002640", "ABCD0A1B2C3"] {
            assert!(ifsc(good), "{good}");
        }
        assert!(ifsc_in_any_case("yesb0000262"));
        for bad in [
            "YESB000026",
            "YESB00002622",
            "YESB1000262",
            "yesb0000262",
            "YES10000262",
            "YESB0000 62",
        ] {
            assert!(!ifsc(bad), "{bad}");
        }
    }

    #[test]
    fn a_vpa_has_one_at_between_two_parts() {
        for (text, valid) in [
            ("a.b-c_d@okhdfcbank", true),
            ("asha", false),
            ("@upi", false),
            ("asha@", false),
            ("a@b@c", false),
            ("a b@upi", false),
            ("a@u-pi", false),
        ] {
            assert_eq!(vpa(text, b".-_", b"."), valid, "{text}");
        }
    }
}
