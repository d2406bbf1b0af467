//! Contract, *Customers*: create, get and update.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{HttpReply, Setup, TestStack};
use reqwest::Method;
use serde_json::json;

use crate::requests::{bank, is_time};

async fn post(stack: &TestStack, path: &str, form: &[(&str, &str)]) -> Result<HttpReply> {
    let call = stack.api.call(Method::POST, path).form(form);
    stack.api.send(call).await
}

async fn get(stack: &TestStack, name: &str) -> Result<HttpReply> {
    let call = stack.api.call(Method::GET, &format!("/customers/{name}"));
    stack.api.send(call).await
}

#[tokio::test]
async fn a_customer_is_created_read_and_updated() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let form = [
        ("object_reference_id", "customer_1122"),
        ("mobile_number", "9876543210"),
        ("email_address", "asha@example.com"),
        ("first_name", "आशा"),
        ("last_name", "Rao 🙂"),
    ];
    let created = post(&stack, "/customers", &form)
        .await?
        .expect_status(200)?
        .json();
    let id = text(&created, "/id");
    assert!(id.starts_with("cst_") && id.len() == 30, "{id}");
    assert_eq!(created["object"], "customer");
    for (name, value) in form {
        assert_eq!(created[name], value);
    }
    assert_eq!(created["mobile_country_code"], "91");
    assert_eq!(created["date_created"], created["last_updated"]);
    assert!(is_time(&created["date_created"]), "{created}");
    for name in [id, "customer_1122"] {
        assert_eq!(get(&stack, name).await?.expect_status(200)?.json(), created);
    }
    // Other fields stay unchanged, and two fields are ignored (Juspay's Python client sends the id).
    let changes = [
        ("id", id),
        ("object_reference_id", "another"),
        ("last_name", "Menon"),
        ("mobile_country_code", "44"),
    ];
    let updated = post(&stack, "/customers/customer_1122", &changes)
        .await?
        .expect_status(200)?;
    let mut wanted = created.clone();
    wanted["last_name"] = json!("Menon");
    wanted["mobile_country_code"] = json!("44");
    wanted["last_updated"] = updated.json()["last_updated"].clone();
    assert_eq!(updated.json(), wanted);
    assert_eq!(get(&stack, id).await?.json(), wanted);
    assert!(is_time(&wanted["last_updated"]), "{wanted}");
    // The customer's accounts belong to this id.
    let account = stack
        .api
        .create(id, &bank("026291800001191", "AABF0008032"))
        .await?
        .account()?;
    assert_eq!(account["customer_id"], id);
    // The table holds no personal data in plain text.
    let dump = stack.database.dump()?.concat();
    for personal in ["9876543210", "asha@", "आशा", "Menon"] {
        assert!(!dump.contains(personal), "{personal}");
    }
    Ok(())
}

#[tokio::test]
async fn a_customer_reference_is_unique() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let form = [("object_reference_id", "customer_1122")];
    let created = post(&stack, "/customers", &form)
        .await?
        .expect_status(200)?
        .json();
    assert!(created["mobile_number"].is_null() && created["first_name"].is_null());
    let taken = post(&stack, "/customers", &form)
        .await?
        .expect_status(400)?
        .json();
    assert_eq!(taken["status"], "invalid_request_error");
    assert_eq!(taken["error_code"], "unique");
    assert_eq!(taken["error_info"]["code"], "ALREADY_EXISTS");
    // A customer that was registered with its first account exists too, and can get contact data.
    stack
        .api
        .create("on_the_fly", &bank("026291800001191", "AABF0008032"))
        .await?
        .account()?;
    let form = [("object_reference_id", "on_the_fly")];
    assert_eq!(post(&stack, "/customers", &form).await?.status, 400);
    let named = post(&stack, "/customers/on_the_fly", &[("first_name", "Asha")]).await?;
    assert_eq!(named.expect_status(200)?.json()["first_name"], "Asha");
    Ok(())
}

#[tokio::test]
async fn every_invalid_contact_field_is_listed() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let bad = [
        ("object_reference_id", "two words"),
        ("mobile_number", "+91 98765"),
        ("mobile_country_code", "+91"),
        ("email_address", "asha"),
        ("first_name", "a\u{0}b"),
    ];
    let reply = post(&stack, "/customers", &bad)
        .await?
        .expect_status(400)?
        .json();
    let named: Vec<&str> = reply["error_info"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| text(fault, "/field_name"))
        .collect();
    assert_eq!(named, bad.map(|(name, _)| name));
    let none = post(&stack, "/customers", &[])
        .await?
        .expect_status(400)?
        .json();
    assert_eq!(none["error_info"]["fields"][0]["reason"], "is required");
    let id = "cst_01k82u7s7deddovl581r211s9l";
    for (path, form, status) in [
        ("/customers", vec![("object_reference_id", id)], 400),
        ("/customers/unknown", vec![("first_name", "Asha")], 404),
        ("/customers/unknown", vec![("mobile_number", "x")], 400),
    ] {
        post(&stack, path, &form).await?.expect_status(status)?;
    }
    get(&stack, id).await?.expect_status(404)?;
    get(&stack, "unknown").await?.expect_status(404)?;
    assert_eq!(stack.database.number("select count(*) from customers")?, 0);
    Ok(())
}
