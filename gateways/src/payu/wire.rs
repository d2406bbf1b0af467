//! PayU's forms and JSON, as its public API reference has them (*Verify Account or Penny Test*, *Check Transfer Status*,
//! *Generate token using private client id*, *Validate VPA*). Only what is sent or read.

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::wire::text_or_number;

/// A form as a request body.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::new();
    let escaped = |text: &mut String, part: &str| {
        for byte in part.bytes() {
            match byte {
                b' ' => text.push('+'),
                _ if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) => {
                    text.push(char::from(byte));
                }
                _ => {
                    text.push('%');
                    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
                    text.push(char::from(DIGITS[usize::from(byte & 15)]));
                }
            }
        }
    };
    for (name, value) in fields {
        if !text.is_empty() {
            text.push('&');
        }
        escaped(&mut text, name);
        text.push('=');
        escaped(&mut text, value);
    }
    text
}

/// What every payout call answers; `data` depends on the call.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Envelope<T> {
    /// 0: the call succeeded, whatever it says of the account; 1: it failed.
    #[serde(default)]
    pub(super) status: Option<i64>,
    /// A sentence. May repeat what was sent: for no log.
    #[serde(default)]
    pub(super) msg: Option<String>,
    /// One error code, or the first of several.
    #[serde(default, deserialize_with = "first_code")]
    pub(super) code: Option<String>,
    #[serde(default = "none")]
    pub(super) data: Option<T>,
}

fn none<T>() -> Option<T> {
    None
}

/// An envelope of which only the frame is read.
pub(super) type Frame = Envelope<serde::de::IgnoredAny>;

/// `data` of `POST /payout/payment/verifyAccount`.
#[derive(Deserialize)]
pub(super) struct Verified {
    /// `YES`, `No` or `VERIFICATION_PENDING`.
    #[serde(default, rename = "accountExists")]
    pub(super) account_exists: Option<String>,
    #[serde(default, rename = "beneficiaryName")]
    pub(super) beneficiary_name: Option<String>,
    /// 0–100, with decimals.
    #[serde(default, rename = "nameMatch", deserialize_with = "text_or_number")]
    pub(super) name_match: Option<String>,
}

/// `data` of `POST /payout/payment/listTransactions`, the latest first.
#[derive(Deserialize)]
pub(super) struct Transactions {
    #[serde(default, rename = "transactionDetails")]
    pub(super) details: Vec<Transaction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    /// Ours.
    #[serde(default)]
    pub(super) merchant_ref_id: Option<String>,
    /// Only this tells what became of it.
    #[serde(default)]
    pub(super) txn_status: Option<String>,
    /// A sentence.
    #[serde(default)]
    pub(super) msg: Option<String>,
    /// PayU's id.
    #[serde(default)]
    pub(super) payu_transaction_ref_no: Option<String>,
    /// The bank's: the UTR.
    #[serde(default)]
    pub(super) bank_transaction_ref_no: Option<String>,
    #[serde(default)]
    pub(super) name_with_bank: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    pub(super) name_match: Option<String>,
}

/// `POST /oauth/token`.
#[derive(Deserialize)]
pub(super) struct TokenResponse {
    pub(super) access_token: Zeroizing<String>,
    /// Seconds.
    pub(super) expires_in: u64,
}

/// An error of `/oauth/token` (RFC 6749, 5.2).
#[derive(Default, Deserialize)]
pub(super) struct TokenError {
    #[serde(default)]
    pub(super) error: String,
}

/// `POST /merchant/postservice.php?form=2`, whatever the command.
#[derive(Deserialize)]
pub(super) struct ServiceResponse {
    /// 1 or 0; absent where the command was refused.
    #[serde(default, rename = "isVPAValid", deserialize_with = "text_or_number")]
    pub(super) is_vpa_valid: Option<String>,
    /// "", "NA" or a name.
    #[serde(default, rename = "payerAccountName")]
    pub(super) payer_account_name: Option<String>,
    /// A sentence.
    #[serde(default)]
    pub(super) msg: Option<String>,
}

fn first_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Codes {
        One(#[serde(deserialize_with = "text_or_number")] Option<String>),
        Several(Vec<One>),
    }
    #[derive(Deserialize)]
    struct One(#[serde(deserialize_with = "text_or_number")] Option<String>);
    Ok(match Option::<Codes>::deserialize(deserializer)? {
        Some(Codes::One(code)) => code,
        Some(Codes::Several(codes)) => codes.into_iter().find_map(|One(code)| code),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_escaped_as_browsers_do() {
        let form = form(&[
            ("beneName", "Asha Rao & Co"),
            ("vpa", "asha.rao-1_2@upi"),
            ("x", "आ"),
        ]);
        assert_eq!(
            form,
            "beneName=Asha+Rao+%26+Co&vpa=asha.rao-1_2%40upi&x=%E0%A4%86"
        );
    }

    #[test]
    fn codes_come_alone_or_several_as_text_or_number() {
        for (json, code) in [
            (r#"{"status":1,"code":1002}"#, Some("1002")),
            (r#"{"status":1,"code":"1002"}"#, Some("1002")),
            (r#"{"status":1,"code":[1004,1005]}"#, Some("1004")),
            (r#"{"status":1,"code":[]}"#, None),
            (r#"{"status":1,"code":null}"#, None),
            (r#"{"status":1}"#, None),
        ] {
            let frame: Frame = serde_json::from_str(json).unwrap();
            assert_eq!(frame.code.as_deref(), code, "{json}");
        }
    }
}
