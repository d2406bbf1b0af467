//! Writes the file of the IFSC directory from the public-domain data in the crate `ifsc`: `khata-ifsc FILE`.
//! The same data gives the same file.

mod sub_member;
mod write;

#[path = "../../../shared/ifsc/src/table.rs"]
#[allow(
    dead_code,
    reason = "the services' module, which reads the new file back"
)]
mod table;

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use ifsc::SubletTarget;

use sub_member::{BANK_LEVEL_SUFFIX, BankNames, SUB_MEMBER_PREFIX};
use table::Table;

/// Contents of the file. An empty text means that there is none.
struct Directory {
    /// Banks by the first four letters of their codes.
    banks: BTreeMap<String, String>,
    /// Names of the bank, the branch and the city, by code.
    branches: BTreeMap<String, [String; 3]>,
    /// Banks by a prefix of their codes, for codes that the data does not list yet. Empty: an unknown bank, other than the
    /// bank of the first four letters.
    families: BTreeMap<String, String>,
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
    let banks = directory.branches.values().map(|[bank, ..]| bank);
    println!(
        "{}, list of {}: {} banks, {} branches ({} of unknown banks), {} prefixes, {} bytes",
        ifsc::dataset().version(),
        ifsc::dataset().rbi_update_date(),
        directory.banks.len(),
        directory.branches.len(),
        banks.filter(|bank| bank.is_empty()).count(),
        directory.families.len(),
        file.len(),
    );
    Ok(())
}

impl Directory {
    fn from_crate() -> Result<Self> {
        let data = ifsc::directory();
        let names = BankNames::new(data.banks().map(ifsc::Bank::name))?;
        let branches = data
            .branches()
            .map(|branch| {
                let name = tidy(branch.name());
                let bank = bank_of(branch, &name, &names);
                // The data gives a bank-level entry the city Mumbai; its centre is correct.
                let city = if name.ends_with(BANK_LEVEL_SUFFIX) {
                    branch.centre()
                } else {
                    branch.city()
                };
                let city = tidy(if city == "NA" { "" } else { city });
                (branch.ifsc().to_string(), [bank, name, city])
            })
            .collect();
        let banks = data
            .banks()
            .map(|bank| (bank.code().to_string(), tidy(bank.name())))
            .filter(|(code, _)| code.bytes().all(|byte| byte.is_ascii_uppercase()))
            .collect();
        let families = data
            .branches()
            .flat_map(ifsc::Branch::custom_sublets)
            .filter(|mapped| mapped.matched_prefix().len() < 11)
            .filter_map(|mapped| {
                let bank = tidy(name_of(mapped.target())?);
                Some((mapped.matched_prefix().to_owned(), bank))
            })
            // The sub-members' prefix has no mapping.
            .chain([(SUB_MEMBER_PREFIX.to_owned(), String::new())])
            .collect();
        Ok(Self {
            banks,
            branches,
            families,
        })
    }

    /// Checks that the table has every entry of this directory, and no entry for the neighbours of listed codes.
    fn verify(&self, table: &Table) -> Result<()> {
        for code in self.branches.keys() {
            let mut neighbour = code.clone();
            neighbour.replace_range(10.., if code.ends_with('Z') { "0" } else { "Z" });
            for code in [code, &neighbour] {
                let read = table.listed(code.as_bytes());
                let text = |text: Option<_>| text.unwrap_or_default();
                let read = read.map(|read| [text(read.bank), read.name, text(read.city)]);
                let names = self.branches.get(code);
                let names = names.map(|names| names.each_ref().map(String::as_str));
                ensure!(read == names, "{code} reads back as {read:?}");
            }
        }
        for (prefix, bank) in &self.families {
            let code = format!("{prefix:Z<11}");
            ensure!(
                table.bank_of_unlisted(code.as_bytes()).unwrap_or_default() == bank,
                "the prefix {prefix} reads back with another bank"
            );
        }
        Ok(())
    }
}

/// Returns the bank of the branch: by the data's mapping of the code or of its prefix, else by the branch's name, else by
/// the first four letters of the code.
fn bank_of(branch: ifsc::Branch, name: &str, names: &BankNames) -> String {
    let mapped = branch
        .exact_sublet()
        .or_else(|| branch.custom_sublets().next())
        .and_then(|mapped| name_of(mapped.target()));
    let bank = mapped.or_else(|| names.bank_in(name)).or_else(|| {
        if branch.ifsc().as_str().starts_with(SUB_MEMBER_PREFIX) {
            Some(name).filter(|name| names.bank.is_match(name))
        } else {
            branch.routing_bank().map(ifsc::Bank::name)
        }
    });
    tidy(bank.unwrap_or_default())
}

fn name_of(target: SubletTarget) -> Option<&'static str> {
    match target {
        SubletTarget::Bank(code) => code.bank().map(ifsc::Bank::name),
        SubletTarget::ReportedName(name) => Some(name),
        _ => None,
    }
}

/// Reduces each run of spaces to one, and removes them from both ends.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
