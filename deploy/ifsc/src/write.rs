//! Writes the file in the layout that `table.rs` documents.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};

use crate::Directory;
use crate::table::{MAGIC, NOTHING, Place, branch_number, number};

/// Returns the contents of the file.
pub(crate) fn file(directory: &Directory) -> Result<Vec<u8>> {
    let mut texts = Texts {
        bytes: vec![0],
        places: HashMap::from([("", NOTHING)]),
    };
    let (mut banks, mut codes, mut branches) = (Vec::new(), Vec::new(), Vec::new());
    // The first four letters of every listed code have a row, with or without a bank.
    let mut letters: BTreeSet<&str> = directory.branches.keys().map(|code| &code[..4]).collect();
    letters.extend(directory.banks.keys().map(String::as_str));
    for letters in letters {
        banks.extend(letters.as_bytes());
        banks.extend(texts.place(directory.banks.get(letters).map_or("", String::as_str))?);
        banks.extend(three_bytes(codes.len() / 4)?);
        let of_bank = directory
            .branches
            .range(letters.to_owned()..)
            .take_while(|(code, _)| code.starts_with(letters));
        for (code, names) in of_bank {
            let number = branch_number(&code.as_bytes()[5..])
                .with_context(|| format!("{code} is not an IFSC"))?;
            codes.extend(number.to_le_bytes());
            for name in names {
                branches.extend(texts.place(name)?);
            }
        }
    }
    let mut families = Vec::new();
    for (prefix, bank) in &directory.families {
        ensure!(
            (4..=11).contains(&prefix.len()),
            "{prefix} cannot be the prefix of a code"
        );
        families.extend(format!("{prefix:\0<11}").bytes());
        families.extend(texts.place(bank)?);
    }
    let counts = [
        banks.len() / 10,
        codes.len() / 4,
        families.len() / 14,
        texts.bytes.len(),
    ];
    let mut file = MAGIC.to_vec();
    for count in counts {
        file.extend(u32::try_from(count)?.to_le_bytes());
    }
    for part in [banks, codes, branches, families, texts.bytes] {
        file.extend(part);
    }
    Ok(file)
}

/// Texts of the file, each stored once.
struct Texts<'a> {
    bytes: Vec<u8>,
    places: HashMap<&'a str, Place>,
}

impl<'a> Texts<'a> {
    fn place(&mut self, text: &'a str) -> Result<Place> {
        if let Some(place) = self.places.get(text) {
            return Ok(*place);
        }
        ensure!(text.is_ascii(), "{text:?} is not ASCII");
        let place = three_bytes(self.bytes.len())?;
        let length = u8::try_from(text.len()).with_context(|| format!("{text} is too long"))?;
        self.bytes.push(length);
        self.bytes.extend(text.as_bytes());
        self.places.insert(text, place);
        Ok(place)
    }
}

fn three_bytes(value: usize) -> Result<[u8; 3]> {
    let [low, middle, high, ..] = value.to_le_bytes();
    ensure!(
        number([low, middle, high]) == value,
        "{value} does not fit into three bytes"
    );
    Ok([low, middle, high])
}
