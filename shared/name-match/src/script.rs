//! Words of a name, in Latin letters where possible, with their script.

/// Maximum length of a word in bytes; the rest is not read.
pub(super) const MAX_WORD: usize = 128;

/// A word in the form that is compared.
#[derive(Default)]
pub(super) struct Letters {
    /// Lower case, without accents; Indic scripts in Latin letters; other scripts unchanged.
    pub(super) text: String,
    pub(super) script: Script,
    /// The rest of the word is hidden: `SUNDAR***`.
    pub(super) masked: bool,
}

/// The script of a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Script {
    #[default]
    Latin,
    Devanagari,
    Bengali,
    Gurmukhi,
    Gujarati,
    Odia,
    Tamil,
    Telugu,
    Kannada,
    Malayalam,
    /// Urdu and Arabic: the consonants and long vowels.
    Arabic,
    /// Letters that no rule converts to Latin ones, and no Latin letter among them; such words match only themselves.
    Unreadable,
}

impl Script {
    /// Whether the script comes from Brahmi.
    pub(super) fn is_indic(self) -> bool {
        !matches!(self, Self::Latin | Self::Arabic | Self::Unreadable)
    }

    /// Returns the Indic script of a character.
    pub(super) fn of(character: char) -> Option<Self> {
        Some(match u32::from(character) {
            0x0900..=0x097f => Self::Devanagari,
            0x0980..=0x09ff => Self::Bengali,
            0x0a00..=0x0a7f => Self::Gurmukhi,
            0x0a80..=0x0aff => Self::Gujarati,
            0x0b00..=0x0b7f => Self::Odia,
            0x0b80..=0x0bff => Self::Tamil,
            0x0c00..=0x0c7f => Self::Telugu,
            0x0c80..=0x0cff => Self::Kannada,
            0x0d00..=0x0d7f => Self::Malayalam,
            _ => return None,
        })
    }

    /// Whether the unwritten vowel of a last consonant is silent: राम is Ram, but రామ is Rama.
    pub(super) fn drops_last_vowel(self) -> bool {
        !matches!(self, Self::Tamil | Self::Telugu | Self::Malayalam)
    }
}
