//! How like the name sent is to the name at the bank: 0 to 100, and the word for it.
//!
//! Published are four names against JOHN DOE (Cashfree, "Data to test integration"). Cashfree does
//! not publish how it scores others; the rule here is the sandbox's own and simple on purpose:
//! the same name, whatever its case, spacing and punctuation, is 100; the same words in another order
//! are 90; otherwise it is the share of the longer name's letters that stand in words both names
//! have, at most 84.

use crate::cashfree::published;

/// The least score of each result, best first. Cashfree publishes one score a result (100, 85, 70,
/// 38, and 90 as GOOD); the bounds between them are the sandbox's.
const RESULTS: [(u32, &str); 5] = [
    (100, "DIRECT_MATCH"),
    (85, "GOOD_PARTIAL_MATCH"),
    (60, "MODERATE_PARTIAL_MATCH"),
    (34, "POOR_PARTIAL_MATCH"),
    (0, "NO_MATCH"),
];

/// A score with its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameMatch {
    score: u32,
}

impl NameMatch {
    /// Compares the name sent with the one at the bank.
    pub(super) fn of(sent: &str, at_bank: &str) -> Self {
        let score = published::name_score(sent, at_bank).unwrap_or_else(|| likeness(sent, at_bank));
        Self { score }
    }

    /// `name_match_score`: text with two decimals.
    pub(super) fn score(self) -> String {
        format!("{}.00", self.score)
    }

    /// `name_match_result`.
    pub(super) fn result(self) -> &'static str {
        RESULTS
            .iter()
            .find(|(least, _)| self.score >= *least)
            .map_or("NO_MATCH", |(_, result)| *result)
    }

    /// `name_match_result` as the UPI penny drop says it: a direct match is just `MATCH`.
    pub(super) fn penny_drop_result(self) -> &'static str {
        match self.result() {
            "DIRECT_MATCH" => "MATCH",
            other => other,
        }
    }
}

fn likeness(sent: &str, at_bank: &str) -> u32 {
    let (sent, mut at_bank) = (words(sent), words(at_bank));
    if sent == at_bank {
        return 100;
    }
    let longer = letters(&sent).max(letters(&at_bank));
    let mut shared = 0;
    let mut unmatched = 0;
    for word in &sent {
        if let Some(place) = at_bank.iter().position(|other| other == word) {
            shared += at_bank.swap_remove(place).chars().count();
        } else {
            unmatched += 1;
        }
    }
    if unmatched == 0 && at_bank.is_empty() {
        return 90;
    }
    let share = 100 * shared / longer.max(1);
    u32::try_from(share).map_or(84, |share| share.min(84))
}

fn words(name: &str) -> Vec<String> {
    name.to_lowercase()
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn letters(words: &[String]) -> usize {
    words.iter().map(|word| word.chars().count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_names_have_their_published_scores() {
        for (sent, score, result) in [
            ("john doe", "100.00", "DIRECT_MATCH"),
            ("John D", "85.00", "GOOD_PARTIAL_MATCH"),
            ("j doe", "70.00", "MODERATE_PARTIAL_MATCH"),
            ("JANE D", "38.00", "POOR_PARTIAL_MATCH"),
        ] {
            let found = NameMatch::of(sent, "JOHN DOE");
            assert_eq!((found.score().as_str(), found.result()), (score, result));
        }
    }

    #[test]
    fn other_names_follow_the_rule() {
        for (sent, at_bank, score, result) in [
            ("Asha Rao", "ASHA RAO", "100.00", "DIRECT_MATCH"),
            (
                "s.v. krishnamurthy",
                "S V KRISHNAMURTHY",
                "100.00",
                "DIRECT_MATCH",
            ),
            ("rao  asha", "ASHA RAO", "90.00", "GOOD_PARTIAL_MATCH"),
            ("asha k rao", "ASHA RAO", "84.00", "MODERATE_PARTIAL_MATCH"),
            ("asha", "ASHA RAO", "57.00", "POOR_PARTIAL_MATCH"),
            ("ravi", "ASHA RAO", "0.00", "NO_MATCH"),
            ("...", "ASHA RAO", "0.00", "NO_MATCH"),
            ("आशा राव", "आशा राव", "100.00", "DIRECT_MATCH"),
        ] {
            let found = NameMatch::of(sent, at_bank);
            assert_eq!(
                (found.score().as_str(), found.result()),
                (score, result),
                "{sent} / {at_bank}"
            );
        }
    }

    #[test]
    fn a_repeated_word_counts_once() {
        let found = NameMatch::of("rao rao", "RAO ASHA");
        assert_eq!(found.result(), "POOR_PARTIAL_MATCH");
    }

    #[test]
    fn a_penny_drop_says_match() {
        assert_eq!(NameMatch::of("asha", "ASHA").penny_drop_result(), "MATCH");
        assert_eq!(
            NameMatch::of("john d", "JOHN DOE").penny_drop_result(),
            "GOOD_PARTIAL_MATCH"
        );
    }
}
