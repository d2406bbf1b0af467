//! `shared/ifsc/data/ifsc.bin`: its layout, and the search in it. The search reads the file directly: nothing is unpacked or
//! allocated, and processes share its pages.
//!
//! | part | row | contents |
//! |---|---|---|
//! | head | 24 bytes | `khifsc`, two digits of version, then the numbers of rows of the next three parts and of bytes of the last: four `u32` |
//! | banks | 10 | first four letters of a code, the bank's name, its first branch; ascending |
//! | codes | 4 | last six characters of a branch's code, in base 36; ascending within a bank |
//! | branches | 9 | of the code in the same place: names of the bank, the branch and the city |
//! | families | 14 | beginning of codes, padded with zeros, and the name of their bank; ascending |
//! | texts | | each a byte of length and this many bytes of ASCII; the first is empty |
//!
//! Numbers are little-endian. A name is the place of its text, three bytes; 0, the empty text, means that there is none.
//!
//! `deploy/ifsc` writes the file; it compiles this module to read the file back.

use std::str;

/// First bytes of a file of this layout.
pub(super) const MAGIC: [u8; 8] = *b"khifsc01";

/// Place of a text among the texts.
pub(super) type Place = [u8; 3];

/// The place of the empty text.
pub(super) const NOTHING: Place = [0; 3];

/// The parts of the file.
pub(super) struct Table<'a> {
    pub(super) banks: &'a [[u8; 10]],
    pub(super) codes: &'a [[u8; 4]],
    pub(super) branches: &'a [[u8; 9]],
    pub(super) families: &'a [[u8; 14]],
    pub(super) texts: &'a [u8],
}

/// Data about a listed code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listed<'a> {
    pub(super) bank: Option<&'a str>,
    pub(super) name: &'a str,
    pub(super) city: Option<&'a str>,
}

impl<'a> Table<'a> {
    /// Returns `None` if the file has another layout, or another length than its head says.
    pub(super) const fn open(file: &'a [u8]) -> Option<Self> {
        let Some((magic, file)) = file.split_first_chunk::<8>() else {
            return None;
        };
        if u64::from_le_bytes(*magic) != u64::from_le_bytes(MAGIC) {
            return None;
        }
        let Some((banks, file)) = count(file) else {
            return None;
        };
        let Some((branches, file)) = count(file) else {
            return None;
        };
        let Some((families, file)) = count(file) else {
            return None;
        };
        let Some((texts, file)) = count(file) else {
            return None;
        };
        let Some((banks, file)) = rows(file, banks) else {
            return None;
        };
        let Some((codes, file)) = rows(file, branches) else {
            return None;
        };
        let Some((branches, file)) = rows(file, branches) else {
            return None;
        };
        let Some((families, file)) = rows(file, families) else {
            return None;
        };
        if file.len() != texts {
            return None;
        }
        Some(Self {
            banks,
            codes,
            branches,
            families,
            texts: file,
        })
    }

    /// Returns the branch with this code of eleven characters.
    pub(super) fn listed(&self, code: &[u8]) -> Option<Listed<'a>> {
        let (letters, rest) = code.split_first_chunk()?;
        let branch = branch_number(rest.get(1..)?)?;
        let row = self.bank_row(*letters)?;
        let first = self.first_branch(row)?;
        let end = self.first_branch(row + 1).unwrap_or(self.codes.len());
        let at = self
            .codes
            .get(first..end)?
            .binary_search_by_key(&branch, |code| u32::from_le_bytes(*code))
            .ok()?;
        let [b0, b1, b2, n0, n1, n2, c0, c1, c2] = *self.branches.get(first + at)?;
        Some(Listed {
            bank: self.text([b0, b1, b2]),
            name: self.text([n0, n1, n2])?,
            city: self.text([c0, c1, c2]),
        })
    }

    /// Returns the bank of a code that is not listed: the bank of its longest family, otherwise of its first four letters.
    pub(super) fn bank_of_unlisted(&self, code: &[u8]) -> Option<&'a str> {
        let letters = code.first_chunk::<4>()?;
        let from = self.families.partition_point(|row| row[..4] < letters[..]);
        let family = self.families[from..]
            .iter()
            .take_while(|row| row[..4] == letters[..])
            .filter(|row| code.starts_with(family_beginning(row)))
            .max_by_key(|row| family_beginning(row).len());
        let name = match family {
            Some([.., p0, p1, p2]) => [*p0, *p1, *p2],
            None => self.bank_name(self.bank_row(*letters)?)?,
        };
        self.text(name)
    }

    /// Returns the text at the place; `None` for the empty one.
    pub(super) fn text(&self, place: Place) -> Option<&'a str> {
        if place == NOTHING {
            return None;
        }
        let (length, text) = self.texts.get(number(place)..)?.split_first()?;
        str::from_utf8(text.get(..usize::from(*length))?).ok()
    }

    fn bank_row(&self, letters: [u8; 4]) -> Option<usize> {
        self.banks
            .binary_search_by(|row| row[..4].cmp(&letters))
            .ok()
    }

    fn bank_name(&self, row: usize) -> Option<Place> {
        let [_, _, _, _, p0, p1, p2, ..] = *self.banks.get(row)?;
        Some([p0, p1, p2])
    }

    fn first_branch(&self, row: usize) -> Option<usize> {
        let [.., f0, f1, f2] = *self.banks.get(row)?;
        Some(number([f0, f1, f2]))
    }
}

/// Returns the last six characters of a code as one number; `None` if they are not six capital letters and digits.
pub(super) fn branch_number(characters: &[u8]) -> Option<u32> {
    if characters.len() != 6 {
        return None;
    }
    characters.iter().try_fold(0, |number, character| {
        let digit = match character {
            b'0'..=b'9' => character - b'0',
            b'A'..=b'Z' => character - b'A' + 10,
            _ => return None,
        };
        // 36⁶ is less than 2³².
        Some(number * 36 + u32::from(digit))
    })
}

/// Returns the beginning of the codes of a family.
pub(super) fn family_beginning(row: &[u8; 14]) -> &[u8] {
    let padded = &row[..11];
    let length = padded.iter().position(|byte| *byte == 0).unwrap_or(11);
    &padded[..length]
}

/// Returns the number in three bytes.
pub(super) fn number([low, middle, high]: [u8; 3]) -> usize {
    usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16
}

const fn count(file: &[u8]) -> Option<(usize, &[u8])> {
    match file.split_first_chunk() {
        // The length of the compiled-in file fits into a usize.
        Some((count, rest)) => Some((u32::from_le_bytes(*count) as usize, rest)),
        None => None,
    }
}

const fn rows<const LENGTH: usize>(file: &[u8], count: usize) -> Option<(&[[u8; LENGTH]], &[u8])> {
    let Some(bytes) = count.checked_mul(LENGTH) else {
        return None;
    };
    match file.split_at_checked(bytes) {
        Some((rows, rest)) => Some((rows.as_chunks().0, rest)),
        None => None,
    }
}
