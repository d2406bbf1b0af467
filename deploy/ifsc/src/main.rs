//! Writes the file of the IFSC directory out of the public-domain data in the crate `ifsc`: `khata-ifsc FILE`.
//! The same data gives the same file.

mod sub_member;
mod write;

#[path = "../../../shared/src/domain/ifsc/table.rs"]
#[allow(
    dead_code,
    reason = "it is the service's module: the file is read back by what will read it"
)]
mod table;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use ifsc::SubletTarget;

use sub_member::{OF_SUB_MEMBERS_ONLY, STANDS_FOR_ITS_BANK, Spellings, is_of_a_bank};
use table::Table;

/// What the file shall say.
struct Directory {
    /// By the first four letters of codes.
    banks: BTreeMap<String, String>,
    /// By code.
    branches: BTreeMap<String, Branch>,
    /// Banks by what codes of theirs begin with that may not be listed yet; `None`: some bank, not the one of the first
    /// four letters.
    families: BTreeMap<String, Option<String>>,
}

struct Branch {
    bank: Option<String>,
    name: String,
    city: Option<String>,
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("say which file to write")?;
    let directory = Directory::of_the_data();
    let file = write::file(&directory)?;
    let table =
        Table::open(&file).context("the file is not of the layout that the service reads")?;
    directory.is_read_back(&table)?;
    fs::write(&path, &file).with_context(|| format!("cannot write {path}"))?;
    directory.tell(&file);
    Ok(())
}

impl Directory {
    fn of_the_data() -> Self {
        let data = ifsc::directory();
        let spellings = Spellings::of(data.banks().map(ifsc::Bank::name));
        let families = families();
        let branches = data
            .branches()
            .map(|branch| {
                let name = tidy(branch.name());
                let bank = bank_of(branch, &name, &spellings);
                // A branch that stands for its bank is given Mumbai for a city; the centre is its own.
                let city = if name.ends_with(STANDS_FOR_ITS_BANK) {
                    branch.centre()
                } else {
                    branch.city()
                };
                let city = Some(tidy(city)).filter(|city| !city.is_empty() && city != "NA");
                (branch.ifsc().to_string(), Branch { bank, name, city })
            })
            .collect();
        let banks = data
            .banks()
            .map(|bank| (bank.code().to_string(), tidy(bank.name())))
            .filter(|(code, _)| code.bytes().all(|byte| byte.is_ascii_uppercase()))
            .collect();
        Self {
            banks,
            branches,
            families,
        }
    }

    /// Everything that was to be written is found, and codes beside the listed ones are not.
    fn is_read_back(&self, table: &Table) -> Result<()> {
        for (code, branch) in &self.branches {
            let told = table
                .listed(code.as_bytes())
                .with_context(|| format!("{code} is not found"))?;
            ensure!(
                told.bank == branch.bank.as_deref()
                    && told.name == branch.name
                    && told.city == branch.city.as_deref(),
                "{code} reads back as {told:?}"
            );
            let mut beside = code.clone();
            beside.replace_range(10.., if code.ends_with('Z') { "0" } else { "Z" });
            ensure!(
                table.listed(beside.as_bytes()).is_some() == self.branches.contains_key(&beside),
                "{beside} reads back otherwise than it was written"
            );
        }
        for (beginning, bank) in &self.families {
            let code = format!("{beginning:Z<11}");
            ensure!(
                table.bank_of_unlisted(code.as_bytes()) == bank.as_deref(),
                "the family {beginning} reads back otherwise than it was written"
            );
        }
        Ok(())
    }

    fn tell(&self, file: &[u8]) {
        let unnamed = self
            .branches
            .values()
            .filter(|branch| branch.bank.is_none())
            .count();
        println!(
            "{}, list of {}: {} banks, {} branches ({unnamed} of no known bank), {} families, {} bytes",
            ifsc::dataset().version(),
            ifsc::dataset().rbi_update_date(),
            self.banks.len(),
            self.branches.len(),
            self.families.len(),
            file.len(),
        );
    }
}

/// The bank that the code belongs to: as the data maps this code or what it begins with, then as the branch's name says,
/// then by the first four letters.
fn bank_of(branch: ifsc::Branch, name: &str, spellings: &Spellings) -> Option<String> {
    let mapped = branch
        .exact_sublet()
        .or_else(|| branch.custom_sublets().next());
    if let Some(bank) = mapped.and_then(|mapped| name_of(mapped.target())) {
        return Some(bank);
    }
    if let Some(bank) = spellings.bank_in(name) {
        return Some(tidy(bank));
    }
    let code = branch.ifsc();
    if OF_SUB_MEMBERS_ONLY
        .iter()
        .any(|beginning| code.as_str().starts_with(beginning))
    {
        return is_of_a_bank(name).then(|| name.to_owned());
    }
    branch.routing_bank().map(|bank| tidy(bank.name()))
}

/// The data's mappings by what codes begin with, and what no mapping covers of the codes that only sub-members have.
fn families() -> BTreeMap<String, Option<String>> {
    let nobody = OF_SUB_MEMBERS_ONLY.map(|beginning| (beginning.to_owned(), None));
    ifsc::directory()
        .branches()
        .flat_map(ifsc::Branch::custom_sublets)
        .filter(|mapped| mapped.matched_prefix().len() < 11)
        .filter_map(|mapped| {
            let bank = name_of(mapped.target())?;
            Some((mapped.matched_prefix().to_owned(), Some(bank)))
        })
        .chain(nobody)
        .collect()
}

fn name_of(target: SubletTarget) -> Option<String> {
    match target {
        SubletTarget::Bank(code) => code.bank().map(|bank| tidy(bank.name())),
        SubletTarget::ReportedName(name) => Some(tidy(name)),
        _ => None,
    }
}

/// Without the spaces that are too many.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
