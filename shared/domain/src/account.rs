//! What an account is made of: parsed, never taken as given, and shown only masked.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use std::borrow::Cow;

/// Why a value is not one of its kind. The text is for the merchant's developer and never repeats the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub &'static str);

/// Indian Financial System Code of a bank branch: four letters, a zero, six letters or digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ifsc(String);

impl Ifsc {
    /// Trims and upper-cases, then holds the text to `^[A-Z]{4}0[A-Z0-9]{6}$`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let code = text.trim().to_ascii_uppercase();
        let bytes = code.as_bytes();
        let fits = bytes.len() == 11
            && bytes[..4].iter().all(u8::is_ascii_uppercase)
            && bytes[4] == b'0'
            && bytes[5..]
                .iter()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if fits {
            Ok(Self(code))
        } else {
            Err(Fault(
                "must be an IFSC: four letters, a zero, then six letters or digits",
            ))
        }
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Of a number shorter than this four characters would be half of it or more.
const SHORT: usize = 9;

/// A bank account number: 5–35 ASCII letters and digits, kept as text because leading zeros count.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountNumber(String);

impl AccountNumber {
    /// Takes the text as it stands: spaces and non-ASCII digits are faults, not noise.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if !(5..=35).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Fault(
                "must be 5 to 35 ASCII letters and digits, without spaces",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The number itself, for the gateway and the merchant it belongs to.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// All but the last four characters hidden, of a short number all but the last: `XXXXXXX1191`. The length is hidden too.
    pub fn masked(&self) -> String {
        let shown = if self.0.len() < SHORT { 1 } else { 4 };
        format!("XXXXXXX{}", &self.0[self.0.len() - shown..])
    }
}

impl fmt::Debug for AccountNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// The account holder's name as the merchant knows it: 1–120 characters after trimming, no control characters.
#[derive(Clone, PartialEq, Eq)]
pub struct BeneficiaryName(String);

impl BeneficiaryName {
    /// Trims, then checks length and characters.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let name = text.trim();
        if name.is_empty() || name.chars().count() > 120 {
            return Err(Fault("must be 1 to 120 characters"));
        }
        if name.chars().any(char::is_control) {
            return Err(Fault("must not contain control characters"));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BeneficiaryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeneficiaryName(***)")
    }
}

/// A UPI address (virtual payment address): `user@handle`, lower-cased.
#[derive(Clone, PartialEq, Eq)]
pub struct Vpa(String);

impl Vpa {
    /// One `@`; user part `[A-Za-z0-9._-]{2,255}`; handle a letter, then `[A-Za-z0-9.-]`; 255 in all.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        const FAULT: Fault = Fault(
            "must be a UPI address: 2 or more letters, digits, dots, hyphens or underscores, one @, then a handle that starts with a letter",
        );
        if text.len() > 255 {
            return Err(Fault("must be at most 255 characters"));
        }
        let (user, handle) = text.split_once('@').ok_or(FAULT)?;
        let user_fits = user.len() >= 2
            && user
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let handle_fits = handle
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphabetic())
            && handle
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
        if user_fits && handle_fits {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(FAULT)
        }
    }

    /// The address itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What stands before the `@`.
    pub fn user(&self) -> &str {
        self.0.split_once('@').map_or("", |(user, _)| user)
    }

    /// What stands behind it: the payment service provider's.
    pub fn handle(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, handle)| handle)
    }

    /// At most the first two characters of a longer user part, and the handle: `as***@okhdfcbank`.
    pub fn masked(&self) -> String {
        let (user, handle) = self.0.split_once('@').unwrap_or_default();
        let shown = if user.len() > 4 { 2 } else { 0 };
        format!("{}***@{handle}", &user[..shown])
    }
}

impl fmt::Debug for Vpa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// Juspay's id of a bank: `JP_*` or digits, at most 32 characters. Unknown ones are kept and echoed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankCode(String);

impl BankCode {
    /// Takes the text as it stands.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let named = text.strip_prefix("JP_").is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        let numbered = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if text.len() <= 32 && (named || numbered) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Fault(
                "must be JP_ and letters, digits or underscores, or digits only, at most 32 characters",
            ))
        }
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A bank account as a merchant gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankAccount {
    /// The branch.
    pub ifsc: Ifsc,
    /// The number.
    pub account_number: AccountNumber,
    /// Whom the merchant takes for its holder.
    pub beneficiary_name: Option<BeneficiaryName>,
}

/// What is validated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Details {
    /// A bank account.
    Bank(BankAccount),
    /// A UPI address.
    Upi(Vpa),
}

words! {
    /// Kind of a customer account, as stored and as counted in metrics.
    AccountKind {
        /// A bank account.
        Bank = "BANK",
        /// A UPI address.
        Upi = "UPI",
    }
}

words! {
    /// Type of the payee's account, as the gateway reports it.
    AccountType {
        Savings = "SAVINGS",
        Current = "CURRENT",
        /// Non-resident external.
        Nre = "NRE",
        /// Non-resident ordinary.
        Nro = "NRO",
        Credit = "CREDIT",
        Overdraft = "OVERDRAFT",
        Loan = "LOAN",
        /// Public Provident Fund.
        Ppf = "PPF",
        /// Prepaid wallet.
        Wallet = "WALLET",
        /// A type that has no word here.
        Other = "OTHER",
    }
}

impl AccountType {
    /// Reads the word of a gateway in any case; NPCI's words for overdraft and wallet accounts are known too. `None` for
    /// an empty text and for `DEFAULT`, which says nothing.
    pub fn from_gateway(word: &str) -> Option<Self> {
        let word = word.trim().to_ascii_uppercase();
        match word.as_str() {
            "" | "DEFAULT" => None,
            "SOD" | "UOD" => Some(Self::Overdraft),
            "PPIWALLET" | "BANKWALLET" | "SEMICLOSEDPPIWALLET" => Some(Self::Wallet),
            _ => Some(Self::parse(&word).unwrap_or(Self::Other)),
        }
    }
}

impl Details {
    /// The kind of account.
    pub fn kind(&self) -> AccountKind {
        match self {
            Self::Bank(_) => AccountKind::Bank,
            Self::Upi(_) => AccountKind::Upi,
        }
    }

    /// The form that people other than the merchant may see.
    pub fn masked(&self) -> String {
        match self {
            Self::Bank(bank) => bank.account_number.masked(),
            Self::Upi(vpa) => vpa.masked(),
        }
    }

    /// What makes two accounts the same account: IFSC and number, or the VPA. A name is what somebody calls the
    /// account, not which one it is. Letters in numbers compare without case.
    pub fn identity(&self) -> String {
        // Room for all of it, as text that grows leaves copies.
        match self {
            Self::Bank(bank) => {
                let (ifsc, number) = (bank.ifsc.as_str(), bank.account_number.expose());
                let length = "BANK\n\n".len() + ifsc.len() + number.len();
                let mut identity = String::with_capacity(length);
                identity.push_str("BANK\n");
                identity.push_str(ifsc);
                identity.push('\n');
                identity.extend(number.chars().map(|c| c.to_ascii_uppercase()));
                identity
            }
            Self::Upi(vpa) => ["UPI\n", vpa.expose()].concat(),
        }
    }

    /// The plaintext to seal.
    pub fn to_plaintext(&self) -> Vec<u8> {
        let stored = match self {
            Self::Bank(bank) => StoredDetails::Bank {
                ifsc: bank.ifsc.as_str().into(),
                account_number: bank.account_number.expose().into(),
                beneficiary_name: bank
                    .beneficiary_name
                    .as_ref()
                    .map(|name| name.expose().into()),
            },
            Self::Upi(vpa) => StoredDetails::Upi {
                vpa: vpa.expose().into(),
            },
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Reads back what [`Self::to_plaintext`] wrote; `None` if it is not that.
    pub fn from_plaintext(plaintext: &[u8]) -> Option<Self> {
        match serde_json::from_slice(plaintext).ok()? {
            StoredDetails::Bank {
                ifsc,
                account_number,
                beneficiary_name,
            } => Some(Self::Bank(BankAccount {
                ifsc: Ifsc::parse(&ifsc).ok()?,
                account_number: AccountNumber::parse(&account_number).ok()?,
                beneficiary_name: match beneficiary_name {
                    Some(name) => Some(BeneficiaryName::parse(&name).ok()?),
                    None => None,
                },
            })),
            StoredDetails::Upi { vpa } => Vpa::parse(&vpa).ok().map(Self::Upi),
        }
    }
}

/// The sealed form's own layout, apart from the types so that these can change while rows stay.
#[derive(Serialize, Deserialize)]
#[serde(tag = "k")]
enum StoredDetails<'a> {
    #[serde(rename = "b")]
    Bank {
        #[serde(rename = "i", borrow)]
        ifsc: Cow<'a, str>,
        #[serde(rename = "a", borrow)]
        account_number: Cow<'a, str>,
        #[serde(rename = "n", borrow, default, skip_serializing_if = "Option::is_none")]
        beneficiary_name: Option<Cow<'a, str>>,
    },
    #[serde(rename = "u")]
    Upi {
        #[serde(rename = "v", borrow)]
        vpa: Cow<'a, str>,
    },
}

/// Proof that the payee agreed to be asked about (NPCI, May 2025: a UPI penny drop needs it).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// Whether it was given.
    pub obtained: bool,
    /// What for, in the merchant's words.
    pub purpose: String,
    /// When.
    pub timestamp: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_identity_is_ifsc_and_number_or_the_vpa() {
        let bank = Details::Bank(BankAccount {
            ifsc: Ifsc::parse("AABF0008032").unwrap(),
            account_number: AccountNumber::parse("00ab1191").unwrap(),
            beneficiary_name: Some(BeneficiaryName::parse("Asha Rao").unwrap()),
        });
        assert_eq!(bank.identity().as_str(), "BANK\nAABF0008032\n00AB1191");
        let upi = Details::Upi(Vpa::parse("Asha@upi").unwrap());
        assert_eq!(upi.identity().as_str(), "UPI\nasha@upi");
    }

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
    fn account_numbers_are_taken_literally() {
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
    fn nothing_personal_is_shown() {
        let details = Details::Bank(BankAccount {
            ifsc: Ifsc::parse("AABF0008032").unwrap(),
            account_number: AccountNumber::parse("026291800001191").unwrap(),
            beneficiary_name: Some(BeneficiaryName::parse("Asha Rao").unwrap()),
        });
        let shown = format!("{details:?} {}", details.masked());
        assert!(
            !shown.contains("02629180000") && !shown.contains("Asha"),
            "{shown}"
        );
        assert_eq!(Vpa::parse("asha.rao@upi").unwrap().masked(), "as***@upi");
        assert_eq!(Vpa::parse("ash@upi").unwrap().masked(), "***@upi");
    }

    #[test]
    fn account_types_are_read_in_any_case() {
        for (word, expected) in [
            ("savings", Some(AccountType::Savings)),
            (" CURRENT ", Some(AccountType::Current)),
            ("UOD", Some(AccountType::Overdraft)),
            ("ppiwallet", Some(AccountType::Wallet)),
            ("escrow", Some(AccountType::Other)),
            ("DEFAULT", None),
            ("", None),
        ] {
            assert_eq!(AccountType::from_gateway(word), expected, "{word}");
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

    proptest! {
        #[test]
        fn no_input_panics(text in any::<String>()) {
            let _ = (Ifsc::parse(&text), AccountNumber::parse(&text), BeneficiaryName::parse(&text), Vpa::parse(&text), BankCode::parse(&text));
        }

        #[test]
        fn sealed_layout_round_trips(number in "[A-Za-z0-9]{5,35}", name in proptest::option::of("[\\PC&&[^ ]]{1,120}")) {
            let details = Details::Bank(BankAccount {
                ifsc: Ifsc::parse("HDFC0000001").unwrap(),
                account_number: AccountNumber::parse(&number).unwrap(),
                beneficiary_name: name.and_then(|name| BeneficiaryName::parse(&name).ok()),
            });
            prop_assert_eq!(Details::from_plaintext(&details.to_plaintext()), Some(details));
        }

        #[test]
        fn a_parsed_ifsc_parses_to_itself(text in " {0,2}[A-Za-z]{4}0[A-Za-z0-9]{6} {0,2}") {
            let ifsc = Ifsc::parse(&text).unwrap();
            prop_assert_eq!(Ifsc::parse(ifsc.as_str()).unwrap(), ifsc);
        }

        #[test]
        fn an_account_number_is_kept_as_written(text in "[A-Za-z0-9]{5,35}") {
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
        fn a_bank_code_is_kept_as_written(text in "JP_[A-Za-z0-9_]{1,29}|[0-9]{1,32}") {
            let code = BankCode::parse(&text).unwrap();
            prop_assert_eq!(code.as_str(), text);
        }

        #[test]
        fn a_parsed_vpa_parses_to_itself(text in "[A-Za-z0-9._-]{2,60}@[A-Za-z][A-Za-z0-9.-]{0,20}") {
            let vpa = Vpa::parse(&text).unwrap();
            prop_assert_eq!(Vpa::parse(vpa.expose()).unwrap(), vpa);
        }
    }
}
