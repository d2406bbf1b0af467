//! Bank accounts: every published row, both ways, and other accounts.

use std::time::{Duration, Instant};

use actix_web::rt::time::sleep;
use serde_json::{Value, json};

use crate::support::{Sandbox, ok, wait_for};

/// Account, IFSC, final `account_status`, `account_status_code`.
const SETTLED: [(&str, &str, &str, &str); 12] = [
    (
        "026291800001191",
        "YESB0000262",
        "VALID",
        "ACCOUNT_IS_VALID",
    ),
    ("00011020001772", "HDFC0000001", "VALID", "ACCOUNT_IS_VALID"),
    ("1233943142", "ICIC0000009", "VALID", "ACCOUNT_IS_VALID"),
    ("388108022658", "ICIC0000009", "VALID", "ACCOUNT_IS_VALID"),
    (
        "000890289871772",
        "SCBL0036078",
        "VALID",
        "ACCOUNT_IS_VALID",
    ),
    (
        "000100289877623",
        "SBIN0008752",
        "VALID",
        "ACCOUNT_IS_VALID",
    ),
    (
        "026291800001190",
        "YESB0000262",
        "INVALID",
        "INVALID_ACCOUNT_FAIL",
    ),
    (
        "234005000876",
        "ICIC0000007",
        "INVALID",
        "INVALID_ACCOUNT_FAIL",
    ),
    (
        "2640101002729",
        "CNRR0002640",
        "INVALID",
        "INVALID_IFSC_FAIL",
    ),
    ("1234567890", "ICIC0000001", "INVALID", "INVALID_IFSC_FAIL"),
    ("7766667989884", "RATN0000070", "INVALID", "ACCOUNT_BLOCKED"),
    (
        "7766667755761",
        "ICIC0000001",
        "INVALID",
        "NRE_ACCOUNT_FAIL",
    ),
];

/// Final `account_status` and `account_status_code`, of those that get there.
type Settled = Option<(&'static str, &'static str)>;

/// Pending at first, with the outcome of each if it has one.
const PENDING: [(&str, &str, Settled); 3] = [
    ("007711000031", "HDFC0000077", None),
    (
        "00224412311300",
        "YESB0000001",
        Some(("VALID", "ACCOUNT_IS_VALID")),
    ),
    (
        "7766666351000",
        "YESB0000001",
        Some(("INVALID", "INVALID_ACCOUNT_FAIL")),
    ),
];

fn assert_status(reply: &Value, status: &str, code: &str) {
    assert_eq!(reply["account_status"], status, "{reply}");
    assert_eq!(reply["account_status_code"], code, "{reply}");
}

fn assert_pending(reply: &Value) {
    assert_status(reply, "RECEIVED", "VALIDATION_IN_PROGRESS");
    assert!(reply["name_at_bank"].is_null() && reply["utr"].is_null());
}

#[actix_web::test]
async fn published_accounts_have_their_outcome_at_once() {
    let sandbox = Sandbox::start(&[]);
    for (account, ifsc, status, code) in SETTLED {
        let reply = sandbox.sync(account, ifsc, "john doe").await;
        assert_status(&reply, status, code);
        assert_eq!(reply["utr"].is_null(), status == "INVALID");
        assert_eq!(reply["name_at_bank"].is_null(), status == "INVALID");
    }
    assert_eq!(sandbox.counted().await, (12, 12), "invalid ones too");
}

#[actix_web::test]
async fn published_accounts_have_their_outcome_at_a_later_lookup() {
    let sandbox = Sandbox::start(&[]);
    for (place, (account, ifsc, status, code)) in SETTLED.into_iter().enumerate() {
        let user_id = format!("att_{place}");
        let receipt = sandbox.send_async(account, ifsc, &user_id).await;
        assert_status(&receipt, "RECEIVED", "VALIDATION_IN_PROGRESS");
        assert_eq!(receipt["user_id"], user_id.as_str());
        assert_eq!(receipt.as_object().unwrap().len(), 4);

        let by_user = sandbox.of_user(&user_id).await;
        assert_status(&by_user, status, code);
        assert_eq!(by_user["reference_id"], receipt["reference_id"]);
        let path = format!("/bank-account?reference_id={}", receipt["reference_id"]);
        assert_eq!(ok(sandbox.get(&path).await), by_user);
    }
}

#[actix_web::test]
async fn pending_accounts_settle_in_their_time() {
    let sandbox = Sandbox::start(&["--sandbox-published-pending-ms", "1000"]);
    let mut lookups = Vec::new();
    for (place, (account, ifsc, outcome)) in PENDING.into_iter().enumerate() {
        let user_id = format!("att_{place}");
        sandbox.send_async(account, ifsc, &user_id).await;
        assert_pending(&sandbox.of_user(&user_id).await);
        lookups.push((format!("/bank-account?user_id={user_id}"), outcome));

        let reply = sandbox.sync(account, ifsc, "Asha Rao").await;
        assert_pending(&reply);
        let id = &reply["reference_id"];
        lookups.push((format!("/bank-account?reference_id={id}"), outcome));
    }
    sleep(Duration::from_secs(1)).await;
    for (path, outcome) in lookups {
        let reply = ok(sandbox.get(&path).await);
        match outcome {
            Some((status, code)) => assert_status(&reply, status, code),
            None => assert_pending(&reply),
        }
    }
}

#[actix_web::test]
async fn published_pending_lasts_two_seconds_unless_set() {
    let sandbox = Sandbox::start(&[]);
    let began = Instant::now();
    sandbox
        .send_async("00224412311300", "YESB0000001", "att")
        .await;
    wait_for("an outcome", async || {
        sandbox.of_user("att").await["account_status"] != "RECEIVED"
    })
    .await;
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[actix_web::test]
async fn published_names_are_scored_as_published() {
    let sandbox = Sandbox::start(&[]);
    for (name, score, result) in [
        ("john doe", "100.00", "DIRECT_MATCH"),
        ("john d", "85.00", "GOOD_PARTIAL_MATCH"),
        ("j doe", "70.00", "MODERATE_PARTIAL_MATCH"),
        ("jane d", "38.00", "POOR_PARTIAL_MATCH"),
        ("Asha Rao", "0.00", "NO_MATCH"),
    ] {
        let reply = sandbox.sync("026291800001191", "YESB0000262", name).await;
        assert_eq!(reply["name_at_bank"], "JOHN DOE");
        assert_eq!(reply["name_match_score"], score);
        assert_eq!(reply["name_match_result"], result);
    }
}

#[actix_web::test]
async fn an_unknown_account_is_valid_under_the_name_sent() {
    let sandbox = Sandbox::start(&[]);
    // The published account number at another bank is no published account.
    let reply = sandbox.sync("026291800001191", "AABF0008032", "test").await;
    assert_status(&reply, "VALID", "ACCOUNT_IS_VALID");
    assert_eq!(reply["name_at_bank"], "TEST");
    assert_eq!(reply["name_match_score"], "100.00");
    assert_eq!(reply["name_match_result"], "DIRECT_MATCH");
    assert!(reply["reference_id"].is_u64());
    let utr = reply["utr"].as_str().unwrap();
    assert!(utr.len() == 12 && utr.bytes().all(|byte| byte.is_ascii_digit()));
    for text in ["bank_name", "city", "branch"] {
        assert!(reply[text].is_string(), "{text}");
    }
    assert!(reply["micr"].is_u64());
    assert_eq!(reply["ifsc_details"]["ifsc"], "AABF0008032");

    let nameless = json!({"bank_account": "123456", "ifsc": "HDFC0000001", "phone": "9999999999"});
    let reply = ok(sandbox.post("/bank-account/sync", &nameless).await);
    assert!(!reply["name_at_bank"].as_str().unwrap().is_empty());
    assert!(reply["name_match_score"].is_null() && reply["name_match_result"].is_null());
    let again = ok(sandbox.post("/bank-account/sync", &nameless).await);
    assert_eq!(reply["name_at_bank"], again["name_at_bank"]);
}

#[actix_web::test]
async fn a_user_id_sent_again_is_executed_again() {
    let sandbox = Sandbox::start(&[]);
    let first = sandbox
        .send_async("026291800001190", "YESB0000262", "att_1")
        .await;
    let second = sandbox.send_async("123456", "HDFC0000001", "att_1").await;
    assert_ne!(first["reference_id"], second["reference_id"]);
    let newest = sandbox.of_user("att_1").await;
    assert_eq!(newest["reference_id"], second["reference_id"]);
    assert_eq!(newest["account_status"], "VALID");

    let drops = sandbox.drops().await;
    assert_eq!(drops["total"], 2);
    assert_eq!(drops["distinct_references"], 1);
    assert_eq!(drops["drops"][0]["reference"], "att_1");
    assert_eq!(drops["drops"][0]["count"], 2);
    assert_eq!(drops["drops"][0]["gateway"], "CASHFREE");
}
