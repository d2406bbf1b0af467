//! The deprecated family: another face of the same accounts.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Answer, Setup, World};
use reqwest::Method;
use serde_json::json;

use crate::calls::{CONSENT, bank, named};

const OLD: &str = "/customers/customer_1122/bank-accounts";
const IFSC: &str = "YESB0000262";

async fn post(world: &World, path: &str, form: &[(&str, &str)]) -> Result<Answer> {
    let call = world.api.call(Method::POST, path).form(form);
    world.api.send(call).await
}

async fn get(world: &World, path: &str) -> Result<Answer> {
    let call = world.api.call(Method::GET, &format!("{OLD}{path}"));
    world.api.send(call).await
}

#[tokio::test]
async fn the_deprecated_family_shows_the_same_accounts() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    let mut form = named("026291800001191", IFSC, "test");
    form.extend([
        ("command", "validate"),
        ("metadata.param1", "value1"),
        ("metadata.param2", "value2"),
    ]);
    let made = post(&world, OLD, &form).await?.account()?;
    let (id, customer) = (text(&made, "/id"), text(&made, "/customer_id"));
    assert_eq!(
        made,
        json!({
            "object": "bank_account", "id": id, "customer_id": customer, "date_created": made["date_created"],
            "bank_name": "Yes Bank", "ifsc": IFSC, "account_number": "026291800001191",
            "beneficiary_name": "test", "validation_amount": 1, "currency": "INR", "validation_status": "ACTIVE",
            "last_validated": made["last_validated"], "metadata": { "param1": "value1", "param2": "value2" },
        })
    );
    assert!(made["last_validated"].is_string());
    assert_eq!(get(&world, &format!("/{id}")).await?.account()?, made);
    let same = world.api.get("customer_1122", id).await?.account()?;
    assert_eq!((text(&same, "/id"), text(&same, "/status")), (id, "ACTIVE"));
    // Created only; and a UPI address of the newer family, which this one does not know.
    let created = post(&world, OLD, &bank("026291800001190", IFSC))
        .await?
        .account()?;
    assert_eq!(created["validation_status"], "CREATED");
    let upi: Vec<_> = CONSENT
        .into_iter()
        .chain([("vpa", "success@upi")])
        .collect();
    let upi = world.api.create("customer_1122", &upi).await?.account()?;
    let list = get(&world, "/list").await?.expect_status(200)?.json();
    assert_eq!(
        (&list["total"], &list["count"], &list["offset"]),
        (&json!(2), &json!(2), &json!(0))
    );
    assert_eq!(list["list"][0]["id"], created["id"], "newest first");
    let page = get(&world, "/list?count=1&offset=1").await?.json();
    assert_eq!(
        (&page["total"], &page["list"][0]["id"]),
        (&json!(2), &made["id"])
    );
    let upi = text(&upi, "/id");
    get(&world, &format!("/{upi}")).await?.expect_status(404)?;
    post(&world, &format!("{OLD}/{upi}/validate"), &[])
        .await?
        .expect_status(404)?;
    post(&world, &format!("{OLD}/{upi}"), &[("command", "delete")])
        .await?
        .expect_status(404)?;
    world
        .api
        .get("customer_1122", upi)
        .await?
        .expect_status(200)?;

    let validated = post(&world, &format!("{OLD}/{id}/validate"), &[])
        .await?
        .account()?;
    assert_eq!(validated["validation_status"], "ACTIVE");
    let deleted = post(&world, &format!("{OLD}/{id}"), &[("command", "delete")]).await?;
    assert_eq!(
        deleted.expect_status(200)?.json(),
        json!({ "bank_account_id": id, "bank_account_status": "deleted" })
    );
    get(&world, &format!("/{id}")).await?.expect_status(404)?;
    world
        .api
        .get("customer_1122", id)
        .await?
        .expect_status(404)?;
    post(&world, &format!("{OLD}/{id}/validate"), &[])
        .await?
        .expect_status(409)?;
    Ok(())
}

#[tokio::test]
async fn the_deprecated_family_has_the_same_rules() -> Result<()> {
    let world = World::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let answer = post(&world, OLD, &[("vpa", "asha@upi")])
        .await?
        .expect_status(400)?
        .json();
    let fields: Vec<_> = answer["error_info"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| text(fault, "/field_name"))
        .collect();
    assert_eq!(fields, ["ifsc", "account_number"]);
    let mut form = bank("026291800001191", IFSC);
    form.push(("command", "destroy"));
    let answer = post(&world, OLD, &form).await?.expect_status(400)?.json();
    assert_eq!(answer["error_message"], "Invalid command");
    get(&world, "/list?count=0").await?.expect_status(400)?;
    let put = world.api.call(Method::PUT, OLD);
    let put = world.api.send(put).await?.expect_status(405)?;
    assert_eq!(put.header("allow"), Some("POST"));
    assert_eq!(world.database.stored()?, [0, 0, 0]);
    Ok(())
}
