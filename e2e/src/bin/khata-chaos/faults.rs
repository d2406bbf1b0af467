//! Scenarios with one fault each.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use diesel::connection::SimpleConnection;
use futures_util::future::join_all;
use khata_e2e::{Behaviour, Errors, SandboxGateway, Setup, TestStack, Webhook, eventually};
use serde_json::json;

use crate::steps::{
    TIMEOUT, UNFINISHED, at_gateways, banks, becomes, create, disable, failed_with, paid,
    set_gateway_account,
};

/// A full worker gets SIGTERM while all its calls are open at a gateway where a lost response cannot be recovered.
pub(crate) async fn stop() -> Result<String> {
    const ACCOUNTS: usize = 200;
    let mut stack = at_gateways(
        &["SETU"],
        json!({"call_timeout_ms": 14_000, "concurrency": 0}),
    )
    .await?;
    let slow = Behaviour {
        latency_ms: 9_000,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour_of("SETU", slow).await?;
    create(&stack, "stop", ACCOUNTS).await?;
    eventually(TIMEOUT, "all calls being open", async || {
        let drops = stack.sandbox.drops().await?.total;
        let attempts = "select count(*) from validation_attempts where state = 'STARTED'";
        let open = stack.database.number(attempts)?;
        Ok::<_, anyhow::Error>((drops == 200 || open == 200).then_some(()))
    })
    .await?;
    let began = Instant::now();
    let mut worker = stack.workers.remove(0);
    worker.process.terminate()?;
    let status = worker.process.wait(TIMEOUT).await?;
    let stopped = began.elapsed();
    ensure!(status.success(), "the worker ended with {status}");
    let leased = stack
        .database
        .number("select count(*) from validations where state = 'LEASED'")?;
    ensure!(leased == 0, "{leased} validations are left leased");
    stack
        .sandbox
        .set_behaviour_of("SETU", Behaviour::default())
        .await?;
    stack.start_worker().await?;
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    paid(&stack, ACCOUNTS as u64).await?;
    Ok(format!(
        "{ACCOUNTS} open calls finished, process ended after {:.1} s",
        stopped.as_secs_f64()
    ))
}

/// Every open connection to Postgres goes silent and acknowledges all packets; new ones work.
pub(crate) async fn silent_postgres() -> Result<String> {
    const LIMIT: Duration = Duration::from_secs(15);
    let stack = TestStack::start(Setup {
        proxies: true,
        ..Setup::default()
    })
    .await?;
    create(&stack, "before", 20).await?;
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    stack.proxies()?.postgres.hang_open_connections();
    let began = Instant::now();
    let (mut refused, mut not_ready, mut accepted) = (0, 0, 0);
    // Healed: creates and reads succeed ten times in a row.
    let mut in_a_row = 0;
    let mut healed = Duration::ZERO;
    for number in 0.. {
        let customer = format!("silent_{number}");
        let created = stack.api.create_json(&customer, &banks(1, number)).await?;
        let read = stack.api.list(&customer, "").await?;
        let ready = stack.api.get_path("/health/ready").await?;
        not_ready += usize::from(ready.status == 503);
        for status in [created.status, read.status] {
            ensure!([200, 404, 503].contains(&status), "status {status}");
        }
        accepted += usize::from(created.status == 200);
        refused += usize::from(created.status == 503);
        if created.status == 200 && read.status == 200 {
            if in_a_row == 0 {
                healed = began.elapsed();
            }
            in_a_row += 1;
        } else {
            in_a_row = 0;
        }
        if in_a_row == 10 {
            break;
        }
        ensure!(
            began.elapsed() < LIMIT + Duration::from_secs(5),
            "not healed after {:?}",
            began.elapsed()
        );
    }
    ensure!(healed < LIMIT, "healed after {healed:?}");
    ensure!(
        refused > 0,
        "no create was rejected: this run proves nothing"
    );
    ensure!(not_ready > 0, "ready, although creates are rejected");
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    let stored = stack
        .database
        .number("select count(*) from customer_accounts")?;
    let expected = 20 + i64::try_from(accepted)?;
    ensure!(
        stored == expected,
        "{stored} accounts are stored instead of {expected}"
    );
    paid(&stack, expected.unsigned_abs()).await?;
    Ok(format!(
        "{refused} creates rejected, healed after {:.1} s",
        healed.as_secs_f64()
    ))
}

/// A call reaches the gateway late, after the lookup said that the reference is unknown.
pub(crate) async fn late_call() -> Result<String> {
    const ACCOUNTS: usize = 4;
    const LATE: Duration = Duration::from_secs(15);
    let stack = TestStack::start(Setup {
        proxies: true,
        ..Setup::default()
    })
    .await?;
    let url = format!(
        "http://127.0.0.1:{}/cashfree/verification",
        stack.proxies()?.gateway.port()
    );
    let gateway = SandboxGateway::named("CASHFREE");
    let mut account = gateway.account(&url, 1);
    account.settings = r#"{"settle_s":30}"#;
    stack.set_gateway_account(&account)?;
    let slow = Behaviour {
        latency_ms: 500,
        ..Behaviour::default()
    };
    // As many connections as there are calls at once.
    stack.sandbox.set_behaviour(slow).await?;
    create(&stack, "before", ACCOUNTS).await?;
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    stack.sandbox.set_behaviour(Behaviour::default()).await?;
    // The worker has read the changed settings.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let proxy = &stack.proxies()?.gateway;
    proxy.hang_open_connections();
    create(&stack, "late", ACCOUNTS).await?;
    tokio::time::sleep(LATE).await;
    let unknown = stack
        .database
        .number("select count(*) from validation_attempts where state = 'UNKNOWN'")?;
    ensure!(unknown > 0, "no call is late: this run proves nothing");
    proxy.thaw();
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    paid(&stack, 2 * ACCOUNTS as u64).await?;
    Ok(format!(
        "{unknown} calls {} s late, none paid twice",
        LATE.as_secs()
    ))
}

/// The only gateway never decides about an account.
pub(crate) async fn undecided() -> Result<String> {
    let stack = at_gateways(&["CASHFREE"], json!({})).await?;
    let body = json!({"account_number": "12399009941", "ifsc": "AABF0008032"});
    let began = Instant::now();
    stack.api.create_json("undecided", &body).await?.account()?;
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    let ended = began.elapsed();
    failed_with(&stack, "ATTEMPTS_EXHAUSTED", 1)?;
    let drops = stack.sandbox.drops().await?.total;
    ensure!((1..=3).contains(&drops), "{drops} rupees");
    Ok(format!(
        "{drops} rupees, ended after {:.0} s",
        ended.as_secs_f64()
    ))
}

/// A worker is killed twice while all its calls are open at a gateway that offers no way to find out what happened.
pub(crate) async fn lost_calls() -> Result<String> {
    const ACCOUNTS: usize = 20;
    let mut stack = at_gateways(&["SETU"], json!({"call_timeout_ms": 3_000})).await?;
    let slow = Behaviour {
        latency_ms: 2_500,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour_of("SETU", slow).await?;
    create(&stack, "lost", ACCOUNTS).await?;
    for attempt in 1..=2 {
        eventually(TIMEOUT, "all calls being open", async || {
            let drops = stack.sandbox.drops().await?.total;
            Ok::<_, anyhow::Error>((drops == attempt * ACCOUNTS as u64).then_some(()))
        })
        .await?;
        let mut worker = stack.workers.remove(0);
        worker.process.kill()?;
        stack.start_worker().await?;
    }
    let began = Instant::now();
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    let ended = began.elapsed();
    failed_with(&stack, "ATTEMPTS_EXHAUSTED", ACCOUNTS)?;
    let flagged = stack
        .database
        .number("select count(*) from validation_attempts where possible_double_drop")?;
    let drops = i64::try_from(stack.sandbox.drops().await?.total)?;
    let doubles = drops - i64::try_from(ACCOUNTS)?;
    ensure!(
        doubles <= flagged,
        "{doubles} second rupees, {flagged} flagged"
    );
    Ok(format!(
        "{doubles} second rupees, all flagged; ended after {:.0} s",
        ended.as_secs_f64()
    ))
}

/// A gateway's webhook is stored; the worker that takes it is killed before it settles, and polls fail from then on.
pub(crate) async fn webhook() -> Result<String> {
    let settings = json!({"poll_ms": [3_600_000]});
    let mut stack = at_gateways(&["RAZORPAY"], settings.clone()).await?;
    let id = set_gateway_account(&stack, "RAZORPAY", 1, &settings)?;
    let to = Webhook {
        gateway: "RAZORPAY",
        url: format!("{}/gateways/razorpay/webhooks/{id}", stack.apis[0].url),
        ..Webhook::default()
    };
    stack.sandbox.webhook(&to).await?;
    let pending = Behaviour {
        pending_ms: 5_000,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour_of("RAZORPAY", pending).await?;
    let body = json!({"account_number": "7000199009911", "ifsc": "HDFC0000001"});
    stack.api.create_json("webhook", &body).await?.account()?;
    let polled = "select count(*) from validation_attempts where state = 'PENDING'";
    becomes(&stack, polled, 1).await?;
    // A settlement waits for this lock; a claim does not.
    let mut blocker = stack.database.connect()?;
    blocker.batch_execute("begin; select 1 from customer_accounts for update")?;
    becomes(
        &stack,
        "select count(*) from validations where state = 'LEASED'",
        1,
    )
    .await?;
    let mut worker = stack.workers.remove(0);
    worker.process.kill()?;
    blocker.batch_execute("rollback")?;
    let failing = Behaviour {
        error_rate: 1.0,
        errors: Errors::BeforeWork,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour_of("RAZORPAY", failing).await?;
    let began = Instant::now();
    stack.start_worker().await?;
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    ensure!(
        stack.count("ACTIVE")? == 1,
        "the stored outcome was not used"
    );
    paid(&stack, 1).await?;
    Ok(format!(
        "stored outcome used after {:.0} s",
        began.elapsed().as_secs_f64()
    ))
}

/// The clock of one of two workers is 49 hours ahead: by its clock every deadline has passed.
pub(crate) async fn clock() -> Result<String> {
    const ACCOUNTS: usize = 100;
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    // For this worker, Postgres's clock is 49 hours behind its own.
    stack.database.execute(
        "create schema skewed;
         create function skewed.now() returns timestamptz language sql stable
         as $$ select pg_catalog.now() - interval '49 hours' $$",
    )?;
    create(&stack, "clock", ACCOUNTS).await?;
    // By Postgres's clock the worker has 48 hours, by its own none.
    stack
        .database
        .execute("update validations set deadline_at = now() - interval '1 hour'")?;
    let mut url = stack.database.url.clone();
    url.query_pairs_mut()
        .append_pair("options", "-csearch_path=skewed,pg_catalog,public");
    let wrong = stack.start_program(
        "khata-worker",
        &[],
        &[
            ("KHATA_DATABASE_URL", Some(url.as_str())),
            ("KHATA_WORKER_LISTEN", Some("127.0.0.1:0")),
        ],
    )?;
    eventually(TIMEOUT, "the worker reporting its clock", async || {
        Ok::<_, anyhow::Error>(stack.logs()?.contains("clock wrong").then_some(()))
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let touched = stack
        .database
        .number("select count(*) from validations where state <> 'DUE' or attempts > 0")?;
    ensure!(touched == 0, "the worker took {touched} validations");
    stack
        .database
        .execute("update validations set deadline_at = now() + interval '48 hours'")?;
    stack.start_worker().await?;
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    drop(wrong);
    paid(&stack, ACCOUNTS as u64).await?;
    Ok(format!(
        "{ACCOUNTS} accounts left to the worker whose clock is right, none failed"
    ))
}

/// Three replicas of the API get the same account for 24 customers at once; the limit is five validations.
pub(crate) async fn replicas() -> Result<String> {
    let stack = TestStack::start(Setup {
        apis: 3,
        ..Setup::default()
    })
    .await?;
    let limit = [
        "merchant",
        "set",
        "--merchant",
        "e2e",
        "--validations-per-account-per-day",
        "5",
    ];
    stack.command(&limit)?;
    // Keys are cached for five seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let calls = (0..24).map(|number| {
        let api = stack.api_at(number % 3);
        async move {
            api.create_json(&format!("replica_{number}"), &banks(1, 0))
                .await
        }
    });
    let replies: Vec<_> = join_all(calls).await.into_iter().collect::<Result<_>>()?;
    let with = |status| {
        replies
            .iter()
            .filter(|reply| reply.status == status)
            .count()
    };
    let (accepted, rejected) = (with(200), with(429));
    ensure!(
        (accepted, rejected) == (5, 19),
        "{accepted} accepted, {rejected} rejected"
    );
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    paid(&stack, 5).await?;
    Ok("5 of 24 accepted by three replicas".to_owned())
}

/// An operator disables a gateway account whose calls were lost before the gateway did anything.
pub(crate) async fn disabled() -> Result<String> {
    const ACCOUNTS: usize = 3;
    let stack = at_gateways(&["CASHFREE", "DECENTRO"], json!({"recover_for_s": 20})).await?;
    let failing = Behaviour {
        error_rate: 1.0,
        errors: Errors::BeforeWork,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(failing).await?;
    create(&stack, "disabled", ACCOUNTS).await?;
    let lost = "select count(*) from validation_attempts where state = 'UNKNOWN'";
    becomes(&stack, lost, i64::try_from(ACCOUNTS)?).await?;
    let cashfree = SandboxGateway::named("CASHFREE");
    disable(&stack, cashfree.name, cashfree.reference_id)?;
    // The worker has read the change.
    tokio::time::sleep(Duration::from_secs(6)).await;
    stack.sandbox.set_behaviour(Behaviour::default()).await?;
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    let drops = stack.sandbox.drops().await?.drops;
    let there = drops
        .iter()
        .filter(|drop| drop.gateway == "CASHFREE")
        .count();
    ensure!(
        there == 0,
        "{there} rupees were paid at the disabled gateway account"
    );
    paid(&stack, ACCOUNTS as u64).await?;
    Ok("no rupee at the disabled gateway account".to_owned())
}

/// RabbitMQ is unavailable.
pub(crate) async fn no_broker() -> Result<String> {
    const ACCOUNTS: usize = 200;
    let stack = TestStack::start(Setup {
        proxies: true,
        ..Setup::default()
    })
    .await?;
    stack.proxies()?.broker.cut();
    let began = Instant::now();
    create(&stack, "no_broker", ACCOUNTS).await?;
    stack.wait_until_none_is(&UNFINISHED, TIMEOUT).await?;
    paid(&stack, ACCOUNTS as u64).await?;
    Ok(format!(
        "{ACCOUNTS} accounts validated in {:.1} s",
        began.elapsed().as_secs_f64()
    ))
}
