//! Gateway webhooks: a genuine one settles the account at once, and no other one changes anything.

use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use khata_e2e::client::text;
use khata_e2e::{
    Behaviour, GATEWAYS, SandboxGateway, Setup, Span, TIMEOUT, TestStack, Trace, Webhook,
    eventually,
};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::events::became;
use crate::requests::bank;

/// A poll interval of an hour: an earlier outcome came by webhook.
const NO_POLLS: &str = r#"{"poll_ms":[3600000]}"#;

/// A stack whose merchant has this gateway only, which sends webhooks and is not polled.
async fn calling_back(name: &str) -> Result<(TestStack, String)> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        traces: true,
        ..Setup::default()
    })
    .await?;
    let gateway = SandboxGateway::named(name);
    let base_url = gateway.base_url(&stack.sandbox);
    let mut account = gateway.account(&base_url, 0);
    let own: Value = serde_json::from_str(account.settings)?;
    let mut settings: Value = serde_json::from_str(NO_POLLS)?;
    if let (Some(settings), Some(own)) = (settings.as_object_mut(), own.as_object()) {
        settings.extend(own.clone());
    }
    let settings = settings.to_string();
    account.settings = &settings;
    let id = stack.set_gateway_account(&account)?;
    let url = format!(
        "{}/gateways/{}/webhooks/{id}",
        stack.apis[0].url,
        name.to_lowercase()
    );
    stack.start_worker().await?;
    Ok((stack, url))
}

async fn until_status(stack: &TestStack, customer: &str, id: &str, status: &str) -> Result<Value> {
    eventually(
        TIMEOUT,
        &format!("the account being {status}"),
        async || {
            let account = stack.api.get(customer, id).await?.account()?;
            anyhow::Ok((account["status"] == status).then_some(account))
        },
    )
    .await
}

#[tokio::test]
async fn a_webhook_of_every_gateway_settles_the_account_at_once() -> Result<()> {
    for gateway in GATEWAYS.iter().filter(|gateway| gateway.sends_webhooks) {
        let (stack, url) = calling_back(gateway.name).await?;
        let webhook = Webhook {
            gateway: gateway.name,
            url,
            duplicates: 2,
            out_of_order: true,
            ..Webhook::default()
        };
        stack.sandbox.webhook(&webhook).await?;
        for (number, status, code) in [
            ("7000199009911", "ACTIVE", ""),
            ("7000199009912", "FAILURE", "INVALID_ACCOUNT"),
        ] {
            let created = stack
                .api
                .create("called", &bank(number, "HDFC0000001"))
                .await?
                .account()?;
            let id = text(&created, "/id");
            became(&stack.api, id, "PENDING").await?;
            let account = until_status(&stack, "called", id, status).await?;
            assert_eq!(
                text(&account, "/validation/failure/code"),
                code,
                "{}: {account}",
                gateway.name
            );
            assert_eq!(
                account["validation"]["attempts"], 1,
                "{}: {account}",
                gateway.name
            );
        }
        assert_eq!(stack.sandbox.drops().await?.total, 2, "{}", gateway.name);
    }
    Ok(())
}

#[tokio::test]
async fn a_gateway_webhook_is_in_the_accounts_trace() -> Result<()> {
    let (stack, url) = calling_back("CASHFREE").await?;
    let webhook = Webhook {
        gateway: "CASHFREE",
        url,
        ..Webhook::default()
    };
    stack.sandbox.webhook(&webhook).await?;
    let created = stack
        .api
        .create("called", &bank("7000199009911", "HDFC0000001"))
        .await?;
    let trace_id = created.trace_id().unwrap();
    let id = text(&created.account()?, "/id").to_owned();
    until_status(&stack, "called", &id, "ACTIVE").await?;
    let traces = stack.traces()?;
    // The webhook publishes a wake-up, and a worker settles the validation: each of these spans arrives in its own time.
    let trace = traces
        .wait_for(&trace_id, TIMEOUT, |trace| {
            caused_by_webhook(trace, "publish").is_some()
                && caused_by_webhook(trace, "process").is_some()
        })
        .await?;
    let webhook = trace.named("webhook of CASHFREE")[0];
    assert_eq!(webhook.service, "khata-api");
    assert_eq!(webhook.tag("khata.class"), Some("VALID"));
    let last = caused_by_webhook(&trace, "process").unwrap();
    assert_eq!(last.tag("khata.outcome"), Some("VALID"));
    // The gateway's request has its own trace, and the two are linked.
    let link = webhook.references.iter().find(|r| r.kind == "FOLLOWS_FROM");
    let of_request = &link.unwrap().trace;
    let request = traces
        .wait_for(of_request, TIMEOUT, |trace| !trace.named("POST").is_empty())
        .await?;
    let root = request.named("POST")[0];
    assert!(root.references.iter().any(|r| r.trace == trace_id));
    Ok(())
}

fn caused_by_webhook<'a>(trace: &'a Trace, name: &str) -> Option<&'a Span> {
    trace.named(name).into_iter().find(|span| {
        let path = trace.path_up(span);
        path.iter().any(|above| above.starts_with("webhook of"))
    })
}

/// Returns the body of a webhook as Cashfree sends it.
fn signed(secret: &str, timestamp: i64, body: &str) -> Result<Vec<(&'static str, String)>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(timestamp.to_string().as_bytes());
    mac.update(body.as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    Ok(vec![
        ("x-webhook-timestamp", timestamp.to_string()),
        ("x-webhook-signature", signature),
        ("content-type", "application/json".to_owned()),
    ])
}

fn webhook_body(reference: &str, status: &str, code: &str) -> String {
    json!({
        "event_type": "BANK_ACCOUNT_VERIFICATION_SUCCESS", "event_time": "2026-11-24T10:00:00Z", "version": "v2",
        "data": {"reference_id": 34, "user_id": reference, "account_status": status, "account_status_code": code,
            "name_at_bank": "ASHA RAO", "utr": "1387420170430008800069857"},
    })
    .to_string()
}

#[tokio::test]
async fn forged_stale_late_and_unknown_webhooks_change_nothing() -> Result<()> {
    let (stack, url) = calling_back("CASHFREE").await?;
    let http = reqwest::Client::new();
    let send = async |url: &str, headers: &[(&'static str, String)], body: &str| -> Result<u16> {
        let mut request = http.post(url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        Ok(request.send().await?.status().as_u16())
    };
    stack
        .sandbox
        .set_behaviour(Behaviour {
            pending_ms: 86_400_000,
            ..Behaviour::default()
        })
        .await?;
    let created = stack
        .api
        .create("forged", &bank("7000200000001", "HDFC0000001"))
        .await?
        .account()?;
    let id = text(&created, "/id");
    until_status(&stack, "forged", id, "PENDING").await?;
    let reference = stack
        .database
        .texts("select reference from validation_attempts")?
        .remove(0);
    let now = chrono::Utc::now().timestamp();
    let no = webhook_body(&reference, "INVALID", "INVALID_ACCOUNT_FAIL");
    let good = signed("sandbox_secret", now, &no)?;
    let other_body = webhook_body(&reference, "VALID", "ACCOUNT_IS_VALID");
    for (what, to, headers, body, status) in [
        ("unsigned", &url, vec![], &no, 401),
        (
            "another secret",
            &url,
            signed("not_this_one", now, &no)?,
            &no,
            401,
        ),
        ("another body", &url, good.clone(), &other_body, 401),
        (
            "stale",
            &url,
            signed("sandbox_secret", now - 86_400, &no)?,
            &no,
            401,
        ),
        (
            "unknown reference",
            &url.replace("gwa_", "gwa_x"),
            good.clone(),
            &no,
            404,
        ),
        (
            "another gateway's",
            &url.replace("cashfree", "razorpay"),
            good.clone(),
            &no,
            404,
        ),
        (
            "no gateway's",
            &url.replace("cashfree", "unknown"),
            good.clone(),
            &no,
            404,
        ),
    ] {
        assert_eq!(send(to, &headers, body).await?, status, "{what}");
    }
    let elsewhere = webhook_body(
        "kh00000000000000000000000000_01",
        "INVALID",
        "INVALID_ACCOUNT_FAIL",
    );
    let not_ours = webhook_body("the_merchants_own", "INVALID", "INVALID_ACCOUNT_FAIL");
    for about_nothing in [&elsewhere, &not_ours] {
        let headers = signed("sandbox_secret", now, about_nothing)?;
        assert_eq!(
            send(&url, &headers, about_nothing).await?,
            200,
            "it is not sent again"
        );
    }
    let notices = "select count(*) from gateway_notices";
    assert_eq!(stack.database.number(notices)?, 0);
    assert_eq!(
        stack.api.get("forged", id).await?.account()?["status"],
        "PENDING"
    );

    // One that contradicts itself only leads to a lookup, and operators see its fields.
    let both = webhook_body(&reference, "VALID", "INVALID_ACCOUNT_FAIL");
    let headers = signed("sandbox_secret", now, &both)?;
    assert_eq!(send(&url, &headers, &both).await?, 200);
    let page = stack.command(&["account", "show", id])?;
    let says = "response not understood: fields account_status, account_status_code";
    assert!(page.contains(says), "{page}");
    assert_eq!(
        stack.api.get("forged", id).await?.account()?["status"],
        "PENDING"
    );

    // The genuine one, three times; then its opposite, which is late.
    let yes = webhook_body(&reference, "VALID", "ACCOUNT_IS_VALID");
    let headers = signed("sandbox_secret", now, &yes)?;
    for _ in 0..3 {
        assert_eq!(send(&url, &headers, &yes).await?, 200);
    }
    let account = until_status(&stack, "forged", id, "ACTIVE").await?;
    assert_eq!(account["validation"]["name_at_bank"], "ASHA RAO");
    assert_eq!(account["validation"]["utr"], "1387420170430008800069857");
    assert_eq!(send(&url, &good, &no).await?, 200);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(stack.api.get("forged", id).await?.account()?, account);
    assert_eq!(
        stack.database.number(notices)?,
        2,
        "the hint and the outcome"
    );
    let mut took = Vec::new();
    for _ in 0..51 {
        let began = std::time::Instant::now();
        assert_eq!(send(&url, &headers, &yes).await?, 200);
        took.push(began.elapsed());
    }
    took.sort_unstable();
    eprintln!(
        "a gateway webhook is answered in {:?} at the median",
        took[25]
    );
    let logs = stack.logs()?;
    assert!(
        logs.contains("gateway webhook rejected"),
        "operators see forged webhooks"
    );
    assert!(!logs.contains("ASHA RAO"));
    Ok(())
}

#[tokio::test]
async fn without_postgres_a_gateway_is_asked_to_repeat_its_webhook() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        workers: 0,
        proxies: true,
        ..Setup::default()
    })
    .await?;
    let base_url = stack.sandbox.cashfree();
    let account = khata_e2e::GatewayAccount {
        base_url: &base_url,
        settings: NO_POLLS,
        ..khata_e2e::GatewayAccount::default()
    };
    let id = stack.set_gateway_account(&account)?;
    let url = format!("{}/gateways/70/webhooks/{id}", stack.apis[0].url);
    stack.start_worker().await?;
    stack
        .sandbox
        .set_behaviour(Behaviour {
            pending_ms: 86_400_000,
            ..Behaviour::default()
        })
        .await?;
    let created = stack
        .api
        .create("away", &bank("7000300000001", "HDFC0000001"))
        .await?
        .account()?;
    let account_id = text(&created, "/id");
    until_status(&stack, "away", account_id, "PENDING").await?;
    let reference = stack
        .database
        .texts("select reference from validation_attempts")?
        .remove(0);
    let body = webhook_body(&reference, "VALID", "ACCOUNT_IS_VALID");
    let headers = signed("sandbox_secret", chrono::Utc::now().timestamp(), &body)?;
    let http = reqwest::Client::new();
    let send = async || -> Result<u16> {
        let mut request = http.post(&url).body(body.clone());
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        Ok(request.send().await?.status().as_u16())
    };
    stack.proxies()?.postgres.cut();
    assert_eq!(send().await?, 503, "the gateway is to come again");
    stack.proxies()?.postgres.restore();
    eventually(TIMEOUT, "the gateway webhook being accepted", async || {
        anyhow::Ok((send().await? == 200).then_some(()))
    })
    .await?;
    until_status(&stack, "away", account_id, "ACTIVE").await?;
    Ok(())
}
