//! Accounts: bank accounts and UPI addresses, their stored form and their types.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use crate::fields::{AccountNumber, BankCode, BeneficiaryName, Ifsc, ValueError, Vpa};

/// A bank account, as the merchant gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BankAccount {
    pub ifsc: Ifsc,
    pub account_number: AccountNumber,
    /// The account holder, according to the merchant.
    pub beneficiary_name: Option<BeneficiaryName>,
}

/// The details of an account, which a validation proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Details {
    Bank(BankAccount),
    Upi(Vpa),
}

words! {
    /// Kind of a customer account, as stored and as counted in metrics.
    AccountKind {
        Bank = "BANK",
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
    pub fn kind(&self) -> AccountKind {
        match self {
            Self::Bank(_) => AccountKind::Bank,
            Self::Upi(_) => AccountKind::Upi,
        }
    }

    /// Returns the form that operators may see.
    pub fn masked(&self) -> String {
        match self {
            Self::Bank(bank) => bank.account_number.masked(),
            Self::Upi(vpa) => vpa.masked(),
        }
    }

    /// Returns the text that is equal for equal accounts: IFSC and number, or the VPA. The beneficiary's name does not
    /// identify an account. Letters in numbers compare without case.
    pub fn identity(&self) -> String {
        match self {
            Self::Bank(bank) => {
                let number = bank.account_number.expose().to_ascii_uppercase();
                format!("BANK\n{}\n{number}", bank.ifsc.as_str())
            }
            Self::Upi(vpa) => format!("UPI\n{}", vpa.expose()),
        }
    }

    /// Returns the [identity](Self::identity), for a VPA `number@ifsc.ifsc.npci` that of the bank account which it names.
    pub fn bank_identity(&self) -> String {
        match self {
            Self::Upi(vpa) => match vpa.bank_account() {
                Some((number, ifsc)) => {
                    format!("BANK\n{}\n{}", ifsc.as_str(), number.to_ascii_uppercase())
                }
                None => self.identity(),
            },
            Self::Bank(_) => self.identity(),
        }
    }

    /// Returns the text that is equal for all spellings of one account, for limits: the bank's four letters and the number
    /// without leading zeros, or the VPA. The branches of one bank hold the same accounts, and a VPA
    /// `number@ifsc.ifsc.npci` is the bank account itself. Accounts with the same [`Self::identity`] have the same text.
    pub fn limit_identity(&self) -> String {
        match self {
            Self::Bank(bank) => bank_account(bank.ifsc.as_str(), bank.account_number.expose()),
            Self::Upi(vpa) => {
                if let Some((number, ifsc)) = vpa.bank_account() {
                    return bank_account(ifsc.as_str(), number);
                }
                let handle = vpa.handle().trim_end_matches('.');
                format!("UPI ADDRESS\n{}@{handle}", vpa.user())
            }
        }
    }

    /// Serializes for encryption.
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

    /// Parses the output of [`Self::to_plaintext`]; `None` for anything else.
    pub fn from_plaintext(plaintext: &[u8]) -> Option<Self> {
        match serde_json::from_slice(plaintext).ok()? {
            StoredDetails::Bank {
                ifsc,
                account_number,
                beneficiary_name,
            } => Some(Self::Bank(BankAccount {
                ifsc: Ifsc::parse(&ifsc).ok()?,
                account_number: AccountNumber::from_stored(&account_number)?,
                beneficiary_name: match beneficiary_name {
                    Some(name) => Some(BeneficiaryName::from_stored(&name)?),
                    None => None,
                },
            })),
            StoredDetails::Upi { vpa } => Vpa::from_stored(&vpa).map(Self::Upi),
        }
    }
}

/// Returns the identity of a bank account for limits. Marks within the number are left out.
fn bank_account(ifsc: &str, number: &str) -> String {
    let number: String = number.chars().filter(char::is_ascii_alphanumeric).collect();
    let number = number.trim_start_matches('0').to_ascii_uppercase();
    format!("BANK ACCOUNT\n{}\n{number}", &ifsc[..Ifsc::BANK_LENGTH])
}

/// Layout of the encrypted form, separate from the types so that they can change while stored rows stay readable.
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

/// Proof that the payee consented to the validation (NPCI requires it for a UPI penny drop since May 2025).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    pub obtained: bool,
    /// In the merchant's words.
    pub purpose: String,
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

    fn bank(ifsc: &str, number: &str) -> Details {
        Details::Bank(BankAccount {
            ifsc: Ifsc::parse(ifsc).unwrap(),
            account_number: AccountNumber::parse(number).unwrap(),
            beneficiary_name: None,
        })
    }

    /// An address as it may be stored: earlier versions accepted a dot at the end.
    fn upi(vpa: &str) -> Details {
        Details::Upi(Vpa::from_stored(vpa).unwrap())
    }

    #[test]
    fn all_spellings_of_one_account_have_one_limit_identity() {
        let account = bank("HDFC0000001", "00ab1191").limit_identity();
        for spelling in [
            bank("HDFC0000002", "ab1191"),
            bank("hdfc0ABCDEF", "000000AB1191"),
            upi("ab1191@HDFC0000001.ifsc.npci"),
            upi("00AB1191@hdfc0000009.IFSC.npci."),
            upi("0-AB.11_91@hdfc0000009.ifsc.npci"),
        ] {
            assert_eq!(spelling.limit_identity(), account, "{spelling:?}");
        }
        for other in [
            bank("ICIC0000001", "ab1191"),
            bank("HDFC0000001", "ab11910"),
            bank("HDFC0000001", "ab011911"),
            upi("ab1191@upi"),
            upi("ab1191@hdfc1000001.ifsc.npci"),
            upi("ab1191@hdfc0000001.npci"),
        ] {
            assert_ne!(other.limit_identity(), account, "{other:?}");
        }
        assert_eq!(
            upi("Asha@ybl").limit_identity(),
            upi("asha@YBL.").limit_identity()
        );
        assert_ne!(
            upi("asha@ybl").limit_identity(),
            upi("asha@upi").limit_identity()
        );
    }

    #[test]
    fn the_same_account_by_number_and_by_address_is_one() {
        let by_number = bank("HDFC0000001", "00ab1191");
        let by_address = upi("00AB1191@HDFC0000001.ifsc.npci");
        assert_eq!(by_address.bank_identity(), by_number.bank_identity());
        assert_ne!(
            by_address.bank_identity(),
            upi("00ab1191@upi").bank_identity()
        );
        assert_ne!(
            by_address.identity(),
            by_number.identity(),
            "each is stored as itself"
        );
    }

    #[test]
    fn details_that_were_stored_under_wider_rules_are_read() {
        for plaintext in [
            r#"{"k":"b","i":"HDFC0000001","a":"XXXXXXXX1191","n":"\u200b"}"#,
            r#"{"k":"u","v":"asha@gmail.com"}"#,
            r#"{"k":"u","v":"asha@ybl."}"#,
        ] {
            let details = Details::from_plaintext(plaintext.as_bytes()).unwrap();
            assert_eq!(
                Details::from_plaintext(&details.to_plaintext()),
                Some(details)
            );
        }
    }

    #[test]
    fn debug_output_and_masked_form_hide_personal_data() {
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
        for (number, masked) in [("026291", "XXXXXXX1"), ("026291800001191", "XXXXXXX1191")] {
            let vpa = Vpa::parse(&format!("{number}@HDFC0000001.ifsc.npci")).unwrap();
            assert_eq!(vpa.masked(), format!("{masked}@hdfc0000001.ifsc.npci"));
            assert_eq!(AccountNumber::parse(number).unwrap().masked(), masked);
        }
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

    proptest! {
        #[test]
        fn the_stored_form_round_trips(number in "[A-WYZa-wyz0-9]{5,35}", name in proptest::option::of("[\\PC&&[^ ]]{1,120}")) {
            let details = Details::Bank(BankAccount {
                ifsc: Ifsc::parse("HDFC0000001").unwrap(),
                account_number: AccountNumber::parse(&number).unwrap(),
                beneficiary_name: name.and_then(|name| BeneficiaryName::parse(&name).ok()),
            });
            prop_assert_eq!(Details::from_plaintext(&details.to_plaintext()), Some(details));
        }
    }
}
