//! What goes over the wire: Cashfree's field names and types, exactly. A member that may be missing
//! from a request is an `Option` here even where Cashfree wants it, so that its absence is answered
//! the way Cashfree answers it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The body of `POST /bank-account/sync` and `/bank-account/async`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct BankRequest {
    pub(super) bank_account: Option<String>,
    pub(super) ifsc: Option<String>,
    pub(super) name: Option<String>,
    pub(super) phone: Option<String>,
    /// Read by the async call only.
    pub(super) user_id: Option<String>,
}

/// The body of `POST /upi` and `/upi/penny-drop`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct UpiRequest {
    pub(super) verification_id: Option<String>,
    pub(super) vpa: Option<String>,
    pub(super) name: Option<String>,
    /// Read by the penny drop only.
    pub(super) user_consent: Option<UserConsent>,
}

/// The payee's consent, which NPCI wants before a UPI penny drop.
#[derive(Debug, Default, Deserialize)]
pub(super) struct UserConsent {
    pub(super) obtained: Option<bool>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) timestamp: Option<String>,
    pub(super) purpose: Option<String>,
}

/// The query of `GET /bank-account`.
#[derive(Debug, Deserialize)]
pub(super) struct BankQuery {
    pub(super) reference_id: Option<String>,
    pub(super) user_id: Option<String>,
}

/// The query of `GET /upi`.
#[derive(Debug, Deserialize)]
pub(super) struct UpiQuery {
    pub(super) verification_id: Option<String>,
}

/// The answer of `POST /bank-account/async`.
#[derive(Debug, Serialize)]
pub(super) struct BankReceipt {
    pub(super) reference_id: u64,
    pub(super) user_id: Option<String>,
    pub(super) account_status: AccountStatus,
    pub(super) account_status_code: AccountStatusCode,
}

/// The answer of `POST /bank-account/sync` and `GET /bank-account`. What is not known is null.
#[derive(Debug, Serialize)]
pub(super) struct BankAnswer {
    pub(super) reference_id: u64,
    pub(super) name_at_bank: Option<String>,
    pub(super) bank_name: Option<Cow<'static, str>>,
    pub(super) utr: Option<String>,
    pub(super) city: Option<&'static str>,
    pub(super) branch: Option<&'static str>,
    pub(super) micr: Option<u32>,
    /// 0 to 100 with two decimals, as text.
    pub(super) name_match_score: Option<String>,
    pub(super) name_match_result: Option<&'static str>,
    pub(super) account_status: AccountStatus,
    pub(super) account_status_code: AccountStatusCode,
    pub(super) ifsc_details: Option<IfscDetails>,
}

impl BankAnswer {
    /// An answer that tells no more than where the verification stands.
    pub(super) fn bare(
        reference_id: u64,
        account_status: AccountStatus,
        account_status_code: AccountStatusCode,
    ) -> Self {
        Self {
            reference_id,
            name_at_bank: None,
            bank_name: None,
            utr: None,
            city: None,
            branch: None,
            micr: None,
            name_match_score: None,
            name_match_result: None,
            account_status,
            account_status_code,
            ifsc_details: None,
        }
    }
}

/// `account_status` (Cashfree, account status table).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum AccountStatus {
    Valid,
    Invalid,
    Received,
    InProcess,
    Processing,
    Failed,
    Rejected,
}

impl AccountStatus {
    /// Whether the outcome is still to come.
    pub(super) fn is_pending(self) -> bool {
        matches!(self, Self::Received | Self::InProcess | Self::Processing)
    }
}

/// `account_status_code` (Cashfree, account status code table), and one that is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum AccountStatusCode {
    AccountIsValid,
    InvalidAccountFail,
    InvalidIfscFail,
    AccountBlocked,
    NreAccountFail,
    FraudAccount,
    BavBlocked,
    ValidationInProgress,
    VerificationAlreadyUnderProcess,
    FailedAtBank,
    NpciUnavailable,
    ConnectionTimeout,
    SourceBankDeclined,
    BeneficiaryBankOffline,
    BeneBankDeclined,
    ImpsModeFail,
    InsufficientBalance,
    /// [`crate::behaviour::UNKNOWN_CODE`].
    #[serde(rename = "A_CODE_OF_NEXT_YEAR")]
    OfNextYear,
}

/// The answer of `POST /upi/penny-drop`.
#[derive(Debug, Serialize)]
pub(super) struct UpiPennyDropAnswer {
    pub(super) verification_id: String,
    pub(super) reference_id: u64,
    pub(super) status: UpiStatus,
    pub(super) vpa: String,
    pub(super) name_at_bank: Option<String>,
    pub(super) utr: Option<String>,
    pub(super) bank_account: Option<&'static str>,
    pub(super) ifsc: Option<&'static str>,
    pub(super) name_match_score: Option<String>,
    pub(super) name_match_result: Option<&'static str>,
    pub(super) ifsc_details: Option<IfscDetails>,
}

/// The answer of `POST /upi`.
#[derive(Debug, Serialize)]
pub(super) struct UpiLookUpAnswer {
    pub(super) verification_id: String,
    pub(super) reference_id: u64,
    pub(super) status: UpiStatus,
    pub(super) vpa: String,
    pub(super) name_at_bank: Option<String>,
    pub(super) name_match_score: Option<String>,
    pub(super) name_match_result: Option<&'static str>,
}

/// The answer of `GET /upi`: that of the call which made the verification.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum UpiAnswer {
    PennyDrop(Box<UpiPennyDropAnswer>),
    LookUp(UpiLookUpAnswer),
}

/// `status` of a VPA (Cashfree, UPI verification).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum UpiStatus {
    Valid,
    Invalid,
    Expired,
    NpciNameIncorrect,
}

/// Where the account is held.
#[derive(Debug, Serialize)]
pub(super) struct IfscDetails {
    pub(super) bank: Cow<'static, str>,
    /// Told for a bank account; a UPI answer has it one level up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ifsc: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ifsc_subcode: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) rails: Option<Rails>,
    pub(super) address: &'static str,
    pub(super) city: &'static str,
    pub(super) state: &'static str,
    pub(super) branch: &'static str,
    pub(super) category: &'static str,
    pub(super) swift_code: &'static str,
    pub(super) micr: u32,
    pub(super) nbin: u32,
}

/// Which payment rails reach the branch; told for a UPI penny drop.
#[derive(Debug, Serialize)]
pub(super) struct Rails {
    pub(super) neft: &'static str,
    pub(super) imps: &'static str,
    pub(super) rtgs: &'static str,
    pub(super) upi: &'static str,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::behaviour::UNKNOWN_CODE;

    #[test]
    fn the_unknown_code_is_the_one_all_gateways_have() {
        let word = serde_json::to_value(AccountStatusCode::OfNextYear).unwrap();
        assert_eq!(word, UNKNOWN_CODE);
    }
}
