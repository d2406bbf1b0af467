//! The headers: keys, request ids, routing ids and traces.

use std::time::{Duration, Instant};

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack, eventually};
use reqwest::Method;

use crate::bad_values::stack;
use crate::errors::{assert_error, assert_faults};
use crate::requests::{bank, basic};

#[tokio::test]
async fn every_invalid_key_gets_the_same_reply() -> Result<()> {
    let stack = stack().await?;
    let (api, key) = (&stack.api, &stack.api.key);
    let [revoked, expired] = [stack.issue_key("e2e")?, stack.issue_key("e2e")?];
    for (key, change) in [
        (&revoked, "revoked_at = now()"),
        (&expired, "expires_at = now()"),
    ] {
        // The newest key with the prefix; three keys do not share twelve characters.
        let prefix = &key[..12];
        stack.database.execute(&format!(
            "update api_keys set {change} where prefix = '{prefix}'"
        ))?;
    }
    let unknown = format!("{}x", &key[..key.len() - 1]);
    let live = key.replace("kh_test_", "kh_live_");
    let cases = [
        ("a scheme alone", Some("Basic".into())),
        ("nothing in base64", Some("Basic ".into())),
        ("an empty key", Some(basic(":"))),
        ("an unknown key", Some(basic(&format!("{unknown}:")))),
        ("a key cut short", Some(basic(&format!("{}:", &key[..20])))),
        ("a key with a NUL", Some(basic(&format!("{key}\0:")))),
        (
            "a key of 10 kB",
            Some(basic(&format!("{}:", "k".repeat(10_240)))),
        ),
        ("a key of spaces", Some(basic("    :"))),
        ("an SQL key", Some(basic("' or '1'='1:"))),
        ("a revoked key", Some(basic(&format!("{revoked}:")))),
        ("an expired key", Some(basic(&format!("{expired}:")))),
    ];
    let mut bodies = Vec::new();
    for (what, credential) in cases {
        for (method, path) in [
            (Method::POST, "/customers/a/accounts"),
            (Method::GET, "/customers/a/customer-accounts/list"),
            (Method::GET, "/customers/a/customer-accounts/banh_x"),
        ] {
            let mut request = api.bare(method, path).header("x-request-id", "the-same");
            if let Some(credential) = &credential {
                request = request.header("authorization", credential);
            }
            let reply = api.send(request).await?;
            assert_error(
                what,
                &reply,
                401,
                ["error", "access_denied", "UNAUTHORIZED", "USER_ERROR"],
            );
            let body = reply.json();
            assert_eq!(body["error_info"]["user_message"], "Unauthorized.");
            assert_eq!(
                body["error_info"]["developer_message"],
                "Invalid API Key. Please pass a valid and active api key."
            );
            assert!(
                reply
                    .header("www-authenticate")
                    .is_some_and(|value| value.starts_with("Basic"))
            );
            bodies.push(reply.text);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:#?}");
    // The reply names a fault that says nothing about a key.
    for (credential, part) in [
        (None, "has no API key"),
        (Some(key.clone()), "another scheme than Basic"),
        (Some(format!("Bearer {key}")), "another scheme than Basic"),
        (
            Some(format!("Bearer {unknown}")),
            "another scheme than Basic",
        ),
        (Some(basic(&format!("{live}:"))), "is a live key"),
        (Some(basic(&format!("{key}:secret"))), "has a password"),
        (Some(basic(&format!("{unknown}:secret"))), "has a password"),
        (Some(basic(&format!(":{key}"))), "has a password"),
        (Some(format!("Basic {key}")), "is not Base64"),
    ] {
        let mut request = api.bare(Method::GET, "/customers/a");
        if let Some(credential) = &credential {
            request = request.header("authorization", credential);
        }
        let reply = api.send(request).await?.expect_status(401)?;
        let message = reply.json()["error_info"]["developer_message"].clone();
        assert!(
            message.as_str().is_some_and(|text| text.contains(part)),
            "{message}"
        );
    }
    // The scheme's name is case-insensitive, and a client may omit the colon.
    for credential in [
        basic(&format!("{key}:")).replace("Basic", "basic"),
        basic(key),
    ] {
        let request = api.bare(Method::GET, "/customers/a/customer-accounts/list");
        let reply = api
            .send(request.header("authorization", credential))
            .await?;
        assert_eq!(reply.status, 404, "{}", reply.text);
    }
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn a_key_is_valid_only_in_its_own_database() -> Result<()> {
    let (here, elsewhere) = (stack().await?, stack().await?);
    for (stack, key, status) in [
        (&here, &here.api.key, 404),
        (&here, &elsewhere.api.key, 401),
        (&elsewhere, &here.api.key, 401),
    ] {
        let reply = stack.api.with_key(key).list("unknown", "").await?;
        assert_eq!(reply.status, status, "{}", reply.text);
    }
    Ok(())
}

#[tokio::test]
async fn every_invalid_key_takes_the_same_time() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        alone: true,
        ..Setup::default()
    })
    .await?;
    let revoked = stack.issue_key("e2e")?;
    let prefix = &revoked[..12];
    stack.database.execute(&format!(
        "update api_keys set revoked_at = now() where prefix = '{prefix}'"
    ))?;
    let keys = ["-", "kh_test_unknown", &revoked];
    let mut took: [Vec<Duration>; 3] = Default::default();
    // In turn, so that a busy moment of the machine affects all three.
    for _ in 0..60 {
        for (key, took) in keys.iter().zip(&mut took) {
            let began = Instant::now();
            let reply = stack.api.with_key(key).list("a", "").await?;
            took.push(began.elapsed());
            assert_eq!(reply.status, 401, "{}", reply.text);
        }
    }
    let medians = took.map(|mut took| {
        took.sort_unstable();
        took[took.len() / 2]
    });
    let (least, most) = (medians.iter().min(), medians.iter().max());
    let (least, most) = (*least.unwrap(), *most.unwrap());
    // Work for only some of the keys, such as a slow hash or another query, would show in the time.
    assert!(most < least * 2 + Duration::from_millis(2), "{medians:?}");
    Ok(())
}

#[tokio::test]
async fn a_header_of_100_kb_is_judged_by_its_own_rule() -> Result<()> {
    let stack = stack().await?;
    let api = &stack.api;
    let huge = "x".repeat(100 * 1024);
    let with = |name: &str| {
        api.creation("a")
            .form(&bank("026291800001191", "AABF0008032"))
            .header(name, &huge)
    };
    for name in ["x-routing-id", "Idempotency-Key"] {
        assert_faults(name, &api.send(with(name)).await?, &[name]);
    }
    let credentials = api
        .bare(Method::GET, "/customers/a")
        .header("authorization", format!("Basic {huge}"));
    api.send(credentials).await?.expect_status(401)?;
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);
    // An invalid id is replaced, and unknown headers are ignored.
    let reply = api.send(with("x-request-id")).await?.expect_status(200)?;
    assert!(
        reply
            .header("x-request-id")
            .is_some_and(|id| id.starts_with("req_") && id.len() < 128)
    );
    api.send(with("x-other")).await?.expect_status(200)?;
    Ok(())
}

#[tokio::test]
async fn every_reply_has_a_request_id_and_a_trace() -> Result<()> {
    let stack = stack().await?;
    let api = &stack.api;
    let list = || api.call(Method::GET, "/customers/a/customer-accounts/list");
    for given in ["a", "order-7/ü".trim_end_matches('ü'), &"x".repeat(128)] {
        let reply = api.send(list().header("x-request-id", given)).await?;
        assert_eq!(reply.header("x-request-id"), Some(given));
        assert_eq!(text(&reply.json(), "/error_info/request_id"), given);
    }
    let mut made = Vec::new();
    let too_long = "x".repeat(129);
    for unfit in ["", "a b", "é", &too_long] {
        let reply = api.send(list().header("x-request-id", unfit)).await?;
        made.push(reply.header("x-request-id").unwrap().to_owned());
    }
    for reply in [
        api.send(list()).await?,
        api.create("a", &bank("026291800001191", "AABF0008032"))
            .await?,
    ] {
        made.push(reply.header("x-request-id").unwrap().to_owned());
        let trace = reply.header("traceresponse").unwrap();
        let parts: Vec<&str> = trace.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [2, 32, 16, 2],
            "{trace}"
        );
        assert!(parts[0] == "00" && parts[3] == "01", "{trace}");
    }
    assert!(
        made.iter()
            .all(|id| id.starts_with("req_") && id.len() > 20),
        "{made:?}"
    );
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 6, "every id is new");
    Ok(())
}

#[tokio::test]
async fn a_routing_id_is_accepted_within_its_limits() -> Result<()> {
    let stack = stack().await?;
    let api = &stack.api;
    let longest = "r".repeat(128);
    let too_long = "r".repeat(129);
    for unfit in ["", "a b", "é", "a\tb", &too_long] {
        for request in [
            api.creation("a")
                .form(&bank("026291800001191", "AABF0008032")),
            api.call(Method::GET, "/customers/a/customer-accounts/list"),
        ] {
            let reply = api.send(request.header("x-routing-id", unfit)).await?;
            assert_faults(unfit, &reply, &["x-routing-id"]);
        }
    }
    assert_eq!(stack.database.row_counts()?, [0, 0, 0]);
    for given in ["customer_1122", &longest] {
        let request = api
            .creation(&given[..10])
            .form(&bank("026291800001191", "AABF0008032"));
        api.send(request.header("x-routing-id", given))
            .await?
            .account()?;
    }
    let stored = stack
        .database
        .texts("select routing_id from customer_accounts order by id")?;
    assert_eq!(stored, ["customer_1122", &longest]);
    Ok(())
}

#[tokio::test]
async fn head_replies_as_get_without_a_body() -> Result<()> {
    let stack = stack().await?;
    let api = &stack.api;
    // The API is ready before it is connected to RabbitMQ: from then on /health/ready replies the same to each call.
    eventually(TIMEOUT, "the connection to RabbitMQ", async || {
        let ready = api.get_path("/health/ready").await?;
        anyhow::Ok((ready.json()["checks"]["rabbitmq"] == "up").then_some(()))
    })
    .await?;
    let account = api
        .create("a", &bank("026291800001191", "AABF0008032"))
        .await?
        .account()?;
    let account = format!("/customers/a/customer-accounts/{}", text(&account, "/id"));
    for path in [
        "/health/live",
        "/health/ready",
        "/version",
        "/openapi.json",
        "/docs",
        "/docs/",
        "/docs/swagger-ui.css",
        "/customers/a",
        "/customers/a/customer-accounts/list?count=5",
        "/customers/a/bank-accounts/list",
        &account,
        &account.replace("customer-accounts", "bank-accounts"),
        "/customers/unknown",
        "/customers/a?x=1",
        "/nowhere",
    ] {
        let got = api.send(api.call(Method::GET, path)).await?;
        let head = api.send(api.call(Method::HEAD, path)).await?;
        assert_eq!(head.status, got.status, "{path}");
        assert_eq!(head.text, "", "{path}");
        for name in [
            "content-type",
            "content-length",
            "content-encoding",
            "cache-control",
            "location",
            "ratelimit-policy",
        ] {
            assert_eq!(head.header(name), got.header(name), "{path} {name}");
        }
        assert!(
            head.header("content-length")
                .is_some_and(|length| length != "0"),
            "{path}"
        );
        for name in ["x-request-id", "traceresponse"] {
            assert_eq!(
                head.header(name).is_some(),
                got.header(name).is_some(),
                "{path} {name}"
            );
        }
    }
    let head = api
        .send(api.call(Method::HEAD, "/customers/a/accounts"))
        .await?;
    assert_eq!((head.status, head.header("allow")), (405, Some("POST")));
    Ok(())
}
