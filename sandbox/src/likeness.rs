//! How alike two names are, for gateways that tell a number without saying how they come by it: the
//! share of letter pairs the two have in common, whatever their case and the words' order.

use std::collections::HashMap;

/// 0 to 100; 100 when they are the same.
pub(crate) fn score(sent: &str, at_bank: &str) -> f64 {
    let (mut ours, theirs) = (pairs(sent), pairs(at_bank));
    let count = |pairs: &HashMap<_, u32>| pairs.values().sum::<u32>();
    let all = count(&ours) + count(&theirs);
    if all == 0 {
        return 0.0;
    }
    let mut shared = 0;
    for (pair, times) in theirs {
        if let Some(left) = ours.get_mut(&pair) {
            let both = times.min(*left);
            *left -= both;
            shared += both;
        }
    }
    f64::from(2 * shared) * 100.0 / f64::from(all)
}

/// Each word's letters in pairs, its start and end counting as a letter.
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

    fn near(sent: &str, at_bank: &str, expected: f64) {
        let score = score(sent, at_bank);
        assert!(
            (score - expected).abs() < 0.01,
            "{sent} / {at_bank}: {score}"
        );
    }

    #[test]
    fn the_same_words_are_100_and_no_letter_in_common_is_0() {
        near("Asha Rao", "ASHA RAO", 100.0);
        near("Rao Asha", "ASHA RAO", 100.0);
        near("Asha Rao", "ASHA", 10.0 * 100.0 / 14.0);
        near("Asha", "KIM", 0.0);
        near("", "", 0.0);
        near("", "ASHA", 0.0);
    }
}
