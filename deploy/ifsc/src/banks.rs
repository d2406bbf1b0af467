//! The bank of each code. `shared/ifsc/data/README.md` describes the rules.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use ifsc::SubletTarget;

use crate::facts::Facts;
use crate::sub_member::{BankNames, SUB_MEMBER_PREFIX};
use crate::tidy;

/// Finds the banks of codes.
pub(crate) struct Banks<'a> {
    facts: &'a Facts,
    names: BankNames,
    /// First four letters of banks that lend codes to at least one other bank, beside those whose only mapped code is their own.
    sponsors: BTreeSet<String>,
}

impl<'a> Banks<'a> {
    pub(crate) fn new(facts: &'a Facts) -> Result<Self> {
        let data = ifsc::directory();
        let mut mapped: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for branch in data
            .branches()
            .filter(|branch| branch.exact_sublet().is_some())
        {
            let code = branch.ifsc().to_string();
            mapped.entry(code[..4].to_owned()).or_default().push(code);
        }
        let sponsors = mapped
            .into_iter()
            .filter(|(_, codes)| !is_own_number(codes))
            .map(|(letters, _)| letters)
            .collect();
        Ok(Self {
            facts,
            names: BankNames::new(data.banks().map(ifsc::Bank::name))?,
            sponsors,
        })
    }

    /// Returns the banks by the first four letters of their codes.
    pub(crate) fn by_letters(&self) -> BTreeMap<String, String> {
        let listed = ifsc::directory().banks();
        let listed = listed.map(|bank| (bank.code().to_string(), tidy(bank.name())));
        let mut banks: BTreeMap<String, String> = listed
            .filter(|(code, _)| code.bytes().all(|byte| byte.is_ascii_uppercase()))
            .collect();
        for (letters, fact) in &self.facts.0 {
            if let Some(bank) = fact.bank.filter(|_| letters.len() == 4) {
                banks.insert((*letters).to_owned(), bank.to_owned());
            }
        }
        banks
    }

    /// Returns the bank of each listed code, as far as it is known, and the families whose codes took the bank of their siblings.
    pub(crate) fn of_codes(&self) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let by_letters = self.by_letters();
        let mut banks = BTreeMap::new();
        // How many codes of a family name each bank, and the codes that name none but the sponsor.
        let mut families: BTreeMap<String, (BTreeMap<String, usize>, Vec<String>)> =
            BTreeMap::new();
        for branch in ifsc::directory().branches() {
            let code = branch.ifsc().to_string();
            let of_letters = by_letters.get(&code[..4]);
            let own = self.sub_member(branch, &code);
            if let Some(family) = family(&code) {
                let (named, unnamed) = families.entry(family.to_owned()).or_default();
                match own.as_ref().filter(|own| Some(*own) != of_letters) {
                    Some(bank) => *named.entry(bank.clone()).or_default() += 1,
                    None => unnamed.push(code.clone()),
                }
            }
            let of_letters = of_letters.filter(|_| !code.starts_with(SUB_MEMBER_PREFIX));
            if let Some(bank) = own.or_else(|| of_letters.cloned()) {
                banks.insert(code, bank);
            }
        }
        let mut inherited = BTreeMap::new();
        for (family, (named, unnamed)) in families {
            let all: usize = named.values().sum();
            let most = named.into_iter().find(|(_, codes)| codes * 2 > all);
            let Some((bank, _)) = most.filter(|_| !unnamed.is_empty()) else {
                continue;
            };
            for code in unnamed {
                if self.facts.bank_of(&code, 5).is_none() {
                    banks.insert(code, bank.clone());
                }
            }
            inherited.insert(family, bank);
        }
        (banks, inherited)
    }

    /// Returns the bank of the branch if it is known for itself, and not by the first four letters only.
    fn sub_member(&self, branch: ifsc::Branch, code: &str) -> Option<String> {
        if let Some(bank) = self.facts.bank_of(code, 5) {
            return Some(bank.to_owned());
        }
        let exact = branch
            .exact_sublet()
            .filter(|_| self.sponsors.contains(&code[..4]));
        let mapped = exact
            .or_else(|| branch.custom_sublets().next())
            .and_then(|mapped| name_of(mapped.target()));
        if let Some(bank) = mapped {
            return Some(tidy(bank));
        }
        let name = tidy(branch.name());
        let named = self.names.bank_in(&name).or_else(|| {
            let is_sub_member = code.starts_with(SUB_MEMBER_PREFIX);
            Some(name.as_str()).filter(|name| is_sub_member && self.names.is_bank(name))
        });
        named.map(tidy)
    }
}

/// Whether the only mapped code of these four letters is a number of the bank's own. NPCI then knows the bank by other letters
/// than the Reserve Bank does, or names a bank that became part of this one.
fn is_own_number(mapped: &[String]) -> bool {
    matches!(mapped, [code] if code.bytes().skip(5).all(|byte| byte.is_ascii_digit()))
}

/// Returns the beginning of a code up to its last letter, if only digits follow: a sponsor gives all codes with this beginning to
/// one bank.
fn family(code: &str) -> Option<&str> {
    let (fixed, branch) = code.split_at(5);
    let last = branch.rfind(|character: char| character.is_ascii_uppercase())?;
    let digits = branch[last + 1..].len();
    let letters = branch[..=last].trim_start_matches(|character: char| character.is_ascii_digit());
    let is_run = letters.bytes().all(|byte| byte.is_ascii_uppercase());
    (digits > 0 && is_run).then(|| &code[..=fixed.len() + last])
}

pub(crate) fn name_of(target: SubletTarget) -> Option<&'static str> {
    match target {
        SubletTarget::Bank(code) => code.bank().map(ifsc::Bank::name),
        SubletTarget::ReportedName(name) => Some(name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_a_run_of_letters_before_digits() {
        for (code, beginning) in [
            ("UTIB0SYDC01", Some("UTIB0SYDC")),
            ("IBKL0617S01", Some("IBKL0617S")),
            ("HDFC0CTGB24", Some("HDFC0CTGB")),
            ("UBIN0CG5501", Some("UBIN0CG")),
            ("BARB0VJVALS", None),
            ("HDFC0000001", None),
            ("BKID0A1B234", None),
        ] {
            assert_eq!(family(code), beginning, "{code}");
        }
    }

    #[test]
    fn a_single_mapped_number_is_the_banks_own() {
        let is_own = |codes: &[&str]| {
            is_own_number(
                &codes
                    .iter()
                    .map(|code| (*code).to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert!(is_own(&["DOHB0000001"]));
        assert!(!is_own(&["IOBA0ROGB01"]));
        assert!(!is_own(&["APBL0001015", "APBL0001016"]));
    }

    #[test]
    fn every_listed_code_has_a_bank() {
        let facts = Facts::read().unwrap();
        let (banks, _) = Banks::new(&facts).unwrap().of_codes();
        let bank = |code: &str| banks.get(code).map(String::as_str);
        assert_eq!(banks.len(), ifsc::directory().branches().count());
        for (code, expected) in [
            ("DOHB0000001", "Doha Bank QSC"),
            ("TNGB0060177", "Tamil Nadu Grama Bank"),
            ("KNSB0010001", "Kurmanchal Nagar Sahakari Bank"),
            ("HDFC0CTGB24", "Gayatri Co-operative Urban Bank"),
            (
                "YESB0DCC001",
                "Osmanabad District Central Co-operative Bank",
            ),
            ("UBIN0CG5501", "Andhra Pradesh Grameena Bank"),
            ("UBIN0CG7999", "Chaitanya Godavari Grameena Bank"),
            ("IOBA0ROGB01", "Odisha Gramya Bank"),
            ("BARB0VJVALS", "Bank of Baroda"),
            ("HDFC0CAACOB", "Akhand Anand Co.op Bank"),
        ] {
            assert_eq!(bank(code), Some(expected), "{code}");
        }
    }
}
