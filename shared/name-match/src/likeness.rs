//! The likeness of two words: the same sound, a typing error, a short form, an initial.

use super::arabic;
use super::firm;
use super::holder::{Kind, Word};
use super::nicknames;
use super::script::Script;
use super::sound;

/// Kind of likeness of two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The same letters, possibly written in two words.
    Same,
    /// Two spellings, or two scripts.
    Sound,
    /// A typing error, or b for v as in Bengal.
    Slip,
    /// A short form of a given name: Venky for Venkatesh.
    Nickname,
    /// One is the initial of the other.
    Initial,
}

#[cfg(test)]
thread_local! {
    /// Comparisons of words in this thread.
    pub(super) static COMPARISONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts a comparison of two words, or of two runs of words, in tests: their number bounds the work of a comparison of two names.
pub(super) fn count_comparison() {
    #[cfg(test)]
    COMPARISONS.set(COMPARISONS.get() + 1);
}

/// Whether the first word is the initial of the second.
pub(super) fn is_initial_of(initial: &Word, word: &Word) -> bool {
    count_comparison();
    initial.kind == Kind::Initial
        && !matches!(
            word.kind,
            Kind::Initial | Kind::Title | Kind::Legal | Kind::Number
        )
        && (word.text.starts_with(initial.text.as_str())
            || word.key.chars().next() == initial.key.chars().next())
}

/// Returns the likeness of two single words; `None` if they are different words.
pub(super) fn likeness(one: &Word, other: &Word, firm: bool) -> Option<How> {
    count_comparison();
    if one.masked && other.masked && one.text == other.text {
        return Some(How::Same);
    }
    if one.masked || other.masked {
        return same_as_far_as_visible(one, other).then_some(How::Sound);
    }
    if one.text == other.text {
        return Some(if one.script == other.script {
            How::Same
        } else {
            How::Sound
        });
    }
    if one.kind == Kind::Initial
        || other.kind == Kind::Initial
        || one.kind == Kind::Number
        || other.kind == Kind::Number
    {
        return None;
    }
    let (left, right) = (one.text.as_str(), other.text.as_str());
    if one.key == other.key {
        return Some(How::Sound);
    }
    // The first sound separates nearly all words, before anything is computed.
    // Tamil can have a vowel before the first sound.
    let any_first = |word: &Word| matches!(word.script, Script::Arabic | Script::Tamil);
    if !any_first(one) && !any_first(other) && !may_sound_alike(&one.key, &other.key) {
        return None;
    }
    let sounds = differ_by_ending(left, right)
        || differ_by_script(one, other)
        || without_vowels(left, right)
        || (firm && shorten_a_firm(one, other));
    if sounds {
        return Some(How::Sound);
    }
    if is_slip(&one.key, &other.key, left, right) {
        return Some(How::Slip);
    }
    let is_nickname = !firm
        && matches!(
            (one.kind, other.kind),
            (
                Kind::Own | Kind::Common | Kind::Family,
                Kind::Own | Kind::Common | Kind::Family
            )
        )
        && (nicknames::is_short_for(left, right) || nicknames::is_short_for(right, left));
    is_nickname.then_some(How::Nickname)
}

/// Whether two keys begin with sounds that some rule joins.
fn may_sound_alike(one: &str, other: &str) -> bool {
    let class = |key: &str| {
        let mut letters = key.bytes();
        match (letters.next(), letters.next()) {
            // ज्ञ, and Gnanam for ஞானம்.
            (Some(b'g' | b'j'), Some(b'n' | b'i' | b'y')) | (Some(b'n'), _) => b'n',
            (Some(b'a' | b'e' | b'i' | b'o' | b'u' | b'y'), _) => b'a',
            (Some(b'k' | b'g' | b'h'), _) => b'k',
            (Some(b'c' | b'j' | b's' | b'z'), _) => b's',
            (Some(b't' | b'd'), _) => b't',
            (Some(b'p' | b'b' | b'f' | b'v' | b'w'), _) => b'p',
            (Some(letter), _) => letter,
            (None, _) => 0,
        }
    };
    class(one) == class(other)
}

/// Whether the visible letters of a word are the first ones of the other.
fn same_as_far_as_visible(one: &Word, other: &Word) -> bool {
    let begins =
        |masked: &Word, whole: &Word| masked.masked && whole.text.starts_with(masked.text.as_str());
    begins(one, other) || begins(other, one)
}

/// Whether two words have the same sound by the rules for their scripts.
fn differ_by_script(one: &Word, other: &Word) -> bool {
    let (native, latin) = match (one.script, other.script) {
        (one_script, other_script) if one_script == other_script => return false,
        (Script::Latin, _) => (other, one),
        _ => (one, other),
    };
    // ड़ is written as r or as d: Dhakad.
    let indic = native.script.is_indic();
    if indic
        && native.key.len() > 2
        && sound::of_indian_letters(&native.key) == sound::of_indian_letters(&latin.key)
    {
        return true;
    }
    // ఈడుపుగంటి is Edupuganti too.
    let rest = |word: &Word| word.key.strip_prefix(['i', 'e']).map(str::to_owned);
    if indic && rest(native).is_some() && rest(native) == rest(latin) {
        return true;
    }
    match native.script {
        Script::Tamil => {
            let fold = |key: &str| sound::of_indian_letters(&sound::tamil_key(key));
            let key = |text: &str| fold(&sound::key(&sound::without_tamil_vowels(text)));
            let by_rule = |text: &str| fold(&sound::by_rule(&sound::without_tamil_vowels(text)));
            if by_rule(&native.text) == by_rule(&latin.text) {
                return true;
            }
            // ஞானம் is Gnanam.
            let bare_latin = latin
                .text
                .strip_prefix('g')
                .filter(|rest| rest.starts_with('n'));
            let latin = key(bare_latin.unwrap_or(&latin.text));
            // நாராயணன் is Narayanan, and Narayan with the polite ending.
            let bare = native.text.strip_suffix("an").filter(|bare| bare.len() > 4);
            key(&native.text) == latin || bare.is_some_and(|bare| key(bare) == latin)
        }
        // The last a is spoken, or is not: Subrata, Sangeetha, Siddharth.
        Script::Bengali | Script::Odia | Script::Kannada => {
            let (native_key, latin_key) = (native.key.as_str(), latin.key.as_str());
            let without = |key: &str| sound::of_indian_letters(&sound::without_o(key));
            latin_key.strip_suffix('a') == Some(native_key)
                || native_key.strip_suffix('a') == Some(latin_key)
                || sound::by_rule(&latin.text).strip_suffix('a')
                    == Some(sound::by_rule(&native.text).as_str())
                || without(native_key) == without(latin_key)
        }
        // गुप्त is Gupta.
        Script::Devanagari | Script::Gujarati if ends_with_two_consonants(&native.text) => {
            latin.key.strip_suffix('a') == Some(native.key.as_str())
        }
        Script::Arabic => arabic::sounds_like(&native.text, &latin.text),
        _ => false,
    }
}

fn ends_with_two_consonants(text: &str) -> bool {
    let is_vowel = |byte: &u8| b"aeiou".contains(byte);
    text.len() > 3 && !text.as_bytes()[text.len() - 2..].iter().any(is_vowel)
}

/// Whether one word of a firm shortens the other.
fn shorten_a_firm(one: &Word, other: &Word) -> bool {
    let (left, right) = (one.text.as_str(), other.text.as_str());
    firm::shortens(left, right) || firm::shortens(right, left) || firm::drops_vowels(left, right)
}

/// Whether one word is the other without all of its vowels: KRSHN, which are no initials.
fn without_vowels(one: &str, other: &str) -> bool {
    let (short, long) = by_length(one, other);
    let is_vowel = |byte: &u8| b"aeiou".contains(byte);
    short.len() >= 4
        && !short.bytes().any(|byte| is_vowel(&byte))
        && short.as_bytes()[0] == long.as_bytes()[0]
        && long
            .bytes()
            .filter(|byte| !is_vowel(byte))
            .eq(short.bytes())
}

/// Returns the number of words from the first on that a word writes together, all but the last as initials: "HKishore". `None` if
/// it does not.
pub(super) fn initials_before(joined: &Word, words: &[Word]) -> Option<usize> {
    const MAX_INITIALS: usize = 4;
    const MIN_NAME: usize = 4;
    if joined.script != Script::Latin || joined.kind != Kind::Own {
        return None;
    }
    (1..words.len().min(MAX_INITIALS + 1)).find_map(|count| {
        count_comparison();
        let (initials, name) = (joined.text.get(..count)?, joined.text.get(count..)?);
        let (last, before) = (&words[count], &words[..count]);
        let is_name = name.len() >= MIN_NAME
            && (name == last.text || sound::key(name) == last.key)
            && last.kind != Kind::Initial;
        let begin = before
            .iter()
            .zip(initials.chars())
            .all(|(word, initial)| word.text.starts_with(initial));
        (is_name && begin).then_some(count + 1)
    })
}

/// Whether only an ending differs: Rameshbhai and Ramesh, Hiraben and Hira, Handlooms and Handloom.
fn differ_by_ending(one: &str, other: &str) -> bool {
    // With the least letters of the name before the ending.
    const POLITE: [(&str, usize); 22] = [
        ("bhai", 3),
        ("ben", 3),
        ("bhen", 3),
        ("behn", 3),
        ("bahen", 3),
        ("bai", 3),
        ("kumar", 4),
        ("kumari", 4),
        ("singh", 4),
        ("sinh", 4),
        ("devi", 4),
        ("rani", 4),
        ("lal", 4),
        ("rao", 5),
        ("ji", 5),
        ("jee", 5),
        ("saheb", 3),
        ("sahib", 3),
        ("amma", 4),
        ("ammal", 4),
        ("tai", 4),
        ("begum", 3),
    ];
    let (short, long) = by_length(one, other);
    if short.len() > 5 && long.strip_prefix(short) == Some("s") {
        return true;
    }
    POLITE.iter().any(|(ending, least)| {
        long.strip_suffix(ending).is_some_and(|name| {
            let is_short = name.len() < *least;
            // રમેશભાઈ has an a between the two.
            let bare = name.strip_suffix('a').unwrap_or(name);
            let same = |name: &str| name == short || sound::key(name) == sound::key(short);
            // Sarojamma is Saroja with Amma.
            let elided = || ending.starts_with('a') && same(&[name, "a"].concat());
            !is_short && (same(name) || same(bare) || elided())
        })
    })
}

fn by_length<'a, T: ?Sized + AsRef<[u8]>>(one: &'a T, other: &'a T) -> (&'a T, &'a T) {
    if one.as_ref().len() < other.as_ref().len() {
        (one, other)
    } else {
        (other, one)
    }
}

/// Whether the difference is a typing error: two neighbours swapped, a letter left out within a long word, b for v. One letter
/// in place of another is none: it turns Ramesh into Rakesh and Rameshwari into Rajeshwari.
fn is_slip(one: &str, other: &str, one_text: &str, other_text: &str) -> bool {
    let is_b_for_v = || {
        one.len() > 3
            && one.len() == other.len()
            && one
                .bytes()
                .zip(other.bytes())
                .all(|pair| pair.0 == pair.1 || matches!(pair, (b'b', b'v') | (b'v', b'b')))
    };
    // The two sounds that Tamils write alike, and the a that Bengalis speak as o.
    let is_regional = || {
        one.len().abs_diff(other.len()) <= 2
            && (one_text.len().min(other_text.len()) >= 8
                && sound::tamil_key(one) == sound::tamil_key(other)
                || one_text.len().min(other_text.len()) >= 7
                    && sound::without_o(one) == sound::without_o(other))
    };
    // Eswari, Iswari; Elangovan, Ilangovan.
    let rest = |key: &str| key.strip_prefix(['i', 'e']).map(str::to_owned);
    let begins_otherwise = || one.len() > 3 && rest(one).is_some() && rest(one) == rest(other);
    // Kapoor and Kapor.
    let with_u = |key: &str| key.replace('o', "u");
    let has_other_u = || {
        one_text.len().min(other_text.len()) >= 5
            && one.len() == other.len()
            && with_u(one) == with_u(other)
    };
    is_b_for_v()
        || begins_otherwise()
        || has_other_u()
        || is_regional()
        || other_vowel(one_text.as_bytes(), other_text.as_bytes())
        || neighbours_changed(one_text.as_bytes(), other_text.as_bytes())
        || letter_left_out(one_text.as_bytes(), other_text.as_bytes())
        || letter_doubled(one_text.as_bytes(), other_text.as_bytes())
}

/// Whether one vowel is written for another within a long word: Pendharkar, Pendharker.
fn other_vowel(one: &[u8], other: &[u8]) -> bool {
    if one.len() < 9 || one.len() != other.len() {
        return false;
    }
    let mut differing = (0..one.len()).filter(|place| one[*place] != other[*place]);
    match (differing.next(), differing.next()) {
        (Some(place), None) => {
            let is_vowel = |byte: u8| b"aeiou".contains(&byte);
            place > 0 && place + 1 < one.len() && is_vowel(one[place]) && is_vowel(other[place])
        }
        _ => false,
    }
}

fn neighbours_changed(one: &[u8], other: &[u8]) -> bool {
    if one.len() < 5 || one.len() != other.len() {
        return false;
    }
    let mut differing = (0..one.len()).filter(|place| one[*place] != other[*place]);
    match (differing.next(), differing.next(), differing.next()) {
        // The first letter is hardly ever wrong.
        (Some(first), Some(second), None) => {
            first > 0
                && second == first + 1
                // Kamla and Kamal.
                && (second + 1 < one.len() || one.len() > 5)
                && one[first] == other[second]
                && one[second] == other[first]
        }
        _ => false,
    }
}

fn letter_left_out(one: &[u8], other: &[u8]) -> bool {
    let (short, long) = by_length(one, other);
    if short.len() < 8 || long.len() != short.len() + 1 {
        return false;
    }
    let same = short
        .iter()
        .zip(long)
        .take_while(|pair| pair.0 == pair.1)
        .count();
    // Neither the first letter nor the last: Krishna and Krishnan.
    same > 0 && same < short.len() && short[same..] == long[same + 1..]
}

/// Whether one word only doubles the last letter of the other: Nagpuree.
fn letter_doubled(one: &[u8], other: &[u8]) -> bool {
    let (short, long) = by_length(one, other);
    short.len() >= 5
        && long.len() == short.len() + 1
        && long.starts_with(short)
        && long.last() == short.last()
}
