//! The score of two names, 0–100: that of their words, bounded by what the names say about the holders.

use super::agreement::{MAX_WITH_CONTRADICTION, Side, of_alignment};
use super::alignment::Alignment;
use super::holder::{Form, Holder, Kind, Relation, Word};
use super::likeness::{How, likeness};

/// Maximum for the account of a Hindu undivided family against its head alone: MODERATE.
const MAX_FOR_A_FAMILY: f32 = 75.0;
/// Maximum if only one holder is dead, or if the guardians or addresses differ: MODERATE.
const MAX_FOR_ANOTHER_STATE: f32 = 80.0;
/// Maximum for two different legal forms, or a person and a company of the same name: MODERATE.
const MAX_FOR_OTHER_FORM: f32 = 75.0;
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
/// Lengths at which core banking systems cut names.
const CUT_AT: [usize; 6] = [20, 25, 30, 35, 40, 50];

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
    let firm = one.firm || other.firm;
    let alignment = Alignment::of(&one.words, &other.words, firm);
    let score = if is_cut(one, other) || is_cut(other, one) {
        CUT
    } else {
        let mut left = Side::of(one, other, &alignment.left);
        let mut right = Side::of(other, one, &alignment.right);
        of_alignment(&mut left, &mut right, &alignment)
    };
    // Mr and Mrs are two persons, even if initials and family name agree.
    let contradiction =
        matches!((one.female, other.female), (Some(one), Some(other)) if one != other);
    (if contradiction { score - 20.0 } else { score }).clamp(0.0, most(one, other))
}

/// Returns the maximum that the circumstances of two holders allow.
fn most(one: &Holder, other: &Holder) -> f32 {
    let mut most = 100.0_f32;
    let is_family = |holder: &Holder| holder.forms.contains(&Form::HinduUndividedFamily);
    if is_family(one) != is_family(other) {
        most = most.min(MAX_FOR_A_FAMILY);
    }
    if one.deceased != other.deceased {
        most = most.min(MAX_FOR_ANOTHER_STATE);
    }
    if has_other_form(one, other) || is_company_of(one, other) || is_company_of(other, one) {
        most = most.min(MAX_FOR_OTHER_FORM);
    }
    if let (Some((relation, relative)), Some((other_relation, other_relative))) =
        (&one.relative, &other.relative)
        && !relative.words.is_empty()
        && !other_relative.words.is_empty()
        && of_two(relative, other_relative) <= MAX_WITH_CONTRADICTION
    {
        most = most.min(match (relation, other_relation) {
            (Relation::Parent, Relation::Parent) | (Relation::Spouse, Relation::Spouse) => {
                MAX_WITH_CONTRADICTION
            }
            (Relation::Guardian, Relation::Guardian) | (Relation::CareOf, Relation::CareOf) => {
                MAX_FOR_ANOTHER_STATE
            }
            // A woman has a father and a husband.
            _ => 100.0,
        });
    }
    most
}

/// Whether the two have different legal forms: a company is neither an LLP, a trust nor a proprietor's firm.
fn has_other_form(one: &Holder, other: &Holder) -> bool {
    !one.forms.is_empty()
        && !other.forms.is_empty()
        && !one.forms.iter().any(|form| other.forms.contains(form))
}

fn is_company(holder: &Holder) -> bool {
    let mut forms = holder.forms.iter();
    forms.any(|form| matches!(form, Form::Company | Form::Partnership))
}

/// Whether one is a company with a person's name, and the other the person.
fn is_company_of(company: &Holder, person: &Holder) -> bool {
    let has_trade = company.words.iter().any(|word| word.kind == Kind::Trade);
    let is_person = person
        .words
        .iter()
        .any(|word| matches!(word.kind, Kind::Common | Kind::Family | Kind::Initial))
        || person.female.is_some();
    company.shown && !person.shown && is_company(company) && !has_trade && is_person
}

/// Whether `cut` is the beginning of `whole`, cut at the length where banks cut: in the middle of a word, or exactly there.
fn is_cut(cut: &Holder, whole: &Holder) -> bool {
    let counts = |word: &&Word| word.kind != Kind::Title;
    let cut_words: Vec<&Word> = cut.words.iter().filter(counts).collect();
    let whole_words: Vec<&Word> = whole.words.iter().filter(counts).collect();
    let Some((last, before)) = cut_words.split_last() else {
        return false;
    };
    // A space at the end is not sent.
    let at_a_length = CUT_AT
        .iter()
        .any(|length| cut.length == *length || cut.length + 1 == *length);
    if cut.length < MIN_CUT
        || before.is_empty()
        || whole_words.len() < cut_words.len()
        || is_company(cut)
    {
        return false;
    }
    let same = |one: &Word, other: &Word| {
        matches!(likeness(one, other, false), Some(How::Same | How::Sound))
    };
    let begins = before
        .iter()
        .zip(&whole_words)
        .all(|(one, other)| same(one, other));
    let next = whole_words[before.len()];
    let in_a_word = next.text.len() > last.text.len() && next.text.starts_with(last.text.as_str());
    let after_a_word = same(last, next) && whole_words.len() > cut_words.len();
    begins && ((in_a_word && (last.text.len() > 1 || at_a_length)) || (after_a_word && at_a_length))
}
