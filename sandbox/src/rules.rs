//! Field rules: each gateway has tables of them, and this module interprets the tables.

use serde_json::Value;

use crate::body::{at, text};
use crate::rules::Check::{
    AtLeast, AtMost, Given, Holds, Is, Length, Matches, OneOf, Present, TrimmedAtMost, When,
};

/// One check of one field, and the refusal that a breach gives.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Path of the field in the request, such as `user_consent.type`.
    pub(crate) field: &'static str,
    check: Check,
    code: &'static str,
    message: &'static str,
}

/// A check of a field. Lengths are in characters. All but `Given`, `Present`, `Is` and `Holds` let an
/// absent field pass.
#[derive(Debug)]
pub(crate) enum Check {
    /// The field is not null.
    Given,
    /// The field is a text that is not blank.
    Present,
    /// The text has at least this length. An empty text passes: it counts as absent.
    AtLeast(usize),
    AtMost(usize),
    /// The text without the spaces around it has at most this length.
    TrimmedAtMost(usize),
    Length(usize, usize),
    Matches(fn(&str) -> bool),
    OneOf(&'static [&'static str]),
    /// The field is exactly this text.
    Is(&'static str),
    /// The field's value, null if it is absent, satisfies this condition.
    Holds(fn(&Value) -> bool),
    /// The check holds where another field is true.
    When(&'static str, &'static Check),
}

/// Makes a rule. `{}` in the code and in the message is replaced by the field's name.
pub(crate) const fn rule(
    field: &'static str,
    check: Check,
    code: &'static str,
    message: &'static str,
) -> Rule {
    Rule {
        field,
        check,
        code,
        message,
    }
}

impl Rule {
    /// Returns the code of the refusal, with `name` as the field's name.
    pub(crate) fn code(&self, name: &str) -> String {
        self.code.replace("{}", name)
    }

    /// Returns the message of the refusal, with `name` as the field's name.
    pub(crate) fn message(&self, name: &str) -> String {
        self.message.replace("{}", name)
    }
}

/// Finds the first rule that a request breaches.
pub(crate) fn first_breach<'a>(rules: &'a [Rule], request: &Value) -> Option<&'a Rule> {
    rules
        .iter()
        .find(|rule| !passes(&rule.check, rule.field, request))
}

fn passes(check: &Check, field: &str, request: &Value) -> bool {
    let value = at(request, field);
    let sent = value.as_str();
    match check {
        Given => !value.is_null(),
        Present => sent.is_some_and(|text| !text.trim().is_empty()),
        AtLeast(least) => sent.is_none_or(|text| text.is_empty() || length(text) >= *least),
        AtMost(most) => sent.is_none_or(|text| length(text) <= *most),
        TrimmedAtMost(most) => sent.is_none_or(|text| length(text.trim()) <= *most),
        Length(least, most) => sent.is_none_or(|text| (*least..=*most).contains(&length(text))),
        Matches(matches) => sent.is_none_or(matches),
        OneOf(words) => sent.is_none_or(|text| words.contains(&text)),
        Is(word) => sent == Some(word),
        Holds(holds) => holds(value),
        When(condition, check) => !is_true(request, condition) || passes(check, field, request),
    }
}

/// Returns whether a field is true, or the text `true` as a form has it.
pub(crate) fn is_true(request: &Value, field: &str) -> bool {
    at(request, field) == true || text(request, field) == Some("true")
}

fn length(text: &str) -> usize {
    text.chars().count()
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
            (Holds(Value::is_boolean), json!(true), true),
            (Holds(Value::is_boolean), Value::Null, false),
            (When("on", &Present), Value::Null, false),
            (When("off", &Present), Value::Null, true),
        ] {
            let name = format!("{check:?} of {value}");
            let rules = [rule("outer.field", check, "{}_bad", "{} is bad.")];
            let request = json!({"outer": {"field": value}, "on": "true", "off": false});
            let breach = first_breach(&rules, &request);
            assert_eq!(breach.is_none(), passes, "{name}");
            if let Some(breach) = breach {
                assert_eq!(breach.code("field"), "field_bad");
                assert_eq!(breach.message("field"), "field is bad.");
            }
        }
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
