use proptest::prelude::*;
use regex::Regex;

use super::ProseError::{Controls, Invisible, Length, Placeholder, QuestionMarks};
use super::*;

#[test]
fn blanks_and_invisible_characters_around_a_value_are_removed() {
    for blank in [
        "", " ", "\t\r\n", "\u{a0}", "\u{200b}", "\u{feff}", "\u{202e}", "\u{2060}", "\u{3000}",
    ] {
        assert_eq!(
            trim(&format!("{blank}a b{blank}{blank}")),
            "a b",
            "{blank:?}"
        );
    }
    // A joiner that ends a letter stays, one after another letter does not.
    assert_eq!(trim_prose("\u{feff}മോഹന്\u{200d} "), "മോഹന്\u{200d}");
    assert_eq!(trim_prose("Mohan\u{200d}\u{200b}"), "Mohan");
    assert_eq!(trim_prose("മോഹന്"), "മോഹന്");
}

#[test]
fn prose_has_visible_characters() {
    for good in [
        "x",
        " आशा राव ",
        "Zoë 🙂",
        "O'Neil & Sons",
        "A\u{200d}B",
        "?",
        "Null",
        "Ni\u{fe0f}",
    ] {
        assert!(prose(good, 1, 120).is_ok(), "{good}");
    }
    for (bad, why) in [
        ("", Length),
        ("   ", Length),
        ("\u{200b}", Invisible),
        ("\u{200b} \u{2060}", Invisible),
        ("\u{fe0f}", Invisible),
        ("\u{e0041}", Invisible),
        ("\u{3164}", Invisible),
        ("a\u{0}b", Controls),
        ("????", QuestionMarks),
        ("??? ??", QuestionMarks),
        ("null", Placeholder),
        ("[object Object]", Placeholder),
        ("{{name}}", Placeholder),
    ] {
        assert_eq!(prose(bad, 1, 120), Err(why), "{bad:?}");
    }
    assert_eq!(prose("", 0, 3), Ok(""));
    assert_eq!(prose(" ", 0, 3), Err(Length));
    assert_eq!(
        prose(&format!(" {} ", "x".repeat(120)), 1, 120).map(str::len),
        Ok(120)
    );
    assert_eq!(prose(&"x".repeat(121), 1, 120), Err(Length));
}

#[test]
fn placeholders_are_recognized() {
    for text in [
        "undefined",
        "null",
        "None",
        "nil",
        "NaN",
        "{customer_id}",
        "{{customer_id}}",
        "${customer_id}",
        "#{id}",
        ":customer_id",
        "<customer_id>",
        "%7Bcustomer_id%7D",
        "%3Cid%3E",
        "[object Object]",
        "<nil>",
        "%s",
        "b'Asha Rao'",
        "['Asha']",
        "#<Customer:0x00007f>",
        "%!s(MISSING)",
        " null ",
        "$customer_id",
        "$customerId",
        "$_name",
        "{$customer->id}",
        "${customer.id}",
        "{}",
        "{0}",
        "{0:d}",
        "<>",
        "<?=$id?>",
        "<%=@id%>",
        "%(customer_id)s",
        "%(id)d",
        "%1$s",
        "Undefined",
        "NULL",
        "Null",
        "none",
        "NAN",
        "Array",
        "string",
        "%S",
        "%CUSTOMER_ID%",
        "[Object object]",
        "System.String[]",
        "System.Collections.Generic.List`1[System.String]",
        "[Ljava.lang.String;@1b6d3586",
        "[B@6d06d69c",
        "java.lang.Object@1b6d3586",
        "Optional.empty",
        "Optional[Asha]",
    ] {
        assert!(is_placeholder(text) && is_placeholder_id(text), "{text}");
    }
    for text in [
        "customerId",
        "CUSTOMER_ID",
        "account_id",
        "@customer_id",
        "@CustomerId",
        "@id",
        "[customer_id]",
        "[id]",
        "00000000-0000-0000-0000-000000000000",
        "{00000000-0000-0000-0000-000000000000}",
        "000000000000000000000000",
    ] {
        assert!(!is_placeholder(text) && is_placeholder_id(text), "{text}");
    }
    for text in [
        "customer_1122",
        "nullable",
        "nil_1",
        "arrays",
        "System.Admin",
        "java.rao@upi",
        "[B]",
        "100%",
        "a{b}",
        "<3",
        "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
        "%7B3F2504E0-4F89-11D3-9A0C-0305E82C3301%7D",
        "{AF2504E04F8911D39A0C0305E82C3301}",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "{1122}",
        "<asha@example.com>",
        "@asha",
        "asha@x",
        "$",
        "$5",
        "a$b",
        "[asha]",
        "[1]",
        "0",
        "000000000000",
        "100000000000000000000000",
        "%(x)",
        "a/b?c#%~",
        "+91-98765;x=\"\\\"",
        ":",
        ":7",
        "!",
        "é",
        "",
    ] {
        assert!(!is_placeholder(text) && !is_placeholder_id(text), "{text}");
    }
}

#[test]
fn a_placeholder_on_either_side_of_an_address_is_recognized() {
    for text in [
        "undefined@upi",
        "None@upi",
        "{user}@upi",
        "$name@upi",
        "asha@undefined",
        "asha@NULL",
        "asha@{handle}",
        "undefined",
        "<nil>@upi",
    ] {
        assert!(is_placeholder_address(text), "{text}");
    }
    for text in ["asha@upi", "nil@upi", "nan@okaxis", "array@x.example", "@"] {
        assert!(!is_placeholder_address(text), "{text}");
    }
}

#[test]
fn a_name_that_is_a_word_elsewhere_is_a_name() {
    for name in ["Null", "Nil", "Nan", "NAN"] {
        assert_eq!(prose(name, 1, 120), Ok(name));
        assert!(is_placeholder(name), "{name}");
    }
}

#[test]
fn digits_of_other_scripts_are_named() {
    for (text, script) in [
        ("०२६२९", "Devanagari"),
        ("12௩", "Tamil"),
        ("１２", "full-width"),
        ("ＨＤＦＣ", "full-width letters"),
        ("НDFC", "Cyrillic"),
        ("٣", "Arabic"),
        ("꯰", "Meitei"),
    ] {
        assert!(foreign_characters(text).unwrap().contains(script), "{text}");
    }
    for text in ["", "12345", "é", "आशा"] {
        assert_eq!(foreign_characters(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn the_pattern_of_prose_accepts_what_is_read(
        text in "[ \t\u{a0}]{0,2}[a é\u{200d}\u{0}\u{7f}\u{85}🙂]{0,6}[ \u{3000}]{0,2}", least in 0usize..2, most in 2usize..5,
    ) {
        // Invisible characters at the ends are no matter of form.
        prop_assume!(!trim(&text).is_empty() || text.trim().is_empty());
        let pattern = Regex::new(&prose_pattern(least, most)).unwrap();
        let bare = trim(&text);
        let fits = pattern.is_match(&text) || !bare.is_empty() && pattern.is_match(bare);
        prop_assert_eq!(prose(&text, least, most).is_ok(), fits, "{:?}", text);
    }

    #[test]
    fn trimmed_prose_is_read_as_itself(text in "\\PC{0,20}[\u{94d}\u{d4d}]?[\u{200b}\u{200d} ]{0,3}") {
        if let Ok(first) = prose(&text, 1, 30) {
            prop_assert_eq!(prose(first, 1, 30), Ok(first));
        }
    }
}
