//! Parses a name into the holders of the account: one person, several, or a firm and its proprietor.
//!
//! Parts about other persons are left out: S/O and D/O relations, guardians, aliases, "and others".

use super::letters::{Piece, pieces};
use super::script::{Letters, Script};
use super::sound;
use super::vocabulary::{self, Kind};

/// A word and its kind.
#[derive(Clone)]
pub(super) struct Word {
    pub(super) text: String,
    /// Key of the sound.
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) script: Script,
}

/// One holder.
#[derive(Default)]
pub(super) struct Holder {
    pub(super) words: Vec<Word>,
    /// Whether the holder is a firm or another body, not a person.
    pub(super) firm: bool,
    /// Whether the holder is a Hindu undivided family, in law another person than its head.
    pub(super) huf: bool,
    /// Whether the titles are a woman's or a man's.
    pub(super) female: Option<bool>,
}

impl Holder {
    /// Returns the number of letters and of spaces between words, as a bank counts them that cuts names.
    pub(super) fn length(&self) -> usize {
        let letters: usize = self.words.iter().map(|word| word.text.len()).sum();
        letters + self.words.len().saturating_sub(1)
    }

    fn full_words(&self) -> usize {
        let full = |word: &&Word| word.kind != Kind::Initial && !word.kind.is_optional();
        self.words.iter().filter(full).count()
    }
}

/// Returns all holders in a name. With `as_firm`, "Larsen & Toubro" is one name.
pub(super) fn holders(name: &str, as_firm: bool) -> Vec<Holder> {
    let pieces = pieces(name);
    let mut holders = Vec::with_capacity(2);
    let mut start = 0;
    for place in 0..=pieces.len() {
        let ends = place == pieces.len() || is_owner_mark(&pieces, place);
        if ends {
            read(&pieces[start..place], as_firm, &mut holders);
            start = place + 1;
        }
    }
    holders.retain(|holder: &Holder| !holder.words.is_empty());
    share_family_name(&mut holders);
    holders.iter_mut().for_each(classify);
    holders
}

fn is_owner_mark(pieces: &[Piece], place: usize) -> bool {
    text(pieces, place).is_some_and(|word| {
        matches!(
            word,
            "prop"
                | "props"
                | "proprietor"
                | "proprietors"
                | "proprietress"
                | "proprietorship"
                | "partner"
                | "dba"
        )
    })
}

fn text(pieces: &[Piece], place: usize) -> Option<&str> {
    match pieces.get(place)? {
        Piece::Word(word) => Some(word.text.as_str()),
        Piece::Mark(_) => None,
    }
}

fn is_mark(pieces: &[Piece], place: usize, mark: char) -> bool {
    matches!(pieces.get(place), Some(Piece::Mark(found)) if *found == mark)
}

/// Returns two letters with a slash between them.
fn slashed(pieces: &[Piece], place: usize) -> Option<(&str, &str)> {
    let (one, other) = (text(pieces, place)?, text(pieces, place + 2)?);
    (is_mark(pieces, place + 1, '/') && one.len() == 1 && other.len() == 1).then_some((one, other))
}

/// Whether the letters are S/O, D/O, W/O, C/O, H/O, F/O or B/O; or U/G (under guardianship), F/G or N/G.
fn is_relation(letters: Option<(&str, &str)>) -> bool {
    matches!(
        letters,
        Some(("s" | "d" | "w" | "c" | "h" | "f" | "b", "o") | ("u" | "f" | "n", "g"))
    )
}

/// Part of a name at one place.
enum Found {
    /// A word of the holder's name.
    Name,
    /// Pieces without meaning, with their number.
    Nothing(usize),
    /// The start of a part about another person.
    Relation,
    /// The start of another holder.
    Another,
    /// M/S, three pieces long.
    Firm,
    /// HUF, with the number of its pieces.
    Huf(usize),
}

fn find(pieces: &[Piece], place: usize, holder: &Holder) -> Found {
    if let Some(letters) = slashed(pieces, place) {
        match letters {
            ("m", "s") => return Found::Firm,
            _ if is_relation(Some(letters)) => return Found::Relation,
            ("a", "c") | ("e", "s") | ("n", "a") => return Found::Nothing(3),
            _ => {}
        }
    }
    let Some(word) = text(pieces, place) else {
        return match pieces.get(place) {
            Some(Piece::Mark('&' | '+' | ';' | '/')) => Found::Another,
            Some(Piece::Mark(',')) if is_between_holders(pieces, place, holder) => Found::Another,
            Some(Piece::Mark('@')) => Found::Relation,
            _ => Found::Nothing(1),
        };
    };
    let next = text(pieces, place + 1);
    match word {
        "e" if next == Some("or") && text(pieces, place + 2) == Some("s") => Found::Nothing(3),
        "others" | "other" | "ors" | "anr" | "another" | "jointly" | "joint" | "jt" | "eors"
        | "either" | "survivor" | "anyone" => Found::Nothing(1),
        "and" | "or" => Found::Another,
        "huf" => Found::Huf(1),
        "h" if next == Some("u") && text(pieces, place + 2) == Some("f") => Found::Huf(3),
        "hindu" if next == Some("undivided") => Found::Huf(3),
        "son" | "daughter" | "wife" | "widow" | "care" | "husband" | "mother" | "father"
        | "guardian"
            if next == Some("of") =>
        {
            Found::Relation
        }
        "guardian" | "ug" | "fng" | "mng" | "karta" | "alias" | "urf"
            if !holder.words.is_empty() =>
        {
            Found::Relation
        }
        "so" | "do" | "wo"
            if !holder.words.is_empty() && next.is_some_and(|next| next.len() > 1) =>
        {
            Found::Relation
        }
        _ => Found::Name,
    }
}

/// "Rao, Asha" is one holder; "Asha Rao, Vijay Rao" are two.
fn is_between_holders(pieces: &[Piece], place: usize, holder: &Holder) -> bool {
    let after = (place + 1..pieces.len()).take_while(|place| text(pieces, *place).is_some());
    holder.words.len() > 1 && after.count() > 1
}

/// Reads the holders from pieces without a proprietor.
fn read(pieces: &[Piece], as_firm: bool, holders: &mut Vec<Holder>) {
    let of_a_firm = |place| {
        text(pieces, place).is_some_and(vocabulary::is_of_a_firm)
            || slashed(pieces, place) == Some(("m", "s"))
    };
    // A firm after "C/O" is not the holder.
    let firm = as_firm
        || (0..pieces.len())
            .take_while(|place| !is_relation(slashed(pieces, *place)))
            .any(of_a_firm);
    let mut holder = Holder {
        firm,
        ..Holder::default()
    };
    let mut another_person = false;
    let mut place = 0;
    while place < pieces.len() {
        match find(pieces, place, &holder) {
            Found::Firm => place += 3,
            Found::Nothing(length) => place += length,
            Found::Huf(length) => {
                holder.huf = true;
                place += length;
            }
            Found::Relation => {
                another_person = true;
                // Past the whole of "S/O", so that its slash does not divide holders.
                place += if slashed(pieces, place).is_some() {
                    3
                } else {
                    1
                };
            }
            Found::Another => {
                if !firm {
                    holders.push(std::mem::take(&mut holder));
                    another_person = false;
                }
                place += 1;
            }
            Found::Name => {
                if !another_person && let Some(Piece::Word(letters)) = pieces.get(place) {
                    take_word(
                        letters,
                        text(pieces, place + 1).or(text(pieces, place + 2)),
                        &mut holder,
                    );
                }
                place += 1;
            }
        }
    }
    holders.push(holder);
}

fn take_word(letters: &Letters, next: Option<&str>, holder: &mut Holder) {
    let text = letters.text.as_str();
    // Kumar and Prasad; first or last they are initials.
    let shortened = matches!(text, "kr" | "pd") && !holder.words.is_empty() && next.is_some();
    if holder.firm {
        let form = vocabulary::legal_form(text);
        let form =
            if text == "p" && next.is_some_and(|next| vocabulary::legal_form(next) == "limited") {
                "private"
            } else {
                form
            };
        // The bank has cut the word.
        let cut = next.is_none() && text.len() >= 3 && !holder.words.is_empty();
        let form = ["private", "limited"]
            .into_iter()
            .find(|whole| cut && whole.starts_with(form))
            .unwrap_or(form);
        holder.words.push(word(form, letters.script));
    } else if !shortened
        && vocabulary::are_initials(text)
        && !(holder.words.is_empty() && vocabulary::is_leading_title(text))
    {
        for place in 0..text.len() {
            holder
                .words
                .push(word(&text[place..=place], letters.script));
        }
    } else {
        holder.words.push(word(text, letters.script));
    }
}

fn word(text: &str, script: Script) -> Word {
    let key = sound::key(text);
    let kind = vocabulary::kind(text, &key);
    Word {
        text: text.to_owned(),
        key,
        kind,
        script,
    }
}

/// Gives the family name to both holders of "Asha and Vijay Rao".
fn share_family_name(holders: &mut [Holder]) {
    for place in 1..holders.len() {
        let (before, after) = holders.split_at_mut(place);
        let (one, other) = (&mut before[place - 1], &after[0]);
        if one.firm
            || other.firm
            || one
                .words
                .iter()
                .filter(|word| !word.kind.is_optional())
                .count()
                != 1
            || other.full_words() < 2
        {
            continue;
        }
        if let Some(family) = other.words.last().filter(|word| word.kind != Kind::Initial) {
            one.words.push(family.clone());
        }
    }
}

/// Separates titles from names by their place.
fn classify(holder: &mut Holder) {
    let count = holder.words.len();
    let mut leading = true;
    for place in 0..count {
        let text = holder.words[place].text.as_str();
        let others = holder.words[place + 1..]
            .iter()
            .filter(|word| word.kind != Kind::Initial && !word.kind.is_optional())
            .count();
        let more = place + 1 < count;
        let kind = if holder.words[place].kind == Kind::Title {
            Kind::Title
        } else if leading && more && vocabulary::is_honour(text) {
            if others > 1 {
                Kind::Title
            } else {
                Kind::Particle
            }
        } else if leading && more && others > 0 && vocabulary::is_leading_title(text) {
            Kind::Title
        } else {
            leading = false;
            continue;
        };
        holder.female = holder.female.or(vocabulary::is_female(text));
        holder.words[place].kind = kind;
    }
    // A word that is a title or a filler elsewhere can be a person's own name: Kumar, Ram Lal, Syed.
    let own = |word: &Word| matches!(word.kind, Kind::Own | Kind::Number);
    if !holder.words.iter().any(own) {
        let first = |holder: &Holder, wanted: fn(Kind) -> bool| {
            holder.words.iter().position(|word| wanted(word.kind))
        };
        let place = first(holder, |kind| {
            matches!(kind, Kind::Family | Kind::Common | Kind::Trade)
        })
        .or_else(|| first(holder, |kind| kind == Kind::Particle))
        .or_else(|| {
            if holder.words.iter().any(|word| word.kind == Kind::Initial) {
                None
            } else {
                Some(0)
            }
        });
        if let Some(word) = place.and_then(|place| holder.words.get_mut(place)) {
            word.kind = Kind::Own;
        }
    }
}
