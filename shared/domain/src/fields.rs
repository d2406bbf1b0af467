//! Values of the fields that describe an account. Each type states its rule once: `PATTERN` and lengths for the published
//! schema, `MESSAGE` for the merchant, `parse` for the value.

use std::fmt;

/// A value breaks the rule of its field. The text is for the merchant's developer and never repeats the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub &'static str);

/// Indian Financial System Code of a bank branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ifsc(String);

impl Ifsc {
    pub const PATTERN: &'static str = "^[A-Z]{4}0[A-Z0-9]{6}$";
    pub const LENGTH: usize = 11;
    /// Length of the part that names the bank.
    pub const BANK_LENGTH: usize = 4;
    pub const MESSAGE: &'static str =
        "must be an IFSC: four letters, a zero, then six letters or digits";

    /// Parses the text after trimming it and changing it to upper case.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let code = text.trim().to_ascii_uppercase();
        let bytes = code.as_bytes();
        let is_valid = bytes.len() == Self::LENGTH
            && bytes[..4].iter().all(u8::is_ascii_uppercase)
            && bytes[4] == b'0'
            && bytes[5..]
                .iter()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        is_valid
            .then_some(Self(code))
            .ok_or(ValueError(Self::MESSAGE))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A bank account number, kept as text because leading zeros count.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountNumber(String);

impl AccountNumber {
    pub const PATTERN: &'static str = "^[A-Za-z0-9]{5,35}$";
    pub const MIN_LENGTH: usize = 5;
    pub const MAX_LENGTH: usize = 35;
    pub const MESSAGE: &'static str = "must be 5 to 35 ASCII letters and digits, without spaces";
    /// Length from which on the masked form shows four characters; of a shorter number they would be half or more.
    const LONG: usize = 9;

    /// Parses the text unchanged: spaces and non-ASCII digits are errors.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let is_valid = (Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric());
        is_valid
            .then(|| Self(text.to_owned()))
            .ok_or(ValueError(Self::MESSAGE))
    }

    /// Returns the number, for the gateway and the merchant that owns it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the last four characters, of a short number the last one: `XXXXXXX1191`. The length is hidden too.
    pub fn masked(&self) -> String {
        let shown = if self.0.len() < Self::LONG { 1 } else { 4 };
        format!("XXXXXXX{}", &self.0[self.0.len() - shown..])
    }
}

impl fmt::Debug for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// The account holder's name as the merchant knows it, in any script.
#[derive(Clone, PartialEq, Eq)]
pub struct BeneficiaryName(String);

impl BeneficiaryName {
    /// Characters after trimming.
    pub const MIN_LENGTH: usize = 1;
    pub const MAX_LENGTH: usize = 120;

    /// Parses the text after trimming it.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let name = text.trim();
        if !(Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&name.chars().count()) {
            return Err(ValueError("must be 1 to 120 characters"));
        }
        if name.chars().any(char::is_control) {
            return Err(ValueError("must not contain control characters"));
        }
        Ok(Self(name.to_owned()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BeneficiaryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeneficiaryName(***)")
    }
}

/// A UPI address (virtual payment address): `user@handle`, in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Vpa(String);

impl Vpa {
    /// Beside `MAX_LENGTH`, which bounds the whole address.
    pub const PATTERN: &'static str = "^[A-Za-z0-9._-]{2,}@[A-Za-z][A-Za-z0-9.-]*$";
    pub const MAX_LENGTH: usize = 255;
    pub const MESSAGE: &'static str = "must be a UPI address: 2 or more letters, digits, dots, hyphens or underscores, one @, then a handle that starts with a letter";

    /// Parses the text and changes it to lower case.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(ValueError("must be at most 255 characters"));
        }
        let (user, handle) = text.split_once('@').ok_or(ValueError(Self::MESSAGE))?;
        let all = |text: &str, marks: &[u8]| {
            let mut bytes = text.bytes();
            bytes.all(|b| b.is_ascii_alphanumeric() || marks.contains(&b))
        };
        let is_valid = user.len() >= 2
            && all(user, b"._-")
            && handle.starts_with(|c: char| c.is_ascii_alphabetic())
            && all(handle, b".-");
        is_valid
            .then(|| Self(text.to_ascii_lowercase()))
            .ok_or(ValueError(Self::MESSAGE))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the part before the `@`.
    pub fn user(&self) -> &str {
        self.0.split_once('@').map_or("", |(user, _)| user)
    }

    /// Returns the part after the `@`, which names the payment service provider.
    pub fn handle(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, handle)| handle)
    }

    /// Returns the first two characters of a longer user part, and the handle: `as***@okhdfcbank`.
    pub fn masked(&self) -> String {
        let shown = if self.user().len() > 4 { 2 } else { 0 };
        format!("{}***@{}", &self.user()[..shown], self.handle())
    }
}

impl fmt::Debug for Vpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// Juspay's id of a bank. Unknown ids are stored and returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankCode(String);

impl BankCode {
    pub const PATTERN: &'static str = "^(JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32})$";
    pub const MAX_LENGTH: usize = 32;
    pub const MESSAGE: &'static str =
        "must be JP_ and letters, digits or underscores, or digits only, at most 32 characters";

    /// Parses the text unchanged.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let is_valid = match text.strip_prefix("JP_") {
            Some(name) => {
                let mut bytes = name.bytes();
                !name.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
            }
            None => !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()),
        };
        (is_valid && text.len() <= Self::MAX_LENGTH)
            .then(|| Self(text.to_owned()))
            .ok_or(ValueError(Self::MESSAGE))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    #[test]
    fn ifsc_is_trimmed_and_upper_cased() {
        assert_eq!(
            Ifsc::parse(" aabf0008032 ").unwrap().as_str(),
            "AABF0008032"
        );
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
    fn account_numbers_are_parsed_unchanged() {
        assert_eq!(
            AccountNumber::parse("026291800001191").unwrap().expose(),
            "026291800001191"
        );
        for bad in [
            "",
            "1234",
            "02629 1800001191",
            " 026291800001191",
            "०२६२९१८०००",
            "12345\u{0}",
            &"1".repeat(36),
        ] {
            assert!(AccountNumber::parse(bad).is_err(), "{bad:?}");
        }
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
        for good in ["test", "  आशा राव ", "Zoë 🙂", "O'Neil & Sons"] {
            assert!(BeneficiaryName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "   ", "a\u{0}b", "line\nbreak", &"x".repeat(121)] {
            assert!(BeneficiaryName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn vpas_have_one_at_sign_and_a_handle() {
        assert_eq!(
            Vpa::parse("Asha.Rao@OKhdfcbank").unwrap().expose(),
            "asha.rao@okhdfcbank"
        );
        let longest = format!("{}@upi", "a".repeat(251));
        for good in ["9164326296@upi", "a1@b", "a._-@ok.bank-1", &longest] {
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
            "asha @upi",
            "äsha@upi",
            &format!("{}@upi", "a".repeat(252)),
        ] {
            assert!(Vpa::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bank_codes_are_names_or_numbers() {
        for good in ["12", "JP_HDFC"] {
            assert!(BankCode::parse(good).is_ok());
        }
        for bad in ["", "HDFC", "JP_", "JP_é", "1 2", &"1".repeat(33)] {
            assert!(BankCode::parse(bad).is_err(), "{bad}");
        }
    }

    /// Returns whether the published pattern accepts the text.
    fn matches(pattern: &str, text: &str) -> bool {
        Regex::new(pattern).unwrap().is_match(text)
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
        fn an_account_number_is_kept_unchanged(text in "[A-Za-z0-9]{5,35}") {
            let number = AccountNumber::parse(&text).unwrap();
            prop_assert_eq!(number.expose(), &text);
        }

        #[test]
        fn a_parsed_name_parses_to_itself(text in "\\s{0,3}\\PC{1,110}\\s{0,3}") {
            prop_assume!(!text.trim().is_empty());
            let name = BeneficiaryName::parse(&text).unwrap();
            prop_assert_eq!(name.expose(), text.trim());
            prop_assert_eq!(BeneficiaryName::parse(name.expose()).unwrap(), name);
        }

        #[test]
        fn a_bank_code_is_kept_unchanged(text in "JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32}") {
            let code = BankCode::parse(&text).unwrap();
            prop_assert_eq!(code.as_str(), text);
        }

        #[test]
        fn a_parsed_vpa_parses_to_itself(text in "[A-Za-z0-9._-]{2,60}@[A-Za-z][A-Za-z0-9.-]{0,20}") {
            let vpa = Vpa::parse(&text).unwrap();
            prop_assert_eq!(Vpa::parse(vpa.expose()).unwrap(), vpa);
        }

        #[test]
        fn the_published_patterns_accept_what_parse_accepts(
            text in "([A-Za-z]{3,5}[0-9]?[A-Z0-9]{5,7}|[A-Za-z0-9 ]{3,37}|JP_[A-Za-z0-9_-]{0,31}|[0-9]{0,34}|[a-z._-]{0,4}@{0,2}[A-Za-z0-9.-]{0,4}|.{0,40})",
        ) {
            prop_assert_eq!(Ifsc::parse(&text).is_ok(), matches(Ifsc::PATTERN, &text.trim().to_ascii_uppercase()));
            prop_assert_eq!(AccountNumber::parse(&text).is_ok(), matches(AccountNumber::PATTERN, &text));
            prop_assert_eq!(Vpa::parse(&text).is_ok(), matches(Vpa::PATTERN, &text) && text.len() <= Vpa::MAX_LENGTH);
            prop_assert_eq!(BankCode::parse(&text).is_ok(), matches(BankCode::PATTERN, &text));
        }
    }
}
