//! Nine Indic scripts in Latin letters, in the spelling that Indians use for their names, not in a scholarly transliteration.
//!
//! Unicode orders the scripts that come from Brahmi alike, in blocks of 128 code points (The Unicode Standard, chapter 12), so
//! one table reads Devanagari, Bengali, Gurmukhi, Gujarati, Odia, Tamil, Telugu, Kannada and Malayalam.

use super::script::{Letters, MAX_WORD, Script};

/// A word of an Indic script while it is read.
#[derive(Default)]
pub(super) struct Brahmic {
    word: Option<Letters>,
    /// The last consonant carries an unwritten vowel, unless the next sign replaces it.
    carries: bool,
    /// Consonants since the last vowel: after two of them the unwritten vowel is spoken (कृष्ण, Krishna).
    cluster: u8,
    /// The last letter written is an n in the place of any nasal.
    nasal: bool,
}

impl Brahmic {
    pub(super) fn is_open(&self) -> bool {
        self.word.is_some()
    }

    pub(super) fn script(&self) -> Option<Script> {
        self.word.as_ref().map(|word| word.script)
    }

    /// Reads a character; returns `false` if it ends the word (dandas, digits, signs).
    pub(super) fn push(&mut self, script: Script, character: char) -> bool {
        let place = u32::from(character) & 0x7f;
        if let Some(consonant) = consonant(script, place) {
            self.speak_carried();
            // चंपा is Champa.
            let southern = matches!(script, Script::Telugu | Script::Kannada | Script::Malayalam);
            if self.nasal
                && (consonant.starts_with(['p', 'b', 'm']) || (southern && consonant == "h"))
                && let Some(word) = self.word.as_mut()
            {
                word.text.pop();
                word.text.push('m');
            }
            self.nasal = false;
            // ന്റ is nt, റ്റ is tt.
            let bare_r = script == Script::Malayalam && place == 0x31 && !self.carries;
            let before = self.word.as_mut().filter(|_| bare_r);
            let consonant = match before {
                Some(word) if word.text.ends_with('n') => "t",
                Some(word) if word.text.ends_with('r') => {
                    word.text.pop();
                    "t"
                }
                _ => consonant,
            };
            self.write(script, consonant);
            self.carries = !is_bare(script, place);
            self.cluster = self.cluster.saturating_add(1);
            return true;
        }
        match place {
            0x3c => self.dot(script),
            0x4d => self.carries = false,
            0x3e..=0x4c | 0x55..=0x57 | 0x62 => {
                if let Some(vowel) = vowel_sign(place) {
                    self.carries = false;
                    self.vowel(script, vowel);
                }
            }
            0x04..=0x14 | 0x60 => {
                self.speak_carried();
                self.vowel(script, independent_vowel(place));
            }
            0x50 => {
                self.speak_carried();
                self.vowel(script, "om");
            }
            // Candrabindu, anusvara; in Gurmukhi tippi: the vowel before is nasal.
            0x00..=0x02 => self.nasal(script),
            0x70 if script == Script::Gurmukhi => self.nasal(script),
            // Visarga, avagraha, Gurmukhi's addak and vowel bearers, which a Latin spelling does not show.
            0x03 | 0x3d => {}
            0x71..=0x73 if script == Script::Gurmukhi => {}
            _ => return false,
        }
        true
    }

    /// Ends the word and returns it.
    pub(super) fn end(&mut self) -> Option<Letters> {
        let script = self.script()?;
        // The vowel after y is spoken too: श्रोत्रिय is Shrotriya.
        let sonorant = ["r", "l", "v", "y", "m", "n"].map(|last| self.ends_with(last));
        // कृष्ण is Krishna, but हर्ष is Harsh; in the East the vowel is spoken after all of them.
        let after_cluster = matches!(script, Script::Bengali | Script::Odia | Script::Kannada)
            || sonorant.contains(&true);
        let spoken = (self.cluster > 1 && after_cluster)
            || !script.drops_last_vowel()
            || self.ends_with("iy");
        if self.carries && spoken {
            self.write(script, "a");
        }
        let mut word = self.word.take()?;
        // साईं.
        if word.text == "sain" {
            word.text.pop();
        }
        let southern = matches!(script, Script::Telugu | Script::Kannada | Script::Malayalam);
        if script == Script::Malayalam {
            // പത്മ is Padma.
            word.text = word.text.replace("tm", "dm");
        }
        if self.nasal && southern {
            word.text.pop();
            word.text.push('m');
        }
        (self.carries, self.cluster, self.nasal) = (false, 0, false);
        Some(word)
    }

    fn ends_with(&self, ending: &str) -> bool {
        self.word
            .as_ref()
            .is_some_and(|word| word.text.ends_with(ending))
    }

    fn speak_carried(&mut self) {
        if self.carries {
            if let Some(script) = self.script() {
                self.write(script, "a");
            }
            (self.carries, self.cluster) = (false, 0);
        }
    }

    fn vowel(&mut self, script: Script, vowel: &str) {
        (self.cluster, self.nasal) = (0, false);
        self.write(script, vowel);
    }

    fn nasal(&mut self, script: Script) {
        self.speak_carried();
        self.write(script, "n");
        self.nasal = true;
    }

    /// Applies the dot below, which changes the sound of the letter before it.
    fn dot(&mut self, script: Script) {
        const DOTTED: [(&str, &str); 6] = [
            ("ph", "f"),
            ("dh", "rh"),
            ("j", "z"),
            ("d", "r"),
            ("s", "sh"),
            ("y", "y"),
        ];
        let Some(word) = self.word.as_mut() else {
            return;
        };
        // Bengali and Odia write y as a dotted j.
        let eastern = matches!(script, Script::Bengali | Script::Odia);
        for (plain, dotted) in DOTTED {
            if word.text.ends_with(plain) && !(plain == "j" && eastern) {
                word.text.truncate(word.text.len() - plain.len());
                word.text.push_str(dotted);
                return;
            }
        }
        if eastern && word.text.ends_with('j') {
            word.text.pop();
            word.text.push('y');
        }
    }

    fn write(&mut self, script: Script, letters: &str) {
        let word = self.word.get_or_insert_with(|| Letters {
            script,
            ..Letters::default()
        });
        if word.text.len() + letters.len() <= MAX_WORD {
            word.text.push_str(letters);
        }
    }
}

const CONSONANTS: [&str; 37] = [
    "k", "kh", "g", "gh", "n", "ch", "ch", "j", "jh", "n", "t", "th", "d", "dh", "n", "t", "th",
    "d", "dh", "n", "n", "p", "ph", "b", "bh", "m", "y", "r", "r", "l", "l", "zh", "v", "sh", "sh",
    "s", "h",
];

fn consonant(script: Script, place: u32) -> Option<&'static str> {
    use Script::{Bengali, Devanagari, Gurmukhi, Malayalam, Odia};
    match (script, place) {
        // Only Tamil and Malayalam have a zh of their own.
        (Devanagari, 0x34) | (Malayalam, 0x7d | 0x7e) => Some("l"),
        (_, 0x15..=0x39) => CONSONANTS.get(place as usize - 0x15).copied(),
        (Bengali, 0x70) | (Bengali | Odia | Gurmukhi, 0x5c) | (Malayalam, 0x7c) => Some("r"),
        (Bengali | Odia, 0x5d) => Some("rh"),
        (Bengali | Odia, 0x5f) => Some("y"),
        (Bengali, 0x4e) => Some("t"),
        (Bengali, 0x71) => Some("v"),
        (Malayalam, 0x7a | 0x7b) => Some("n"),
        (Malayalam, 0x7f) => Some("k"),
        _ => None,
    }
}

/// Whether a letter never carries a vowel.
fn is_bare(script: Script, place: u32) -> bool {
    match script {
        Script::Bengali => place == 0x4e,
        Script::Malayalam => place >= 0x7a,
        _ => false,
    }
}

fn independent_vowel(place: u32) -> &'static str {
    match place {
        0x04..=0x06 => "a",
        0x07 | 0x08 => "i",
        0x09 | 0x0a => "u",
        0x0b | 0x60 => "ri",
        0x0c => "li",
        0x0d..=0x0f => "e",
        0x10 => "ai",
        0x14 => "au",
        _ => "o",
    }
}

/// Returns the vowel of a sign; `None` for marks that only lengthen the vowel before them.
fn vowel_sign(place: u32) -> Option<&'static str> {
    Some(match place {
        0x3e => "a",
        0x3f | 0x40 => "i",
        0x41 | 0x42 => "u",
        0x43 | 0x44 | 0x62 => "ri",
        0x45..=0x47 => "e",
        0x48 => "ai",
        0x49..=0x4b => "o",
        0x4c => "au",
        _ => return None,
    })
}

/// Returns a digit of any of the scripts.
pub(super) fn digit(character: char) -> Option<char> {
    let place = u32::from(character) & 0x7f;
    char::from_digit(place.checked_sub(0x66)?, 10)
}
