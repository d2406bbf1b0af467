//! The holder's name, as gateways tell it.

use zeroize::Zeroizing;

/// What some banks put where the name should be.
const PLACEHOLDERS: [&str; 5] = ["", "NA", "N/A", "VERIFIED", "NULL"];

/// The name, trimmed; `None` where what stands there is no name.
pub(crate) fn real_name(name: Option<Zeroizing<String>>) -> Option<Zeroizing<String>> {
    let name = name?;
    let placeholder = PLACEHOLDERS
        .iter()
        .any(|placeholder| name.trim().eq_ignore_ascii_case(placeholder));
    (!placeholder).then(|| Zeroizing::new(name.trim().to_owned()))
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
        assert!(real_name(Some(" verified ".to_owned().into())).is_none());
        assert_eq!(
            real_name(Some("ASHA RAO ".to_owned().into()))
                .unwrap()
                .as_str(),
            "ASHA RAO"
        );
    }
}
