//! `khata account`.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};
use khata_e2e::client::text;
use khata_e2e::{Behaviour, GatewayAccount, Setup, TIMEOUT, TestStack, eventually};
use serde_json::{Value, json};

use super::{CACHE_TTL, SLACK, assert_fails, audited, document_of, without_workers};
use crate::requests::{CONSENT, bank, named};

const NUMBER: &str = "918273645546372819";
const NAME: &str = "Zebulon Quixote";
const VPA_USER: &str = "zebulon.quixote77";
const REFERENCE: &str = "cust-zq-4711";

/// Returns the output of `account show` as JSON and as text. Neither may contain personal data.
fn shown(stack: &TestStack, id: &str) -> Result<(Value, String)> {
    let document = document_of(stack, &["account", "show", id])?;
    let page = stack.command(&["account", "show", id])?;
    for quiet in [NUMBER, "Zebulon", "Quixote", VPA_USER, REFERENCE] {
        for output in [document.to_string(), page.clone()] {
            let found = output.to_lowercase().contains(&quiet.to_lowercase());
            assert!(!found, "{quiet}: {output}");
        }
    }
    Ok((document, page))
}

fn time(value: &Value, pointer: &str) -> DateTime<Utc> {
    let text = text(value, pointer);
    assert!(text.ends_with('Z') && text.len() == 20, "{pointer}: {text}");
    text.parse().unwrap()
}

/// Waits until the account's newest validation is in this state.
async fn wait_for(stack: &TestStack, id: &str, state: &str) -> Result<(Value, String)> {
    eventually(
        TIMEOUT,
        &format!("the validation being {state}"),
        async || {
            let (document, page) = shown(stack, id)?;
            let newest = document["validations"].as_array().unwrap().last().cloned();
            anyhow::Ok((text(&newest.unwrap(), "/state") == state).then_some((document, page)))
        },
    )
    .await
}

#[tokio::test]
async fn a_misconfigured_account_is_explained_and_retried_after_the_correction() -> Result<()> {
    let stack = TestStack::start(Setup {
        traces: true,
        ..Setup::default()
    })
    .await?;
    let base_url = stack.sandbox.cashfree();
    let right = GatewayAccount {
        base_url: &base_url,
        ..GatewayAccount::default()
    };
    stack.set_gateway_account(&GatewayAccount {
        credentials: r#"{"client_id":"sandbox_client","client_secret":"not_this_one"}"#,
        ..right
    })?;
    let form = named(NUMBER, "AABF0008032", NAME);
    let request = stack.api.creation(REFERENCE).form(&form);
    let reply = stack
        .api
        .send(request.header("x-routing-id", "order-4711"))
        .await?;
    let trace_id = reply.trace_id().unwrap();
    let account = reply.account()?;
    let id = text(&account, "/id");

    wait_for(&stack, id, "WAITING").await?;
    // The wait of half a minute could end during the test.
    let postponed = "update validations set due_at = now() + interval '1 hour'";
    stack.database.execute(postponed)?;
    let (waiting, page) = shown(&stack, id)?;
    assert_eq!(waiting["masked"], "XXXXXXX2819");
    assert_eq!(
        (&waiting["status"], &waiting["merchant"]),
        (&"CREATED".into(), &"e2e".into())
    );
    assert_eq!(waiting["customer_id"], account["customer_id"]);
    assert_eq!(
        (text(&waiting, "/trace_id"), text(&waiting, "/routing_id")),
        (trace_id.as_str(), "order-4711")
    );
    assert_eq!(waiting["validations_complete"], true);
    let attempt = &waiting["validations"][0]["attempts"][0];
    assert_eq!(attempt["number"], 1);
    for (name, is) in [
        ("/gateway", "CASHFREE"),
        ("/gateway_reference_id", "cashfree_e2e"),
        ("/method", "PENNY_DROP"),
        ("/choice", "first by priority 1"),
        ("/state", "SETTLED"),
        ("/class", "MISCONFIGURED"),
        ("/code", "authentication_failed"),
    ] {
        assert_eq!(text(attempt, name), is, "{attempt}");
    }
    assert!(attempt["latency_ms"].as_i64().is_some() && attempt["possible_double_drop"] == false);
    assert!(time(attempt, "/started_at") <= time(attempt, "/settled_at"));
    assert!(attempt["unlisted_code"] == false);
    let validation = &waiting["validations"][0];
    for nothing in ["name_match", "reused_from", "booked"] {
        assert!(validation[nothing].is_null(), "{nothing}: {validation}");
    }
    assert!(validation["fresh"] == false && validation["webhook_received"] == false);
    let look = time(&waiting, "/next/at");
    assert!(look > Utc::now() + Duration::from_secs(10), "{waiting}");
    let sentence = format!(
        "The next poll or attempt is due at {}",
        text(&waiting, "/next/at")
    );
    assert!(
        page.contains(&sentence) && page.contains("MISCONFIGURED"),
        "{page}"
    );

    // The workers report the health of a gateway about once a second.
    let trouble = eventually(TIMEOUT, "the issue being reported", async || {
        let (document, page) = shown(&stack, id)?;
        let trouble = document["next"]["troubles"][0].clone();
        anyhow::Ok((!trouble.is_null()).then_some((trouble, page)))
    })
    .await?;
    assert_eq!(
        (
            text(&trouble.0, "/kind"),
            text(&trouble.0, "/code"),
            text(&trouble.0, "/gateway")
        ),
        (
            "MISCONFIGURED",
            "authentication_failed",
            "CASHFREE cashfree_e2e"
        )
    );
    let says = "CASHFREE cashfree_e2e: MISCONFIGURED authentication_failed since";
    assert!(trouble.1.contains(says), "{}", trouble.1);

    stack.set_gateway_account(&right)?;
    let (document, _) = shown(&stack, id)?;
    assert_eq!(document["next"]["troubles"], json!([]), "reset at once");
    tokio::time::sleep(CACHE_TTL + SLACK).await;
    let began = Instant::now();
    let retried = document_of(&stack, &["account", "retry", id])?;
    assert_eq!(retried["was"], "WAITING");
    let active = stack
        .api
        .wait_for(REFERENCE, id, &["ACTIVE"], TIMEOUT)
        .await?;
    eprintln!("ACTIVE {:?} after it was made due", began.elapsed());
    assert!(Utc::now() < look, "before its own time: {active}");
    assert_eq!(
        active["validation"]["name_at_bank"],
        NAME.to_uppercase(),
        "there is a name that must not be shown"
    );

    let (over, page) = shown(&stack, id)?;
    assert!(
        page.contains("VALID since") && over["next"]["at"].is_null(),
        "{page}"
    );
    assert_eq!(over["validations"][0]["outcome"], "VALID");
    assert_eq!(
        over["validations"][0]["name_match"],
        json!({"score": 100, "result": "DIRECT_MATCH"})
    );
    assert!(over["validations"][0]["gateway_name_match_score"].is_number());
    assert!(
        page.contains("100 DIRECT_MATCH; the gateway's own: "),
        "{page}"
    );
    assert_eq!(
        over["validations"][0]["attempts"].as_array().unwrap().len(),
        2
    );
    assert!(!text(&over, "/validations/0/attempts/1/gateway_reference").is_empty());
    // By any other id that an operator may have.
    let uuid = stack
        .database
        .texts("select id from validations")?
        .remove(0);
    for other in [
        text(&over, "/validations/0/id"),
        text(&over, "/validations/0/attempts/0/reference"),
        &uuid,
    ] {
        for merchant in [&["--merchant", "e2e"][..], &[]] {
            let same = document_of(&stack, &[&["account", "show", other], merchant].concat())?;
            assert_eq!(same["id"], id, "{other}");
        }
    }
    let says = "is ACTIVE: there is nothing to retry";
    assert_fails(&stack, &["account", "retry", id], 1, says)?;
    let log = audited(&stack, "account.%")?;
    assert_eq!(
        log.len(),
        1,
        "only commands that changed something: {log:?}"
    );
    assert_eq!(
        (text(&log[0], "/0"), text(&log[0], "/1")),
        ("account.retry", id)
    );
    assert_eq!(log[0][2]["validation_id"], retried["validation_id"]);
    assert_eq!(stack.sandbox.drops().await?.total, 1);

    let vpa = format!("{VPA_USER}@okpsp");
    let form: Vec<_> = CONSENT.into_iter().chain([("vpa", vpa.as_str())]).collect();
    let upi = stack.api.create(REFERENCE, &form).await?.account()?;
    let (upi, _) = wait_for(&stack, text(&upi, "/id"), "COMPLETED").await?;
    assert_eq!(
        (&upi["kind"], &upi["masked"]),
        (&"UPI".into(), &"ze***@okpsp".into())
    );
    Ok(())
}

#[tokio::test]
async fn a_validation_in_the_queue_of_its_gateway_is_explained_and_continues_without_the_limit()
-> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let limit = |calls: u32| {
        let settings = format!(r#"{{"poll_ms":[0,500],"calls_per_minute":{calls}}}"#);
        let set = [
            "gateway",
            "set",
            "--merchant",
            "e2e",
            "--gateway",
            "CASHFREE",
        ];
        let what = ["--reference-id", "cashfree_e2e", "--settings", &settings];
        stack.command(&[&set[..], &what].concat()).map(drop)
    };
    limit(1)?;
    let mut ids = Vec::new();
    for number in ["50000001", "50000002"] {
        let account = stack
            .api
            .create(REFERENCE, &bank(number, "AABF0008032"))
            .await?
            .account()?;
        ids.push(text(&account, "/id").to_owned());
    }
    // The gateway accepts one call in this minute; its result is polled in a later one.
    for id in &ids {
        let page = eventually(TIMEOUT, "a place in the queue", async || {
            let (document, page) = shown(&stack, id)?;
            let is_queued = document["validations"][0]["queued_at"].is_string();
            anyhow::Ok(is_queued.then_some(page))
        })
        .await?;
        let says = "Waits in the queue of CASHFREE cashfree_e2e, which limits its calls";
        assert!(page.contains(says), "{page}");
    }
    limit(0)?;
    for id in &ids {
        stack
            .api
            .wait_for(REFERENCE, id, &["ACTIVE"], TIMEOUT)
            .await?;
    }
    assert_eq!(stack.sandbox.drops().await?.total, 2);
    Ok(())
}

#[tokio::test]
async fn only_open_unleased_validations_are_retried() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let other = stack.issue_key("other")?;
    stack
        .api
        .with_key(&other)
        .list("unknown", "")
        .await?
        .expect_status(404)?;
    let created = stack
        .api
        .create("open", &bank(NUMBER, "AABF0008032"))
        .await?
        .account()?;
    let id = text(&created, "/id");
    let retry = ["account", "retry", id];
    let show = ["account", "show", id];

    // Without workers the validation stays due until the next wake-up.
    let due_later = "select count(*) from validations where state = 'DUE' and due_at > now()";
    assert_eq!(stack.database.number(due_later)?, 1);
    assert_eq!(document_of(&stack, &retry)?["was"], "DUE");
    assert_eq!(stack.database.number(due_later)?, 0);
    let (due, _) = shown(&stack, id)?;
    assert!(
        text(&due, "/next/sentence").contains("if this does not change, no worker is running"),
        "{due}"
    );
    assert!(due["trace_id"].is_null() && due["routing_id"].is_null());

    stack.database.execute(
        "update validations set state = 'LEASED', lease_token = gen_random_uuid(), leased_until = now() + interval '1 h'",
    )?;
    assert_fails(&stack, &retry, 1, "a worker holds account")?;
    let (held, page) = shown(&stack, id)?;
    let until = text(&held, "/validations/0/leased_until");
    assert!(
        page.contains(&format!("A worker holds the lease until {until}")),
        "{page}"
    );

    for (merchant, says) in [("other", "omit --merchant"), ("unknown", "does not exist")] {
        for command in [&retry, &show] {
            assert_fails(
                &stack,
                &[&command[..], &["--merchant", merchant]].concat(),
                1,
                says,
            )?;
        }
    }
    let own = document_of(&stack, &[&show[..], &["--merchant", "e2e"]].concat())?;
    assert_eq!(own["id"], id);
    let mut unknown = id.to_owned();
    unknown.replace_range(id.len() - 2.., if id.ends_with("00") { "01" } else { "00" });
    assert_fails(
        &stack,
        &["account", "show", &unknown],
        1,
        "no merchant has account",
    )?;
    assert_fails(
        &stack,
        &["account", "show", "banh_x"],
        2,
        "not an account id",
    )?;
    let trace = "6c2efeb0843458774421105366910e7e";
    let advice = format!("/trace/{trace}");
    assert_fails(&stack, &["account", "show", trace], 1, &advice)?;
    let of_merchant = [&["account", "show", trace], &["--merchant", "e2e"][..]].concat();
    assert_fails(&stack, &of_merchant, 1, &advice)?;

    stack
        .database
        .execute("update customer_accounts set status = 'DELETED', deleted_at = now()")?;
    assert_fails(&stack, &retry, 1, "is deleted")?;
    let (deleted, _) = shown(&stack, id)?;
    assert_eq!(deleted["status"], "DELETED");
    assert!(
        text(&deleted, "/next/sentence").contains("only cancels"),
        "{deleted}"
    );
    assert!(audited(&stack, "account.%")?.len() == 1);
    Ok(())
}

#[tokio::test]
async fn a_side_field_that_cannot_be_read_costs_nothing_and_is_named() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let odd = Behaviour {
        odd_fields: true,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(odd).await?;
    let form = named(NUMBER, "AABF0008032", NAME);
    let account = stack.api.create(REFERENCE, &form).await?.account()?;
    let id = text(&account, "/id");
    let active = stack
        .api
        .wait_for(REFERENCE, id, &["ACTIVE"], TIMEOUT)
        .await?;
    for nothing in ["name_at_bank", "name_match", "utr"] {
        assert!(active["validation"][nothing].is_null(), "{active}");
    }
    let (document, page) = shown(&stack, id)?;
    assert_eq!(
        document["validations"][0]["attempts"][0]["not_understood"],
        json!(["name_at_bank", "name_match_score", "utr"])
    );
    let says = "response not understood: fields name_at_bank, name_match_score, utr";
    assert!(page.contains(says), "{page}");
    assert_eq!(stack.sandbox.drops().await?.total, 1);
    Ok(())
}
