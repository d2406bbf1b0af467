//! Contract, *create and validate*, *validate (again)* and *delete*: calls that wait for an outcome, and what ends one.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{Behaviour, HttpReply, Setup, TIMEOUT, TestStack, eventually};
use reqwest::Method;
use serde_json::json;

use crate::requests::{CONSENT, bank, becomes, ids};

const CUSTOMER: &str = "customer_1122";
const GOOD: &str = "026291800001191";
const BAD: &str = "026291800001190";
const IFSC: &str = "YESB0000262";
const VALIDATE: (&str, &str) = ("command", "validate");
/// Longer than the default, for a busy machine: the wait ends with the outcome.
const WAIT: (&str, &str) = ("wait_seconds", "18");
const DUMMY: (&str, &str) = ("gateway_id", "100");

async fn post(
    stack: &TestStack,
    account: &str,
    end: &str,
    form: &[(&str, &str)],
) -> Result<HttpReply> {
    let path = format!("/customers/{CUSTOMER}/customer-accounts/{account}{end}");
    let call = stack.api.call(Method::POST, &path).form(form);
    stack.api.send(call).await
}

#[tokio::test]
async fn a_validating_call_returns_the_outcome() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let api = &stack.api;
    let mut form = bank(GOOD, IFSC);
    form.extend([VALIDATE, WAIT]);
    let active = api.create(CUSTOMER, &form).await?.account()?;
    assert_eq!(active["status"], "ACTIVE", "{active}");
    assert_eq!(active["validation"]["method"], "PENNY_DROP");
    assert!(active["validation"]["failure"].is_null());
    assert!(active["last_validated"].is_string());
    let seen = api.get(CUSTOMER, text(&active, "/id")).await?.account()?;
    assert_eq!(seen, active, "get shows what the call answered");

    let both = json!({ "command": "validate", "wait_seconds": 18, "bank_account_details": [
        { "ifsc": IFSC, "account_number": BAD },
        { "ifsc": IFSC, "account_number": GOOD },
    ]});
    let answered = api.create_json(CUSTOMER, &both).await?.accounts()?;
    assert_eq!(answered[0]["status"], "FAILURE");
    assert_eq!(
        answered[0]["validation"]["failure"]["code"],
        "INVALID_ACCOUNT"
    );
    assert_eq!(answered[1], active, "the existing account in its place");
    Ok(())
}

#[tokio::test]
async fn a_call_waits_for_its_own_time_at_most() -> Result<()> {
    let stack = TestStack::start(Setup {
        alone: true,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    // The first validation takes longer.
    let mut form = bank("1234567800", IFSC);
    form.extend([VALIDATE, DUMMY, WAIT]);
    let first = api.create(CUSTOMER, &form).await?.account()?;
    assert_eq!(first["status"], "ACTIVE", "{first}");
    // DUMMY: 95 stays PENDING forever, 96 gives no result.
    for (number, seconds, wanted) in [
        ("1234567895", "5", "PENDING"),
        ("1234567896", "5", "CREATED"),
        ("2234567895", "0", "CREATED"),
    ] {
        let mut form = bank(number, IFSC);
        form.extend([VALIDATE, DUMMY, ("wait_seconds", seconds)]);
        let began = Instant::now();
        let account = api.create(CUSTOMER, &form).await?.account()?;
        let (took, wait) = (began.elapsed(), Duration::from_secs(seconds.parse()?));
        assert_eq!(account["status"], wanted, "{account}");
        // The default is 10 s.
        assert!(
            took >= wait && took < wait + Duration::from_secs(4),
            "{took:?}"
        );
        let validation = &account["validation"];
        let reason = text(validation, "/pending_reason");
        match (seconds, wanted) {
            ("0", _) => assert_eq!(reason, "QUEUED", "{account}"),
            (_, "PENDING") => assert_eq!(reason, "AWAITING_GATEWAY_RESULT", "{account}"),
            _ => assert_ne!(reason, "", "{account}"),
        }
        let next = text(validation, "/next_attempt_at");
        assert!(DateTime::parse_from_rfc3339(next).is_ok(), "{account}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wait_ends_when_the_outcome_is_known() -> Result<()> {
    let stack = TestStack::start(Setup {
        alone: true,
        ..Setup::default()
    })
    .await?;
    let mut late = Vec::new();
    for n in 0..20 {
        let number = format!("71234567{n:02}00");
        let mut form = bank(&number, IFSC);
        form.extend([VALIDATE, DUMMY, WAIT]);
        let account = stack.api.create(CUSTOMER, &form).await?.account()?;
        let answered = Utc::now();
        assert_eq!(account["status"], "ACTIVE");
        let settled = stack
            .database
            .texts("select max(completed_at)::text from validations")?;
        let settled = DateTime::parse_from_str(&settled[0], "%Y-%m-%d %H:%M:%S%.f%#z")?.to_utc();
        late.push((answered - settled).num_milliseconds());
    }
    late.sort_unstable();
    // On a busy machine: half of the replies arrive far below the cost of a lost notification.
    assert!(late[10] <= 1_000, "milliseconds after the settle: {late:?}");
    Ok(())
}

#[tokio::test]
async fn thousands_of_waiting_calls_use_no_thread_or_connection_each() -> Result<()> {
    const CALLS: u32 = 2_500;
    const ARRIVAL_INTERVAL: Duration = Duration::from_millis(2);
    const ACCOUNTS: u32 = 20;
    rlimit::increase_nofile_limit(4 * u64::from(CALLS))?;
    let stack = TestStack::start(Setup {
        alone: true,
        workers: 0,
        // The default depends on the memory limit of the control group.
        service_settings: &[("KHATA_API_CONNECTIONS", "4096")],
        ..Setup::default()
    })
    .await?;
    let pid = stack.apis[0].process.pid();
    let threads =
        || -> Result<usize> { Ok(std::fs::read_dir(format!("/proc/{pid}/task"))?.count()) };
    // Few accounts, so that most calls join a running validation: the test measures the waiting.
    let calls = (0..CALLS).map(|n| {
        let (api, number) = (stack.api.clone(), format!("81234567{:02}00", n % ACCOUNTS));
        tokio::spawn(async move {
            // Arrivals stay below what the API stores in a debug build, because the test is about waiting.
            tokio::time::sleep(ARRIVAL_INTERVAL * n).await;
            let mut form = bank(&number, IFSC);
            form.extend([VALIDATE, DUMMY, ("wait_seconds", "30")]);
            let call = api.creation(CUSTOMER).form(&form).timeout(TIMEOUT);
            api.send(call).await?.account()
        })
    });
    let waiting: Vec<_> = calls.collect();
    eventually(TIMEOUT, "everybody waiting", async || {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok::<_, anyhow::Error>((open >= CALLS as usize).then_some(()))
    })
    .await?;
    // Other calls get replies while all these calls wait.
    eventually(TIMEOUT, "a list at once", async || {
        let began = Instant::now();
        let listed = stack.api.list(CUSTOMER, "").await;
        let at_once = began.elapsed() < Duration::from_millis(100);
        Ok::<_, anyhow::Error>((at_once && listed?.status == 200).then_some(()))
    })
    .await?;
    assert!(threads()? < 60, "{} threads", threads()?);
    let connections = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'khata-api'";
    assert!(stack.database.number(connections)? <= 7);
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    assert!(open >= CALLS as usize, "{open} open: they wait no longer");
    let mut stack = stack;
    stack.start_worker().await?;
    let accounts = try_join_all(waiting).await?;
    for account in accounts {
        assert_eq!(account?["status"], "ACTIVE");
    }
    Ok(())
}

#[tokio::test]
async fn a_stopping_api_replies_to_waiting_calls() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let api = stack.api.clone();
    let waiting = tokio::spawn(async move {
        let mut form = bank(GOOD, IFSC);
        form.extend([VALIDATE, ("wait_seconds", "30")]);
        api.create(CUSTOMER, &form).await?.account()
    });
    becomes(&stack, "select count(*) from customer_accounts", 1).await?;
    let began = Instant::now();
    stack.apis[0].process.terminate()?;
    let account = waiting.await??;
    assert_eq!(account["status"], "CREATED");
    let status = stack.apis[0].process.wait(TIMEOUT).await?;
    assert!(status.success(), "{status}");
    // The call would have waited for 30 s.
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn a_waiting_call_gets_a_reply_without_postgres() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        proxies: true,
        ..Setup::default()
    })
    .await?;
    let api = stack.api.clone();
    let waiting = tokio::spawn(async move {
        let mut form = bank(GOOD, IFSC);
        form.extend([VALIDATE, ("wait_seconds", "10")]);
        api.create(CUSTOMER, &form).await?.account()
    });
    // The API publishes the wake-up when it knows that the account is stored.
    let awaited = stack.queues.awaited();
    eventually(TIMEOUT, "the wake-up", async || {
        anyhow::Ok((stack.queues.depth(&awaited).await? == 1).then_some(()))
    })
    .await?;
    stack.proxies()?.postgres.cut();
    let account = waiting.await??;
    assert_eq!(
        account["status"], "CREATED",
        "it is stored, so it is answered"
    );
    stack.proxies()?.postgres.restore();
    Ok(())
}

#[tokio::test]
async fn an_account_is_validated_again() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let mut form = bank(GOOD, IFSC);
    form.extend([VALIDATE, WAIT]);
    let first = stack.api.create(CUSTOMER, &form).await?.account()?;
    let id = text(&first, "/id");
    stack
        .sandbox
        .set_behaviour(Behaviour {
            pending_ms: 3_000,
            ..Behaviour::default()
        })
        .await?;
    // The account is PENDING meanwhile, and a second call joins the first.
    let at_once = post(&stack, id, "/validate", &[("wait_seconds", "0")])
        .await?
        .account()?;
    assert_eq!(at_once["status"], "PENDING", "{at_once}");
    assert_eq!(at_once["last_validated"], first["last_validated"]);
    let joined = post(&stack, id, "/validate", &[WAIT]).await?.account()?;
    assert_eq!(joined["status"], "ACTIVE", "{joined}");
    assert_ne!(joined["validation"]["id"], first["validation"]["id"]);
    assert_eq!(
        stack.database.number("select count(*) from validations")?,
        2
    );
    assert_eq!(stack.sandbox.drops().await?.total, 2);
    // With another gateway, by JSON.
    let path = format!("/customers/{CUSTOMER}/customer-accounts/{id}/validate");
    let call = stack
        .api
        .call(Method::POST, &path)
        .json(&json!({ "gateway_id": 100, "wait_seconds": 18 }));
    let dummy = stack.api.send(call).await?.account()?;
    assert_eq!(dummy["gateway_id"], 100);
    assert_eq!(dummy["validation"]["gateway_id"], 100);
    assert_eq!(stack.sandbox.drops().await?.total, 2);
    for (form, field) in [
        (&[("wait_seconds", "31")][..], "wait_seconds"),
        (&[("gateway_id", "x")], "gateway_id"),
        (&[("consent.obtained", "true")], "consent.purpose"),
        (&[("fresh", "yes")], "fresh"),
    ] {
        let reply = post(&stack, id, "/validate", form)
            .await?
            .expect_status(400)?;
        assert_eq!(reply.json()["error_info"]["fields"][0]["field_name"], field);
    }
    let unknown = post(&stack, id, "/validate", &[("gateway_id", "23")]).await?;
    assert_eq!(unknown.json()["error_info"]["code"], "GATEWAY_NOT_FOUND");
    Ok(())
}

#[tokio::test]
async fn a_failed_account_can_become_active() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let mut form = bank(BAD, IFSC);
    form.extend([VALIDATE, WAIT]);
    let failed = stack.api.create(CUSTOMER, &form).await?.account()?;
    assert_eq!(failed["status"], "FAILURE", "{failed}");
    assert_eq!(failed["validation"]["failure"]["code"], "INVALID_ACCOUNT");
    let id = text(&failed, "/id");
    let again = [DUMMY, ("wait_seconds", "0")];
    let pending = post(&stack, id, "/validate", &again).await?.account()?;
    assert_eq!(pending["status"], "PENDING", "{pending}");
    let good = stack
        .api
        .wait_for(CUSTOMER, id, &["ACTIVE"], TIMEOUT)
        .await?;
    assert!(good["validation"]["failure"].is_null(), "{good}");
    assert_ne!(good["validation"]["id"], failed["validation"]["id"]);
    Ok(())
}

#[tokio::test]
async fn a_consent_given_later_counts() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let form = [("vpa", "success@upi"), VALIDATE, WAIT];
    let asked = stack.api.create(CUSTOMER, &form).await?.account()?;
    assert_eq!(asked["validation"]["method"], "VPA_LOOKUP", "{asked}");
    assert_eq!(stack.sandbox.drops().await?.total, 0);
    let id = text(&asked, "/id");
    // The consent stays with the account: the next validation needs none.
    for (drops, consent) in [(1, &CONSENT[..]), (2, &[])] {
        let form = [consent, &[WAIT]].concat();
        let paid = post(&stack, id, "/validate", &form).await?.account()?;
        assert_eq!(paid["validation"]["method"], "PENNY_DROP", "{paid}");
        assert_eq!(stack.sandbox.drops().await?.total, drops);
    }
    Ok(())
}

#[tokio::test]
async fn an_account_can_be_deleted_in_every_status() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let cases = [
        ("1234567896", "CREATED"),
        ("1234567895", "PENDING"),
        ("1234567800", "ACTIVE"),
        ("1234567891", "FAILURE"),
    ];
    let items = cases.map(|(number, _)| json!({ "ifsc": IFSC, "account_number": number }));
    let all = json!({ "gateway_id": 100, "bank_account_details": items });
    let accounts = stack.api.create_json(CUSTOMER, &all).await?.accounts()?;
    for ((_, status), account) in cases.iter().zip(&accounts) {
        let id = text(account, "/id");
        stack
            .api
            .wait_for(CUSTOMER, id, &[*status], TIMEOUT)
            .await?;
        let deleted = post(&stack, id, "", &[("command", "delete")]).await?;
        assert_eq!(deleted.account()?["status"], "DELETED");
        stack.api.get(CUSTOMER, id).await?.expect_status(404)?;
    }
    assert_eq!(stack.api.list(CUSTOMER, "").await?.json()["total"], 0);
    // Open validations end, and restore no deleted account.
    let open = "select count(*) from validations where state <> 'COMPLETED'";
    becomes(&stack, open, 0).await?;
    assert_eq!(stack.count("DELETED")?, 4);
    Ok(())
}

#[tokio::test]
async fn deleting_an_account_cancels_its_validation() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let mut form = bank("1234567895", IFSC);
    form.push(DUMMY);
    let created = stack.api.create(CUSTOMER, &form).await?.account()?;
    let id = text(&created, "/id");
    // DUMMY: 95 stays PENDING forever.
    stack
        .api
        .wait_for(CUSTOMER, id, &["PENDING"], TIMEOUT)
        .await?;
    for form in [&[][..], &[("command", "create")], &[("command", "DELETE")]] {
        let reply = post(&stack, id, "", form).await?.expect_status(400)?;
        assert_eq!(reply.json()["error_message"], "Invalid command");
    }
    let deleted = post(&stack, id, "", &[("command", "delete")])
        .await?
        .account()?;
    assert_eq!(
        (&deleted["status"], text(&deleted, "/id")),
        (&json!("DELETED"), id)
    );
    stack.api.get(CUSTOMER, id).await?.expect_status(404)?;
    assert_eq!(stack.api.list(CUSTOMER, "").await?.json()["total"], 0);
    post(&stack, id, "", &[("command", "delete")])
        .await?
        .expect_status(404)?;
    let again = post(&stack, id, "/validate", &[])
        .await?
        .expect_status(409)?;
    assert_eq!(again.json()["error_code"], "conflict");
    assert_eq!(again.json()["error_info"]["code"], "INVALID_ACTION");
    let cancelled = "select count(*) from validations where outcome = 'CANCELLED'";
    becomes(&stack, cancelled, 1).await?;
    // The same details create a new account now.
    let new = stack.api.create(CUSTOMER, &form).await?.accounts()?;
    assert_ne!(ids(&new), [id]);
    Ok(())
}
