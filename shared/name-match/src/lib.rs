//! Compares the name that a merchant has with the name at the bank: a score from 0 to 100, and its band.
//!
//! Pure, without I/O. `docs/name-match.md` lists the rules in order, with figures. Both names are personal data: this crate
//! neither stores, logs nor shows any part of them.

mod alignment;
mod holders;
mod indic;
mod letters;
mod score;
mod script;
mod sound;
mod vocabulary;

use std::collections::HashSet;
use std::sync::LazyLock;

use holders::{Holder, holders};
use script::Script;

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

    /// Returns the band of a score; a score above 100 counts as 100. Cashfree publishes one score per band (100, 85, 70, 38)
    /// and 90 as GOOD; the bounds between them are ours.
    pub fn of_score(score: u8) -> Self {
        match score {
            100.. => Self::DirectMatch,
            85..100 => Self::GoodPartialMatch,
            60..85 => Self::ModeratePartialMatch,
            34..60 => Self::PoorPartialMatch,
            ..34 => Self::NoMatch,
        }
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
/// `None` if the names cannot be compared: one is empty or a placeholder, or only one is in letters that no rule converts to
/// Latin ones. This differs from NO_MATCH, where the names contradict each other. At most the first 200 characters of a name
/// are read.
pub fn compare(given: &str, at_bank: &str) -> Option<NameMatch> {
    if is_placeholder(given) || is_placeholder(at_bank) {
        return None;
    }
    let (one, other) = (holders(given, false), holders(at_bank, false));
    if one.is_empty() || other.is_empty() || is_unreadable(&one) != is_unreadable(&other) {
        return None;
    }
    let mut score = either_way(&one, &other);
    // If only one name shows that it is a firm's, "Larsen & Toubro" in the other is one name.
    if is_firm(&one) && other.len() > 1 {
        score = score.max(either_way(&one, &holders(at_bank, true)));
    } else if is_firm(&other) && one.len() > 1 {
        score = score.max(either_way(&holders(given, true), &other));
    }
    Some(NameMatch::of_score(whole(score)))
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

/// Whether a gateway or bank sent a placeholder instead of a name: `NA`, `VERIFIED`, `ACCOUNT HOLDER`, `XXXX`, digits only,
/// nothing.
pub fn is_placeholder(name_at_bank: &str) -> bool {
    const PLACEHOLDERS: &str = "\
        NA NAN NIL NONE NULL UNDEFINED UNKNOWN BLANK EMPTY VERIFIED NOTVERIFIED VALID VALIDATED SUCCESS SUCCESSFUL \
        ACTIVE NOTAVAILABLE NAMENOTAVAILABLE NOTAPPLICABLE NOTFOUND NAMENOTFOUND NOTPROVIDED UNAVAILABLE NONAME NAME \
        CUSTOMER CUSTOMERNAME DEARCUSTOMER VALUEDCUSTOMER BANKCUSTOMER UPIUSER UPICUSTOMER IMPSCUSTOMER USER ACCOUNT \
        ACCOUNTHOLDER ACCOUNTHOLDERNAME ACHOLDER ACHOLDERNAME ACCOUNTNAME ACCOUNTVERIFIED ACCOUNTVALID VALIDACCOUNT \
        HOLDER BENEFICIARY BENEFICIARYNAME BENENAME BENE PAYEE PAYEENAME";
    static SET: LazyLock<HashSet<&str>> = LazyLock::new(|| PLACEHOLDERS.split(' ').collect());
    // Without spaces and marks: N/A, A/C HOLDER.
    let letters = name_at_bank.chars().filter(|letter| letter.is_alphabetic());
    let letters: String = letters.flat_map(char::to_uppercase).collect();
    let is_masked = letters.bytes().all(|letter| letter == b'X') && letters.len() != 1;
    is_masked || SET.contains(&*letters)
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
