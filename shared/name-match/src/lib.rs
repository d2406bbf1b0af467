//! Whether the name that a merchant has and the name at the bank are one holder's: a score, 0–100, and the word for it.
//!
//! Pure and without I/O; whoever may read this crate may call it. `docs/name-match.md` tells the rules in order, with figures.
//! Both names are personal data: nothing of them is kept, logged or shown, and what is worked out in between is wiped.

mod alignment;
mod fit;
mod holders;
mod indic;
mod letters;
mod sound;
mod vocabulary;

use holders::{Holder, holders};
use indic::Script;

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

    /// The band of a score from the database.
    pub fn of_stored_score(score: i16) -> Self {
        Self::of_score(u8::try_from(score).unwrap_or(0))
    }

    /// The word in replies and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DirectMatch => "DIRECT_MATCH",
            Self::GoodPartialMatch => "GOOD_PARTIAL_MATCH",
            Self::ModeratePartialMatch => "MODERATE_PARTIAL_MATCH",
            Self::PoorPartialMatch => "POOR_PARTIAL_MATCH",
            Self::NoMatch => "NO_MATCH",
        }
    }

    /// The band that a score falls into; what is above 100 counts as 100. Cashfree publishes one score a band (100, 85, 70,
    /// 38) and 90 as GOOD; the bounds between them are ours.
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

/// How well two names fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameMatch {
    /// 0–100.
    pub score: u8,
    /// The band of the score.
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

/// Compares the name given with the name at the bank; which is which makes no difference.
///
/// `None` where nothing can be compared: one of them is empty or a placeholder, or only one of them is written in letters
/// that cannot be put into Latin ones. That is no NO_MATCH: nobody was asked and nobody said no. At most the first 200
/// characters of a name are read.
pub fn compare(given: &str, at_bank: &str) -> Option<NameMatch> {
    if is_placeholder(given) || is_placeholder(at_bank) {
        return None;
    }
    let (one, other) = (holders(given, false), holders(at_bank, false));
    if one.is_empty() || other.is_empty() || is_unreadable(&one) != is_unreadable(&other) {
        return None;
    }
    let mut fit = either_way(&one, &other);
    // Only one of them says that it is a firm: the two of "Larsen & Toubro" are then its name.
    if is_firm(&one) && other.len() > 1 {
        fit = fit.max(either_way(&one, &holders(at_bank, true)));
    } else if is_firm(&other) && one.len() > 1 {
        fit = fit.max(either_way(&holders(given, true), &other));
    }
    Some(NameMatch::of_score(whole(fit)))
}

/// The same whoever is asked about first.
fn either_way(one: &[Holder], other: &[Holder]) -> f32 {
    if sorts_before(other, one) {
        fit::of_holders(other, one)
    } else {
        fit::of_holders(one, other)
    }
}

fn is_firm(holders: &[Holder]) -> bool {
    holders.iter().any(|holder| holder.firm)
}

/// Whether a gateway or bank put this where a name should be: `NA`, `VERIFIED`, `ACCOUNT HOLDER`, `XXXX`, digits only, nothing.
pub fn is_placeholder(name_at_bank: &str) -> bool {
    const PLACEHOLDERS: &str = "\
        NA NAN NIL NONE NULL UNDEFINED UNKNOWN BLANK EMPTY VERIFIED NOTVERIFIED VALID VALIDATED SUCCESS SUCCESSFUL \
        ACTIVE NOTAVAILABLE NAMENOTAVAILABLE NOTAPPLICABLE NOTFOUND NAMENOTFOUND NOTPROVIDED UNAVAILABLE NONAME NAME \
        CUSTOMER CUSTOMERNAME DEARCUSTOMER VALUEDCUSTOMER BANKCUSTOMER UPIUSER UPICUSTOMER IMPSCUSTOMER USER ACCOUNT \
        ACCOUNTHOLDER ACCOUNTHOLDERNAME ACHOLDER ACHOLDERNAME ACCOUNTNAME ACCOUNTVERIFIED ACCOUNTVALID VALIDACCOUNT \
        HOLDER BENEFICIARY BENEFICIARYNAME BENENAME BENE PAYEE PAYEENAME";
    let letters = || {
        name_at_bank
            .chars()
            .filter(|character| character.is_alphabetic())
    };
    if letters().all(|letter| matches!(letter, 'x' | 'X')) && letters().count() != 1 {
        return true;
    }
    // Without spaces and marks: N/A, A/C HOLDER.
    PLACEHOLDERS.split(' ').any(|placeholder| {
        letters()
            .flat_map(char::to_uppercase)
            .eq(placeholder.chars())
    })
}

/// Letters that no rule here reads stand in one of the names: such a name compares with its like only.
fn is_unreadable(holders: &[Holder]) -> bool {
    holders
        .iter()
        .flat_map(|holder| &holder.words)
        .any(|word| word.script == Script::Unreadable)
}

/// An order of names, whichever: only that it is one.
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
fn whole(fit: f32) -> u8 {
    fit.clamp(0.0, 100.0).round() as u8
}

#[cfg(test)]
mod tests;
