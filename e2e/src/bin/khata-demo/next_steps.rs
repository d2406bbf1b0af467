//! What a newcomer can do next.

use khata_e2e::Traces;
use khata_e2e::client::text;

use crate::{PATIENCE, Posted, SPANS_TRAVEL};

pub(crate) struct NextSteps<'a> {
    /// The stack's folder, `.local` of the checkout.
    pub(crate) folder: &'a str,
}

impl NextSteps<'_> {
    /// Says which outcomes were not the expected ones, and where to look.
    pub(crate) fn explain(&self, wrong: &[&Posted]) {
        println!("\nNot as expected, after {} s at most:", PATIENCE.as_secs());
        for one in wrong {
            let seen = ["/status", "/validation/failure/code"].map(|name| text(&one.account, name));
            let is = [seen[0], seen[1], one.gateway()].join(" ");
            let should_be = [one.case.status, one.case.failure, one.case.gateway].join(" ");
            let (masked, is, should_be) = (one.case.masked, is.trim_end(), should_be.trim_end());
            println!("  {masked} is {is} instead of {should_be} ({})", one.id);
        }
        println!(
            "  {}/logs/worker.log may tell why; each line about an account names it.",
            self.shown()
        );
    }

    /// Says how to go on; answers whether the viewer has the account's trace.
    pub(crate) async fn tell(&self, traces: &Traces, first: Option<&Posted>) -> bool {
        let shown = self.shown();
        println!("\nThe first of them by hand, from this folder:");
        println!("  . {}", quoted(&format!("{shown}/env")));
        println!(
            "  curl -u \"$KHATA_API_KEY:\" \"$KHATA_API_URL/customers/my_customer/accounts\" \\"
        );
        println!(
            "    -d ifsc=AABF0008032 -d account_number=026291800001191 -d beneficiary_name=test"
        );
        println!("and what became of it:");
        println!(
            "  curl -u \"$KHATA_API_KEY:\" \"$KHATA_API_URL/customers/my_customer/customer-accounts/list\""
        );
        let trace_id = first.and_then(|one| one.trace_id.as_deref());
        let has_trace = self.tell_of_trace(traces, trace_id).await;
        println!("\nLogs are in {shown}/logs. To stop everything:");
        if shown == ".local" {
            println!("  make down");
        } else {
            println!("  KHATA_LOCAL_DIR={} make down", quoted(&shown));
        }
        has_trace
    }

    async fn tell_of_trace(&self, traces: &Traces, trace_id: Option<&str>) -> bool {
        let Some(trace_id) = trace_id else {
            println!(
                "\nThe API told no trace of the first account: is OTEL_EXPORTER_OTLP_ENDPOINT set for it?"
            );
            return false;
        };
        let whole = traces.wait_for(trace_id, SPANS_TRAVEL, |trace| {
            !trace.named("POST ").is_empty() && !trace.named("settle").is_empty()
        });
        match whole.await {
            Ok(trace) => {
                println!(
                    "\nThe way of the one above through the API, RabbitMQ, the worker and the gateway, {} spans:",
                    trace.spans.len()
                );
                println!("  {}", traces.page(trace_id));
                true
            }
            Err(error) => {
                println!("\nThe trace viewer does not have the first account's trace: {error:#}");
                println!("  {}/logs/traces.log may tell why.", self.shown());
                false
            }
        }
    }

    /// The folder as seen from here, if it lies below.
    fn shown(&self) -> String {
        let below = std::env::current_dir().ok().and_then(|here| {
            let below = std::path::Path::new(self.folder).strip_prefix(here).ok()?;
            Some(below.to_string_lossy().into_owned())
        });
        below.unwrap_or_else(|| self.folder.to_owned())
    }
}

/// Shows what was tried for the account that the first gateway could not tell of, by the command that ops people use.
pub(crate) fn show_attempts(account: &str) {
    println!("\nThe last of them was saved by the second gateway. What was tried, and why:");
    println!("  khata-api account show {account}");
    let program = std::env::current_exe().map_or_else(
        |_| "khata-api".into(),
        |demo| demo.with_file_name("khata-api"),
    );
    let shown = std::process::Command::new(program)
        .args(["account", "show", account])
        .output();
    match shown {
        Ok(output) if output.status.success() => {
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                println!("  {line}");
            }
        }
        Ok(output) => println!("  {}", String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => println!("  cannot be shown: {error}"),
    }
}

/// As a shell takes it for one word.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}
