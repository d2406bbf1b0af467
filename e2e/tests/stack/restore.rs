//! Runs the commands of docs/operations.md, "Restore", on a database with accounts in every state.

use std::collections::BTreeSet;

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Behaviour, Database, Errors, Setup, TIMEOUT, TestStack};
use serde_json::Value;

use crate::requests::{banks, becomes, ids};
use crate::runbook;

const HEADING: &str = "### Restore";

/// Creates accounts of a customer with numbers that begin with `first`, and returns their ids.
async fn create(
    stack: &TestStack,
    customer: &str,
    numbers: std::ops::Range<u64>,
) -> Result<Vec<String>> {
    let body = banks(numbers.map(|number| number.to_string()));
    let created = stack.api.create_json(customer, &body).await?.accounts()?;
    Ok(ids(&created))
}

/// Returns a customer's accounts, sorted by id.
async fn accounts_of(stack: &TestStack, customer: &str) -> Result<Vec<Value>> {
    let mut accounts = stack.api.list(customer, "?count=100").await?.accounts()?;
    accounts.sort_by_key(|account| text(account, "/id").to_owned());
    Ok(accounts)
}

/// Returns the references of these accounts' attempts that the sandbox dropped more than once.
async fn paid_twice(stack: &TestStack) -> Result<BTreeSet<String>> {
    let drops = stack.sandbox.drops().await?;
    Ok(drops
        .doubles()
        .into_iter()
        .map(|drop| drop.reference.clone())
        .collect())
}

/// Creates accounts that are final, pending at the gateway, lost, and not begun. Stops all workers.
async fn on_their_way(stack: &mut TestStack) -> Result<()> {
    create(stack, "final", 91_000_000..91_000_005).await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    // Pending until the workers have stopped.
    let slow = Behaviour {
        pending_ms: 20_000,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(slow).await?;
    create(stack, "pending", 92_000_000..92_000_004).await?;
    let attempts = "select count(*) from validation_attempts where state";
    becomes(stack, &format!("{attempts} = 'PENDING'"), 4).await?;
    // Each call does its work, and its response is lost.
    let losing = Behaviour {
        error_rate: 1.0,
        errors: Errors::AfterWork,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(losing).await?;
    create(stack, "lost", 93_000_000..93_000_003).await?;
    becomes(stack, &format!("{attempts} = 'UNKNOWN'"), 3).await?;
    for mut worker in stack.workers.drain(..) {
        worker.process.terminate()?;
        worker.process.wait(TIMEOUT).await?;
    }
    stack.sandbox.set_behaviour(Behaviour::default()).await?;
    create(stack, "not_begun", 94_000_000..94_000_003).await?;
    Ok(())
}

#[tokio::test]
async fn after_a_restore_work_continues_and_open_attempts_are_paid_once() -> Result<()> {
    let mut stack = TestStack::start(Setup::default()).await?;
    on_their_way(&mut stack).await?;
    let page = runbook::page();
    let [dump, restore] = runbook::blocks(runbook::section(&page, HEADING), "sh")[..] else {
        panic!("{HEADING} has two blocks: the copy, and bringing it back");
    };
    let ran = stack.shell(dump, &[])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let was = accounts_of(&stack, "final").await?;
    let begun = stack
        .database
        .texts("select reference from validation_attempts")?;

    // After the backup the remaining accounts are paid, and one more is created.
    stack.start_worker().await?;
    create(&stack, "too_late", 95_000_000..95_000_001).await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    let paid = stack.sandbox.drops().await?.total;
    assert_eq!(paid, 5 + 4 + 3 + 3 + 1);
    assert!(paid_twice(&stack).await?.is_empty());

    stack.stop_services().await?;
    let database = Database::create_empty()?;
    let _lost = stack.use_database(database);
    let ran = stack.shell(restore, &[])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stdout.contains("primary") && ran.stdout.contains("up to date"),
        "{ran:?}"
    );
    let url = stack.start_worker().await?.url.clone();
    stack.wait_until_ready(&url).await?;
    let url = stack.start_api().await?.url.clone();
    stack.wait_until_ready(&url).await?;
    stack.api.url.clone_from(&url);
    let listen = url.trim_start_matches("http://");
    let healthcheck = stack.try_program("khata-api", &["healthcheck", "--listen", listen])?;
    assert_eq!(healthcheck.code, Some(0), "{healthcheck:?}");

    assert_eq!(accounts_of(&stack, "final").await?, was);
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    assert_eq!(stack.count("ACTIVE")?, 5 + 4 + 3 + 3);
    stack.api.list("too_late", "").await?.expect_status(404)?;
    // Only an attempt that began after the backup can be paid again: the backup does not hold it.
    let twice = paid_twice(&stack).await?;
    let of_begun: Vec<_> = begun.iter().filter(|one| twice.contains(*one)).collect();
    assert!(of_begun.is_empty(), "{of_begun:?}");
    let again = stack.sandbox.drops().await?.total - paid;
    eprintln!("paid again after the restore: {again} of the 3 that were begun after the copy");
    assert!(again <= 3);
    Ok(())
}

#[tokio::test]
async fn after_a_restore_with_the_wrong_keyring_no_service_starts() -> Result<()> {
    let mut stack = TestStack::start(Setup::default()).await?;
    on_their_way(&mut stack).await?;
    let page = runbook::page();
    let blocks = runbook::blocks(runbook::section(&page, HEADING), "sh");
    assert_eq!(stack.shell(blocks[0], &[])?.code, Some(0));
    stack.stop_services().await?;
    let paid = stack.sandbox.drops().await?.total;
    let statuses = "select status || count(*) from customer_accounts group by status order by 1";
    let stood = stack.database.texts(statuses)?;

    let other = stack.command(&["keyring", "generate"])?;
    let other = stack.write_file("other-keyring.json", &other)?;
    let database = Database::create_empty()?;
    let _lost = stack.use_database(database);
    let ran = stack.shell(blocks[1], &[("KHATA_KEYRING_FILE", &other)])?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let says = "this keyring cannot decrypt all data in this database";
    assert!(ran.stderr.contains(says), "{ran:?}");
    // Every keyring numbers its keys from 1: equal ids do not mean equal keys.
    for says in ["key 1, primary", ": 1 in gateway_accounts", "another key"] {
        assert!(ran.stdout.contains(says), "{says}: {ran:?}");
    }

    // No service starts with this keyring, and none calls a gateway or settles anything.
    let keyring = ("KHATA_KEYRING_FILE", Some(other.as_str()));
    for (program, arguments, listen) in [
        ("khata-worker", &[][..], "KHATA_WORKER_LISTEN"),
        ("khata-api", &["serve"], "KHATA_LISTEN"),
    ] {
        let listen = (listen, Some("127.0.0.1:0"));
        let mut service = stack.start_program(program, arguments, &[keyring, listen])?;
        let status = service.wait(TIMEOUT).await?;
        assert_eq!(status.code(), Some(1), "{}", service.log());
        let last = service.log().lines().last().unwrap_or_default().to_owned();
        let says = "the keyring cannot decrypt the data in this database (encryption key 1)";
        assert!(last.contains(says), "{program}: {}", service.log());
    }
    assert_eq!(stack.database.texts(statuses)?, stood);
    assert_eq!(stack.sandbox.drops().await?.total, paid);

    // With the right keyring the work continues.
    let ran = stack.shell("khata keyring show", &[])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Ok(())
}
