//! The body of a gateway's reply or webhook, read field by field. A field that cannot be read costs nothing but itself: the
//! reader leaves it out and keeps its name, so that the response names it for metrics, logs and operators.
//!
//! A field that decides is read by [`Fields::word`] or [`Fields::scalar`], which separate "absent" from "not readable" and find
//! two values that contradict each other. All other fields are read by [`Fields::text`] and its siblings.

mod json;

use std::cell::RefCell;
use std::collections::BTreeSet;

use khata_domain::gateway::LostResponse;
use khata_domain::{CallFailure, GatewayResponse};
use zeroize::Zeroizing;

use json::Json;

/// A JSON object that a gateway sent.
pub(crate) struct Body {
    root: Json,
    not_understood: RefCell<BTreeSet<&'static str>>,
}

impl Body {
    /// Parses a body; `None` if it holds no JSON object.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let root = match Json::parse(bytes)? {
            Json::List(mut items) if items.len() == 1 => items.remove(0),
            root => root,
        };
        matches!(root, Json::Object(_)).then(|| Self::of(root))
    }

    /// Returns a body without fields, in the place of one that is no JSON object.
    pub(crate) fn empty() -> Self {
        Self::of(Json::Object(Vec::new()))
    }

    fn of(root: Json) -> Self {
        Self {
            root,
            not_understood: RefCell::default(),
        }
    }

    /// Returns the fields of the object.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields {
            objects: vec![&self.root],
            body: self,
        }
    }

    /// Keeps the name of a field that could not be read.
    pub(crate) fn note(&self, field: &'static str) {
        self.not_understood.borrow_mut().insert(field);
    }

    /// Returns the names of the fields that could not be read so far.
    pub(crate) fn not_understood(&self) -> Vec<String> {
        let names = self.not_understood.borrow();
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Adds to the response the names of the fields that could not be read.
    pub(crate) fn noted(&self, response: GatewayResponse) -> GatewayResponse {
        GatewayResponse {
            not_understood: self.not_understood(),
            ..response
        }
    }

    /// Returns the failure of a call whose reply holds no outcome that can be read: the call may be looked up.
    pub(crate) fn lost(&self, reason: &str) -> CallFailure {
        self.without_outcome(reason, false)
    }

    /// Returns the failure of a call whose reply contradicts itself or cannot be read where it decides: it may stay so.
    pub(crate) fn unclear(&self, reason: &str) -> CallFailure {
        self.without_outcome(reason, true)
    }

    fn without_outcome(&self, reason: &str, is_unclear: bool) -> CallFailure {
        CallFailure::ResponseLost(LostResponse {
            reason: reason.to_owned(),
            is_unclear,
            not_understood: self.not_understood(),
        })
    }
}

/// Value of a field that decides.
#[derive(PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Word {
    Absent,
    /// Null or an empty text.
    Blank,
    /// A text without spaces at its ends; of a [`Fields::scalar`] also a number or a boolean.
    Of(String),
    /// A value of a type without one clear meaning.
    Unreadable,
    /// The field comes several times, or also under a similar name, with different values.
    Contradictory,
}

impl Word {
    /// Returns the text; empty if there is none.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Of(text) => text,
            Self::Absent | Self::Blank | Self::Unreadable | Self::Contradictory => "",
        }
    }
}

/// The fields of an object. An object that comes several times, or under two names, counts as one with the fields of all.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    objects: Vec<&'a Json>,
    body: &'a Body,
}

impl<'a> Fields<'a> {
    /// Whether the object is missing.
    pub(crate) fn is_absent(&self) -> bool {
        self.objects.is_empty()
    }

    /// Returns the fields of the object in this field; none if the field holds no object.
    pub(crate) fn object(&self, name: &'static str) -> Self {
        self.object_of(&[name])
    }

    /// Returns the fields of the object in the field of any of these names.
    pub(crate) fn object_of(&self, names: &[&'static str]) -> Self {
        let mut objects = Vec::new();
        for name in names {
            for value in self.similar_values(name) {
                match value {
                    Json::Object(_) => objects.push(value),
                    Json::List(items) if matches!(items[..], [Json::Object(_)]) => {
                        objects.push(&items[0]);
                    }
                    Json::Null => {}
                    _ => self.body.note(name),
                }
            }
        }
        Self {
            objects,
            body: self.body,
        }
    }

    /// Returns the fields of each object in a list. An object in the place of the list is its only item.
    pub(crate) fn list(&self, name: &'static str) -> Vec<Self> {
        let mut items = Vec::new();
        for value in self.values(name) {
            match value {
                Json::List(list) => items.extend(list),
                Json::Object(_) => items.push(value),
                Json::Null => {}
                _ => self.body.note(name),
            }
        }
        let is_object = |item: &&Json| matches!(item, Json::Object(_));
        let of = |item| Self {
            objects: vec![item],
            body: self.body,
        };
        items.into_iter().filter(is_object).map(of).collect()
    }

    /// Whether the field holds an object.
    pub(crate) fn holds_object(&self, name: &'static str) -> bool {
        let values = self.similar_values(name);
        values.iter().any(|value| matches!(value, Json::Object(_)))
    }

    /// Returns the text of a field that decides, or refines what decides. A number or a boolean is not readable.
    pub(crate) fn word(&self, name: &'static str) -> Word {
        self.only_word(name, |value| match value {
            Json::Number(_) | Json::Bool(_) => None,
            Json::List(items) if !matches!(items[..], [Json::Text(_)]) => None,
            value => value.word(),
        })
    }

    /// Returns the text, number or boolean of a field that decides, or refines what decides.
    pub(crate) fn scalar(&self, name: &'static str) -> Word {
        self.only_word(name, Json::word)
    }

    fn only_word(&self, name: &'static str, read: impl Fn(&Json) -> Option<String>) -> Word {
        let values = self.similar_values(name);
        if values.is_empty() {
            return Word::Absent;
        }
        let mut words: Vec<String> = Vec::new();
        let mut is_unreadable = false;
        for value in values {
            match read(value) {
                Some(word) => {
                    let is_new = |known: &String| !known.eq_ignore_ascii_case(&word);
                    if !word.is_empty() && words.iter().all(is_new) {
                        words.push(word);
                    }
                }
                None => is_unreadable = true,
            }
        }
        if is_unreadable || words.len() > 1 {
            self.body.note(name);
        }
        match words.pop() {
            Some(_) if !words.is_empty() => Word::Contradictory,
            Some(word) => Word::Of(word),
            None if is_unreadable => Word::Unreadable,
            None => Word::Blank,
        }
    }

    /// Returns the texts and numbers of a field, which may be a list, without empty ones.
    pub(crate) fn words(&self, name: &'static str) -> Vec<String> {
        let values = self.similar_values(name);
        let items = values.into_iter().flat_map(|value| match value {
            Json::List(items) => &items[..],
            value => std::slice::from_ref(value),
        });
        let words = items.filter_map(Json::word);
        words.filter(|word| !word.is_empty()).collect()
    }

    /// Returns the text of a field without spaces at its ends; `None` if the field is absent, empty or not readable.
    pub(crate) fn text(&self, name: &'static str) -> Option<String> {
        self.one(name, |value| match value {
            Json::Number(_) => Err(()),
            value => value.text(),
        })
    }

    /// Returns the id in a field, a text or a whole number.
    pub(crate) fn id(&self, name: &'static str) -> Option<String> {
        self.one(name, Json::text)
    }

    /// Returns the text of a field that holds a secret, however long.
    pub(crate) fn secret(&self, name: &'static str) -> Option<Zeroizing<String>> {
        self.one(name, |value| match value {
            Json::Text(text) => Ok(Some(Zeroizing::new(text.clone()))),
            _ => Err(()),
        })
    }

    /// Returns a name-match score from 0 to 100: "90.00" → 90.
    pub(crate) fn score(&self, name: &'static str) -> Option<u8> {
        self.one(name, |value| match value {
            Json::Text(text) if text.trim().is_empty() => Ok(None),
            Json::Text(text) | Json::Number(text) => {
                let score: f64 = text.trim().parse().map_err(drop)?;
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let rounded = score.round() as u8;
                let is_score = (0.0..=100.0).contains(&score);
                is_score.then_some(Some(rounded)).ok_or(())
            }
            Json::Null => Ok(None),
            _ => Err(()),
        })
    }

    /// Returns the boolean of a field, also as the text or number that some gateways send.
    pub(crate) fn flag(&self, name: &'static str) -> Option<bool> {
        let word = self.scalar(name);
        match word.as_str().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            "" => None,
            _ => {
                self.body.note(name);
                None
            }
        }
    }

    /// Returns the only value of a field that comes once, or several times with one value.
    fn one<T: PartialEq>(
        &self,
        name: &'static str,
        read: impl Fn(&Json) -> Result<Option<T>, ()>,
    ) -> Option<T> {
        let mut found = None;
        let mut is_unreadable = false;
        let mut differs = false;
        for value in self.values(name) {
            match read(value) {
                Ok(None) => {}
                Ok(value) if found.is_none() => found = value,
                Ok(value) => differs |= value != found,
                Err(()) => is_unreadable = true,
            }
        }
        if is_unreadable || differs {
            self.body.note(name);
        }
        found.filter(|_| !differs)
    }

    /// Returns the values of the fields of this name; where they hold none, of those whose name differs only in case and
    /// underscores.
    fn values(&self, name: &str) -> Vec<&'a Json> {
        let exact = self.values_where(|member| member == name);
        if exact.iter().any(|value| !value.is_blank()) {
            return exact;
        }
        self.similar_values(name)
    }

    /// Returns the values of the fields whose name differs at most in case and underscores.
    fn similar_values(&self, name: &str) -> Vec<&'a Json> {
        self.values_where(|member| is_similar(member, name))
    }

    fn values_where(&self, is_field: impl Fn(&str) -> bool) -> Vec<&'a Json> {
        let members = self.objects.iter().flat_map(|object| match object {
            Json::Object(members) => &members[..],
            _ => &[],
        });
        let fields = members.filter(|(member, _)| is_field(member));
        fields.map(|(_, value)| value).collect()
    }
}

/// Whether two names differ only in case and underscores.
fn is_similar(one: &str, other: &str) -> bool {
    fn letters(name: &str) -> impl Iterator<Item = u8> {
        let bytes = name.bytes().filter(|byte| *byte != b'_' && *byte != b'-');
        bytes.map(|byte| byte.to_ascii_lowercase())
    }
    // Without an allocation: each field that is read compares its name with those of all members.
    letters(one).eq(letters(other))
}

#[cfg(test)]
mod tests;
