//! docs/operations.md, "Restore", followed to the letter: its own lines are run, on a database in which accounts stand at
//! every point of their way.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use khata_e2e::client::text;
use khata_e2e::{Behaviour, Errors, PATIENCE, Setup, World, eventually};
use serde_json::Value;

use crate::calls::{banks, becomes, ids};
use crate::runbook;

const HEADING: &str = "### Restore";

/// Creates so many accounts of a customer, whose numbers begin with this, and answers their ids.
async fn create(
    world: &World,
    customer: &str,
    numbers: std::ops::Range<u64>,
) -> Result<Vec<String>> {
    let body = banks(numbers.map(|number| number.to_string()));
    let created = world.api.create_json(customer, &body).await?.accounts()?;
    Ok(ids(&created))
}

/// A customer's accounts as the API tells them, by id.
async fn told(world: &World, customer: &str) -> Result<Vec<Value>> {
    let mut accounts = world.api.list(customer, "?count=100").await?.accounts()?;
    accounts.sort_by_key(|account| text(account, "/id").to_owned());
    Ok(accounts)
}

/// The rupees of these accounts' attempts that the sandbox dropped more than once.
async fn paid_twice(world: &World) -> Result<BTreeSet<String>> {
    let drops = world.sandbox.drops().await?;
    Ok(drops
        .doubles()
        .into_iter()
        .map(|drop| drop.reference.clone())
        .collect())
}

/// Accounts that are final, pending at the gateway, lost, and not begun; no worker runs any more.
async fn on_their_way(world: &mut World) -> Result<()> {
    create(world, "final", 91_000_000..91_000_005).await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    let slow = Behaviour {
        pending_ms: 3_000,
        ..Behaviour::default()
    };
    world.sandbox.behave(slow).await?;
    create(world, "pending", 92_000_000..92_000_004).await?;
    let attempts = "select count(*) from validation_attempts where state";
    becomes(world, &format!("{attempts} = 'PENDING'"), 4).await?;
    // Each call does its work, and its answer is lost.
    let losing = Behaviour {
        error_rate: 1.0,
        errors: Errors::AfterWork,
        ..Behaviour::default()
    };
    world.sandbox.behave(losing).await?;
    create(world, "lost", 93_000_000..93_000_003).await?;
    becomes(world, &format!("{attempts} = 'UNKNOWN'"), 3).await?;
    for mut worker in world.workers.drain(..) {
        worker.process.terminate()?;
        worker.process.wait(PATIENCE).await?;
    }
    world.sandbox.behave(Behaviour::default()).await?;
    create(world, "not_begun", 94_000_000..94_000_003).await?;
    Ok(())
}

#[tokio::test]
async fn after_a_restore_all_goes_on_and_what_was_begun_is_paid_once() -> Result<()> {
    let mut world = World::start(Setup::default()).await?;
    on_their_way(&mut world).await?;
    let page = runbook::page();
    let [dump, restore] = runbook::blocks(runbook::section(&page, HEADING), "sh")[..] else {
        panic!("{HEADING} has two blocks: the copy, and bringing it back");
    };
    let ran = world.shell(dump, &[])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let was = told(&world, "final").await?;
    let begun = world
        .database
        .texts("select reference from validation_attempts")?;

    // What the copy does not know: the rest is paid, and one more account is created.
    world.start_worker().await?;
    create(&world, "too_late", 95_000_000..95_000_001).await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    let paid = world.sandbox.drops().await?.total;
    assert_eq!(paid, 5 + 4 + 3 + 3 + 1);
    assert!(paid_twice(&world).await?.is_empty());

    world.stop_services().await?;
    let database = world.database.empty_beside()?;
    let _lost = world.move_to(database)?;
    let ran = world.shell(restore, &[])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.printed.contains("primary") && ran.printed.contains("up to date"),
        "{ran:?}"
    );
    let url = world.start_worker().await?.url.clone();
    world.wait_until_ready(&url).await?;
    let url = world.start_api().await?.url.clone();
    world.wait_until_ready(&url).await?;
    world.api.url.clone_from(&url);
    let listen = url.trim_start_matches("http://");
    world.command(&["healthcheck", "--listen", listen])?;

    assert_eq!(told(&world, "final").await?, was);
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    assert_eq!(world.count("ACTIVE")?, 5 + 4 + 3 + 3);
    world.api.list("too_late", "").await?.expect_status(404)?;
    // Only what was begun after the copy can be paid again: nothing that it holds tells of it.
    let twice = paid_twice(&world).await?;
    let of_begun: Vec<_> = begun.iter().filter(|one| twice.contains(*one)).collect();
    assert!(of_begun.is_empty(), "{of_begun:?}");
    let again = world.sandbox.drops().await?.total - paid;
    eprintln!("paid again after the restore: {again} of the 3 that were begun after the copy");
    assert!(again <= 3);
    Ok(())
}

#[tokio::test]
async fn with_another_keyring_a_restore_ends_with_an_error_and_nothing_is_decided() -> Result<()> {
    let mut world = World::start(Setup::default()).await?;
    on_their_way(&mut world).await?;
    let page = runbook::page();
    let blocks = runbook::blocks(runbook::section(&page, HEADING), "sh");
    assert_eq!(world.shell(blocks[0], &[])?.code, Some(0));
    world.stop_services().await?;
    let paid = world.sandbox.drops().await?.total;
    let statuses = "select status || count(*) from customer_accounts group by status order by 1";
    let stood = world.database.texts(statuses)?;

    let other = world.command(&["keyring", "generate"])?;
    let other = world.keep("other-keyring.json", &other)?;
    let database = world.database.empty_beside()?;
    let _lost = world.move_to(database)?;
    let ran = world.shell(blocks[1], &[("KHATA_KEYRING_FILE", &other)])?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let says = "this keyring does not fit the database";
    assert!(ran.complaint.contains(says), "{ran:?}");
    // Ids of keys are counted from 1 everywhere: that they are the same says nothing.
    for says in ["key 1, primary", ": 1 in gateway_accounts", "another key"] {
        assert!(ran.printed.contains(says), "{says}: {ran:?}");
    }

    // Whoever starts a worker all the same: it says what is wrong, and asks and decides nothing.
    let listen = ("KHATA_WORKER_LISTEN", Some("127.0.0.1:0"));
    let keyring = ("KHATA_KEYRING_FILE", Some(other.as_str()));
    let mut worker = world.begin("khata-worker", &[], &[keyring, listen])?;
    eventually(PATIENCE, "the worker telling", async || {
        ensure!(worker.ended().is_none(), "{}", worker.log());
        Ok(worker.log().contains("do not open").then_some(()))
    })
    .await?;
    becomes(
        &world,
        "select count(*) from validations where completed_at is null and due_at <= now()",
        0,
    )
    .await?;
    worker.kill()?;
    assert_eq!(world.database.texts(statuses)?, stood);
    // And no key that merchants have is known.
    let port_file = world.folder().join("other-keyring.port");
    let port = ("KHATA_PORT_FILE", port_file.to_str());
    let listen = ("KHATA_LISTEN", Some("127.0.0.1:0"));
    let _api = world.begin("khata-api", &["serve"], &[keyring, listen, port])?;
    let answer = eventually(PATIENCE, "khata-api answering", async || {
        let port = std::fs::read_to_string(&port_file)?;
        let api = world.api.at(&format!("http://127.0.0.1:{port}"));
        Ok::<_, anyhow::Error>(Some(api.list("final", "").await?))
    })
    .await?;
    assert_eq!(answer.status, 401, "{}", answer.text);
    assert_eq!(world.sandbox.drops().await?.total, paid);

    // With the right one it goes on from there.
    let ran = world.shell("khata-api keyring show", &[])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Ok(())
}
