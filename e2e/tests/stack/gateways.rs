//! Gateways that reject, fail, hang or give no result: which one is used next, and that no account is paid twice.

use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{Behaviour, GatewayAccount, SandboxGateway, Setup, TIMEOUT, TestStack, eventually};

use crate::load::{assert_paid_once, create_ten, outage};
use crate::requests::bank;

const WRONG: &str = r#"{"client_id":"sandbox_client","client_secret":"not_this_one"}"#;

/// Makes what waits for its time due now: tests do not wait for half an hour.
fn hurry(stack: &TestStack) -> Result<()> {
    stack
        .database
        .execute("update validations set due_at = now() where state = 'WAITING'")
}

async fn wait_for_attempts(stack: &TestStack, class: &str, count: i64) -> Result<()> {
    let query = format!("select count(*) from validation_attempts where class = '{class}'");
    eventually(
        TIMEOUT,
        &format!("{count} attempts being {class}"),
        async || anyhow::Ok((stack.database.number(&query)? >= count).then_some(())),
    )
    .await
}

#[tokio::test]
async fn a_gateway_that_rejects_us_fails_no_account() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let base_url = stack.sandbox.cashfree();
    let wrong = GatewayAccount {
        base_url: &base_url,
        credentials: WRONG,
        ..GatewayAccount::default()
    };
    stack.set_gateway_account(&wrong)?;
    let created = stack
        .api
        .create("ours", &bank("50000001", "AABF0008032"))
        .await?
        .account()?;
    wait_for_attempts(&stack, "MISCONFIGURED", 1).await?;
    let id = text(&created, "/id");
    let waiting = eventually(TIMEOUT, "the attempt being shown", async || {
        let account = stack.api.get("ours", id).await?.account()?;
        let attempts = account["validation"]["attempts"].as_i64();
        anyhow::Ok((attempts > Some(0)).then_some(account))
    })
    .await?;
    assert_eq!(waiting["status"], "CREATED", "{waiting}");
    assert!(waiting["validation"]["failure"].is_null(), "{waiting}");
    let logs = stack.logs()?;
    assert!(
        logs.lines()
            .any(|line| line.contains("ERROR") && line.contains("cashfree_e2e")),
        "{logs}"
    );
    stack.set_gateway_account(&GatewayAccount {
        credentials: GatewayAccount::default().credentials,
        ..wrong
    })?;
    eventually(
        TIMEOUT,
        "the account being ACTIVE with the right credentials",
        async || {
            hurry(&stack)?;
            let account = stack.api.get("ours", id).await?.account()?;
            anyhow::Ok((account["status"] == "ACTIVE").then_some(()))
        },
    )
    .await?;
    assert_eq!(stack.sandbox.drops().await?.total, 1);
    Ok(())
}

#[tokio::test]
async fn if_the_first_gateway_gives_no_result_the_next_is_used() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let base_url = stack.sandbox.cashfree();
    let first = GatewayAccount {
        base_url: &base_url,
        ..GatewayAccount::default()
    };
    let second = GatewayAccount {
        reference_id: "second",
        priority: 2,
        ..first
    };
    stack.set_gateway_account(&second)?;
    let misconfigured = GatewayAccount {
        credentials: WRONG,
        ..first
    };
    // The discard port: no server listens.
    let away = GatewayAccount {
        base_url: "http://127.0.0.1:9",
        ..first
    };
    for (customer, first, attempts) in [("misconfigured", misconfigured, 2), ("away", away, 4)] {
        stack.set_gateway_account(&first)?;
        stack.workers.clear();
        stack.start_worker().await?;
        let created = stack
            .api
            .create(customer, &bank("50000001", "AABF0008032"))
            .await?
            .account()?;
        let id = text(&created, "/id");
        let account = eventually(TIMEOUT, "the account being ACTIVE", async || {
            hurry(&stack)?;
            let account = stack.api.get(customer, id).await?.account()?;
            anyhow::Ok((account["status"] == "ACTIVE").then_some(account))
        })
        .await?;
        let validation = &account["validation"];
        assert_eq!(
            validation["gateway_reference_id"], "second",
            "{customer}: {account}"
        );
        assert_eq!(validation["attempts"], attempts, "{customer}: {account}");
        assert!(validation["failure"].is_null(), "{customer}: {account}");
    }
    // A call that names the first gateway is not sent to another one.
    let mut form = bank("50000002", "AABF0008032");
    form.extend([
        ("gateway_id", "70"),
        ("gateway_reference_id", "cashfree_e2e"),
    ]);
    let created = stack.api.create("pinned", &form).await?.account()?;
    let tried = "select count(*) from validation_attempts where gateway_account_id in
        (select id from gateway_accounts where reference_id = 'cashfree_e2e') and class = 'RETRYABLE'";
    // The workers know that the gateway is down, and still send trial calls.
    eventually(TIMEOUT, "two attempts more at the first", async || {
        hurry(&stack)?;
        anyhow::Ok((stack.database.number(tried)? >= 3 + 2).then_some(()))
    })
    .await?;
    let account = stack
        .api
        .get("pinned", text(&created, "/id"))
        .await?
        .account()?;
    assert_eq!(account["status"], "CREATED");
    assert_eq!(
        account["validation"]["gateway_reference_id"],
        "cashfree_e2e"
    );
    assert_eq!(stack.sandbox.drops().await?.total, 2);
    Ok(())
}

#[tokio::test]
async fn an_account_without_a_result_fails_at_its_deadline() -> Result<()> {
    let stack = TestStack::start(Setup {
        proxies: true,
        call_timeout_ms: 1_000,
        ..Setup::default()
    })
    .await?;
    stack.proxies()?.gateway.cut();
    let dummy = |ending: &'static str| {
        let mut form = bank(ending, "AABF0008032");
        form.push(("gateway_id", "100"));
        form
    };
    // Pending forever, never final, and a gateway that is unreachable.
    let forms = [
        dummy("5000095"),
        dummy("5000096"),
        bank("50000001", "AABF0008032"),
    ];
    let mut created = Vec::new();
    for form in &forms {
        created.push(stack.api.create("late", form).await?.account()?);
    }
    let attempts =
        "select count(distinct validation_id) from validation_attempts where class is not null";
    eventually(TIMEOUT, "each being tried", async || {
        anyhow::Ok((stack.database.number(attempts)? == 3).then_some(()))
    })
    .await?;
    assert_eq!((stack.count("PENDING")?, stack.count("CREATED")?), (1, 2));
    let deadlines =
        "select extract(epoch from deadline_at - created_at)::bigint::text from validations";
    assert_eq!(
        stack.database.texts(deadlines)?,
        ["172800"; 3],
        "48 hours, unless the merchant's setting says otherwise"
    );
    stack
        .database
        .execute("update validations set deadline_at = now()")?;
    for account in &created {
        let id = text(account, "/id");
        let account = eventually(TIMEOUT, "the account being decided", async || {
            hurry(&stack)?;
            let account = stack.api.get("late", id).await?.account()?;
            anyhow::Ok((account["status"] == "FAILURE").then_some(account))
        })
        .await?;
        assert_eq!(
            account["validation"]["failure"]["code"], "VALIDATION_UNAVAILABLE",
            "{account}"
        );
        assert!(
            account["last_validated"].is_null(),
            "no gateway validated it: {account}"
        );
    }
    Ok(())
}

/// Creates accounts while a gateway has a fault: none may fail, and all are ACTIVE when the fault ends.
async fn assert_no_account_fails(
    stack: &TestStack,
    customer: &str,
    attempts: &str,
    well: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    create_ten(stack, customer).await?;
    let tried =
        format!("select count(distinct validation_id) from validation_attempts where {attempts}");
    eventually(TIMEOUT, "ten attempts in trouble", async || {
        anyhow::Ok((stack.database.number(&tried)? >= 10).then_some(()))
    })
    .await?;
    assert_eq!(stack.count("FAILURE")?, 0);
    well().await?;
    let back = Instant::now();
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await?;
    eprintln!(
        "{customer}: all decided {:?} after the gateway's return",
        back.elapsed()
    );
    assert_eq!(stack.count("FAILURE")?, 0);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_refuses_or_drops_calls_fails_no_account() -> Result<()> {
    let stack = TestStack::start(outage()).await?;
    let gateway = &stack.proxies()?.gateway;
    gateway.cut();
    let refused = "state = 'SETTLED' and class = 'RETRYABLE'";
    assert_no_account_fails(&stack, "refused", refused, async || {
        gateway.restore();
        Ok(())
    })
    .await?;
    assert_paid_once(&stack, 10).await?;
    gateway.hang();
    assert_no_account_fails(&stack, "silence", "state = 'UNKNOWN'", async || {
        gateway.restore();
        Ok(())
    })
    .await?;
    assert_eq!(stack.count("ACTIVE")?, 20);
    assert_paid_once(&stack, 20).await
}

#[tokio::test]
async fn a_gateway_error_after_the_drop_is_looked_up_and_not_paid_twice() -> Result<()> {
    let stack = TestStack::start(outage()).await?;
    let failing = Behaviour {
        error_rate: 1.0,
        ..Behaviour::default()
    };
    let silent = Behaviour {
        hang_rate: 1.0,
        ..Behaviour::default()
    };
    for (customer, behaviour) in [("failing", failing), ("silent", silent)] {
        stack.sandbox.set_behaviour(behaviour).await?;
        let unknown = "state = 'UNKNOWN'";
        assert_no_account_fails(&stack, customer, unknown, async || {
            stack.sandbox.set_behaviour(Behaviour::default()).await
        })
        .await?;
    }
    assert_eq!(stack.count("ACTIVE")?, 20);
    assert_paid_once(&stack, 20).await
}

#[tokio::test]
async fn a_response_that_comes_late_in_a_lease_is_stored_and_not_paid_again() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        worker_settings: &[("KHATA_WORKER_LEASE_SECONDS", "20")],
        ..Setup::default()
    })
    .await?;
    // SETU offers no way to find out what became of a lost call.
    let gateway = SandboxGateway::named("SETU");
    let base_url = gateway.base_url(&stack.sandbox);
    stack.set_gateway_account(&GatewayAccount {
        call_timeout_ms: 7_500,
        ..gateway.account(&base_url, 0)
    })?;
    stack.start_worker().await?;
    let create = async |customer: &str, number: &str| -> Result<()> {
        let form = bank(number, "AABF0008032");
        stack.api.create(customer, &form).await?.account()?;
        stack
            .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
            .await
    };
    // The worker has its access token.
    create("early", "7000000001").await?;
    // Two time-outs of 7.5 s fit into the rest of the lease before the call, and not after it.
    let late = Behaviour {
        latency_ms: 4_000,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour_of(gateway.name, late).await?;
    create("late", "7000000002").await?;
    assert_eq!(stack.count("ACTIVE")?, 2);
    assert_paid_once(&stack, 2).await
}

#[tokio::test]
async fn a_gateway_that_fails_at_random_settles_every_account() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        ..outage()
    })
    .await?;
    // As in production: a call that the gateway does not know is not lost, and sent again.
    stack.set_gateway_account(&GatewayAccount {
        base_url: &stack.sandbox.cashfree(),
        settings: r#"{"settle_s":90}"#,
        call_timeout_ms: 1_000,
        ..GatewayAccount::default()
    })?;
    stack.start_worker().await?;
    let shaky = Behaviour {
        latency_ms: 20,
        error_rate: 0.3,
        hang_rate: 0.1,
        pending_ms: 300,
        ..Behaviour::default()
    };
    stack.sandbox.set_behaviour(shaky).await?;
    let customers: Vec<String> = (0..4).map(|n| format!("shaky{n}")).collect();
    try_join_all(
        customers
            .iter()
            .map(|customer| create_ten(&stack, customer)),
    )
    .await?;
    let half = "select count(*) from customer_accounts where status = 'ACTIVE'";
    eventually(
        TIMEOUT,
        "half of the accounts being ACTIVE in spite of it",
        async || anyhow::Ok((stack.database.number(half)? >= 20).then_some(())),
    )
    .await?;
    stack.sandbox.set_behaviour(Behaviour::default()).await?;
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], 3 * TIMEOUT)
        .await?;
    assert_eq!(stack.count("ACTIVE")?, 40);
    assert_paid_once(&stack, 40).await
}
