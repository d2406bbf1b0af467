//! PayU: tokens, verification of an account by penny drop, the lookup of a VPA.

use std::time::{Duration, Instant};

use actix_web::rt::time::sleep;
use actix_web::web::Bytes;
use futures_util::future::join_all;
use khata_sandbox::payu::{
    CLIENT_ID, CLIENT_SECRET, KEY, PAYOUT_MERCHANT_ID, SALT, SHORT_LIVED_CLIENT_ID,
};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use crate::support::{Sandbox, ok, reply, wait_for};

const TOKEN: &str = "/payu/oauth/token";
const VERIFY: &str = "/payu/payout/payment/verifyAccount";
const TRANSFERS: &str = "/payu/payout/payment/listTransactions";
const ACCOUNT: &str = "/payu/payout/merchant/getAccountDetail";
const SERVICE: &str = "/payu/merchant/postservice.php?form=2";

/// A sandbox, and a token that is valid there.
struct Payu {
    sandbox: Sandbox,
    token: String,
}

impl Payu {
    async fn start(flags: &[&str]) -> Self {
        let sandbox = Sandbox::start(flags);
        let shown = ok(reply(token_request(&sandbox, &[])).await);
        let token = shown["access_token"].as_str().unwrap().to_owned();
        Self { sandbox, token }
    }

    fn call(&self, form: &[(&str, &str)]) -> RequestBuilder {
        self.sandbox
            .request(Method::POST, VERIFY)
            .bearer_auth(&self.token)
            .header("payoutMerchantId", PAYOUT_MERCHANT_ID)
            .form(form)
    }

    async fn verify(&self, merchant_ref_id: &str, account: &str) -> Value {
        ok(reply(self.call(&form(merchant_ref_id, account))).await)
    }

    /// The transfers that the status call finds under this reference.
    async fn transfers(&self, merchant_ref_id: &str) -> Vec<Value> {
        let request = self
            .sandbox
            .request(Method::POST, TRANSFERS)
            .bearer_auth(&self.token)
            .header("payoutMerchantId", PAYOUT_MERCHANT_ID)
            .form(&[("merchantRefId", merchant_ref_id), ("page", "1")]);
        let shown = ok(reply(request).await);
        assert_eq!(shown["status"], 0);
        let data = &shown["data"];
        let transfers = data["transactionDetails"].as_array().unwrap().clone();
        assert_eq!(data["totalElements"], transfers.len());
        transfers
    }

    /// `data` of a reply that has one.
    async fn data(&self, merchant_ref_id: &str, account: &str) -> Value {
        let shown = self.verify(merchant_ref_id, account).await;
        assert_eq!(
            (&shown["status"], &shown["msg"], &shown["code"]),
            (&json!(0), &Value::Null, &Value::Null)
        );
        shown["data"].clone()
    }
}

fn form<'a>(merchant_ref_id: &'a str, account: &'a str) -> [(&'a str, &'a str); 7] {
    [
        ("accountNumber", account),
        ("ifscCode", "HDFC0001098"),
        ("merchantRefId", merchant_ref_id),
        ("validateIfsc", "true"),
        ("beneName", "Asha Rao"),
        ("nameMatching", "true"),
        ("purpose", "Test"),
    ]
}

/// A request for a token, with these fields in place of the right ones.
fn token_request(sandbox: &Sandbox, changed: &[(&str, &str)]) -> RequestBuilder {
    let fields: Vec<(&str, &str)> = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("scope", "create_payout_transactions"),
    ]
    .into_iter()
    .map(|(name, value)| {
        let other = changed.iter().find(|(field, _)| *field == name);
        other.copied().unwrap_or((name, value))
    })
    .collect();
    sandbox.request(Method::POST, TOKEN).form(&fields)
}

fn assert_refused((status, body): &(u16, Value), code: u32, msg: &str) {
    assert_eq!(*status, 200);
    assert_eq!(
        *body,
        json!({"status": 1, "msg": msg, "code": code, "data": null})
    );
}

#[actix_web::test]
async fn a_token_is_given_for_the_right_client_and_scope() {
    let sandbox = Sandbox::start(&[]);
    let shown = ok(reply(token_request(&sandbox, &[])).await);
    assert_eq!(shown["token_type"], "Bearer");
    assert_eq!(shown["scope"], "create_payout_transactions");
    assert_eq!(shown["expires_in"], 7_199);
    assert_eq!(shown["access_token"].as_str().unwrap().len(), 64);
    let now = chrono::Utc::now().timestamp();
    assert!((now - 10..=now).contains(&shown["created_at"].as_i64().unwrap()));
    for (field, value, status, error) in [
        ("client_id", "somebody", 401, "invalid_client"),
        ("client_secret", "guess", 401, "invalid_client"),
        ("grant_type", "password", 400, "unsupported_grant_type"),
        ("scope", "refund", 400, "invalid_scope"),
    ] {
        let (got, body) = reply(token_request(&sandbox, &[(field, value)])).await;
        assert_eq!((got, &body["error"]), (status, &json!(error)));
        assert!(body["error_description"].is_string());
    }
    let empty = sandbox.request(Method::POST, TOKEN).body("");
    let (status, body) = reply(empty).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_request")));
}

#[actix_web::test]
async fn without_a_good_token_or_merchant_nothing_is_done() {
    let payu = Payu::start(&[]).await;
    let fields = form("att-1", "51234567890");
    let sandbox = &payu.sandbox;
    let call = || {
        sandbox
            .request(Method::POST, VERIFY)
            .header("payoutMerchantId", PAYOUT_MERCHANT_ID)
            .form(&fields)
    };
    for request in [
        call(),
        call().bearer_auth("guess"),
        call().header("authorization", payu.token.as_str()),
        call().basic_auth("a", Some(&payu.token)),
    ] {
        let (status, body) = reply(request).await;
        assert_eq!((status, &body["error"]), (401, &json!("invalid_token")));
    }
    for merchant in [None, Some("1")] {
        let mut request = sandbox
            .request(Method::POST, VERIFY)
            .bearer_auth(&payu.token)
            .form(&fields);
        if let Some(merchant) = merchant {
            request = request.header("payoutMerchantId", merchant);
        }
        let (status, body) = reply(request).await;
        assert_eq!((status, &body["status"]), (403, &json!(1)));
    }

    let shown = ok(reply(token_request(
        sandbox,
        &[("client_id", SHORT_LIVED_CLIENT_ID)],
    ))
    .await);
    assert_eq!(shown["expires_in"], 1);
    let short = shown["access_token"].as_str().unwrap();
    sleep(Duration::from_millis(1_100)).await;
    let (status, body) = reply(call().bearer_auth(short)).await;
    assert_eq!(
        (status, &body["error"]),
        (401, &json!("invalid_token")),
        "expired"
    );
    assert_eq!(sandbox.counted().await, (0, 0));
    ok(reply(call().bearer_auth(&payu.token)).await);
    assert_eq!(
        sandbox.counted().await,
        (1, 1),
        "the reference was still good"
    );
}

#[actix_web::test]
async fn an_account_exists_or_not() {
    let payu = Payu::start(&[]).await;
    assert_eq!(
        payu.data("att-1", "51234567890").await,
        json!({
            "accountExists": "YES", "beneficiaryName": "ASHA RAO", "nameMatch": 100.0,
            "status": "Success", "error": "",
        })
    );
    assert_eq!(
        payu.data("att-2", "12399009931").await,
        json!({
            "accountExists": "No", "beneficiaryName": "", "status": "Success",
            "error": "Invalid Benificiary MMID/Mobile Number",
        })
    );
    for (row, error) in [
        (33, "Account closed"),
        (34, "Account blocked or frozen"),
        (35, "Suspected fraud"),
        (36, "NRE account"),
        (41, "Transaction not permitted to account"),
    ] {
        let data = payu
            .data(&format!("s{row}"), &format!("123990099{row}"))
            .await;
        assert_eq!(data["accountExists"], "No");
        assert_eq!(data["error"], error);
    }
    for (row, name) in [(21, ""), (22, "VERIFIED"), (23, "NA"), (24, "ZUBIN IRANI")] {
        let data = payu
            .data(&format!("n{row}"), &format!("123990099{row}"))
            .await;
        assert_eq!(data["accountExists"], "YES");
        assert_eq!(data["beneficiaryName"], name);
        match data["nameMatch"].as_f64() {
            Some(score) => assert!(score < 80.0, "{name}: {score}"),
            None => assert_eq!((name, &data["nameMatch"]), ("", &Value::Null)),
        }
    }
    let mut unmatched = form("att-3", "51234567890");
    unmatched[5].1 = "false";
    let shown = ok(reply(payu.call(&unmatched)).await);
    assert_eq!(shown["data"]["nameMatch"], Value::Null);
    assert_eq!(payu.sandbox.counted().await, (12, 12), "one drop each");
}

#[actix_web::test]
async fn bad_fields_have_their_codes_and_use_no_reference_up() {
    let payu = Payu::start(&[]).await;
    let long = "a".repeat(41);
    for (place, value, code, msg) in [
        (2, "", 1001, "INVALID MERCHANT REF ID"),
        (2, long.as_str(), 1001, "INVALID MERCHANT REF ID"),
        (0, "", 1004, "INVALID ACCOUNT NUMBER"),
        (0, "1234-5678", 1004, "INVALID ACCOUNT NUMBER"),
        (0, "12399009932", 1005, "INVALID IFSC CODE"),
        (1, "", 1005, "INVALID IFSC CODE"),
        (1, "HDFC1001098", 1022, "INVALID IFSC CODE PATTERN"),
        (4, "", 1007, "INVALID NAME"),
        (6, "", 1010, "INVALID PURPOSE"),
    ] {
        let mut fields = form("att-1", "51234567890");
        fields[place].1 = value;
        assert_refused(&reply(payu.call(&fields)).await, code, msg);
    }
    assert_eq!(payu.sandbox.counted().await, (0, 0));
    payu.data("att-1", "51234567890").await;

    // Without the check, an IFSC that does not exist costs a drop.
    let mut unseen = form("att-2", "12399009932");
    unseen[3].1 = "false";
    let shown = ok(reply(payu.call(&unseen)).await);
    assert_eq!(shown["data"]["accountExists"], "No");
    assert_eq!(payu.sandbox.counted().await, (2, 2));
}

#[actix_web::test]
async fn a_reference_is_good_for_one_verification() {
    let payu = Payu::start(&["--sandbox-threads", "4"]).await;
    payu.data("att-1", "51234567890").await;
    for account in ["51234567890", "51234567891"] {
        let again = reply(payu.call(&form("att-1", account))).await;
        assert_refused(&again, 1002, "DUPLICATE MERCHANT REF ID");
    }
    let fields = form("att-2", "51234567890");
    let replies = join_all((0..40).map(|_| reply(payu.call(&fields)))).await;
    let served = replies.iter().filter(|(_, body)| body["status"] == 0);
    assert_eq!(served.count(), 1);
    assert_eq!(payu.sandbox.counted().await, (2, 2));
}

#[actix_web::test]
async fn a_pending_verification_can_be_sent_again_with_its_reference() {
    let payu = Payu::start(&["--sandbox-published-pending-ms", "1000"]).await;
    let began = Instant::now();
    for account in ["12399009911", "12399009912", "12399009913"] {
        assert_eq!(
            payu.data(account, account).await,
            json!({
                "accountExists": "VERIFICATION_PENDING", "beneficiaryName": "Asha Rao",
                "nameMatch": null, "status": "Success", "error": "",
            }),
            "the name is the one sent"
        );
    }
    let outcome_of = async |account: &str| {
        wait_for("an outcome", async || {
            payu.data(account, account).await["accountExists"] != "VERIFICATION_PENDING"
        })
        .await;
    };
    outcome_of("12399009911").await;
    assert!(began.elapsed() >= Duration::from_secs(1));
    outcome_of("12399009912").await;
    for (account, exists) in [
        ("12399009911", "YES"),
        ("12399009912", "No"),
        ("12399009913", "VERIFICATION_PENDING"),
    ] {
        assert_eq!(payu.data(account, account).await["accountExists"], exists);
    }
    let other = reply(payu.call(&form("12399009911", "51234567890"))).await;
    assert_refused(&other, 1002, "DUPLICATE MERCHANT REF ID");
    assert_eq!(payu.sandbox.counted().await, (3, 3), "asking drops nothing");

    payu.sandbox
        .set_behaviour(&json!({"gateway": "PAYU", "pending_ms": 60_000}))
        .await;
    let data = payu.data("late", "51234567890").await;
    assert_eq!(data["accountExists"], "VERIFICATION_PENDING");
}

#[actix_web::test]
async fn the_transfer_of_a_verification_is_found_by_its_reference() {
    let payu = Payu::start(&["--sandbox-published-pending-ms", "1000"]).await;
    for account in ["51234567890", "12399009911", "12399009912", "12399009933"] {
        payu.data(account, account).await;
    }
    let pending = &payu.transfers("12399009911").await[0];
    assert_eq!(pending["txnStatus"], "PENDING");
    assert_eq!(pending["nameWithBank"], Value::Null, "no bank has answered");
    assert_eq!(pending["bankTransactionRefNo"], Value::Null);

    let good = &payu.transfers("51234567890").await[0];
    assert_eq!(good.as_object().unwrap().len(), 27);
    assert_eq!(good["merchantRefId"], "51234567890");
    assert_eq!(good["amount"], 1.0);
    assert_eq!(good["purpose"], "Test");
    assert_eq!(good["txnStatus"], "SUCCESS");
    assert_eq!(good["nameWithBank"], "ASHA RAO");
    assert_eq!(good["nameMatch"], 100.0);
    assert_eq!(good["bankTransactionRefNo"].as_str().unwrap().len(), 12);
    let id = good["payuTransactionRefNo"].as_str().unwrap();
    assert!(id.starts_with("PAYOUT"), "{id}");
    assert_ne!(pending["payuTransactionRefNo"], id);

    sleep(Duration::from_secs(1)).await;
    for (reference, status, msg) in [
        ("12399009911", "SUCCESS", Value::Null),
        (
            "12399009912",
            "FAILED",
            json!("Invalid Benificiary MMID/Mobile Number"),
        ),
        ("12399009933", "FAILED", json!("Account closed")),
    ] {
        let transfers = payu.transfers(reference).await;
        assert_eq!(transfers[0]["txnStatus"], status);
        assert_eq!(transfers[0]["msg"], msg);
        assert_eq!(transfers[0]["txnStatusDescription"], msg);
    }
    for unknown in ["nobody", ""] {
        assert!(payu.transfers(unknown).await.is_empty(), "{unknown}");
    }
    assert_eq!(payu.sandbox.counted().await, (4, 4), "a look drops nothing");
    let bare = payu
        .sandbox
        .request(Method::POST, TRANSFERS)
        .form(&[("page", "1")]);
    assert_eq!(reply(bare).await.0, 401);
}

#[actix_web::test]
async fn the_merchant_can_read_its_own_account() {
    let payu = Payu::start(&[]).await;
    let account = async || {
        let request = payu.sandbox.request(Method::GET, ACCOUNT);
        let request = request.bearer_auth(&payu.token);
        ok(reply(request.header("payoutMerchantId", PAYOUT_MERCHANT_ID)).await)
    };
    let shown = account().await;
    assert_eq!(shown["status"], 0);
    assert_eq!(shown["data"]["payoutMerchantId"], 1_111_126);
    assert_eq!(shown["data"]["lowBalance"], false);
    let poor = json!({"gateway": "PAYU", "insufficient_balance": true});
    payu.sandbox.set_behaviour(&poor).await;
    assert_eq!(account().await["data"]["balance"], 0);
    assert_eq!(
        reply(payu.sandbox.request(Method::GET, ACCOUNT)).await.0,
        401
    );
}

#[actix_web::test]
async fn faults_have_payu_s_own_form() {
    let payu = Payu::start(&[]).await;
    let fields = form("att-1", "51234567890");
    let technical = form("att-2", "12399009942");
    let (status, body) = reply(payu.call(&technical)).await;
    assert_eq!((status, &body["status"]), (500, &json!(1)));
    for (behaviour, status) in [
        (json!({"insufficient_balance": true}), 200),
        (json!({"refuse_ip": true}), 403),
        (json!({"reject_rate": 1}), 429),
        (json!({"error_rate": 1, "errors": "before_work"}), 500),
    ] {
        let mut behaviour = behaviour;
        behaviour["gateway"] = json!("PAYU");
        payu.sandbox.set_behaviour(&behaviour).await;
        let (got, body) = reply(payu.call(&fields)).await;
        assert_eq!((got, &body["status"]), (status, &json!(1)), "{behaviour}");
        assert!(body["msg"].is_string() && body["data"].is_null());
    }
    assert_eq!(payu.sandbox.counted().await, (0, 0));
    payu.sandbox
        .set_behaviour(&json!({"gateway": "PAYU", "error_rate": 1, "errors": "after_work"}))
        .await;
    assert_eq!(reply(payu.call(&fields)).await.0, 500);
    assert_eq!(payu.sandbox.counted().await, (1, 1), "the work was done");
    payu.sandbox
        .set_behaviour(&json!({"gateway": "PAYU", "unknown_code": true}))
        .await;
    let again = reply(payu.call(&fields)).await;
    assert_refused(&again, 1002, "DUPLICATE MERCHANT REF ID");
    let word = payu.data("att-3", "51234567890").await["accountExists"].clone();
    assert!(word != "YES" && word != "No" && word != "VERIFICATION_PENDING");
}

fn hash(text: &str) -> String {
    format!("{:x}", Bytes::from(Sha512::digest(text).to_vec()))
}

fn look_up(sandbox: &Sandbox, vpa: &str) -> RequestBuilder {
    let hash = hash(&format!("{KEY}|validateVPA|{vpa}|{SALT}"));
    sandbox.request(Method::POST, SERVICE).form(&[
        ("key", KEY),
        ("command", "validateVPA"),
        ("var1", vpa),
        ("hash", &hash),
    ])
}

#[actix_web::test]
async fn a_vpa_is_looked_up_under_a_hash() {
    let sandbox = Sandbox::start(&[]);
    assert_eq!(
        ok(reply(look_up(&sandbox, "9999999999@upi")).await),
        json!({
            "status": "SUCCESS", "vpa": "9999999999@upi", "isVPAValid": 1,
            "isAutoPayVPAValid": 1, "isAutoPayBankValid": "NA", "payerAccountName": "ABC",
        })
    );
    assert_eq!(
        ok(reply(look_up(&sandbox, "abc@upi")).await),
        json!({"status": "SUCCESS", "vpa": "abc@upi", "isVPAValid": 0, "payerAccountName": "NA"})
    );
    for (vpa, valid, name) in [
        ("asha.99009921@upi", 1, Some("")),
        ("asha.99009923@upi", 1, Some("NA")),
        ("asha.99009922@upi", 1, Some("VERIFIED")),
        ("asha.99009931@upi", 0, Some("NA")),
        ("asha@okhdfcbank", 1, None),
        ("asha", 0, Some("NA")),
    ] {
        let shown = ok(reply(look_up(&sandbox, vpa)).await);
        assert_eq!(shown["isVPAValid"], valid, "{vpa}");
        match name {
            Some(name) => assert_eq!(shown["payerAccountName"], name),
            None => assert!(shown["payerAccountName"].as_str().unwrap().len() > 2),
        }
    }
    let (status, body) = reply(look_up(&sandbox, "asha.99009942@upi")).await;
    assert_eq!((status, &body["status"]), (500, &json!(0)));
    assert_eq!(sandbox.counted().await, (0, 0), "a look-up moves no money");
}

#[actix_web::test]
async fn payments_that_were_never_made_are_not_found() {
    let sandbox = Sandbox::start(&[]);
    let hash = hash(&format!("{KEY}|verify_payment|one|two|{SALT}"));
    let request = sandbox.request(Method::POST, SERVICE).form(&[
        ("key", KEY),
        ("command", "verify_payment"),
        ("var1", "one|two"),
        ("hash", &hash),
    ]);
    let not_found = json!({"mihpayid": "Not Found", "status": "Not Found"});
    assert_eq!(
        ok(reply(request).await),
        json!({
            "status": 0, "msg": "0 out of 2 Transactions Fetched Successfully",
            "transaction_details": {"one": not_found, "two": not_found},
        })
    );
}

#[actix_web::test]
async fn a_wrong_hash_key_or_command_is_refused() {
    let sandbox = Sandbox::start(&[]);
    let vpa = "asha@upi";
    let good = hash(&format!("{KEY}|validateVPA|{vpa}|{SALT}"));
    let saltless = hash(&format!("{KEY}|validateVPA|{vpa}|"));
    let other_vpa = hash(&format!("{KEY}|validateVPA|ravi@upi|{SALT}"));
    let other_command = hash(&format!("{KEY}|check_payment|{vpa}|{SALT}"));
    for (key, command, hash, msg) in [
        (KEY, "validateVPA", saltless.as_str(), "Invalid Hash."),
        (KEY, "validateVPA", other_vpa.as_str(), "Invalid Hash."),
        ("somebody", "validateVPA", good.as_str(), "Invalid Hash."),
        (KEY, "check_payment", good.as_str(), "Invalid Hash."),
        (
            KEY,
            "check_payment",
            other_command.as_str(),
            "Invalid command.",
        ),
    ] {
        let request = sandbox.request(Method::POST, SERVICE).form(&[
            ("key", key),
            ("command", command),
            ("var1", vpa),
            ("hash", hash),
        ]);
        let shown = ok(reply(request).await);
        assert_eq!(shown, json!({"status": 0, "msg": msg}));
    }
    let partial = sandbox.request(Method::POST, SERVICE).form(&[("key", KEY)]);
    assert_eq!(ok(reply(partial).await)["msg"], "Parameter missing");

    let without = SERVICE.trim_end_matches("?form=2");
    let response = sandbox.request(Method::POST, without).send().await.unwrap();
    assert!(
        response.json::<Value>().await.is_err(),
        "no JSON unless asked for"
    );
}
