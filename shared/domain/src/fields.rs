//! Values of the fields that describe an account. Each type states its rule once: `PATTERN` and lengths for the published
//! schema, `MESSAGE` for the merchant, `parse` for the value. `from_stored` reads values that an earlier version stored, when
//! the rules were wider.

mod mail;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::text::{self, ProseError, trimmed};

/// A value breaks the rule of its field. The text is for the merchant's developer and never repeats the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The value does not have the field's form.
    #[error("{0}")]
    Form(&'static str),
    /// A program put the value, or a part of it, in place of one that it did not have.
    #[error("{0}")]
    Placeholder(&'static str),
}

impl ValueError {
    pub const PLACEHOLDER: Self = Self::Placeholder(
        "is a placeholder that was not filled in: send the value, or leave the field out",
    );

    /// The fault of a text without its blanks: digits of another script if it has some, else this message.
    pub fn of(text: &str, message: &'static str) -> Self {
        Self::Form(text::foreign_characters(text).unwrap_or(message))
    }

    pub fn reason(&self) -> &'static str {
        match self {
            Self::Form(reason) | Self::Placeholder(reason) => reason,
        }
    }
}

impl From<ProseError> for ValueError {
    fn from(error: ProseError) -> Self {
        Self::Form(match error {
            ProseError::Placeholder => return Self::PLACEHOLDER,
            ProseError::Length => "has too few or too many characters",
            ProseError::Controls => "must not contain control characters",
            ProseError::Invisible => "has only invisible characters",
            ProseError::QuestionMarks => {
                "has only question marks, which an encoding puts in place of letters that it does not have: encode the call in UTF-8"
            }
        })
    }
}

/// Indian Financial System Code of a bank branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ifsc(String);

impl Ifsc {
    pub const PATTERN: &'static str = trimmed!("[A-Za-z]{4}0[A-Za-z0-9]{6}");
    pub const LENGTH: usize = 11;
    /// Length of the part that names the bank.
    pub const BANK_LENGTH: usize = 4;
    pub const MESSAGE: &'static str =
        "must be an IFSC: four letters, a zero, then six letters or digits";
    const MICR: &'static str = "must be an IFSC: nine digits are a MICR code; the IFSC has four letters, a zero, then six letters or digits";

    /// Parses the text after trimming it and changing it to upper case.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let code = text::trim(text).to_ascii_uppercase();
        if Self::is_code(code.as_bytes()) {
            Ok(Self(code))
        } else {
            Err(Self::fault(&code))
        }
    }

    fn is_code(bytes: &[u8]) -> bool {
        bytes.len() == Self::LENGTH
            && bytes[..Self::BANK_LENGTH]
                .iter()
                .all(u8::is_ascii_uppercase)
            && bytes[Self::BANK_LENGTH] == b'0'
            && bytes[Self::BANK_LENGTH + 1..]
                .iter()
                .all(u8::is_ascii_alphanumeric)
    }

    /// Says which other code or script the text has. The directory of IFSCs explains slips in a code.
    fn fault(code: &str) -> ValueError {
        let is_micr = code.len() == 9 && code.bytes().all(|b| b.is_ascii_digit());
        ValueError::of(code, if is_micr { Self::MICR } else { Self::MESSAGE })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A bank account number, kept as text because leading zeros count.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountNumber(String);

impl AccountNumber {
    pub const PATTERN: &'static str = trimmed!("[A-Za-z0-9]{5,35}");
    pub const MIN_LENGTH: usize = 5;
    pub const MAX_LENGTH: usize = 35;
    pub const MESSAGE: &'static str = "must be 5 to 35 ASCII letters and digits, without spaces";
    const MASKED: &'static str =
        "is masked: send the whole number, without X, * or dots in place of its digits";
    const SCIENTIFIC: &'static str = "is a number in scientific notation, which has lost digits: a spreadsheet must hold account numbers as text";
    /// Length from which on the masked form shows four characters; of a shorter number they would be half or more.
    const LONG: usize = 9;

    /// Parses the text after trimming it. Spaces within, non-ASCII digits, masked numbers and placeholders are errors: a gateway
    /// would pay to an account of the number `undefined`.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let number = text::trim(text);
        if text::is_placeholder(number) {
            return Err(ValueError::PLACEHOLDER);
        }
        if Self::is_masked(number) {
            return Err(ValueError::Form(Self::MASKED));
        }
        Self::from_stored(number).ok_or_else(|| {
            let is_scientific = number.to_ascii_uppercase().contains("E+");
            ValueError::of(
                number,
                if is_scientific {
                    Self::SCIENTIFIC
                } else {
                    Self::MESSAGE
                },
            )
        })
    }

    /// Returns whether characters hide digits. Banks number accounts with digits, some with letters; two X in a row are a mask.
    fn is_masked(number: &str) -> bool {
        let pairs = number.as_bytes().windows(2);
        pairs
            .into_iter()
            .any(|pair| pair.eq_ignore_ascii_case(b"xx"))
            || number.contains(['*', '#', '•', '●', '∙', '⋅', '·', '＊', '×'])
    }

    /// Reads a number that was stored: also one that today is taken for masked.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        let is_valid = (Self::MIN_LENGTH..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric());
        is_valid.then(|| Self(text.to_owned()))
    }

    /// Returns the number, for the gateway and the merchant that owns it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the last four characters, of a short number the last one: `XXXXXXX1191`. The length is hidden too.
    pub fn masked(&self) -> String {
        Self::mask(&self.0)
    }

    fn mask(number: &str) -> String {
        let shown = if number.len() < Self::LONG { 1 } else { 4 };
        format!("XXXXXXX{}", &number[number.len() - shown..])
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
    /// Characters after trimming; [`text::prose_pattern`] publishes them.
    pub const MIN_LENGTH: usize = 1;
    pub const MAX_LENGTH: usize = 120;

    /// Parses the text after trimming it.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        match text::prose(text, Self::MIN_LENGTH, Self::MAX_LENGTH) {
            Ok(name) => Ok(Self(name.to_owned())),
            Err(ProseError::Length) => Err(ValueError::Form("must be 1 to 120 characters")),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a name that was stored: also one that today is no name. One more character, because a joiner at the end does not
    /// count.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        let length = text.chars().count();
        let is_valid = (Self::MIN_LENGTH..=Self::MAX_LENGTH + 1).contains(&length)
            && !text.chars().any(char::is_control);
        is_valid.then(|| Self(text.to_owned()))
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

/// End of the handle of a VPA that names a bank account by its IFSC (NPCI, UPI procedural guidelines).
const IFSC_HANDLE: &str = ".ifsc.npci";

/// A UPI address (virtual payment address): `user@handle`, in lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Vpa(String);

impl Vpa {
    /// Beside `MAX_LENGTH`, which bounds the whole text.
    pub const PATTERN: &'static str =
        trimmed!("[A-Za-z0-9._-]{2,}@[A-Za-z](?:[A-Za-z0-9.-]*[A-Za-z0-9])?");
    pub const MAX_LENGTH: usize = 255;
    pub const MESSAGE: &'static str = "must be a UPI address: 2 or more letters, digits, dots, hyphens or underscores, one @, then a handle that starts with a letter and ends in a letter or digit";
    const MAIL: &'static str = "is an e-mail address by the domain after its @: send the payee's UPI address, such as name@okhdfcbank";
    const SEVERAL: &'static str =
        "must be one UPI address: several go into upi_details, one item each";
    const MASKED: &'static str =
        "is masked: send the whole UPI address, without X in place of its characters";
    const NO_NUMBER: &'static str = "names a bank account by a number that is masked or does not have 5 to 35 letters and digits";
    const PLACEHOLDER: &'static str =
        "has a placeholder that was not filled in: send the payee's UPI address";

    /// Parses the text after trimming it and changing it to lower case. An e-mail address is an error.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text.len() > Self::MAX_LENGTH && text.chars().count() > Self::MAX_LENGTH {
            return Err(ValueError::Form("must be at most 255 characters"));
        }
        let address = text::trim(text);
        if text::is_placeholder_address(address) {
            return Err(ValueError::Placeholder(Self::PLACEHOLDER));
        }
        let vpa = Self::from_stored(address).filter(|vpa| !vpa.0.ends_with(['.', '-']));
        let Some(vpa) = vpa else {
            let is_list = address.contains([',', ';']) && address.matches('@').count() > 1;
            let message = if is_list {
                Self::SEVERAL
            } else {
                Self::MESSAGE
            };
            return Err(ValueError::of(address, message));
        };
        if mail::is_mail_domain(vpa.handle()) {
            Err(ValueError::Form(Self::MAIL))
        } else if vpa.is_masked() {
            Err(ValueError::Form(Self::MASKED))
        } else if vpa.has_no_number() {
            Err(ValueError::Form(Self::NO_NUMBER))
        } else {
            Ok(vpa)
        }
    }

    /// Returns whether X hide characters: at the start, or among digits, as of a mobile number. Elsewhere a name may end in `xxxx`.
    fn is_masked(&self) -> bool {
        let user = self.user();
        let is_rest_digits = user.bytes().all(|b| b == b'x' || b.is_ascii_digit());
        user.starts_with("xxxx") || user.contains("xxxx") && is_rest_digits
    }

    /// Returns whether the address names a bank account by what is no account number.
    fn has_no_number(&self) -> bool {
        let account = self.bank_account();
        account.is_some_and(|(number, _)| AccountNumber::parse(number).is_err())
    }

    /// Reads an address that was stored: also one that is refused today.
    pub(crate) fn from_stored(text: &str) -> Option<Self> {
        let (user, handle) = text.split_once('@')?;
        let all = |text: &str, marks: &[u8]| {
            let mut bytes = text.bytes();
            bytes.all(|b| b.is_ascii_alphanumeric() || marks.contains(&b))
        };
        let is_valid = text.len() <= Self::MAX_LENGTH
            && user.len() >= 2
            && all(user, b"._-")
            && handle.starts_with(|c: char| c.is_ascii_alphabetic())
            && all(handle, b".-");
        is_valid.then(|| Self(text.to_ascii_lowercase()))
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

    /// Returns the number and the IFSC of the bank account that the address names itself: `NUMBER@IFSC.ifsc.npci`.
    pub fn bank_account(&self) -> Option<(&str, Ifsc)> {
        let handle = self.handle().trim_end_matches('.');
        let ifsc = Ifsc::parse(handle.strip_suffix(IFSC_HANDLE)?).ok()?;
        Some((self.user(), ifsc))
    }

    /// Returns the first two characters of a longer user part, and the handle: `as***@okhdfcbank`. The number of a bank account
    /// is masked as in [`AccountNumber::masked`]: its first characters together with its last ones could be the whole number.
    pub fn masked(&self) -> String {
        let (user, handle) = (self.user(), self.handle());
        if self.bank_account().is_some() {
            return format!("{}@{handle}", AccountNumber::mask(user));
        }
        let shown = if user.len() > 4 { 2 } else { 0 };
        format!("{}***@{handle}", &user[..shown])
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
    pub const PATTERN: &'static str = trimmed!("JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32}");
    pub const MAX_LENGTH: usize = 32;
    pub const MESSAGE: &'static str =
        "must be JP_ and letters, digits or underscores, or digits only, at most 32 characters";

    /// Parses the text after trimming it.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let code = text::trim(text);
        let is_valid = match code.strip_prefix("JP_") {
            Some(name) => {
                let mut bytes = name.bytes();
                !name.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
            }
            None => !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit()),
        };
        (is_valid && code.len() <= Self::MAX_LENGTH)
            .then(|| Self(code.to_owned()))
            .ok_or_else(|| ValueError::of(code, Self::MESSAGE))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
