//! `shared/ifsc/data/ifsc.bin`: its layout, and the search in it. The search reads the file directly: nothing is unpacked or
//! allocated, and processes share its pages.
//!
//! | part | row | contents |
//! |---|---|---|
//! | head | 46 bytes | `khifsc`, two digits of version; the day of the list, `2026-06-30`; a checksum of the parts, `u64`; the numbers of rows of banks, branches, families and mergers, and of bytes of texts: five `u32` |
//! | banks | 11 | first four letters of a code, the bank's name, its first branch, services of its unlisted codes; ascending |
//! | codes | 4 | last six characters of a branch's code, in base 36; ascending within a bank |
//! | branches | 20 | of the code in the same place: names of the bank, the branch, the city, the district and the state; MICR code as `u32`, 0 for none; services |
//! | families | 14 | beginning of codes, padded with zeros, and the name of their bank; ascending |
//! | mergers | 21 | beginning of codes, padded with zeros; name of the bank that their bank became part of, the first four letters of its codes or four zeros, and the day; ascending |
//! | texts | | each a byte of length and this many bytes of ASCII; the first is empty |
//!
//! Numbers are little-endian. A name or a day is the place of its text, three bytes; 0, the empty text, means that there is none.
//!
//! `deploy/ifsc` writes the file; it compiles this module to read the file back.

use std::str;

/// First bytes of a file of this layout.
pub(super) const MAGIC: [u8; 8] = *b"khifsc02";

/// Place of a text among the texts.
pub(super) type Place = [u8; 3];

/// The place of the empty text.
pub(super) const NOTHING: Place = [0; 3];

pub(super) const IMPS: u8 = 1;
pub(super) const RTGS: u8 = 2;
pub(super) const NEFT: u8 = 4;
pub(super) const UPI: u8 = 8;

/// The parts of the file.
pub(super) struct Table<'a> {
    /// `2026-06-30`.
    pub(super) list_date: [u8; 10],
    pub(super) checksum: u64,
    pub(super) banks: &'a [[u8; 11]],
    pub(super) codes: &'a [[u8; 4]],
    pub(super) branches: &'a [[u8; 20]],
    pub(super) families: &'a [[u8; 14]],
    pub(super) mergers: &'a [[u8; 21]],
    pub(super) texts: &'a [u8],
}

/// The row of a listed code.
pub(super) type Row = [u8; 20];

impl<'a> Table<'a> {
    /// Returns `None` if the file has another layout, or another length than its head says.
    pub(super) const fn open(file: &'a [u8]) -> Option<Self> {
        let Some((magic, file)) = file.split_first_chunk::<8>() else {
            return None;
        };
        if u64::from_le_bytes(*magic) != u64::from_le_bytes(MAGIC) {
            return None;
        }
        let Some((list_date, file)) = file.split_first_chunk::<10>() else {
            return None;
        };
        let Some((checksum, file)) = file.split_first_chunk::<8>() else {
            return None;
        };
        let Some((counts, file)) = file.split_first_chunk::<20>() else {
            return None;
        };
        let (counts, _) = counts.as_chunks::<4>();
        let Some((banks, file)) = rows(file, count(counts[0])) else {
            return None;
        };
        let Some((codes, file)) = rows(file, count(counts[1])) else {
            return None;
        };
        let Some((branches, file)) = rows(file, count(counts[1])) else {
            return None;
        };
        let Some((families, file)) = rows(file, count(counts[2])) else {
            return None;
        };
        let Some((mergers, file)) = rows(file, count(counts[3])) else {
            return None;
        };
        if file.len() != count(counts[4]) {
            return None;
        }
        Some(Self {
            list_date: *list_date,
            checksum: u64::from_le_bytes(*checksum),
            banks,
            codes,
            branches,
            families,
            mergers,
            texts: file,
        })
    }

    /// Returns the row of the branch with this code of eleven characters.
    pub(super) fn listed(&self, code: &[u8]) -> Option<&'a Row> {
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
        self.branches.get(first + at)
    }

    /// Returns the bank of a code that is not listed: the bank of its longest family, otherwise of its first four letters.
    pub(super) fn bank_of_unlisted(&self, code: &[u8]) -> Option<&'a str> {
        let name = if let Some([.., p0, p1, p2]) = longest(self.families, code) {
            [*p0, *p1, *p2]
        } else {
            let row = self.bank_row(*code.first_chunk()?)?;
            let [_, _, _, _, p0, p1, p2, ..] = *self.banks.get(row)?;
            [p0, p1, p2]
        };
        self.text(name)
    }

    /// Returns the services of a code that is not listed; `None` if its first four letters are unknown.
    pub(super) fn services_of_unlisted(&self, code: &[u8]) -> Option<u8> {
        let row = self.bank_row(*code.first_chunk()?)?;
        let [.., services] = self.banks.get(row)?;
        Some(*services)
    }

    /// Returns the bank that the code's bank became part of: its name, the first four letters of its codes, and the day.
    pub(super) fn merger(&self, code: &[u8]) -> Option<[Option<&'a str>; 3]> {
        let row = longest(self.mergers, code)?;
        let (_, rest) = row.split_first_chunk::<11>()?;
        let (name, rest) = rest.split_first_chunk::<3>()?;
        let (letters, day) = rest.split_first_chunk::<4>()?;
        let letters = str::from_utf8(letters)
            .ok()
            .filter(|letters| !letters.starts_with('\0'));
        let day = self.text(*day.first_chunk()?);
        Some([self.text(*name), letters, day])
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

    fn first_branch(&self, row: usize) -> Option<usize> {
        let [.., f0, f1, f2, _] = *self.banks.get(row)?;
        Some(number([f0, f1, f2]))
    }
}

/// Returns the row with the longest beginning of this code. The rows are ascending.
fn longest<'a, const LENGTH: usize>(
    rows: &'a [[u8; LENGTH]],
    code: &[u8],
) -> Option<&'a [u8; LENGTH]> {
    let letters = code.first_chunk::<4>()?;
    let from = rows.partition_point(|row| row[..4] < letters[..]);
    rows[from..]
        .iter()
        .take_while(|row| row[..4] == letters[..])
        .filter(|row| code.starts_with(beginning(*row)))
        .max_by_key(|row| beginning(*row).len())
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

/// Returns the beginning of codes in a row of a family or a merger.
pub(super) fn beginning(row: &[u8]) -> &[u8] {
    let padded = &row[..11];
    let length = padded.iter().position(|byte| *byte == 0).unwrap_or(11);
    &padded[..length]
}

/// Returns the number in three bytes.
pub(super) fn number([low, middle, high]: [u8; 3]) -> usize {
    usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16
}

/// Returns a checksum of the bytes (FNV-1a).
#[allow(dead_code, reason = "for the writer, and for the test of the file")]
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

const fn count(bytes: [u8; 4]) -> usize {
    // The length of the compiled-in file fits into a usize.
    u32::from_le_bytes(bytes) as usize
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
