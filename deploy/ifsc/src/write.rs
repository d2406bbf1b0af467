//! Writes the file in the layout that `table.rs` documents.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result, ensure};

use crate::Directory;
use crate::table::{IMPS, MAGIC, NEFT, NOTHING, Place, RTGS, UPI, branch_number, checksum, number};

/// The texts of the file, each stored once.
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
        let bank = directory.banks.get(letters).map_or("", String::as_str);
        banks.extend(letters.as_bytes());
        banks.extend(texts.place(bank)?);
        banks.extend(three_bytes(codes.len() / 4)?);
        let without_imps = directory.without_imps.contains(letters);
        banks.push(if without_imps { 0 } else { IMPS } | NEFT | RTGS | UPI);
        let of_bank = directory
            .branches
            .range(letters.to_owned()..)
            .take_while(|(code, _)| code.starts_with(letters));
        for (code, branch) in of_bank {
            let number = branch_number(&code.as_bytes()[5..])
                .with_context(|| format!("{code} is not an IFSC"))?;
            codes.extend(number.to_le_bytes());
            for name in branch.texts() {
                branches.extend(texts.place(name)?);
            }
            branches.extend(branch.micr.to_le_bytes());
            branches.push(branch.services);
        }
    }
    let mut families = Vec::new();
    for (beginning, bank) in &directory.families {
        families.extend(padded(beginning)?);
        families.extend(texts.place(bank)?);
    }
    let mut mergers = Vec::new();
    for (beginning, merger) in &directory.mergers {
        mergers.extend(padded(beginning)?);
        mergers.extend(texts.place(merger.bank)?);
        mergers.extend(format!("{:\0<4}", merger.letters).bytes());
        mergers.extend(texts.place(merger.since)?);
    }
    let counts = [
        banks.len() / 11,
        codes.len() / 4,
        families.len() / 14,
        mergers.len() / 21,
        texts.bytes.len(),
    ];
    let parts = [banks, codes, branches, families, mergers, texts.bytes].concat();
    let mut file = MAGIC.to_vec();
    file.extend(directory.list_date.bytes());
    file.extend(checksum(&parts).to_le_bytes());
    for count in counts {
        file.extend(u32::try_from(count)?.to_le_bytes());
    }
    file.extend(parts);
    Ok(file)
}

fn padded(beginning: &str) -> Result<impl Iterator<Item = u8>> {
    ensure!(
        (4..=11).contains(&beginning.len()),
        "{beginning} cannot be the beginning of a code"
    );
    Ok(format!("{beginning:\0<11}").into_bytes().into_iter())
}

fn three_bytes(value: usize) -> Result<[u8; 3]> {
    let [low, middle, high, ..] = value.to_le_bytes();
    ensure!(
        number([low, middle, high]) == value,
        "{value} does not fit into three bytes"
    );
    Ok([low, middle, high])
}
