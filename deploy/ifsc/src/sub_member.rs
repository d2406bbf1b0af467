//! Banks that clear through another bank and use its codes, recognised by the published names of their branches.
//!
//! The data's own mappings name the bank of a sub-member's first branch, and rarely of the others: they cover 270 of 1,144
//! codes `HDFC0C…`. The published branch name of the others is the bank's name (`PUNE DISTRICT CENTRAL COOP BANK`), often
//! followed by a town.

use std::collections::HashMap;
use std::ops::Range;

/// Prefixes of codes that only sub-members have. The bank of the first four letters owns none of these branches.
pub(crate) const SUB_MEMBER_PREFIXES: [&str; 1] = ["HDFC0C"];

/// Suffix of the names of entries that represent a whole bank in the list of branches.
pub(crate) const BANK_LEVEL_SUFFIX: &str = " IMPS";

const BANK: [&str; 4] = ["BANK", "BNK", "BK", "BNAK"];
const COOPERATIVE_BANK: [&str; 2] = ["UCB", "DCCB"];
const COOPERATIVE: [&str; 10] = [
    "SAHAKARI",
    "SAHKARI",
    "SAHAKARA",
    "SAH",
    "NAGRIK",
    "NAGARI",
    "NAGARIK",
    "MERCANTILE",
    "URBAN",
    "DCC",
];
const LEGAL_FORM: [&str; 9] = [
    "LTD",
    "LIMITED",
    "LT",
    "MYDT",
    "MARYADIT",
    "NIYAMITHA",
    "NIYAMITA",
    "NIYAMIT",
    "NIYMIT",
];
/// Words that describe a kind of co-operative bank and do not distinguish one bank from another.
const GENERIC: [&str; 8] = [
    "THE", "DISTRICT", "DIST", "ZILA", "JILA", "NAGAR", "MAHILA", "CENTRAL",
];

/// The banks' names by [`essence`], which is equal for all spellings of a name.
pub(crate) struct BankNames(HashMap<String, Option<&'static str>>);

impl BankNames {
    pub(crate) fn new(names: impl Iterator<Item = &'static str>) -> Self {
        let mut by_essence = HashMap::new();
        for name in names {
            by_essence
                .entry(essence(name))
                // Two banks have this essence, so that it identifies neither.
                .and_modify(|known| {
                    if *known != Some(name) {
                        *known = None;
                    }
                })
                .or_insert(Some(name));
        }
        Self(by_essence)
    }

    /// Returns the co-operative bank in the branch's name, in the spelling of the list of banks if the list has it.
    pub(crate) fn bank_in<'a>(&self, branch: &'a str) -> Option<&'a str> {
        let name = bank_in(branch)?;
        Some(
            self.0
                .get(&essence(name))
                .copied()
                .flatten()
                .unwrap_or(name),
        )
    }
}

/// Whether the name contains the word *bank*, which suffices under [`SUB_MEMBER_PREFIXES`].
pub(crate) fn contains_bank_word(branch: &str) -> bool {
    words(branch)
        .iter()
        .any(|word| BANK.contains(&word.text.as_str()))
}

/// Returns the part of the branch's name that names a co-operative bank: the whole name if only the town identifies the
/// bank.
fn bank_in(branch: &str) -> Option<&str> {
    if branch.ends_with(BANK_LEVEL_SUFFIX) {
        return None;
    }
    let words = words(branch);
    let is = |at: usize, list: &[&str]| {
        words
            .get(at)
            .is_some_and(|word| list.contains(&word.text.as_str()))
    };
    let (cooperative, bank) = (0..words.len()).find_map(|at| {
        if is(at, &COOPERATIVE_BANK) && at > 0 {
            return Some((at, at));
        }
        let cooperative = is(at, &COOPERATIVE) || cooperative_words(&words, at).is_some();
        let bank = (at..words.len()).find(|at| is(*at, &BANK));
        bank.filter(|_| cooperative).map(|bank| (at, bank))
    })?;
    if words[..cooperative]
        .iter()
        .all(|word| GENERIC.contains(&word.text.as_str()))
    {
        return Some(branch);
    }
    let last = (bank + 1..words.len())
        .take_while(|at| is(*at, &LEGAL_FORM))
        .last();
    Some(&branch[..words[last.unwrap_or(bank)].place.end])
}

/// Returns the number of words of *co-operative* at this place, if it is there: `COOP`, `CO-OPERATIVE`, `CO OP`.
fn cooperative_words(words: &[Word], at: usize) -> Option<usize> {
    let word = words[at].text.as_str();
    if word.starts_with("COOP") {
        return Some(1);
    }
    let next = words.get(at + 1)?.text.as_str();
    (word == "CO" && next.starts_with("OP")).then_some(2)
}

fn essence(name: &str) -> String {
    let words = words(name);
    let mut essence = String::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let length = cooperative_words(&words, at);
        let word = word.text.as_str();
        if length.is_some() {
            essence.push_str("COOPERATIVE");
        } else if word != "THE" && !LEGAL_FORM.contains(&word) {
            essence.push_str(word);
        }
        at += length.unwrap_or(1);
    }
    essence
}

struct Word {
    text: String,
    place: Range<usize>,
}

/// Splits the text into runs of letters and digits, in capitals.
fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (at, character) in text
        .char_indices()
        .filter(|(_, c)| c.is_ascii_alphanumeric())
    {
        let character = character.to_ascii_uppercase();
        match words.last_mut() {
            Some(word) if word.place.end == at => {
                word.text.push(character);
                word.place.end = at + 1;
            }
            _ => words.push(Word {
                text: character.into(),
                place: at..at + 1,
            }),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_name_contains_its_bank() {
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
            assert_eq!(bank_in(branch), Some(bank));
        }
    }

    #[test]
    fn other_branch_names_contain_no_bank() {
        for branch in [
            "SAHAKAR NAGAR C AND P BANKING BR",
            "IIT HAUZ KHAS",
            "SANTACRUZ, MUMBAI",
            "URBAN ESTATE KARNAL",
            "UCB CUTTACK MALGODOWN",
            "Janata Sahakari Bank (Pune) IMPS",
            "",
        ] {
            assert_eq!(bank_in(branch), None, "{branch}");
        }
    }

    #[test]
    fn the_word_bank_suffices_for_sub_members() {
        assert!(contains_bank_word("DR PANJABRAO DESHMUKH UR CO BNK LTD"));
        assert!(!contains_bank_word("BANJARAWALA"));
    }

    #[test]
    fn all_spellings_of_a_bank_give_one_name() {
        let names = BankNames::new(
            ["Agrasen Co-operative Urban Bank", "Abhinav Sahakari Bank"].into_iter(),
        );
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
        let twins = BankNames::new(["The Goa Co-op Bank", "Goa Coop Bank"].into_iter());
        assert_eq!(twins.bank_in("GOA COOP BANK"), Some("GOA COOP BANK"));
    }
}
