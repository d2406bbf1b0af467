use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::text::{prose_pattern, trim};

#[test]
fn ifsc_is_trimmed_and_upper_cased() {
    for good in [
        " aabf0008032 ",
        "\u{a0}AABF0008032\u{200b}",
        "\u{feff}aabf0008032\r\n",
    ] {
        assert_eq!(Ifsc::parse(good).unwrap().as_str(), "AABF0008032");
    }
    for bad in [
        "",
        "AABF1008032",
        "AAB00008032",
        "AABF000803",
        "AABF00080321",
        "AABF0008०32",
        "AABF0 08032",
    ] {
        assert!(Ifsc::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn another_code_or_script_in_place_of_an_ifsc_is_named() {
    for (code, part) in [
        ("400002006", "MICR"),
        ("HDFC०००१२३४", "Devanagari"),
        ("HDFC1000001", "four letters, a zero"),
    ] {
        let fault = Ifsc::parse(code).unwrap_err();
        assert!(fault.reason().contains(part), "{code}: {fault}");
    }
}

#[test]
fn account_numbers_are_parsed_unchanged() {
    for good in [
        "026291800001191",
        " 026291800001191",
        "026291800001191\u{200b}\n",
    ] {
        let number = AccountNumber::parse(good).unwrap();
        assert_eq!(number.expose(), "026291800001191");
    }
    for bad in [
        "",
        "1234",
        "02629 1800001191",
        "०२६२९१८०००",
        "12345\u{0}",
        &"1".repeat(36),
    ] {
        assert!(AccountNumber::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn what_is_no_whole_account_number_is_named() {
    for (number, part) in [
        ("XXXXXXXX1191", "masked"),
        ("xxxx1191", "masked"),
        ("0262XXXXX1191", "masked"),
        ("********1191", "masked"),
        ("••••1191", "masked"),
        ("2.62918E+14", "scientific"),
        ("०२६२९१", "Devanagari"),
        ("１２３４５６", "full-width"),
        ("0262-9180", "5 to 35"),
    ] {
        let fault = AccountNumber::parse(number).unwrap_err();
        assert!(fault.reason().contains(part), "{number}: {fault}");
    }
    assert!(
        AccountNumber::parse("AX1X91").is_ok(),
        "a letter alone is no mask"
    );
}

#[test]
fn a_placeholder_is_no_account_number_and_no_vpa() {
    for text in ["undefined", "Undefined", "Array", "STRING", "$number"] {
        let fault = AccountNumber::parse(text).unwrap_err();
        assert_eq!(fault, ValueError::PLACEHOLDER, "{text}");
    }
    for text in [
        "undefined@upi",
        "NULL@upi",
        "None@upi",
        "asha@undefined",
        "{vpa}",
    ] {
        let fault = Vpa::parse(text).unwrap_err();
        assert!(
            matches!(fault, ValueError::Placeholder(_)),
            "{text}: {fault}"
        );
    }
    assert!(AccountNumber::from_stored("undefined").is_some());
    assert!(Vpa::parse("nil@okaxis").is_ok());
}

#[test]
fn a_short_number_shows_less() {
    let masked = |text: &str| AccountNumber::parse(text).unwrap().masked();
    assert_eq!(masked("026291800001191"), "XXXXXXX1191");
    assert_eq!(masked("12345678"), "XXXXXXX8");
    assert_eq!(masked("12345"), "XXXXXXX5");
}

#[test]
fn names_may_be_of_any_script() {
    for good in [
        "test",
        "  आशा राव ",
        "Zoë 🙂",
        "O'Neil & Sons",
        "Jennifer Null",
    ] {
        assert!(BeneficiaryName::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "   ",
        "\u{200b}",
        "\u{feff}\u{2060}",
        "a\u{0}b",
        "line\nbreak",
        "undefined",
        "[object Object]",
        "????",
        &"x".repeat(121),
    ] {
        assert!(BeneficiaryName::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn vpas_have_one_at_sign_and_a_handle() {
    for good in [
        "Asha.Rao@OKhdfcbank",
        " asha.rao@okhdfcbank\u{a0}",
        "\u{200b}asha.rao@okhdfcbank",
    ] {
        assert_eq!(Vpa::parse(good).unwrap().expose(), "asha.rao@okhdfcbank");
    }
    let longest = format!("{}@upi", "a".repeat(251));
    for good in [
        "9164326296@upi",
        "a1@b",
        "a._-@ok.bank-1",
        "xxx@upi",
        "ashaxxxx@upi",
        "alexx.98@upi",
        "02629@HDFC0000001.ifsc.npci",
        &longest,
    ] {
        assert!(Vpa::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "a@upi",
        "asha",
        "asha@@upi",
        "as@ha@upi",
        "asha@",
        "asha@1upi",
        "asha@ybl.",
        "asha@ybl-",
        "asha@.ybl",
        "asha @upi",
        "äsha@upi",
        "undefined@upi",
        "asha@upi,ravi@upi",
        "XXXXXX6296@upi",
        "98xxxxxx96@ybl",
        "xxxxxha@okhdfcbank",
        "XXXXXXXX1191@HDFC0000001.ifsc.npci",
        "ab@HDFC0000001.ifsc.npci",
        "0-0.1_@HDFC0000001.ifsc.npci",
        &format!("{}@upi", "a".repeat(252)),
    ] {
        assert!(Vpa::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn mail_addresses_are_no_vpas() {
    for mail in [
        "asha.rao@gmail.com",
        "asha@GMAIL.COM",
        "asha@gmail",
        "asha@yahoo.co.in",
        "asha@yahoo.in",
        "asha@outlook.com",
        "asha@hotmail.com",
        "asha@live.in",
        "asha@rediffmail.com",
        "asha@icloud.com",
        "asha@protonmail.ch",
        "asha@mail.acme.example",
        "accounts@acme.co.in",
        "asha@acme.org",
    ] {
        let fault = Vpa::parse(mail).unwrap_err();
        assert!(fault.reason().contains("e-mail"), "{mail}: {fault}");
    }
    for vpa in [
        "asha@okhdfcbank",
        "asha@upi",
        "asha@ybl",
        "gmail@okaxis",
        "asha.gmail@paytm",
        "026291@hdfc0000001.ifsc.npci",
        "9164326296@mobile.npci",
        "asha@in",
        "asha@com",
    ] {
        assert!(Vpa::parse(vpa).is_ok(), "{vpa}");
    }
}

#[test]
fn a_vpa_can_name_a_bank_account() {
    let named = |text: &str| {
        let vpa = Vpa::parse(text).unwrap();
        let account = vpa.bank_account();
        account.map(|(number, ifsc)| (number.to_owned(), ifsc.as_str().to_owned()))
    };
    assert_eq!(
        named("026291800001191@HDFC0000001.ifsc.npci"),
        Some(("026291800001191".into(), "HDFC0000001".into()))
    );
    for other in [
        "asha@upi",
        "9164326296@mobile.npci",
        "026291@hdfc1000001.ifsc.npci",
    ] {
        assert_eq!(named(other), None, "{other}");
    }
}

#[test]
fn values_that_were_stored_under_wider_rules_are_read() {
    assert!(AccountNumber::from_stored("XXXXXXXX1191").is_some());
    assert!(BeneficiaryName::from_stored("\u{200b}").is_some());
    assert!(BeneficiaryName::from_stored("undefined").is_some());
    for vpa in [
        "asha@gmail.com",
        "asha@ybl.",
        "null@upi",
        "xxxxxx6296@upi",
        "ab@hdfc0000001.ifsc.npci",
    ] {
        assert_eq!(Vpa::from_stored(vpa).unwrap().expose(), vpa);
    }
    assert!(AccountNumber::from_stored("1234").is_none());
    assert!(BeneficiaryName::from_stored("").is_none());
    assert!(Vpa::from_stored("asha").is_none());
}

#[test]
fn bank_codes_are_names_or_numbers() {
    for good in ["12", "JP_HDFC", " JP_HDFC "] {
        assert!(BankCode::parse(good).is_ok());
    }
    for bad in ["", "HDFC", "JP_", "JP_é", "1 2", &"1".repeat(33)] {
        assert!(BankCode::parse(bad).is_err(), "{bad}");
    }
}

/// Returns whether the published pattern accepts the text, or the text without the invisible characters around it, which no
/// pattern names.
fn matches(pattern: &str, text: &str) -> bool {
    let pattern = Regex::new(pattern).unwrap();
    pattern.is_match(text) || trim(text) != text.trim() && pattern.is_match(trim(text))
}

/// Returns whether a value is refused for another reason than its form, which no pattern publishes.
fn is_refused_for_its_meaning<T>(parsed: &Result<T, ValueError>) -> bool {
    let texts = ["masked", "e-mail", "question marks", "invisible"];
    parsed.as_ref().is_err_and(|fault| {
        let is_named = |text: &&str| fault.reason().contains(text);
        matches!(fault, ValueError::Placeholder(_)) || texts.iter().any(is_named)
    })
}

proptest! {
    #[test]
    fn no_input_panics(text in any::<String>()) {
        let _ = (Ifsc::parse(&text), AccountNumber::parse(&text), BeneficiaryName::parse(&text), Vpa::parse(&text), BankCode::parse(&text));
    }

    #[test]
    fn a_parsed_ifsc_parses_to_itself(text in " {0,2}[A-Za-z]{4}0[A-Za-z0-9]{6} {0,2}") {
        let ifsc = Ifsc::parse(&text).unwrap();
        prop_assert_eq!(Ifsc::parse(ifsc.as_str()).unwrap(), ifsc);
    }

    #[test]
    fn an_account_number_is_kept_unchanged(text in "[A-WYZa-wyz0-9]{5,35}") {
        let number = AccountNumber::parse(&text).unwrap();
        prop_assert_eq!(number.expose(), &text);
    }

    #[test]
    fn a_parsed_name_parses_to_itself(text in "\\s{0,3}\\PC{1,110}\\s{0,3}") {
        if let Ok(name) = BeneficiaryName::parse(&text) {
            prop_assert_eq!(trim(name.expose()), trim(&text));
            prop_assert_eq!(BeneficiaryName::parse(name.expose()).unwrap(), name);
        }
    }

    #[test]
    fn a_bank_code_is_kept_unchanged(text in "JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32}") {
        let code = BankCode::parse(&text).unwrap();
        prop_assert_eq!(code.as_str(), text);
    }

    #[test]
    fn a_parsed_vpa_parses_to_itself(text in "[A-Za-z0-9._-]{2,60}@[A-Za-z][A-Za-z0-9.-]{0,20}") {
        if let Ok(vpa) = Vpa::parse(&text) {
            prop_assert_eq!(Vpa::parse(vpa.expose()).unwrap(), vpa);
        }
    }

    #[test]
    fn a_parsed_value_is_read_when_it_was_stored(text in "[ \u{feff}]{0,2}([A-Za-z0-9]{5,35}|[a-z]{2,8}@[a-z]{2,8}|\\PC{1,20}[\u{94d}\u{200d}]{0,2}) {0,2}") {
        if let Ok(number) = AccountNumber::parse(&text) {
            prop_assert_eq!(AccountNumber::from_stored(number.expose()), Some(number));
        }
        if let Ok(name) = BeneficiaryName::parse(&text) {
            prop_assert_eq!(BeneficiaryName::from_stored(name.expose()), Some(name));
        }
        if let Ok(vpa) = Vpa::parse(&text) {
            prop_assert_eq!(Vpa::from_stored(vpa.expose()), Some(vpa));
        }
    }

    #[test]
    fn the_published_patterns_accept_what_parse_accepts(
        text in "[ \u{a0}\u{200b}]{0,2}([A-Za-z]{3,5}[0-9]?[A-Z0-9]{5,7}|[A-Za-z0-9 ]{3,37}|JP_[A-Za-z0-9_-]{0,31}|[0-9]{0,34}|[a-z._-]{0,4}@{0,2}[A-Za-z0-9.-]{0,4}|.{0,40}) {0,2}",
    ) {
        prop_assert_eq!(Ifsc::parse(&text).is_ok(), matches(Ifsc::PATTERN, &text));
        prop_assert_eq!(BankCode::parse(&text).is_ok(), matches(BankCode::PATTERN, &text));
        let number = AccountNumber::parse(&text);
        prop_assert!(is_refused_for_its_meaning(&number) || number.is_ok() == matches(AccountNumber::PATTERN, &text));
        let vpa = Vpa::parse(&text);
        let fits = matches(Vpa::PATTERN, &text) && text.chars().count() <= Vpa::MAX_LENGTH;
        prop_assert!(is_refused_for_its_meaning(&vpa) || vpa.is_ok() == fits);
        let name = BeneficiaryName::parse(&text);
        let pattern = prose_pattern(BeneficiaryName::MIN_LENGTH, BeneficiaryName::MAX_LENGTH);
        prop_assert!(is_refused_for_its_meaning(&name) || name.is_ok() == matches(&pattern, &text));
    }
}
