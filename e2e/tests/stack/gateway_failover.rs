//! Several gateways with limits and faults: which one is used, how often, and at what cost. docs/gateways.md has the figures
//! that these tests print.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{
    Api, Behaviour, Errors, GATEWAYS, GatewayAccount, SandboxGateway, Setup, TIMEOUT, TestStack,
    Webhook, eventually,
};
use serde_json::Value;

use crate::requests::{bank, banks};

const MINUTES: Duration = Duration::from_mins(15);

/// Posts accounts with these numbers, a hundred per call.
async fn post(api: &Api, customer: &str, numbers: &[String]) -> Result<()> {
    let calls = numbers
        .chunks(100)
        .enumerate()
        .map(|(place, chunk)| async move {
            let customer = format!("{customer}_{place}");
            api.create_json(&customer, &banks(chunk.iter().cloned()))
                .await?
                .accounts()?;
            anyhow::Ok(())
        });
    try_join_all(calls).await?;
    Ok(())
}

#[tokio::test]
async fn two_workers_share_a_gateways_rate_limit() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let base_url = stack.sandbox.cashfree();
    // One call per account, so that there are as many calls as accounts.
    stack.set_gateway_account(&GatewayAccount {
        base_url: &base_url,
        reference_id: "limited",
        priority: 0,
        settings: r#"{"calls_per_minute":100,"bank_flow":"sync"}"#,
        ..GatewayAccount::default()
    })?;
    stack.command(&[
        "gateway",
        "disable",
        "--merchant",
        "e2e",
        "--gateway",
        "CASHFREE",
        "--reference-id",
        "cashfree_e2e",
    ])?;
    for _ in 0..2 {
        stack.start_worker().await?;
    }
    let numbers: Vec<_> = (0..130).map(|n| format!("71000{n:05}")).collect();
    let began = Instant::now();
    post(&stack.api, "limited", &numbers).await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], MINUTES)
        .await?;
    let calls = stack.sandbox.calls("CASHFREE").await?;
    eprintln!(
        "130 calls by two workers under a limit of 100 a minute: {:.0} s, at most {} in any minute",
        began.elapsed().as_secs_f64(),
        calls.most_in_a_minute
    );
    assert_eq!(calls.total, 130);
    assert!(calls.most_in_a_minute <= 100, "{calls:?}");
    assert!(calls.most_in_a_minute >= 70, "the limit is used: {calls:?}");
    assert_eq!(stack.count("ACTIVE")?, 130);
    Ok(())
}

#[tokio::test]
async fn if_the_first_gateway_fails_the_second_validates_every_account() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        alone: true,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let (first, second) = (
        SandboxGateway::named("DECENTRO"),
        SandboxGateway::named("CASHFREE"),
    );
    let base_url = first.base_url(&stack.sandbox);
    let mut account = first.account(&base_url, 0);
    // Recovery of its lost calls ends soon.
    account.settings = r#"{"recover_for_s":1}"#;
    stack.set_gateway_account(&account)?;
    stack.start_worker().await?;
    let broken = Behaviour {
        error_rate: 1.0,
        errors: Errors::BeforeWork,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour_of(first.name, broken).await?;
    let warm_up: Vec<_> = (0..20).map(|n| format!("72000{n:05}")).collect();
    post(&stack.api, "warm_up", &warm_up).await?;
    let open = "select count(*) from gateway_states where circuit = 'OPEN'";
    eventually(TIMEOUT, "the circuit being open", async || {
        anyhow::Ok((stack.database.number(open)? == 1).then_some(()))
    })
    .await?;
    // Accounts of the first, lost calls go to the other gateway, and are not counted below.
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], MINUTES)
        .await?;
    let before = stack.sandbox.calls(first.name).await?.total;

    let numbers: Vec<_> = (0..1_000).map(|n| format!("73000{n:05}")).collect();
    let began = Instant::now();
    post(&stack.api, "fallback", &numbers).await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], MINUTES)
        .await?;
    let with_fault = began.elapsed();
    let at_first = stack.sandbox.calls(first.name).await?.total - before;

    assert_eq!(
        stack.count("ACTIVE")?,
        1_020,
        "those that were lost before, too"
    );
    let elsewhere = format!(
        "select count(*) from validations v join customer_accounts a on a.validation_id = v.id
         where v.gateway_id <> {} and a.status = 'ACTIVE'",
        second.id
    );
    assert_eq!(stack.database.number(&elsewhere)?, 0);
    assert!(at_first < 60, "only trial calls: {at_first} calls");
    let reasons = stack
        .database
        .texts("select distinct choice from validation_attempts where number = 1")?;
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("DECENTRO decentro_e2e: it is down until")),
        "{reasons:?}"
    );

    // For comparison without the fault: the first gateway is disabled.
    stack.command(&[
        "gateway",
        "disable",
        "--merchant",
        "e2e",
        "--gateway",
        first.name,
        "--reference-id",
        first.reference_id,
    ])?;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let numbers: Vec<_> = (0..1_000).map(|n| format!("74000{n:05}")).collect();
    let began = Instant::now();
    post(&stack.api, "healthy", &numbers).await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], MINUTES)
        .await?;
    let without = began.elapsed();
    eprintln!(
        "1,000 accounts with the first gateway down: {:.2} s; without it: {:.2} s; ratio {:.2}; {at_first} calls to the first",
        with_fault.as_secs_f64(),
        without.as_secs_f64(),
        with_fault.as_secs_f64() / without.as_secs_f64()
    );
    Ok(())
}

/// Endings of account numbers with the final status at every gateway of the sandbox.
const ENDINGS: [(&str, &str); 4] = [
    ("00000001", "ACTIVE"),
    ("99009911", "ACTIVE"),
    ("99009912", "FAILURE"),
    ("99009931", "FAILURE"),
];

#[tokio::test]
async fn faults_at_every_gateway_lose_no_account_and_mark_every_double_drop() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        alone: true,
        workers: 0,
        // Only the sandbox loses calls: no process is so busy that a call times out.
        worker_settings: &[
            ("KHATA_WORKER_CONCURRENCY", "64"),
            ("KHATA_WORKER_LEASE_SECONDS", "12"),
        ],
        ..Setup::default()
    })
    .await?;
    // One merchant per gateway: this gateway has the first priority, the others follow.
    let mut merchants = Vec::new();
    for (turn, first) in GATEWAYS.iter().enumerate() {
        let merchant = format!("first_{}", first.name.to_lowercase());
        let key = stack.issue_key(&merchant)?;
        stack.command(&[
            "merchant",
            "set",
            "--merchant",
            &merchant,
            "--requests-per-second=1000000",
            "--validations-per-account-per-day=32767",
        ])?;
        for (place, gateway) in GATEWAYS.iter().enumerate() {
            let base_url = gateway.base_url(&stack.sandbox);
            let priority = i16::try_from((place + GATEWAYS.len() - turn) % GATEWAYS.len())?;
            let id = stack.set_gateway_account(&GatewayAccount {
                merchant: &merchant,
                ..gateway.account(&base_url, priority)
            })?;
            if gateway.name == first.name && gateway.sends_webhooks {
                let url = format!(
                    "{}/gateways/{}/webhooks/{id}",
                    stack.apis[0].url, gateway.name
                );
                let webhook = Webhook {
                    gateway: gateway.name,
                    url,
                    duplicates: 2,
                    out_of_order: true,
                    ..Webhook::default()
                };
                stack.sandbox.webhook(&webhook).await?;
            }
        }
        let faulty = Behaviour {
            reset_rate: 0.05,
            hang_rate: 0.05,
            error_rate: 0.05,
            // If a lost response cannot be recovered, each call dropped a rupee: every double drop is marked.
            errors: if first.name == "SETU" {
                Errors::AfterWork
            } else {
                Errors::Either
            },
            ..Behaviour::default()
        };
        stack.sandbox.set_behaviour_of(first.name, faulty).await?;
        merchants.push((merchant, stack.api.with_key(&key)));
    }
    for _ in 0..2 {
        stack.start_worker().await?;
    }
    let began = Instant::now();
    for (turn, (merchant, api)) in merchants.iter().enumerate() {
        let numbers: Vec<_> = (0..400)
            .map(|n| format!("7{turn}{n:04}{}", ENDINGS[n % ENDINGS.len()].0))
            .collect();
        post(api, merchant, &numbers).await?;
    }
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], MINUTES)
        .await?;
    let took = began.elapsed();

    let mut wrong = Vec::new();
    for (merchant, api) in &merchants {
        for place in 0..4 {
            let customer = format!("{merchant}_{place}");
            for account in api.list(&customer, "?count=100").await?.accounts()? {
                let number = text(
                    &account,
                    "/account_details/bank_account_details/account_number",
                );
                let expected = ENDINGS.iter().find(|(ending, _)| number.ends_with(ending));
                if expected.is_none_or(|(_, status)| account["status"] != *status) {
                    wrong.push(account);
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of 2,000: {:?}",
        wrong.len(),
        wrong.first()
    );

    let drops = stack.sandbox.drops().await?;
    let doubles: Vec<_> = drops
        .doubles()
        .into_iter()
        .filter(|drop| drop.gateway != "SETU")
        .collect();
    assert!(doubles.is_empty(), "{doubles:?}");
    let twice_at_setu: u64 = drops.doubles().iter().map(|drop| drop.count - 1).sum();
    let flagged = "select count(*) from validation_attempts where possible_double_drop";
    let flagged_at_setu = format!("{flagged} and gateway_id = 1001");
    let (flagged, flagged_at_setu) = (
        stack.database.number(flagged)?,
        stack.database.number(&flagged_at_setu)?,
    );
    let tried = stack
        .database
        .number("select count(*) from validation_attempts")?;
    eprintln!(
        "2,000 accounts at five gateways, 15 % of all calls failing: {:.0} s, {tried} attempts, {} rupees, {flagged} possible \
         double drops flagged ({flagged_at_setu} of them again at Setu), {twice_at_setu} second rupees there by the ledger",
        took.as_secs_f64(),
        drops.total
    );
    assert_eq!(u64::try_from(flagged_at_setu)?, twice_at_setu);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_rejects_us_is_reported_and_fails_no_account() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    for (place, gateway) in GATEWAYS.iter().enumerate() {
        let base_url = gateway.base_url(&stack.sandbox);
        stack.set_gateway_account(&gateway.account(&base_url, i16::try_from(place)?))?;
        let refusing = Behaviour {
            refuse_ip: gateway.name != "RAZORPAY",
            insufficient_balance: gateway.name == "RAZORPAY",
            ..Behaviour::default()
        };
        stack
            .sandbox
            .set_behaviour_of(gateway.name, refusing)
            .await?;
    }
    stack.start_worker().await?;
    for gateway in &GATEWAYS {
        let mut form = bank("7500000001", "HDFC0000001");
        form.push(("gateway_id", gateway.id));
        let created = stack.api.create(gateway.name, &form).await?.account()?;
        let refused = format!(
            "select count(*) from validation_attempts where class = 'MISCONFIGURED' and gateway_id = {}",
            gateway.id
        );
        eventually(
            TIMEOUT,
            &format!("{} refusing us", gateway.name),
            async || anyhow::Ok((stack.database.number(&refused)? > 0).then_some(())),
        )
        .await?;
        let account = stack
            .api
            .get(gateway.name, text(&created, "/id"))
            .await?
            .account()?;
        assert_ne!(account["status"], "FAILURE", "{}: {account}", gateway.name);
    }
    let listed = eventually(TIMEOUT, "gateway list telling all five", async || {
        let listed = stack.command(&["gateway", "list", "--merchant", "e2e", "--json"])?;
        let all = GATEWAYS.iter().all(|gateway| {
            let accounts: Value = serde_json::from_str(&listed).unwrap_or_default();
            let accounts = accounts["gateway_accounts"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            accounts.iter().any(|account| {
                let troubles = account["health"]["troubles"].as_array();
                let kinds = troubles
                    .into_iter()
                    .flatten()
                    .map(|trouble| &trouble["kind"]);
                account["gateway"] == gateway.name
                    && kinds.into_iter().any(|kind| kind == "MISCONFIGURED")
            })
        });
        anyhow::Ok(all.then_some(listed))
    })
    .await?;
    assert!(listed.contains("MISCONFIGURED"));
    // Workers read the database for their metrics every fifteen seconds.
    eventually(TIMEOUT, "metrics telling all five", async || {
        let metrics = format!("http://{}/metrics", stack.workers[0].metrics);
        let metrics = reqwest::get(metrics).await?.text().await?;
        let all = GATEWAYS.iter().all(|gateway| {
            metrics.lines().any(|line| {
                line.starts_with("khata_gateway_misconfigured{")
                    && line.contains(&format!("\"{}\"", gateway.name))
                    && line.ends_with(" 1.0")
            })
        });
        anyhow::Ok(all.then_some(()))
    })
    .await?;
    let logs = stack.logs()?;
    for gateway in &GATEWAYS {
        let is_logged = logs.lines().any(|line| {
            line.contains("ERROR")
                && line.contains(gateway.name)
                && line.contains("IP allow-list of this gateway account")
        });
        assert!(is_logged, "{}", gateway.name);
    }
    assert_eq!(stack.sandbox.drops().await?.total, 0);
    Ok(())
}
