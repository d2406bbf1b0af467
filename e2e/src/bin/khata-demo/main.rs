//! `khata-demo`: the program of `make demo`. It posts accounts with known outcomes to the running local stack, waits until
//! they are final, and prints the results and the next steps. Its settings come from `.local/env`.

mod next_steps;
mod sample_accounts;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use khata_e2e::client::text;
use khata_e2e::{Api, GATEWAYS, Traces};
use serde_json::Value;

use crate::sample_accounts::{SECOND_GATEWAY, Sample, samples};

/// Time after which an unfinished account is not as expected.
const TIMEOUT: Duration = Duration::from_mins(1);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const PROGRESS: &str = "  [{bar:40}] {pos} of {len} final, {elapsed} {msg}";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match demo().await {
        Ok(is_good) => ExitCode::from(u8::from(!is_good)),
        Err(error) => {
            eprintln!("\nkhata-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An account that was posted.
struct Posted {
    sample: Sample,
    customer: String,
    id: String,
    began: Instant,
    /// The newest reply of the API.
    account: Value,
    /// The account's statuses so far, the oldest first.
    statuses: Vec<String>,
    /// Time until the account was final.
    took: Option<Duration>,
    trace_id: Option<String>,
}

impl Posted {
    fn is_final(&self) -> bool {
        ["ACTIVE", "FAILURE"].contains(&text(&self.account, "/status"))
    }

    /// Records a reply of the API.
    fn update(&mut self, account: Value) {
        self.account = account;
        let status = text(&self.account, "/status");
        if self.statuses.last().is_none_or(|last| last != status) {
            self.statuses.push(status.to_owned());
        }
        if self.is_final() && self.took.is_none() {
            self.took = Some(self.began.elapsed());
        }
    }

    /// Returns the name of the gateway that gave the outcome, or was called last.
    fn gateway(&self) -> &'static str {
        let id = self.account.pointer("/validation/gateway_id");
        let id = id.and_then(Value::as_i64).unwrap_or_default().to_string();
        if id == "100" {
            return "DUMMY";
        }
        let found = GATEWAYS.iter().find(|gateway| gateway.id == id);
        found.map_or("", |gateway| gateway.name)
    }

    fn is_as_expected(&self) -> bool {
        text(&self.account, "/status") == self.sample.status()
            && self.gateway() == self.sample.gateway
            && text(&self.account, "/validation/failure/code") == self.sample.failure
    }
}

/// Returns whether everything is as expected.
async fn demo() -> anyhow::Result<bool> {
    let api = Api::new(&setting("KHATA_API_URL")?, &setting("KHATA_API_KEY")?)?;
    let traces = Traces::new(&setting("KHATA_TRACES_URL")?);
    let folder = setting("KHATA_LOCAL_DIR")?;
    // New customers each time: the API returns a customer's existing accounts without another validation.
    let customer = format!("demo_{}", chrono::Utc::now().format("%Y%m%d_%H%M%S"));
    let samples = samples();
    println!(
        "\nPosting {} accounts to Khata, as a merchant's backend does, each of a customer of its own: {customer}_0 to {customer}_{}.",
        samples.len(),
        samples.len().saturating_sub(1)
    );
    println!(
        "Khata stores them at once, and validates them through Postgres, RabbitMQ and the merchant's gateways:\n"
    );

    // The bar appears on a terminal only.
    let progress = ProgressBar::new(samples.len() as u64)
        .with_style(ProgressStyle::with_template(PROGRESS)?.progress_chars("=> "));
    let mut posted = Vec::new();
    for (place, sample) in samples.into_iter().enumerate() {
        // The samples hold one account five times; each is posted for another customer.
        posted.push(post(&api, &format!("{customer}_{place}"), sample).await?);
    }
    wait_until_final(&api, &mut posted, &progress).await?;
    progress.finish_and_clear();
    println!("{}", table(&posted));

    let wrong: Vec<&Posted> = posted.iter().filter(|one| !one.is_as_expected()).collect();
    let folder = next_steps::relative(&folder);
    if wrong.is_empty() {
        println!("\nAll {} are as expected.", posted.len());
    } else {
        next_steps::print_unexpected(&folder, &wrong);
    }
    let mut all = posted.iter();
    if let Some(second) = all.find(|one| one.sample.what == SECOND_GATEWAY) {
        next_steps::print_attempts(&second.id);
    }
    next_steps::print_calls(&folder);
    let trace_id = posted.first().and_then(|one| one.trace_id.as_deref());
    let has_trace = next_steps::print_trace(&folder, &traces, trace_id).await;
    next_steps::print_stop(&folder);
    Ok(wrong.is_empty() && has_trace)
}

async fn post(api: &Api, customer: &str, sample: Sample) -> anyhow::Result<Posted> {
    let began = Instant::now();
    let reply = api.create(customer, &sample.form).await.with_context(|| {
        format!(
            "no reply from {}; `make status` shows the running parts",
            api.url
        )
    })?;
    let trace_id = reply.trace_id();
    let account = reply.account().context("the API rejected an account")?;
    let mut posted = Posted {
        sample,
        customer: customer.to_owned(),
        id: text(&account, "/id").to_owned(),
        began,
        account: Value::Null,
        statuses: Vec::new(),
        took: None,
        trace_id,
    };
    posted.update(account);
    Ok(posted)
}

/// Polls the accounts until each is final, or until the time-out.
async fn wait_until_final(
    api: &Api,
    posted: &mut [Posted],
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let end = Instant::now() + TIMEOUT;
    while posted.iter().any(|one| !one.is_final()) && Instant::now() < end {
        for one in posted.iter_mut().filter(|one| !one.is_final()) {
            let account = api.get(&one.customer, &one.id).await?.account()?;
            one.update(account);
        }
        let is_final = posted.iter().filter(|one| one.is_final()).count();
        progress.set_position(is_final as u64);
        let open = posted.iter().find(|one| !one.is_final());
        progress.set_message(open.map_or(String::new(), |one| {
            format!(
                "({} is {})",
                one.sample.masked,
                text(&one.account, "/status")
            )
        }));
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

/// Formats the accounts as a table, a row each.
fn table(posted: &[Posted]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "  example",
        "account",
        "gateway",
        "expected",
        "statuses",
        "name / failure",
        "seconds",
        "",
    ]);
    for one in posted {
        let failure = text(&one.account, "/validation/failure/code");
        let name = text(&one.account, "/validation/name_at_bank");
        let seconds = one.took.map(|took| format!("{:.1}", took.as_secs_f64()));
        let verdict = if one.is_as_expected() {
            "ok"
        } else {
            "NOT AS EXPECTED"
        };
        table.add_row([
            format!("  {}", one.sample.what).as_str(),
            &one.sample.masked,
            one.gateway(),
            one.sample.status(),
            &one.statuses.join(" > "),
            if failure.is_empty() { name } else { failure },
            &seconds.unwrap_or_default(),
            verdict,
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn setting(name: &str) -> anyhow::Result<String> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => bail!(
            "{name} is not set: run `make demo`, or `. .local/env` once `make up` has written it"
        ),
    }
}
