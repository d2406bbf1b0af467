//! Facts about banks that the data set lacks: `facts.tsv`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

const FACTS: &str = include_str!("../facts.tsv");

/// A fact about the codes with one beginning.
#[derive(Debug, Default)]
pub(crate) struct Fact {
    pub(crate) bank: Option<&'static str>,
    /// The bank takes no IMPS payments.
    pub(crate) without_imps: bool,
    pub(crate) merger: Option<Merger>,
}

/// The bank that a bank became part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Merger {
    pub(crate) bank: &'static str,
    /// First four letters of its codes; empty if it has none of its own.
    pub(crate) letters: &'static str,
    /// `2017-04-01`.
    pub(crate) since: &'static str,
}

/// The facts by the beginning of codes.
pub(crate) struct Facts(pub(crate) BTreeMap<&'static str, Fact>);

impl Facts {
    pub(crate) fn read() -> Result<Self> {
        let lines = FACTS.lines().filter(|line| !line.starts_with('#'));
        let mut facts = BTreeMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let (beginning, fact) = read(line).with_context(|| line.to_owned())?;
            let earlier = facts.insert(beginning, fact);
            ensure!(earlier.is_none(), "{beginning} is in facts.tsv twice");
        }
        Ok(Self(facts))
    }

    /// Returns the bank of the longest beginning of this code; `least` is the length of the shortest one that counts.
    pub(crate) fn bank_of(&self, code: &str, least: usize) -> Option<&'static str> {
        let mut beginnings = (least..=code.len()).rev().map(|length| &code[..length]);
        beginnings.find_map(|beginning| self.0.get(beginning)?.bank)
    }
}

fn read(line: &'static str) -> Result<(&'static str, Fact)> {
    let columns: Vec<_> = line.split('\t').collect();
    let [beginning, bank, imps, successor, letters, since] = columns[..] else {
        anyhow::bail!("not six columns");
    };
    ensure!(
        (4..=11).contains(&beginning.len()),
        "the beginning has {} characters",
        beginning.len()
    );
    let without_imps = imps == "no";
    ensure!(
        !without_imps || beginning.len() == 4,
        "a bank takes no IMPS, and not a range of its codes"
    );
    let known = |text: &'static str| Some(text).filter(|text| *text != "-");
    let fact = Fact {
        bank: known(bank),
        without_imps,
        merger: known(successor).map(|bank| Merger {
            bank,
            letters: known(letters).unwrap_or_default(),
            since,
        }),
    };
    Ok((beginning, fact))
}
