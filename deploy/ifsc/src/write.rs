//! Writes the file in the layout that `table.rs` documents.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};

use crate::Directory;
use crate::table::{MAGIC, NOTHING, Place, branch_number, number};

/// Returns the contents of the file.
pub(crate) fn file(directory: &Directory) -> Result<Vec<u8>> {
    let mut texts = Texts {
        bytes: vec![0],
        places: HashMap::new(),
    };
    let (mut banks, mut codes, mut branches) = (Vec::new(), Vec::new(), Vec::new());
    // The first four letters of every listed code have a row, with or without a bank.
    let mut letters: BTreeSet<&str> = directory.branches.keys().map(|code| &code[..4]).collect();
    letters.extend(directory.banks.keys().map(String::as_str));
    for letters in letters {
        banks.extend(letters.as_bytes());
        banks.extend(texts.place(directory.banks.get(letters))?);
        banks.extend(three_bytes(codes.len() / 4)?);
        let of_bank = directory
            .branches
            .range(letters.to_owned()..)
            .take_while(|(code, _)| code.starts_with(letters));
        for (code, branch) in of_bank {
            let number = branch_number(&code.as_bytes()[5..])
                .with_context(|| format!("{code} is not an IFSC"))?;
            codes.extend(number.to_le_bytes());
            for text in [
                branch.bank.as_ref(),
                Some(&branch.name),
                branch.city.as_ref(),
            ] {
                branches.extend(texts.place(text)?);
            }
        }
    }
    let mut families = Vec::new();
    for (prefix, bank) in &directory.families {
        ensure!(
            (4..=11).contains(&prefix.len()),
            "{prefix} cannot be the prefix of a code"
        );
        let mut padded = [0; 11];
        padded[..prefix.len()].copy_from_slice(prefix.as_bytes());
        families.extend(padded);
        families.extend(texts.place(bank.as_ref())?);
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
struct Texts {
    bytes: Vec<u8>,
    places: HashMap<String, Place>,
}

impl Texts {
    fn place(&mut self, text: Option<&String>) -> Result<Place> {
        let Some(text) = text else {
            return Ok(NOTHING);
        };
        if let Some(place) = self.places.get(text) {
            return Ok(*place);
        }
        ensure!(
            text.is_ascii() && !text.is_empty(),
            "{text:?} is empty or not ASCII"
        );
        let place = three_bytes(self.bytes.len())?;
        self.bytes
            .push(u8::try_from(text.len()).with_context(|| format!("{text} is too long"))?);
        self.bytes.extend(text.as_bytes());
        self.places.insert(text.clone(), place);
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
