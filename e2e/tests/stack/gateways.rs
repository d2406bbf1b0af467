//! Gateways that refuse, fail, hang or cannot tell: which is asked then, and that nobody is paid twice for it.

use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{Behaviour, GatewayAccount, PATIENCE, Setup, World, eventually};

use crate::calls::bank;
use crate::load::{assert_paid_once, create_ten, outage};

const WRONG: &str = r#"{"client_id":"sandbox_client","client_secret":"not_this_one"}"#;

/// Makes what waits for its time due now: tests do not wait for half an hour.
fn hurry(world: &World) -> Result<()> {
    world
        .database
        .execute("update validations set due_at = now() where state = 'WAITING'")
}

async fn wait_for_attempts(world: &World, class: &str, count: i64) -> Result<()> {
    let query = format!("select count(*) from validation_attempts where class = '{class}'");
    eventually(
        PATIENCE,
        &format!("{count} attempts being {class}"),
        async || anyhow::Ok((world.database.number(&query)? >= count).then_some(())),
    )
    .await
}

#[tokio::test]
async fn what_the_gateway_has_against_us_is_not_the_payees_fault() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    let base_url = world.sandbox.cashfree();
    let wrong = GatewayAccount {
        base_url: &base_url,
        credentials: WRONG,
        ..GatewayAccount::default()
    };
    world.set_gateway_account(&wrong)?;
    let created = world
        .api
        .create("ours", &bank("50000001", "AABF0008032"))
        .await?
        .account()?;
    wait_for_attempts(&world, "MISCONFIGURED", 1).await?;
    let id = text(&created, "/id");
    let waiting = eventually(PATIENCE, "the attempt being told", async || {
        let account = world.api.get("ours", id).await?.account()?;
        let attempts = account["validation"]["attempts"].as_i64();
        anyhow::Ok((attempts > Some(0)).then_some(account))
    })
    .await?;
    assert_eq!(waiting["status"], "CREATED", "{waiting}");
    assert!(waiting["validation"]["failure"].is_null(), "{waiting}");
    let logs = world.logs()?;
    assert!(
        logs.lines()
            .any(|line| line.contains("ERROR") && line.contains("cashfree_e2e")),
        "{logs}"
    );
    world.set_gateway_account(&GatewayAccount {
        credentials: GatewayAccount::default().credentials,
        ..wrong
    })?;
    eventually(
        PATIENCE,
        "the account being ACTIVE with the right credentials",
        async || {
            hurry(&world)?;
            let account = world.api.get("ours", id).await?.account()?;
            anyhow::Ok((account["status"] == "ACTIVE").then_some(()))
        },
    )
    .await?;
    assert_eq!(world.sandbox.drops().await?.total, 1);
    Ok(())
}

#[tokio::test]
async fn where_the_first_gateway_cannot_tell_the_next_is_asked() -> Result<()> {
    let mut world = World::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let base_url = world.sandbox.cashfree();
    let first = GatewayAccount {
        base_url: &base_url,
        ..GatewayAccount::default()
    };
    let second = GatewayAccount {
        reference_id: "second",
        priority: 2,
        ..first
    };
    world.set_gateway_account(&second)?;
    let misconfigured = GatewayAccount {
        credentials: WRONG,
        ..first
    };
    // The discard port: nobody listens there.
    let away = GatewayAccount {
        base_url: "http://127.0.0.1:9",
        ..first
    };
    for (customer, first, attempts) in [("misconfigured", misconfigured, 2), ("away", away, 4)] {
        world.set_gateway_account(&first)?;
        world.workers.clear();
        world.start_worker().await?;
        let created = world
            .api
            .create(customer, &bank("50000001", "AABF0008032"))
            .await?
            .account()?;
        let id = text(&created, "/id");
        let account = eventually(PATIENCE, "the account being ACTIVE", async || {
            hurry(&world)?;
            let account = world.api.get(customer, id).await?.account()?;
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
    // A call that names the first is not taken elsewhere.
    let mut form = bank("50000002", "AABF0008032");
    form.extend([
        ("gateway_id", "70"),
        ("gateway_reference_id", "cashfree_e2e"),
    ]);
    let created = world.api.create("pinned", &form).await?.account()?;
    let tried = "select count(*) from validation_attempts where gateway_account_id in
        (select id from gateway_accounts where reference_id = 'cashfree_e2e') and class = 'RETRYABLE'";
    // It is asked again and again, however seldom: the workers know by now that it is down.
    eventually(PATIENCE, "two attempts more at the first", async || {
        hurry(&world)?;
        anyhow::Ok((world.database.number(tried)? >= 3 + 2).then_some(()))
    })
    .await?;
    let account = world
        .api
        .get("pinned", text(&created, "/id"))
        .await?
        .account()?;
    assert_eq!(account["status"], "CREATED");
    assert_eq!(
        account["validation"]["gateway_reference_id"],
        "cashfree_e2e"
    );
    assert_eq!(world.sandbox.drops().await?.total, 2);
    Ok(())
}

#[tokio::test]
async fn only_after_the_deadline_an_account_fails_for_want_of_an_answer() -> Result<()> {
    let world = World::start(Setup {
        proxies: true,
        call_timeout_ms: 1_000,
        ..Setup::default()
    })
    .await?;
    world.proxies()?.gateway.cut();
    let dummy = |ending: &'static str| {
        let mut form = bank(ending, "AABF0008032");
        form.push(("gateway_id", "100"));
        form
    };
    // Pending for ever, never decided, and a gateway that is away.
    let forms = [
        dummy("5000095"),
        dummy("5000096"),
        bank("50000001", "AABF0008032"),
    ];
    let mut created = Vec::new();
    for form in &forms {
        created.push(world.api.create("late", form).await?.account()?);
    }
    let attempts =
        "select count(distinct validation_id) from validation_attempts where class is not null";
    eventually(PATIENCE, "each being tried", async || {
        anyhow::Ok((world.database.number(attempts)? == 3).then_some(()))
    })
    .await?;
    assert_eq!((world.count("PENDING")?, world.count("CREATED")?), (1, 2));
    let deadlines =
        "select extract(epoch from deadline_at - created_at)::bigint::text from validations";
    assert_eq!(
        world.database.texts(deadlines)?,
        ["172800"; 3],
        "48 hours, unless the merchant's setting says otherwise"
    );
    world
        .database
        .execute("update validations set deadline_at = now()")?;
    for account in &created {
        let id = text(account, "/id");
        let account = eventually(PATIENCE, "the account being decided", async || {
            hurry(&world)?;
            let account = world.api.get("late", id).await?.account()?;
            anyhow::Ok((account["status"] == "FAILURE").then_some(account))
        })
        .await?;
        assert_eq!(
            account["validation"]["failure"]["code"], "VALIDATION_UNAVAILABLE",
            "{account}"
        );
        assert!(
            account["last_validated"].is_null(),
            "nobody validated it: {account}"
        );
    }
    Ok(())
}

/// Accounts that meet a gateway in trouble: none may fail, and all are ACTIVE once it is well.
async fn assert_trouble_is_not_the_payees(
    world: &World,
    customer: &str,
    attempts: &str,
    well: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    create_ten(world, customer).await?;
    let tried =
        format!("select count(distinct validation_id) from validation_attempts where {attempts}");
    eventually(PATIENCE, "ten attempts in trouble", async || {
        anyhow::Ok((world.database.number(&tried)? >= 10).then_some(()))
    })
    .await?;
    assert_eq!(world.count("FAILURE")?, 0);
    well().await?;
    let back = Instant::now();
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    eprintln!(
        "{customer}: all decided {:?} after the gateway's return",
        back.elapsed()
    );
    assert_eq!(world.count("FAILURE")?, 0);
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_refuses_or_swallows_calls_is_not_the_payees_fault() -> Result<()> {
    let world = World::start(outage()).await?;
    let gateway = &world.proxies()?.gateway;
    gateway.cut();
    let refused = "state = 'SETTLED' and class = 'RETRYABLE'";
    assert_trouble_is_not_the_payees(&world, "refused", refused, async || {
        gateway.restore();
        Ok(())
    })
    .await?;
    assert_paid_once(&world, 10).await?;
    gateway.hang();
    assert_trouble_is_not_the_payees(&world, "silence", "state = 'UNKNOWN'", async || {
        gateway.restore();
        Ok(())
    })
    .await?;
    assert_eq!(world.count("ACTIVE")?, 20);
    assert_paid_once(&world, 20).await
}

#[tokio::test]
async fn a_gateway_that_fails_after_doing_its_work_is_looked_up_and_not_paid_twice() -> Result<()> {
    let world = World::start(outage()).await?;
    let failing = Behaviour {
        error_rate: 1.0,
        ..Behaviour::default()
    };
    let silent = Behaviour {
        hang_rate: 1.0,
        ..Behaviour::default()
    };
    for (customer, behaviour) in [("failing", failing), ("silent", silent)] {
        world.sandbox.behave(behaviour).await?;
        let unknown = "state = 'UNKNOWN'";
        assert_trouble_is_not_the_payees(&world, customer, unknown, async || {
            world.sandbox.behave(Behaviour::default()).await
        })
        .await?;
    }
    assert_eq!(world.count("ACTIVE")?, 20);
    assert_paid_once(&world, 20).await
}

#[tokio::test]
async fn a_gateway_that_fails_at_random_brings_every_account_to_its_end() -> Result<()> {
    let world = World::start(outage()).await?;
    let shaky = Behaviour {
        latency_ms: 20,
        error_rate: 0.3,
        hang_rate: 0.1,
        pending_ms: 300,
        ..Behaviour::default()
    };
    world.sandbox.behave(shaky).await?;
    let customers: Vec<String> = (0..4).map(|n| format!("shaky{n}")).collect();
    try_join_all(
        customers
            .iter()
            .map(|customer| create_ten(&world, customer)),
    )
    .await?;
    let half = "select count(*) from customer_accounts where status = 'ACTIVE'";
    eventually(
        PATIENCE,
        "half of the accounts being ACTIVE in spite of it",
        async || anyhow::Ok((world.database.number(half)? >= 20).then_some(())),
    )
    .await?;
    world.sandbox.behave(Behaviour::default()).await?;
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await?;
    assert_eq!(world.count("ACTIVE")?, 40);
    assert_paid_once(&world, 40).await
}
