//! The name match on labelled pairs, against plain Jaro-Winkler and the token-set ratio, each at its best threshold.
//!
//! `make name-match` prints the figures of `docs/name-match.md`. Rules may be tuned on the pairs in sight; those held out are for
//! figures only, and no test prints them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use khata_name_match::{NameMatchResult, compare};

const IN_SIGHT: &str = include_str!("data/in_sight_pairs.tsv");
/// Held out, by the hand that made the rules.
const OWN_HELD_OUT: &str = include_str!("data/own_held_out_pairs.tsv");
/// Held out, by another hand.
const HELD_OUT: &str = "tests/data/held_out_pairs.tsv";

/// Bounds just below the measured figures.
const IN_SIGHT_FLOOR: Figures = Figures {
    precision: 0.995,
    recall: 0.99,
    f1: 0.995,
    accuracy: 0.995,
};
const OWN_HELD_OUT_FLOOR: Figures = Figures {
    precision: 0.995,
    recall: 0.975,
    f1: 0.985,
    accuracy: 0.985,
};
const HELD_OUT_FLOOR: Figures = Figures {
    precision: 0.98,
    recall: 0.925,
    f1: 0.955,
    accuracy: 0.95,
};
/// GOOD_PARTIAL_MATCH or better is a match.
const MATCH: u8 = 85;

struct Pair {
    given: String,
    at_bank: String,
    same: bool,
    kind: String,
    script: String,
}

fn pairs(rows: &str) -> Vec<Pair> {
    let rows = rows
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.enumerate()
        .map(|(place, row)| {
            // The row itself is not shown: it can be held out.
            let [given, at_bank, label, kind, script] = row
                .split('\t')
                .collect::<Vec<_>>()
                .try_into()
                .unwrap_or_else(|_| panic!("row {place} has not five fields"));
            assert!(
                matches!(label, "same" | "different"),
                "row {place}: {label}"
            );
            Pair {
                given: given.to_owned(),
                at_bank: at_bank.to_owned(),
                same: label == "same",
                kind: kind.to_owned(),
                script: script.to_owned(),
            }
        })
        .collect()
}

/// Returns the pairs held out by another hand: of the file that `KHATA_HELD_OUT_PAIRS` names, or of the repository.
fn held_out() -> Vec<Pair> {
    let path = std::env::var("KHATA_HELD_OUT_PAIRS");
    let is_named = path.is_ok();
    let path = path.unwrap_or_else(|_| HELD_OUT.to_owned());
    // A file that is named must exist: without it the floors would hold for nothing.
    if !is_named && !Path::new(&path).exists() {
        return Vec::new();
    }
    pairs(&std::fs::read_to_string(path).expect("the file of KHATA_HELD_OUT_PAIRS"))
}

/// A set of pairs with its name and floor.
struct Part {
    name: &'static str,
    pairs: Vec<Pair>,
    floor: Figures,
}

fn parts() -> Vec<Part> {
    let part = |name, pairs: Vec<Pair>, floor| Part { name, pairs, floor };
    let parts = [
        part("in sight", pairs(IN_SIGHT), IN_SIGHT_FLOOR),
        part("own, held out", pairs(OWN_HELD_OUT), OWN_HELD_OUT_FLOOR),
        part("another hand's, held out", held_out(), HELD_OUT_FLOOR),
    ];
    parts
        .into_iter()
        .filter(|part| !part.pairs.is_empty())
        .collect()
}

fn score(given: &str, at_bank: &str) -> f64 {
    compare(given, at_bank).map_or(0.0, |found| f64::from(found.score))
}

fn jaro_winkler(given: &str, at_bank: &str) -> f64 {
    100.0 * strsim::jaro_winkler(&given.to_lowercase(), &at_bank.to_lowercase())
}

/// The token-set ratio as fuzzywuzzy and rapidfuzz define it: the common words against the common words and the rest of each.
fn token_set_ratio(given: &str, at_bank: &str) -> f64 {
    let words = |name: &str| {
        let lower = name.to_lowercase();
        let words = lower.split(|letter: char| !letter.is_alphanumeric());
        words
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let (one, other) = (words(given), words(at_bank));
    let text = |words: Vec<&String>| words.into_iter().cloned().collect::<Vec<_>>().join(" ");
    let both = text(one.intersection(&other).collect());
    let with = |rest: String| format!("{both} {rest}").trim().to_owned();
    let left = with(text(one.difference(&other).collect()));
    let right = with(text(other.difference(&one).collect()));
    let beside_both = if both.is_empty() {
        0.0
    } else {
        ratio(&both, &left).max(ratio(&both, &right))
    };
    beside_both.max(ratio(&left, &right))
}

/// Twice the longest common subsequence by the length of both, 0–100.
#[allow(clippy::cast_precision_loss, reason = "lengths of names")]
fn ratio(one: &str, other: &str) -> f64 {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut row = vec![0usize; other.len() + 1];
    for left in &one {
        let mut corner = 0;
        for (place, right) in other.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if left == right {
                corner + 1
            } else {
                above.max(row[place])
            };
            corner = above;
        }
    }
    200.0 * row[other.len()] as f64 / (one.len() + other.len()).max(1) as f64
}

#[derive(Clone, Copy, Default)]
struct Figures {
    precision: f64,
    recall: f64,
    f1: f64,
    accuracy: f64,
}

#[allow(clippy::cast_precision_loss, reason = "some hundred pairs")]
fn figures(pairs: &[&Pair], scores: &[f64], threshold: f64) -> Figures {
    let count = |same: bool, said: bool| {
        let hit =
            |(pair, score): (&&Pair, &f64)| pair.same == same && (*score >= threshold) == said;
        pairs.iter().zip(scores).filter(|row| hit(*row)).count() as f64
    };
    let (right, wrong, missed) = (count(true, true), count(false, true), count(true, false));
    Figures {
        precision: right / (right + wrong).max(1.0),
        recall: right / (right + missed).max(1.0),
        f1: 2.0 * right / (2.0 * right + wrong + missed).max(1.0),
        accuracy: (right + count(false, false)) / pairs.len() as f64,
    }
}

/// Returns the threshold with the best F1 on these pairs, which flatters the baselines.
fn best(pairs: &[&Pair], scores: &[f64]) -> (f64, Figures) {
    let thresholds = (1..=100).map(f64::from);
    thresholds
        .map(|threshold| (threshold, figures(pairs, scores, threshold)))
        .max_by(|one, other| one.1.f1.total_cmp(&other.1.f1))
        .unwrap()
}

fn scores(pairs: &[&Pair], measure: fn(&str, &str) -> f64) -> Vec<f64> {
    let score = |pair: &&Pair| measure(&pair.given, &pair.at_bank);
    pairs.iter().map(score).collect()
}

#[test]
fn the_name_match_beats_both_baselines_and_holds_its_figures() {
    println!(
        "\n| pairs | measure | threshold | precision | recall | F1 | accuracy |\n|---|---|---|---|---|---|---|"
    );
    for Part { name, pairs, floor } in parts() {
        let part: Vec<&Pair> = pairs.iter().collect();
        let ours = figures(&part, &scores(&part, score), f64::from(MATCH));
        let jaro_winkler = best(&part, &scores(&part, jaro_winkler));
        let token_set = best(&part, &scores(&part, token_set_ratio));
        for (measure, threshold, found) in [
            ("ours", f64::from(MATCH), ours),
            ("Jaro-Winkler", jaro_winkler.0, jaro_winkler.1),
            ("token-set ratio", token_set.0, token_set.1),
        ] {
            let Figures {
                precision,
                recall,
                f1,
                accuracy,
            } = found;
            println!(
                "| {name} ({}) | {measure} | {threshold} | {precision:.3} | {recall:.3} | {f1:.3} | {accuracy:.3} |",
                part.len()
            );
        }
        assert!(
            ours.f1 > jaro_winkler.1.f1 && ours.f1 > token_set.1.f1,
            "{name}: a baseline is better"
        );
        for (figure, found, floor) in [
            ("precision", ours.precision, floor.precision),
            ("recall", ours.recall, floor.recall),
            ("F1", ours.f1, floor.f1),
            ("accuracy", ours.accuracy, floor.accuracy),
        ] {
            assert!(found >= floor, "{name}: {figure} {found} is below {floor}");
        }
    }
}

/// Prints what it costs to accept a result and all better ones: different holders accepted, and same holders rejected.
#[test]
fn a_stricter_threshold_never_accepts_more() {
    println!(
        "\n| pairs | accepted from | different holders accepted | same holders rejected |\n|---|---|---|---|"
    );
    for Part { name, pairs, .. } in parts() {
        let part: Vec<&Pair> = pairs.iter().collect();
        let scores = scores(&part, score);
        let mut before = 0;
        for (result, threshold) in [
            (NameMatchResult::DirectMatch, 100.0),
            (NameMatchResult::GoodPartialMatch, 85.0),
            (NameMatchResult::ModeratePartialMatch, 60.0),
            (NameMatchResult::PoorPartialMatch, 34.0),
        ] {
            let count = |same: bool, accepted: bool| {
                let rows = part.iter().zip(&scores);
                rows.filter(|(pair, score)| pair.same == same && (**score >= threshold) == accepted)
                    .count()
            };
            let (accepted, rejected) = (count(false, true), count(true, false));
            println!(
                "| {name} | `{}` | {accepted} of {} | {rejected} of {} |",
                result.as_str(),
                accepted + count(false, false),
                rejected + count(true, true)
            );
            assert!(accepted >= before, "{name}: {threshold}");
            before = accepted;
        }
    }
}

/// Prints the errors by kind and by script, without the pairs.
#[test]
fn no_kind_or_script_is_always_wrong() {
    let parts = parts();
    for (title, column) in [
        (
            "kind",
            (|pair: &Pair| pair.kind.clone()) as fn(&Pair) -> String,
        ),
        ("script", |pair: &Pair| pair.script.clone()),
    ] {
        // Pairs, different holders accepted, same holders rejected.
        let mut groups: BTreeMap<String, [usize; 3]> = BTreeMap::new();
        for pair in parts.iter().flat_map(|part| &part.pairs) {
            let accepted = score(&pair.given, &pair.at_bank) >= f64::from(MATCH);
            let group = groups.entry(column(pair)).or_default();
            group[0] += 1;
            group[1] += usize::from(accepted && !pair.same);
            group[2] += usize::from(!accepted && pair.same);
        }
        println!(
            "\n| {title} | pairs | different holders accepted | same holders rejected |\n|---|---|---|---|"
        );
        for (name, [count, accepted, rejected]) in &groups {
            println!("| {name} | {count} | {accepted} | {rejected} |");
            assert!(accepted + rejected < *count, "{name} is never right");
        }
    }
}

#[test]
fn misses_among_the_pairs_in_sight_are_printed() {
    for pair in pairs(IN_SIGHT) {
        let found = score(&pair.given, &pair.at_bank);
        if (found >= f64::from(MATCH)) != pair.same {
            println!(
                "{found:>3} {} | {} | {}",
                pair.given, pair.at_bank, pair.kind
            );
        }
    }
}

#[test]
fn the_order_of_two_names_makes_no_difference() {
    for (place, pair) in parts().iter().flat_map(|part| &part.pairs).enumerate() {
        let (one, other) = (
            score(&pair.given, &pair.at_bank),
            score(&pair.at_bank, &pair.given),
        );
        assert!(
            (one - other).abs() < f64::EPSILON,
            "pair {place}: {one}, {other}"
        );
    }
}

#[test]
fn no_pair_is_there_twice_and_both_labels_are_frequent() {
    let parts = parts();
    let pairs: Vec<&Pair> = parts.iter().flat_map(|part| &part.pairs).collect();
    assert!(pairs.len() >= 1500, "{}", pairs.len());
    let same = pairs.iter().filter(|pair| pair.same).count();
    assert!(
        same * 3 > pairs.len() && same * 3 < pairs.len() * 2,
        "{same} of {}",
        pairs.len()
    );
    for Part { name, pairs, .. } in &parts {
        let names = pairs.iter().map(|pair| (&pair.given, &pair.at_bank));
        let once: std::collections::HashSet<_> = names.collect();
        assert_eq!(once.len(), pairs.len(), "{name}: a pair is there twice");
    }
    let mut by_rule: Vec<_> = pairs
        .iter()
        .filter(|pair| pair.kind.starts_with("rule_"))
        .map(|pair| {
            (
                pair.given.clone(),
                pair.at_bank.clone(),
                pair.same,
                pair.kind.as_str(),
            )
        })
        .collect();
    by_rule.sort();
    let mut made = made_by_rule();
    made.sort();
    assert_eq!(by_rule, made);
}

/// Generated persons: first, middle and family name, and the first name of another member of the family.
const PEOPLE: [(&str, &str, &str, &str); 15] = [
    ("Aditi", "Suresh", "Kulkarni", "Aarti"),
    ("Bhaskar", "Chandra", "Mohapatra", "Dibakar"),
    ("Dhruv", "Nilesh", "Patel", "Dhaval"),
    ("Farhan", "Aslam", "Qureshi", "Rehan"),
    ("Gurmeet", "Singh", "Sandhu", "Manmeet"),
    ("Ishita", "Prabir", "Chatterjee", "Ankita"),
    ("Janaki", "Raman", "Iyer", "Devaki"),
    ("Kartik", "Madhav", "Joshi", "Hardik"),
    ("Lavanya", "Srinivas", "Reddy", "Ramya"),
    ("Mithun", "Babu", "Naidu", "Arjun"),
    ("Nandita", "Arvind", "Saxena", "Namrata"),
    ("Prasanna", "Mohan", "Hegde", "Prashanth"),
    ("Rukhsana", "Karim", "Ansari", "Farzana"),
    ("Sandeep", "Kumar", "Chauhan", "Sandesh"),
    ("Vaishali", "Anil", "Deshmukh", "Vaidehi"),
];

fn made_by_rule() -> Vec<(String, String, bool, &'static str)> {
    let mut made = Vec::new();
    for (first, middle, family, relative) in PEOPLE {
        let given = format!("{first} {middle} {family}");
        let initial = |name: &str| name.chars().take(1).collect::<String>();
        for (at_bank, same, class) in [
            (
                format!("{family} {first} {middle}"),
                true,
                "rule_family_name_first",
            ),
            (
                format!("{first} {} {family}", initial(middle)),
                true,
                "rule_middle_initial",
            ),
            (format!("{first}{middle} {family}"), true, "rule_joined"),
            (
                format!("{relative} {middle} {family}"),
                false,
                "rule_relative",
            ),
            (
                format!("{relative} {} {family}", initial(middle)),
                false,
                "rule_relative_initial",
            ),
            (
                format!(
                    "{first} {middle} {}",
                    if family == "Joshi" { "Patil" } else { "Joshi" }
                ),
                false,
                "rule_other_family",
            ),
        ] {
            made.push((given.clone(), at_bank.to_uppercase(), same, class));
        }
    }
    made
}

#[test]
#[ignore = "prints the pairs made by rule, for the files in data/"]
fn print_pairs_made_by_rule() {
    for (given, at_bank, same, class) in made_by_rule() {
        let label = if same { "same" } else { "different" };
        println!("{given}\t{at_bank}\t{label}\t{class}\tlatin");
    }
}

#[test]
#[ignore = "measures; run it with --release"]
fn print_the_time_of_a_comparison() {
    const ROUNDS: u32 = 200;
    let pairs = pairs(IN_SIGHT);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for pair in &pairs {
            std::hint::black_box(compare(&pair.given, &pair.at_bank));
        }
    }
    let count = ROUNDS * u32::try_from(pairs.len()).unwrap();
    println!("{:?} a comparison", start.elapsed() / count);
}
