//! Pairs the words of one name with the words of the other.

use super::holders::Word;
use super::script::{MAX_WORD, Script};
use super::sound;
use super::vocabulary::Kind;

/// Kind of likeness of two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The same letters, possibly written in two words.
    Same,
    /// Two spellings, or two scripts.
    Sound,
    /// A typing error, or b for v as in Bengal.
    Slip,
    /// One is the initial of the other.
    Initial,
}

/// A pair of words: one of each name, or several if one name writes together words that the other divides.
pub(super) struct Pair {
    /// Place of the first word in one name, and in the other.
    pub(super) places: (usize, usize),
    pub(super) how: How,
    /// How much the word identifies a person: 1 for a given name.
    pub(super) weight: f32,
    /// Whether the words are initials in both names.
    pub(super) initials: bool,
}

/// Two names with their words paired.
pub(super) struct Alignment {
    pub(super) pairs: Vec<Pair>,
    /// Places of the words without a partner.
    pub(super) left: Vec<usize>,
    pub(super) right: Vec<usize>,
}

impl Alignment {
    /// Pairs the words, best likeness first: the same letters, the same sound, slips, words joined or divided, initials.
    pub(super) fn of(one: &[Word], other: &[Word]) -> Self {
        let mut sides = Sides {
            one,
            other,
            free: (vec![true; one.len()], vec![true; other.len()]),
            pairs: Vec::with_capacity(one.len()),
        };
        for how in [How::Same, How::Sound, How::Slip] {
            sides.words(how);
        }
        sides.joined();
        sides.initials_together();
        sides.initials();
        let free = |free: &[bool]| (0..free.len()).filter(|place| free[*place]).collect();
        let (left, right) = (free(&sides.free.0), free(&sides.free.1));
        let mut pairs = sides.pairs;
        pairs.sort_by_key(|pair| pair.places);
        Self { pairs, left, right }
    }
}

/// Returns how much a word identifies a person.
pub(super) fn weight(word: &Word) -> f32 {
    match word.kind {
        Kind::Title | Kind::Legal => 0.0,
        Kind::Particle => 0.1,
        Kind::Initial => 0.25,
        Kind::Common | Kind::Trade => 0.3,
        Kind::Number => 0.5,
        Kind::Family => 0.6,
        Kind::Own if word.text.len() < 4 => 0.8,
        Kind::Own => 1.0,
    }
}

struct Sides<'a> {
    one: &'a [Word],
    other: &'a [Word],
    free: (Vec<bool>, Vec<bool>),
    pairs: Vec<Pair>,
}

impl Sides<'_> {
    fn words(&mut self, how: How) {
        for left in 0..self.one.len() {
            for right in 0..self.other.len() {
                if self.free.0[left]
                    && self.free.1[right]
                    && likeness(&self.one[left], &self.other[right]) == Some(how)
                {
                    let (one, other) = (&self.one[left], &self.other[right]);
                    self.pairs.push(Pair {
                        places: (left, right),
                        how,
                        weight: weight(one).min(weight(other)),
                        initials: one.kind == Kind::Initial,
                    });
                    (self.free.0[left], self.free.1[right]) = (false, false);
                }
            }
        }
    }

    /// Pairs words written together in one name and apart in the other, or divided elsewhere: "Ramkumar", "Ram Kumar".
    fn joined(&mut self) {
        const MAX_WORDS: usize = 5;
        for left in 0..self.one.len() {
            for right in 0..self.other.len() {
                let lefts = run(&self.free.0, self.one, left).min(MAX_WORDS);
                let rights = run(&self.free.1, self.other, right).min(MAX_WORDS);
                let found = (1..=lefts)
                    .flat_map(|one| (1..=rights).map(move |other| (one, other)))
                    .filter(|(one, other)| one + other > 2)
                    .find_map(|(one, other)| {
                        let how = joined_likeness(
                            &self.one[left..left + one],
                            &self.other[right..right + other],
                        )?;
                        Some((one, other, how))
                    });
                if let Some((one, other, how)) = found {
                    let sum = |words: &[Word]| words.iter().map(weight).sum::<f32>();
                    let weight = sum(&self.one[left..left + one])
                        .max(sum(&self.other[right..right + other]));
                    self.pair(left, right, how, weight);
                    self.free.0[left..left + one].fill(false);
                    self.free.1[right..right + other].fill(false);
                }
            }
        }
    }

    /// Pairs initials written together that look like a word or a title: "APJ", "Avul Pakir Jainulabdeen".
    fn initials_together(&mut self) {
        for left in 0..self.one.len() {
            for right in 0..self.other.len() {
                for (one, other) in [
                    (
                        abbreviated(&self.free.0, self.one, left, &self.other[right]),
                        1,
                    ),
                    (
                        1,
                        abbreviated(&self.free.1, self.other, right, &self.one[left]),
                    ),
                ] {
                    let free = self.free.0[left] && self.free.1[right];
                    if !free || one.max(other) < 2 {
                        continue;
                    }
                    for place in 0..one.max(other) {
                        let (left, right) =
                            (left + place.min(one - 1), right + place.min(other - 1));
                        self.pair(left, right, How::Initial, 0.25);
                    }
                    self.free.0[left..left + one].fill(false);
                    self.free.1[right..right + other].fill(false);
                }
            }
        }
    }

    fn pair(&mut self, left: usize, right: usize, how: How, weight: f32) {
        self.pairs.push(Pair {
            places: (left, right),
            how,
            weight,
            initials: false,
        });
    }

    fn initials(&mut self) {
        for left in 0..self.one.len() {
            for right in 0..self.other.len() {
                let (one, other) = (&self.one[left], &self.other[right]);
                if self.free.0[left]
                    && self.free.1[right]
                    && (is_initial_of(one, other) || is_initial_of(other, one))
                {
                    self.pair(left, right, How::Initial, 0.25);
                    (self.free.0[left], self.free.1[right]) = (false, false);
                }
            }
        }
    }
}

/// Returns the number of consecutive free words from here.
fn run(free: &[bool], words: &[Word], from: usize) -> usize {
    (from..words.len())
        .take_while(|place| free[*place] && words[*place].kind != Kind::Legal)
        .count()
}

/// Returns the number of free words from here that the letters of a short word abbreviate, letter by letter; 0 if they do
/// not.
fn abbreviated(free: &[bool], words: &[Word], from: usize, letters: &Word) -> usize {
    let count = letters.text.len();
    let full = |place: &usize| !matches!(words[*place].kind, Kind::Initial | Kind::Number);
    // Ms is the only title that banks also write for initials.
    let may = letters.kind != Kind::Legal && (letters.kind != Kind::Title || letters.text == "ms");
    let abbreviates = may
        && (2..=4).contains(&count)
        && run(free, words, from) >= count
        && (from..from + count).all(|place| full(&place))
        && words[from..]
            .iter()
            .zip(letters.text.chars())
            .all(|(word, letter)| word.text.starts_with(letter));
    if abbreviates { count } else { 0 }
}

fn joined_likeness(one: &[Word], other: &[Word]) -> Option<How> {
    let length = |words: &[Word]| words.iter().map(|word| word.text.len()).sum::<usize>();
    // The first letter separates nearly all words, before any text is built.
    if one[0].key.chars().next() != other[0].key.chars().next() {
        return None;
    }
    if length(one).abs_diff(length(other)) > 3 || length(one).max(length(other)) > MAX_WORD {
        return None;
    }
    let (left, right) = (together(one), together(other));
    if left == right {
        return Some(if one[0].script == other[0].script {
            How::Same
        } else {
            How::Sound
        });
    }
    // Initials have no sound within a word.
    let has_initials = one
        .iter()
        .chain(other)
        .any(|word| word.kind == Kind::Initial);
    (!has_initials && sound::key(&left) == sound::key(&right)).then_some(How::Sound)
}

fn together(words: &[Word]) -> String {
    let mut text = String::new();
    for word in words {
        text.push_str(&word.text);
    }
    text
}

fn is_initial_of(initial: &Word, word: &Word) -> bool {
    initial.kind == Kind::Initial
        && !matches!(
            word.kind,
            Kind::Initial | Kind::Title | Kind::Legal | Kind::Number
        )
        && (word.text.starts_with(initial.text.as_str())
            || word.key.chars().next() == initial.key.chars().next())
}

/// Returns the likeness of two single words; `None` if they are different words.
pub(super) fn likeness(one: &Word, other: &Word) -> Option<How> {
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
    let tamil = one.script == Script::Tamil || other.script == Script::Tamil;
    let sounds = one.key == other.key
        || differ_by_ending(&one.text, &other.text)
        || (tamil && sound::tamil_key(&one.key) == sound::tamil_key(&other.key));
    if sounds {
        return Some(How::Sound);
    }
    is_slip(&one.key, &other.key, &one.text, &other.text).then_some(How::Slip)
}

/// Whether only an ending differs: Rameshbhai and Ramesh, Hiraben and Hira, Handlooms and Handloom.
fn differ_by_ending(one: &str, other: &str) -> bool {
    let (short, long) = by_length(one, other);
    long.strip_prefix(short).is_some_and(|rest| match rest {
        "bhai" | "ben" | "bhen" | "behn" => short.len() > 2,
        "s" => short.len() > 5,
        _ => false,
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
    is_b_for_v()
        || neighbours_changed(one_text.as_bytes(), other_text.as_bytes())
        || letter_left_out(one_text.as_bytes(), other_text.as_bytes())
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
