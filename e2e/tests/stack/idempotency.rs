//! Contract, *Idempotency-Key*: a repeated call does nothing again and answers what the first one did.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{Answer, Api, PATIENCE, Setup, World, eventually};
use reqwest::Method;

use crate::calls::{bank, banks, becomes, ids};

const CUSTOMER: &str = "customer_1122";
const IFSC: &str = "YESB0000262";
const KEY: &str = "Idempotency-Key";
const REPLAYED: &str = "idempotent-replayed";

async fn post(api: &Api, path: &str, key: &str, form: &[(&str, &str)]) -> Result<Answer> {
    let call = api.call(Method::POST, path).header(KEY, key).form(form);
    api.send(call).await
}

fn accounts(customer: &str) -> String {
    format!("/customers/{customer}/accounts")
}

#[tokio::test]
async fn a_replay_is_the_first_answer_byte_for_byte() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    let api = &world.api;
    let form = bank("026291800001191", IFSC);
    let path = accounts(CUSTOMER);
    let first = post(api, &path, "order-17", &form)
        .await?
        .expect_status(200)?;
    assert_eq!(first.header(REPLAYED), None);
    let id = text(&first.json(), "/id").to_owned();
    api.wait_for(CUSTOMER, &id, &["ACTIVE"], PATIENCE).await?;
    let again = post(api, &path, "order-17", &form)
        .await?
        .expect_status(200)?;
    assert_eq!(again.text, first.text, "although the account is ACTIVE now");
    assert_eq!(again.header(REPLAYED), Some("true"));
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));

    // Each of these is another call.
    for (path, form) in [
        (accounts(CUSTOMER), bank("026291800001190", IFSC)),
        (accounts("somebody_else"), form.clone()),
        ("/customers".to_owned(), vec![("object_reference_id", "c1")]),
    ] {
        let other = post(api, &path, "order-17", &form)
            .await?
            .expect_status(422)?;
        assert_eq!(other.json()["error_code"], "idempotency_key_reused");
    }
    // Another merchant's key of the same text is another key.
    let stranger = api.with_key(&world.issue_key("stranger")?);
    let theirs = post(&stranger, &path, "order-17", &form).await?.account()?;
    assert_ne!(text(&theirs, "/id"), id);
    assert_eq!(
        world
            .database
            .number("select count(*) from customer_accounts")?,
        2
    );
    // Nothing of key, body or answer can be read in the table.
    let dump = world
        .database
        .texts("select r::text from idempotency_records r")?;
    assert_eq!(dump.len(), 2);
    assert!(!dump.concat().contains("order-17") && !dump.concat().contains("0262918"));

    assert_eq!(
        world.database.number(
            "select count(*) from idempotency_records
             where expires_at between now() + interval '23 hours 58 minutes' and now() + interval '24 hours'"
        )?,
        2
    );
    // After its time it is as if it had never been used.
    world
        .database
        .execute("update idempotency_records set expires_at = now() - interval '1 second'")?;
    let new = post(api, &path, "order-17", &form)
        .await?
        .expect_status(200)?;
    assert_eq!(
        (new.header(REPLAYED), text(&new.json(), "/status")),
        (None, "ACTIVE")
    );
    Ok(())
}

#[tokio::test]
async fn what_was_refused_may_be_corrected_under_the_same_key() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    let path = accounts(CUSTOMER);
    let bad = bank("026291800001191", "nonsense");
    post(&world.api, &path, "k1", &bad)
        .await?
        .expect_status(400)?;
    let good = bank("026291800001191", IFSC);
    post(&world.api, &path, "k1", &good)
        .await?
        .expect_status(200)?;
    for bad in ["", "two words", "\u{e9}", &"k".repeat(256)] {
        let call = world
            .api
            .call(Method::POST, &path)
            .header(KEY, bad)
            .form(&good);
        let answer = world.api.send(call).await?.expect_status(400)?;
        assert_eq!(text(&answer.json(), "/error_info/fields/0/field_name"), KEY);
    }
    post(&world.api, &path, &"k".repeat(255), &good)
        .await?
        .expect_status(200)?;
    Ok(())
}

#[tokio::test]
async fn a_hundred_same_calls_at_two_apis_are_one() -> Result<()> {
    let world = World::start(Setup {
        apis: 2,
        ..Setup::default()
    })
    .await?;
    let apis = [world.api_at(0), world.api_at(1)];
    let body = banks((0..5).map(|n| format!("410000{n:02}")));
    let calls = (0..100).map(|n| {
        let call = apis[n % 2]
            .creation(CUSTOMER)
            .header(KEY, "same")
            .json(&body);
        apis[n % 2].send(call)
    });
    let answers = try_join_all(calls).await?;
    let done: Vec<&Answer> = answers
        .iter()
        .filter(|answer| answer.status == 200)
        .collect();
    assert!(done.iter().all(|answer| answer.text == done[0].text));
    let first = done
        .iter()
        .filter(|answer| answer.header(REPLAYED).is_none());
    assert_eq!(first.count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert!(answer.text.contains("idempotency_in_progress"));
        assert!(answer.header("retry-after").is_some());
    }
    assert_eq!(world.database.stored()?, [1, 5, 5]);
    Ok(())
}

/// Every row, but for what the worker learns of gateways as time goes by.
fn records(world: &World) -> Result<Vec<String>> {
    let mut rows = world.database.dump()?;
    rows.retain(|row| !row.starts_with("gateway_"));
    Ok(rows)
}

#[tokio::test]
async fn every_post_can_be_repeated() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    let api = &world.api;
    let form = bank("026291800001191", IFSC);
    let account = api.create(CUSTOMER, &form).await?.account()?;
    let id = text(&account, "/id");
    api.wait_for(CUSTOMER, id, &["ACTIVE"], PATIENCE).await?;
    let own = format!("/customers/{CUSTOMER}/customer-accounts/{id}");
    let old = format!("/customers/{CUSTOMER}/bank-accounts");
    let mut waits = bank("026291800001190", IFSC);
    waits.push(("command", "validate"));
    for (n, (path, form)) in [
        (
            "/customers".to_owned(),
            vec![("object_reference_id", "cust0001")],
        ),
        (
            "/customers/cust0001".to_owned(),
            vec![("first_name", "Asha")],
        ),
        (accounts("cust0001"), waits.clone()),
        (format!("{own}/validate"), vec![]),
        (format!("{own}/validate"), vec![("wait_seconds", "0")]),
        (old.clone(), bank("1233943142", "ICIC0000009")),
        (format!("{old}/{id}/validate"), vec![]),
        (format!("{old}/{id}"), vec![("command", "delete")]),
    ]
    .into_iter()
    .enumerate()
    {
        let key = format!("key-{n}");
        let first = post(api, &path, &key, &form).await?.expect_status(200)?;
        // Its own work done, the worker writes down only what it learned of gateways: all else that changes then, the
        // repetition did.
        becomes(
            &world,
            "select count(*) from validations where state <> 'COMPLETED'",
            0,
        )
        .await?;
        let before = records(&world)?;
        let again = post(api, &path, &key, &form).await?.expect_status(200)?;
        assert_eq!(again.text, first.text, "{path}");
        assert_eq!(again.header(REPLAYED), Some("true"), "{path}");
        assert_eq!(records(&world)?, before, "{path} did something again");
    }
    assert_eq!(
        world.database.number("select count(*) from validations")?,
        6
    );
    Ok(())
}

#[tokio::test]
async fn a_call_that_dies_while_it_waits_is_answered_by_the_next() -> Result<()> {
    let mut world = World::start(Setup {
        apis: 2,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let form: Vec<_> = bank("026291800001191", IFSC)
        .into_iter()
        .chain([("command", "validate"), ("wait_seconds", "2")])
        .collect();
    let (one, two) = (world.api_at(0), world.api_at(1));
    let sent = form.clone();
    let waiting = tokio::spawn(async move { post(&one, &accounts(CUSTOMER), "dies", &sent).await });
    eventually(PATIENCE, "the commit", async || {
        let accounts = world
            .database
            .number("select count(*) from customer_accounts")?;
        Ok::<_, anyhow::Error>((accounts == 1).then_some(()))
    })
    .await?;
    world.apis[0].process.kill()?;
    assert!(waiting.await?.is_err(), "it was killed before it answered");
    let path = accounts(CUSTOMER);
    let running = post(&two, &path, "dies", &form).await?.expect_status(409)?;
    assert_eq!(running.json()["error_info"]["code"], "DUPLICATE_REQUEST");
    world.start_worker().await?;
    let answer = eventually(Duration::from_secs(30), "an answer", async || {
        let answer = post(&two, &path, "dies", &form).await?;
        Ok::<_, anyhow::Error>((answer.status == 200).then_some(answer))
    })
    .await?;
    assert_eq!(answer.clone().account()?["status"], "ACTIVE");
    let again = post(&two, &path, "dies", &form).await?.expect_status(200)?;
    assert_eq!(again.text, answer.text);
    assert_eq!(world.database.stored()?, [1, 1, 1]);
    assert_eq!(world.sandbox.drops().await?.total, 1);
    Ok(())
}

#[tokio::test]
async fn work_and_record_are_stored_together_or_not_at_all() -> Result<()> {
    let world = World::start(Setup {
        apis: 1,
        workers: 0,
        proxies: true,
        ..Setup::default()
    })
    .await?;
    let api = &world.api;
    // Postgres breaks again and again while calls are under way; each is sent until it is answered.
    let breaking = async {
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            world.proxies()?.postgres.cut();
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.proxies()?.postgres.restore();
        }
        anyhow::Ok(())
    };
    let answered = async |n: u64| {
        let (key, number) = (format!("broken-{n}"), format!("420000{n:02}"));
        let form = bank(&number, IFSC);
        eventually(PATIENCE, "an answer", async || {
            tokio::time::sleep(Duration::from_millis(n * 17 % 300)).await;
            let answer = post(api, &accounts(CUSTOMER), &key, &form).await?;
            // Only that there is no Postgres now, or that the call before is not over, may be said instead.
            assert!([200, 409, 503].contains(&answer.status), "{}", answer.text);
            anyhow::Ok((answer.status == 200).then_some(answer))
        })
        .await
    };
    let calls = try_join_all((0..40).map(async |n| answered(n).await?.accounts()));
    let (broken, made) = tokio::try_join!(breaking, calls)?;
    let () = broken;
    assert_eq!(world.database.stored()?[1], 40);
    for (n, made) in (0..).zip(made) {
        let again = answered(n).await?;
        assert_eq!(again.header(REPLAYED), Some("true"), "{}", again.text);
        assert_eq!(ids(&again.accounts()?), ids(&made));
    }
    Ok(())
}
