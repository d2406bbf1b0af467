//! The previous release works on this release's schema, and beside this release: a rolling upgrade runs both for some minutes,
//! and a rollback returns to it. `KHATA_TEST_PREVIOUS` names the folder of its programs; without it the test is skipped.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use khata_e2e::{Service, Setup, TIMEOUT, TestStack};
use serde_json::{Value, json};

const PREVIOUS: &str = "KHATA_TEST_PREVIOUS";
const COUNT: u64 = 20;

/// Returns the folder with `khata-api` and `khata-worker` of the previous release.
fn previous() -> Result<Option<PathBuf>> {
    let Some(folder) = std::env::var_os(PREVIOUS) else {
        // Not with a macro: the test runner hides the macro's output of a test that passes.
        let said = format!(
            "previous_release: skipped, because {PREVIOUS} names no folder with the programs of the previous release\n"
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

/// Creates accounts at one api, waits until a worker has validated them, and compares the replies of all apis.
async fn validate_accounts(stack: &TestStack, creator: usize, customer: &str) -> Result<()> {
    let details: Vec<Value> = (0..COUNT)
        .map(|place| json!({"account_number": (500_000 + place).to_string(), "ifsc": "AABF0008032", "beneficiary_name": "Asha Rao"}))
        .collect();
    let body =
        json!({ "bank_account_details": details, "upi_details": [{ "vpa": "9164326296@upi" }] });
    let created = stack.api_at(creator).create_json(customer, &body).await?;
    assert_eq!(created.accounts()?.len() as u64, COUNT + 1);
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    let mut lists = Vec::new();
    for place in 0..stack.apis.len() {
        let listed = stack.api_at(place).list(customer, "?count=100").await?;
        lists.push(listed.accounts()?);
    }
    let accounts = &lists[0];
    assert_eq!(accounts.len() as u64, COUNT + 1);
    let all_active = accounts.iter().all(|one| one["status"] == "ACTIVE");
    assert!(all_active, "{accounts:?}");
    assert!(lists.iter().all(|other| other == accounts), "{lists:?}");
    Ok(())
}

async fn stop(mut service: Service) -> Result<()> {
    service.process.terminate()?;
    assert!(service.process.wait(TIMEOUT).await?.success());
    Ok(())
}

async fn start(stack: &mut TestStack, programs: Option<&Path>) -> Result<()> {
    let api = stack.start_api_of(programs).await?.url.clone();
    let worker = stack.start_worker_of(programs).await?.url.clone();
    stack.wait_until_ready(&api).await?;
    stack.wait_until_ready(&worker).await
}

#[tokio::test]
async fn the_previous_release_works_on_this_schema_and_beside_this_release() -> Result<()> {
    let Some(previous) = previous()? else {
        return Ok(());
    };
    let mut stack = TestStack::start(Setup {
        apis: 0,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    // Only the schema is new, or everything else was rolled back.
    start(&mut stack, Some(&previous)).await?;
    validate_accounts(&stack, 0, "before").await?;

    // Each release continues the other's validations.
    start(&mut stack, None).await?;
    let old_worker = stack.workers.remove(0);
    stop(old_worker).await?;
    validate_accounts(&stack, 0, "old_api_new_worker").await?;
    let new_worker = stack.workers.remove(0);
    stop(new_worker).await?;
    let url = stack.start_worker_of(Some(&previous)).await?.url.clone();
    stack.wait_until_ready(&url).await?;
    validate_accounts(&stack, 1, "new_api_old_worker").await?;
    Ok(())
}
