//! Names and other texts, as gateways take them.

use khata_domain::BankAccount;

/// Whether the text has only ASCII letters, digits and these marks.
pub(crate) fn is_plain(text: &str, marks: &[u8]) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || marks.contains(&b))
}

/// Returns the beneficiary's name in the form that every gateway takes, if there is one: all gateways validate without a
/// name too.
pub(crate) fn plain_name(bank: &BankAccount, max: usize) -> Option<String> {
    plain(bank.beneficiary_name.as_ref()?.expose(), max)
}

/// Returns the name in ASCII letters, digits and single spaces, at most `max` characters: the form that every gateway
/// takes. Marks become spaces ("S.V. Rao" → "S V Rao"), apostrophes are dropped ("O'Neil" → "ONeil"). `None` if the name is
/// in another script: a bank could not compare a transliteration of ours with its own.
fn plain(name: &str, max: usize) -> Option<String> {
    let mut plain = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '\'' | '\u{2019}' => {}
            _ if c.is_ascii_alphanumeric() => plain.push(c),
            _ if c.is_ascii() => {
                if !plain.is_empty() && !plain.ends_with(' ') {
                    plain.push(' ');
                }
            }
            _ => return None,
        }
    }
    plain.truncate(max);
    plain.truncate(plain.trim_end().len());
    (!plain.is_empty()).then_some(plain)
}

/// Whether the word means "nothing", as in some gateways' replies.
pub(crate) fn is_nothing(word: &str) -> bool {
    let nothing = ["", "na", "n/a", "null", "none", "nil", "-", "."];
    nothing.contains(&word.trim().to_ascii_lowercase().as_str())
}

/// Whether a gateway names the account's holder.
pub(crate) fn names_holder(name: Option<&str>) -> bool {
    name.is_some_and(|name| !is_nothing(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_for_nothing_names_no_holder() {
        for name in [None, Some(""), Some("NA"), Some(" null "), Some("n/a")] {
            assert!(!names_holder(name), "{name:?}");
        }
        assert!(names_holder(Some("ASHA RAO")));
    }

    #[test]
    fn a_plain_name_has_letters_digits_and_single_spaces() {
        for (name, sent) in [
            ("Asha Rao", Some("Asha Rao")),
            (" Asha  Rao ", Some("Asha Rao")),
            ("S.V. Krishnamurthy", Some("S V Krishnamurthy")),
            ("Asha O'Neil (Rao) & Co.", Some("Asha ONeil Rao Co")),
            ("D\u{2019}Souza", Some("DSouza")),
            ("आशा राव", None),
            ("Zoë", None),
            (".-()", None),
            ("", None),
        ] {
            assert_eq!(plain(name, 50).as_deref(), sent, "{name:?}");
        }
        assert_eq!(plain("Asha Rao", 5).as_deref(), Some("Asha"));
        assert_eq!(plain(&"x".repeat(120), 50).unwrap().len(), 50);
    }
}
