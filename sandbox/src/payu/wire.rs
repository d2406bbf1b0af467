//! What goes over the wire: PayU's field names and types. Requests are forms; a field that may be
//! missing is an `Option` even where PayU wants it, so that its absence is answered, not a parse error.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The form of `POST /oauth/token`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TokenRequest {
    pub(super) grant_type: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) client_secret: Option<String>,
    pub(super) scope: Option<String>,
}

/// A token.
#[derive(Debug, Serialize)]
pub(super) struct TokenAnswer {
    pub(super) access_token: String,
    pub(super) token_type: &'static str,
    /// Seconds.
    pub(super) expires_in: u64,
    pub(super) scope: &'static str,
    /// Seconds since 1970 in the published samples, although the page says milliseconds.
    pub(super) created_at: i64,
}

/// The form of `POST /payout/payment/verifyAccount`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountRequest {
    pub(super) account_number: Option<String>,
    pub(super) ifsc_code: Option<String>,
    pub(super) merchant_ref_id: Option<String>,
    pub(super) validate_ifsc: Option<String>,
    pub(super) bene_name: Option<String>,
    pub(super) name_matching: Option<String>,
    pub(super) purpose: Option<String>,
}

/// Every answer of the payout API: `status` 0 with data, or 1 with a code and a message.
#[derive(Debug, Serialize)]
pub(super) struct PayoutAnswer<T> {
    pub(super) status: u8,
    pub(super) msg: Option<&'static str>,
    pub(super) code: Option<u32>,
    pub(super) data: Option<T>,
}

impl<T> PayoutAnswer<T> {
    /// A call that went well.
    pub(super) fn good(data: T) -> Self {
        Self {
            status: 0,
            msg: None,
            code: None,
            data: Some(data),
        }
    }
}

/// What is known of the account.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccountData {
    /// YES, No or VERIFICATION_PENDING, in PayU's own mixture of cases.
    pub(super) account_exists: &'static str,
    /// The name sent while the verification is pending, the bank's afterwards, "" if there is none.
    pub(super) beneficiary_name: String,
    /// Not there when the account does not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name_match: Option<NameMatch>,
    /// "Success" whatever the outcome.
    pub(super) status: &'static str,
    pub(super) error: &'static str,
}

/// `nameMatch`: 0 to 100, or null.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum NameMatch {
    Score(f64),
    /// Not asked for, not yet known, or no name to match.
    Unknown,
}

/// The form of `POST /payout/payment/listTransactions`. Of the filters that it may have only this is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransfersRequest {
    pub(super) merchant_ref_id: Option<String>,
}

/// `data` of its answer. The spelling of `succesTxn` is PayU's.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransfersData {
    pub(super) payout_merchant_id: (),
    pub(super) no_of_pages: usize,
    pub(super) total_elements: usize,
    pub(super) current_page: u8,
    pub(super) total_amount: f64,
    pub(super) succes_txn: u8,
    pub(super) pending_txn: u8,
    pub(super) transaction_details: Vec<TransferData>,
}

/// A transfer. What a penny test has nothing of is null, as in PayU's sample.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TransferData {
    pub(super) txn_id: u64,
    pub(super) batch_id: (),
    pub(super) merchant_ref_id: String,
    pub(super) purpose: String,
    pub(super) amount: f64,
    /// The one word that decides: SUCCESS, FAILED or PENDING here.
    pub(super) txn_status: &'static str,
    pub(super) txn_sub_status: (),
    pub(super) txn_source: &'static str,
    /// `2022-08-22T05:56:13.000+0000`.
    pub(super) txn_date: String,
    pub(super) scheduled_txn_date: String,
    pub(super) payu_transaction_ref_no: String,
    pub(super) beneficiary_name: String,
    pub(super) beneficiary_card_no: (),
    /// What is said of a transfer that failed.
    pub(super) msg: Option<&'static str>,
    pub(super) response_code: (),
    pub(super) transfer_type: &'static str,
    pub(super) bank_transaction_ref_no: Option<String>,
    pub(super) name_with_bank: Option<String>,
    pub(super) last_status_update_date: String,
    pub(super) succeed_on: Option<String>,
    pub(super) fee: (),
    pub(super) tax: (),
    /// The same as `msg`.
    pub(super) txn_status_description: Option<&'static str>,
    pub(super) custom1: (),
    pub(super) custom2: (),
    pub(super) custom3: (),
    pub(super) name_match: NameMatch,
}

/// `data` of `GET /payout/merchant/getAccountDetail`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MerchantData {
    pub(super) payout_merchant_id: u64,
    pub(super) uuid: &'static str,
    pub(super) virtual_account_number: String,
    pub(super) transferable_amount: u64,
    /// Rupees.
    pub(super) balance: u64,
    pub(super) low_balance: bool,
    pub(super) ifsc: &'static str,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) client_id: &'static str,
    pub(super) transit_account_number: (),
}

/// The form of `POST /merchant/postservice.php?form=2`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ServiceRequest {
    pub(super) key: Option<String>,
    pub(super) command: Option<String>,
    pub(super) var1: Option<String>,
    pub(super) hash: Option<String>,
}

/// The answer of a command.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum ServiceAnswer {
    Vpa(VpaAnswer),
    Payments(PaymentsAnswer),
}

/// The answer of the command `verify_payment`: none of the payments is known here, as none is ever made.
#[derive(Debug, Serialize)]
pub(super) struct PaymentsAnswer {
    pub(super) status: u8,
    pub(super) msg: String,
    /// By the caller's id.
    pub(super) transaction_details: BTreeMap<String, UnknownPayment>,
}

#[derive(Debug, Serialize)]
pub(super) struct UnknownPayment {
    pub(super) mihpayid: &'static str,
    pub(super) status: &'static str,
}

/// The answer of the command validateVPA.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VpaAnswer {
    /// "SUCCESS" whatever the outcome.
    pub(super) status: &'static str,
    pub(super) vpa: String,
    #[serde(rename = "isVPAValid")]
    pub(super) is_vpa_valid: u8,
    /// The two about recurring payments are told of a valid VPA only.
    #[serde(rename = "isAutoPayVPAValid", skip_serializing_if = "Option::is_none")]
    pub(super) is_auto_pay_vpa_valid: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_auto_pay_bank_valid: Option<&'static str>,
    /// May be "" or "NA" for a valid VPA too: the bank tells no name.
    pub(super) payer_account_name: String,
}

/// A command that is refused.
#[derive(Debug, Serialize)]
pub(super) struct ServiceRefusal {
    pub(super) status: u8,
    pub(super) msg: &'static str,
}

/// A token that is refused (RFC 6749, section 5.2).
#[derive(Debug, Serialize)]
pub(super) struct OauthError {
    pub(super) error: &'static str,
    pub(super) error_description: &'static str,
}
