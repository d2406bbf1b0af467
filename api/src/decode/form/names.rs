//! Names of nested fields, as encoders write them. `[x]` and `.x` mean the same: PHP, jQuery, qs, axios and Rails write
//! brackets, ajg/form and axios with `dots` write dots, go-playground/form, Spring and .NET write `list[0].field`.

/// The fields whose value is a list of objects.
pub(super) const LISTS: [&str; 2] = ["bank_account_details", "upi_details"];
/// The fields whose value is an object.
pub(crate) const GROUPS: [&str; 3] = ["metadata", "consent", "options"];
/// Highest accepted index: above the accounts that a call may have, and low enough to be harmless.
const MAX_INDEX: usize = 9_999;

/// The meaning of a pair's name.
#[derive(Debug, PartialEq)]
pub(super) enum Name<'a> {
    /// A field of the call.
    Plain,
    /// A member of [`GROUPS`]`[group]`.
    Member { group: usize, key: &'a str },
    /// A field of an item of [`LISTS`]`[list]`; without an index, of the item that follows from the order of the pairs.
    Item {
        list: usize,
        index: Option<usize>,
        field: &'a str,
    },
    /// An item of a list as one value; a new one for `[]`.
    WholeItem { is_new: bool },
    /// Nothing that has one meaning, and what to send.
    Wrong(&'static str),
}

pub(super) const WHOLE_ITEM: &str = "is an item in one value: send each of its fields, as in upi_details[0][vpa]=…, or JSON text in one field";
const SHAPE: &str = "must be written as bank_account_details[0][ifsc] or upi_details[0][vpa], with a number of 0 to 9999 without leading zeros";
const NO_INDEX: &str = "names no item, as qs writes it with arrayFormat: 'repeat': send bank_account_details[0][ifsc] and so on";
const NESTED: &str =
    "is nested too deeply: metadata, consent and options hold texts, no lists and no objects";
const NO_KEY: &str = "has no key: write metadata[key]=value";
const QUOTES: &str = "has quotation marks around its key: write metadata[key]=value";

/// Reads the name of a pair.
pub(super) fn name(text: &str) -> Name<'_> {
    if !text.bytes().any(|byte| matches!(byte, b'[' | b'.')) {
        return Name::Plain;
    }
    let after = |names: &[&str]| {
        names.iter().enumerate().find_map(|(place, name)| {
            let rest = text.strip_prefix(name)?;
            rest.starts_with(['[', '.']).then_some((place, rest))
        })
    };
    if let Some((list, rest)) = after(&LISTS) {
        item(list, rest)
    } else if let Some((group, rest)) = after(&GROUPS) {
        member(group, rest)
    } else {
        Name::Plain
    }
}

/// Reads what follows the name of a list: `[0][ifsc]`, `[0].ifsc`, `.0.ifsc`, `[][ifsc]`.
fn item(list: usize, rest: &str) -> Name<'_> {
    let Some((first, rest)) = part(rest) else {
        return Name::Wrong(SHAPE);
    };
    let is_number = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    if rest.is_empty() {
        return match first {
            "" => Name::WholeItem { is_new: true },
            _ if is_number => Name::WholeItem { is_new: false },
            _ => Name::Wrong(NO_INDEX),
        };
    }
    let field = part(rest).filter(|(field, rest)| !field.is_empty() && rest.is_empty());
    let has_zeros = first.len() > 1 && first.starts_with('0');
    let index = match first.parse() {
        _ if first.is_empty() => Some(None),
        // `[00]` is another item than `[0]` to PHP, Rack and qs.
        Ok(number) if is_number && number <= MAX_INDEX && !has_zeros => Some(Some(number)),
        _ => None,
    };
    match (index, field) {
        (Some(index), Some((field, _))) => Name::Item { list, index, field },
        _ => Name::Wrong(SHAPE),
    }
}

/// Reads what follows the name of an object: `.key`, in which the key may have further dots, or `[key]`.
fn member(group: usize, rest: &str) -> Name<'_> {
    let key = if let Some(key) = rest.strip_prefix('.') {
        key
    } else {
        match part(rest) {
            Some((key, "")) => key,
            _ => return Name::Wrong(NESTED),
        }
    };
    let is_quoted = |mark| key.len() > 1 && key.starts_with(mark) && key.ends_with(mark);
    if key.contains(['[', ']']) {
        Name::Wrong(NESTED)
    } else if key.is_empty() && rest.starts_with('[') {
        Name::Wrong(NO_KEY)
    } else if rest.starts_with('[') && (is_quoted('\'') || is_quoted('"')) {
        Name::Wrong(QUOTES)
    } else {
        Name::Member { group, key }
    }
}

/// Splits off the first `[part]` or `.part`; `None` if there is none.
fn part(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (part, rest) = rest.split_once(']')?;
        let is_whole = !part.contains('[') && (rest.is_empty() || rest.starts_with(['[', '.']));
        return is_whole.then_some((part, rest));
    }
    let rest = text.strip_prefix('.')?;
    let end = rest.find(['[', '.']).unwrap_or(rest.len());
    Some(rest.split_at(end)).filter(|(part, _)| !part.is_empty())
}
