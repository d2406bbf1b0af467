//! The deprecated endpoints for the same accounts.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{HttpReply, Setup, TestStack};
use reqwest::Method;
use serde_json::json;

use crate::requests::{CONSENT, bank, named};

const OLD: &str = "/customers/customer_1122/bank-accounts";
const IFSC: &str = "YESB0000262";

async fn post(stack: &TestStack, path: &str, form: &[(&str, &str)]) -> Result<HttpReply> {
    let call = stack.api.call(Method::POST, path).form(form);
    stack.api.send(call).await
}

async fn get(stack: &TestStack, path: &str) -> Result<HttpReply> {
    let call = stack.api.call(Method::GET, &format!("{OLD}{path}"));
    stack.api.send(call).await
}

#[tokio::test]
async fn the_deprecated_endpoints_return_the_same_accounts() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let mut form = named("026291800001191", IFSC, "test");
    form.extend([
        ("command", "validate"),
        ("wait_seconds", "18"),
        ("metadata.param1", "value1"),
        ("metadata.param2", "value2"),
    ]);
    let made = post(&stack, OLD, &form).await?.account()?;
    let (id, customer) = (text(&made, "/id"), text(&made, "/customer_id"));
    assert_eq!(
        made,
        json!({
            "object": "bank_account", "id": id, "customer_id": customer, "date_created": made["date_created"],
            "bank_name": "Yes Bank", "ifsc": IFSC, "account_number": "026291800001191",
            "beneficiary_name": "test", "validation_amount": 1, "currency": "INR", "validation_status": "ACTIVE",
            "version": made["version"], "last_validated": made["last_validated"],
            "metadata": { "param1": "value1", "param2": "value2" },
        })
    );
    assert!(made["last_validated"].is_string());
    assert!(made["version"].as_i64() > Some(1), "{made}");
    assert_eq!(get(&stack, &format!("/{id}")).await?.account()?, made);
    let same = stack.api.get("customer_1122", id).await?.account()?;
    assert_eq!((text(&same, "/id"), text(&same, "/status")), (id, "ACTIVE"));
    // One account that is only created, and a UPI address, which these endpoints do not know.
    let created = post(&stack, OLD, &bank("026291800001190", IFSC))
        .await?
        .account()?;
    assert_eq!(
        (&created["validation_status"], &created["version"]),
        (&json!("CREATED"), &json!(1))
    );
    let upi: Vec<_> = CONSENT
        .into_iter()
        .chain([("vpa", "success@upi")])
        .collect();
    let upi = stack.api.create("customer_1122", &upi).await?.account()?;
    let list = get(&stack, "/list").await?.expect_status(200)?.json();
    assert_eq!(
        (&list["total"], &list["count"], &list["offset"]),
        (&json!(2), &json!(2), &json!(0))
    );
    assert_eq!(list["list"][0]["id"], created["id"], "newest first");
    let page = get(&stack, "/list?count=1&offset=1").await?.json();
    assert_eq!(
        (&page["total"], &page["list"][0]["id"]),
        (&json!(2), &made["id"])
    );
    let upi = text(&upi, "/id");
    get(&stack, &format!("/{upi}")).await?.expect_status(404)?;
    post(&stack, &format!("{OLD}/{upi}/validate"), &[])
        .await?
        .expect_status(404)?;
    post(&stack, &format!("{OLD}/{upi}"), &[("command", "delete")])
        .await?
        .expect_status(404)?;
    stack
        .api
        .get("customer_1122", upi)
        .await?
        .expect_status(200)?;

    let wait = [("wait_seconds", "18")];
    let validated = post(&stack, &format!("{OLD}/{id}/validate"), &wait)
        .await?
        .account()?;
    assert_eq!(validated["validation_status"], "ACTIVE");
    let deleted = post(&stack, &format!("{OLD}/{id}"), &[("command", "delete")]).await?;
    assert_eq!(
        deleted.expect_status(200)?.json(),
        json!({ "bank_account_id": id, "bank_account_status": "deleted" })
    );
    get(&stack, &format!("/{id}")).await?.expect_status(404)?;
    stack
        .api
        .get("customer_1122", id)
        .await?
        .expect_status(404)?;
    post(&stack, &format!("{OLD}/{id}/validate"), &[])
        .await?
        .expect_status(409)?;
    Ok(())
}

#[tokio::test]
async fn the_deprecated_endpoints_apply_the_same_rules() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let reply = post(&stack, OLD, &[("vpa", "asha@upi")])
        .await?
        .expect_status(400)?
        .json();
    let fields: Vec<_> = reply["error_info"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| text(fault, "/field_name"))
        .collect();
    assert_eq!(fields, ["ifsc", "account_number", "vpa"]);
    let mut form = bank("026291800001191", IFSC);
    form.push(("command", "destroy"));
    let reply = post(&stack, OLD, &form).await?.expect_status(400)?.json();
    assert_eq!(reply["error_message"], "Invalid command");
    get(&stack, "/list?count=0").await?.expect_status(400)?;
    let put = stack.api.call(Method::PUT, OLD);
    let put = stack.api.send(put).await?.expect_status(405)?;
    assert_eq!(put.header("allow"), Some("POST"));
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);
    Ok(())
}
