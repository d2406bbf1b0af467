//! Text as merchants' programs send it: blanks and invisible characters around a value, placeholders that a program left in
//! place, digits of other scripts. [`fields`](crate::account) and the request fields of the API share these rules.

#[cfg(test)]
mod tests;

/// Builds the published pattern of a value that is trimmed. The pattern has only the blanks of regular expressions around the
/// value; [`text::trim`](crate::text::trim) removes invisible characters too.
#[macro_export]
macro_rules! trimmed {
    ($pattern:literal) => {
        concat!(r"^\s*(?:", $pattern, r")\s*$")
    };
}

pub(crate) use trimmed;

/// Control characters, as the inside of a class of a regular expression.
const CONTROLS: &str = r"\x00-\x1F\x7F-\x9F";
/// Joiners. After a letter of an Indic script they belong to the letter: Malayalam writes ന്‍ with one.
const JOINERS: [char; 2] = ['\u{200c}', '\u{200d}'];

fn is_blank(c: char) -> bool {
    matches!(c,
        '\t'..='\r' | ' ' | '\u{85}' | '\u{a0}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{180e}'
        | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{2800}' | '\u{3000}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}')
}

/// Characters that show nothing by themselves: blanks, controls, selectors of variants, and tags.
fn is_visible(c: char) -> bool {
    let is_selector = matches!(c, '\u{34f}' | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}');
    !(is_blank(c) || is_selector || c.is_control())
}

/// Removes blanks and invisible characters around a text: spaces, line ends, no-break and zero-width spaces, byte-order and
/// direction marks.
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// Removes the same around a text in any script, but keeps a joiner that ends a letter of an Indic script.
pub fn trim_prose(text: &str) -> &str {
    let start = text.trim_start_matches(is_blank);
    let trimmed = start.trim_end_matches(is_blank);
    let is_indic = trimmed.ends_with(|c: char| ('\u{900}'..='\u{dff}').contains(&c));
    match start[trimmed.len()..].chars().next() {
        Some(joiner) if is_indic && JOINERS.contains(&joiner) => {
            &start[..trimmed.len() + joiner.len_utf8()]
        }
        _ => trimmed,
    }
}

/// Why a text in any script breaks its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProseError {
    /// The number of characters is outside of the range.
    Length,
    Controls,
    Invisible,
    /// The program's encoding has no letters for the text, and put a question mark in place of each.
    QuestionMarks,
    Placeholder,
}

/// Returns the text without the blanks around it, if it has this many characters, at least one of which is visible, and no
/// control characters. [`prose_pattern`] publishes the rule.
pub fn prose(text: &str, least: usize, most: usize) -> Result<&str, ProseError> {
    let bare = trim(text);
    if bare.is_empty() && text.is_empty() && least == 0 {
        return Ok(bare);
    }
    if !text.is_empty() && !text.chars().any(is_visible) && !text.chars().all(char::is_whitespace) {
        return Err(ProseError::Invisible);
    }
    if !(least.max(1)..=most).contains(&bare.chars().count()) {
        return Err(ProseError::Length);
    }
    if bare.chars().any(char::is_control) {
        return Err(ProseError::Controls);
    }
    if bare.len() > 1 && bare.bytes().all(|b| b == b'?' || b == b' ') {
        return Err(ProseError::QuestionMarks);
    }
    if is_placeholder(bare) && !NAMES.contains(&bare) {
        return Err(ProseError::Placeholder);
    }
    Ok(trim_prose(text))
}

/// Returns the published pattern of a text in any script with this many characters after trimming. Placeholders and texts of
/// question marks, which [`prose`] refuses too, are no matter of form.
pub fn prose_pattern(least: usize, most: usize) -> String {
    let or_empty = if least == 0 { "^$|" } else { "" };
    let inner = most.saturating_sub(2);
    format!(r"{or_empty}^\s*[^\s{CONTROLS}](?:[^{CONTROLS}]{{0,{inner}}}[^\s{CONTROLS}])?\s*$")
}

/// Rule of an e-mail address: text around one `@` without blanks and control characters.
pub const MAIL_ADDRESS_PATTERN: &str =
    trimmed!(r"[^@\s\x00-\x1F\x7F-\x9F]+@[^@\s\x00-\x1F\x7F-\x9F]+");

/// Returns the address without the blanks around it; `None` if the text breaks the rule. Only sending a mail can prove more.
pub fn mail_address(text: &str) -> Option<&str> {
    let address = trim(text);
    let (user, host) = address.split_once('@')?;
    let is_part = |part: &str| {
        let mut chars = part.chars();
        !part.is_empty() && !chars.any(|c| c == '@' || c.is_control() || c.is_whitespace())
    };
    (is_part(user) && is_part(host)).then_some(address)
}

/// Words that programming languages and tools write in place of a value.
const WORDS: [&str; 9] = [
    "undefined",
    "null",
    "(null)",
    "none",
    "nil",
    "nan",
    "array",
    "optional.empty",
    // Tools that make a call of an OpenAPI document.
    "string",
];
/// Words of [`WORDS`] that are people's names when they are written as names.
const NAMES: [&str; 4] = ["Null", "Nil", "Nan", "NAN"];

/// Returns whether a program put this text in place of a value that it does not have, in any case: a word such as `undefined` or
/// `None`, the name of a type such as `[object Object]` or `System.String[]`, or a template that it did not fill in, such as
/// `{customer_id}`. Every field of a request asks this one question.
pub fn is_placeholder(text: &str) -> bool {
    let text = trim(text);
    is_placeholder_word(text) || is_type(text) || is_template(text)
}

/// Returns whether the text is one of the words alone. A password may look like a template.
pub fn is_placeholder_word(text: &str) -> bool {
    WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Returns whether a part of an address `user@host` is a placeholder. `nil@upi` may be a person.
pub fn is_placeholder_address(text: &str) -> bool {
    let Some((user, host)) = trim(text).split_once('@') else {
        return is_placeholder(text);
    };
    let is_word = ["undefined", "null", "none"]
        .iter()
        .any(|word| user.eq_ignore_ascii_case(word));
    is_word || is_template(user) || is_placeholder(host)
}

/// Returns whether an id is a placeholder, the name of the parameter itself, or the id of nothing: a UUID of zeros.
pub fn is_placeholder_id(text: &str) -> bool {
    let text = trim(text);
    let is_marked = text.strip_prefix('@').is_some_and(names_an_id);
    let listed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    is_placeholder(text)
        || is_id_word(text)
        || is_marked
        || listed.is_some_and(names_an_id)
        || is_zeros(text)
}

/// Returns whether the text has the zeros of an empty UUID (.NET, Java, Go), ULID or ObjectID, and nothing else.
fn is_zeros(text: &str) -> bool {
    let text = text.trim_matches(['{', '}']);
    let zeros = text.bytes().filter(|byte| *byte == b'0').count();
    zeros >= 24 && text.bytes().all(|byte| byte == b'0' || byte == b'-')
}

/// Returns whether a parameter of this name holds an id. Others may be real: `@asha`.
fn names_an_id(name: &str) -> bool {
    let is_id = ["_id", "_ID", "Id"].iter().any(|end| name.ends_with(end));
    is_name(name) && (is_id || name.eq_ignore_ascii_case("id") || is_id_word(name))
}

fn is_id_word(text: &str) -> bool {
    const IDS: [&str; 8] = [
        "customer_id",
        "customerid",
        "customer-id",
        "account_id",
        "accountid",
        "account-id",
        "object_reference_id",
        "objectreferenceid",
    ];
    IDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Returns whether the text is what .NET or Java prints for a list or an object in place of its content: the name of the type.
fn is_type(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let is_dot_net = text
        .strip_prefix("system.")
        .is_some_and(|name| name.ends_with(']') || ["object", "string", "dbnull"].contains(&name));
    let is_java = ["[l", "[b@", "[c@", "java.lang.", "java.util."]
        .iter()
        .any(|start| text.starts_with(start));
    is_dot_net || is_java && text.contains('@')
}

/// Returns whether a variable or a parameter may have this name.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Returns whether a text between braces or angle brackets is a value: a UUID as .NET and COM write it, a number longer than the
/// place in a format, or an e-mail address.
fn is_value(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let all = |is: fn(&u8) -> bool| text.bytes().all(|byte| byte == b'-' || is(&byte));
    let is_uuid = digits == 32 && all(u8::is_ascii_hexdigit);
    let is_number = text.starts_with(|c: char| c.is_ascii_digit()) && text.len() > 2;
    let is_mail = text.starts_with(|c: char| c.is_ascii_alphabetic());
    is_uuid
        || is_number && all(u8::is_ascii_alphanumeric)
        || is_mail && mail_address(text).is_some()
}

/// Returns whether the text is a template that was not filled in: `{customer_id}`, `${id}`, `<id>`, `$id`, `%s`.
pub fn is_template(text: &str) -> bool {
    /// Marks around a name; around a [value](is_value) they belong to it.
    const AROUND: [(&str, &str); 4] = [("{", "}"), ("<", ">"), ("%7b", "%7d"), ("%3c", "%3e")];
    const FORMATS: [&str; 6] = ["%s", "%d", "%v", "%@", "%1$s", "%1$d"];
    const MARKS: [(&str, &str); 10] = [
        ("${", "}"),
        ("#{", "}"),
        ("[object ", "]"),
        ("Optional[", "]"),
        // A format of Python with the name of its value.
        ("%(", ")s"),
        ("%(", ")d"),
        // A byte string or a list of Python, an object of Ruby, a format of Go without its value.
        ("b'", "'"),
        ("['", "']"),
        ("#<", ">"),
        ("%!", ")"),
    ];
    let between = |(start, end): &(&str, &str)| {
        let (first, rest) = text.split_at_checked(start.len())?;
        let (inner, last) = rest.split_at_checked(rest.len().checked_sub(end.len())?)?;
        let is_between = first.eq_ignore_ascii_case(start) && last.eq_ignore_ascii_case(end);
        is_between.then_some(inner)
    };
    let is_named = |inner: &str| !is_value(inner);
    // `%CUSTOMER_ID%` of a Windows shell, `:customer_id` of a route, `$customer_id` in single quotes of PHP or a shell.
    AROUND.iter().filter_map(between).any(is_named)
        || MARKS.iter().any(|marks| between(marks).is_some())
        || between(&("%", "%")).is_some_and(is_name)
        || text.strip_prefix([':', '$']).is_some_and(is_name)
        || FORMATS
            .iter()
            .any(|format| text.eq_ignore_ascii_case(format))
}

/// First digit of a script, and the message for its digits.
macro_rules! digits {
    ($($zero:literal $script:literal),+ $(,)?) => {
        [$(($zero, concat!("must be written with the digits 0 to 9, not with ", $script, " digits"))),+]
    };
}

const DIGITS: [(char, &str); 14] = digits![
    '\u{660}' "Arabic",
    '\u{6f0}' "Urdu",
    '\u{966}' "Devanagari",
    '\u{9e6}' "Bengali",
    '\u{a66}' "Gurmukhi",
    '\u{ae6}' "Gujarati",
    '\u{b66}' "Odia",
    '\u{be6}' "Tamil",
    '\u{c66}' "Telugu",
    '\u{ce6}' "Kannada",
    '\u{d66}' "Malayalam",
    '\u{1c50}' "Ol Chiki",
    '\u{abf0}' "Meitei",
    '\u{ff10}' "full-width",
];

/// Returns what is wrong with a text that has digits or letters which only look like ASCII; `None` if it has none. Such digits
/// are refused and not converted, because the merchant's other systems may read them differently.
pub fn foreign_characters(text: &str) -> Option<&'static str> {
    let digits = |c: char| {
        let mut scripts = DIGITS.iter();
        let script = scripts
            .find(|(zero, _)| (u32::from(*zero)..=u32::from(*zero) + 9).contains(&u32::from(c)));
        script.map(|(_, message)| *message)
    };
    let mut chars = text.chars();
    chars.find_map(|c| match c {
        '\u{ff21}'..='\u{ff5a}' => {
            Some("must be written with ASCII letters, not with full-width letters")
        }
        '\u{370}'..='\u{52f}' => {
            Some("must be written with ASCII letters, not with Greek or Cyrillic letters")
        }
        c if c.is_ascii() => None,
        c => digits(c),
    })
}
