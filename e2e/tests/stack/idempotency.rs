//! Contract, *Idempotency-Key*: repeating a call changes nothing and returns the first reply.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{Api, HttpReply, Setup, TIMEOUT, TestStack, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::requests::{bank, banks, becomes, ids};

const CUSTOMER: &str = "customer_1122";
const IFSC: &str = "YESB0000262";
const KEY: &str = "Idempotency-Key";
const REPLAYED: &str = "idempotent-replayed";

async fn post(api: &Api, path: &str, key: &str, form: &[(&str, &str)]) -> Result<HttpReply> {
    let call = api.call(Method::POST, path).header(KEY, key).form(form);
    api.send(call).await
}

fn accounts(customer: &str) -> String {
    format!("/customers/{customer}/accounts")
}

#[tokio::test]
async fn a_replay_is_the_first_reply_byte_for_byte() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let api = &stack.api;
    let form = bank("026291800001191", IFSC);
    let path = accounts(CUSTOMER);
    let first = post(api, &path, "order-17", &form)
        .await?
        .expect_status(200)?;
    assert_eq!(first.header(REPLAYED), None);
    let id = text(&first.json(), "/id").to_owned();
    api.wait_for(CUSTOMER, &id, &["ACTIVE"], TIMEOUT).await?;
    let again = post(api, &path, "order-17", &form)
        .await?
        .expect_status(200)?;
    assert_eq!(again.text, first.text, "although the account is ACTIVE now");
    assert_eq!(again.header(REPLAYED), Some("true"));
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));

    // Each of these is a different call.
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
    // Another merchant's equal key is a different key.
    let stranger = api.with_key(&stack.issue_key("stranger")?);
    let theirs = post(&stranger, &path, "order-17", &form).await?.account()?;
    assert_ne!(text(&theirs, "/id"), id);
    assert_eq!(
        stack
            .database
            .number("select count(*) from customer_accounts")?,
        2
    );
    // The table holds no part of the key, the body or the reply in plain text.
    let dump = stack
        .database
        .texts("select r::text from idempotency_records r")?;
    assert_eq!(dump.len(), 2);
    assert!(!dump.concat().contains("order-17") && !dump.concat().contains("0262918"));

    assert_eq!(
        stack.database.number(
            "select count(*) from idempotency_records
             where expires_at between now() + interval '23 hours 58 minutes' and now() + interval '24 hours'"
        )?,
        2
    );
    // After its expiry the key is unused.
    stack
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
async fn records_stay_small_and_replays_exact_however_large_the_replies() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let api = &stack.api;
    let send = async |key: &str, body: &Value| {
        let call = api.creation(CUSTOMER).header(KEY, key).json(body);
        api.send(call).await?.expect_status(200)
    };
    let bytes = || {
        stack.database.number(
            "select coalesce(sum(pg_column_size(r.*)), 0)::bigint from idempotency_records r",
        )
    };
    let mut body = banks((0..40).map(|n| format!("430000{n:02}")));
    for (name, text) in [("zeta", "\u{2603}"), ("b", "\u{4e2d}"), ("aa", "\"/\\")] {
        body["metadata"][name] = text.repeat(160).into();
    }
    // New accounts are recorded by their ids.
    let created = send("created", &body).await?;
    assert!(created.text.len() > 40 * 2_000);
    assert!(bytes()? < 2_000, "{}", bytes()?);
    let id = created.clone().accounts()?[7]["id"].clone();
    let validated = async || {
        let none = "select count(*) from validations where state <> 'COMPLETED'";
        becomes(&stack, none, 0).await
    };
    validated().await?;
    let again = send("created", &body).await?;
    assert_eq!(again.text, created.text);

    // The record of existing accounts leaves out their metadata.
    body["bank_account_details"][0]["account_number"] = "43000099".into();
    let mixed = send("mixed", &body).await?;
    assert!(mixed.text.len() > 40 * 2_000);
    assert!(bytes()? < 40 * 1_500, "{}", bytes()?);
    let pinned = json!({"gateway_id": 70});
    let own = format!(
        "/customers/{CUSTOMER}/customer-accounts/{}/validate",
        id.as_str().unwrap_or_default()
    );
    let call = api.call(Method::POST, &own).json(&pinned);
    api.send(call).await?.expect_status(200)?;
    validated().await?;
    for _ in 0..2 {
        let again = send("mixed", &body).await?;
        assert_eq!(again.text, mixed.text);
        assert_eq!(again.header(REPLAYED), Some("true"));
    }
    body["bank_account_details"][0]["account_number"] = "43000000".into();
    let again = send("created", &body).await?;
    assert_eq!(
        again.text, created.text,
        "although its gateway is another one now"
    );
    assert_eq!(again.header(REPLAYED), Some("true"));
    Ok(())
}

#[tokio::test]
async fn a_repetition_whose_accounts_cannot_be_read_does_not_say_that_nothing_was_stored()
-> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let (path, form) = (accounts(CUSTOMER), bank("026291800001191", IFSC));
    let create = || post(&stack.api, &path, "create", &form);
    let first = create().await?.expect_status(200)?;
    let rename = |from: &str, to: &str| {
        let rename = format!("alter table {from} rename to {to}");
        stack.database.execute(&rename)
    };
    rename("customer_accounts", "hidden")?;
    let lost = create().await?.expect_status(503)?;
    let message = text(&lost.json(), "/error_info/developer_message").to_owned();
    assert!(message.contains("may have been stored"), "{message}");
    rename("hidden", "customer_accounts")?;
    assert_eq!(create().await?.expect_status(200)?.text, first.text);
    Ok(())
}

#[tokio::test]
async fn a_rejected_call_can_be_corrected_under_the_same_key() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let path = accounts(CUSTOMER);
    let bad = bank("026291800001191", "nonsense");
    post(&stack.api, &path, "k1", &bad)
        .await?
        .expect_status(400)?;
    let good = bank("026291800001191", IFSC);
    post(&stack.api, &path, "k1", &good)
        .await?
        .expect_status(200)?;
    for bad in ["", "two words", "\u{e9}", &"k".repeat(256)] {
        let call = stack
            .api
            .call(Method::POST, &path)
            .header(KEY, bad)
            .form(&good);
        let reply = stack.api.send(call).await?.expect_status(400)?;
        assert_eq!(text(&reply.json(), "/error_info/fields/0/field_name"), KEY);
    }
    post(&stack.api, &path, &"k".repeat(255), &good)
        .await?
        .expect_status(200)?;
    Ok(())
}

#[tokio::test]
async fn a_hundred_equal_calls_at_two_apis_run_once() -> Result<()> {
    let stack = TestStack::start(Setup {
        apis: 2,
        ..Setup::default()
    })
    .await?;
    let apis = [stack.api_at(0), stack.api_at(1)];
    let body = banks((0..5).map(|n| format!("410000{n:02}")));
    let calls = (0..100).map(|n| {
        let call = apis[n % 2]
            .creation(CUSTOMER)
            .header(KEY, "same")
            .json(&body);
        apis[n % 2].send(call)
    });
    let replies = try_join_all(calls).await?;
    let done: Vec<&HttpReply> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert!(done.iter().all(|reply| reply.text == done[0].text));
    let first = done.iter().filter(|reply| reply.header(REPLAYED).is_none());
    assert_eq!(first.count(), 1);
    for reply in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!(reply.status, 409, "{}", reply.text);
        assert!(reply.text.contains("idempotency_in_progress"));
        assert!(reply.header("retry-after").is_some());
    }
    assert_eq!(stack.database.row_counts()?, [1, 5, 5]);
    Ok(())
}

/// Returns every row except the workers' reports on gateways, and the counts of encryptions that the API stores in the background.
fn records(stack: &TestStack) -> Result<Vec<String>> {
    let mut rows = stack.database.dump()?;
    rows.retain(|row| !row.starts_with("gateway_") && !row.starts_with("encryption_counts"));
    Ok(rows)
}

#[tokio::test]
async fn every_post_can_be_repeated() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let api = &stack.api;
    let form = bank("026291800001191", IFSC);
    let account = api.create(CUSTOMER, &form).await?.account()?;
    let id = text(&account, "/id");
    api.wait_for(CUSTOMER, id, &["ACTIVE"], TIMEOUT).await?;
    let own = format!("/customers/{CUSTOMER}/customer-accounts/{id}");
    let old = format!("/customers/{CUSTOMER}/bank-accounts");
    let mut waits = bank("026291800001190", IFSC);
    waits.push(("command", "validate"));
    let mut at_once = bank("026291800001189", IFSC);
    at_once.extend([("command", "validate"), ("wait_seconds", "0")]);
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
        (accounts("cust0001"), at_once),
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
        // After its work the worker writes only its reports on gateways: the repetition made every other change.
        becomes(
            &stack,
            "select count(*) from validations where state <> 'COMPLETED'",
            0,
        )
        .await?;
        let before = records(&stack)?;
        let again = post(api, &path, &key, &form).await?.expect_status(200)?;
        assert_eq!(again.text, first.text, "{path}");
        assert_eq!(again.header(REPLAYED), Some("true"), "{path}");
        assert_eq!(records(&stack)?, before, "{path} did something again");
    }
    assert_eq!(
        stack.database.number("select count(*) from validations")?,
        7
    );
    Ok(())
}

#[tokio::test]
async fn a_call_that_died_while_waiting_is_completed_by_its_repetition() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        apis: 2,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let form: Vec<_> = bank("026291800001191", IFSC)
        .into_iter()
        .chain([("command", "validate"), ("wait_seconds", "6")])
        .collect();
    let (one, two) = (stack.api_at(0), stack.api_at(1));
    let sent = form.clone();
    let waiting = tokio::spawn(async move { post(&one, &accounts(CUSTOMER), "dies", &sent).await });
    eventually(TIMEOUT, "the commit", async || {
        let accounts = stack
            .database
            .number("select count(*) from customer_accounts")?;
        Ok::<_, anyhow::Error>((accounts == 1).then_some(()))
    })
    .await?;
    stack.apis[0].process.kill()?;
    assert!(waiting.await?.is_err(), "it was killed before it answered");
    let path = accounts(CUSTOMER);
    let running = post(&two, &path, "dies", &form).await?.expect_status(409)?;
    assert_eq!(running.json()["error_info"]["code"], "DUPLICATE_REQUEST");
    stack.start_worker().await?;
    let reply = eventually(TIMEOUT, "an answer", async || {
        let reply = post(&two, &path, "dies", &form).await?;
        Ok::<_, anyhow::Error>((reply.status == 200).then_some(reply))
    })
    .await?;
    assert_eq!(reply.clone().account()?["status"], "ACTIVE");
    let again = post(&two, &path, "dies", &form).await?.expect_status(200)?;
    assert_eq!(again.text, reply.text);
    assert_eq!(stack.database.row_counts()?, [1, 1, 1]);
    assert_eq!(stack.sandbox.drops().await?.total, 1);
    Ok(())
}

#[tokio::test]
async fn a_reply_that_cannot_be_recorded_is_not_sent() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let api = &stack.api;
    let form = bank("026291800001191", IFSC);
    let created = post(api, &accounts(CUSTOMER), "create", &form)
        .await?
        .account()?;
    let id = text(&created, "/id");
    let path = format!("/customers/{CUSTOMER}/customer-accounts/{id}/validate");
    let validate = || post(api, &path, "validate", &[("wait_seconds", "0")]);
    stack.database.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$;
         create trigger refuse before update on idempotency_records for each row execute function refuse()",
    )?;
    let lost = validate().await?.expect_status(503)?;
    let message = text(&lost.json(), "/error_info/developer_message").to_owned();
    assert!(message.contains("may have been stored"), "{message}");
    stack
        .database
        .execute("drop trigger refuse on idempotency_records")?;
    let first = eventually(TIMEOUT, "the reply of a repetition", async || {
        let reply = validate().await?;
        anyhow::Ok((reply.status == 200).then_some(reply))
    })
    .await?;
    let again = validate().await?.expect_status(200)?;
    assert_eq!(again.text, first.text);
    assert_eq!(again.header(REPLAYED), Some("true"));
    Ok(())
}

#[tokio::test]
async fn work_and_idempotency_record_are_stored_in_one_transaction() -> Result<()> {
    let stack = TestStack::start(Setup {
        apis: 1,
        workers: 0,
        proxies: true,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    // Postgres fails repeatedly while calls are open; each call is repeated until it gets a reply.
    let breaking = async {
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            stack.proxies()?.postgres.cut();
            tokio::time::sleep(Duration::from_millis(100)).await;
            stack.proxies()?.postgres.restore();
        }
        anyhow::Ok(())
    };
    let answered = async |n: u64| {
        let (key, number) = (format!("broken-{n}"), format!("420000{n:02}"));
        let form = bank(&number, IFSC);
        eventually(TIMEOUT, "an answer", async || {
            tokio::time::sleep(Duration::from_millis(n * 17 % 300)).await;
            let reply = post(api, &accounts(CUSTOMER), &key, &form).await?;
            // Other replies may only report that Postgres is unreachable, or that the first call is still open.
            assert!([200, 409, 503].contains(&reply.status), "{}", reply.text);
            anyhow::Ok((reply.status == 200).then_some(reply))
        })
        .await
    };
    let calls = try_join_all((0..40).map(async |n| answered(n).await?.accounts()));
    let (broken, made) = tokio::try_join!(breaking, calls)?;
    let () = broken;
    assert_eq!(stack.database.row_counts()?[1], 40);
    for (n, made) in (0..).zip(made) {
        let again = answered(n).await?;
        assert_eq!(again.header(REPLAYED), Some("true"), "{}", again.text);
        assert_eq!(ids(&again.accounts()?), ids(&made));
    }
    Ok(())
}
