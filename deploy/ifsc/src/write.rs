//! Writes the file in the layout that `table.rs` documents.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};

use crate::Directory;
use crate::table::{MAGIC, NOTHING, branch_number, number};

/// Returns the contents of the file.
pub(crate) fn file<'a>(directory: &'a Directory) -> Result<Vec<u8>> {
    let mut texts = vec![0];
    let mut places = HashMap::from([("", NOTHING)]);
    // Each text is stored once.
    let mut place = |text: &'a str| {
        if let Some(place) = places.get(text) {
            return Ok(*place);
        }
        ensure!(text.is_ascii(), "{text:?} is not ASCII");
        let place = three_bytes(texts.len())?;
        texts.push(u8::try_from(text.len()).with_context(|| format!("{text} is too long"))?);
        texts.extend(text.as_bytes());
        places.insert(text, place);
        Ok(place)
    };
    let (mut banks, mut codes, mut branches) = (Vec::new(), Vec::new(), Vec::new());
    // The first four letters of every listed code have a row, with or without a bank.
    let mut letters: BTreeSet<&str> = directory.branches.keys().map(|code| &code[..4]).collect();
    letters.extend(directory.banks.keys().map(String::as_str));
    for letters in letters {
        let bank = directory.banks.get(letters).map_or("", String::as_str);
        banks.extend(letters.as_bytes());
        banks.extend(place(bank)?);
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
                branches.extend(place(name)?);
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
        families.extend(place(bank)?);
    }
    let counts = [
        banks.len() / 10,
        codes.len() / 4,
        families.len() / 14,
        texts.len(),
    ];
    let mut file = MAGIC.to_vec();
    for count in counts {
        file.extend(u32::try_from(count)?.to_le_bytes());
    }
    for part in [banks, codes, branches, families, texts] {
        file.extend(part);
    }
    Ok(file)
}

fn three_bytes(value: usize) -> Result<[u8; 3]> {
    let [low, middle, high, ..] = value.to_le_bytes();
    ensure!(
        number([low, middle, high]) == value,
        "{value} does not fit into three bytes"
    );
    Ok([low, middle, high])
}
