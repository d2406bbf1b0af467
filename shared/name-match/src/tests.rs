use proptest::prelude::*;

use super::NameMatchResult::{
    DirectMatch, GoodPartialMatch, ModeratePartialMatch, NoMatch, PoorPartialMatch,
};
use super::*;

fn result(given: &str, at_bank: &str) -> NameMatchResult {
    compare(given, at_bank).unwrap().result
}

#[test]
fn cashfrees_published_examples_have_their_scores() {
    for (given, published) in [
        ("john doe", 100),
        ("john d", 85),
        ("j doe", 70),
        ("jane d", 38),
    ] {
        let found = compare(given, "JOHN DOE").unwrap();
        assert_eq!(
            found.result,
            NameMatchResult::of_score(published),
            "{given}: {found:?}"
        );
        assert!(found.score.abs_diff(published) <= 2, "{given}: {found:?}");
    }
}

#[test]
fn every_band_begins_at_its_documented_score() {
    for (score, result) in [
        (255, DirectMatch),
        (100, DirectMatch),
        (99, GoodPartialMatch),
        (85, GoodPartialMatch),
        (84, ModeratePartialMatch),
        (60, ModeratePartialMatch),
        (59, PoorPartialMatch),
        (34, PoorPartialMatch),
        (33, NoMatch),
        (0, NoMatch),
    ] {
        assert_eq!(NameMatchResult::of_score(score), result, "{score}");
    }
}

#[test]
fn a_difference_in_form_only_is_a_direct_match() {
    for (given, at_bank) in [
        ("  asha\u{a0}rao ", "SMT. ASHA RAO"),
        ("S.V. Krishnamurthy", "SV KRISHNAMURTHY"),
        ("Ram Kumar", "RAMKUMAR"),
        ("Re\u{301}nee D\u{2019}Souza", "RENEE D'SOUZA"),
        ("Neelgiri Foods Pvt. Ltd.", "NEELGIRI FOODS (P) LIMITED"),
        ("Larsen & Toubro", "LARSEN AND TOUBRO"),
        ("Sharma & Co", "M/S SHARMA AND COMPANY"),
        ("Asha Rao and Vijay Rao", "VIJAY RAO & ASHA RAO"),
        ("Asha Rao", "ASHA RAO asha.rao@example.com"),
        ("Renée D’Souza", "RenÃ©e Dâ€™Souza"),
        ("\u{202e}Asha\u{2069} Rao", "ＡＳＨＡ ＲＡＯ"),
        ("Sai Transport", "SAI TPT"),
        ("Tara Pharmaceuticals", "TARA PHARMA"),
        ("Parijat Homes L.L.P.", "PARIJAT HOMES LLP"),
        ("Balaji Plastic Unit-II", "BALAJI PLASTIC UNIT NO. 02"),
        (
            "Govind Lohia S/O Late Mangat Lohia",
            "GOVIND LOHIA SON OF MANGAT LOHIA",
        ),
        ("आशा राव", "आशा राव"),
        ("محمد علي", "محمد علي"),
    ] {
        assert_eq!(result(given, at_bank), DirectMatch, "{given} | {at_bank}");
    }
}

#[test]
fn another_spelling_or_form_is_a_good_match() {
    for (given, at_bank) in [
        ("S V Krishnamurthy", "SIVARAMAN VENKATA KRISHNAMURTHY"),
        ("APJ Abdul Kalam", "AVUL PAKIR JAINULABDEEN ABDUL KALAM"),
        ("Larsen & Toubro", "LARSEN AND TOUBRO LIMITED"),
        ("Sanjay Kumar Singh", "SANJAY KR SINGH"),
        ("Asha Rao", "RAO ASHA"),
        ("आशा राव", "ASHA RAO"),
        ("Laxmi Chaudhary", "LAKSHMI CHOWDHURY"),
        ("Anil Kumar", "M/S SRI BALAJI TRADERS PROP ANIL KUMAR"),
        (
            "Sivaraman Venkata Krishnamurthy",
            "SIVARAMAN VENKATA KRISHN",
        ),
        ("Mohd Irfan", "IRFAN"),
        ("Md Rafique", "MD RAFIQ"),
        (
            "Gulmohar Co-operative Housing Society Ltd",
            "GULMOHAR COOP HSG SOC LTD",
        ),
        ("Sharada Enterprises", "SHARADA ENTRPRISES"),
        ("Kakatiya Oil Mills, Warangal", "KAKATIYA OIL MILLS"),
        ("Malabar Spices Calicut", "MALABAR SPICES KOZHIKODE"),
        ("Lakshmi Narayan", "லட்சுமி நாராயணன்"),
        ("रमेश चंद्र तिवारी", "RAMESH CHANDRA TIWARI"),
        ("आर. के. बाजपेयी", "R K BAJPAI"),
        ("श्री गणेश ट्रेडर्स", "SHREE GANESH TRADERS"),
        ("محمد رفیق شیخ", "MOHD RAFIQUE SHAIKH"),
        ("عبدالرحمن انصاری", "ABDUL REHMAN ANSARI"),
        ("S.V. Krishnamurthy", "SHIVA VENKATESHWARA KRISHNAMURTHY"),
        ("Krithika Singh", "KRITHIKA S"),
        ("Harsh Kishore", "HKISHORE"),
        ("Siva Venkata Krishnamurthy", "SVKRISHNAMURTHY"),
        ("R K Sharma", "RAMESH KUMAR SHARMA"),
        ("Ramesh Kumar", "RAMESH KUMAR SHARMA"),
        ("Venky Pasupuleti", "VENKATESWARA PASUPULETI"),
        ("Ramesh Kori", "RAJU ALIAS RAMESH KORI"),
        ("Kuppammal W/O Munusamy", "KUPPAMMAL MUNUSAMY"),
        ("Rajan Pulickal", "RAJAN PULICKAL JT1 SHEEBA PULICKAL"),
        (
            "Neelkanth Cement Products and Building Materials",
            "NEELKANTH CEMENT PRODUCTS",
        ),
        ("Meenakshi Sundaresan", "MEENAKSHI SUNDARXXXX"),
        ("Suryanarayana Murthy", "SURYANARAY*** MURT**"),
    ] {
        assert_eq!(
            result(given, at_bank),
            GoodPartialMatch,
            "{given} | {at_bank}"
        );
    }
}

#[test]
fn too_little_evidence_is_a_moderate_match() {
    for (given, at_bank) in [
        ("Ramesh", "RAMESH SHARMA"),
        ("A Rao", "ASHA RAO"),
        ("Asha Rao", "LATE ASHA RAO"),
        ("Asha Rao", "ESTATE OF ASHA RAO"),
        ("Asha Rao", "LEGAL HEIR OF ASHA RAO"),
        ("Asha Rao", "ASHA RAO (DECEASED)"),
        ("Dwarkesh Ceramics Private Limited", "DWARKESH CERAMICS LLP"),
        ("Gyanoday Foundation Trust", "GYANODAY FOUNDATION PVT LTD"),
        ("Sai Traders Prop Anil Kumar", "SAI TRADERS PVT LTD"),
        ("Anil Kumar", "ANIL KUMAR PVT LTD"),
        ("Swapnil Ashok Bhoir", "ASHOK BHOIR"),
        ("PATIL ASHOK", "Patil Swapnil Ashok"),
        ("SHAH RAMESH", "Shah Bhavin Ramesh"),
        (
            "Riya Sharma U/G Sunil Sharma",
            "RIYA SHARMA U/G MAHESH VERMA",
        ),
        ("ABC Traders", "ABC TRADERS EXPORTS"),
        ("Asha Rao / Ravi Jain / Om Puri / Tara Sen", "TARA SEN"),
        ("Anil Kumar", "ANIL KUMAR HUF"),
        ("Mr Kiran Rao", "MRS KIRAN RAO"),
        ("Asha Rao & Vijay Rao", "ASHA RAO & SUNIL RAO"),
    ] {
        assert_eq!(
            result(given, at_bank),
            ModeratePartialMatch,
            "{given} | {at_bank}"
        );
    }
}

#[test]
fn titles_that_are_also_given_names_separate_persons() {
    for (given, at_bank) in [
        ("Sardar Singh", "KUNWAR SINGH"),
        ("Major Singh", "CAPTAIN SINGH"),
        ("Major Singh Gill", "CAPTAIN SINGH GILL"),
        ("Sant Ram", "SWAMI RAM"),
        ("Sant Ram Sharma", "SWAMI RAM SHARMA"),
        ("Thakur Das", "SANT DAS"),
        ("Hafiz Khan", "HAJI KHAN"),
        ("Lala Ram Lal", "SANT RAM LAL"),
    ] {
        let found = result(given, at_bank);
        assert!(
            matches!(found, PoorPartialMatch | NoMatch),
            "{given} | {at_bank}: {found:?}"
        );
    }
    for (given, at_bank) in [
        ("Sardar Balbir Singh", "BALBIR SINGH"),
        ("Captain Deepak Sharma", "MAJOR DEEPAK SHARMA"),
        ("Master Vihaan Kapoor", "VIHAAN KAPOOR"),
    ] {
        assert_eq!(result(given, at_bank), DirectMatch, "{given} | {at_bank}");
    }
}

#[test]
fn a_mans_short_name_is_not_his_sisters() {
    for (given, at_bank) in [
        ("Shiv Sharma", "SHIVANI SHARMA"),
        ("Ram Sharma", "RAMA SHARMA"),
        ("Ramu Rao", "RAMYA RAO"),
        ("Raj Malhotra", "RAJESHWARI MALHOTRA"),
        ("Prabhu Rao", "PRABHA RAO"),
        ("Lalu Yadav", "LALITA YADAV"),
        ("Kalu Singh", "KALPANA SINGH"),
        ("Sunny Arora", "SANGEETA ARORA"),
        ("Sunny Arora", "SUNITA ARORA"),
        ("Anu Sharma", "ANUP SHARMA"),
        ("Vijay Rao", "VIJAYASREE RAO"),
        ("Mani Gupta", "MANISHA GUPTA"),
        ("Siva Reddy", "SIVAGAMI REDDY"),
        ("Raju Pillai", "RAJALAKSHMI PILLAI"),
    ] {
        let found = result(given, at_bank);
        assert!(
            !matches!(found, DirectMatch | GoodPartialMatch),
            "{given} | {at_bank}: {found:?}"
        );
    }
    for (given, at_bank) in [
        ("Raj Malhotra", "RAJESH MALHOTRA"),
        ("Ram Pasupuleti", "RAMACHANDRAN PASUPULETI"),
        ("Prabhu Kori", "PRABHAKAR KORI"),
        ("Sunny Arora", "SUNIL ARORA"),
        ("Mani Kori", "MANIKANDAN KORI"),
        ("Anu Sharma", "ANURADHA SHARMA"),
        ("Lalu Yadav", "LALIT YADAV"),
    ] {
        let found = result(given, at_bank);
        assert_eq!(found, GoodPartialMatch, "{given} | {at_bank}");
    }
}

#[test]
fn a_contradiction_is_at_most_a_poor_match() {
    for (given, at_bank) in [
        ("Ramesh Kumar", "SURESH KUMAR"),
        ("Sita Devi", "GITA DEVI"),
        ("Mohd Irfan", "MOHD IMRAN"),
        ("Krishna Menon", "KRISHNAN MENON"),
        ("R Kumar", "SURESH KUMAR"),
        ("Kumar", "RAMESH KUMAR"),
        ("Ram Lal", "ANIL KUMAR S/O RAM LAL"),
        ("Sunil Sharma", "RIYA SHARMA (MINOR) U/G SUNIL SHARMA"),
        ("Anil Kumar Sharma", "ANIL KUMAR VERMA"),
        ("Sita W/O Ramesh Patil", "SITA W/O GANESH PATIL"),
        (
            "Santosh Koli S/O Dattu Koli",
            "SANTOSH KOLI S O BHAGWAN KOLI",
        ),
        ("Kiran Kumar Shah", "KIRAN BEN SHAH"),
        ("Kiran Kumar Shah", "KIRANBEN SHAH"),
        ("Jaswinder Singh Sandhu", "JASWINDER KAUR SANDHU"),
        ("Shanti Lal Porwal", "SHANTI BAI PORWAL"),
        ("Ram Lal Gupta", "RAM DAS GUPTA"),
        ("Sai Transport", "SAI TRDRS"),
        ("Ganga Traders Kanpur", "GANGA TRADERS LUCKNOW"),
        ("Balaji Plastic Unit 2", "BALAJI PLASTIC UNIT III"),
        ("محمد رفیق شیخ", "MOHD SHAFIQ SHAIKH"),
        ("Harsh Kishore", "VKISHORE"),
        ("Ash\u{430} Rao", "SURESH PATEL"),
        ("\u{410}sha Rao", "SURESH PATEL"),
    ] {
        assert!(
            matches!(result(given, at_bank), PoorPartialMatch | NoMatch),
            "{given} | {at_bank}"
        );
    }
}

#[test]
fn placeholders_are_not_names() {
    for placeholder in [
        "",
        " ",
        "NA",
        "n/a",
        "N.A.",
        "Verified",
        "NULL",
        "NOT AVAILABLE",
        "Customer",
        "CUSTOMER 1",
        "A/C HOLDER",
        "Account Holder",
        "XXXX",
        "xxx xxxx",
        "12345",
        "---",
        "🙂",
        "\u{200b}",
        "OK",
        "MR",
        "Ms.",
        "SHRI",
        "SMT DR",
        "null null",
        "SAVINGS ACCOUNT",
        "SB A/C",
        "CUSTOMER NAME NOT AVAILABLE",
        "UNREGISTERED",
        "IMPS BENEFICIARY",
        "A*** R**",
        "ASHA XXXX",
        "ASH*** RAO",
        "***HA RAO",
        "asha@okhdfcbank",
        "asha.rao@example.com",
    ] {
        assert!(is_placeholder(placeholder), "{placeholder}");
        assert_eq!(compare("Asha Rao", placeholder), None, "{placeholder}");
        assert_eq!(compare(placeholder, "ASHA RAO"), None, "{placeholder}");
    }
    for name in [
        "TEST",
        "Nan Singh",
        "Mr Rao",
        "Test Kumar",
        "Savings Traders",
        "MEENAKSHI SUNDAR***",
        "ASHO*** RAO",
        "Verified Foods",
        "X",
        "Alexx",
        "आशा",
        "Om",
    ] {
        assert!(!is_placeholder(name), "{name}");
    }
}

#[test]
fn a_test_is_compared_with_a_test_only() {
    for test in ["TEST", "Test User", "TEST TEST", "Dummy", "SAMPLE NAME"] {
        assert_eq!(compare("Asha Rao", test), None, "{test}");
        assert_eq!(compare(test, "ASHA RAO"), None, "{test}");
        assert_eq!(result(test, &test.to_uppercase()), DirectMatch);
    }
    assert!(compare("Test Kumar", "TEST").is_none());
}

#[test]
fn a_name_in_unreadable_letters_is_not_compared() {
    assert_eq!(compare("Аша Рао", "ASHA RAO"), None);
    assert_eq!(compare("Asha Rao", "Аша Рао"), None);
    assert_eq!(result("Аша Рао", "Аша Сингх"), PoorPartialMatch);
    assert_ne!(result("محمد علي", "محمد رضا"), DirectMatch);
}

#[test]
fn a_result_is_found_by_its_word() {
    for result in NameMatchResult::ALL {
        assert_eq!(NameMatchResult::parse(result.as_str()), Some(*result));
        assert_eq!(NameMatchResult::of_score(result.min_score()), *result);
    }
    assert_eq!(NameMatchResult::parse("MATCH"), None);
}

#[test]
fn a_hostile_name_is_compared_within_bounds() {
    for (one, other) in [
        ("a ".repeat(5_000), "b ".repeat(5_000)),
        ("ab ".repeat(5_000), "abab ".repeat(5_000)),
        ("S/O & ".repeat(5_000), "@ , / ".repeat(5_000)),
        ("ییییو".repeat(2_000), "ieieou".repeat(2_000)),
        ("tch".repeat(5_000), "*x*".repeat(5_000)),
        ("ria ".repeat(50), "rio rea ".repeat(25)),
        // Initials of one sound, which are no pairs.
        ("ccc ".repeat(50), "kkk ".repeat(50)),
        ("c.k.".repeat(50), "k-q-".repeat(50)),
        ("a & bc de ".repeat(20), "bd ef / a ".repeat(20)),
        ("a s/o ".repeat(33), "a guardian of ".repeat(14)),
        ("क ख ".repeat(50), "क्ष ".repeat(50)),
        // The longest names of the API: 40 short words, alike in their first letter; initials; one word again and again; words that
        // the other name joins.
        ("ra ri ru re ".repeat(10), "rb rc rd rf ".repeat(10)),
        ("ra ".repeat(40), "rara ".repeat(24)),
        ("r ".repeat(60), "rama ".repeat(24)),
        ("rrrrr ".repeat(20), "rab ".repeat(30)),
        ("ra ri ru re ".repeat(10), "rarirurere ".repeat(10)),
        ("ra co ri co ".repeat(10), "rb rc rd rf ".repeat(10)),
        ("ra w/o ri ".repeat(13), "rb w/o rc ".repeat(13)),
    ] {
        let found = compare(&one, &other);
        assert_eq!(found, compare(&other, &one));
        let comparisons = comparisons(&one, &other);
        assert!(
            comparisons <= MAX_COMPARISONS,
            "{comparisons}: {one} {other}"
        );
        for name in [&one, &other] {
            assert!(words_compared(name) <= MAX_WORDS_COMPARED, "{name}");
        }
    }
}

/// The words that are read, and the family names that holders share: each takes three words.
const MAX_WORDS_COMPARED: usize = text::MAX_WORDS * 4 / 3;

/// Maximum number of comparisons of two words, or of two runs of words, in a comparison of two names: 56 of each pair of words, once as
/// persons and once as firms.
const MAX_COMPARISONS: usize = 2 * 56 * MAX_WORDS_COMPARED * MAX_WORDS_COMPARED;

/// Returns the number of comparisons of words in the comparison of these names.
fn comparisons(one: &str, other: &str) -> usize {
    likeness::COMPARISONS.set(0);
    compare(one, other);
    likeness::COMPARISONS.get()
}

#[test]
fn of_a_longer_name_the_first_40_words_are_compared() {
    let (name, longer) = ("ra ri ru re ".repeat(10), "ra ri ru re ".repeat(11));
    assert_eq!(compare(&name, &longer).map(|found| found.score), Some(100));
    let other = "zu ".repeat(4);
    assert_eq!(
        compare(&name, &format!("{name}{other}")),
        compare(&name, &name)
    );
}

/// Returns the number of words of a name that are compared with those of another one.
fn words_compared(name: &str) -> usize {
    fn of(holder: &Holder) -> usize {
        let of_relative = |(_, relative): &(_, Box<Holder>)| of(relative);
        holder.words.len() + holder.relative.as_ref().map_or(0, of_relative)
    }
    let Some(name) = Name::of(name) else { return 0 };
    let of_all = |as_firm| name.holders(as_firm).iter().map(of).sum::<usize>();
    of_all(false).max(of_all(true))
}

/// Generates names of letters, marks and words that the rules know.
fn name() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[A-Za-z]{1,9}",
        proptest::sample::select(vec![
            "Kumar",
            "Sri",
            "Mr",
            "M/S",
            "S/O",
            "Pvt",
            "Ltd",
            "&",
            "and",
            "HUF",
            "Mohd",
            "Prop",
            "S.",
            "(",
            ",",
            "U/G",
            "राम",
            "கண்",
            "محمد",
            "é",
            "Late",
            "Trdrs",
            "Unit",
            "II",
            "W/O",
            "alias",
            "JT1",
            "Ra***",
            "Sundaxx",
            "Ben",
            "'",
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(word, 1..7).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_text_is_compared(one in any::<String>(), other in "\\PC{0,250}") {
        if let Some(found) = compare(&one, &other) {
            prop_assert!(found.score <= 100);
            prop_assert_eq!(found.result, NameMatchResult::of_score(found.score));
        }
    }

    #[test]
    fn a_comparison_takes_bounded_work(
        words in proptest::collection::vec(name(), 1..20), mark in "[ .,/&;]",
    ) {
        let name = words.join(mark.as_str());
        prop_assert!(words_compared(&name) <= MAX_WORDS_COMPARED, "{}", name);
        let backwards: Vec<_> = words.iter().rev().map(String::as_str).collect();
        let comparisons = comparisons(&name, &backwards.join(" "));
        prop_assert!(comparisons <= MAX_COMPARISONS, "{}: {}", comparisons, name);
    }

    #[test]
    fn the_order_of_the_names_makes_no_difference(one in name(), other in name()) {
        prop_assert_eq!(compare(&one, &other), compare(&other, &one));
    }

    #[test]
    fn a_name_matches_itself(name in name()) {
        if let Some(found) = compare(&name, &name) {
            prop_assert_eq!(found.score, 100);
        }
    }

    #[test]
    fn case_space_and_titles_make_no_difference(words in proptest::collection::vec("[b-df-hj-np-tv-z][aeiou][b-df-hj-np-tv-z]{1,2}[aeiou][b-df-hj-np-tv-z]", 2..5)) {
        let name = words.join(" ");
        let shouted = format!("SMT.  {} ", words.join(" \u{a0}.").to_uppercase());
        prop_assert_eq!(result(&name, &shouted), DirectMatch);
    }

    #[test]
    fn another_holder_does_not_raise_the_score(one in "[A-Z][a-z]{4,8} [A-Z][a-z]{4,8}", other in "[A-Z][a-z]{4,8} [A-Z][a-z]{4,8}") {
        if let (Some(alone), Some(joint)) = (compare(&one, &one), compare(&one, &format!("{one} & {other}"))) {
            prop_assert!(joint.score <= alone.score);
        }
    }
}
