//! PayU's forms and JSON, as its public API reference has them (*Verify Account or Penny Test*, *Check Transfer Status*,
//! *Generate token using private client id*, *Validate VPA*). Only fields that are sent or read.

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::wire::text_or_number;

/// Reply to every payout call; `data` depends on the call.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Envelope<T> {
    /// 0: the call succeeded, also if the account is invalid; 1: the call failed.
    pub(super) status: Option<i64>,
    /// A sentence. May repeat values of the request: not for logs.
    pub(super) msg: Option<String>,
    /// One error code, or the first of several.
    #[serde(default, deserialize_with = "first_code")]
    pub(super) code: Option<String>,
    pub(super) data: Option<T>,
}

/// An envelope whose `data` is not read.
pub(super) type Frame = Envelope<serde::de::IgnoredAny>;

/// `data` of `POST /payout/payment/verifyAccount`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verification {
    /// `YES`, `No` or `VERIFICATION_PENDING`.
    pub(super) account_exists: Option<String>,
    pub(super) beneficiary_name: Option<String>,
    /// 0–100, with decimals.
    #[serde(default, deserialize_with = "text_or_number")]
    pub(super) name_match: Option<String>,
}

/// `data` of `POST /payout/payment/listTransactions`, the latest transfer first.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transactions {
    #[serde(default)]
    pub(super) transaction_details: Vec<Transaction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction {
    /// Our reference.
    pub(super) merchant_ref_id: Option<String>,
    /// Alone decides the outcome.
    pub(super) txn_status: Option<String>,
    /// A sentence.
    pub(super) msg: Option<String>,
    /// PayU's id.
    pub(super) payu_transaction_ref_no: Option<String>,
    /// The UTR.
    pub(super) bank_transaction_ref_no: Option<String>,
    pub(super) name_with_bank: Option<String>,
    #[serde(default, deserialize_with = "text_or_number")]
    pub(super) name_match: Option<String>,
}

/// `POST /oauth/token`.
#[derive(Deserialize)]
pub(super) struct TokenReply {
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

/// `POST /merchant/postservice.php?form=2`, for every command.
#[derive(Deserialize)]
pub(super) struct ServiceReply {
    /// 1 or 0; absent if the command was rejected.
    #[serde(default, rename = "isVPAValid", deserialize_with = "text_or_number")]
    pub(super) is_vpa_valid: Option<String>,
    /// "", "NA" or a name.
    #[serde(rename = "payerAccountName")]
    pub(super) payer_account_name: Option<String>,
    /// A sentence.
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
    fn one_or_several_codes_are_read_as_text_or_number() {
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
