//! Marks within a name: where another holder, a relative, a proprietor or a deceased holder begins.

use super::holder::{Holder, Relation};
use super::letters::Piece;
use super::script::Script;

/// Part of a name at one place, with the number of its pieces.
pub(super) enum Found {
    /// A word of the holder's name.
    Name,
    /// Pieces without meaning.
    Nothing(usize),
    /// The start of a part about another person; whether it shows that the holder is a woman.
    Relation(usize, Relation, Option<bool>),
    /// The start of the holder after the guardian.
    Ward(usize),
    /// The start of another name of the holder.
    Alias,
    /// The start of another holder.
    Another(usize),
    /// M/S.
    Firm,
    Huf(usize),
    /// The holder is dead: LATE, ESTATE OF, LEGAL HEIR OF.
    Deceased(usize),
}

/// Returns the text of a word; `None` for a mark.
pub(super) fn text(pieces: &[Piece], place: usize) -> Option<&str> {
    match pieces.get(place)? {
        Piece::Word(word) => Some(word.text.as_str()),
        Piece::Mark(_) => None,
    }
}

fn is_mark(pieces: &[Piece], place: usize, mark: char) -> bool {
    matches!(pieces.get(place), Some(Piece::Mark(found)) if *found == mark)
}

/// Whether the place has "and" or its mark.
pub(super) fn is_and(pieces: &[Piece], place: usize) -> bool {
    is_mark(pieces, place, '&') || text(pieces, place) == Some("and")
}

/// Returns two letters with a slash between them.
pub(super) fn slashed(pieces: &[Piece], place: usize) -> Option<(&str, &str)> {
    let (one, other) = (text(pieces, place)?, text(pieces, place + 2)?);
    (is_mark(pieces, place + 1, '/') && one.len() == 1 && other.len() == 1).then_some((one, other))
}

/// Whether a relation begins here, in any of its forms.
pub(super) fn is_relation(pieces: &[Piece], place: usize) -> bool {
    slashed(pieces, place).and_then(by_letters).is_some() || of_relation(pieces, place).is_some()
}

/// Whether the word divides a firm from its owner.
pub(super) fn is_owner_mark(pieces: &[Piece], place: usize) -> bool {
    text(pieces, place).is_some_and(|word| {
        matches!(
            word,
            "prop"
                | "props"
                | "propr"
                | "proprietor"
                | "proprietors"
                | "proprietress"
                | "proprietorship"
                | "partner"
                | "dba"
        )
    })
}

/// Returns the relation of S/O, D/O, W/O, C/O and others, and whether the holder is a woman.
fn by_letters(letters: (&str, &str)) -> Option<(Relation, Option<bool>)> {
    Some(match letters {
        ("s", "o") => (Relation::Parent, Some(false)),
        ("d", "o") => (Relation::Parent, Some(true)),
        ("w", "o") => (Relation::Spouse, Some(true)),
        ("h", "o") => (Relation::Spouse, Some(false)),
        ("c", "o") => (Relation::CareOf, None),
        ("f" | "b" | "m" | "r", "o") => (Relation::Other, None),
        ("u" | "f" | "n", "g") => (Relation::Guardian, None),
        _ => return None,
    })
}

/// Returns the relation of "son of" and its translations, and the number of its pieces.
fn of_relation(pieces: &[Piece], place: usize) -> Option<(usize, Relation, Option<bool>)> {
    let Piece::Word(word) = pieces.get(place)? else {
        return None;
    };
    let next = text(pieces, place + 1);
    let (length, relation, female) = match (word.text.as_str(), next) {
        ("son", Some("of")) => (2, Relation::Parent, Some(false)),
        ("daughter", Some("of")) => (2, Relation::Parent, Some(true)),
        ("wife" | "widow", Some("of")) => (2, Relation::Spouse, Some(true)),
        ("husband", Some("of")) => (2, Relation::Spouse, Some(false)),
        ("care", Some("of")) => (2, Relation::CareOf, None),
        ("mother" | "father", Some("of")) => (2, Relation::Other, None),
        // Hindi, Punjabi, Bengali and others: putra, putri, patni, pati, swami, vidhva.
        (word, _) if indic_relation(pieces, place) => match word {
            "putra" | "putar" | "puttar" | "suputra" | "suput" | "chele" | "magan" | "makan" => {
                (1, Relation::Parent, Some(false))
            }
            "putri" | "suputri" | "dhi" | "makal" | "kanya" => (1, Relation::Parent, Some(true)),
            _ => (1, Relation::Spouse, Some(true)),
        },
        _ => return None,
    };
    Some((length, relation, female))
}

fn indic_relation(pieces: &[Piece], place: usize) -> bool {
    const WORDS: &str = "putra putar puttar suputra suput magan makan putri suputri dhi makal kanya patni dharmpatni bevi \
                         stri vidhva bewa beva manaivi bharya";
    matches!(pieces.get(place), Some(Piece::Word(word))
        if word.script.is_indic() && place > 0 && WORDS.split(' ').any(|one| one == word.text))
}

/// Returns the part of the name at this place.
pub(super) fn find(pieces: &[Piece], place: usize, holder: &Holder) -> Found {
    let named = !holder.words.is_empty();
    if let Some(letters) = slashed(pieces, place) {
        match letters {
            ("m", "s") => return Found::Firm,
            ("l", "h") => return Found::Deceased(3),
            ("g", "o") if named => return Found::Ward(3),
            ("a", "c") | ("n", "a") => return Found::Nothing(3),
            // "Either or survivor" is written between two holders, or after them.
            ("e" | "f" | "l" | "a", "s") => return Found::Another(3),
            _ => {}
        }
        if let Some((relation, female)) = by_letters(letters) {
            // Past the whole of "S/O", so that its slash does not divide holders.
            return Found::Relation(3, relation, female);
        }
    }
    if named && let Some((length, relation, female)) = of_relation(pieces, place) {
        return Found::Relation(length, relation, female);
    }
    // "F&NG", the father and natural guardian.
    if named
        && matches!(text(pieces, place), Some("f" | "m"))
        && is_mark(pieces, place + 1, '&')
        && text(pieces, place + 2) == Some("ng")
    {
        return Found::Relation(3, Relation::Guardian, None);
    }
    let Some(word) = text(pieces, place) else {
        return match pieces.get(place) {
            Some(Piece::Mark('&' | '+' | ';' | '/')) => Found::Another(1),
            Some(Piece::Mark(',')) if is_between_holders(pieces, place, holder) => {
                Found::Another(1)
            }
            Some(Piece::Mark('@')) => Found::Alias,
            _ => Found::Nothing(1),
        };
    };
    let (next, after) = (text(pieces, place + 1), text(pieces, place + 2));
    match word {
        "e" if next == Some("or") && after == Some("s") => Found::Nothing(3),
        "others" | "other" | "ors" | "anr" | "another" | "eors" | "either" | "survivor"
        | "survivors" | "anyone" | "former" | "latter" => Found::Nothing(1),
        // "Jointly with".
        "with" if place > 0 && text(pieces, place - 1).is_some_and(is_joint) => Found::Nothing(1),
        "1" if place == 0 => Found::Nothing(1),
        // "1. Asha Rao 2. Vijay Rao".
        "2" | "3" | "4" if named && text(pieces, 0) == Some("1") => Found::Another(1),
        "and" | "or" => Found::Another(1),
        // Hindi, Bengali, Gujarati, Tamil, Telugu, Kannada.
        "end" | "evam" | "aur" | "tatha" | "ebam" | "o" | "ane" | "marrum" | "matrum"
        | "mariyu" | "mattu"
            if named && is_indic(pieces, place) =>
        {
            Found::Another(1)
        }
        word if is_joint(word) => Found::Another(1),
        "huf" => Found::Huf(1),
        "hindu" if next == Some("undivided") => Found::Huf(3),
        "late" | "deceased" | "decd" | "expired" | "svargiya" | "svargvasi" | "marhum" => {
            Found::Deceased(1)
        }
        "estate" | "est" | "heir" | "heirs" | "nominee" | "executor" | "executors"
        | "administrator" | "representative"
            if next == Some("of") =>
        {
            Found::Deceased(2)
        }
        "legal" if matches!(next, Some("heir" | "heirs" | "representative")) => Found::Deceased(1),
        "natural" | "as" if next == Some("guardian") => Found::Nothing(1),
        "guardian" if named && next == Some("of") => Found::Ward(2),
        "with" if named => Found::Another(1),
        "guardian" | "ug" | "fng" | "mng" | "through" | "thru" if named => {
            Found::Relation(1, Relation::Guardian, None)
        }
        "under" if next == Some("guardianship") => Found::Relation(2, Relation::Guardian, None),
        "karta" if named => Found::Relation(1, Relation::Other, None),
        "alias" | "urf" | "aka" | "nee" if named => Found::Alias,
        "so" | "do" | "wo" | "ho" if named && next.is_some_and(|next| next.len() > 1) => {
            let letters = by_letters((&word[..1], "o"));
            letters.map_or(Found::Name, |(relation, female)| {
                Found::Relation(1, relation, female)
            })
        }
        "s" | "d" | "w" | "c" | "h"
            if named && next == Some("o") && after.is_some_and(|after| after.len() > 1) =>
        {
            let letters = by_letters((word, "o"));
            letters.map_or(Found::Name, |(relation, female)| {
                Found::Relation(2, relation, female)
            })
        }
        _ => Found::Name,
    }
}

fn is_indic(pieces: &[Piece], place: usize) -> bool {
    matches!(pieces.get(place), Some(Piece::Word(word)) if word.script.is_indic())
}

/// Whether the word is JT, JT1 or JOINTLY.
fn is_joint(word: &str) -> bool {
    let digits = word.strip_prefix("jt");
    matches!(word, "joint" | "jointly" | "jtly")
        || digits.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// "Rao, Asha" is one holder; "Asha Rao, Vijay Rao" are two.
fn is_between_holders(pieces: &[Piece], place: usize, holder: &Holder) -> bool {
    let after = (place + 1..pieces.len()).take_while(|place| text(pieces, *place).is_some());
    holder.words.len() > 1 && after.count() > 1
}

/// Returns the Latin letter that a word in an Indian script spells: आर for R; in Tamil also the letter itself.
pub(super) fn spelled_initial(text: &str, script: Script) -> Option<&str> {
    const NAMES: [(&str, &str); 32] = [
        ("e", "a"),
        ("bi", "b"),
        ("si", "c"),
        ("chi", "c"),
        ("di", "d"),
        ("i", "e"),
        ("eph", "f"),
        ("ef", "f"),
        ("ji", "g"),
        ("ech", "h"),
        ("ai", "i"),
        ("je", "j"),
        ("ke", "k"),
        ("el", "l"),
        ("em", "m"),
        ("en", "n"),
        ("o", "o"),
        ("pi", "p"),
        ("kyu", "q"),
        ("ar", "r"),
        ("es", "s"),
        ("ti", "t"),
        ("yu", "u"),
        ("vi", "v"),
        ("dablyu", "w"),
        ("eks", "x"),
        ("vai", "y"),
        ("jed", "z"),
        ("yes", "s"),
        ("yem", "m"),
        ("yen", "n"),
        ("yel", "l"),
    ];
    if !script.is_indic() {
        return None;
    }
    if let Some((_, letter)) = NAMES.iter().find(|(name, _)| *name == text) {
        return Some(letter);
    }
    // A letter alone carries its vowel: க. is K, in Tamil with another vowel too.
    let vowels: &[char] = if script == Script::Tamil {
        &['a', 'i', 'u']
    } else {
        &['a']
    };
    let letter = text.strip_suffix(vowels).unwrap_or(text);
    match letter {
        "ch" if script == Script::Tamil => Some("s"),
        "ch" | "th" | "sh" | "kh" | "bh" => Some(&letter[..1]),
        _ if letter.len() == 1 && !letter.starts_with(['a', 'e', 'i', 'o', 'u']) => Some(letter),
        _ => None,
    }
}
