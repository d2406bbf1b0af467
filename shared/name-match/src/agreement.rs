//! How far the words of two names agree: each difference deducts from 100, and a contradiction decides.
//!
//! The figures reproduce Cashfree's published examples (`john d` 85, `j doe` 70, `jane d` 38 for `john doe`) and separate the
//! labelled pairs that are not held out.

use super::alignment::{Alignment, weight};
use super::holder::{Holder, Kind, Word};
use super::likeness::{How, is_initial_of, likeness};
use super::vocabulary;

/// Maximum with a contradiction: POOR.
pub(super) const MAX_WITH_CONTRADICTION: f32 = 55.0;
/// Maximum with a nickname if another word has no partner: MODERATE.
const MAX_WITH_NICKNAME: f32 = 80.0;
/// Weight of two full words of a person's name, one of them a given name.
const TWO_NAMES: f32 = 1.5;

/// A holder and the words of the name that have no partner.
pub(super) struct Side<'a> {
    holder: &'a Holder,
    own: Vec<&'a Word>,
    initials: usize,
    particles: usize,
    legal: usize,
    /// Whether the words without a partner have a filler of men's names, or of women's.
    male: bool,
    female: bool,
}

impl<'a> Side<'a> {
    pub(super) fn of(holder: &'a Holder, other: &Holder, left: &[usize]) -> Self {
        let mut side = Self {
            holder,
            own: Vec::new(),
            initials: 0,
            particles: 0,
            legal: 0,
            male: false,
            female: false,
        };
        let other_has_number = other.words.iter().any(|word| word.kind == Kind::Number);
        for word in left.iter().map(|place| &holder.words[*place]) {
            match vocabulary::is_female_filler(&word.text, &word.key) {
                Some(true) => side.female = true,
                Some(false) => side.male = true,
                None => {}
            }
            match word.kind {
                Kind::Title => {}
                Kind::Legal => side.legal += 1,
                Kind::Particle => side.particles += 1,
                // A bank's digits after a person's name.
                Kind::Number if !holder.firm && !other_has_number => side.particles += 1,
                // "Kuppammal Munusamy" is Kuppammal W/O Munusamy.
                _ if is_relative(word, other) => side.particles += 1,
                Kind::Initial => side.initials += 1,
                _ => side.own.push(word),
            }
        }
        side
    }

    /// Adds what the endings of words show that the other name has without them: Hiraben for Hira.
    fn add_ending(&mut self, word: &Word, other: &Word) {
        let ending = vocabulary::is_female_by_ending(&word.text);
        if ending != vocabulary::is_female_by_ending(&other.text) {
            self.female |= ending == Some(true);
            self.male |= ending == Some(false);
        }
    }

    fn contradicts(&self) -> bool {
        !self.own.is_empty() || self.initials > 0
    }

    /// Whether only fillers of women's names differ: Devi against Kumari is a weak contradiction if all the rest agrees.
    fn has_fillers_only(&self) -> bool {
        let is_filler = |word: &&Word| {
            word.kind == Kind::Common
                && vocabulary::is_female_filler(&word.text, &word.key) == Some(true)
        };
        self.initials == 0 && self.own.iter().all(is_filler)
    }
}

/// Whether the word is part of the name of the other holder's parent, spouse or guardian, or its initial.
fn is_relative(word: &Word, other: &Holder) -> bool {
    other.relative.as_ref().is_some_and(|(_, relative)| {
        let is_same =
            |found: &Word| likeness(word, found, false).is_some() || is_initial_of(word, found);
        relative.words.iter().any(is_same)
    })
}

/// Returns the score of two holders by the words of their names.
pub(super) fn of_alignment(one: &mut Side<'_>, other: &mut Side<'_>, alignment: &Alignment) -> f32 {
    for pair in alignment
        .pairs
        .iter()
        .filter(|pair| pair.how != How::Initial)
    {
        let (left, right) = (
            &one.holder.words[pair.places.0],
            &other.holder.words[pair.places.1],
        );
        one.add_ending(left, right);
        other.add_ending(right, left);
    }
    let (one, other) = (&*one, &*other);
    let titled = |side: &Side<'_>, female: bool| side.holder.female == Some(female);
    let other_sex = (one.female && (other.male || titled(other, false)))
        || (other.female && (one.male || titled(one, false)));
    let support: f32 = alignment
        .pairs
        .iter()
        .filter(|pair| pair.how != How::Initial && !pair.initials)
        .map(|pair| pair.weight)
        .sum();
    let contradiction = one.contradicts() && other.contradicts();
    if other_sex {
        return shared_part(one, other, alignment).min(MAX_WITH_CONTRADICTION);
    }
    if contradiction
        && !(support >= TWO_NAMES && one.has_fillers_only() && other.has_fillers_only())
    {
        return shared_part(one, other, alignment).min(MAX_WITH_CONTRADICTION);
    }
    if support == 0.0 && alignment.pairs.is_empty() {
        return 0.0;
    }
    let firm = one.holder.firm || other.holder.firm;
    let deduction = spelling(alignment, support)
        + order(one, other, alignment)
        + initials_for_words(one, other, alignment, support)
        + missing(one, firm, support)
        + missing(other, firm, support)
        + legal_form(one, other)
        + given_name_missing(one, other, alignment)
        + given_name_missing(other, one, alignment);
    let has_nickname = alignment.pairs.iter().any(|pair| pair.how == How::Nickname);
    let score = 100.0 - deduction;
    // "Hari Krishna Rao" is not Hariprasad Rao.
    if has_nickname && !(one.own.is_empty() && other.own.is_empty()) {
        score.min(MAX_WITH_NICKNAME)
    } else {
        score
    }
}

/// Returns the deduction for spellings and slips.
fn spelling(alignment: &Alignment, support: f32) -> f32 {
    let (mut off, mut sounds) = (0.0, false);
    for pair in &alignment.pairs {
        off += match pair.how {
            How::Sound if sounds => 1.0,
            How::Sound => 3.0,
            How::Slip => 7.0,
            // Raj Kumar can be anybody, Raj Malhotra is Rajesh Malhotra.
            How::Nickname if support - pair.weight >= 0.55 => 10.0,
            How::Nickname if pair.weight >= 1.0 => 13.0,
            How::Nickname => 20.0,
            How::Same | How::Initial => 0.0,
        };
        sounds |= pair.how == How::Sound;
    }
    off
}

/// Returns the deduction for the same words in another order.
fn order(one: &Side<'_>, other: &Side<'_>, alignment: &Alignment) -> f32 {
    let counts = |side: &Side<'_>, place: usize| !side.holder.words[place].kind.is_optional();
    let places: Vec<usize> = alignment
        .pairs
        .iter()
        .filter(|pair| pair.how != How::Initial)
        .filter(|pair| counts(one, pair.places.0) && counts(other, pair.places.1))
        .map(|pair| pair.places.1)
        .collect();
    if places.is_sorted() { 0.0 } else { 3.0 }
}

/// Returns the deduction for initials against words of the other name. "S V Krishnamurthy" identifies a person, "J Doe" can
/// be any member of the family.
fn initials_for_words(
    one: &Side<'_>,
    other: &Side<'_>,
    alignment: &Alignment,
    support: f32,
) -> f32 {
    let count = alignment
        .pairs
        .iter()
        .filter(|pair| pair.how == How::Initial)
        .count();
    if count == 0 {
        return 0.0;
    }
    if support >= TWO_NAMES {
        return 6.0 + 2.0 * number(count - 1);
    }
    let family = support >= 0.55;
    // "P V Sindhu" has two initials of "Pusarla V Sindhu".
    let agreeing = count + alignment.pairs.iter().filter(|pair| pair.initials).count();
    let identifies = alignment
        .pairs
        .iter()
        .filter(|pair| pair.how != How::Initial && pair.weight >= 1.0)
        .any(|pair| {
            let word = &one.holder.words[pair.places.0];
            let first =
                is_first(one.holder, pair.places.0) || is_first(other.holder, pair.places.1);
            first
                || support >= 1.25
                || word.text.len() >= 8
                || (agreeing > 1 && word.text.len() > 4)
        });
    match (identifies, agreeing) {
        // An initial and a spelling are together no more doubtful than the initial.
        (true, _) => (15.0 - spelling(alignment, support)).max(12.0),
        (false, _) if support == 0.0 => 55.0,
        // "R K Sharma": two initials and the family name.
        (false, 2..) if family => 15.0,
        (false, 1) => 30.0,
        (false, _) => 22.0,
    }
}

/// Whether this is the first word that is not optional.
fn is_first(holder: &Holder, place: usize) -> bool {
    holder
        .words
        .iter()
        .position(|word| !word.kind.is_optional())
        == Some(place)
}

/// Returns the deduction for words that only one name has.
fn missing(side: &Side<'_>, firm: bool, support: f32) -> f32 {
    let particle = if support >= TWO_NAMES { 2.0 } else { 5.0 };
    let particles = particle * number(side.particles);
    let initials = match side.initials {
        0 => 0.0,
        more if support >= 1.0 => 5.0 + 2.0 * number(more - 1),
        _ => 40.0,
    };
    let words: f32 = side
        .own
        .iter()
        .map(|word| match word.kind {
            Kind::Place => 5.0,
            _ if firm => 20.0,
            Kind::Common if support >= 1.25 => 7.0,
            Kind::Common if support >= 1.0 => 12.0,
            _ if support >= TWO_NAMES => 9.0,
            // "Ramesh Kumar" for "Ramesh Kumar Sharma".
            Kind::Family if support >= 1.25 => 15.0,
            _ if support >= 1.25 => 16.0,
            _ if support >= 0.8 => 26.0,
            _ if support >= 0.5 => 45.0,
            _ => 65.0,
        })
        .sum();
    particles + initials + words
}

/// Returns the deduction for a name without the given name: "Ashok Bhoir" can be the father of "Swapnil Ashok Bhoir".
fn given_name_missing(side: &Side<'_>, other: &Side<'_>, alignment: &Alignment) -> f32 {
    if side.holder.firm || other.holder.firm || side.own.len() != 1 || !other.own.is_empty() {
        return 0.0;
    }
    let words = &side.holder.words;
    let counts = |word: &Word| !word.kind.is_optional() && word.kind != Kind::Initial;
    let full: Vec<usize> = (0..words.len())
        .filter(|place| counts(&words[*place]))
        .collect();
    let missing = side.own[0];
    let place = full
        .iter()
        .position(|place| std::ptr::eq(&raw const words[*place], missing));
    let moved = !alignment.pairs.iter().map(|pair| pair.places.1).is_sorted();
    let is_family = |place: usize| words[place].kind == Kind::Family;
    // The first word, or the one after the family name.
    let is_given = match (place, full.len()) {
        (Some(0), 3..) => true,
        // "Patil Swapnil Ashok": family name, given name, father's name.
        (Some(1), 3..) => moved || (is_family(full[0]) && !is_family(full[full.len() - 1])),
        _ => false,
    };
    let last = full
        .last()
        .map(|place| words[*place].text.as_str())
        .unwrap_or_default();
    // The first part of a Telugu compound is often dropped.
    let is_prefix = matches!(
        missing.text.as_str(),
        "venkata" | "venkat" | "naga" | "satya" | "veera" | "sai"
    );
    // In the South the last word can be the given name, after the names of place and father.
    let is_other =
        missing.kind != Kind::Own || is_prefix || vocabulary::is_southern_given_name(last);
    if is_given && !is_other { 16.0 } else { 0.0 }
}

/// Returns the deduction for "Limited" in one name only, or "Private Limited" against "LLP".
fn legal_form(one: &Side<'_>, other: &Side<'_>) -> f32 {
    match (one.legal, other.legal) {
        (0, 0) => 0.0,
        (0, _) | (_, 0) => 2.0,
        _ => 5.0,
    }
}

/// Returns the part of each name that the other has too, 0–100, by weight.
fn shared_part(one: &Side<'_>, other: &Side<'_>, alignment: &Alignment) -> f32 {
    let quality = |how: How| match how {
        How::Same | How::Sound => 1.0,
        How::Slip | How::Nickname => 0.85,
        How::Initial => 0.7,
    };
    let part = |side: &Side<'_>, shared: f32| {
        let open =
            side.own.iter().map(|word| weight(word)).sum::<f32>() + 0.25 * number(side.initials);
        if shared + open > 0.0 {
            shared / (shared + open)
        } else {
            0.0
        }
    };
    let sum = |place: fn(&super::alignment::Pair) -> usize, side: &Side<'_>| {
        alignment
            .pairs
            .iter()
            .map(|pair| {
                let weight = if pair.how == How::Initial {
                    weight(&side.holder.words[place(pair)])
                } else {
                    pair.weight
                };
                weight * quality(pair.how)
            })
            .sum::<f32>()
    };
    let shared = f32::midpoint(
        part(one, sum(|pair| pair.places.0, one)),
        part(other, sum(|pair| pair.places.1, other)),
    );
    // Jane and John: the same first letter counts a little.
    let first = |side: &Side<'_>| side.own.first().and_then(|word| word.text.chars().next());
    let alike = first(one).is_some() && first(one) == first(other);
    100.0 * shared + if alike { 13.0 } else { 0.0 }
}

fn number(count: usize) -> f32 {
    u8::try_from(count).map_or(f32::from(u8::MAX), f32::from)
}
