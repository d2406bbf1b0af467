//! What became of a transfer, "Check Transfer Status", and the merchant's own account, "Get Account Details". A
//! penny test is a transfer of one rupee: PayU's page of the status call does not say that those are found
//! too, its page of the penny test says that `merchantRefId` is there "to identify the status".

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::Sandbox;
use crate::behaviour::Behaviour;
use crate::payu::bank::{Standing, Verification};
use crate::payu::wire::{
    MerchantData, NameMatch, PayoutAnswer, TransferData, TransfersData, TransfersRequest,
};
use crate::payu::{CLIENT_ID, PAYOUT_MERCHANT_ID};

/// What the merchant's account holds, in rupees, while it holds enough.
const BALANCE: u64 = 94_003;

/// `POST /payout/payment/listTransactions`. Finds by `merchantRefId` only; without one, or with one that is
/// not known, the list is empty, which PayU says has to be taken for pending.
pub(super) fn list(sandbox: &Sandbox, request: &TransfersRequest) -> PayoutAnswer<TransfersData> {
    let now = Instant::now();
    let found = request
        .merchant_ref_id
        .as_deref()
        .and_then(|id| sandbox.payu.verifications.get(id));
    let details: Vec<_> = found.iter().map(|found| transfer(found, now)).collect();
    PayoutAnswer::good(TransfersData {
        payout_merchant_id: (),
        no_of_pages: details.len(),
        total_elements: details.len(),
        current_page: 0,
        total_amount: 0.0,
        succes_txn: 0,
        pending_txn: 0,
        transaction_details: details,
    })
}

/// `GET /payout/merchant/getAccountDetail`.
pub(super) fn account(behaviour: Behaviour) -> PayoutAnswer<MerchantData> {
    let low_balance = behaviour.insufficient_balance;
    PayoutAnswer::good(MerchantData {
        payout_merchant_id: PAYOUT_MERCHANT_ID.parse().unwrap_or_default(),
        uuid: "11e8-5a8f-05faaaa4-84a5-020d245326e4",
        virtual_account_number: format!("PAYUIN{PAYOUT_MERCHANT_ID}"),
        transferable_amount: 0,
        balance: if low_balance { 0 } else { BALANCE },
        low_balance,
        ifsc: "YESB0CMSNOC",
        kind: "current",
        client_id: CLIENT_ID,
        transit_account_number: (),
    })
}

fn transfer(verification: &Verification, now: Instant) -> TransferData {
    let transfer = &verification.transfer;
    let ordered = date(transfer.ordered_at);
    let (txn_status, told, holder, name_match) = match verification.standing(now) {
        Standing::Pending => ("PENDING", None, None, NameMatch::Unknown),
        Standing::Exists { holder, name_match } => ("SUCCESS", None, Some(holder), name_match),
        Standing::No(error) => ("FAILED", Some(error), None, NameMatch::Unknown),
    };
    let has_arrived = holder.is_some();
    TransferData {
        txn_id: transfer.id,
        batch_id: (),
        merchant_ref_id: transfer.merchant_ref_id.clone(),
        purpose: transfer.purpose.clone(),
        amount: 1.0,
        txn_status,
        txn_sub_status: (),
        txn_source: "API",
        txn_date: ordered.clone(),
        scheduled_txn_date: ordered.clone(),
        payu_transaction_ref_no: format!(
            "PAYOUT{}{}",
            transfer.ordered_at.timestamp_millis(),
            transfer.id
        ),
        beneficiary_name: verification.name_sent().to_owned(),
        beneficiary_card_no: (),
        msg: told,
        response_code: (),
        transfer_type: "IMPS",
        bank_transaction_ref_no: has_arrived.then(|| transfer.bank_reference.clone()),
        name_with_bank: holder.filter(|name| !name.is_empty()).map(str::to_owned),
        last_status_update_date: ordered.clone(),
        succeed_on: has_arrived.then_some(ordered),
        fee: (),
        tax: (),
        txn_status_description: told,
        custom1: (),
        custom2: (),
        custom3: (),
        name_match,
    }
}

/// As PayU writes it.
fn date(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()
}
