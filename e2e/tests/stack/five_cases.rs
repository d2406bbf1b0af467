//! The five cases of docs/operations.md, "Five typical cases", each with its own account and the real programs: the commands,
//! metrics and traces show what the page quotes, and the page's advice helps.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{
    Api, Behaviour, Errors, GatewayAccount, HttpReply, SandboxGateway, Setup, Span, TIMEOUT,
    TestStack, Trace, eventually,
};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::requests::bank;
use crate::runbook;

const SECTION: &str = "## Five typical cases";

/// A case: a merchant with one gateway account.
struct Case {
    /// Name of the case on the page.
    row: &'static str,
    merchant: &'static str,
    gateway: &'static str,
    reference_id: &'static str,
    /// Wrong credentials, if the case has some.
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

/// Number of failed validations that opens a circuit: above the breaker's minimum.
const ENOUGH: usize = 6;
/// Interval between requests that keeps below the limit.
const PACE: Duration = Duration::from_millis(300);

impl Case {
    /// Sets up the gateway account with the right credentials, or with those of the case.
    fn set_up(&self, stack: &TestStack, are_right: bool) -> Result<()> {
        let gateway = SandboxGateway::named(self.gateway);
        let base_url = gateway.base_url(&stack.sandbox);
        let usual = gateway.account(&base_url, 1);
        let credentials = self.credentials.filter(|_| !are_right);
        // The case adds settings to the gateway's own.
        let mut settings: Value = serde_json::from_str(usual.settings)?;
        let own: Map<String, Value> = serde_json::from_str(self.settings)?;
        for (name, value) in own {
            settings[name] = value;
        }
        stack.set_gateway_account(&GatewayAccount {
            merchant: self.merchant,
            reference_id: self.reference_id,
            credentials: credentials.unwrap_or(usual.credentials),
            settings: &settings.to_string(),
            ..usual
        })?;
        Ok(())
    }
}

/// The account of a case, and the trace of its call.
struct Prepared {
    account: String,
    trace: String,
}

impl Prepared {
    fn by(account: &str, reply: &HttpReply) -> Result<Self> {
        Ok(Self {
            account: account.to_owned(),
            trace: reply.trace_id().context("a reply without a trace")?,
        })
    }
}

async fn create(api: &Api, number: &str) -> Result<Prepared> {
    let reply = api.create("payee", &bank(number, "AABF0008032")).await?;
    let account = reply.clone().account()?;
    Prepared::by(text(&account, "/id"), &reply)
}

/// Makes a gateway fail every call until its circuit opens.
async fn down(stack: &TestStack, api: &Api) -> Result<Prepared> {
    let broken = Behaviour {
        error_rate: 1.0,
        errors: Errors::BeforeWork,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour_of("RAZORPAY", broken).await?;
    // The later ones may find the circuit open.
    let first = create(api, "81000001").await?;
    for number in 1..ENOUGH {
        create(api, &format!("8100001{number}")).await?;
    }
    Ok(first)
}

/// Uses up the daily limit of an account, and the request limit of a key.
async fn limited(api: &Api) -> Result<Prepared> {
    let account = create(api, "84000001").await?.account;
    eventually(TIMEOUT, "the account being ACTIVE", async || {
        tokio::time::sleep(PACE).await;
        let seen = api.get("payee", &account).await?.account()?;
        anyhow::Ok((seen["status"] == "ACTIVE").then_some(()))
    })
    .await?;
    let path = format!("/customers/payee/customer-accounts/{account}/validate");
    let refused = api.send(api.call(Method::POST, &path)).await?;
    assert_eq!(refused.status, 429, "{}", refused.text);
    eventually(TIMEOUT, "a rejected request", async || {
        let replies = try_join_all((0..30).map(|_| api.get("payee", &account))).await?;
        let is_rejected = replies.iter().any(|reply| reply.status == 429);
        anyhow::Ok(is_rejected.then_some(()))
    })
    .await?;
    Prepared::by(&account, &refused)
}

/// Returns the current output of the case's commands on one line.
fn printed(stack: &TestStack, case: &Case, account: &str) -> Result<String> {
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
    let tested = stack.try_command(&test)?;
    let pages = [
        stack.command(&["account", "show", account])?,
        stack.command(&["gateway", "list", "--merchant", case.merchant])?,
        stack.command(&["merchant", "show", "--merchant", case.merchant])?,
        tested.stdout,
        tested.stderr,
    ];
    // Long values continue on the next line.
    let words = pages.iter().flat_map(|page| page.split_whitespace());
    Ok(words.collect::<Vec<_>>().join(" "))
}

/// Returns the lines of `/metrics` that this selector of the page matches, for the case's merchant, above zero.
async fn measured(stack: &TestStack, merchant_id: &str, selector: &str) -> Result<Vec<String>> {
    let (name, labels) = selector.split_once('{').unwrap_or((selector, ""));
    let labels: Vec<&str> = labels
        .trim_end_matches('}')
        .split(',')
        .filter(|label| !label.is_empty() && !label.contains('…'))
        .map(str::trim)
        .collect();
    let mut lines = Vec::new();
    for service in stack.apis.iter().chain(&stack.workers) {
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

/// Compares one row of the page with the running stack.
async fn assert_row(stack: &TestStack, case: &Case, prepared: &Prepared) -> Result<()> {
    let page = runbook::page();
    let row = runbook::row(&page, SECTION, case.row);
    let quotes = runbook::quoted(row);
    assert!(quotes.len() >= 3, "{}: {quotes:?}", case.row);
    let what = format!("the quotations of {:?}", case.row);
    eventually(TIMEOUT, &what, async || {
        let printed = printed(stack, case, &prepared.account)?;
        let missing: Vec<_> = quotes
            .iter()
            .filter(|quote| !runbook::says(&printed, quote))
            .collect();
        anyhow::ensure!(missing.is_empty(), "{missing:#?} is not in {printed}");
        Ok(Some(()))
    })
    .await?;

    let shown = shown(stack, &prepared.account)?;
    let code = runbook::code(row);
    let metrics: Vec<_> = code.iter().filter(|it| it.starts_with("khata_")).collect();
    assert!(!metrics.is_empty(), "{}", case.row);
    for selector in metrics {
        // The services read the metrics of the database every fifteen seconds.
        eventually(TIMEOUT, selector, async || {
            let lines = measured(stack, text(&shown, "/merchant_id"), selector).await?;
            anyhow::Ok((!lines.is_empty()).then_some(()))
        })
        .await?;
    }

    // Attributes of a span, as in `khata.class=INVALID`.
    let tags = code.iter().filter_map(|it| it.split_once('='));
    let tags: Vec<_> = tags.filter(|(name, _)| !name.contains('{')).collect();
    assert!(!tags.is_empty(), "{}", case.row);
    let has_tags = |trace: &Trace| {
        let has = |span: &Span, name, expected: &str| {
            let value = span.value(name);
            value.is_some_and(|value| value.to_string().trim_matches('"') == expected)
        };
        let mut tags = tags.iter();
        tags.all(|(name, value)| trace.spans.iter().any(|span| has(span, name, value)))
    };
    let traces = stack.traces()?;
    traces.wait_for(&prepared.trace, TIMEOUT, has_tags).await?;
    // A rejected call stores nothing: only the caller knows its trace.
    if case.merchant != "limited" {
        assert_eq!(text(&shown, "/trace_id"), prepared.trace, "{}", case.row);
    }
    Ok(())
}

fn shown(stack: &TestStack, account: &str) -> Result<Value> {
    let stdout = stack.command(&["account", "show", account, "--json"])?;
    Ok(serde_json::from_str(&stdout)?)
}

#[tokio::test]
async fn the_five_cases_print_and_count_what_the_runbook_quotes() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        traces: true,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let mut apis = Vec::new();
    for case in &CASES {
        apis.push(stack.api.with_key(&stack.issue_key(case.merchant)?));
        case.set_up(&stack, false)?;
    }
    // Before the first call, so that no process has cached another setting.
    let limits = [
        "--validations-per-account-per-day=1",
        "--requests-per-second=10",
    ];
    let set = ["merchant", "set", "--merchant", "limited"];
    stack.command(&[&set[..], &limits].concat())?;
    stack.start_worker().await?;
    let prepared = [
        down(&stack, &apis[0]).await?,
        create(&apis[1], "82000001").await?,
        create(&apis[2], "83000001").await?,
        limited(&apis[3]).await?,
        create(&apis[4], "850000099009912").await?,
    ];
    let page = runbook::page();
    let rows = CASES.map(|case| case.row);
    assert_eq!(runbook::first_cells(&page, SECTION), rows);
    for (case, prepared) in CASES.iter().zip(&prepared) {
        assert_row(&stack, case, prepared).await?;
    }

    // The commands accept the ids that the page's statement finds.
    let oldest = runbook::statement(&page, "order by created_at limit 10");
    let found = stack
        .database
        .texts(&format!("select account_id from ({oldest}) as found"))?;
    let mut waiting = Vec::new();
    for id in &found {
        waiting.push(text(&shown(&stack, id)?, "/id").to_owned());
    }
    for (case, prepared) in CASES.iter().zip(&prepared).take(3) {
        assert!(waiting.contains(&prepared.account), "{}", case.row);
    }
    follow_the_runbook(&stack, &prepared).await
}

/// Brings every waiting account to its final status, and raises the limit.
async fn follow_the_runbook(stack: &TestStack, prepared: &[Prepared; 5]) -> Result<()> {
    let well = Behaviour::default();
    stack.sandbox.set_behaviour_of("RAZORPAY", well).await?;
    CASES[1].set_up(stack, true)?;
    let set = ["merchant", "set", "--merchant", "limited"];
    stack.command(&[&set[..], &["--validations-per-account-per-day=2"]].concat())?;
    for (case, prepared) in CASES.iter().zip(prepared).take(3) {
        eventually(TIMEOUT, case.row, async || {
            let is_active = shown(stack, &prepared.account)?["status"] == "ACTIVE";
            if !is_active {
                // A worker may hold the validation.
                let _ = stack.try_command(&["account", "retry", &prepared.account])?;
                tokio::time::sleep(PACE).await;
            }
            anyhow::Ok(is_active.then_some(()))
        })
        .await?;
    }
    let limited = shown(stack, &prepared[3].account)?;
    assert_eq!(
        limited["validations_24h"],
        json!({ "used": 1, "limit": 2, "refused_until": null })
    );
    Ok(())
}
