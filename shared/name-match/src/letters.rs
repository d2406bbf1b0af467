//! Splits a name into words of plain lower-case Latin letters and digits, and the marks that divide names.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_compatible;

use super::indic::Brahmic;
use super::script::{Letters, MAX_WORD, Script};

/// Maximum number of characters of a name; the rest is not read, so that a comparison takes bounded time.
const MAX_CHARACTERS: usize = 200;

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
    pieces.done
}

#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    open: Option<Letters>,
    brahmic: Brahmic,
}

impl Pieces {
    fn push(&mut self, character: char) {
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
            | '\u{2060}'
            | '\u{feff}' => {}
            'ß' | 'ẞ' => self.latin("ss"),
            'æ' | 'Æ' => self.latin("ae"),
            'œ' | 'Œ' => self.latin("oe"),
            'ø' | 'Ø' => self.latin("o"),
            'đ' | 'Đ' | 'ð' | 'Ð' => self.latin("d"),
            'þ' | 'Þ' => self.latin("th"),
            'ł' | 'Ł' => self.latin("l"),
            'ı' => self.latin("i"),
            _ => self.decompose(character),
        }
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
        if self.brahmic.is_open() {
            self.end_word();
        }
        let word = self.open.get_or_insert_with(|| Letters {
            text: String::new(),
            script,
        });
        if script == Script::Unreadable {
            word.script = script;
        }
        if word.text.len() + letter.len_utf8() <= MAX_WORD {
            word.text.push(letter);
        }
    }

    fn end_word(&mut self) {
        let word = self.open.take().or_else(|| self.brahmic.end());
        if let Some(word) = word.filter(|word| !word.text.is_empty()) {
            self.done.push(Piece::Word(word));
        }
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
    fn scripts_digits_and_dandas_divide_words() {
        let words: Vec<_> = latin("आशाRao राव। १२ রায়")
            .into_iter()
            .map(|(word, _)| word)
            .collect();
        assert_eq!(words, ["asha", "rao", "rav", "ray"]);
    }
}
