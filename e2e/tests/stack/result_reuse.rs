//! What merchants have Khata make of results: used again for the same details, and failed for another name.

use std::time::Duration;

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Answer, PATIENCE, Setup, World, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::calls::{bank, named};

const GOOD: &str = "026291800001191";
const BAD: &str = "026291800001190";
const IFSC: &str = "YESB0000262";
/// Whose the good account is.
const HOLDER: &str = "John Doe";
const NOBODY: &str = "Zebulon Quixote";
const VALIDATE: (&str, &str) = ("command", "validate");
const FRESH: (&str, &str) = ("fresh", "true");
/// What the workers may know of a setting no longer.
const FOLLOWED: Duration = Duration::from_secs(5);

fn set(world: &World, option: &str, value: &str) -> Result<()> {
    let set = ["merchant", "set", "--merchant", "e2e", option, value];
    world.command(&set).map(drop)
}

/// Creates and validates the account for this customer, with these fields more.
async fn validated(
    world: &World,
    customer: &str,
    number: &str,
    more: &[(&str, &str)],
) -> Result<Value> {
    let form = [&bank(number, IFSC)[..], &[VALIDATE], more].concat();
    world.api.create(customer, &form).await?.account()
}

async fn again(world: &World, customer: &str, account: &Value, body: &Value) -> Result<Answer> {
    let id = text(account, "/id");
    let path = format!("/customers/{customer}/customer-accounts/{id}/validate");
    let call = world.api.call(Method::POST, &path).json(body);
    world.api.send(call).await
}

async fn drops(world: &World) -> Result<u64> {
    Ok(world.sandbox.drops().await?.total)
}

#[tokio::test]
async fn a_result_is_used_again_until_a_call_wants_a_fresh_one() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    set(&world, "--reuse-results-seconds", "3600")?;
    let first = validated(&world, "one", GOOD, &[]).await?;
    assert_eq!(first["status"], "ACTIVE", "{first}");
    assert_eq!(first["validation"]["attempts"], 1);
    assert!(first["validation"]["reused_from"].is_null(), "{first}");

    // Of another customer the same.
    let other = validated(&world, "two", GOOD, &[]).await?;
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
    let seen = world.api.get("two", text(&other, "/id")).await?.account()?;
    assert_eq!(seen, other, "get shows what the call answered");
    let same = again(&world, "one", &first, &json!({})).await?.account()?;
    assert_eq!(same["validation"]["reused_from"], earlier["id"], "{same}");
    assert_eq!(drops(&world).await?, 1);

    // A call may want to know it anew, in either encoding.
    let fresh = again(&world, "one", &first, &json!({"fresh": true}))
        .await?
        .account()?;
    assert!(fresh["validation"]["reused_from"].is_null(), "{fresh}");
    assert_eq!(fresh["validation"]["attempts"], 1);
    assert_eq!(drops(&world).await?, 2);
    let created = validated(&world, "three", GOOD, &[FRESH]).await?;
    assert!(created["validation"]["reused_from"].is_null(), "{created}");
    assert_eq!(drops(&world).await?, 3);
    let body = json!({ "fresh": true, "ifsc": IFSC, "account_number": GOOD });
    let created = world.api.create_json("four", &body).await?.account()?;
    let id = text(&created, "/id");
    let created = world
        .api
        .wait_for("four", id, &["ACTIVE"], PATIENCE)
        .await?;
    assert!(created["validation"]["reused_from"].is_null(), "{created}");
    assert_eq!(drops(&world).await?, 4);
    let newest = again(&world, "two", &other, &json!({"fresh": false}))
        .await?
        .account()?;
    assert_eq!(
        newest["validation"]["reused_from"], created["validation"]["id"],
        "the newest that a gateway told"
    );

    // The deprecated family likewise.
    let old = "/customers/five/bank-accounts";
    let post = async |path: &str, form: &[(&str, &str)]| {
        let call = world.api.call(Method::POST, path).form(form);
        let account = world.api.send(call).await?.account()?;
        assert_eq!(account["validation_status"], "ACTIVE", "{account}");
        anyhow::Ok(text(&account, "/id").to_owned())
    };
    let form = [&bank(GOOD, IFSC)[..], &[VALIDATE]].concat();
    let id = post(old, &form).await?;
    assert_eq!(drops(&world).await?, 4);
    let validate = format!("{old}/{id}/validate");
    post(&validate, &[("fresh", "false")]).await?;
    assert_eq!(drops(&world).await?, 4);
    post(&validate, &[FRESH]).await?;
    assert_eq!(drops(&world).await?, 5);
    let form = [&form[..], &[FRESH]].concat();
    post("/customers/six/bank-accounts", &form).await?;
    assert_eq!(drops(&world).await?, 6);
    Ok(())
}

#[tokio::test]
async fn only_what_a_gateway_told_is_used_again_and_names_are_compared_anew() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    set(&world, "--reuse-results-seconds", "3600")?;
    set(&world, "--fail-on-name-mismatch", "true")?;
    let failed = validated(&world, "one", BAD, &[]).await?;
    let also = validated(&world, "two", BAD, &[]).await?;
    for account in [&failed, &also] {
        assert_eq!(account["status"], "FAILURE", "{account}");
        let code = &account["validation"]["failure"]["code"];
        assert_eq!(code, "INVALID_ACCOUNT", "{account}");
    }
    let reused_from = |account: &Value| account["validation"]["reused_from"].clone();
    assert_eq!(reused_from(&also), failed["validation"]["id"]);

    let before = drops(&world).await?;
    // Whose name is another fails, and the next one with the right name does not.
    let other = validated(&world, "one", GOOD, &[("beneficiary_name", NOBODY)]).await?;
    assert_eq!(other["status"], "FAILURE", "{other}");
    assert_eq!(other["validation"]["failure"]["code"], "NAME_MISMATCH");
    let right = validated(&world, "two", GOOD, &[("beneficiary_name", HOLDER)]).await?;
    assert_eq!(right["status"], "ACTIVE", "{right}");
    assert_eq!(right["validation"]["name_match"]["result"], "DIRECT_MATCH");
    assert_eq!(reused_from(&right), other["validation"]["id"]);
    let wrong = validated(&world, "three", GOOD, &[("beneficiary_name", NOBODY)]).await?;
    assert_eq!(wrong["status"], "FAILURE", "{wrong}");
    assert_eq!(wrong["validation"]["failure"]["code"], "NAME_MISMATCH");
    assert_eq!(reused_from(&wrong), other["validation"]["id"]);
    assert_eq!(drops(&world).await?, before + 1);

    // DUMMY: 96 is told nothing about; at the deadline that is nobody's result.
    let dummy = [("gateway_id", "100"), ("wait_seconds", "1")];
    let untold = validated(&world, "one", "1234567896", &dummy).await?;
    world.database.execute(
        "update validations set deadline_at = now(), due_at = now() where completed_at is null",
    )?;
    let id = text(&untold, "/id");
    let untold = world
        .api
        .wait_for("one", id, &["FAILURE"], PATIENCE)
        .await?;
    let code = &untold["validation"]["failure"]["code"];
    assert_eq!(code, "VALIDATION_UNAVAILABLE", "{untold}");
    let asked = validated(&world, "two", "1234567896", &dummy).await?;
    assert_eq!(asked["status"], "CREATED", "{asked}");
    assert_eq!(asked["validation"]["attempts"], 1, "{asked}");
    assert!(reused_from(&asked).is_null(), "{asked}");
    Ok(())
}

#[tokio::test]
async fn a_result_is_used_again_no_longer_than_the_merchant_wants() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    let first = validated(&world, "one", GOOD, &[]).await?;
    let second = validated(&world, "two", GOOD, &[]).await?;
    assert!(second["validation"]["reused_from"].is_null(), "{second}");
    assert_eq!(drops(&world).await?, 2, "never, unless it is wanted");

    set(&world, "--reuse-results-seconds", "60")?;
    tokio::time::sleep(FOLLOWED).await;
    world
        .database
        .execute("update validations set completed_at = now() - interval '61 s'")?;
    let third = again(&world, "one", &first, &json!({})).await?.account()?;
    assert!(third["validation"]["reused_from"].is_null(), "{third}");
    assert_eq!(drops(&world).await?, 3, "too old");
    let fourth = again(&world, "two", &second, &json!({})).await?.account()?;
    assert_eq!(
        fourth["validation"]["reused_from"], third["validation"]["id"],
        "{fourth}"
    );
    assert_eq!(drops(&world).await?, 3);
    Ok(())
}

#[tokio::test]
async fn another_name_fails_an_account_only_where_the_merchant_wants_it() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    let form = [&named(GOOD, IFSC, NOBODY)[..], &[VALIDATE]].concat();
    let account = world.api.create("one", &form).await?.account()?;
    assert_eq!(account["status"], "ACTIVE", "{account}");
    assert_eq!(account["validation"]["name_match"]["result"], "NO_MATCH");
    assert!(account["validation"]["failure"].is_null(), "{account}");

    set(&world, "--fail-on-name-mismatch", "true")?;
    let failed = eventually(PATIENCE, "the workers following", async || {
        let account = again(&world, "one", &account, &json!({}))
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
    // A name that fits, or none at all, is no obstacle.
    for (customer, name) in [("two", Some(HOLDER)), ("three", None)] {
        let mut form = bank(GOOD, IFSC);
        form.push(VALIDATE);
        form.extend(name.map(|name| ("beneficiary_name", name)));
        let account = world.api.create(customer, &form).await?.account()?;
        assert_eq!(account["status"], "ACTIVE", "{account}");
    }
    Ok(())
}
