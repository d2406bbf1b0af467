//! Similarity of two names, for gateways that return a number without publishing how they compute it:
//! the share of letter pairs that both names have, regardless of case and of the order of words.

/// Returns 0 to 100; 100 for equal names, 0 without a name.
pub(crate) fn score(sent: &str, at_bank: &str) -> f64 {
    let words = |name: &str| {
        let mut words: Vec<_> = name.split_whitespace().map(str::to_uppercase).collect();
        words.sort_unstable();
        words.join(" ")
    };
    let (sent, at_bank) = (words(sent), words(at_bank));
    if sent.is_empty() && at_bank.is_empty() {
        return 0.0;
    }
    strsim::sorensen_dice(&sent, &at_bank) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_words_score_100_and_disjoint_letters_score_0() {
        for (sent, at_bank, expected) in [
            ("Asha Rao", "ASHA RAO", 100.0),
            ("Rao Asha", "ASHA RAO", 100.0),
            ("Asha Rao", "ASHA", 6.0 * 100.0 / 9.0),
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
