//! How well two names fit, 0–100: from 100 something is taken off for each thing that differs, and a contradiction decides.
//!
//! The figures are set so that Cashfree's published examples come out as published (`john d` 85, `j doe` 70, `jane d` 38 for
//! `john doe`) and the labelled pairs that are not held out are told apart.

use super::alignment::{Alignment, How, likeness, weight};
use super::holders::{Holder, Word};
use super::vocabulary::Kind;

/// A contradiction leaves at most this: POOR.
const MOST_WITH_CONTRADICTION: f32 = 55.0;
/// The account of a Hindu undivided family against its head alone: MODERATE.
const MOST_FOR_A_FAMILY: f32 = 75.0;
/// Of several holders only some are named in the other name.
const MOST_FOR_SOME_HOLDERS: f32 = 92.0;
/// More holders than accounts have: who lists everybody is sure to name the right one.
const MOST_FOR_A_LIST: f32 = 84.0;
/// Holders that a joint account may have.
const MOST_HOLDERS: usize = 3;
/// A name that is cut in the middle of a word, where banks cut: the rest cannot be known.
const CUT: f32 = 92.0;
/// The shortest name that a bank's room may have cut.
const LEAST_CUT: usize = 18;
/// Two full words of a person's name, one of them the person's own.
const TWO_NAMES: f32 = 1.5;

/// Between all holders of both names: each is laid beside the one who fits best.
pub(super) fn of_holders(one: &[Holder], other: &[Holder]) -> f32 {
    let (few, many) = if one.len() <= other.len() {
        (one, other)
    } else {
        (other, one)
    };
    let mut free = vec![true; many.len()];
    let mut sum = 0.0;
    for holder in few {
        let best = (0..many.len())
            .filter(|place| free[*place])
            .map(|place| (place, of_two(holder, &many[place])))
            .max_by(|left, right| left.1.total_cmp(&right.1));
        if let Some((place, fit)) = best {
            free[place] = false;
            sum += fit;
        }
    }
    let count = u8::try_from(few.len()).map_or(1.0, f32::from).max(1.0);
    let fit = sum / count;
    fit.min(match (few.len() == many.len(), many.len() > MOST_HOLDERS) {
        (true, _) => 100.0,
        (false, false) => MOST_FOR_SOME_HOLDERS,
        (false, true) => MOST_FOR_A_LIST,
    })
}

/// Between two holders.
fn of_two(one: &Holder, other: &Holder) -> f32 {
    let alignment = Alignment::of(&one.words, &other.words);
    let most = if one.huf == other.huf {
        100.0
    } else {
        MOST_FOR_A_FAMILY
    };
    let fit = if is_cut(one, other) || is_cut(other, one) {
        CUT
    } else {
        of_alignment(
            &Side::of(one, &alignment.left),
            &Side::of(other, &alignment.right),
            &alignment,
        )
    };
    // Mr and Mrs are two people, though initials and family name agree.
    let contradiction = matches!((one.she, other.she), (Some(one), Some(other)) if one != other);
    (if contradiction { fit - 20.0 } else { fit }).clamp(0.0, most)
}

/// A holder and the words of the name that found no partner.
struct Side<'a> {
    holder: &'a Holder,
    own: Vec<&'a Word>,
    initials: usize,
    particles: usize,
    legal: usize,
}

impl<'a> Side<'a> {
    fn of(holder: &'a Holder, left: &[usize]) -> Self {
        let mut side = Self {
            holder,
            own: Vec::new(),
            initials: 0,
            particles: 0,
            legal: 0,
        };
        for word in left.iter().map(|place| &holder.words[*place]) {
            match word.kind {
                Kind::Title => {}
                Kind::Legal => side.legal += 1,
                Kind::Particle => side.particles += 1,
                Kind::Initial => side.initials += 1,
                _ => side.own.push(word),
            }
        }
        side
    }

    fn contradicts(&self) -> bool {
        !self.own.is_empty() || self.initials > 0
    }

    /// Two fillers at one place (Devi and Kumari) are a poor contradiction when all the rest agrees.
    fn has_fillers_only(&self) -> bool {
        self.initials == 0 && self.own.iter().all(|word| word.kind == Kind::Common)
    }
}

fn of_alignment(one: &Side<'_>, other: &Side<'_>, alignment: &Alignment) -> f32 {
    let support: f32 = alignment
        .pairs
        .iter()
        .filter(|pair| pair.how != How::Initial && !pair.initials)
        .map(|pair| pair.weight)
        .sum();
    let contradiction = one.contradicts() && other.contradicts();
    if contradiction
        && !(support >= TWO_NAMES && one.has_fillers_only() && other.has_fillers_only())
    {
        return shared_part(one, other, alignment).min(MOST_WITH_CONTRADICTION);
    }
    if support == 0.0 && alignment.pairs.is_empty() {
        return 0.0;
    }
    let firm = one.holder.firm || other.holder.firm;
    let off = spelling(alignment)
        + order(one, other, alignment)
        + initials_for_words(one, other, alignment, support)
        + missing(one, firm, support)
        + missing(other, firm, support)
        + legal_form(one, other);
    100.0 - off
}

/// Spellings and slips.
fn spelling(alignment: &Alignment) -> f32 {
    let (mut off, mut sounds) = (0.0, false);
    for pair in &alignment.pairs {
        off += match pair.how {
            How::Sound if sounds => 1.0,
            How::Sound => 3.0,
            How::Slip => 7.0,
            How::Same | How::Initial => 0.0,
        };
        sounds |= pair.how == How::Sound;
    }
    off
}

/// The same words in another order.
fn order(one: &Side<'_>, other: &Side<'_>, alignment: &Alignment) -> f32 {
    let says = |side: &Side<'_>, place: usize| !side.holder.words[place].kind.is_optional();
    let places: Vec<usize> = alignment
        .pairs
        .iter()
        .filter(|pair| says(one, pair.places.0) && says(other, pair.places.1))
        .map(|pair| pair.places.1)
        .collect();
    if places.is_sorted() { 0.0 } else { 3.0 }
}

/// Initials where the other name has words. "S V Krishnamurthy" says enough, "J Doe" is anybody's of the family.
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
    let tells = alignment
        .pairs
        .iter()
        .filter(|pair| pair.how != How::Initial && pair.weight >= 1.0)
        .any(|pair| {
            let word = &one.holder.words[pair.places.0];
            let first =
                is_first(one.holder, pair.places.0) || is_first(other.holder, pair.places.1);
            first || word.text.len() >= 8 || (count > 1 && word.text.len() > 4)
        });
    match (tells, count) {
        (true, _) => 15.0,
        (false, _) if support == 0.0 => 55.0,
        (false, 1) => 30.0,
        (false, _) => 22.0,
    }
}

/// Whether it is the first word that says something.
fn is_first(holder: &Holder, place: usize) -> bool {
    holder
        .words
        .iter()
        .position(|word| !word.kind.is_optional())
        == Some(place)
}

/// What one name has and the other lacks.
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
            _ if firm => 20.0,
            Kind::Common if support >= 1.25 => 7.0,
            Kind::Common if support >= 1.0 => 18.0,
            _ if support >= TWO_NAMES => 9.0,
            _ if support >= 1.25 => 16.0,
            _ if support >= 0.8 => 26.0,
            _ if support >= 0.5 => 45.0,
            _ => 65.0,
        })
        .sum();
    particles + initials + words
}

/// "Limited" told by one name only, or "Private Limited" against "LLP".
fn legal_form(one: &Side<'_>, other: &Side<'_>) -> f32 {
    match (one.legal, other.legal) {
        (0, 0) => 0.0,
        (0, _) | (_, 0) => 2.0,
        _ => 5.0,
    }
}

/// The part of both names that the other has too, 0–100, by weight.
fn shared_part(one: &Side<'_>, other: &Side<'_>, alignment: &Alignment) -> f32 {
    let quality = |how: How| match how {
        How::Same | How::Sound => 1.0,
        How::Slip => 0.85,
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
    // Jane and John: something, not much.
    let first = |side: &Side<'_>| side.own.first().and_then(|word| word.text.chars().next());
    let alike = first(one).is_some() && first(one) == first(other);
    100.0 * shared + if alike { 13.0 } else { 0.0 }
}

/// Whether `cut` is the beginning of `whole`, ended in the middle of a word where a bank's room ends.
fn is_cut(cut: &Holder, whole: &Holder) -> bool {
    let says = |word: &&Word| word.kind != Kind::Title;
    let cut_words: Vec<&Word> = cut.words.iter().filter(says).collect();
    let whole_words: Vec<&Word> = whole.words.iter().filter(says).collect();
    let Some((last, before)) = cut_words.split_last() else {
        return false;
    };
    cut.length() >= LEAST_CUT
        && !before.is_empty()
        && whole_words.len() >= cut_words.len()
        && before
            .iter()
            .zip(&whole_words)
            .all(|(one, other)| matches!(likeness(one, other), Some(How::Same | How::Sound)))
        && whole_words[before.len()].text.len() > last.text.len()
        && whole_words[before.len()]
            .text
            .starts_with(last.text.as_str())
}

fn number(count: usize) -> f32 {
    u8::try_from(count).map_or(f32::from(u8::MAX), f32::from)
}
