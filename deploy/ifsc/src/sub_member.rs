//! Banks that clear through another bank and use its codes, recognised by the published names of their branches.
//!
//! The data's own mappings name the bank of a sub-member's first branch, and rarely of the others: they cover 270 of 1,144
//! codes `HDFC0C…`. The published branch name of the others is the bank's name (`PUNE DISTRICT CENTRAL COOP BANK`), often
//! followed by a town.

use std::collections::HashMap;

use regex::{Error, Regex};

/// Prefix of codes that only sub-members have. The bank of the first four letters owns none of these branches.
pub(crate) const SUB_MEMBER_PREFIX: &str = "HDFC0C";

/// Suffix of the names of entries that represent a whole bank in the list of branches.
pub(crate) const BANK_LEVEL_SUFFIX: &str = " IMPS";

const BANK: &str = r"\b(?:BANK|BNK|BK|BNAK)\b";
const COOPERATIVE: &str = r"\b(?:COOP\w*|CO\W+OP\w*)\b";
/// Other words that only co-operative banks have in their names, before the word *bank*.
const COOPERATIVE_BANKS_ONLY: &str =
    r"\b(?:SAHAKARI|SAHKARI|SAHAKARA|SAH|NAGRIK|NAGARI|NAGARIK|MERCANTILE|URBAN|DCC)\b";
const COOPERATIVE_BANK: &str = r"\b(?:UCB|DCCB)\b";
const LEGAL_FORM: &str = r"\b(?:LTD|LIMITED|LT|MYDT|MARYADIT|NIYAMITHA|NIYAMITA|NIYAMIT|NIYMIT)\b";
/// Words that a name without the word *bank* has only if it is a bank's. It suffices under [`SUB_MEMBER_PREFIX`].
const SHORTENED_BANK: &str =
    r"\b(?:B LTD|CO B|SAH B|N G B L|\w*NSBL|SAHAK|NAGRIK|SAHAKARI|MYDT|O ?PBANK)\b";
/// Words that describe a kind of co-operative bank and do not distinguish one bank from another.
const GENERIC: &str = r"\b(?:THE|DISTRICT|DIST|ZILA|JILA|NAGAR|MAHILA|CENTRAL)\b";

/// The names of the banks, and what distinguishes a bank's name from a branch's.
pub(crate) struct BankNames {
    /// By [`Self::essence`]; `None`: two banks have this essence, so that it identifies neither.
    by_essence: HashMap<String, Option<&'static str>>,
    /// Words that suffice under [`SUB_MEMBER_PREFIX`].
    bank: Regex,
    cooperative: Regex,
    /// From the word that only co-operative banks have (`kind`) to the last word of the bank's name.
    cooperative_bank: Regex,
    only_generic: Regex,
    /// Words and marks that only some spellings of a name have.
    optional: Regex,
}

impl BankNames {
    pub(crate) fn new(names: impl Iterator<Item = &'static str>) -> Result<Self, Error> {
        let regex = |pattern: &str| Regex::new(&format!("(?i){pattern}"));
        let mut banks = Self {
            by_essence: HashMap::new(),
            bank: regex(&format!("{BANK}|{SHORTENED_BANK}"))?,
            cooperative: regex(COOPERATIVE)?,
            // A name has at least one word before UCB.
            cooperative_bank: regex(&format!(
                r"(?:(?<kind>{COOPERATIVE}|{COOPERATIVE_BANKS_ONLY}).*?{BANK}|\w\W+(?<short>{COOPERATIVE_BANK}))(?:\W+{LEGAL_FORM})*"
            ))?,
            only_generic: regex(&format!(r"^(?:{GENERIC}|\W)*$"))?,
            optional: regex(&format!(r"\bTHE\b|{LEGAL_FORM}|\W+"))?,
        };
        for name in names {
            let essence = banks.essence(name);
            let known = banks.by_essence.entry(essence).or_insert(Some(name));
            if *known != Some(name) {
                *known = None;
            }
        }
        Ok(banks)
    }

    /// Returns the co-operative bank in the branch's name, in the spelling of the list of banks if the list has it. The bank
    /// is the whole name if only the town identifies it.
    pub(crate) fn bank_in<'a>(&self, branch: &'a str) -> Option<&'a str> {
        if branch.ends_with(BANK_LEVEL_SUFFIX) {
            return None;
        }
        let found = self.cooperative_bank.captures(branch)?;
        let kind = found.name("kind").or_else(|| found.name("short"))?;
        let name = if self.only_generic.is_match(&branch[..kind.start()]) {
            branch
        } else {
            &branch[..found.get_match().end()]
        };
        let known = self.by_essence.get(&self.essence(name));
        Some(known.copied().flatten().unwrap_or(name))
    }

    /// Whether the name of a branch under [`SUB_MEMBER_PREFIX`] is a bank's.
    pub(crate) fn is_bank(&self, branch: &str) -> bool {
        self.bank.is_match(branch)
    }

    /// Returns a text that is equal for all spellings of a bank's name.
    fn essence(&self, name: &str) -> String {
        let name = name.to_ascii_uppercase();
        let name = self.cooperative.replace_all(&name, "COOPERATIVE");
        self.optional.replace_all(&name, "").into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&'static str]) -> BankNames {
        BankNames::new(names.iter().copied()).unwrap()
    }

    #[test]
    fn a_branch_name_contains_its_bank() {
        let names = names(&[]);
        for (branch, bank) in [
            (
                "PUNE DISTRICT CENTRAL COOP BANK",
                "PUNE DISTRICT CENTRAL COOP BANK",
            ),
            (
                "THE NAGPUR DIST CENTRAL COOP BANK LTD HINGNA",
                "THE NAGPUR DIST CENTRAL COOP BANK LTD",
            ),
            ("HINDUSTAN COOP BK- MALAD EAST", "HINDUSTAN COOP BK"),
            (
                "THE BARODA CITY CO OPERATIVE BANK LTD FATEHGUNJ BRANCH",
                "THE BARODA CITY CO OPERATIVE BANK LTD",
            ),
            ("THE YAVATMAL UCB PATANBORI", "THE YAVATMAL UCB"),
            // Only the town identifies the bank.
            (
                "ZILA SAHKARI BANK LTD, JHANSI",
                "ZILA SAHKARI BANK LTD, JHANSI",
            ),
            (
                "THE DISTRICT COOPERATIVE CENTRAL BANK LTD,GURLA BRANCH",
                "THE DISTRICT COOPERATIVE CENTRAL BANK LTD,GURLA BRANCH",
            ),
        ] {
            assert_eq!(names.bank_in(branch), Some(bank));
        }
    }

    #[test]
    fn other_branch_names_contain_no_bank() {
        let names = names(&[]);
        for branch in [
            "SAHAKAR NAGAR C AND P BANKING BR",
            "IIT HAUZ KHAS",
            "SANTACRUZ, MUMBAI",
            "URBAN ESTATE KARNAL",
            "UCB CUTTACK MALGODOWN",
            "Janata Sahakari Bank (Pune) IMPS",
            "",
        ] {
            assert_eq!(names.bank_in(branch), None, "{branch}");
        }
    }

    #[test]
    fn the_word_bank_and_its_short_forms_suffice_for_sub_members() {
        let names = names(&[]);
        for bank in [
            "DR PANJABRAO DESHMUKH UR CO BNK LTD",
            "VAIJANATH APPA SARAF MARAT NSBL",
            "THE BANASKANTHA MERCANTILE CO B LTD",
            "VYAVASAYIK EVAM AUDHYOGIK SAH B LTD",
            "YEOLA MER CO O PBANK LTD",
        ] {
            assert!(names.is_bank(bank), "{bank}");
        }
        assert!(!names.is_bank("BANJARAWALA"));
        assert!(!names.is_bank("LB NAGAR"));
    }

    #[test]
    fn all_spellings_of_a_bank_give_one_name() {
        let twins = names(&["The Goa Co-op Bank", "Goa Coop Bank"]);
        let names = names(&["Agrasen Co-operative Urban Bank", "Abhinav Sahakari Bank"]);
        for branch in [
            "THE AGRASEN COOP URBAN BANK LTD",
            "AGRASEN CO OP URBAN BANK LIMITED AMEERPET",
        ] {
            assert_eq!(
                names.bank_in(branch),
                Some("Agrasen Co-operative Urban Bank")
            );
        }
        assert_eq!(
            names.bank_in("THE GOA URBAN CO OP BANK LTD"),
            Some("THE GOA URBAN CO OP BANK LTD")
        );
        assert_eq!(twins.bank_in("GOA COOP BANK"), Some("GOA COOP BANK"));
    }
}
