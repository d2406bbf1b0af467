//! The sandbox against code of the gateways: where a gateway's own client library has the call, this test points the library at
//! the sandbox, and checks that the library reads the replies as the gateway's documents promise. The scripts in `clients` use the
//! libraries; this file runs them. The crate's README lists the calls that no library has.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::Parser;
use khata_sandbox::{Application, Settings};
use serde_json::{Value, json};
use tokio::process::Command;

/// Time-out of a script with a dozen calls; the interpreter needs most of it.
const SCRIPT_TIMEOUT: Duration = Duration::from_mins(1);

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
    // The texts of its error classes; each was raised by its own class.
    for (said, words) in [
        ("malformed", "Invalid VPA"),
        ("technical", "The gateway request timed out"),
        ("stranger", "Authentication failed"),
        ("no_payment", "The id provided does not exist"),
        ("down", "We are facing some trouble"),
        ("changed", "Razorpay Signature Verification Failed"),
        ("other_secret", "Razorpay Signature Verification Failed"),
    ] {
        let text = seen[said].as_str().unwrap();
        assert!(text.starts_with(words), "{said}: {text}");
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
async fn cashfree_s_python_client_accepts_the_sandbox_s_signature_and_no_other() {
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

/// Runs a script in its client's folder against a sandbox of its own, and returns the JSON that it printed.
async fn run(interpreter: &Path, folder: &Path, script: &str) -> Value {
    let arguments = ["khata-sandbox", "--sandbox-listen", "127.0.0.1:0"];
    let application = Application::build(&Settings::parse_from(arguments)).unwrap();
    let port = application.port();
    actix_web::rt::spawn(application.run_until_stopped());
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/clients");
    let running = Command::new(interpreter)
        .arg(scripts.join(script))
        .current_dir(folder)
        // Without the machine's proxy, which is not for 127.0.0.1.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        // Python leaves no files beside the scripts.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SANDBOX_URL", format!("http://127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(SCRIPT_TIMEOUT, running)
        .await
        .unwrap_or_else(|_| panic!("{script} does not end"))
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", interpreter.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}", said.trim());
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{script} did not print one line of JSON: {error}"))
}
