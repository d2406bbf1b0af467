//! Juspay's own client libraries work with another base URL and no other change. The scripts in `e2e/clients` use the libraries
//! and check their results; these tests run the scripts.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use khata_e2e::client::text;
use khata_e2e::{Setup, TestStack};
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;

use crate::https::Https;

/// Time-out for a dozen calls; the interpreters need most of the time.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A name that cannot exist elsewhere (RFC 6761).
const HOST: &str = "khata.test";

#[tokio::test]
async fn the_python_client_needs_another_base_url_only() -> Result<()> {
    let tools = tools()?.join("python");
    let stack = stack().await?;
    let python = tools.join("bin/python");
    let settings = [("KHATA_API_URL", stack.api.url.clone())];
    let seen = run(&stack, &tools, &python, "juspay_python.py", &settings).await?;
    compare_with_khata(&seen, &stack).await
}

#[tokio::test]
async fn the_node_client_needs_another_base_url_only() -> Result<()> {
    let tools = tools()?.join("node");
    let stack = stack().await?;
    // The client uses https only.
    let service = stack.api.url.trim_start_matches("http://").parse()?;
    let https = Https::in_front_of(service, HOST).await?;
    let certificate = https.certificate().to_string_lossy().into_owned();
    let settings = [
        ("KHATA_API_URL", format!("https://{HOST}")),
        ("KHATA_TLS_PORT", https.port().to_string()),
        ("NODE_EXTRA_CA_CERTS", certificate),
    ];
    let node = Path::new("node");
    let seen = run(&stack, &tools, node, "expresscheckout.mjs", &settings).await?;
    compare_with_khata(&seen, &stack).await
}

async fn stack() -> Result<TestStack> {
    TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await
}

fn tools() -> Result<PathBuf> {
    std::env::var_os("KHATA_TEST_TOOLS").map(PathBuf::from).context(
        "KHATA_TEST_TOOLS is not set: this test needs Juspay's clients; run it through `make test`, or install them \
         with `e2e/tools.sh` and name their folder (.local/tools) here",
    )
}

/// Runs a script in its client's folder, with these settings and the merchant's key. Returns its results.
async fn run(
    stack: &TestStack,
    folder: &Path,
    interpreter: &Path,
    script: &str,
    settings: &[(&str, String)],
) -> Result<Value> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let running = Command::new(interpreter)
        .arg(scripts.join(script))
        .current_dir(folder)
        // The machine's proxy cannot reach 127.0.0.1.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KHATA_API_KEY", &stack.api.key)
        .envs(settings.iter().cloned())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(TIMEOUT, running)
        .await
        .with_context(|| format!("{script} does not end"))?
        .with_context(|| format!("cannot run {}", interpreter.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{script}: {}", said.trim());
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{script} did not print one line of JSON"))
}

/// Compares the client's last result with Khata's data.
async fn compare_with_khata(seen: &Value, stack: &TestStack) -> Result<()> {
    let path = format!("/customers/{}", text(seen, "/updated/id"));
    let request = stack.api.call(Method::GET, &path);
    let held = stack.api.send(request).await?.expect_status(200)?.json();
    let updated = seen["updated"].as_object().context("no updated customer")?;
    assert!(updated.len() >= 10, "{updated:?}");
    for (name, value) in updated {
        assert_eq!(&held[name], value, "{name}");
    }
    Ok(())
}
