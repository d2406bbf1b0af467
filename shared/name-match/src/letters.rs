//! Text as it comes → words of plain lower-case Latin letters and digits, and the marks that divide names.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_compatible;

use super::indic::{Brahmic, Script};

/// Longer text is no name; what stands beyond is not read, so that a comparison has a bound.
const MOST_CHARACTERS: usize = 200;
/// Bytes of a word that are read. All of it is taken at once: text that grows leaves copies of what it was.
pub(super) const WORD_ROOM: usize = 128;

/// A word or what stands between two words.
pub(super) enum Piece {
    /// Letters and digits that stand together.
    Word(Letters),
    /// One of `& / , ( ) + ; @`.
    Mark(char),
}

/// A word as it is compared.
pub(super) struct Letters {
    /// Lower case, without accents; Indic scripts in Latin letters; other scripts as they are.
    pub(super) text: String,
    /// What it was written in.
    pub(super) script: Script,
}

/// Takes a name apart. Case, accents, width and every mark that divides nothing are gone.
pub(super) fn pieces(name: &str) -> Vec<Piece> {
    let mut pieces = Pieces::default();
    for character in name.nfkc().take(MOST_CHARACTERS) {
        pieces.take(character);
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
    fn take(&mut self, character: char) {
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
            if !self.brahmic.take(script, character) {
                self.end_word();
            }
            return;
        }
        match character {
            // Apostrophes and what joins letters without being one: joiners, soft hyphen, byte order mark.
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

    /// A letter with an accent is its letter; marks on their own are dropped; letters of other scripts stay.
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
            text: String::with_capacity(WORD_ROOM),
            script,
        });
        if script == Script::Unreadable {
            word.script = script;
        }
        if word.text.len() + letter.len_utf8() <= WORD_ROOM {
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

/// Combining marks and variation selectors: they change how a letter looks, not which it is.
fn is_mark(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}
