//! PayU's replies about accounts, transfers and VPAs.

use std::time::Instant;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::behaviour::UNKNOWN_CODE;
use crate::name_similarity;
use crate::profile::has_appeared;

/// The `client_id` that is accepted.
pub const CLIENT_ID: &str = "payu_sandbox_client";

/// The `payoutMerchantId` that is accepted.
pub const PAYOUT_MERCHANT_ID: &str = "1111126";

/// The merchant's balance in rupees while it is sufficient.
const BALANCE: u64 = 94_003;

/// The outcome of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Exists,
    /// The account does not exist, with the text of `error`.
    No(&'static str),
}

/// The finding of a VPA lookup.
pub(super) enum VpaFound {
    /// The VPA exists, under this name; "" and "NA" where the bank returns none.
    Valid(String),
    Invalid,
}

/// An account that was verified, and its transfer of one rupee.
pub(super) struct Verification {
    pub(super) transfer_id: u64,
    pub(super) merchant_ref_id: String,
    pub(super) purpose: String,
    pub(super) bank_reference: String,
    pub(super) ordered_at: DateTime<Utc>,
    /// A digest of the account.
    pub(super) account: String,
    /// Whether the first reply was that it is pending.
    pub(super) was_pending: bool,
    pub(super) outcome: Outcome,
    /// The name sent; "" where none was.
    pub(super) name_sent: String,
    /// The name at the bank; "" if the bank returns none.
    pub(super) holder: String,
    pub(super) name_matching: bool,
    /// When the outcome appears; `None`: never.
    pub(super) appears_at: Option<Instant>,
}

fn success(data: &Value) -> Value {
    json!({"status": 0, "msg": null, "code": null, "data": data})
}

impl Verification {
    /// Makes the reply of `verifyAccount`. `accountExists` has PayU's own mixture of cases, and `status` is
    /// "Success" for every outcome. `nameMatch` is absent when the account does not exist.
    pub(super) fn reply(&self, now: Instant, unknown_code: bool) -> Value {
        let mut data = json!({"status": "Success", "error": ""});
        match self.outcome {
            _ if self.is_pending(now) => {
                data["accountExists"] = "VERIFICATION_PENDING".into();
                data["beneficiaryName"] = self.name_sent.as_str().into();
                data["nameMatch"] = Value::Null;
                return success(&data);
            }
            Outcome::Exists => {
                data["accountExists"] = "YES".into();
                data["beneficiaryName"] = self.holder.as_str().into();
                data["nameMatch"] = self.name_match();
            }
            Outcome::No(error) => {
                data["accountExists"] = "No".into();
                data["beneficiaryName"] = "".into();
                data["error"] = error.into();
            }
        }
        if unknown_code {
            data["accountExists"] = UNKNOWN_CODE.into();
        }
        success(&data)
    }

    /// Makes the transfer in the reply of `listTransactions`. Members that a penny test does not have are
    /// null, as in PayU's sample. `txnStatus` decides: SUCCESS, FAILED or PENDING.
    pub(super) fn transfer(&self, now: Instant) -> Value {
        let (status, error, arrived) = match self.outcome {
            _ if self.is_pending(now) => ("PENDING", None, false),
            Outcome::Exists => ("SUCCESS", None, true),
            Outcome::No(error) => ("FAILED", Some(error), false),
        };
        let id = self.transfer_id;
        let ordered = self
            .ordered_at
            .format("%Y-%m-%dT%H:%M:%S%.3f+0000")
            .to_string();
        let reference_no = format!("PAYOUT{}{id}", self.ordered_at.timestamp_millis());
        let name_with_bank = Some(&self.holder).filter(|name| arrived && !name.is_empty());
        json!({
            "txnId": id,
            "batchId": null,
            "merchantRefId": self.merchant_ref_id,
            "purpose": self.purpose,
            "amount": 1.0,
            "txnStatus": status,
            "txnSubStatus": null,
            "txnSource": "API",
            "txnDate": ordered,
            "scheduledTxnDate": ordered,
            "payuTransactionRefNo": reference_no,
            "beneficiaryName": self.name_sent,
            "beneficiaryCardNo": null,
            "msg": error,
            "responseCode": null,
            "transferType": "IMPS",
            "bankTransactionRefNo": arrived.then_some(&self.bank_reference),
            "nameWithBank": name_with_bank,
            "lastStatusUpdateDate": ordered,
            "succeedOn": arrived.then_some(&ordered),
            "fee": null,
            "tax": null,
            "txnStatusDescription": error,
            "custom1": null,
            "custom2": null,
            "custom3": null,
            "nameMatch": if arrived { self.name_match() } else { Value::Null },
        })
    }

    fn is_pending(&self, now: Instant) -> bool {
        !has_appeared(self.appears_at, now)
    }

    /// Returns 0 to 100; null where no match was requested or no name is known.
    fn name_match(&self) -> Value {
        if self.name_matching && !self.holder.is_empty() {
            name_similarity::score(&self.name_sent, &self.holder).into()
        } else {
            Value::Null
        }
    }
}

/// Makes the reply of `listTransactions`. The spelling of `succesTxn` is PayU's.
pub(super) fn transfers(transfers: &[Value]) -> Value {
    success(&json!({
        "payoutMerchantId": null,
        "noOfPages": transfers.len(),
        "totalElements": transfers.len(),
        "currentPage": 0,
        "totalAmount": 0.0,
        "succesTxn": 0,
        "pendingTxn": 0,
        "transactionDetails": transfers,
    }))
}

/// Makes the reply of `getAccountDetail`.
pub(super) fn merchant_account(low_balance: bool) -> Value {
    success(&json!({
        "payoutMerchantId": PAYOUT_MERCHANT_ID.parse::<u64>().unwrap_or_default(),
        "uuid": "11e8-5a8f-05faaaa4-84a5-020d245326e4",
        "virtualAccountNumber": format!("PAYUIN{PAYOUT_MERCHANT_ID}"),
        "transferableAmount": 0,
        "balance": if low_balance { 0 } else { BALANCE },
        "lowBalance": low_balance,
        "ifsc": "YESB0CMSNOC",
        "type": "current",
        "clientId": CLIENT_ID,
        "transitAccountNumber": null,
    }))
}

/// Makes the reply of the command validateVPA. `status` is "SUCCESS" for every outcome; the two members
/// about recurring payments are there for a valid VPA only.
pub(super) fn vpa(vpa: &str, found: VpaFound) -> Value {
    match found {
        VpaFound::Valid(name) => json!({
            "status": "SUCCESS",
            "vpa": vpa,
            "isVPAValid": 1,
            "isAutoPayVPAValid": 1,
            "isAutoPayBankValid": "NA",
            "payerAccountName": name,
        }),
        VpaFound::Invalid => json!({
            "status": "SUCCESS",
            "vpa": vpa,
            "isVPAValid": 0,
            "payerAccountName": "NA",
        }),
    }
}

/// Makes the reply of the command verify_payment for the merchant's ids, with `|` between them. The sandbox
/// makes no payments, so none is found.
pub(super) fn unknown_payments(ids: &str) -> Value {
    let unknown = |id: &str| {
        let payment = json!({"mihpayid": "Not Found", "status": "Not Found"});
        (id.to_owned(), payment)
    };
    let details: Map<String, Value> = ids.split('|').map(unknown).collect();
    let number = ids.split('|').count();
    json!({
        "status": 0,
        "msg": format!("0 out of {number} Transactions Fetched Successfully"),
        "transaction_details": details,
    })
}
