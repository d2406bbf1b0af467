//! Separates titles from names by their place, and gives a family name to both holders who share it.

use super::firm;
use super::holder::{Holder, Kind, Word};
use super::places;
use super::sound;
use super::vocabulary;

/// Gives the family name to both holders of "Asha and Vijay Rao".
pub(super) fn share_family_name(holders: &mut [Holder]) {
    for place in 1..holders.len() {
        let (before, after) = holders.split_at_mut(place);
        let (one, other) = (&mut before[place - 1], &after[0]);
        let words = one.words.iter().filter(|word| !word.kind.is_optional());
        if one.firm || other.firm || words.count() != 1 || other.full_words() < 2 {
            continue;
        }
        if let Some(family) = other.words.last().filter(|word| word.kind != Kind::Initial) {
            one.words.push(family.clone());
        }
    }
}

/// Separates titles from names by their place, and finds the city at the end of a firm's name.
pub(super) fn classify(holder: &mut Holder) {
    leading_titles(holder);
    if holder.firm {
        cities(holder);
        let forms = holder
            .words
            .iter()
            .filter_map(|word| firm::form(&word.text));
        holder.forms.extend(forms);
    }
    let first = holder
        .words
        .iter()
        .position(|word| !word.kind.is_optional());
    if let Some(place) = first.filter(|_| holder.full_words() > 1) {
        let word = &mut holder.words[place];
        if word.kind == Kind::Common && vocabulary::is_given_name_first(&word.text) {
            word.kind = Kind::Own;
        }
    }
    // A word that is a title or a filler elsewhere can be a person's own name: Kumar, Ram Lal, Syed.
    let own = |word: &Word| matches!(word.kind, Kind::Own | Kind::Number);
    if !holder.words.iter().any(own) {
        let first = |holder: &Holder, wanted: fn(Kind) -> bool| {
            holder.words.iter().position(|word| wanted(word.kind))
        };
        let has_initial = holder.words.iter().any(|word| word.kind == Kind::Initial);
        let place = first(holder, |kind| {
            matches!(kind, Kind::Family | Kind::Common | Kind::Trade)
        })
        .or_else(|| first(holder, |kind| kind == Kind::Particle))
        .or(if has_initial { None } else { Some(0) });
        if let Some(word) = place.and_then(|place| holder.words.get_mut(place)) {
            word.kind = Kind::Own;
        }
    }
}

fn leading_titles(holder: &mut Holder) {
    let count = holder.words.len();
    let mut leading = true;
    for place in 0..count {
        let text = holder.words[place].text.as_str();
        let others = holder.words[place + 1..]
            .iter()
            .filter(|word| word.kind != Kind::Initial && !word.kind.is_optional())
            .count();
        let more = place + 1 < count;
        // Major Singh and Captain Singh are two names, Captain Deepak is Deepak.
        let named = !vocabulary::is_given_name(text)
            || holder.words[place + 1..]
                .iter()
                .any(|word| word.kind == Kind::Own);
        let kind = if holder.words[place].kind == Kind::Title {
            Kind::Title
        } else if leading && more && vocabulary::is_honour(text) {
            if others > 1 {
                Kind::Title
            } else {
                Kind::Particle
            }
        } else if leading
            && more
            && named
            && others > usize::from(vocabulary::is_first_of_two(text))
            && vocabulary::is_leading_title(text)
        {
            Kind::Title
        } else {
            leading = false;
            continue;
        };
        if !holder.firm {
            holder.female = holder.female.or(vocabulary::is_female(text));
        }
        holder.words[place].kind = kind;
    }
}

/// Marks the city at the end of a firm's name, which one system has and the other has not.
fn cities(holder: &mut Holder) {
    const MIN_WORDS: usize = 2;
    let mut end = holder.words.len();
    // "(Andheri Branch)".
    if end > MIN_WORDS + 1 && holder.words[end - 1].text == "branch" {
        holder.words[end - 2].kind = Kind::Place;
        holder.words[end - 1].kind = Kind::Place;
        end -= 2;
    }
    while end > MIN_WORDS {
        let word = &mut holder.words[end - 1];
        let city = places::canonical(&word.text);
        if city.is_none() && !places::is_state(&word.text) {
            break;
        }
        if let Some(city) = city {
            word.key = sound::key(city);
        }
        word.kind = Kind::Place;
        end -= 1;
    }
}
