//! Splits a name into words of plain lower-case Latin letters and digits, and the marks that divide names.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_compatible;

use super::arabic;
use super::indic::{self, Brahmic};
use super::script::{Letters, MAX_WORD, Script};
use super::text::MAX_CHARACTERS;

/// A word, or a mark between two words.
pub(super) enum Piece {
    Word(Letters),
    /// One of `& / , ( ) + ; @`.
    Mark(char),
}

/// Splits a name into words and marks. Drops case, accents, width and every mark that divides nothing.
pub(super) fn pieces(name: &str) -> Vec<Piece> {
    let mut pieces = Pieces::default();
    for character in name.nfkc().take(MAX_CHARACTERS) {
        pieces.push(character);
    }
    pieces.end_word();
    merge_letters(&mut pieces.done);
    pieces.done
}

/// Joins letters and parts that are one word: "L L P", "Co-operative".
fn merge_letters(pieces: &mut Vec<Piece>) {
    const JOINED: [(&[&str], &str); 10] = [
        (&["limited", "liability", "partnership"], "llp"),
        (&["ph", "d"], "phd"),
        (&["l", "l", "p"], "llp"),
        (&["o", "p", "c"], "opc"),
        (&["p", "v", "t"], "pvt"),
        (&["l", "t", "d"], "ltd"),
        (&["h", "u", "f"], "huf"),
        (&["co", "op"], "cooperative"),
        (&["co", "operative"], "cooperative"),
        (&["co", "operation"], "cooperative"),
    ];
    let mut place = 0;
    while place < pieces.len() {
        let found = JOINED.iter().find(|(parts, _)| {
            let at = |(offset, part): (usize, &&str)| matches!(pieces.get(place + offset), Some(Piece::Word(word)) if word.text == **part);
            parts.iter().enumerate().all(at)
        });
        if let (Some((parts, whole)), Some(Piece::Word(word))) = (found, pieces.get_mut(place)) {
            (*whole).clone_into(&mut word.text);
            pieces.drain(place + 1..place + parts.len());
        }
        place += 1;
    }
}

#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    open: Option<Letters>,
    brahmic: Brahmic,
    /// The next letters follow hidden ones: `***ESH`.
    after_mask: bool,
}

impl Pieces {
    fn push(&mut self, character: char) {
        if matches!(character, '*' | '•' | '●' | '∗' | '×') {
            self.mask();
            return;
        }
        self.read(character);
        self.after_mask &= self.open.is_some() || self.brahmic.is_open();
    }

    fn read(&mut self, character: char) {
        if character.is_ascii() {
            match character {
                'a'..='z' | '0'..='9' => self.letter(character, Script::Latin),
                'A'..='Z' => self.letter(character.to_ascii_lowercase(), Script::Latin),
                // D'Souza is one word.
                '\'' | '`' => {}
                '&' | '/' | ',' | '(' | ')' | '+' | ';' | '@' => {
                    self.end_word();
                    self.done.push(Piece::Mark(character));
                }
                _ => self.end_word(),
            }
            return;
        }
        if let Some(script) = Script::of(character) {
            if let Some(digit) = indic::digit(character) {
                self.letter(digit, Script::Latin);
                return;
            }
            if self.open.is_some() || self.brahmic.script() != Some(script) {
                self.end_word();
            }
            if !self.brahmic.push(script, character) {
                self.end_word();
            }
            return;
        }
        match character {
            // Apostrophes, and characters that join letters: joiners, soft hyphen, byte order mark.
            '\u{2018}'
            | '\u{2019}'
            | '\u{2bc}'
            | '\u{b4}'
            | '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => {}
            // Scholarly spellings: Kṛṣṇa.
            'ṛ' | 'Ṛ' => self.latin("ri"),
            'ś' | 'Ś' | 'ṣ' | 'Ṣ' => self.latin("sh"),
            'ß' | 'ẞ' => self.latin("ss"),
            'æ' | 'Æ' => self.latin("ae"),
            'œ' | 'Œ' => self.latin("oe"),
            'ø' | 'Ø' => self.latin("o"),
            'đ' | 'Đ' | 'ð' | 'Ð' => self.latin("d"),
            'þ' | 'Þ' => self.latin("th"),
            'ł' | 'Ł' => self.latin("l"),
            'ı' => self.latin("i"),
            _ => match arabic::letter(character) {
                Some(letter) => self.letter(letter, Script::Arabic),
                None if arabic::is_mark(character) => {}
                None => self.decompose(character),
            },
        }
    }

    /// Ends a word whose rest is hidden, or begins one whose start is.
    fn mask(&mut self) {
        let was_open = self.open.is_some() || self.brahmic.is_open();
        self.end_word();
        if let Some(Piece::Word(word)) = self.done.last_mut().filter(|_| was_open) {
            word.masked = true;
        }
        self.after_mask = true;
    }

    /// Reads a letter with an accent as the letter; drops marks on their own; keeps letters of other scripts.
    fn decompose(&mut self, character: char) {
        let mut base = None;
        decompose_compatible(character, |part| base = base.or(Some(part)));
        match base {
            Some(letter) if letter.is_ascii_alphabetic() => {
                self.letter(letter.to_ascii_lowercase(), Script::Latin);
            }
            Some(_) if character.is_alphabetic() => {
                for lower in character.to_lowercase() {
                    self.letter(lower, Script::Unreadable);
                }
            }
            _ if is_mark(character) => {}
            _ => self.end_word(),
        }
    }

    fn latin(&mut self, letters: &str) {
        for letter in letters.chars() {
            self.letter(letter, Script::Latin);
        }
    }

    fn letter(&mut self, letter: char, script: Script) {
        let changes =
            |open: &Letters| (open.script == Script::Arabic) != (script == Script::Arabic);
        if self.brahmic.is_open() || self.open.as_ref().is_some_and(changes) {
            self.end_word();
        }
        let word = self.open.get_or_insert_with(|| Letters {
            script,
            ..Letters::default()
        });
        // One foreign letter in a Latin word does not keep the word from being compared.
        let is_latin = |letter: char| letter.is_ascii_alphabetic();
        if script == Script::Unreadable && !word.text.contains(is_latin) {
            word.script = Script::Unreadable;
        } else if word.script == Script::Unreadable && is_latin(letter) {
            word.script = Script::Latin;
        }
        if word.text.len() + letter.len_utf8() <= MAX_WORD {
            word.text.push(letter);
        }
    }

    fn end_word(&mut self) {
        let word = self.open.take().or_else(|| self.brahmic.end());
        let Some(mut word) = word.filter(|word| !word.text.is_empty()) else {
            return;
        };
        // Nothing is known of the start.
        if self.after_mask {
            self.after_mask = false;
            (word.masked, word.text) = (true, String::new());
        }
        hide_x(&mut word);
        // ظہیر الدین is Zaheeruddin.
        if word.script == Script::Arabic && word.text.ends_with("aldyn") {
            word.text.truncate(word.text.len() - "aldyn".len());
            if let Some(Piece::Word(before)) = self.done.last_mut().filter(|_| word.text.is_empty())
            {
                before.text.push_str("dyn");
                return;
            }
            word.text.push_str("dyn");
        }
        match arabic::known(&word.text).filter(|_| word.script == Script::Arabic) {
            Some((latin, rest)) => {
                let rest = Letters {
                    text: rest.to_owned(),
                    ..word
                };
                self.done.push(Piece::Word(Letters {
                    text: latin.to_owned(),
                    script: Script::Arabic,
                    masked: false,
                }));
                if !rest.text.is_empty() {
                    self.done.push(Piece::Word(rest));
                }
            }
            None => self.done.push(Piece::Word(word)),
        }
    }
}

/// Reads a row of X as hidden letters: `SUNDARXXXX`.
fn hide_x(word: &mut Letters) {
    let visible = word.text.trim_end_matches('x').len();
    let hidden = word.text.len() - visible;
    if hidden >= 3 || (hidden == 2 && visible >= 4) {
        word.text.truncate(visible);
        word.masked = true;
    } else if word.text.starts_with("xxx") {
        word.text.clear();
        word.masked = true;
    }
}

/// Whether a character is a combining mark or a variation selector, which does not change the letter.
fn is_mark(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latin(text: &str) -> Vec<(String, Script)> {
        pieces(text)
            .into_iter()
            .filter_map(|piece| match piece {
                Piece::Word(word) => Some((word.text, word.script)),
                Piece::Mark(_) => None,
            })
            .collect()
    }

    #[test]
    fn indic_names_are_read_in_their_usual_latin_spelling() {
        for (text, script, read) in [
            ("राम", Script::Devanagari, "ram"),
            ("आशा", Script::Devanagari, "asha"),
            ("कृष्ण", Script::Devanagari, "krishna"),
            ("लक्ष्मी", Script::Devanagari, "lakshmi"),
            ("राजेन्द्र", Script::Devanagari, "rajendra"),
            ("फ़ातिमा", Script::Devanagari, "fatima"),
            ("ज़ोया", Script::Devanagari, "zoya"),
            ("संजय", Script::Devanagari, "sanjay"),
            ("রমেশ", Script::Bengali, "ramesh"),
            ("জয়া", Script::Bengali, "jaya"),
            ("ਗੁਰਪ੍ਰੀਤ", Script::Gurmukhi, "guraprit"),
            ("પટેલ", Script::Gujarati, "patel"),
            ("ସୁରେଶ", Script::Odia, "suresh"),
            ("ராமன்", Script::Tamil, "raman"),
            ("సునీత", Script::Telugu, "sunita"),
            ("ರಮೇಶ್", Script::Kannada, "ramesh"),
            ("ಮೋಹನ", Script::Kannada, "mohan"),
            ("രമേശൻ", Script::Malayalam, "rameshan"),
        ] {
            assert_eq!(latin(text), [(read.to_owned(), script)], "{text}");
        }
    }

    #[test]
    fn scripts_and_dandas_divide_words() {
        let words: Vec<_> = latin("आशाRao राव। १२ রায়")
            .into_iter()
            .map(|(word, _)| word)
            .collect();
        assert_eq!(words, ["asha", "rao", "rav", "12", "ray"]);
    }
}
