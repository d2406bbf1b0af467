//! Compares the name that a merchant has with the name at the bank: a score from 0 to 100, and its band.
//!
//! Pure, without I/O. `docs/name-match.md` lists the rules in order, with figures. Both names are personal data: this crate
//! neither stores, logs nor shows any part of them.

mod agreement;
mod alignment;
mod arabic;
mod firm;
mod holder;
mod holders;
mod indic;
mod letters;
mod likeness;
mod nicknames;
mod no_name;
mod parts;
mod places;
mod score;
mod script;
mod sound;
mod spellings;
mod text;
mod titles;
mod vocabulary;

use holder::Holder;
use letters::pieces;
use script::Script;

pub use no_name::is_placeholder;

/// The band of a score, in the words of Cashfree's `name_match_result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameMatchResult {
    /// 100: the same name.
    DirectMatch,
    /// 85–99: the same name in another spelling or form.
    GoodPartialMatch,
    /// 60–84: no contradiction, but too little evidence.
    ModeratePartialMatch,
    /// 34–59: something in common, and something against it.
    PoorPartialMatch,
    /// Below 34.
    NoMatch,
}

impl NameMatchResult {
    pub const ALL: &'static [Self] = &[
        Self::DirectMatch,
        Self::GoodPartialMatch,
        Self::ModeratePartialMatch,
        Self::PoorPartialMatch,
        Self::NoMatch,
    ];

    /// Returns the band of a score from the database.
    pub fn of_stored_score(score: i16) -> Self {
        Self::of_score(u8::try_from(score).unwrap_or(0))
    }

    /// Returns the word in replies and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DirectMatch => "DIRECT_MATCH",
            Self::GoodPartialMatch => "GOOD_PARTIAL_MATCH",
            Self::ModeratePartialMatch => "MODERATE_PARTIAL_MATCH",
            Self::PoorPartialMatch => "POOR_PARTIAL_MATCH",
            Self::NoMatch => "NO_MATCH",
        }
    }

    /// Returns the lowest score of the band.
    pub fn min_score(self) -> u8 {
        match self {
            Self::DirectMatch => 100,
            Self::GoodPartialMatch => 85,
            Self::ModeratePartialMatch => 60,
            Self::PoorPartialMatch => 34,
            Self::NoMatch => 0,
        }
    }

    /// Parses the word in replies and commands.
    pub fn parse(word: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|result| result.as_str() == word)
    }

    /// Returns the band of a score; a score above 100 counts as 100. Cashfree publishes one score per band (100, 85, 70, 38)
    /// and 90 as GOOD; the bounds between them are ours.
    pub fn of_score(score: u8) -> Self {
        let mut all = Self::ALL.iter().copied();
        all.find(|result| score >= result.min_score())
            .unwrap_or(Self::NoMatch)
    }
}

/// Result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameMatch {
    /// 0–100.
    pub score: u8,
    pub result: NameMatchResult,
}

impl NameMatch {
    fn of_score(score: u8) -> Self {
        Self {
            score,
            result: NameMatchResult::of_score(score),
        }
    }
}

/// Compares the name given with the name at the bank; their order makes no difference.
///
/// `None` if the names cannot be compared: one is no name ([`is_placeholder`]), or only one is in letters that no rule converts to
/// Latin ones. This differs from NO_MATCH, where the names contradict each other. At most the first 200 characters of a name
/// are read.
pub fn compare(given: &str, at_bank: &str) -> Option<NameMatch> {
    let (given, at_bank) = (Name::of(given)?, Name::of(at_bank)?);
    if no_name::is_test(&given.pieces) != no_name::is_test(&at_bank.pieces) {
        return None;
    }
    let (one, other) = (given.holders(false), at_bank.holders(false));
    if one.is_empty() || other.is_empty() || is_unreadable(&one) != is_unreadable(&other) {
        return None;
    }
    let mut score = either_way(&one, &other);
    // If only one name shows that it is a firm's, "Larsen & Toubro" in the other is one name, and "Ent" is Enterprises.
    if score < 100.0 && is_firm(&one) != is_firm(&other) {
        score = score.max(if is_firm(&one) {
            either_way(&one, &at_bank.holders(true))
        } else {
            either_way(&given.holders(true), &other)
        });
    }
    Some(NameMatch::of_score(whole(score)))
}

/// A name in words and marks.
struct Name {
    pieces: Vec<letters::Piece>,
    /// Number of characters.
    length: usize,
}

impl Name {
    /// Reads a name; `None` if the text is no name.
    fn of(name: &str) -> Option<Self> {
        let text = text::repaired(name);
        let mut pieces = pieces(&text);
        no_name::leave_out_account_type(&mut pieces);
        let words = text.split_whitespace().map(|word| word.chars().count() + 1);
        let length = words.sum::<usize>().saturating_sub(1);
        (!no_name::is_no_name(&pieces)).then_some(Self { pieces, length })
    }

    fn holders(&self, as_firm: bool) -> Vec<Holder> {
        let mut holders = holders::holders(&self.pieces, as_firm);
        if let [one] = holders.as_mut_slice() {
            one.length = self.length;
        }
        holders
    }
}

/// Compares in a fixed order, so that the result does not depend on the order of the names.
fn either_way(one: &[Holder], other: &[Holder]) -> f32 {
    if sorts_before(other, one) {
        score::of_holders(other, one)
    } else {
        score::of_holders(one, other)
    }
}

fn is_firm(holders: &[Holder]) -> bool {
    holders.iter().any(|holder| holder.firm)
}

/// Whether a name has letters that no rule reads: such a name can be compared only with another one.
fn is_unreadable(holders: &[Holder]) -> bool {
    holders
        .iter()
        .flat_map(|holder| &holder.words)
        .any(|word| word.script == Script::Unreadable)
}

/// Whether one name sorts before the other, in an arbitrary but total order.
fn sorts_before(one: &[Holder], other: &[Holder]) -> bool {
    fn texts(holders: &[Holder]) -> impl Iterator<Item = &str> {
        let words = holders.iter().flat_map(|holder| &holder.words);
        words.map(|word| word.text.as_str())
    }
    texts(one).lt(texts(other))
}

/// Rounds half up, 0–100.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0–100"
)]
fn whole(score: f32) -> u8 {
    score.clamp(0.0, 100.0).round() as u8
}

#[cfg(test)]
mod tests;
