//! Processes killed, frozen and stopped under load: nothing is lost, and money moves once.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use khata_e2e::{Behaviour, Setup, Signal, TIMEOUT, TestStack, eventually, send};

use crate::load::{LEASED, MIXED, SHORT_LEASE, assert_all_mixed_right, assert_paid_once, mixed};
use crate::requests::{banks, ids};

#[tokio::test]
async fn killed_workers_lose_no_account_and_no_rupee() -> Result<()> {
    const CUSTOMERS: usize = 10;
    let mut stack = TestStack::start(Setup {
        call_timeout_ms: 1_000,
        worker_settings: SHORT_LEASE,
        ..Setup::default()
    })
    .await?;
    // Slow enough that every kill interrupts open calls.
    stack
        .sandbox
        .set_behaviour(Behaviour {
            latency_ms: 150,
            ..Behaviour::default()
        })
        .await?;
    let mut killed_in_flight = 0;
    for customer in 0..CUSTOMERS {
        let name = format!("killed{customer}");
        let created = stack
            .api
            .create_json(&name, &mixed(customer))
            .await?
            .accounts()?;
        assert_eq!(created.len(), MIXED);
        if customer % 2 == 1 {
            // At another moment each time.
            tokio::time::sleep(Duration::from_millis(40 * customer as u64)).await;
            stack.workers.remove(0).process.kill()?;
            killed_in_flight += stack.database.number(LEASED)?;
            stack.start_worker().await?;
        }
    }
    assert!(killed_in_flight > 0, "no kill met anything in hand");
    eprintln!("killed workers held {killed_in_flight} validations");
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    for customer in 0..CUSTOMERS {
        assert_all_mixed_right(&stack.api, &format!("killed{customer}")).await?;
    }
    assert_paid_once(&stack, (CUSTOMERS * MIXED) as u64).await
}

#[tokio::test]
async fn a_worker_frozen_beyond_its_lease_settles_nothing() -> Result<()> {
    let stack = TestStack::start(Setup {
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
    stack.sandbox.set_behaviour(slow).await?;
    let sleeper = stack.workers[0].process.pid();
    for customer in 0..3 {
        let name = format!("frozen{customer}");
        stack
            .api
            .create_json(&name, &mixed(customer))
            .await?
            .accounts()?;
    }
    // Freeze the worker while it waits for responses. A call that it was about to make would still be made later, even if
    // other workers settled the validation meanwhile: a gateway does not check leases.
    eventually(
        TIMEOUT,
        "every call having reached the gateway",
        async || {
            let drops = stack.sandbox.drops().await?;
            anyhow::Ok((drops.total == 3 * MIXED as u64).then_some(()))
        },
    )
    .await?;
    send(Signal::STOP, sleeper)?;
    stack.sandbox.set_behaviour(Behaviour::default()).await?;
    // Every lease has expired: other workers hold the validations now.
    tokio::time::sleep(Duration::from_secs(6)).await;
    send(Signal::CONT, sleeper)?;
    stack
        .api
        .create_json("frozen3", &mixed(3))
        .await?
        .accounts()?;
    stack
        .api
        .create_json("frozen4", &mixed(4))
        .await?
        .accounts()?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    for customer in 0..5 {
        assert_all_mixed_right(&stack.api, &format!("frozen{customer}")).await?;
    }
    stack.wait_until_ready(&stack.workers[0].url).await?;
    assert_paid_once(&stack, 5 * MIXED as u64).await
}

#[tokio::test]
async fn a_stopping_worker_finishes_its_validations_and_leaves_the_rest() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        call_timeout_ms: 10_000,
        worker_settings: &[("KHATA_WORKER_CONCURRENCY", "20")],
        ..Setup::default()
    })
    .await?;
    stack
        .sandbox
        .set_behaviour(Behaviour {
            latency_ms: 3_000,
            ..Behaviour::default()
        })
        .await?;
    for customer in 0..5 {
        stack
            .api
            .create_json(&format!("stopped{customer}"), &mixed(customer))
            .await?
            .accounts()?;
    }
    eventually(TIMEOUT, "a busy worker", async || {
        anyhow::Ok((stack.database.number(LEASED)? >= 10).then_some(()))
    })
    .await?;
    let mut worker = stack.workers.remove(0).process;
    worker.terminate()?;
    let status = worker.wait(TIMEOUT).await?;
    assert_eq!(status.code(), Some(0), "{}", worker.log());
    // The worker left no lease.
    assert_eq!(stack.database.number(LEASED)?, 0);
    assert!(
        stack.count("CREATED")? > 0,
        "there was more than it could carry"
    );
    stack.sandbox.set_behaviour(Behaviour::default()).await?;
    stack.start_worker().await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    for customer in 0..5 {
        assert_all_mixed_right(&stack.api, &format!("stopped{customer}")).await?;
    }
    assert_paid_once(&stack, 5 * MIXED as u64).await
}

#[tokio::test]
async fn a_stopping_api_stores_every_account_it_accepted() -> Result<()> {
    let mut stack = TestStack::start(Setup::default()).await?;
    let api = stack.api.clone();
    // Each task creates accounts until it is rejected, and returns the accepted ones.
    let tasks = (0..8).map(|task| {
        let api = api.clone();
        tokio::spawn(async move {
            let customer = format!("stop{task}");
            let mut promised = Vec::new();
            for n in 0.. {
                let body = banks([format!("9{task:02}{n:06}")]);
                match api.create_json(&customer, &body).await {
                    Ok(reply) => promised.extend(ids(&reply.accounts()?)),
                    Err(_) => break,
                }
            }
            let promised = promised.into_iter().map(|id| (customer.clone(), id));
            anyhow::Ok(promised.collect::<Vec<_>>())
        })
    });
    let tasks: Vec<_> = tasks.collect();
    eventually(TIMEOUT, "a busy API", async || {
        anyhow::Ok((stack.database.row_counts()?[1] > 100).then_some(()))
    })
    .await?;
    let mut process = stack.apis.remove(0).process;
    process.terminate()?;
    let status = process.wait(Duration::from_secs(20)).await?;
    assert_eq!(status.code(), Some(0), "{}", process.log());
    let mut promised = Vec::new();
    for task in join_all(tasks).await {
        promised.extend(task??);
    }
    assert!(promised.len() > 50);
    let stored = stack.database.row_counts()?;
    // A reply to a stopping client can be lost; an accepted account cannot.
    assert!(
        (0..=8).contains(&(stored[1] - i64::try_from(promised.len())?)),
        "{stored:?} {}",
        promised.len()
    );
    assert_eq!(stored[1], stored[2]);
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    stack.start_api().await?;
    for (customer, id) in &promised {
        stack.api.get(customer, id).await?.account()?;
    }
    assert_eq!(stack.count("ACTIVE")?, stored[1]);
    assert_paid_once(&stack, u64::try_from(stored[1])?).await
}
