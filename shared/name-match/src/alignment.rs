//! Pairs the words of one name with the words of the other.

use std::borrow::Cow;

use super::holder::{Kind, Word};
use super::likeness::{How, count_comparison, initials_before, is_initial_of, likeness};
use super::script::MAX_WORD;
use super::sound;

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
    pub(super) fn of(one: &[Word], other: &[Word], firm: bool) -> Self {
        let mut sides = Sides {
            one,
            other,
            firm,
            free: (vec![true; one.len()], vec![true; other.len()]),
            pairs: Vec::with_capacity(one.len()),
        };
        sides.words(How::Same);
        sides.joined(true);
        sides.words(How::Sound);
        sides.words(How::Slip);
        sides.joined(false);
        sides.words(How::Nickname);
        sides.initials_attached();
        sides.initial_at_the_end();
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
        Kind::Common | Kind::Trade | Kind::Place => 0.3,
        Kind::Number => 0.5,
        Kind::Family => 0.6,
        Kind::Own if word.text.len() < 4 => 0.8,
        Kind::Own => 1.0,
    }
}

/// Maximum number of words that another name writes together.
const MAX_RUN: usize = 5;

struct Sides<'a> {
    one: &'a [Word],
    other: &'a [Word],
    firm: bool,
    free: (Vec<bool>, Vec<bool>),
    pairs: Vec<Pair>,
}

impl Sides<'_> {
    fn words(&mut self, how: How) {
        for left in 0..self.one.len() {
            for right in 0..self.other.len() {
                if self.free.0[left]
                    && self.free.1[right]
                    && likeness(&self.one[left], &self.other[right], self.firm) == Some(how)
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
    /// With `one_word`, one of the names writes them as one word.
    fn joined(&mut self, one_word: bool) {
        for left in 0..self.one.len() {
            for right in 0..self.other.len() {
                let lefts = run(&self.free.0, self.one, left);
                let rights = run(&self.free.1, self.other, right);
                let found = (1..=lefts)
                    .flat_map(|one| (1..=rights).map(move |other| (one, other)))
                    .filter(|(one, other)| one + other > 2)
                    .filter(|(one, other)| !one_word || *one == 1 || *other == 1)
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

    /// Pairs initials written together with the word after them: "HKishore", "Harsh Kishore".
    fn initials_attached(&mut self) {
        for left in 0..self.one.len() {
            for right in 0..self.other.len() {
                if !self.free.0[left] || !self.free.1[right] {
                    continue;
                }
                let rights = run(&self.free.1, self.other, right);
                let lefts = run(&self.free.0, self.one, left);
                let words = &self.other[right..right + rights];
                if let Some(count) = initials_before(&self.one[left], words) {
                    self.attached(left, right, count, true);
                    continue;
                }
                let words = &self.one[left..left + lefts];
                if let Some(count) = initials_before(&self.other[right], words) {
                    self.attached(left, right, count, false);
                }
            }
        }
    }

    /// Pairs a word and an initial with the two written together, the initial last: "DHANALAKSHMIM", "M Dhanalakshmi".
    fn initial_at_the_end(&mut self) {
        for left in 0..self.one.len() {
            for right in 0..self.other.len() {
                if !self.free.0[left] || !self.free.1[right] {
                    continue;
                }
                let (one, other) = (&self.one[left], &self.other[right]);
                if let Some(initial) = last_initial(one, other, self.other, &self.free.1) {
                    self.pair(left, right, How::Same, weight(other));
                    self.pair(left, initial, How::Initial, 0.25);
                    self.free.1[initial] = false;
                } else if let Some(initial) = last_initial(other, one, self.one, &self.free.0) {
                    self.pair(left, right, How::Same, weight(one));
                    self.pair(initial, right, How::Initial, 0.25);
                    self.free.0[initial] = false;
                } else {
                    continue;
                }
                (self.free.0[left], self.free.1[right]) = (false, false);
            }
        }
    }

    /// Pairs one word with `count` words of the other name: all but the last by their initials.
    fn attached(&mut self, left: usize, right: usize, count: usize, in_one: bool) {
        for offset in 0..count {
            let is_last = offset + 1 == count;
            let places = if in_one {
                (left, right + offset)
            } else {
                (left + offset, right)
            };
            let word = if in_one {
                &self.other[places.1]
            } else {
                &self.one[places.0]
            };
            let (how, weight) = if is_last {
                (How::Same, weight(word))
            } else {
                (How::Initial, 0.25)
            };
            self.pair(places.0, places.1, how, weight);
            (self.free.0[places.0], self.free.1[places.1]) = (false, false);
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

/// Returns the place of the free initial that the first word writes after the second.
fn last_initial(joined: &Word, name: &Word, words: &[Word], free: &[bool]) -> Option<usize> {
    const MIN_NAME: usize = 4;
    count_comparison();
    let initial = joined.text.strip_prefix(name.text.as_str())?;
    (name.text.len() >= MIN_NAME && initial.len() == 1).then_some(())?;
    (0..words.len()).find(|place| {
        free[*place] && words[*place].kind == Kind::Initial && words[*place].text == initial
    })
}

/// Returns the number of consecutive free words from here, at most [`MAX_RUN`].
fn run(free: &[bool], words: &[Word], from: usize) -> usize {
    (from..words.len())
        .take(MAX_RUN)
        .take_while(|place| free[*place] && words[*place].kind != Kind::Legal)
        .count()
}

/// Returns the number of free words from here that the letters of a short word abbreviate, letter by letter; 0 if they do
/// not.
fn abbreviated(free: &[bool], words: &[Word], from: usize, letters: &Word) -> usize {
    count_comparison();
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
    count_comparison();
    let length = |words: &[Word]| words.iter().map(|word| word.text.len()).sum::<usize>();
    // The first letter separates nearly all words, before the others are read.
    if one[0].key.chars().next() != other[0].key.chars().next() {
        return None;
    }
    if length(one).abs_diff(length(other)) > 3 || length(one).max(length(other)) > MAX_WORD {
        return None;
    }
    if letters(one).eq(letters(other)) {
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
    // The vowels at the ends of the words separate Kamal and Kamala.
    if has_initials || (one.len() > 1 && other.len() > 1) {
        return None;
    }
    let (left, right) = (key(one), key(other));
    // ದೇವೇಗೌಡ has a last a that is spoken.
    let sounds = left == right || (one[0].script != other[0].script && bare(&left) == bare(&right));
    sounds.then_some(How::Sound)
}

/// Returns the letters of words written together.
fn letters(words: &[Word]) -> impl Iterator<Item = u8> {
    words.iter().flat_map(|word| word.text.bytes())
}

/// Returns the key of words written together.
fn key(words: &[Word]) -> Cow<'_, str> {
    match words {
        // The key of a place is that of its usual name.
        [word] if word.kind != Kind::Place => Cow::Borrowed(&word.key),
        words => {
            let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
            Cow::Owned(sound::key(&texts.concat()))
        }
    }
}

fn bare(key: &str) -> &str {
    key.strip_suffix('a').unwrap_or(key)
}
