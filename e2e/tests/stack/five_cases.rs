//! The five cases of docs/operations.md, "Five typical cases", each with an account of its own on the real programs: what
//! the page quotes is what the commands print, the metrics count and the trace tells, and what it says to do helps.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{
    Answer, Api, Behaviour, Errors, GatewayAccount, PATIENCE, SandboxGateway, Setup, Span, Trace,
    World, eventually,
};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::calls::bank;
use crate::runbook;

const SECTION: &str = "## Five typical cases";

/// A merchant with one gateway account, for a case of its own.
struct Case {
    /// What the page calls it.
    row: &'static str,
    merchant: &'static str,
    gateway: &'static str,
    reference_id: &'static str,
    /// Where they are not the right ones.
    credentials: Option<&'static str>,
    settings: &'static str,
}

const CASES: [Case; 5] = [
    Case {
        row: "The gateway is down",
        merchant: "down",
        gateway: "RAZORPAY",
        reference_id: "razorpay_down",
        ..USUAL
    },
    Case {
        row: "The credential is wrong",
        merchant: "wrong",
        reference_id: "cashfree_wrong",
        credentials: Some(r#"{"client_id":"sandbox_client","client_secret":"not_this_one"}"#),
        ..USUAL
    },
    Case {
        row: "The account waits for a poll",
        merchant: "slow",
        reference_id: "cashfree_slow",
        settings: r#"{"poll_ms":[600000]}"#,
        ..USUAL
    },
    Case {
        row: "Refused by the merchant's own limits",
        merchant: "limited",
        reference_id: "cashfree_limited",
        ..USUAL
    },
    Case {
        row: "Plainly invalid",
        merchant: "invalid",
        reference_id: "cashfree_invalid",
        ..USUAL
    },
];

const USUAL: Case = Case {
    row: "",
    merchant: "",
    gateway: "CASHFREE",
    reference_id: "",
    credentials: None,
    settings: "{}",
};

/// Validations that make a circuit open: more than the fewest that are counted.
const ENOUGH: usize = 6;
/// Slower than the limit of requests that is set.
const PACE: Duration = Duration::from_millis(300);

impl Case {
    /// Sets up the gateway account, with the credentials that the gateway takes or those of the case.
    fn set_up(&self, world: &World, are_right: bool) -> Result<()> {
        let gateway = SandboxGateway::named(self.gateway);
        let base_url = gateway.base_url(&world.sandbox);
        let usual = gateway.account(&base_url, 1);
        let credentials = self.credentials.filter(|_| !are_right);
        // Settings of the gateway's own, which the case adds to.
        let mut settings: Value = serde_json::from_str(usual.settings)?;
        let own: Map<String, Value> = serde_json::from_str(self.settings)?;
        for (name, value) in own {
            settings[name] = value;
        }
        world.set_gateway_account(&GatewayAccount {
            merchant: self.merchant,
            reference_id: self.reference_id,
            credentials: credentials.unwrap_or(usual.credentials),
            settings: &settings.to_string(),
            ..usual
        })?;
        Ok(())
    }
}

/// The account of a case, and the call whose trace tells of it.
struct Prepared {
    account: String,
    trace: String,
}

impl Prepared {
    fn by(account: &str, answer: &Answer) -> Result<Self> {
        Ok(Self {
            account: account.to_owned(),
            trace: answer.trace_id().context("an answer without a trace")?,
        })
    }
}

async fn create(api: &Api, number: &str) -> Result<Prepared> {
    let answer = api.create("payee", &bank(number, "AABF0008032")).await?;
    let account = answer.clone().account()?;
    Prepared::by(text(&account, "/id"), &answer)
}

/// A gateway that fails each call, and so many of them that it is left alone.
async fn down(world: &World, api: &Api) -> Result<Prepared> {
    let broken = Behaviour {
        error_rate: 1.0,
        errors: Errors::BeforeWork,
        ..Behaviour::default()
    };
    world.sandbox.behave_as("RAZORPAY", broken).await?;
    for number in 1..ENOUGH {
        create(api, &format!("8100001{number}")).await?;
    }
    create(api, "81000001").await
}

/// An account that was validated as often as it may be, and a key that calls more often than it may.
async fn limited(api: &Api) -> Result<Prepared> {
    let account = create(api, "84000001").await?.account;
    eventually(PATIENCE, "the account being ACTIVE", async || {
        tokio::time::sleep(PACE).await;
        let seen = api.get("payee", &account).await?.account()?;
        anyhow::Ok((seen["status"] == "ACTIVE").then_some(()))
    })
    .await?;
    let path = format!("/customers/payee/customer-accounts/{account}/validate");
    let refused = api.send(api.call(Method::POST, &path)).await?;
    assert_eq!(refused.status, 429, "{}", refused.text);
    let answers = try_join_all((0..30).map(|_| api.get("payee", &account))).await?;
    assert!(answers.iter().any(|answer| answer.status == 429));
    Prepared::by(&account, &refused)
}

/// What the commands that the page names for it print now, on one line.
fn printed(world: &World, case: &Case, account: &str) -> Result<String> {
    let test = [
        "gateway",
        "test",
        "--merchant",
        case.merchant,
        "--gateway",
        case.gateway,
        "--reference-id",
        case.reference_id,
    ];
    let tested = world.try_command(&test)?;
    let pages = [
        world.command(&["account", "show", account])?,
        world.command(&["gateway", "list", "--merchant", case.merchant])?,
        world.command(&["merchant", "show", "--merchant", case.merchant])?,
        tested.printed,
        tested.complaint,
    ];
    // Long values go on below themselves.
    let words = pages.iter().flat_map(|page| page.split_whitespace());
    Ok(words.collect::<Vec<_>>().join(" "))
}

/// The lines of `/metrics` that this selector of the page's means, for the case's merchant, with a number above nothing.
async fn measured(world: &World, merchant_id: &str, selector: &str) -> Result<Vec<String>> {
    let (name, labels) = selector.split_once('{').unwrap_or((selector, ""));
    let labels: Vec<&str> = labels
        .trim_end_matches('}')
        .split(',')
        .filter(|label| !label.is_empty() && !label.contains('…'))
        .map(str::trim)
        .collect();
    let mut lines = Vec::new();
    for service in world.apis.iter().chain(&world.workers) {
        let page = reqwest::get(format!("http://{}/metrics", service.metrics)).await?;
        lines.extend(page.text().await?.lines().map(str::to_owned));
    }
    lines.retain(|line| {
        let value = line
            .split(" # ")
            .next()
            .and_then(|it| it.rsplit(' ').next());
        line.starts_with(&format!("{name}{{"))
            && line.contains(&format!("merchant_id=\"{merchant_id}\""))
            && labels.iter().all(|label| line.contains(label))
            && value.is_some_and(|value| value.parse::<f64>().is_ok_and(|value| value > 0.0))
    });
    Ok(lines)
}

/// Holds one row of the page to what is.
async fn assert_told(world: &World, case: &Case, prepared: &Prepared) -> Result<()> {
    let page = runbook::page();
    let row = runbook::row(&page, SECTION, case.row);
    let quotes = runbook::quoted(row);
    assert!(quotes.len() >= 3, "{}: {quotes:?}", case.row);
    let what = format!("what the page quotes of {:?}", case.row);
    eventually(PATIENCE, &what, async || {
        let printed = printed(world, case, &prepared.account)?;
        let missing: Vec<_> = quotes
            .iter()
            .filter(|quote| !runbook::says(&printed, quote))
            .collect();
        anyhow::ensure!(missing.is_empty(), "{missing:#?} is not in {printed}");
        Ok(Some(()))
    })
    .await?;

    let shown = shown(world, &prepared.account)?;
    let code = runbook::code(row);
    let metrics: Vec<_> = code.iter().filter(|it| it.starts_with("khata_")).collect();
    assert!(!metrics.is_empty(), "{}", case.row);
    for selector in metrics {
        // Those of the database are read every fifteen seconds.
        eventually(PATIENCE, selector, async || {
            let lines = measured(world, text(&shown, "/merchant_id"), selector).await?;
            anyhow::Ok((!lines.is_empty()).then_some(()))
        })
        .await?;
    }

    // As in `khata.class=INVALID`: what a span of the trace has.
    let tags = code.iter().filter_map(|it| it.split_once('='));
    let tags: Vec<_> = tags.filter(|(name, _)| !name.contains('{')).collect();
    assert!(!tags.is_empty(), "{}", case.row);
    let is_told = |trace: &Trace| {
        let has = |span: &Span, name, value| span.value(name).as_deref() == Some(value);
        let mut tags = tags.iter();
        tags.all(|(name, value)| trace.spans.iter().any(|span| has(span, name, *value)))
    };
    let traces = world.traces()?;
    traces.wait_for(&prepared.trace, PATIENCE, is_told).await?;
    // A call that is refused stores nothing: its trace is known to who made it.
    if case.merchant != "limited" {
        assert_eq!(text(&shown, "/trace_id"), prepared.trace, "{}", case.row);
    }
    Ok(())
}

fn shown(world: &World, account: &str) -> Result<Value> {
    let printed = world.command(&["account", "show", account, "--json"])?;
    Ok(serde_json::from_str(&printed)?)
}

#[tokio::test]
async fn what_is_wrong_and_what_to_do_can_be_told_from_outside() -> Result<()> {
    let mut world = World::start(Setup {
        traces: true,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let mut apis = Vec::new();
    for case in &CASES {
        apis.push(world.api.with_key(&world.issue_key(case.merchant)?));
        case.set_up(&world, false)?;
    }
    // Before its first call: nobody knows another setting yet.
    let limits = [
        "--validations-per-account-per-day=1",
        "--requests-per-second=10",
    ];
    let set = ["merchant", "set", "--merchant", "limited"];
    world.command(&[&set[..], &limits].concat())?;
    world.start_worker().await?;
    let prepared = [
        down(&world, &apis[0]).await?,
        create(&apis[1], "82000001").await?,
        create(&apis[2], "83000001").await?,
        limited(&apis[3]).await?,
        create(&apis[4], "850000099009912").await?,
    ];
    let page = runbook::page();
    let rows = CASES.map(|case| case.row);
    assert_eq!(runbook::first_cells(&page, SECTION), rows);
    for (case, prepared) in CASES.iter().zip(&prepared) {
        assert_told(&world, case, prepared).await?;
    }

    // What a statement of the page finds is what the commands take.
    let oldest = runbook::statement(&page, "order by created_at limit 10");
    let found = world
        .database
        .texts(&format!("select account_id from ({oldest}) as found"))?;
    let mut waiting = Vec::new();
    for id in &found {
        waiting.push(text(&shown(&world, id)?, "/id").to_owned());
    }
    for (case, prepared) in CASES.iter().zip(&prepared).take(3) {
        assert!(waiting.contains(&prepared.account), "{}", case.row);
    }
    what_the_page_says_helps(&world, &prepared).await
}

/// Each that waits is brought to its end, and the limit is raised.
async fn what_the_page_says_helps(world: &World, prepared: &[Prepared; 5]) -> Result<()> {
    let well = Behaviour::default();
    world.sandbox.behave_as("RAZORPAY", well).await?;
    CASES[1].set_up(world, true)?;
    let set = ["merchant", "set", "--merchant", "limited"];
    world.command(&[&set[..], &["--validations-per-account-per-day=2"]].concat())?;
    for (case, prepared) in CASES.iter().zip(prepared).take(3) {
        eventually(PATIENCE, case.row, async || {
            let is_active = shown(world, &prepared.account)?["status"] == "ACTIVE";
            if !is_active {
                // A worker may be on it.
                let _ = world.try_command(&["account", "retry", &prepared.account])?;
                tokio::time::sleep(PACE).await;
            }
            anyhow::Ok(is_active.then_some(()))
        })
        .await?;
    }
    let limited = shown(world, &prepared[3].account)?;
    assert_eq!(
        limited["validations_24h"],
        json!({ "used": 1, "limit": 2, "refused_until": null })
    );
    Ok(())
}
