//! Banks that clear through another bank and have codes of it, read off the name that the branch was published under.
//!
//! The data's own mappings name the bank of a sub-member's first branch and seldom of the others: of 1,144 codes
//! `HDFC0C…` 270. The others were published with their bank's name for a branch name (`PUNE DISTRICT CENTRAL COOP BANK`),
//! often with a town behind it.

use std::collections::HashMap;
use std::ops::Range;

/// What codes begin with that only sub-members have: the bank of the first four letters is nobody's of these.
pub(crate) const OF_SUB_MEMBERS_ONLY: [&str; 1] = ["HDFC0C"];

/// Ends the names of branches that stand in the list for a bank itself.
pub(crate) const STANDS_FOR_ITS_BANK: &str = " IMPS";

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
/// Words that say what a co-operative bank is and not which.
const OF_MANY: [&str; 8] = [
    "THE", "DISTRICT", "DIST", "ZILA", "JILA", "NAGAR", "MAHILA", "CENTRAL",
];

/// The banks' names by what is the same in all spellings of one.
pub(crate) struct Spellings(HashMap<String, Option<&'static str>>);

impl Spellings {
    pub(crate) fn of(names: impl Iterator<Item = &'static str>) -> Self {
        let mut spellings = HashMap::new();
        for name in names {
            spellings
                .entry(essence(name))
                // Two banks of one essence: neither can be told by it.
                .and_modify(|known| {
                    if *known != Some(name) {
                        *known = None;
                    }
                })
                .or_insert(Some(name));
        }
        Self(spellings)
    }

    /// The co-operative bank that the branch's name names, in the spelling of the list of banks where that has it.
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

/// Whether the name has the word *bank*: enough to be a bank's name where only sub-members have codes.
pub(crate) fn is_of_a_bank(branch: &str) -> bool {
    words(branch)
        .iter()
        .any(|word| BANK.contains(&word.text.as_str()))
}

/// The part of the branch's name that names a co-operative bank; all of it where the town is what tells which bank.
fn bank_in(branch: &str) -> Option<&str> {
    if branch.ends_with(STANDS_FOR_ITS_BANK) {
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
        .all(|word| OF_MANY.contains(&word.text.as_str()))
    {
        return Some(branch);
    }
    let last = (bank + 1..words.len())
        .take_while(|at| is(*at, &LEGAL_FORM))
        .last();
    Some(&branch[..words[last.unwrap_or(bank)].place.end])
}

/// How many words *co-operative* takes here, if it is here: `COOP`, `CO-OPERATIVE`, `CO OP`.
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

/// Runs of letters and digits, in capitals.
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
    fn a_bank_is_read_off_its_branchs_name() {
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
            // Which one, the town tells.
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
    fn other_branches_name_no_bank() {
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
    fn among_sub_members_the_word_bank_is_enough() {
        assert!(is_of_a_bank("DR PANJABRAO DESHMUKH UR CO BNK LTD"));
        assert!(!is_of_a_bank("BANJARAWALA"));
    }

    #[test]
    fn a_bank_has_one_name_however_its_branches_spell_it() {
        let spellings =
            Spellings::of(["Agrasen Co-operative Urban Bank", "Abhinav Sahakari Bank"].into_iter());
        for branch in [
            "THE AGRASEN COOP URBAN BANK LTD",
            "AGRASEN CO OP URBAN BANK LIMITED AMEERPET",
        ] {
            assert_eq!(
                spellings.bank_in(branch),
                Some("Agrasen Co-operative Urban Bank")
            );
        }
        assert_eq!(
            spellings.bank_in("THE GOA URBAN CO OP BANK LTD"),
            Some("THE GOA URBAN CO OP BANK LTD")
        );
        let twins = Spellings::of(["The Goa Co-op Bank", "Goa Coop Bank"].into_iter());
        assert_eq!(twins.bank_in("GOA COOP BANK"), Some("GOA COOP BANK"));
    }
}
