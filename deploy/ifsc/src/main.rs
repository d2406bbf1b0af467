//! Writes the file of the IFSC directory from the public-domain data in the crate `ifsc` and from `facts.tsv`: `khata-ifsc FILE`.
//! The same data gives the same file.

mod banks;
mod facts;
mod sub_member;
mod write;

#[path = "../../../shared/ifsc/src/table.rs"]
#[allow(
    dead_code,
    reason = "the services' module, which reads the new file back"
)]
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use ifsc::BranchRail;

use banks::Banks;
use facts::{Facts, Merger};
use sub_member::{BANK_LEVEL_SUFFIX, SUB_MEMBER_PREFIX};
use table::{IMPS, NEFT, RTGS, Table, UPI};

/// Contents of the file. An empty text means that there is none.
struct Directory {
    /// Day of the list, `2026-06-30`.
    list_date: String,
    /// Banks by the first four letters of their codes.
    banks: BTreeMap<String, String>,
    /// First four letters of banks that take no IMPS.
    without_imps: BTreeSet<String>,
    branches: BTreeMap<String, Branch>,
    /// Banks by a prefix of their codes, for codes that the data does not list yet. Empty: an unknown bank, other than the
    /// bank of the first four letters.
    families: BTreeMap<String, String>,
    /// Mergers of banks, by a prefix of their codes.
    mergers: BTreeMap<String, Merger>,
}

/// A row of the list.
#[derive(Debug, PartialEq, Eq)]
struct Branch {
    bank: String,
    name: String,
    city: String,
    district: String,
    state: String,
    /// 0: none.
    micr: u32,
    services: u8,
}

impl Branch {
    /// In the order of the file.
    fn texts(&self) -> [&str; 5] {
        [
            &self.bank,
            &self.name,
            &self.city,
            &self.district,
            &self.state,
        ]
    }
}

fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("name the file to write: khata-ifsc FILE")?;
    let directory = Directory::from_crate()?;
    let file = write::file(&directory)?;
    let table =
        Table::open(&file).context("the services cannot read the layout of the new file")?;
    directory.verify(&table)?;
    fs::write(&path, &file).with_context(|| format!("cannot write {path}"))?;
    let banks = directory
        .branches
        .values()
        .filter(|branch| branch.bank.is_empty());
    println!(
        "{}, list of {}: {} banks, {} branches ({} of unknown banks), {} prefixes, {} mergers, {} bytes",
        ifsc::dataset().version(),
        directory.list_date,
        directory.banks.len(),
        directory.branches.len(),
        banks.count(),
        directory.families.len(),
        directory.mergers.len(),
        file.len(),
    );
    Ok(())
}

impl Directory {
    fn from_crate() -> Result<Self> {
        let data = ifsc::directory();
        let facts = Facts::read()?;
        let banks = Banks::new(&facts)?;
        let without_imps: BTreeSet<String> = facts
            .0
            .iter()
            .filter(|(_, fact)| fact.without_imps)
            .map(|(letters, _)| (*letters).to_owned())
            .collect();
        let (of_codes, mut families) = banks.of_codes();
        let branches = data
            .branches()
            .map(|branch| {
                let code = branch.ifsc().to_string();
                let bank = of_codes.get(&code).cloned().unwrap_or_default();
                let row = row(branch, bank, without_imps.contains(&code[..4]));
                (code, row)
            })
            .collect();
        families.extend(
            data.branches()
                .flat_map(ifsc::Branch::custom_sublets)
                .filter_map(|mapped| {
                    let prefix = mapped.matched_prefix();
                    let bank = tidy(banks::name_of(mapped.target())?);
                    (prefix.len() < 11).then(|| (prefix.to_owned(), bank))
                }),
        );
        families.extend(facts.0.iter().filter_map(|(beginning, fact)| {
            (beginning.len() > 4).then_some(())?;
            Some(((*beginning).to_owned(), fact.bank?.to_owned()))
        }));
        // The sub-members' prefix has no mapping.
        families.insert(SUB_MEMBER_PREFIX.to_owned(), String::new());
        let mergers = facts.0.iter().filter_map(|(beginning, fact)| {
            let merger = fact.merger?;
            Some(((*beginning).to_owned(), merger))
        });
        Ok(Self {
            list_date: ifsc::dataset().rbi_update_date().to_owned(),
            banks: banks.by_letters(),
            without_imps,
            branches,
            families,
            mergers: mergers.collect(),
        })
    }

    /// Checks that the table has every entry of this directory, and no entry for the neighbours of listed codes.
    fn verify(&self, table: &Table) -> Result<()> {
        for code in self.branches.keys() {
            let mut neighbour = code.clone();
            neighbour.replace_range(10.., if code.ends_with('Z') { "0" } else { "Z" });
            for code in [code, &neighbour] {
                let read = table.listed(code.as_bytes()).map(|row| {
                    let places = row[..15].as_chunks::<3>().0;
                    let [bank, name, city, district, state] = [0, 1, 2, 3, 4]
                        .map(|at| table.text(places[at]).unwrap_or_default().to_owned());
                    let [.., m0, m1, m2, m3, services] = *row;
                    let micr = u32::from_le_bytes([m0, m1, m2, m3]);
                    Branch {
                        bank,
                        name,
                        city,
                        district,
                        state,
                        micr,
                        services,
                    }
                });
                ensure!(
                    read.as_ref() == self.branches.get(code),
                    "{code} reads back as {read:?}"
                );
            }
        }
        for (prefix, bank) in &self.families {
            let code = format!("{prefix:Z<11}");
            ensure!(
                table.bank_of_unlisted(code.as_bytes()).unwrap_or_default() == bank,
                "the prefix {prefix} reads back with another bank"
            );
        }
        for (prefix, merger) in &self.mergers {
            let code = format!("{prefix:Z<11}");
            let read = table.merger(code.as_bytes());
            let letters = Some(merger.letters).filter(|letters| !letters.is_empty());
            ensure!(
                read == Some([Some(merger.bank), letters, Some(merger.since)]),
                "the merger of {prefix} reads back as {read:?}"
            );
        }
        Ok(())
    }
}

fn row(branch: ifsc::Branch, bank: String, without_imps: bool) -> Branch {
    let mut name = tidy(branch.name());
    let is_bank_level = name.ends_with(BANK_LEVEL_SUFFIX);
    if is_bank_level && !bank.is_empty() {
        // The data names the bank that NPCI has at this code, which may have become part of another one.
        name = format!("{bank}{BANK_LEVEL_SUFFIX}");
    }
    // The data gives a bank-level entry the city Mumbai; its centre is correct.
    let city = if is_bank_level {
        branch.centre()
    } else {
        branch.city()
    };
    let known = |text: &str| tidy(if text == "NA" { "" } else { text });
    let services = [
        (BranchRail::Imps, IMPS),
        (BranchRail::Rtgs, RTGS),
        (BranchRail::Neft, NEFT),
        (BranchRail::Upi, UPI),
    ];
    let services = services
        .into_iter()
        .filter(|(rail, _)| branch.reports(*rail))
        .filter(|(rail, _)| *rail != BranchRail::Imps || !without_imps)
        .fold(0, |all, (_, service)| all | service);
    Branch {
        bank,
        name,
        city: known(city),
        district: known(branch.district()),
        state: known(branch.state().unwrap_or_default()),
        micr: branch
            .micr()
            .and_then(|micr| micr.parse().ok())
            .unwrap_or(0),
        services,
    }
}

/// Reduces each run of spaces to one, and removes them from both ends.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
