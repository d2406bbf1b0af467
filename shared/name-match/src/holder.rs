//! A holder of an account, and the words of the name.

use super::script::Script;

/// Kind of a word in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Mr, Smt, Dr: optional.
    Title,
    /// Mohd, Sri, bhai, ul: often left out, never a contradiction.
    Particle,
    /// Kumar, Devi, Khan: too frequent to separate persons.
    Common,
    /// Sharma, Reddy: a family name, shared with relatives and strangers.
    Family,
    /// Traders, Enterprises: the trade of a firm.
    Trade,
    /// Private Limited, LLP, & Co: the legal form of a firm.
    Legal,
    /// Mumbai at the end of a firm's name.
    Place,
    /// Digits.
    Number,
    /// One letter, or the two that one Indian letter becomes (Bh, Ch).
    Initial,
    /// Any other word.
    Own,
}

impl Kind {
    /// Whether the word may be missing or differ without a contradiction.
    pub(super) fn is_optional(self) -> bool {
        matches!(self, Self::Title | Self::Particle | Self::Legal)
    }
}

/// How the person after a relation mark is related to the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// S/O, D/O: the parent follows.
    Parent,
    /// W/O, H/O: the spouse follows.
    Spouse,
    /// U/G: the guardian of a minor follows.
    Guardian,
    /// C/O: often a relative, or where the holder lives.
    CareOf,
    /// Any other text that is not the holder's name.
    Other,
}

/// A legal form; two different ones are two holders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Company,
    Partnership,
    Trust,
    Society,
    /// The firm has a proprietor, so that it is no company.
    Proprietorship,
    /// In law another person than its head.
    HinduUndividedFamily,
}

/// A word and its kind.
#[derive(Clone)]
pub(super) struct Word {
    pub(super) text: String,
    /// Key of the sound.
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) script: Script,
    /// The rest of the word is hidden.
    pub(super) masked: bool,
}

/// One holder.
#[derive(Default)]
pub(super) struct Holder {
    pub(super) words: Vec<Word>,
    /// Whether the holder is a firm or another body, not a person.
    pub(super) firm: bool,
    /// Whether the name itself shows that, not only the name that it is compared with.
    pub(super) shown: bool,
    /// Legal forms that the name shows.
    pub(super) forms: Vec<Form>,
    /// Whether the holder is dead; the estate or the heirs hold the account.
    pub(super) deceased: bool,
    /// Whether the titles are a woman's or a man's.
    pub(super) female: Option<bool>,
    /// The parent, spouse or guardian that the name mentions.
    pub(super) relative: Option<(Relation, Box<Holder>)>,
    /// Number of characters of the whole name; 0 if it has several holders.
    pub(super) length: usize,
}

impl Holder {
    pub(super) fn full_words(&self) -> usize {
        let full = |word: &&Word| word.kind != Kind::Initial && !word.kind.is_optional();
        self.words.iter().filter(full).count()
    }
}
