use std::collections::BTreeSet;
use std::time::Instant;

use proptest::prelude::*;

use super::table::{NOTHING, family_beginning, number};
use super::*;
use khata_domain::Ifsc;

/// Codes of every kind: code, bank, branch and city, `-` for unknown values.
const SAMPLE: &str = include_str!("sample.tsv");

fn known(code: &str) -> Entry {
    lookup(Ifsc::parse(code).unwrap().as_str())
}

/// Returns the code of four letters and a branch number.
fn code_of(letters: &[u8], mut branch: u32) -> String {
    let mut code = String::from_utf8(letters.to_vec()).unwrap();
    code.push('0');
    let mut last = Vec::new();
    for _ in 0..6 {
        last.push(
            char::from_digit(branch % 36, 36)
                .unwrap()
                .to_ascii_uppercase(),
        );
        branch /= 36;
    }
    code.extend(last.iter().rev());
    code
}

/// Returns every listed code.
fn listed() -> Vec<Ifsc> {
    let mut codes = Vec::new();
    for (at, row) in DIRECTORY.banks.iter().enumerate() {
        let first = number([row[7], row[8], row[9]]);
        let end = DIRECTORY
            .banks
            .get(at + 1)
            .map_or(DIRECTORY.codes.len(), |next| {
                number([next[7], next[8], next[9]])
            });
        let numbers: Vec<u32> = DIRECTORY.codes[first..end]
            .iter()
            .map(|code| u32::from_le_bytes(*code))
            .collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{row:?}");
        codes.extend(
            numbers
                .into_iter()
                .map(|number| Ifsc::parse(&code_of(&row[..4], number)).unwrap()),
        );
    }
    codes
}

#[test]
fn every_sample_code_has_its_bank_and_branch() {
    for line in SAMPLE.lines().filter(|line| !line.starts_with('#')) {
        let [code, bank, branch, city] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not four columns: {line}");
        };
        let known = known(code);
        let (name, town) = match known.branch {
            Some(branch) => (branch.name, branch.city.unwrap_or("-")),
            None => ("-", "-"),
        };
        assert_eq!(
            (known.bank.unwrap_or("-"), name, town),
            (bank, branch, city),
            "{code}"
        );
    }
}

#[test]
fn every_listed_code_is_found() {
    let codes = listed();
    assert_eq!(codes.len(), DIRECTORY.codes.len());
    assert!(codes.len() > 150_000, "{} are not all of them", codes.len());
    for code in &codes {
        assert!(lookup(code.as_str()).branch.is_some(), "{code:?}");
    }
    let nameless = codes
        .iter()
        .filter(|code| lookup(code.as_str()).bank.is_none())
        .count();
    assert!(nameless * 100 < codes.len(), "{nameless} of no known bank");
}

#[test]
fn the_file_is_complete_and_sorted() {
    let letters = |row: &[u8; 10]| row[..4].to_vec();
    assert!(
        DIRECTORY
            .banks
            .is_sorted_by(|one, next| letters(one) < letters(next))
    );
    let first = |row: &[u8; 10]| number([row[7], row[8], row[9]]);
    assert!(DIRECTORY.banks.is_sorted_by_key(first));
    assert_eq!(first(&DIRECTORY.banks[0]), 0);
    let families = DIRECTORY.families;
    assert!(families.is_sorted_by(|one, next| family_beginning(one) < family_beginning(next)));

    let mut begins = BTreeSet::new();
    let mut at = 0;
    while let Some(length) = DIRECTORY.texts.get(at) {
        begins.insert(at);
        at += 1 + usize::from(*length);
    }
    assert_eq!(at, DIRECTORY.texts.len());
    assert!(DIRECTORY.texts.is_ascii());
    let of_branches = DIRECTORY.branches.as_flattened().as_chunks::<3>().0;
    let of_banks = DIRECTORY.banks.iter().map(|row| [row[4], row[5], row[6]]);
    let of_families = families.iter().map(|row| [row[11], row[12], row[13]]);
    for place in of_banks
        .chain(of_families)
        .chain(of_branches.iter().copied())
    {
        assert!(
            begins.contains(&number(place)),
            "{place:?} is inside a text"
        );
    }
    assert!(DIRECTORY.branches.iter().all(|row| row[3..6] != NOTHING));
}

#[test]
fn a_code_that_is_not_listed_has_the_bank_of_its_family_or_its_letters() {
    for (code, bank) in [
        ("CNRB0000000", Some("Canara Bank")),
        (
            "YESB0YDCZZZ",
            Some("Yavatmal District Central Co-operative Bank"),
        ),
        // A code of an unknown sub-member, and not of HDFC Bank.
        ("HDFC0CZZZZZ", None),
        ("HDFC0ZZZZZZ", Some("HDFC Bank")),
        ("AABF0008032", None),
        ("ZZZZ0ZZZZZZ", None),
    ] {
        assert_eq!(known(code), Entry { bank, branch: None }, "{code}");
    }
}

#[test]
fn the_longest_family_decides() {
    let mut file = b"khifsc01".to_vec();
    for count in [1_u32, 0, 2, 9] {
        file.extend(count.to_le_bytes());
    }
    file.extend(b"ABCD\x01\0\0\0\0\0");
    file.extend(b"ABCD0\0\0\0\0\0\0\x03\0\0");
    file.extend(b"ABCD0X\0\0\0\0\0\x06\0\0");
    file.extend(b"\0\x01A\x02OF\x02XS");
    let table = Table::open(&file).unwrap();
    assert_eq!(table.bank_of_unlisted(b"ABCD0XXXXXX"), Some("XS"));
    assert_eq!(table.bank_of_unlisted(b"ABCD0YXXXXX"), Some("OF"));
    assert_eq!(table.bank_of_unlisted(b"ABCD1XXXXXX"), Some("A"));
    assert_eq!(table.listed(b"ABCD0XXXXXX"), None);
    for broken in [
        &file[1..],
        &file[..file.len() - 1],
        &[&file[..], b"\0"].concat(),
        b"",
    ] {
        assert!(Table::open(broken).is_none());
    }
}

proptest! {
    #[test]
    fn no_code_panics(code in "[A-Z]{4}0[A-Z0-9]{6}") {
        let known = known(&code);
        prop_assert!(known.bank.is_none_or(|bank| !bank.is_empty()));
    }
}

/// Prints time and memory: `cargo test --release -p khata-ifsc tests::figures -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn figures() {
    let before = resident_kb();
    let parts = [
        DIRECTORY.banks.as_flattened(),
        DIRECTORY.codes.as_flattened(),
        DIRECTORY.branches.as_flattened(),
        DIRECTORY.families.as_flattened(),
        DIRECTORY.texts,
    ];
    let sum: u64 = parts
        .into_iter()
        .flatten()
        .map(|byte| u64::from(*byte))
        .sum();
    std::hint::black_box(sum);
    let after = resident_kb();
    println!("{after} kB resident with every page in use, {before} kB before");

    let mut listed = listed();
    shuffle(&mut listed);
    let beside = listed
        .iter()
        .map(|code| format!("{}Z", &code.as_str()[..10]));
    let unlisted: Vec<Ifsc> = beside
        .filter_map(|code| Ifsc::parse(&code).ok())
        .filter(|code| lookup(code.as_str()).branch.is_none())
        .collect();
    for (what, codes) in [("listed", &listed), ("unlisted", &unlisted)] {
        for round in 1..=3 {
            let begun = Instant::now();
            for code in codes {
                std::hint::black_box(lookup(code.as_str()));
            }
            let each = begun.elapsed().as_nanos() / codes.len() as u128;
            println!(
                "round {round}: {each} ns for each of {} {what} codes",
                codes.len()
            );
        }
    }
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Shuffles the codes into an order that a processor cannot predict, the same each time.
fn shuffle(codes: &mut [Ifsc]) {
    let mut seed = 1_u64;
    for at in (1..codes.len()).rev() {
        // Knuth's MMIX.
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        codes.swap(at, usize::try_from(seed >> 33).unwrap() % (at + 1));
    }
}
