//! The holder's name, as gateways tell it.

use khata_name_match::is_placeholder;

/// The name, trimmed; `None` where what stands there is no name.
pub(crate) fn real_name(name: Option<String>) -> Option<String> {
    let name = name?;
    (!is_placeholder(&name)).then(|| name.trim().to_owned())
}

/// The name in ASCII letters, digits and single spaces, `longest` characters at most: what every gateway takes. Marks
/// become spaces ("S.V. Rao" → "S V Rao"), apostrophes go ("O'Neil" → "ONeil"). `None` where the name is in another
/// script: no rendering of ours could be compared with the name at bank.
pub(crate) fn plain(name: &str, longest: usize) -> Option<String> {
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
    plain.truncate(longest);
    let trimmed = plain.trim_end().len();
    plain.truncate(trimmed);
    (!plain.is_empty()).then_some(plain)
}

/// A name-match score of the gateway's own: "90.00" → 90.
pub(crate) fn score(text: &str) -> Option<u8> {
    let score: f64 = text.trim().parse().ok()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (0.0..=100.0).contains(&score).then(|| score.round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_and_names_are_read_as_told() {
        assert_eq!(score("90.00"), Some(90));
        assert_eq!(score("100"), Some(100));
        assert_eq!(score("101"), None);
        assert_eq!(score("-"), None);
        assert!(real_name(Some(" verified ".to_owned())).is_none());
        assert_eq!(
            real_name(Some("ASHA RAO ".to_owned())).unwrap().as_str(),
            "ASHA RAO"
        );
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
            let plain = plain(name, 50);
            assert_eq!(plain.as_ref().map(|name| name.as_str()), sent, "{name:?}");
        }
        assert_eq!(plain("Asha Rao", 5).unwrap().as_str(), "Asha");
        assert_eq!(plain(&"x".repeat(120), 50).unwrap().len(), 50);
    }
}
