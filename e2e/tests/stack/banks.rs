//! Banks and branches by IFSC, and banks that take no IMPS.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{HttpReply, Setup, TestStack};
use reqwest::Method;
use reqwest::header::IF_NONE_MATCH;
use serde_json::json;

use crate::requests::bank;

async fn get(stack: &TestStack, ifsc: &str) -> Result<HttpReply> {
    let path = format!("/banks/ifsc/{ifsc}");
    stack.api.send(stack.api.call(Method::GET, &path)).await
}

#[tokio::test]
async fn a_branch_is_found_by_its_ifsc() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let found = get(&stack, "hdfc0000001").await?.expect_status(200)?;
    assert_eq!(
        found.header("cache-control"),
        Some("private, max-age=86400")
    );
    let branch = found.json();
    assert_eq!(
        branch,
        json!({
            "object": "bank_branch", "ifsc": "HDFC0000001", "bank_name": "HDFC Bank", "bank_code": "HDFC",
            "branch_name": "TULSIANI CHMBRS - NARIMAN PT", "city": "GREATER MUMBAI", "district": "MUMBAI",
            "state": "MAHARASHTRA", "micr": "400240003", "imps": true, "neft": true, "rtgs": true, "upi": true,
            "successor": null, "list_date": branch["list_date"],
        })
    );
    let tag = found.header("etag").unwrap_or_default().to_owned();
    let again = stack.api.call(Method::GET, "/banks/ifsc/HDFC0000001");
    let again = stack.api.send(again.header(IF_NONE_MATCH, &tag)).await?;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    assert_eq!(again.header("etag"), Some(tag.as_str()));

    let merged = get(&stack, "PKGB0010500").await?.expect_status(200)?.json();
    assert_eq!(
        merged["successor"],
        json!({"bank_name": "Karnataka Grameena Bank", "bank_code": null, "since": "2025-05-01"})
    );
    for (ifsc, status, hint) in [
        ("SBHY0020039", 404, "State Bank of India"),
        ("SBIN0OO1077", 404, "SBIN0001077"),
        ("UTBIOKTLC32", 400, "the fifth character is the letter O"),
        ("HDFC1000001", 400, "must be an IFSC"),
    ] {
        let fault = get(&stack, ifsc).await?.expect_status(status)?.json();
        assert_eq!(text(&fault, "/error_info/fields/0/field_name"), "ifsc");
        let reason = text(&fault, "/error_info/fields/0/reason");
        assert!(reason.contains(hint), "{ifsc}: {reason}");
    }
    let unknown = get(&stack, "AABF0008032").await?.expect_status(404)?.json();
    assert_eq!(unknown["error_info"]["fields"], json!([]));
    let bare = stack.api.get_path("/banks/ifsc/HDFC0000001").await?;
    assert_eq!(bare.status, 401);
    Ok(())
}

#[tokio::test]
async fn no_rupee_goes_to_a_bank_without_imps() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let mut form = bank("026291800001191", "SBHY0020039");
    form.extend([("command", "validate"), ("wait_seconds", "18")]);
    let account = stack.api.create("customer_1122", &form).await?.account()?;
    assert_eq!(text(&account, "/status"), "FAILURE", "{account}");
    let validation = &account["validation"];
    assert_eq!(text(validation, "/failure/code"), "IMPS_NOT_ENABLED");
    assert!(text(validation, "/failure/reason").contains("IMPS"));
    assert_eq!(validation["attempts"], 0);
    let hint = text(&account, "/account_details/bank_account_details/ifsc_hint");
    assert!(hint.contains("State Bank of India"), "{hint}");
    assert_eq!(stack.sandbox.drops().await?.total, 0);
    Ok(())
}
