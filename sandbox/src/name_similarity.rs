//! Similarity of two names, for gateways that return a number without publishing how they compute it:
//! the share of letter pairs that both names have, regardless of case and of the order of words.

use std::collections::HashMap;

/// Returns 0 to 100; 100 for equal names.
pub(crate) fn score(sent: &str, at_bank: &str) -> f64 {
    let (mut first, second) = (pairs(sent), pairs(at_bank));
    let count = |pairs: &HashMap<_, u32>| pairs.values().sum::<u32>();
    let all = count(&first) + count(&second);
    if all == 0 {
        return 0.0;
    }
    let mut shared = 0;
    for (pair, times) in second {
        if let Some(left) = first.get_mut(&pair) {
            let both = times.min(*left);
            *left -= both;
            shared += both;
        }
    }
    f64::from(2 * shared) * 100.0 / f64::from(all)
}

/// Counts the letter pairs of each word; the start and the end of a word count as letters.
fn pairs(name: &str) -> HashMap<(char, char), u32> {
    let mut pairs = HashMap::new();
    for word in name.split_whitespace() {
        let mut before = ' ';
        for letter in word.chars().flat_map(char::to_uppercase).chain([' ']) {
            *pairs.entry((before, letter)).or_default() += 1;
            before = letter;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_words_score_100_and_disjoint_letters_score_0() {
        for (sent, at_bank, expected) in [
            ("Asha Rao", "ASHA RAO", 100.0),
            ("Rao Asha", "ASHA RAO", 100.0),
            ("Asha Rao", "ASHA", 10.0 * 100.0 / 14.0),
            ("Asha", "KIM", 0.0),
            ("", "", 0.0),
            ("", "ASHA", 0.0),
        ] {
            let score = score(sent, at_bank);
            let near = (score - expected).abs() < 0.01;
            assert!(near, "{sent} / {at_bank}: {score}");
        }
    }
}
