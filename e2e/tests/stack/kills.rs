//! Processes killed, stopped and multiplied under load: nothing is lost, and money moves once.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::{join_all, try_join_all};
use khata_e2e::client::text;
use khata_e2e::{Api, Behaviour, PATIENCE, PUBLISHED, Setup, Signal, World, eventually, send};
use serde_json::{Value, json};

use crate::calls::{banks, ids};

/// The shortest lease there is; a call may then take 1 s: a lease outlives two of them by more than two seconds.
const SHORT_LEASE: &[(&str, &str)] = &[("KHATA_WORKER_LEASE_SECONDS", "5")];

const IN_HAND: &str = "select count(*) from validations where state = 'LEASED'";

/// Twenty accounts of one customer: fourteen valid by number, the others as Cashfree publishes them.
fn mixed(customer: usize) -> Value {
    let item = |number: &str, ifsc: &str| json!({"account_number": number, "ifsc": ifsc});
    let mut items: Vec<Value> = (0..14)
        .map(|n| item(&format!("8{customer:04}{n:04}"), "AABF0008032"))
        .collect();
    items.extend([
        item("026291800001191", "YESB0000262"),
        item("026291800001190", "YESB0000262"),
        item("1234567890", "ICIC0000001"),
        item("00224412311300", "YESB0000001"),
        item("7766666351000", "YESB0000001"),
        item("7766667989884", "RATN0000070"),
    ]);
    json!({ "bank_account_details": items })
}

const MIXED: usize = 20;

async fn assert_all_mixed_right(api: &Api, customer: &str) -> Result<()> {
    let accounts = api.list(customer, "?count=100").await?.accounts()?;
    assert_eq!(accounts.len(), MIXED);
    for account in &accounts {
        let number = text(
            account,
            "/account_details/bank_account_details/account_number",
        );
        let published = PUBLISHED
            .iter()
            .find(|known| known.account_number == number);
        let (status, failure) =
            published.map_or(("ACTIVE", ""), |known| (known.status, known.failure));
        assert_eq!(account["status"], status, "{account}");
        assert_eq!(
            text(account, "/validation/failure/code"),
            failure,
            "{account}"
        );
    }
    Ok(())
}

/// Each account was paid exactly once: neither twice under one reference, nor again under another.
async fn assert_paid_once(world: &World, accounts: usize) -> Result<()> {
    let drops = world.sandbox.drops().await?;
    assert!(drops.doubles().is_empty(), "{:?}", drops.doubles());
    assert_eq!(drops.distinct_references, accounts as u64);
    assert_eq!(drops.total, accounts as u64);
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_again_and_again_costs_no_account_and_no_rupee() -> Result<()> {
    const CUSTOMERS: usize = 10;
    let mut world = World::start(Setup {
        call_timeout_ms: 1_000,
        worker_settings: SHORT_LEASE,
        ..Setup::default()
    })
    .await?;
    // Slow enough that every kill finds calls on their way.
    world
        .sandbox
        .behave(Behaviour {
            latency_ms: 150,
            ..Behaviour::default()
        })
        .await?;
    let mut killed_in_flight = 0;
    for customer in 0..CUSTOMERS {
        let name = format!("killed{customer}");
        let created = world
            .api
            .create_json(&name, &mixed(customer))
            .await?
            .accounts()?;
        assert_eq!(created.len(), MIXED);
        if customer % 2 == 1 {
            // At another moment of the work each time.
            tokio::time::sleep(Duration::from_millis(40 * customer as u64)).await;
            world.workers.remove(0).process.kill()?;
            killed_in_flight += world.database.number(IN_HAND)?;
            world.start_worker().await?;
        }
    }
    assert!(killed_in_flight > 0, "no kill met anything in hand");
    eprintln!("killed workers held {killed_in_flight} validations");
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    for customer in 0..CUSTOMERS {
        assert_all_mixed_right(&world.api, &format!("killed{customer}")).await?;
    }
    assert_paid_once(&world, CUSTOMERS * MIXED).await
}

#[tokio::test]
async fn a_worker_that_freezes_beyond_its_lease_wakes_up_to_others_work() -> Result<()> {
    let world = World::start(Setup {
        workers: 2,
        call_timeout_ms: 1_000,
        worker_settings: SHORT_LEASE,
        ..Setup::default()
    })
    .await?;
    world
        .sandbox
        .behave(Behaviour {
            latency_ms: 150,
            ..Behaviour::default()
        })
        .await?;
    let sleeper = world.workers[0].process.pid();
    for customer in 0..3 {
        let name = format!("frozen{customer}");
        world
            .api
            .create_json(&name, &mixed(customer))
            .await?
            .accounts()?;
    }
    eventually(PATIENCE, "both having something in hand", async || {
        anyhow::Ok((world.database.number(IN_HAND)? >= 10).then_some(()))
    })
    .await?;
    send(Signal::Stop, sleeper)?;
    // Past every lease: what it wakes up to is somebody else's by now.
    tokio::time::sleep(Duration::from_secs(6)).await;
    send(Signal::Continue, sleeper)?;
    world
        .api
        .create_json("frozen3", &mixed(3))
        .await?
        .accounts()?;
    world
        .api
        .create_json("frozen4", &mixed(4))
        .await?
        .accounts()?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    for customer in 0..5 {
        assert_all_mixed_right(&world.api, &format!("frozen{customer}")).await?;
    }
    world.wait_until_ready(&world.workers[0].url).await?;
    assert_paid_once(&world, 5 * MIXED).await
}

#[tokio::test]
async fn an_answer_that_could_not_be_stored_is_asked_for_again_and_not_paid_again() -> Result<()> {
    let world = World::start(Setup {
        proxies: true,
        call_timeout_ms: 1_000,
        worker_settings: SHORT_LEASE,
        ..Setup::default()
    })
    .await?;
    world
        .sandbox
        .behave(Behaviour {
            latency_ms: 400,
            ..Behaviour::default()
        })
        .await?;
    world
        .api
        .create_json("unstored", &mixed(0))
        .await?
        .accounts()?;
    eventually(PATIENCE, "every rupee dropped", async || {
        anyhow::Ok((world.sandbox.drops().await?.total == MIXED as u64).then_some(()))
    })
    .await?;
    // The gateway's answers are on their way, and there is nowhere to put them until after the leases' end.
    world.proxies()?.postgres.cut();
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.proxies()?.postgres.restore();
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    assert_all_mixed_right(&world.api, "unstored").await?;
    assert_paid_once(&world, MIXED).await
}

#[tokio::test]
async fn a_worker_told_to_stop_finishes_what_it_has_and_leaves_the_rest() -> Result<()> {
    let mut world = World::start(Setup {
        call_timeout_ms: 1_000,
        worker_settings: &[("KHATA_WORKER_CONCURRENCY", "20")],
        ..Setup::default()
    })
    .await?;
    world
        .sandbox
        .behave(Behaviour {
            latency_ms: 300,
            ..Behaviour::default()
        })
        .await?;
    for customer in 0..5 {
        world
            .api
            .create_json(&format!("stopped{customer}"), &mixed(customer))
            .await?
            .accounts()?;
    }
    eventually(PATIENCE, "a busy worker", async || {
        anyhow::Ok((world.database.number(IN_HAND)? >= 10).then_some(()))
    })
    .await?;
    let mut worker = world.workers.remove(0).process;
    worker.terminate()?;
    let status = worker.wait(Duration::from_secs(25)).await?;
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    // Nobody waits for the end of a lease.
    assert_eq!(world.database.number(IN_HAND)?, 0);
    assert!(
        world.count("CREATED")? > 0,
        "there was more than it could carry"
    );
    world.start_worker().await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    for customer in 0..5 {
        assert_all_mixed_right(&world.api, &format!("stopped{customer}")).await?;
    }
    assert_paid_once(&world, 5 * MIXED).await
}

#[tokio::test]
async fn an_api_told_to_stop_keeps_its_word() -> Result<()> {
    let mut world = World::start(Setup::default()).await?;
    let api = world.api.clone();
    // Each task creates until it is turned away, and tells what it was promised.
    let tasks = (0..8).map(|task| {
        let api = api.clone();
        tokio::spawn(async move {
            let customer = format!("stop{task}");
            let mut promised = Vec::new();
            for n in 0.. {
                let body = banks([format!("9{task:02}{n:06}")]);
                match api.create_json(&customer, &body).await {
                    Ok(answer) => promised.extend(ids(&answer.accounts()?)),
                    Err(_) => break,
                }
            }
            let promised = promised.into_iter().map(|id| (customer.clone(), id));
            anyhow::Ok(promised.collect::<Vec<_>>())
        })
    });
    let tasks: Vec<_> = tasks.collect();
    eventually(PATIENCE, "a busy API", async || {
        anyhow::Ok((world.database.stored()?[1] > 100).then_some(()))
    })
    .await?;
    let mut process = world.apis.remove(0).process;
    process.terminate()?;
    let status = process.wait(Duration::from_secs(20)).await?;
    assert_eq!(status.code(), Some(0), "{}", process.log());
    let mut promised = Vec::new();
    for task in join_all(tasks).await {
        promised.extend(task??);
    }
    assert!(promised.len() > 100);
    let stored = world.database.stored()?;
    // An answer can be lost on its way to whoever was told to go; a promise cannot.
    assert!(
        (0..=8).contains(&(stored[1] - i64::try_from(promised.len())?)),
        "{stored:?} {}",
        promised.len()
    );
    assert_eq!(stored[1], stored[2]);
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    world.start_api().await?;
    for (customer, id) in &promised {
        world.api.get(customer, id).await?.account()?;
    }
    assert_eq!(world.count("ACTIVE")?, stored[1]);
    assert_paid_once(&world, usize::try_from(stored[1])?).await
}

#[tokio::test]
async fn processes_stop_also_while_postgres_hangs() -> Result<()> {
    let mut world = World::start(Setup {
        proxies: true,
        worker_settings: &[("KHATA_WORKER_DRAIN_SECONDS", "5")],
        ..Setup::default()
    })
    .await?;
    world
        .api
        .create_json("before", &banks(["50000001".into()]))
        .await?
        .accounts()?;
    world.proxies()?.postgres.hang();
    let refused = world
        .api
        .create_json("during", &banks(["50000002".into()]))
        .await?;
    assert_eq!(refused.status, 503, "{}", refused.text);
    let mut processes = vec![
        world.apis.remove(0).process,
        world.workers.remove(0).process,
    ];
    for process in &processes {
        process.terminate()?;
    }
    for process in &mut processes {
        let status = process.wait(Duration::from_secs(30)).await?;
        assert_eq!(status.code(), Some(0), "{}", process.log());
    }
    Ok(())
}

#[tokio::test]
async fn several_of_each_process_work_as_one() -> Result<()> {
    const CUSTOMERS: usize = 5;
    let world = World::start(Setup {
        apis: 2,
        workers: 2,
        ..Setup::default()
    })
    .await?;
    let apis = [world.api_at(0), world.api_at(1)];
    // The same call six times at once, three at each API: one customer, one id an account.
    let customers: Vec<(String, Value)> = (0..CUSTOMERS)
        .map(|n| (format!("shared{n}"), mixed(n)))
        .collect();
    for (name, body) in &customers {
        let calls = (0..6).map(|n| apis[n % 2].create_json(name, body));
        let mut seen = Vec::new();
        for answer in try_join_all(calls).await? {
            let accounts = answer.accounts()?;
            assert!(
                accounts
                    .iter()
                    .all(|account| account["customer_id"] == accounts[0]["customer_id"])
            );
            seen.push((
                text(&accounts[0], "/customer_id").to_owned(),
                ids(&accounts),
            ));
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:#?}");
    }
    let all = i64::try_from(CUSTOMERS * MIXED)?;
    assert_eq!(
        world.database.stored()?,
        [i64::try_from(CUSTOMERS)?, all, all]
    );
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    for (name, _) in &customers {
        for api in &apis {
            assert_all_mixed_right(api, name).await?;
        }
    }
    assert_paid_once(&world, CUSTOMERS * MIXED).await
}

#[tokio::test]
async fn accounts_of_many_callers_that_cross_do_not_block_each_other() -> Result<()> {
    let world = World::start(Setup {
        apis: 2,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let apis = [world.api_at(0), world.api_at(1)];
    let numbers: Vec<String> = (0..40).map(|n| format!("400000{n:02}")).collect();
    let forwards = banks(numbers.clone());
    let backwards = banks(numbers.into_iter().rev());
    let calls = (0..24).map(|n| {
        let body = if n % 3 == 0 { &backwards } else { &forwards };
        apis[n % 2].create_json(if n % 2 == 0 { "crossing" } else { "another" }, body)
    });
    for answer in try_join_all(calls).await? {
        assert_eq!(answer.accounts()?.len(), 40);
    }
    assert_eq!(world.database.stored()?, [2, 80, 80]);
    Ok(())
}
