//! Processes killed, frozen and stopped under load: nothing is lost, and money moves once.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use khata_e2e::{Behaviour, PATIENCE, Setup, Signal, World, eventually, send};

use crate::calls::{banks, ids};
use crate::load::{IN_HAND, MIXED, SHORT_LEASE, assert_all_mixed_right, assert_paid_once, mixed};

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
    assert_paid_once(&world, (CUSTOMERS * MIXED) as u64).await
}

#[tokio::test]
async fn a_worker_that_freezes_beyond_its_lease_wakes_up_to_others_work() -> Result<()> {
    let world = World::start(Setup {
        workers: 2,
        call_timeout_ms: 1_400,
        worker_settings: SHORT_LEASE,
        ..Setup::default()
    })
    .await?;
    let slow = Behaviour {
        latency_ms: 700,
        ..Behaviour::default()
    };
    world.sandbox.behave(slow).await?;
    let sleeper = world.workers[0].process.pid();
    for customer in 0..3 {
        let name = format!("frozen{customer}");
        world
            .api
            .create_json(&name, &mixed(customer))
            .await?
            .accounts()?;
    }
    // Frozen while it waits for answers. A call that it was about to make would be made when it wakes up, whatever
    // others have done meanwhile: no lease reaches into a gateway.
    eventually(
        PATIENCE,
        "every call having reached the gateway",
        async || {
            let drops = world.sandbox.drops().await?;
            anyhow::Ok((drops.total == 3 * MIXED as u64).then_some(()))
        },
    )
    .await?;
    send(Signal::Stop, sleeper)?;
    world.sandbox.behave(Behaviour::default()).await?;
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
    assert_paid_once(&world, 5 * MIXED as u64).await
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
    assert_paid_once(&world, 5 * MIXED as u64).await
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
    assert!(promised.len() > 50);
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
    assert_paid_once(&world, u64::try_from(stored[1])?).await
}
