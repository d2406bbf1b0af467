//! Schemathesis makes calls from the OpenAPI document, and compares the replies with it.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use khata_e2e::{Setup, TestStack};
use tokio::process::Command;

#[tokio::test]
async fn the_openapi_document_matches_the_api() -> Result<()> {
    let tools = std::env::var_os("KHATA_TEST_TOOLS").context(
        "KHATA_TEST_TOOLS is not set: say e2e/tools.sh, and name the folder that it fills (.local/tools)",
    )?;
    let stack = TestStack::start(Setup::default()).await?;
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("api/check");
    let output = Command::new(check)
        .env("KHATA_TEST_TOOLS", tools)
        .env("KHATA_API_URL", &stack.api.url)
        .env("KHATA_API_KEY", &stack.api.key)
        .env("KHATA_API_REPORT", stack.folder().join("openapi"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run e2e/api/check")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{complained}");
    Ok(())
}
