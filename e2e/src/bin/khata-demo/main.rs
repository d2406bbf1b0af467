//! `khata-demo`: the walk of `make demo`. Posts accounts whose outcome is known to a running local stack, shows how each
//! gets there, and tells how to do the same by hand. Takes what `.local/env` says from its environment.

mod cases;
mod farewell;
mod table;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use khata_e2e::client::text;
use khata_e2e::{Api, Traces};
use serde_json::Value;

use crate::cases::{Case, SAVED, cases};
use crate::farewell::NextSteps;
use crate::table::{Row, Table};

/// After which an account that is not decided is not as expected.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long spans may be on their way to the viewer.
const SPANS_TRAVEL: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match walk().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nkhata-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// An account on its way.
struct Posted {
    case: Case,
    customer: String,
    id: String,
    began: Instant,
    /// As the API last told it.
    account: Value,
    trace_id: Option<String>,
}

impl Posted {
    fn is_decided(&self) -> bool {
        ["ACTIVE", "FAILURE"].contains(&text(&self.account, "/status"))
    }

    /// Who told the outcome, or was asked last.
    fn gateway(&self) -> &'static str {
        match self
            .account
            .pointer("/validation/gateway_id")
            .and_then(Value::as_i64)
        {
            Some(12) => "PAYU",
            Some(23) => "RAZORPAY",
            Some(70) => "CASHFREE",
            Some(100) => "DUMMY",
            Some(1001) => "SETU",
            Some(1002) => "DECENTRO",
            _ => "",
        }
    }

    fn is_as_expected(&self) -> bool {
        text(&self.account, "/status") == self.case.status
            && self.gateway() == self.case.gateway
            && text(&self.account, "/validation/failure/code") == self.case.failure
    }
}

async fn walk() -> anyhow::Result<bool> {
    let api = Api::new(&setting("KHATA_API_URL")?, &setting("KHATA_API_KEY")?)?;
    let traces = Traces::new(&setting("KHATA_TRACES_URL")?);
    let folder = setting("KHATA_LOCAL_DIR")?;
    // A new customer each time: accounts that a customer has are not validated again.
    let customer = format!("demo_{}", chrono::Utc::now().format("%Y%m%d_%H%M%S"));
    let cases: Vec<Case> = cases().collect();
    println!(
        "\nA merchant's backend posts {} accounts of customer {customer} to Khata.",
        cases.len()
    );
    println!(
        "They are stored at once, and proven through Postgres, RabbitMQ and the merchant's gateways:\n"
    );

    let mut table = Table::begin(cases.iter().map(Row::waiting).collect());
    let mut posted = Vec::new();
    for (place, case) in cases.into_iter().enumerate() {
        // The same account at five gateways: each of a customer of its own, or the standing one would be answered.
        let customer = format!("{customer}_{place}");
        let account = post(&api, &customer, case).await?;
        table.change(place, Row::of(&account));
        posted.push(account);
    }
    watch(&api, &mut posted, &mut table).await?;

    let wrong: Vec<&Posted> = posted.iter().filter(|one| !one.is_as_expected()).collect();
    let farewell = NextSteps { folder: &folder };
    if wrong.is_empty() {
        println!("\nAll {} came out as expected.", posted.len());
    } else {
        farewell.explain(&wrong);
    }
    if let Some(saved) = posted.iter().find(|one| one.case.what == SAVED.what) {
        farewell::show_attempts(&saved.id);
    }
    let has_trace = farewell.tell(&traces, posted.first()).await;
    Ok(wrong.is_empty() && has_trace)
}

async fn post(api: &Api, customer: &str, case: Case) -> anyhow::Result<Posted> {
    let began = Instant::now();
    let answer = api
        .create(customer, case.form)
        .await
        .with_context(|| format!("{} does not answer; `make status` tells what runs", api.url))?;
    let trace_id = answer.trace_id();
    let account = answer.account().context("an account was not taken")?;
    Ok(Posted {
        case,
        customer: customer.to_owned(),
        id: text(&account, "/id").to_owned(),
        began,
        account,
        trace_id,
    })
}

/// Looks until each is decided, or until patience ends.
async fn watch(api: &Api, posted: &mut [Posted], table: &mut Table) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    while posted.iter().any(|one| !one.is_decided()) && Instant::now() < end {
        for (place, one) in posted
            .iter_mut()
            .enumerate()
            .filter(|(_, one)| !one.is_decided())
        {
            one.account = api.get(&one.customer, &one.id).await?.account()?;
            table.change(place, Row::of(one));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

fn setting(name: &str) -> anyhow::Result<String> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        _ => bail!(
            "{name} is not set: run `make demo`, or `. .local/env` once `make up` has written it"
        ),
    }
}
