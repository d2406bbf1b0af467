//! A merchant's settings for results: reuse for the same details, and failure for another name.

use std::time::Duration;

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{HttpReply, Setup, TIMEOUT, TestStack, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::requests::{bank, named};

const GOOD: &str = "026291800001191";
const BAD: &str = "026291800001190";
const IFSC: &str = "YESB0000262";
/// Holder of the valid account.
const HOLDER: &str = "John Doe";
const OTHER_NAME: &str = "Zebulon Quixote";
/// With a longer wait than usual, for a busy machine: the wait ends with the outcome.
const VALIDATE: [(&str, &str); 2] = [("command", "validate"), ("wait_seconds", "18")];
const FRESH: (&str, &str) = ("fresh", "true");
/// Maximum age of the settings that the workers use, and time for a busy machine.
const CACHE_TTL: Duration = Duration::from_secs(7);

fn set(stack: &TestStack, option: &str, value: &str) -> Result<()> {
    let set = ["merchant", "set", "--merchant", "e2e", option, value];
    stack.command(&set).map(drop)
}

/// Creates and validates the account for this customer, with additional fields.
async fn validated(
    stack: &TestStack,
    customer: &str,
    number: &str,
    more: &[(&str, &str)],
) -> Result<Value> {
    let form = [&bank(number, IFSC)[..], &VALIDATE, more].concat();
    stack.api.create(customer, &form).await?.account()
}

async fn again(
    stack: &TestStack,
    customer: &str,
    account: &Value,
    body: &Value,
) -> Result<HttpReply> {
    let id = text(account, "/id");
    let path = format!("/customers/{customer}/customer-accounts/{id}/validate");
    let mut body = body.clone();
    body["wait_seconds"] = json!(18);
    let call = stack.api.call(Method::POST, &path).json(&body);
    stack.api.send(call).await
}

async fn drops(stack: &TestStack) -> Result<u64> {
    Ok(stack.sandbox.drops().await?.total)
}

#[tokio::test]
async fn a_result_is_reused_until_a_call_requests_a_fresh_one() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    set(&stack, "--reuse-results-seconds", "3600")?;
    let first = validated(&stack, "one", GOOD, &[]).await?;
    assert_eq!(first["status"], "ACTIVE", "{first}");
    assert_eq!(first["validation"]["attempts"], 1);
    assert!(first["validation"]["reused_from"].is_null(), "{first}");

    // The same for another customer.
    let other = validated(&stack, "two", GOOD, &[]).await?;
    assert_eq!(other["status"], "ACTIVE", "{other}");
    assert_ne!(other["id"], first["id"]);
    let (earlier, used) = (&first["validation"], &other["validation"]);
    assert_eq!(used["reused_from"], earlier["id"], "{other}");
    assert_eq!(used["attempts"], 0);
    for member in [
        "gateway_id",
        "gateway_reference_id",
        "method",
        "name_at_bank",
        "utr",
    ] {
        assert!(!earlier[member].is_null(), "{member}: {first}");
        assert_eq!(used[member], earlier[member], "{member}: {other}");
    }
    assert!(other["last_validated"].is_string(), "{other}");
    let seen = stack.api.get("two", text(&other, "/id")).await?.account()?;
    assert_eq!(seen, other, "get shows what the call answered");
    let same = again(&stack, "one", &first, &json!({})).await?.account()?;
    assert_eq!(same["validation"]["reused_from"], earlier["id"], "{same}");
    assert_eq!(drops(&stack).await?, 1);

    // A call may request a fresh result, in either encoding.
    let fresh = again(&stack, "one", &first, &json!({"fresh": true}))
        .await?
        .account()?;
    assert!(fresh["validation"]["reused_from"].is_null(), "{fresh}");
    assert_eq!(fresh["validation"]["attempts"], 1);
    assert_eq!(drops(&stack).await?, 2);
    let created = validated(&stack, "three", GOOD, &[FRESH]).await?;
    assert!(created["validation"]["reused_from"].is_null(), "{created}");
    assert_eq!(drops(&stack).await?, 3);
    let body = json!({ "fresh": true, "ifsc": IFSC, "account_number": GOOD });
    let created = stack.api.create_json("four", &body).await?.account()?;
    let id = text(&created, "/id");
    let created = stack.api.wait_for("four", id, &["ACTIVE"], TIMEOUT).await?;
    assert!(created["validation"]["reused_from"].is_null(), "{created}");
    assert_eq!(drops(&stack).await?, 4);
    let newest = again(&stack, "two", &other, &json!({"fresh": false}))
        .await?
        .account()?;
    assert_eq!(
        newest["validation"]["reused_from"], created["validation"]["id"],
        "the newest result of a gateway"
    );

    // The same with the deprecated endpoints.
    let old = "/customers/five/bank-accounts";
    let post = async |path: &str, form: &[(&str, &str)]| {
        let call = stack.api.call(Method::POST, path).form(form);
        let account = stack.api.send(call).await?.account()?;
        assert_eq!(account["validation_status"], "ACTIVE", "{account}");
        anyhow::Ok(text(&account, "/id").to_owned())
    };
    let form = [&bank(GOOD, IFSC)[..], &VALIDATE].concat();
    let id = post(old, &form).await?;
    assert_eq!(drops(&stack).await?, 4);
    let validate = format!("{old}/{id}/validate");
    post(&validate, &[("fresh", "false")]).await?;
    assert_eq!(drops(&stack).await?, 4);
    post(&validate, &[FRESH]).await?;
    assert_eq!(drops(&stack).await?, 5);
    let form = [&form[..], &[FRESH]].concat();
    post("/customers/six/bank-accounts", &form).await?;
    assert_eq!(drops(&stack).await?, 6);
    Ok(())
}

#[tokio::test]
async fn only_gateway_results_are_reused_and_names_are_compared_again() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    set(&stack, "--reuse-results-seconds", "3600")?;
    set(&stack, "--fail-names-below", "POOR_PARTIAL_MATCH")?;
    let failed = validated(&stack, "one", BAD, &[]).await?;
    let also = validated(&stack, "two", BAD, &[]).await?;
    for account in [&failed, &also] {
        assert_eq!(account["status"], "FAILURE", "{account}");
        let code = &account["validation"]["failure"]["code"];
        assert_eq!(code, "INVALID_ACCOUNT", "{account}");
    }
    let reused_from = |account: &Value| account["validation"]["reused_from"].clone();
    assert_eq!(reused_from(&also), failed["validation"]["id"]);

    let before = drops(&stack).await?;
    // An account with another name fails, and the next one with the right name does not.
    let other = validated(&stack, "one", GOOD, &[("beneficiary_name", OTHER_NAME)]).await?;
    assert_eq!(other["status"], "FAILURE", "{other}");
    assert_eq!(other["validation"]["failure"]["code"], "NAME_MISMATCH");
    let right = validated(&stack, "two", GOOD, &[("beneficiary_name", HOLDER)]).await?;
    assert_eq!(right["status"], "ACTIVE", "{right}");
    assert_eq!(right["validation"]["name_match"]["result"], "DIRECT_MATCH");
    assert_eq!(reused_from(&right), other["validation"]["id"]);
    let wrong = validated(&stack, "three", GOOD, &[("beneficiary_name", OTHER_NAME)]).await?;
    assert_eq!(wrong["status"], "FAILURE", "{wrong}");
    assert_eq!(wrong["validation"]["failure"]["code"], "NAME_MISMATCH");
    assert_eq!(reused_from(&wrong), other["validation"]["id"]);
    assert_eq!(drops(&stack).await?, before + 1);

    // DUMMY: 96 gives no result; the outcome at the deadline is not a gateway's result.
    let mut dummy = bank("1234567896", IFSC);
    dummy.extend([
        ("command", "validate"),
        ("gateway_id", "100"),
        ("wait_seconds", "1"),
    ]);
    let unavailable = stack.api.create("one", &dummy).await?.account()?;
    stack.database.execute(
        "update validations set deadline_at = now(), due_at = now() where completed_at is null",
    )?;
    let id = text(&unavailable, "/id");
    let unavailable = stack.api.wait_for("one", id, &["FAILURE"], TIMEOUT).await?;
    let code = &unavailable["validation"]["failure"]["code"];
    assert_eq!(code, "VALIDATION_UNAVAILABLE", "{unavailable}");
    let asked = stack.api.create("two", &dummy).await?.account()?;
    let id = text(&asked, "/id");
    let asked = eventually(TIMEOUT, "an attempt", async || {
        let account = stack.api.get("two", id).await?.account()?;
        anyhow::Ok((account["validation"]["attempts"] != 0).then_some(account))
    })
    .await?;
    assert_eq!(asked["status"], "CREATED", "{asked}");
    assert!(reused_from(&asked).is_null(), "{asked}");
    Ok(())
}

#[tokio::test]
async fn a_result_is_reused_for_the_merchants_time_at_most() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let first = validated(&stack, "one", GOOD, &[]).await?;
    let second = validated(&stack, "two", GOOD, &[]).await?;
    assert!(second["validation"]["reused_from"].is_null(), "{second}");
    assert_eq!(drops(&stack).await?, 2, "never, unless it is wanted");

    set(&stack, "--reuse-results-seconds", "60")?;
    tokio::time::sleep(CACHE_TTL).await;
    stack
        .database
        .execute("update validations set completed_at = now() - interval '61 s'")?;
    let third = again(&stack, "one", &first, &json!({})).await?.account()?;
    assert!(third["validation"]["reused_from"].is_null(), "{third}");
    assert_eq!(drops(&stack).await?, 3, "too old");
    let fourth = again(&stack, "two", &second, &json!({})).await?.account()?;
    assert_eq!(
        fourth["validation"]["reused_from"], third["validation"]["id"],
        "{fourth}"
    );
    assert_eq!(drops(&stack).await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_name_mismatch_fails_an_account_only_if_the_merchant_says_so() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let form = [&named(GOOD, IFSC, OTHER_NAME)[..], &VALIDATE].concat();
    let account = stack.api.create("one", &form).await?.account()?;
    assert_eq!(account["status"], "ACTIVE", "{account}");
    assert_eq!(account["validation"]["name_match"]["result"], "NO_MATCH");
    assert!(account["validation"]["failure"].is_null(), "{account}");

    set(&stack, "--fail-names-below", "POOR_PARTIAL_MATCH")?;
    let failed = eventually(TIMEOUT, "the workers following", async || {
        let account = again(&stack, "one", &account, &json!({}))
            .await?
            .account()?;
        anyhow::Ok((account["status"] == "FAILURE").then_some(account))
    })
    .await?;
    let validation = &failed["validation"];
    assert_eq!(validation["failure"]["code"], "NAME_MISMATCH", "{failed}");
    assert!(!text(validation, "/failure/reason").is_empty(), "{failed}");
    assert_eq!(validation["name_match"]["result"], "NO_MATCH");
    assert_eq!(validation["name_at_bank"], HOLDER.to_uppercase());
    assert!(failed["last_validated"].is_string(), "{failed}");
    // A matching name, or no name, fails no account.
    for (customer, name) in [("two", Some(HOLDER)), ("three", None)] {
        let mut form = bank(GOOD, IFSC);
        form.extend(VALIDATE);
        form.extend(name.map(|name| ("beneficiary_name", name)));
        let account = stack.api.create(customer, &form).await?.account()?;
        assert_eq!(account["status"], "ACTIVE", "{account}");
    }
    Ok(())
}

#[tokio::test]
async fn a_person_decides_about_names_if_the_merchant_says_so() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    set(&stack, "--review-names-below", "GOOD_PARTIAL_MATCH")?;
    let form = [&named(GOOD, IFSC, OTHER_NAME)[..], &VALIDATE].concat();
    for (customer, command, status) in [("one", "accept", "ACTIVE"), ("two", "reject", "FAILURE")] {
        let account = stack.api.create(customer, &form).await?.account()?;
        assert_eq!(account["status"], "PENDING", "{account}");
        let validation = &account["validation"];
        assert_eq!(validation["pending_reason"], "NAME_REVIEW", "{account}");
        assert!(validation["failure"].is_null(), "{account}");
        assert_eq!(validation["name_match"]["result"], "NO_MATCH");
        let id = text(&account, "/id").to_owned();
        let shown = stack.command(&["account", "show", &id])?;
        let validation = text(&account, "/validation/id");
        assert!(
            shown.contains(&format!("account {command} {validation}")),
            "{shown}"
        );
        let listed = stack.command(&["account", "list", "--in-review"])?;
        assert!(
            listed.contains(&id) && listed.contains(validation),
            "{listed}"
        );
        // Another validation since: the names that the operator has seen are not decided about.
        let repeated = again(&stack, customer, &account, &json!({}))
            .await?
            .account()?;
        assert_eq!(
            repeated["validation"]["pending_reason"], "NAME_REVIEW",
            "{repeated}"
        );
        assert!(stack.command(&["account", command, validation]).is_err());
        let before = drops(&stack).await?;
        stack.command(&["account", command, text(&repeated, "/validation/id")])?;
        let account = stack
            .api
            .wait_for(customer, &id, &[status], TIMEOUT)
            .await?;
        let failure = &account["validation"]["failure"]["code"];
        let expected = if status == "FAILURE" {
            json!("NAME_MISMATCH")
        } else {
            json!(null)
        };
        assert_eq!(*failure, expected, "{account}");
        assert!(
            account["validation"]["pending_reason"].is_null(),
            "{account}"
        );
        assert_eq!(drops(&stack).await?, before, "no gateway is called");
        // Once only.
        assert!(stack.command(&["account", command, &id]).is_err());
        // The same two names again: an acceptance is remembered.
        let repeated = again(&stack, customer, &account, &json!({}))
            .await?
            .account()?;
        let expected = if status == "ACTIVE" {
            status
        } else {
            "PENDING"
        };
        assert_eq!(repeated["status"], expected, "{repeated}");
        assert_eq!(repeated["validation"]["name_match"]["result"], "NO_MATCH");
    }
    let log = stack.database.number(
        "select count(*) from audit_log where action in ('account.accept', 'account.reject')",
    )?;
    assert_eq!(log, 2);
    // A matching name, or a name that cannot be compared, waits for no person.
    for (customer, name) in [("three", HOLDER), ("four", "NA")] {
        let form = [&named(GOOD, IFSC, name)[..], &VALIDATE].concat();
        let account = stack.api.create(customer, &form).await?.account()?;
        assert_eq!(account["status"], "ACTIVE", "{account}");
    }
    Ok(())
}
