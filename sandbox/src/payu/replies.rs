//! PayU's replies about accounts, transfers and VPAs.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::name_similarity;
use crate::rules::is_true;

/// The `client_id` that is accepted.
pub const CLIENT_ID: &str = "payu_sandbox_client";

/// The `payoutMerchantId` that is accepted.
pub const PAYOUT_MERCHANT_ID: &str = "1111126";

/// The merchant's balance in rupees while it is sufficient.
const BALANCE: u64 = 94_003;

/// The outcome of an account: it exists, or it does not, with the text of `error`.
pub(super) type Outcome = Result<(), &'static str>;

/// The transfer of one rupee that verifies an account.
pub(super) struct Transfer<'a> {
    pub(super) id: u64,
    pub(super) form: &'a Value,
    /// A digest of the account.
    pub(super) account: &'a str,
    pub(super) bank_reference: String,
    pub(super) ordered_at: DateTime<Utc>,
    /// The name sent; "" where none was.
    pub(super) name_sent: &'a str,
    /// The name at the bank; "" if the bank returns none.
    pub(super) holder: String,
}

fn success(data: &Value) -> Value {
    json!({"status": 0, "msg": null, "code": null, "data": data})
}

impl Transfer<'_> {
    /// Makes the members that are kept: the reply of `verifyAccount`, the transfer of `listTransactions`
    /// and the account. `None`: the outcome is still to come.
    pub(super) fn kept(&self, outcome: Option<Outcome>) -> Value {
        json!({
            "reply": self.reply(outcome), "transfer": self.transfer(outcome),
            "account": self.account,
        })
    }

    /// `accountExists` has PayU's own mixture of cases, and `status` is "Success" for every outcome.
    /// `nameMatch` is absent when the account does not exist.
    fn reply(&self, outcome: Option<Outcome>) -> Value {
        let (exists, name) = match outcome {
            None => ("VERIFICATION_PENDING", self.name_sent),
            Some(Ok(())) => ("YES", self.holder.as_str()),
            Some(Err(error)) => {
                return success(&json!({
                    "accountExists": "No", "beneficiaryName": "", "status": "Success",
                    "error": error,
                }));
            }
        };
        success(&json!({
            "accountExists": exists, "beneficiaryName": name, "status": "Success", "error": "",
            "nameMatch": self.name_match(outcome),
        }))
    }

    /// Members that a penny test does not have are null, as in PayU's sample. `txnStatus` decides: SUCCESS,
    /// FAILED or PENDING.
    fn transfer(&self, outcome: Option<Outcome>) -> Value {
        let (status, error) = match outcome {
            None => ("PENDING", None),
            Some(Ok(())) => ("SUCCESS", None),
            Some(Err(error)) => ("FAILED", Some(error)),
        };
        let arrived = status == "SUCCESS";
        let ordered = self
            .ordered_at
            .format("%Y-%m-%dT%H:%M:%S%.3f+0000")
            .to_string();
        let reference_no = format!("PAYOUT{}{}", self.ordered_at.timestamp_millis(), self.id);
        let name_with_bank = Some(&self.holder).filter(|name| arrived && !name.is_empty());
        json!({
            "txnId": self.id, "batchId": null, "merchantRefId": self.form["merchantRefId"],
            "purpose": self.form["purpose"], "amount": 1.0, "txnStatus": status,
            "txnSubStatus": null, "txnSource": "API", "txnDate": ordered,
            "scheduledTxnDate": ordered, "payuTransactionRefNo": reference_no,
            "beneficiaryName": self.name_sent, "beneficiaryCardNo": null, "msg": error,
            "responseCode": null, "transferType": "IMPS",
            "bankTransactionRefNo": arrived.then_some(&self.bank_reference),
            "nameWithBank": name_with_bank, "lastStatusUpdateDate": ordered,
            "succeedOn": arrived.then_some(&ordered), "fee": null, "tax": null,
            "txnStatusDescription": error, "custom1": null, "custom2": null, "custom3": null,
            "nameMatch": self.name_match(outcome),
        })
    }

    /// Returns 0 to 100; null where no match was requested or no name is known.
    fn name_match(&self, outcome: Option<Outcome>) -> Value {
        let exists = outcome == Some(Ok(()));
        if exists && is_true(self.form, "nameMatching") && !self.holder.is_empty() {
            name_similarity::score(self.name_sent, &self.holder).into()
        } else {
            Value::Null
        }
    }
}

/// Makes the reply of `listTransactions`. The spelling of `succesTxn` is PayU's.
pub(super) fn transfers(transfers: &[Value]) -> Value {
    success(&json!({
        "payoutMerchantId": null, "noOfPages": transfers.len(), "totalElements": transfers.len(),
        "currentPage": 0, "totalAmount": 0.0, "succesTxn": 0, "pendingTxn": 0,
        "transactionDetails": transfers,
    }))
}

/// Makes the reply of `getAccountDetail`.
pub(super) fn merchant_account(low_balance: bool) -> Value {
    success(&json!({
        "payoutMerchantId": PAYOUT_MERCHANT_ID.parse::<u64>().unwrap_or_default(),
        "uuid": "11e8-5a8f-05faaaa4-84a5-020d245326e4",
        "virtualAccountNumber": format!("PAYUIN{PAYOUT_MERCHANT_ID}"), "transferableAmount": 0,
        "balance": if low_balance { 0 } else { BALANCE }, "lowBalance": low_balance,
        "ifsc": "YESB0CMSNOC", "type": "current", "clientId": CLIENT_ID,
        "transitAccountNumber": null,
    }))
}

/// Makes the reply of the command validateVPA. `holder` is the name at the bank, "" or "NA" where the bank
/// returns none; `None`: the VPA does not exist. `status` is "SUCCESS" for every outcome; the two members
/// about recurring payments are there for a valid VPA only.
pub(super) fn vpa(vpa: &str, holder: Option<String>) -> Value {
    match holder {
        Some(name) => json!({
            "status": "SUCCESS", "vpa": vpa, "isVPAValid": 1, "isAutoPayVPAValid": 1,
            "isAutoPayBankValid": "NA", "payerAccountName": name,
        }),
        None => json!({
            "status": "SUCCESS", "vpa": vpa, "isVPAValid": 0, "payerAccountName": "NA",
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
