//! A message of every gateway, in every flow.

use khata_domain::{Gateway, Method};

use super::message::{Kind, Message, sign_cashfree, sign_razorpay, sign_setu};

const CASHFREE: &str = r#"{"reference_id":34,"name_at_bank":"ASHA RAO","utr":"395137559835","name_match_score":"90.00","account_status":"VALID","account_status_code":"ACCOUNT_IS_VALID","ifsc_details":{"micr":1}}"#;
const CASHFREE_DECORATIONS: &[&str] = &[
    "/reference_id",
    "/name_at_bank",
    "/utr",
    "/name_match_score",
    "/ifsc_details",
];
const RAZORPAY: &str = r#"{"id":"fav_1","status":"completed","utr":"395137559835","reference_id":"kh00000000000000000000000001_01","validation_results":{"account_status":"active","registered_name":"ASHA RAO","name_match_score":90,"bank_account":{"account_type":"savings"}},"status_details":{"reason":"validation_completed"},"fund_account":{"account_type":"bank_account"},"notes":[]}"#;
const RAZORPAY_DECORATIONS: &[&str] = &[
    "/utr",
    "/validation_results/registered_name",
    "/validation_results/name_match_score",
    "/validation_results/bank_account",
    "/validation_results/bank_account/account_type",
    "/notes",
];
const SETU: &str = r#"{"id":"02c2dc4c","code":"BAV00","verification":"success","message":"ok","data":{"name":"ASHA RAO","transactionReference":"120716373986"},"traceId":"1-2"}"#;
const SETU_DECORATIONS: &[&str] = &[
    "/message",
    "/data",
    "/data/name",
    "/data/transactionReference",
    "/traceId",
];

/// Returns a message of every kind.
pub(super) fn messages() -> Vec<Message> {
    use Gateway::{Cashfree, Decentro, Payu, Razorpay, Setu};
    use Kind::{Call, Lookup, Token, Webhook};
    use Method::{Penniless, PennyDrop, VpaLookup};
    let message = |(gateway, settings, method), kind, body, decorations| Message {
        gateway,
        settings,
        method,
        is_upi: method == VpaLookup,
        kind,
        body,
        decorations,
    };
    let razorpay = (Razorpay, r#"{"source_account_number":"1"}"#, PennyDrop);
    let upi_drop = |message| Message {
        is_upi: true,
        ..message
    };
    let upi = r#"{"reference_id":1,"status":"VALID","name_at_bank":"ASHA RAO","utr":"1"}"#;
    vec![
        message(
            (Cashfree, "{}", PennyDrop),
            Call,
            CASHFREE,
            CASHFREE_DECORATIONS,
        ),
        message(
            (Cashfree, "{}", PennyDrop),
            Lookup,
            CASHFREE,
            CASHFREE_DECORATIONS,
        ),
        message(
            (Cashfree, "{}", PennyDrop),
            Webhook(sign_cashfree),
            r#"{"event_type":"BANK_ACCOUNT_VERIFICATION_SUCCESS","event_time":"now","version":"v2","data":{"user_id":"kh00000000000000000000000001_01","reference_id":34,"name_at_bank":"ASHA RAO","utr":"1","account_status":"VALID","account_status_code":"ACCOUNT_IS_VALID"}}"#,
            &[
                "/event_time",
                "/version",
                "/data/reference_id",
                "/data/name_at_bank",
                "/data/utr",
            ],
        ),
        message(
            (Cashfree, "{}", VpaLookup),
            Call,
            upi,
            &["/reference_id", "/name_at_bank", "/utr"],
        ),
        message(razorpay, Call, RAZORPAY, RAZORPAY_DECORATIONS),
        message(razorpay, Lookup, RAZORPAY, RAZORPAY_DECORATIONS),
        message(
            razorpay,
            Webhook(sign_razorpay),
            r#"{"entity":"event","event":"fund_account.validation.completed","payload":{"fund_account.validation":{"entity":{"id":"fav_1","status":"completed","utr":"1","reference_id":"kh00000000000000000000000001_01","results":{"account_status":"active","registered_name":"ASHA RAO"},"fund_account":{"account_type":"bank_account"}}}},"created_at":1}"#,
            &[
                "/entity",
                "/created_at",
                "/payload/fund_account.validation/entity/utr",
                "/payload/fund_account.validation/entity/results/registered_name",
            ],
        ),
        message(
            (Razorpay, "{}", VpaLookup),
            Call,
            r#"{"vpa":"asha@upi","success":true,"customer_name":"ASHA RAO"}"#,
            &["/vpa", "/customer_name"],
        ),
        message(
            (Setu, r#"{"bank_flow":"sync"}"#, PennyDrop),
            Call,
            SETU,
            SETU_DECORATIONS,
        ),
        message((Setu, "{}", PennyDrop), Lookup, SETU, SETU_DECORATIONS),
        message(
            (Setu, r#"{"methods":["PENNILESS"]}"#, Penniless),
            Call,
            r#"{"status":"SUCCESS","data":{"bankAccountName":"ASHA RAO","ifscCrossCheck":true},"traceId":"1"}"#,
            &[
                "/data",
                "/data/bankAccountName",
                "/data/ifscCrossCheck",
                "/traceId",
            ],
        ),
        message(
            (Setu, "{}", VpaLookup),
            Lookup,
            r#"{"id":"1","status":"valid","customerName":"ASHA RAO","customerAccountType":"SAVINGS","reason":{}}"#,
            &["/id", "/customerName", "/customerAccountType", "/reason"],
        ),
        message(
            (Setu, "{}", VpaLookup),
            Webhook(sign_setu),
            r#"{"eventTs":"@now","eventType":"customer_vpa.valid","status":"valid","merchantId":"M1","merchantReferenceId":"kh00000000000000000000000001_01","id":"1","customerName":"ASHA RAO","customerAccountType":"SAVINGS","reason":{}}"#,
            &["/id", "/customerName", "/customerAccountType", "/reason"],
        ),
        message(
            (Decentro, r#"{"consumer_urn":"a"}"#, PennyDrop),
            Call,
            r#"{"decentro_txn_id":"D1","api_status":"SUCCESS","response_key":"success","message":"ok","data":{"account_status":"VALID","beneficiary_name":"ASHA RAO","bank_reference_number":"1"}}"#,
            &[
                "/decentro_txn_id",
                "/api_status",
                "/response_key",
                "/message",
                "/data/beneficiary_name",
                "/data/bank_reference_number",
            ],
        ),
        message(
            (Decentro, r#"{"consumer_urn":"a"}"#, PennyDrop),
            Lookup,
            r#"{"decentro_txn_id":"D1","api_status":"SUCCESS","response_key":"success","data":{"account_status":"VALID","beneficiary_name":"ASHA RAO"}}"#,
            &["/decentro_txn_id", "/data/beneficiary_name"],
        ),
        message(
            (Payu, "{}", VpaLookup),
            Call,
            r#"{"status":"SUCCESS","vpa":"asha@upi","isVPAValid":1,"payerAccountName":"ASHA RAO"}"#,
            &["/vpa", "/payerAccountName"],
        ),
        message(
            (Payu, "{}", PennyDrop),
            Call,
            r#"{"status":0,"code":null,"data":{"accountExists":"YES","beneficiaryName":"ASHA RAO","nameMatch":90,"error":""}}"#,
            &["/data/beneficiaryName", "/data/nameMatch"],
        ),
        message(
            (Payu, "{}", PennyDrop),
            Lookup,
            r#"{"status":0,"data":{"transactionDetails":[{"merchantRefId":"kh00000000000000000000000001_01","txnStatus":"SUCCESS","nameWithBank":"ASHA RAO","nameMatch":"90","bankTransactionRefNo":"1","payuTransactionRefNo":"2"}]}}"#,
            &[
                "/data/transactionDetails/0/nameWithBank",
                "/data/transactionDetails/0/nameMatch",
                "/data/transactionDetails/0/bankTransactionRefNo",
                "/data/transactionDetails/0/payuTransactionRefNo",
            ],
        ),
        message(
            (Cashfree, r#"{"bank_flow":"sync"}"#, PennyDrop),
            Call,
            CASHFREE,
            CASHFREE_DECORATIONS,
        ),
        message(
            (Cashfree, "{}", VpaLookup),
            Lookup,
            upi,
            &["/reference_id", "/name_at_bank", "/utr"],
        ),
        message(
            (Razorpay, r#"{"source_account_number":"1"}"#, Penniless),
            Call,
            RAZORPAY,
            RAZORPAY_DECORATIONS,
        ),
        message((Setu, "{}", PennyDrop), Call, r#"{"id":"02c2dc4c"}"#, &[]),
        message(
            (Setu, "{}", PennyDrop),
            Webhook(sign_setu),
            r#"{"event":"BAV_WEBHOOK_NOTIFICATION","data":{"bav":{"id":"02c2dc4c"}}}"#,
            &[],
        ),
        message(
            (Setu, "{}", VpaLookup),
            Call,
            r#"{"id":"1","status":"pending"}"#,
            &[],
        ),
        message(
            (Cashfree, r#"{"bank_flow":"sync"}"#, PennyDrop),
            Lookup,
            CASHFREE,
            CASHFREE_DECORATIONS,
        ),
        upi_drop(message(
            (Cashfree, "{}", PennyDrop),
            Call,
            upi,
            &["/reference_id", "/name_at_bank", "/utr"],
        )),
        upi_drop(message(razorpay, Call, RAZORPAY, RAZORPAY_DECORATIONS)),
        upi_drop(message(razorpay, Lookup, RAZORPAY, RAZORPAY_DECORATIONS)),
        message(
            (Payu, "{}", PennyDrop),
            Token,
            r#"{"access_token":"t","expires_in":"7200","scope":"s","status":0,"data":{"accountExists":"YES"}}"#,
            &["/expires_in", "/scope"],
        ),
        message(
            (Setu, "{}", VpaLookup),
            Token,
            r#"{"access_token":"t","expires_in":300,"id":"1","status":"valid"}"#,
            &["/expires_in", "/id"],
        ),
    ]
}
