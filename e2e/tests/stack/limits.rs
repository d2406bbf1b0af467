//! Contract, *Limits*: requests per key, validations per account, and penny drops per day.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack, avoid_midnight, eventually};
use reqwest::Method;

use crate::requests::{bank, banks};

const CUSTOMER: &str = "customer_1122";
const IFSC: &str = "YESB0000262";
const NUMBER: &str = "026291800001191";

fn set(stack: &TestStack, setting: &str) -> Result<()> {
    stack.command(&["merchant", "set", "--merchant", "e2e", setting])?;
    Ok(())
}

/// Moves all validations back by a day.
const A_DAY_LATER: &str =
    "update customer_accounts set created_at = created_at - interval '24 hours',
    revalidated_at = array(select at - interval '24 hours' from unnest(revalidated_at) as at)";

/// Time after which every process uses a changed setting.
const CACHE_TTL: Duration = Duration::from_millis(5_500);

#[tokio::test]
async fn a_key_is_limited_to_its_requests_per_second() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    set(&stack, "--requests-per-second=20")?;
    tokio::time::sleep(CACHE_TTL).await;
    let api = &stack.api;
    // A list counts its accounts. On a busy machine, a request may have come back to the bucket by the time of the reply.
    eventually(TIMEOUT, "a list that takes the whole bucket", async || {
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let whole = api.list(CUSTOMER, "?count=20").await?;
        let left = whole.header("ratelimit").unwrap_or_default();
        anyhow::Ok(left.starts_with("\"key\";r=0;").then_some(()))
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (one, began) = ("?count=1", Instant::now());
    let first = api.list(CUSTOMER, one).await?;
    assert_eq!(first.header("ratelimit-policy"), Some("\"key\";q=20;w=1"));
    assert_eq!(first.header("ratelimit"), Some("\"key\";r=19;t=1"));
    let replies = try_join_all((0..60).map(|_| api.list(CUSTOMER, one))).await?;
    let took = began.elapsed();
    let refused: Vec<_> = replies.iter().filter(|a| a.status == 429).collect();
    // The first call and these, of a full bucket that refills meanwhile.
    let accepted = u32::try_from(1 + replies.len() - refused.len())?;
    let most = 20.0 + 20.0 * took.as_secs_f64();
    assert!(accepted >= 20, "{accepted}");
    assert!(f64::from(accepted) <= most, "{accepted} within {took:?}");
    for reply in &refused {
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert!(
            reply
                .header("ratelimit")
                .unwrap()
                .starts_with("\"key\";r=0;")
        );
        assert_eq!(reply.json()["error_info"]["code"], "TOO_MANY_REQUESTS");
    }
    // Another key of the same merchant has its own limit; a call without a key has none.
    let other = api.with_key(&stack.issue_key("e2e")?);
    assert_eq!(other.list(CUSTOMER, "").await?.status, 404);
    let none = api.send(api.bare(Method::GET, "/customers/x")).await?;
    assert_eq!((none.status, none.header("ratelimit")), (401, None));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(api.list(CUSTOMER, "").await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn validations_of_one_account_are_limited_per_day() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    set(&stack, "--validations-per-account-per-day=3")?;
    tokio::time::sleep(CACHE_TTL).await;
    let api = &stack.api;
    let wait = ("wait_seconds", "18");
    let mut form = bank(NUMBER, IFSC);
    form.extend([("command", "validate"), wait]);
    let account = api.create(CUSTOMER, &form).await?.account()?;
    let own = format!(
        "/customers/{CUSTOMER}/customer-accounts/{}",
        text(&account, "/id")
    );
    let validate = format!("{own}/validate");
    let post = async |path: &str, form: &[(&str, &str)]| {
        api.send(api.call(Method::POST, path).form(form)).await
    };
    let again = post(&validate, &[wait]).await?.account()?;
    assert_eq!(again["status"], "ACTIVE");
    // Deleted, and created again for another customer: the same account at the bank.
    post(&own, &[("command", "delete")])
        .await?
        .expect_status(200)?;
    let other = api.create("other", &form).await?.account()?;
    assert_eq!(other["status"], "ACTIVE");
    let refused = api.create(CUSTOMER, &form).await?.expect_status(429)?;
    assert_eq!(refused.json()["error_info"]["code"], "TOO_MANY_VALIDATIONS");
    assert_eq!(
        text(&refused.json(), "/error_info/fields/0/field_name"),
        "account_number"
    );
    let seconds: u64 = refused.header("retry-after").unwrap().parse()?;
    assert!((86_000..=86_401).contains(&seconds), "{seconds}");
    let again = format!(
        "/customers/other/customer-accounts/{}/validate",
        text(&other, "/id")
    );
    post(&again, &[]).await?.expect_status(429)?;
    // The call is all-or-nothing, and the error names the item.
    let mut many = banks(["50000001".to_owned(), "50000002".to_owned()]);
    many["bank_account_details"][1] = serde_json::json!({ "account_number": NUMBER, "ifsc": IFSC });
    let refused = api.create_json(CUSTOMER, &many).await?.expect_status(429)?;
    let field = text(&refused.json(), "/error_info/fields/0/field_name").to_owned();
    assert_eq!(field, "bank_account_details[1]");
    assert_eq!(
        stack
            .database
            .number("select count(*) from customer_accounts")?,
        2
    );
    // The API returns the existing account, which costs nothing.
    api.create("other", &form).await?.expect_status(200)?;
    assert_eq!(stack.sandbox.drops().await?.total, 3);
    // A day later another validation is accepted.
    stack.database.execute(A_DAY_LATER)?;
    let later = post(&again, &[wait]).await?.account()?;
    assert_eq!(later["status"], "ACTIVE");
    assert_eq!(stack.sandbox.drops().await?.total, 4);
    Ok(())
}

#[tokio::test]
async fn concurrent_calls_count_against_the_daily_limit() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    set(&stack, "--validations-per-account-per-day=3")?;
    tokio::time::sleep(CACHE_TTL).await;
    let api = &stack.api;
    let form = bank(NUMBER, IFSC);
    let customers: Vec<String> = (0..30).map(|n| format!("customer_{n}")).collect();
    let replies = try_join_all(customers.iter().map(|name| api.create(name, &form))).await?;
    let made: Vec<_> = replies.into_iter().filter(|a| a.status == 200).collect();
    assert_eq!(made.len(), 3);
    let account = made[0].clone().account()?;
    let customer = text(&account, "/customer_id").to_owned();
    let id = text(&account, "/id").to_owned();
    api.wait_for(&customer, &id, &["ACTIVE"], TIMEOUT).await?;
    stack.database.execute(A_DAY_LATER)?;
    // Thirty calls at once for one account: each begins a validation or joins the open one.
    let path = format!("/customers/{customer}/customer-accounts/{id}/validate");
    let calls = (0..30).map(|_| api.send(api.call(Method::POST, &path)));
    for reply in try_join_all(calls).await? {
        assert!([200, 429].contains(&reply.status), "{}", reply.text);
    }
    let most = "select max(each.count) from (select count(*) from validations group by account_id) as each";
    assert!(stack.database.number(most)? <= 1 + 3);
    assert!(stack.sandbox.drops().await?.total <= 3 + 3);
    Ok(())
}

#[tokio::test]
async fn fifty_spellings_of_one_account_in_one_call_are_rejected() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    set(&stack, "--validations-per-account-per-day=5")?;
    tokio::time::sleep(CACHE_TTL).await;
    let spelling = |n: usize| {
        let number = format!("{}{NUMBER}", &"00000"[..n % 5]);
        serde_json::json!({ "account_number": number, "ifsc": format!("YESB00002{:02}", n / 5) })
    };
    let call = |spellings: std::ops::Range<usize>| {
        let spellings: Vec<_> = spellings.map(spelling).collect();
        serde_json::json!({ "command": "validate", "bank_account_details": spellings })
    };
    let api = &stack.api;
    let refused = api.create_json(CUSTOMER, &call(0..50)).await?;
    let refused = refused.expect_status(429)?.json();
    assert_eq!(refused["error_info"]["code"], "TOO_MANY_VALIDATIONS");
    let field = text(&refused, "/error_info/fields/0/field_name");
    assert_eq!(field, "bank_account_details[5]");
    assert_eq!(stack.sandbox.drops().await?.total, 0);
    api.create_json(CUSTOMER, &call(0..5))
        .await?
        .expect_status(200)?;
    assert_eq!(stack.sandbox.drops().await?.total, 5);
    // The same account as a UPI address.
    let address = format!("{NUMBER}@yesb0000262.ifsc.npci");
    let form = [("vpa", address.as_str())];
    api.create(CUSTOMER, &form).await?.expect_status(429)?;
    Ok(())
}

#[tokio::test]
async fn two_processes_keep_the_limits_together() -> Result<()> {
    let stack = TestStack::start(Setup {
        apis: 2,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    set(&stack, "--validations-per-account-per-day=5")?;
    set(&stack, "--penny-drops-per-day=12")?;
    tokio::time::sleep(CACHE_TTL).await;
    avoid_midnight();
    let apis = [stack.api_at(0), stack.api_at(1)];
    let form = bank(NUMBER, IFSC);
    let customers: Vec<String> = (0..40).map(|n| format!("customer_{n}")).collect();
    let calls = customers.iter().enumerate();
    let calls = calls.map(|(n, customer)| apis[n % 2].create(customer, &form));
    let replies = try_join_all(calls).await?;
    let stored = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(stored, 5);
    // Seven penny drops of the day's budget are left.
    let numbers: Vec<String> = (0..40).map(|n| format!("{}", 50_000_000 + n)).collect();
    let forms: Vec<_> = numbers.iter().map(|number| bank(number, IFSC)).collect();
    let calls = forms.iter().enumerate();
    let replies = try_join_all(calls.map(|(n, form)| apis[n % 2].create(CUSTOMER, form))).await?;
    let stored = replies.iter().filter(|reply| reply.status == 200).count();
    assert_eq!(stored, 7);
    let refused = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert_eq!(refused.json()["error_info"]["code"], "BUDGET_EXHAUSTED");
    let seconds: u64 = refused.header("retry-after").unwrap().parse()?;
    assert!((1..=86_401).contains(&seconds), "{seconds}");
    let accounts = "select count(*) from customer_accounts";
    assert_eq!(stack.database.number(accounts)?, 12);
    let show = stack.command(&["merchant", "show", "--merchant", "e2e"])?;
    assert!(
        show.contains("12 in a day in India, 12 used until 20"),
        "{show}"
    );
    Ok(())
}

#[tokio::test]
async fn a_call_takes_a_request_for_each_of_its_accounts() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    set(&stack, "--requests-per-second=20")?;
    tokio::time::sleep(CACHE_TTL).await;
    let numbers = |from: u32, count: u32| banks((from..from + count).map(|n| n.to_string()));
    let api = &stack.api;
    let refused = eventually(TIMEOUT, "both calls in time", async || {
        let began = Instant::now();
        let first = api
            .create_json(CUSTOMER, &numbers(50_000_000, 15))
            .await?
            .expect_status(200)?;
        let left = first.header("ratelimit").unwrap_or_default();
        let second = api.create_json(CUSTOMER, &numbers(60_000_000, 100)).await?;
        // On a busy machine, requests may have come back to the bucket.
        let in_time = left == "\"key\";r=5;t=1" && began.elapsed() < Duration::from_millis(750);
        if !in_time {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        anyhow::Ok(in_time.then_some(second))
    })
    .await?
    .expect_status(429)?;
    assert_eq!(refused.json()["error_info"]["code"], "TOO_MANY_REQUESTS");
    // More accounts than requests per second need the whole second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    api.create_json(CUSTOMER, &numbers(60_000_000, 100))
        .await?
        .expect_status(200)?;
    Ok(())
}

/// Moves Postgres's clock for services that are started later, as if the clocks of their machines were wrong.
const MOVED_CLOCK: &str = "create schema moved;
    create function moved.now() returns timestamptz language sql stable
        as $$ select pg_catalog.now() + interval 'INTERVAL' $$;
    grant usage on schema moved to public;";

#[tokio::test]
async fn an_api_whose_clock_is_wrong_stores_and_counts_by_postgres() -> Result<()> {
    for interval in ["49 hours", "-49 hours"] {
        let mut stack = TestStack::start(Setup {
            apis: 0,
            workers: 0,
            ..Setup::default()
        })
        .await?;
        set(&stack, "--validations-per-account-per-day=2")?;
        stack
            .database
            .execute(&MOVED_CLOCK.replace("INTERVAL", interval))?;
        let name = stack.database.url.path().trim_start_matches('/').to_owned();
        stack.database.execute(&format!(
            "alter database \"{name}\" set search_path = moved, pg_catalog, public"
        ))?;
        stack.start_api().await?;
        stack.wait_until_ready(&stack.apis[0].url).await?;
        let api = &stack.api;
        let path = format!("/customers/{CUSTOMER}/accounts");
        // Now, by Postgres: a time in the future for one of the two machines.
        let time = "select to_char(now() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
        let time = stack.database.texts(time)?.remove(0);
        let form = [
            ("account_number", NUMBER),
            ("ifsc", IFSC),
            ("consent.obtained", "true"),
            ("consent.purpose", "payout"),
            ("consent.timestamp", &time),
            ("command", "validate"),
            ("wait_seconds", "1"),
        ];
        let post = async |path: &str, key: &str, form: &[(&str, &str)]| {
            let call = api.call(Method::POST, path).header("idempotency-key", key);
            api.send(call.form(form)).await
        };
        let first = post(&path, "first", &form).await?.expect_status(200)?;
        let repeated = post(&path, "first", &form).await?;
        assert_eq!(repeated.text, first.text, "{interval}");
        let right =
            "select count(*) from validations v join customer_accounts a on a.validation_id = v.id
            where abs(extract(epoch from now() - v.created_at)) < 60 and a.created_at = v.created_at
              and abs(extract(epoch from v.deadline_at - now()) - 172800) < 60
              and abs(extract(epoch from v.awaited_until - now())) < 60";
        assert_eq!(stack.database.number(right)?, 1, "{interval}");
        // The second validation is within the limit, the third is not, and a repeated call begins none.
        stack.database.execute(
            "update validations set state = 'COMPLETED', completed_at = now(), outcome = 'UNAVAILABLE', failure_code = 'VALIDATION_UNAVAILABLE'",
        )?;
        let account = first.account()?;
        let wait = [("wait_seconds", "1")];
        let again = format!(
            "/customers/{CUSTOMER}/customer-accounts/{}/validate",
            text(&account, "/id")
        );
        post(&again, "second", &wait).await?.expect_status(200)?;
        post(&again, "second", &wait).await?.expect_status(200)?;
        assert_eq!(
            stack.database.number("select count(*) from validations")?,
            2
        );
        stack.database.execute(
            "update validations set state = 'COMPLETED', completed_at = now(), outcome = 'UNAVAILABLE', failure_code = 'VALIDATION_UNAVAILABLE'
             where completed_at is null",
        )?;
        let refused = post(&again, "third", &wait).await?.expect_status(429)?;
        let seconds: u64 = refused.header("retry-after").unwrap().parse()?;
        assert!(
            (86_000..=86_401).contains(&seconds),
            "{interval}: {seconds}"
        );
        let metrics = reqwest::get(format!("http://{}/metrics", stack.apis[0].metrics)).await?;
        let metrics = metrics.text().await?;
        let offset = metrics
            .lines()
            .find_map(|line| line.strip_prefix("khata_clock_offset_seconds "))
            .unwrap()
            .parse::<f64>()?;
        let hours = if interval.starts_with('-') {
            49.0
        } else {
            -49.0
        };
        assert!(
            (offset / 3_600.0 - hours).abs() < 0.1,
            "{interval}: {offset}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn stored_replies_are_limited_for_each_merchant() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    let form = bank(NUMBER, IFSC);
    let path = format!("/customers/{CUSTOMER}/accounts");
    let post = async |api: &khata_e2e::Api, key: &str| {
        let call = api.call(Method::POST, &path).header("idempotency-key", key);
        api.send(call.form(&form)).await
    };
    let first = post(api, "first").await?.expect_status(200)?;
    // The existing account: its reply is stored, and counts.
    post(api, "second").await?.expect_status(200)?;
    let stored = "select coalesce(sum(bytes), 0) from idempotency_usage";
    let replies = "select coalesce(sum(octet_length(sealed_answer)), 0) from idempotency_records";
    assert!(stack.database.number(stored)? > 0);
    assert_eq!(
        stack.database.number(stored)?,
        stack.database.number(replies)?
    );
    stack
        .database
        .execute("update idempotency_usage set bytes = 9000000000")?;
    tokio::time::sleep(CACHE_TTL).await;
    let refused = post(api, "third").await?.expect_status(429)?;
    assert_eq!(
        refused.json()["error_info"]["code"],
        "IDEMPOTENCY_STORAGE_FULL"
    );
    // Earlier calls are still repeated; calls without the header, and other merchants', are carried out.
    assert_eq!(post(api, "first").await?.text, first.text);
    api.create(CUSTOMER, &form).await?.expect_status(200)?;
    let other = api.with_key(&stack.issue_key("other")?);
    post(&other, "third").await?.expect_status(200)?;
    // The hour's replies expire.
    stack
        .database
        .execute("update idempotency_usage set hour = hour - interval '25 hours'")?;
    tokio::time::sleep(CACHE_TTL).await;
    post(api, "third").await?.expect_status(200)?;
    Ok(())
}
