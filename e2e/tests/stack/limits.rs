//! Contract, *Limits*: how often a key may call, and how often an account may be validated.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{PATIENCE, Setup, World};
use reqwest::Method;

use crate::calls::{bank, banks};

const CUSTOMER: &str = "customer_1122";
const IFSC: &str = "YESB0000262";
const NUMBER: &str = "026291800001191";

fn set(world: &World, setting: &str) -> Result<()> {
    world.command(&["merchant", "set", "--merchant", "e2e", setting])?;
    Ok(())
}

/// What is set is known everywhere after this.
const KNOWN: Duration = Duration::from_millis(5_500);

#[tokio::test]
async fn a_key_may_call_so_often() -> Result<()> {
    let world = World::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    set(&world, "--requests-per-second=20")?;
    tokio::time::sleep(KNOWN).await;
    let api = &world.api;
    let first = api.list(CUSTOMER, "").await?;
    assert_eq!(first.header("ratelimit-policy"), Some("\"key\";q=20;w=1"));
    assert_eq!(first.header("ratelimit"), Some("\"key\";r=19;t=1"));
    let answers = try_join_all((0..60).map(|_| api.list(CUSTOMER, ""))).await?;
    let refused: Vec<_> = answers.iter().filter(|a| a.status == 429).collect();
    assert!(
        (30..=45).contains(&refused.len()),
        "{} of 60",
        refused.len()
    );
    for answer in &refused {
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(
            answer
                .header("ratelimit")
                .unwrap()
                .starts_with("\"key\";r=0;")
        );
        assert_eq!(answer.json()["error_info"]["code"], "TOO_MANY_REQUESTS");
    }
    // Another key of the same merchant is another bucket; no key at all has none.
    let other = api.with_key(&world.issue_key("e2e")?);
    assert_eq!(other.list(CUSTOMER, "").await?.status, 404);
    let none = api.send(api.bare(Method::GET, "/customers/x")).await?;
    assert_eq!((none.status, none.header("ratelimit")), (401, None));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(api.list(CUSTOMER, "").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn nobody_farms_rupees_with_one_account() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    set(&world, "--validations-per-account-per-day=3")?;
    tokio::time::sleep(KNOWN).await;
    let api = &world.api;
    let mut form = bank(NUMBER, IFSC);
    form.push(("command", "validate"));
    let account = api.create(CUSTOMER, &form).await?.account()?;
    let own = format!(
        "/customers/{CUSTOMER}/customer-accounts/{}",
        text(&account, "/id")
    );
    let validate = format!("{own}/validate");
    let post = async |path: &str, form: &[(&str, &str)]| {
        api.send(api.call(Method::POST, path).form(form)).await
    };
    assert_eq!(post(&validate, &[]).await?.account()?["status"], "ACTIVE");
    // Deleted, and stored anew for somebody else: it is the same account at the bank.
    post(&own, &[("command", "delete")])
        .await?
        .expect_status(200)?;
    let other = api.create("other", &form).await?.account()?;
    assert_eq!(other["status"], "ACTIVE");
    let refused = api.create(CUSTOMER, &form).await?.expect_status(429)?;
    assert_eq!(refused.json()["error_info"]["code"], "TOO_MANY_VALIDATIONS");
    assert_eq!(
        text(&refused.json(), "/error_info/fields/0/field_name"),
        "account_number"
    );
    let seconds: u64 = refused.header("retry-after").unwrap().parse()?;
    assert!((86_000..=86_401).contains(&seconds), "{seconds}");
    let again = format!(
        "/customers/other/customer-accounts/{}/validate",
        text(&other, "/id")
    );
    post(&again, &[]).await?.expect_status(429)?;
    // All or nothing, and the item is named.
    let mut many = banks(["50000001".to_owned(), "50000002".to_owned()]);
    many["bank_account_details"][1] = serde_json::json!({ "account_number": NUMBER, "ifsc": IFSC });
    let refused = api.create_json(CUSTOMER, &many).await?.expect_status(429)?;
    let field = text(&refused.json(), "/error_info/fields/0/field_name").to_owned();
    assert_eq!(field, "bank_account_details[1]");
    assert_eq!(
        world
            .database
            .number("select count(*) from customer_accounts")?,
        2
    );
    // The standing account is answered, as it costs nothing.
    api.create("other", &form).await?.expect_status(200)?;
    assert_eq!(world.sandbox.drops().await?.total, 3);
    // A day later there is room again.
    world.database.execute(
        "update customer_accounts set velocity_since = velocity_since - interval '24 hours'",
    )?;
    assert_eq!(post(&again, &[]).await?.account()?["status"], "ACTIVE");
    assert_eq!(world.sandbox.drops().await?.total, 4);
    Ok(())
}

#[tokio::test]
async fn calls_at_the_same_moment_count_for_each_other() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    set(&world, "--validations-per-account-per-day=3")?;
    tokio::time::sleep(KNOWN).await;
    let api = &world.api;
    let form = bank(NUMBER, IFSC);
    let customers: Vec<String> = (0..30).map(|n| format!("customer_{n}")).collect();
    let answers = try_join_all(customers.iter().map(|name| api.create(name, &form))).await?;
    let made: Vec<_> = answers.into_iter().filter(|a| a.status == 200).collect();
    assert_eq!(made.len(), 3);
    let account = made[0].clone().account()?;
    let customer = text(&account, "/customer_id").to_owned();
    let id = text(&account, "/id").to_owned();
    api.wait_for(&customer, &id, &["ACTIVE"], PATIENCE).await?;
    world.database.execute(
        "update customer_accounts set velocity_since = velocity_since - interval '24 hours'",
    )?;
    // Thirty at once for one account: each begins one validation or joins the one that goes on.
    let path = format!("/customers/{customer}/customer-accounts/{id}/validate");
    let calls = (0..30).map(|_| api.send(api.call(Method::POST, &path)));
    for answer in try_join_all(calls).await? {
        assert!([200, 429].contains(&answer.status), "{}", answer.text);
    }
    let most = "select max(each.count) from (select count(*) from validations group by account_id) as each";
    assert!(world.database.number(most)? <= 1 + 3);
    assert!(world.sandbox.drops().await?.total <= 3 + 3);
    Ok(())
}
