//! Generators build clients from the OpenAPI document, and the clients read accounts. The scripts in `e2e/generators` generate a
//! client, use it and print what it read; these tests run the scripts.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack};
use serde_json::Value;
use tokio::process::Command;

use crate::requests::bank;

const CUSTOMER: &str = "customer_1122";
/// An id in the right form that no account has.
const UNKNOWN: &str = "banh_01k82u7s7aeqraoh1tia1a3hc8";
/// Time-out for a generator on a busy machine, which is all that a script takes time for.
const TIME_LIMIT: Duration = Duration::from_mins(8);
/// Members that every client shows as the API does; others are times, which clients turn into values of their languages.
const MEMBERS: [&str; 9] = [
    "id",
    "object_reference_id",
    "account_details",
    "status",
    "version",
    "currency",
    "metadata",
    "validation/name_match",
    "validation/failure",
];

#[tokio::test]
async fn a_client_of_each_generator_reads_accounts() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let mut form = bank("026291800001191", "YESB0000262");
    form.push(("metadata.order", "A-17"));
    let created = [
        stack.api.create(CUSTOMER, &form).await?.account()?,
        stack
            .api
            .create(CUSTOMER, &bank("026291800001190", "YESB0000262"))
            .await?
            .account()?,
        stack
            .api
            .create(CUSTOMER, &[("vpa", "9164326296@upi")])
            .await?
            .account()?,
    ];
    let mut accounts = Vec::new();
    for account in &created {
        let id = text(account, "/id");
        let finished = stack
            .api
            .wait_for(CUSTOMER, id, &["ACTIVE", "FAILURE"], TIMEOUT);
        accounts.push(finished.await?);
    }
    let document = stack.folder().join("openapi.json");
    std::fs::write(&document, documented()?)?;
    let python = tools()?.join("generators-python");
    let node = tools()?.join("generators-node");
    let clients = [
        (
            python.join("bin/python"),
            "openapi_python_client.py",
            &python,
        ),
        (python.join("bin/python"), "openapi_generator.py", &python),
        (
            python.join("bin/python"),
            "openapi_generator_go.py",
            &python,
        ),
        (PathBuf::from("node"), "typescript_client.mjs", &node),
    ];
    let runs = clients.map(|(interpreter, script, folder)| {
        let (stack, document, accounts) = (&stack, &document, &accounts);
        async move {
            let read = run(stack, &interpreter, script, folder, document, accounts).await?;
            anyhow::Ok((script, read))
        }
    });
    for (script, read) in try_join_all(runs).await? {
        let shown = read["accounts"].as_array().context("no accounts")?;
        ensure!(shown.len() == accounts.len(), "{script}: {read}");
        for (shown, account) in shown.iter().zip(&accounts) {
            for member in MEMBERS {
                let member = format!("/{member}");
                let (shown, expected) = (shown.pointer(&member), account.pointer(&member));
                ensure!(
                    shown == expected,
                    "{script}: {member}: {shown:?}, not {expected:?}"
                );
            }
        }
        ensure!(read["refused"] == "RESOURCE_NOT_FOUND", "{script}: {read}");
    }
    Ok(())
}

/// The guide's lines that log in are those of the clients that the tests run.
#[test]
fn the_guide_shows_the_login_of_each_generated_client() -> Result<()> {
    let guide = include_str!("../../../docs/api.md");
    for (script, parts) in [
        (
            "openapi_python_client.py",
            &[
                "token=token, prefix=\"Basic\")",
                "import get_account",
                "AuthenticatedClient(base_url=",
            ][..],
        ),
        (
            "client.ts",
            &[
                "btoa(`${process.env.KHATA_API_KEY}:`)",
                "createClient<paths>({",
                "authorization: `Basic ${key}`",
            ],
        ),
        (
            "openapi_generator.py",
            &[
                "password=\"\")",
                ".Configuration(host=",
                ".CustomerAccountsApi(client)",
            ],
        ),
        (
            "go_client.go",
            &[
                "khata.BasicAuth{UserName: os.Getenv(\"KHATA_API_KEY\")}",
                "context.WithValue(context.Background(), khata.ContextBasicAuth, key)",
            ],
        ),
        ("openapi_generator_go.py", &["enumClassPrefix=true"]),
    ] {
        let script_text = std::fs::read_to_string(scripts().join(script))?;
        for part in parts {
            ensure!(script_text.contains(part), "{script} has no {part}");
            ensure!(guide.contains(part), "the guide has no {part}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_document_passes_the_rules_that_redocly_recommends() -> Result<()> {
    let folder = tools()?.join("generators-node");
    let settings = scripts().join("redocly.yaml");
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let output = Command::new(folder.join("node_modules/.bin/redocly"))
        .arg("lint")
        .arg(document)
        .args(["--format", "json", "--config"])
        .arg(settings)
        .env("REDOCLY_TELEMETRY", "off")
        .env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run redocly")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&printed).with_context(|| {
        let complained = String::from_utf8_lossy(&output.stderr);
        format!("redocly printed no JSON: {printed} {complained}")
    })?;
    let totals = &report["totals"];
    ensure!(
        totals["errors"] == 0 && totals["warnings"] == 0,
        "{report:#}"
    );
    Ok(())
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("generators")
}

/// The committed document, which is that of the running API.
fn documented() -> Result<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    std::fs::read(path).context("docs/openapi.json")
}

fn tools() -> Result<PathBuf> {
    std::env::var_os("KHATA_TEST_TOOLS").map(PathBuf::from).context(
        "KHATA_TEST_TOOLS is not set: say e2e/tools.sh, and name the folder that it fills (.local/tools)",
    )
}

/// Runs a script in its tools' folder. Returns what its client read.
async fn run(
    stack: &TestStack,
    interpreter: &Path,
    script: &str,
    folder: &Path,
    document: &Path,
    accounts: &[Value],
) -> Result<Value> {
    let client = stack.folder().join(script).with_extension("client");
    let running = Command::new(interpreter)
        .arg(scripts().join(script))
        .arg(document)
        .arg(client)
        .arg(CUSTOMER)
        .args(accounts.iter().map(|account| text(account, "/id")))
        .arg(UNKNOWN)
        .current_dir(folder)
        // The machine's proxy cannot reach 127.0.0.1.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("KHATA_API_URL", &stack.api.url)
        .env("KHATA_API_KEY", &stack.api.key)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(TIME_LIMIT, running)
        .await
        .with_context(|| format!("{script} does not end"))?
        .with_context(|| format!("cannot run {}", interpreter.display()))?;
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script}: {}", complained.trim());
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{script} did not print one line of JSON: {complained}"))
}
