//! The scenarios that an account number or a VPA selects at Cashfree, and every row of its code table.

use std::time::Duration;

use actix_web::rt::time::sleep;
use serde_json::{Value, json};

use crate::support::{Sandbox, ok, penny_drop};

const IFSC: &str = "HDFC0000001";

fn status(reply: &Value) -> (&str, &str) {
    (
        reply["account_status"].as_str().unwrap(),
        reply["account_status_code"].as_str().unwrap(),
    )
}

#[actix_web::test]
async fn an_account_number_selects_a_scenario() {
    let sandbox = Sandbox::start(&["--sandbox-published-pending-ms", "1000"]);
    for (ending, expected) in [
        ("31", ("INVALID", "INVALID_ACCOUNT_FAIL")),
        ("32", ("INVALID", "INVALID_IFSC_FAIL")),
        ("33", ("INVALID", "INVALID_ACCOUNT_FAIL")),
        ("34", ("INVALID", "ACCOUNT_BLOCKED")),
        ("35", ("INVALID", "FRAUD_ACCOUNT")),
        ("36", ("INVALID", "NRE_ACCOUNT_FAIL")),
        ("41", ("FAILED", "BENE_BANK_DECLINED")),
        ("42", ("FAILED", "NPCI_UNAVAILABLE")),
        ("42", ("FAILED", "NPCI_UNAVAILABLE")),
        ("43", ("FAILED", "NPCI_UNAVAILABLE")),
        ("43", ("VALID", "ACCOUNT_IS_VALID")),
        ("43", ("VALID", "ACCOUNT_IS_VALID")),
        ("10", ("VALID", "ACCOUNT_IS_VALID")),
    ] {
        let reply = sandbox
            .sync(&format!("123990099{ending}"), IFSC, "Asha")
            .await;
        assert_eq!(status(&reply), expected, "{ending}");
        assert_eq!(reply["name_at_bank"].is_null(), expected.0 != "VALID");
    }
    for (ending, name) in [
        ("21", Value::Null),
        ("22", json!("VERIFIED")),
        ("23", json!("NA")),
        ("24", json!("ZUBIN IRANI")),
    ] {
        let reply = sandbox
            .sync(&format!("123990099{ending}"), IFSC, "Asha")
            .await;
        assert_eq!(status(&reply).0, "VALID");
        assert_eq!(reply["name_at_bank"], name);
        assert_eq!(reply["name_match_score"].is_null(), name.is_null());
    }
    let pending = [
        ("11", ("VALID", "ACCOUNT_IS_VALID")),
        ("12", ("INVALID", "INVALID_ACCOUNT_FAIL")),
        ("13", ("RECEIVED", "VALIDATION_IN_PROGRESS")),
    ];
    for (ending, _) in pending {
        let account = format!("123990099{ending}");
        sandbox.send_async(&account, IFSC, ending).await;
        let reply = sandbox.of_user(ending).await;
        assert_eq!(status(&reply), ("RECEIVED", "VALIDATION_IN_PROGRESS"));
    }
    sleep(Duration::from_secs(1)).await;
    for (ending, expected) in pending {
        assert_eq!(status(&sandbox.of_user(ending).await), expected);
    }
}

#[actix_web::test]
async fn every_row_of_the_code_table_can_be_selected() {
    let sandbox = Sandbox::start(&[]);
    for (row, expected) in [
        ("VALID", "ACCOUNT_IS_VALID"),
        ("INVALID", "INVALID_ACCOUNT_FAIL"),
        ("INVALID", "INVALID_IFSC_FAIL"),
        ("INVALID", "ACCOUNT_BLOCKED"),
        ("INVALID", "NRE_ACCOUNT_FAIL"),
        ("INVALID", "FRAUD_ACCOUNT"),
        ("INVALID", "BAV_BLOCKED"),
        ("FAILED", "FAILED_AT_BANK"),
        ("FAILED", "NPCI_UNAVAILABLE"),
        ("FAILED", "CONNECTION_TIMEOUT"),
        ("FAILED", "SOURCE_BANK_DECLINED"),
        ("FAILED", "BENEFICIARY_BANK_OFFLINE"),
        ("FAILED", "BENE_BANK_DECLINED"),
        ("FAILED", "IMPS_MODE_FAIL"),
        ("REJECTED", "INSUFFICIENT_BALANCE"),
        ("RECEIVED", "VALIDATION_IN_PROGRESS"),
        ("IN_PROCESS", "VALIDATION_IN_PROGRESS"),
        ("PROCESSING", "VERIFICATION_ALREADY_UNDER_PROCESS"),
    ]
    .into_iter()
    .enumerate()
    {
        let account = format!("123990088{row:02}");
        sandbox.send_async(&account, IFSC, &account).await;
        assert_eq!(status(&sandbox.of_user(&account).await), expected);
    }
    let before = sandbox.counted().await;
    for (row, expected, code) in [
        (20, 422, "bene_bank_declined"),
        (21, 502, "verification_failed"),
    ] {
        let body = json!({"bank_account": format!("123990088{row}"), "ifsc": IFSC});
        for path in ["/bank-account/sync", "/bank-account/async"] {
            let (status, refused) = sandbox.post(path, &body).await;
            assert_eq!((status, &refused["code"]), (expected, &json!(code)));
            assert_eq!(refused.as_object().unwrap().len(), 3);
        }
    }
    assert_eq!(sandbox.counted().await, before, "nothing was done");
}

#[actix_web::test]
async fn a_vpa_selects_a_scenario() {
    let sandbox = Sandbox::start(&[]);
    for (user, expected) in [
        ("asha", "VALID"),
        ("asha.99009931", "INVALID"),
        ("asha.99009936", "INVALID"),
        ("asha.99008802", "EXPIRED"),
        ("asha.99008803", "NPCI_NAME_INCORRECT"),
    ] {
        let body = penny_drop(user, &format!("{user}@okhdfcbank"));
        let reply = ok(sandbox.post("/upi/penny-drop", &body).await);
        assert_eq!(reply["status"], expected, "{user}");
        assert_eq!(reply["name_at_bank"].is_null(), expected != "VALID");
    }
    let nameless = penny_drop("nameless", "asha.99009921@okhdfcbank");
    let reply = ok(sandbox.post("/upi/penny-drop", &nameless).await);
    assert!(reply["name_at_bank"].is_null() && reply["utr"].is_string());

    let before = sandbox.counted().await;
    let declined = penny_drop("declined", "asha.99009941@okhdfcbank");
    assert_eq!(sandbox.post("/upi/penny-drop", &declined).await.0, 422);
    let once = penny_drop("once", "asha.99009943@okhdfcbank");
    assert_eq!(sandbox.post("/upi/penny-drop", &once).await.0, 502);
    assert_eq!(sandbox.counted().await, before);
    let reply = ok(sandbox.post("/upi/penny-drop", &once).await);
    assert_eq!(reply["status"], "VALID", "the refused call used no id up");
}
