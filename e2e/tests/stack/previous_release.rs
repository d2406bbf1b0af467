//! The release before works on this release's schema, and beside this release: a rolling upgrade has both for some minutes, and
//! a rollback goes back to it. Its programs are given by `KHATA_TEST_PREVIOUS`; without them there is nothing to test.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use khata_e2e::{PATIENCE, Service, Setup, World};
use serde_json::{Value, json};

const PREVIOUS: &str = "KHATA_TEST_PREVIOUS";
const COUNT: u64 = 20;

/// The folder with `khata-api` and `khata-worker` of the release before.
fn previous() -> Result<Option<PathBuf>> {
    let Some(folder) = std::env::var_os(PREVIOUS) else {
        // Not by a macro: the test runner would keep the line of a test that passes to itself.
        let said = format!(
            "previous_release: skipped, as {PREVIOUS} names no folder with the programs of the release before\n"
        );
        std::io::stderr().write_all(said.as_bytes())?;
        return Ok(None);
    };
    let folder = PathBuf::from(folder);
    let whole = folder
        .canonicalize()
        .with_context(|| format!("{PREVIOUS}: {}", folder.display()))?;
    Ok(Some(whole))
}

/// Accounts created at one api are validated by whoever works, and told by each api as they were given.
async fn accounts_go_through(world: &World, creator: usize, customer: &str) -> Result<()> {
    let details: Vec<Value> = (0..COUNT)
        .map(|place| json!({"account_number": (500_000 + place).to_string(), "ifsc": "AABF0008032", "beneficiary_name": "Asha Rao"}))
        .collect();
    let body =
        json!({ "bank_account_details": details, "upi_details": [{ "vpa": "9164326296@upi" }] });
    let created = world.api_at(creator).create_json(customer, &body).await?;
    assert_eq!(created.accounts()?.len() as u64, COUNT + 1);
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    let mut told = Vec::new();
    for place in 0..world.apis.len() {
        let listed = world.api_at(place).list(customer, "?count=100").await?;
        told.push(listed.accounts()?);
    }
    let accounts = &told[0];
    assert_eq!(accounts.len() as u64, COUNT + 1);
    let all_active = accounts.iter().all(|one| one["status"] == "ACTIVE");
    assert!(all_active, "{accounts:?}");
    assert!(told.iter().all(|other| other == accounts), "{told:?}");
    Ok(())
}

async fn stop(mut service: Service) -> Result<()> {
    service.process.terminate()?;
    assert!(service.process.wait(PATIENCE).await?.success());
    Ok(())
}

async fn start(world: &mut World, programs: Option<&Path>) -> Result<()> {
    let api = world.start_api_of(programs).await?.url.clone();
    let worker = world.start_worker_of(programs).await?.url.clone();
    world.wait_until_ready(&api).await?;
    world.wait_until_ready(&worker).await
}

#[tokio::test]
async fn the_release_before_works_on_this_schema_and_beside_this_release() -> Result<()> {
    let Some(previous) = previous()? else {
        return Ok(());
    };
    let mut world = World::start(Setup {
        apis: 0,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    // The schema is new, and nothing else is yet; or all has been rolled back.
    start(&mut world, Some(&previous)).await?;
    accounts_go_through(&world, 0, "before").await?;

    // Each takes up what the other stored.
    start(&mut world, None).await?;
    let old_worker = world.workers.remove(0);
    stop(old_worker).await?;
    accounts_go_through(&world, 0, "old_api_new_worker").await?;
    let new_worker = world.workers.remove(0);
    stop(new_worker).await?;
    let url = world.start_worker_of(Some(&previous)).await?.url.clone();
    world.wait_until_ready(&url).await?;
    accounts_go_through(&world, 1, "new_api_old_worker").await?;
    Ok(())
}
