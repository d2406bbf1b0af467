//! The sandbox, held to something that we did not write: where a gateway's own client library has the call, it is pointed at
//! the sandbox, and what the library makes of the answers is what the gateway's documents promise. The scripts in `clients`
//! use the libraries; here is who runs them. What no library has a call for is told in the crate's README.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Parser;
use khata_sandbox::{Application, Settings};
use serde_json::{Value, json};
use tokio::process::Command;

/// For a dozen calls; the interpreters need most of it.
const PATIENCE: Duration = Duration::from_mins(1);

#[actix_web::test]
async fn razorpay_s_python_client_reads_the_sandbox_as_razorpay() {
    let seen = python("razorpay_python.py").await;
    let valid = &seen["valid"];
    assert_eq!(valid["vpa"], "asha@okhdfcbank");
    assert_eq!(valid["success"], true);
    assert!(valid["customer_name"].as_str().unwrap().contains(' '));
    assert_eq!(
        seen["invalid"],
        json!({"vpa": "asha.99009931@okhdfcbank", "success": false})
    );
    // What its error classes say; each was raised by its own class.
    for (said, words) in [
        ("malformed", "Invalid VPA"),
        ("technical", "The gateway request timed out"),
        ("stranger", "Authentication failed"),
        ("no_payment", "The id provided does not exist"),
        ("down", "We are facing some trouble"),
        ("changed", "Razorpay Signature Verification Failed"),
        ("other_secret", "Razorpay Signature Verification Failed"),
    ] {
        let told = seen[said].as_str().unwrap();
        assert!(told.starts_with(words), "{said}: {told}");
    }
    let (created, looked_up) = (&seen["created"], &seen["looked_up"]);
    assert_eq!(created["entity"], "fund_account.validation");
    assert_eq!(created["status"], "created");
    assert_eq!(looked_up["id"], created["id"]);
    assert_eq!(looked_up["status"], "completed");
    assert_eq!(
        looked_up["validation_results"]["registered_name"],
        "ASHA RAO"
    );
    assert_eq!(seen["signed"], true);
    let event: Value = serde_json::from_str(seen["event"].as_str().unwrap()).unwrap();
    assert_eq!(event["event"], "fund_account.validation.completed");
    let entity = &event["payload"]["fund_account.validation"]["entity"];
    assert_eq!(entity, looked_up, "called back as looked up");
}

#[actix_web::test]
async fn cashfree_s_python_client_believes_the_sandbox_s_signature_and_no_other() {
    let seen = python("cashfree_python.py").await;
    let event: Value = serde_json::from_str(seen["event"].as_str().unwrap()).unwrap();
    assert_eq!(event["event_type"], "BANK_ACCOUNT_VERIFICATION_SUCCESS");
    assert_eq!(seen["as_it_came"], "believed, without type");
    for bent in ["changed", "later", "other_secret"] {
        assert_eq!(
            seen[bent], "Generated signature and received signature did not match.",
            "{bent}"
        );
    }
}

#[actix_web::test]
async fn payu_s_node_client_reads_the_sandbox_as_payu() {
    let tools = tools().join("gateways-node");
    let seen = run(Path::new("node"), &tools, "payu.mjs").await;
    assert_eq!(seen["published"]["isVPAValid"], 1);
    assert_eq!(seen["published"]["payerAccountName"], "ABC");
    assert_eq!(seen["invalid"]["isVPAValid"], 0);
    assert_eq!(
        seen["no_payment"],
        json!({
            "status": 0, "msg": "0 out of 1 Transactions Fetched Successfully",
            "transaction_details": {"nobody": {"mihpayid": "Not Found", "status": "Not Found"}},
        })
    );
    assert_eq!(
        seen["wrong_salt"],
        json!({"status": 0, "msg": "Invalid Hash."})
    );
}

fn tools() -> PathBuf {
    std::env::var_os("KHATA_TEST_TOOLS").map(PathBuf::from).expect(
        "KHATA_TEST_TOOLS is not set: this test needs the gateways' own clients; run it through `make test`, or install them \
         with `e2e/tools.sh` and name their folder (.local/tools) here",
    )
}

async fn python(script: &str) -> Value {
    let tools = tools().join("gateways-python");
    run(&tools.join("bin/python"), &tools, script).await
}

/// Runs a script in its client's folder against a sandbox of its own, and answers what it saw.
async fn run(interpreter: &Path, folder: &Path, script: &str) -> Value {
    let arguments = ["khata-sandbox", "--sandbox-listen", "127.0.0.1:0"];
    let application = Application::build(&Settings::parse_from(arguments)).unwrap();
    let port = application.port();
    actix_web::rt::spawn(application.run_until_stopped());
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/clients");
    let running = Command::new(interpreter)
        .arg(scripts.join(script))
        .current_dir(folder)
        // No proxy of the machine's: it is not for 127.0.0.1.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        // Nothing is left beside the scripts.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SANDBOX_URL", format!("http://127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, running)
        .await
        .unwrap_or_else(|_| panic!("{script} does not end"))
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", interpreter.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}", said.trim());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{script} did not print one line of JSON: {error}"))
}
