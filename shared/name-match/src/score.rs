//! The score of two names, 0–100: each difference deducts from 100, and a contradiction decides.
//!
//! The figures reproduce Cashfree's published examples (`john d` 85, `j doe` 70, `jane d` 38 for `john doe`) and separate the
//! labelled pairs that are not held out.

use super::alignment::{Alignment, How, likeness, weight};
use super::holders::{Holder, Word};
use super::vocabulary::Kind;

/// Maximum with a contradiction: POOR.
const MAX_WITH_CONTRADICTION: f32 = 55.0;
/// Maximum for the account of a Hindu undivided family against its head alone: MODERATE.
const MAX_FOR_A_FAMILY: f32 = 75.0;
/// Maximum if the other name has only some of several holders.
const MAX_FOR_SOME_HOLDERS: f32 = 92.0;
/// Maximum for more holders than an account can have: a long list is sure to include the right one.
const MAX_FOR_A_LIST: f32 = 84.0;
/// Maximum number of holders of a joint account.
const MAX_HOLDERS: usize = 3;
/// Score of a name that is cut in the middle of a word, at the length where banks cut: the rest is unknown.
const CUT: f32 = 92.0;
/// Minimum length of a name that a bank may have cut.
const MIN_CUT: usize = 18;
/// Weight of two full words of a person's name, one of them a given name.
const TWO_NAMES: f32 = 1.5;

/// Returns the score of all holders of both names: each is paired with the best match.
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
        if let Some((place, score)) = best {
            free[place] = false;
            sum += score;
        }
    }
    let count = u8::try_from(few.len()).map_or(1.0, f32::from).max(1.0);
    let score = sum / count;
    score.min(match (few.len() == many.len(), many.len() > MAX_HOLDERS) {
        (true, _) => 100.0,
        (false, false) => MAX_FOR_SOME_HOLDERS,
        (false, true) => MAX_FOR_A_LIST,
    })
}

/// Returns the score of two holders.
fn of_two(one: &Holder, other: &Holder) -> f32 {
    let alignment = Alignment::of(&one.words, &other.words);
    let max = if one.huf == other.huf {
        100.0
    } else {
        MAX_FOR_A_FAMILY
    };
    let score = if is_cut(one, other) || is_cut(other, one) {
        CUT
    } else {
        of_alignment(
            &Side::of(one, &alignment.left),
            &Side::of(other, &alignment.right),
            &alignment,
        )
    };
    // Mr and Mrs are two persons, even if initials and family name agree.
    let contradiction =
        matches!((one.female, other.female), (Some(one), Some(other)) if one != other);
    (if contradiction { score - 20.0 } else { score }).clamp(0.0, max)
}

/// A holder and the words of the name that have no partner.
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

    /// Whether only fillers differ: Devi against Kumari is a weak contradiction if all the rest agrees.
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
        return shared_part(one, other, alignment).min(MAX_WITH_CONTRADICTION);
    }
    if support == 0.0 && alignment.pairs.is_empty() {
        return 0.0;
    }
    let firm = one.holder.firm || other.holder.firm;
    let deduction = spelling(alignment)
        + order(one, other, alignment)
        + initials_for_words(one, other, alignment, support)
        + missing(one, firm, support)
        + missing(other, firm, support)
        + legal_form(one, other);
    100.0 - deduction
}

/// Returns the deduction for spellings and slips.
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

/// Returns the deduction for the same words in another order.
fn order(one: &Side<'_>, other: &Side<'_>, alignment: &Alignment) -> f32 {
    let counts = |side: &Side<'_>, place: usize| !side.holder.words[place].kind.is_optional();
    let places: Vec<usize> = alignment
        .pairs
        .iter()
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
    let identifies = alignment
        .pairs
        .iter()
        .filter(|pair| pair.how != How::Initial && pair.weight >= 1.0)
        .any(|pair| {
            let word = &one.holder.words[pair.places.0];
            let first =
                is_first(one.holder, pair.places.0) || is_first(other.holder, pair.places.1);
            first || word.text.len() >= 8 || (count > 1 && word.text.len() > 4)
        });
    match (identifies, count) {
        (true, _) => 15.0,
        (false, _) if support == 0.0 => 55.0,
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
    // Jane and John: the same first letter counts a little.
    let first = |side: &Side<'_>| side.own.first().and_then(|word| word.text.chars().next());
    let alike = first(one).is_some() && first(one) == first(other);
    100.0 * shared + if alike { 13.0 } else { 0.0 }
}

/// Whether `cut` is the beginning of `whole`, cut in the middle of a word at the length where banks cut.
fn is_cut(cut: &Holder, whole: &Holder) -> bool {
    let counts = |word: &&Word| word.kind != Kind::Title;
    let cut_words: Vec<&Word> = cut.words.iter().filter(counts).collect();
    let whole_words: Vec<&Word> = whole.words.iter().filter(counts).collect();
    let Some((last, before)) = cut_words.split_last() else {
        return false;
    };
    cut.length() >= MIN_CUT
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
