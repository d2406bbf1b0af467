//! Next steps for a newcomer. `folder` is the stack's folder, as [`relative`] returns it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use khata_e2e::Traces;
use khata_e2e::client::text;

use crate::{Posted, TIMEOUT};

/// Time that spans may need to reach the viewer.
const SPAN_DELAY: Duration = Duration::from_secs(15);

/// Returns the folder relative to the working directory, if it is below.
pub(crate) fn relative(folder: &str) -> String {
    let below = std::env::current_dir().ok().and_then(|here| {
        let below = Path::new(folder).strip_prefix(here).ok()?;
        Some(below.to_string_lossy().into_owned())
    });
    below.unwrap_or_else(|| folder.to_owned())
}

/// Prints the accounts that are not as expected, and the log to read.
pub(crate) fn print_unexpected(folder: &str, wrong: &[&Posted]) {
    println!("\nNot as expected after {} s:", TIMEOUT.as_secs());
    for one in wrong {
        let seen = ["/status", "/validation/failure/code"].map(|name| text(&one.account, name));
        let sample = &one.sample;
        let is = [seen[0], seen[1], one.gateway()].join(" ");
        let expected = [sample.status(), sample.failure, sample.gateway].join(" ");
        let (masked, is, expected) = (&sample.masked, is.trim_end(), expected.trim_end());
        println!("  {masked} is {is} instead of {expected} ({})", one.id);
    }
    println!("  See {folder}/logs/worker.log: each line about an account has its id.");
}

/// Prints the attempts of the account that the second gateway validated, with the operator's command.
pub(crate) fn print_attempts(account: &str) {
    println!("\nThe second gateway validated the last account. Its attempts:");
    println!("  khata account show {account}");
    let program = std::env::current_exe()
        .map_or_else(|_| "khata".into(), |demo| demo.with_file_name("khata"));
    let shown = Command::new(program)
        .args(["account", "show", account])
        .output();
    match shown {
        Ok(output) if output.status.success() => {
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                println!("  {line}");
            }
        }
        Ok(output) => println!("  {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => println!("  cannot run the command: {error}"),
    }
}

/// Prints the calls that create the first account and list the result.
pub(crate) fn print_calls(folder: &str) {
    println!("\nTo post the first account by hand, in this folder:");
    println!("  . {}", quoted(&format!("{folder}/env")));
    println!(
        "  curl -u \"$KHATA_API_KEY:\" \"$KHATA_API_URL/customers/my_customer/accounts\" \\
    -d ifsc=AABF0008032 -d account_number=026291800001191 -d beneficiary_name=test
and to see its result:
  curl -u \"$KHATA_API_KEY:\" \"$KHATA_API_URL/customers/my_customer/customer-accounts/list\""
    );
}

/// Prints the page of the first account's trace. Returns whether the viewer has the trace.
pub(crate) async fn print_trace(folder: &str, traces: &Traces, trace_id: Option<&str>) -> bool {
    let Some(trace_id) = trace_id else {
        println!(
            "\nThe reply for the first account has no trace id: set OTEL_EXPORTER_OTLP_ENDPOINT for khata-api."
        );
        return false;
    };
    let whole = traces.wait_for(trace_id, SPAN_DELAY, |trace| {
        !trace.named("POST ").is_empty() && !trace.named("settle").is_empty()
    });
    match whole.await {
        Ok(trace) => {
            println!(
                "\nThe first account's trace through the API, RabbitMQ, the worker and the gateway, {} spans:",
                trace.spans.len()
            );
            println!("  {}", traces.page(trace_id));
            true
        }
        Err(error) => {
            println!("\nThe trace viewer does not have the first account's trace: {error:#}");
            println!("  See {folder}/logs/traces.log.");
            false
        }
    }
}

/// Prints where the logs are, and the command that stops the stack.
pub(crate) fn print_stop(folder: &str) {
    println!("\nThe logs are in {folder}/logs. To stop everything:");
    if folder == ".local" {
        println!("  make down");
    } else {
        println!("  KHATA_LOCAL_DIR={} make down", quoted(folder));
    }
}

/// Quotes a path for a shell, if needed.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}
