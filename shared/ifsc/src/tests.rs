use std::collections::BTreeSet;
use std::str;
use std::time::Instant;

use proptest::prelude::*;

use super::directory::DIRECTORY;
use super::table::{IMPS, NOTHING, Table, beginning, checksum, number};
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
            Some(branch) => (branch.name(), branch.city().unwrap_or("-")),
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
    for code in &codes {
        assert!(lookup(code.as_str()).bank.is_some(), "{code:?}");
        assert_eq!(hint(code.as_str()), None, "{code:?}");
    }
}

#[test]
fn the_file_is_complete_and_sorted() {
    let letters = |row: &[u8; 11]| row[..4].to_vec();
    assert!(
        DIRECTORY
            .banks
            .is_sorted_by(|one, next| letters(one) < letters(next))
    );
    let first = |row: &[u8; 11]| number([row[7], row[8], row[9]]);
    assert!(DIRECTORY.banks.is_sorted_by_key(first));
    assert_eq!(first(&DIRECTORY.banks[0]), 0);
    let families = DIRECTORY.families;
    assert!(families.is_sorted_by(|one, next| beginning(one) < beginning(next)));
    let mergers = DIRECTORY.mergers;
    assert!(mergers.is_sorted_by(|one, next| beginning(one) < beginning(next)));

    let mut begins = BTreeSet::new();
    let mut at = 0;
    while let Some(length) = DIRECTORY.texts.get(at) {
        begins.insert(at);
        at += 1 + usize::from(*length);
    }
    assert_eq!(at, DIRECTORY.texts.len());
    assert!(DIRECTORY.texts.is_ascii());
    let of_branches = DIRECTORY
        .branches
        .iter()
        .flat_map(|row| row[..15].as_chunks::<3>().0.to_vec());
    let of_mergers = mergers
        .iter()
        .flat_map(|row| [[row[11], row[12], row[13]], [row[18], row[19], row[20]]]);
    let of_banks = DIRECTORY.banks.iter().map(|row| [row[4], row[5], row[6]]);
    let of_families = families.iter().map(|row| [row[11], row[12], row[13]]);
    for place in of_banks
        .chain(of_families)
        .chain(of_branches)
        .chain(of_mergers)
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
        ("IOBA0GBZZZZ", Some("Odisha Grameen Bank")),
        ("HDFC0ZZZZZZ", Some("HDFC Bank")),
        ("AABF0008032", None),
        ("ZZZZ0ZZZZZZ", None),
    ] {
        assert_eq!(known(code), Entry { bank, branch: None }, "{code}");
    }
}

#[test]
fn the_longest_family_decides() {
    let mut file = b"khifsc022026-06-30".to_vec();
    file.extend(7_u64.to_le_bytes());
    for count in [1_u32, 0, 2, 1, 20] {
        file.extend(count.to_le_bytes());
    }
    file.extend(b"ABCD\x01\0\0\0\0\0\x01");
    file.extend(b"ABCD0\0\0\0\0\0\0\x03\0\0");
    file.extend(b"ABCD0X\0\0\0\0\0\x06\0\0");
    file.extend(b"ABCD0X\0\0\0\0\0\x01\0\0EFGH\x09\0\0");
    file.extend(b"\0\x01A\x02OF\x02XS\x0a2017-04-01");
    let table = Table::open(&file).unwrap();
    assert_eq!((&table.list_date, table.checksum), (b"2026-06-30", 7));
    assert_eq!(
        table.merger(b"ABCD0XXXXXX"),
        Some([Some("A"), Some("EFGH"), Some("2017-04-01")])
    );
    assert_eq!(table.merger(b"ABCD0YXXXXX"), None);
    assert_eq!(table.services_of_unlisted(b"ABCD0XXXXXX"), Some(IMPS));
    assert_eq!(table.services_of_unlisted(b"ABCE0XXXXXX"), None);
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
        let _ = (successor(&code), takes_imps(&code), hint(&code));
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,30}") {
        let _ = (explain(&text), is_known_handle(&text));
    }
}

#[test]
fn a_branch_has_its_place_micr_and_services() {
    let branch = known("HDFC0000001").branch.unwrap();
    assert_eq!(
        (branch.district(), branch.state(), branch.micr().as_deref()),
        (Some("MUMBAI"), Some("MAHARASHTRA"), Some("400240003"))
    );
    assert!(branch.imps() && branch.neft() && branch.rtgs() && branch.upi());
    let clearing = known("XNSE0000001").branch.unwrap();
    assert!(clearing.rtgs() && !clearing.imps() && !clearing.neft());
    assert_eq!(clearing.micr(), None);
}

#[test]
fn the_code_of_a_merged_bank_names_its_successor() {
    for (code, bank, letters, since) in [
        (
            "SBHY0020039",
            "State Bank of India",
            Some("SBIN"),
            "2017-04-01",
        ),
        (
            "ANDB0000001",
            "Union Bank of India",
            Some("UBIN"),
            "2020-04-01",
        ),
        ("LAVB0000001", "DBS Bank India", Some("DBSS"), "2020-11-27"),
        ("PKGB0010500", "Karnataka Grameena Bank", None, "2025-05-01"),
        (
            "UBIN0CG7999",
            "Andhra Pradesh Grameena Bank",
            None,
            "2025-05-01",
        ),
    ] {
        let expected = Successor {
            bank,
            letters,
            since,
        };
        assert_eq!(successor(code), Some(expected), "{code}");
    }
    for code in ["SBIN0001077", "UBIN0CG5501", "AABF0008032", "ZZZZ0ZZZZZZ"] {
        assert_eq!(successor(code), None, "{code}");
    }
    // Every merger is into a bank that exists, and no bank is merged twice in a row.
    for row in DIRECTORY.mergers {
        let code = format!("{:0<11}", str::from_utf8(beginning(row)).unwrap());
        let into = successor(&code).unwrap();
        assert!(lookup(&code).bank.is_some(), "{code}");
        assert_eq!(into.since.len(), 10, "{code}");
        if let Some(letters) = into.letters {
            let next = format!("{letters}0ZZZZZZ");
            assert_eq!(
                (lookup(&next).bank, successor(&next)),
                (Some(into.bank), None)
            );
        }
    }
}

#[test]
fn imps_is_off_only_where_the_lists_say_so() {
    for (code, takes) in [
        ("HDFC0000001", true),
        ("TNGB0060177", true),
        ("AABF0008032", true),
        ("ZZZZ0ZZZZZZ", true),
        ("ANDB0000001", true),
        ("RBIS0GSTPMT", false),
        ("RBIS0AGPA01", false),
        ("CCIL0NEFT01", false),
        ("XNSE0000001", false),
        ("SBHY0020039", false),
    ] {
        assert_eq!(takes_imps(code), takes, "{code}");
    }
    let without = listed()
        .into_iter()
        .filter(|code| !takes_imps(code.as_str()));
    let without = without.count();
    assert!(
        without < 150,
        "{without} listed codes take no IMPS: is the list right?"
    );
}

#[test]
fn slips_of_the_hand_are_explained() {
    for (typed, explained) in [
        (
            "UTBIOKTLC32",
            "the fifth character is the letter O; it must be the digit 0; United Bank of India is part of Punjab National Bank",
        ),
        (
            "SBINO001077",
            "the fifth character is the letter O; it must be the digit 0; SBIN0001077 is a listed IFSC",
        ),
        ("sbinO001077", "SBIN0001077 is a listed IFSC"),
        ("SBINOOO1077", "SBIN0001077 is a listed IFSC"),
        (
            "1CIC0000009",
            "the first character is the digit 1; it must be the letter I; ICIC0000009 is a listed IFSC",
        ),
        (
            "I0BA0000001",
            "the second character is the digit 0; it must be the letter O",
        ),
        (
            "SBIN 0001077",
            "the code must be written without spaces and marks; SBIN0001077 is a listed IFSC",
        ),
        ("SBIN-0001077", "SBIN0001077 is a listed IFSC"),
        ("sbinOool077", "SBIN0001077 is a listed IFSC"),
        (
            "ICIC000009",
            "the code has 10 characters; perhaps a zero is missing: ICIC0000009 is a listed IFSC",
        ),
        (
            "ICIC00000009",
            "the code has 12 characters; perhaps a zero is too many: ICIC0000009 is a listed IFSC",
        ),
    ] {
        let found = explain(typed).unwrap_or_default();
        assert!(found.contains(explained), "{typed}: {found}");
    }
    for typed in [
        "",
        "?",
        "HDFC",
        "HDFC1000001",
        "12345678901",
        "HDFC00000O1X",
        "ＨＤＦＣ0000001",
        "SBIN0001077",
    ] {
        let found = explain(typed);
        assert!(found.is_none(), "{typed}: {found:?}");
    }
}

#[test]
fn a_hint_names_the_successor_or_the_only_listed_code_that_looks_alike() {
    for (code, hinted) in [
        ("SBIN0OO1077", Some("SBIN0001077 is")),
        ("SBIN000I077", Some("SBIN0001077 is")),
        (
            "SBHY0020039",
            Some(
                "State Bank of Hyderabad is part of State Bank of India since 2017-04-01, whose IFSCs begin with SBIN",
            ),
        ),
        (
            "PKGB0099999",
            Some("Karnataka Grameena Bank since 2025-05-01: ask"),
        ),
        ("SBIN0001077", None),
        ("AABF0008032", None),
        ("CNRB0000000", None),
    ] {
        let found = hint(code);
        assert_eq!(found.is_some(), hinted.is_some(), "{code}: {found:?}");
        let found = found.unwrap_or_default();
        assert!(
            found.contains(hinted.unwrap_or_default()),
            "{code}: {found}"
        );
    }
}

#[test]
fn the_file_has_its_date_and_checksum() {
    assert!(list_date().parse::<DayForm>().is_ok(), "{}", list_date());
    assert!(HANDLES_DATE.parse::<DayForm>().is_ok(), "{HANDLES_DATE}");
    let file = include_bytes!("../data/ifsc.bin");
    assert_eq!(edition(), format!("{:016x}", checksum(&file[46..])));
}

/// A text like `2026-06-30`.
struct DayForm;

impl str::FromStr for DayForm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<_> = text.split('-').map(str::len).collect();
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        (parts == [4, 2, 2] && digits == 8)
            .then_some(Self)
            .ok_or(())
    }
}

#[test]
fn handles_are_sorted_small_letters() {
    let lines = include_str!("../data/handles.txt").lines();
    let handles: Vec<_> = lines.filter(|line| !line.starts_with('#')).collect();
    assert!(handles.len() > 100 && handles.is_sorted_by(|one, next| one < next));
    let is_handle = |one: &&str| {
        one.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    assert!(handles.iter().all(is_handle));
    for (vpa, known) in [
        ("asha@okaxis", true),
        ("asha.rao@ptsbi", true),
        ("9164326296@upi", true),
        ("026291800001191@aabf0008032.ifsc.npci", true),
        ("asha@gmail.com", false),
        ("asha@okaxiss", false),
    ] {
        assert_eq!(is_known_handle(vpa), known, "{vpa}");
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
        DIRECTORY.mergers.as_flattened(),
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
