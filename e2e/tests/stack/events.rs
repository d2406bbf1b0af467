//! Contract, *Events and merchant webhooks*: the list of events, webhook endpoints, deliveries and replay, by the API.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Api, HttpReply, Setup, TIMEOUT, TestStack, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::errors::{assert_error, assert_faults};
use crate::requests::{bank, banks, ids, is_time};

const CUSTOMER: &str = "customer_1122";
const URL: &str = "https://hooks.example.com/khata";
const NOT_FOUND: [&str; 4] = [
    "invalid_request_error",
    "object_not_found",
    "RESOURCE_NOT_FOUND",
    "USER_ERROR",
];

async fn get(api: &Api, path: &str) -> Result<HttpReply> {
    api.send(api.call(Method::GET, path)).await
}

async fn post(api: &Api, path: &str, form: &[(&str, &str)]) -> Result<HttpReply> {
    api.send(api.call(Method::POST, path).form(form)).await
}

async fn add_endpoint(api: &Api, form: &[(&str, &str)]) -> Result<Value> {
    let reply = post(api, "/webhook-endpoints", form).await?;
    Ok(reply.expect_status(200)?.json())
}

/// Returns the items of a list.
fn items(page: &Value) -> Vec<Value> {
    let list = page["list"].as_array().cloned().unwrap_or_default();
    assert_eq!(page["object"], "list", "{page}");
    assert_eq!(page["count"], list.len(), "{page}");
    list
}

/// Waits until the merchant has this number of events, and returns them. Any transaction that writes, also of another database of
/// the server, may hold the newest ones back.
pub(crate) async fn events(api: &Api, count: usize) -> Result<Vec<Value>> {
    eventually(TIMEOUT, &format!("{count} events"), async || {
        let page = get(api, "/events").await?.expect_status(200)?.json();
        let events = items(&page);
        anyhow::Ok((events.len() >= count).then_some(events))
    })
    .await
}

/// Waits for the event of the account's change to this status, and returns the account that it shows. The account may have another
/// status by now.
pub(crate) async fn became(api: &Api, account: &str, status: &str) -> Result<Value> {
    let path = format!("/events?limit=100&types=CUSTOMER_ACCOUNT_{status}");
    let what = format!("the event of {account} being {status}");
    eventually(TIMEOUT, &what, async || {
        let page = get(api, &path).await?.expect_status(200)?.json();
        let mut accounts = items(&page)
            .into_iter()
            .map(|event| event["content"]["customer_account"].clone());
        anyhow::Ok(accounts.find(|shown| text(shown, "/id") == account))
    })
    .await
}

/// Returns the names of events.
fn names(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| text(event, "/event_name"))
        .collect()
}

#[tokio::test]
async fn each_change_of_an_account_is_one_event_with_the_next_version() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let api = &stack.api;
    let created = api
        .create(CUSTOMER, &bank("026291800001191", "YESB0000262"))
        .await?;
    let created = created.account()?;
    assert_eq!(created["version"], 1);
    let id = text(&created, "/id");
    let active = api.wait_for(CUSTOMER, id, &["ACTIVE"], TIMEOUT).await?;
    let path = format!("/customers/{CUSTOMER}/customer-accounts/{id}");
    let again = post(api, &format!("{path}/validate"), &[("fresh", "true")]).await?;
    let again = again.account()?;
    assert_eq!(again["status"], "ACTIVE", "{again}");
    let deleted = post(api, &path, &[("command", "delete")])
        .await?
        .account()?;
    let last = usize::try_from(deleted["version"].as_u64().unwrap())?;
    let events = events(api, last).await?;
    assert_eq!(events.len(), last, "one event for each version: {events:?}");
    let shown = |event: &Value| event["content"]["customer_account"].clone();
    for (place, event) in events.iter().enumerate() {
        let account = shown(event);
        assert_eq!(account["version"], place + 1, "{event}");
        assert_eq!(account["id"], id);
        let name = format!("CUSTOMER_ACCOUNT_{}", text(&account, "/status"));
        assert_eq!(event["event_name"], name);
        assert!(is_time(&event["date_created"]), "{event}");
        assert_eq!(event["date_created"], account["last_updated"], "{event}");
        let one = get(api, &format!("/events/{}", text(event, "/id"))).await?;
        assert_eq!(&one.expect_status(200)?.json(), event);
    }
    assert_eq!(shown(&events[0]), created);
    let version = |account: &Value| usize::try_from(account["version"].as_u64().unwrap());
    assert_eq!(shown(&events[version(&active)? - 1]), active);
    assert_eq!(shown(&events[version(&again)? - 1]), again);
    assert_eq!(shown(&events[last - 1]), deleted);
    let names = names(&events);
    assert_eq!(
        names
            .iter()
            .filter(|name| name.ends_with("_ACTIVE"))
            .count(),
        2,
        "{names:?}"
    );
    Ok(())
}

#[tokio::test]
async fn pages_of_events_follow_each_other_without_a_gap() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    let mut accounts = Vec::new();
    for first in [0, 5, 9] {
        let body = banks((first..first + 5).map(|n| format!("7000000{n:02}")));
        accounts.extend(ids(&api.create_json(CUSTOMER, &body).await?.accounts()?));
    }
    accounts.sort();
    accounts.dedup();
    let account = &accounts[3];
    let path = format!("/customers/{CUSTOMER}/customer-accounts/{account}");
    post(api, &path, &[("command", "delete")])
        .await?
        .account()?;
    // 14 accounts: one is in two calls. And a deletion.
    let all = events(api, 15).await?;
    assert_eq!(all.len(), 15);
    let of = |event: &Value| text(event, "/content/customer_account/id").to_owned();
    let mut seen: Vec<String> = all[..14].iter().map(of).collect();
    seen.sort();
    assert_eq!(seen, accounts);
    assert_eq!(
        (of(&all[14]), names(&all)[14]),
        (account.clone(), "CUSTOMER_ACCOUNT_DELETED")
    );

    for limit in [1, 4, 15, 100] {
        let mut paged: Vec<Value> = Vec::new();
        loop {
            let after = paged.last().map_or("", |event| text(event, "/id"));
            let path = format!("/events?after={after}&limit={limit}");
            let page = get(api, &path).await?.expect_status(200)?.json();
            let items = items(&page);
            assert_eq!(
                page["has_more"],
                paged.len() + items.len() < all.len(),
                "{page}"
            );
            assert!(items.len() <= limit);
            let has_more = page["has_more"] == true;
            paged.extend(items);
            if !has_more {
                break;
            }
        }
        assert_eq!(paged, all, "pages of {limit}");
    }
    let last = text(&all[14], "/id");
    let end = get(api, &format!("/events?after={last}"))
        .await?
        .expect_status(200)?
        .json();
    assert_eq!((items(&end).len(), &end["has_more"]), (0, &json!(false)));
    let types = "CUSTOMER_ACCOUNT_DELETED,CUSTOMER_ACCOUNT_FAILURE";
    let some = get(api, &format!("/events?types={types}"))
        .await?
        .expect_status(200)?
        .json();
    assert_eq!(items(&some), all[14..]);
    let none = format!("/events?types={types}&after={last}");
    assert!(items(&get(api, &none).await?.expect_status(200)?.json()).is_empty());
    Ok(())
}

#[tokio::test]
async fn the_list_begins_with_the_events_from_now_on() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    let latest = async || {
        let page = get(api, "/events?after=latest&limit=1").await?;
        let page = page.expect_status(200)?.json();
        assert_eq!((items(&page).len(), &page["has_more"]), (0, &json!(false)));
        anyhow::Ok(page["cursor"].clone())
    };
    assert_eq!(latest().await?, json!(null));
    let body = banks((0..3).map(|n| format!("7000000{n:02}")));
    api.create_json(CUSTOMER, &body).await?.accounts()?;
    let before = events(api, 3).await?;
    let cursor = latest().await?;
    assert_eq!(cursor, before[2]["id"]);
    api.create(CUSTOMER, &bank("50000001", "YESB0000262"))
        .await?
        .account()?;
    let all = events(api, 4).await?;
    let path = format!("/events?after={}", cursor.as_str().unwrap());
    let page = get(api, &path).await?.expect_status(200)?.json();
    assert_eq!(items(&page), all[3..]);
    Ok(())
}

#[tokio::test]
async fn a_cursor_that_is_not_kept_is_gone_and_a_bad_query_is_named() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        traces: true,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    api.create(CUSTOMER, &bank("026291800001191", "YESB0000262"))
        .await?
        .account()?;
    let event = text(&events(api, 1).await?[0], "/id").to_owned();
    let stranger = api.with_key(&stack.issue_key("stranger")?);
    let gone = ["error", "gone", "EVENT_NOT_KEPT", "USER_ERROR"];
    let theirs = get(&stranger, &format!("/events?after={event}")).await?;
    assert_error("another merchant's event", &theirs, 410, gone);
    assert!(items(&get(&stranger, "/events").await?.expect_status(200)?.json()).is_empty());
    for path in [
        format!("/events/{event}"),
        format!("/events/{event}/deliveries"),
    ] {
        get(api, &path).await?.expect_status(200)?;
        let theirs = get(&stranger, &path).await?;
        assert_error(&path, &theirs, 404, NOT_FOUND);
    }
    stack.database.execute("delete from events")?;
    let expired = get(api, &format!("/events?after={event}")).await?;
    assert_error("an expired event", &expired, 410, gone);
    assert!(
        text(&expired.json(), "/error_info/developer_message").contains("Call without `after`")
    );
    for (query, fields) in [
        ("after=banh_x", &["after"][..]),
        ("types=CUSTOMER_ACCOUNT_ACTIV", &["types"]),
        ("limit=0&after=x", &["after", "limit"]),
        ("count=5", &["count"]),
        ("limit=1&limit=2", &["query"]),
    ] {
        let reply = get(api, &format!("/events?{query}")).await?;
        assert_faults(query, &reply, fields);
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_is_created_read_changed_and_deleted() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        traces: true,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    let form = [
        ("url", URL),
        ("basic_user", "asha"),
        ("basic_password", "p4ssw0rd of mine"),
    ];
    let created = add_endpoint(api, &form).await?;
    let id = text(&created, "/id");
    let secret = text(&created, "/secret").to_owned();
    assert!(
        id.starts_with("whe_") && secret.starts_with("whsec_"),
        "{created}"
    );
    for (member, value) in [
        ("url", json!(URL)),
        ("status", json!("ENABLED")),
        ("event_names", json!(["ALL"])),
        ("payload", json!("FULL")),
        ("is_ordered", json!(true)),
        ("concurrency", json!(32)),
        ("calls_per_second", json!(0)),
        ("allow_url_per_account", json!(false)),
        ("signature", json!("v1")),
        ("public_key", json!(null)),
        ("basic_user", json!("asha")),
    ] {
        assert_eq!(created[member], value, "{member}");
    }
    let path = format!("/webhook-endpoints/{id}");
    let mut expected = created.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!(get(api, &path).await?.expect_status(200)?.json(), expected);
    let list = get(api, "/webhook-endpoints")
        .await?
        .expect_status(200)?
        .json();
    assert_eq!(list["list"], json!([expected]));

    let change = json!({
        "url": "https://hooks.example.com/v2", "event_names": ["CUSTOMER_ACCOUNT_ACTIVE"], "payload": "THIN", "is_ordered": false,
        "concurrency": 4, "calls_per_second": 9, "allow_url_per_account": true, "signature": "v1a",
    });
    let call = api.call(Method::POST, &path).json(&change);
    let changed = api.send(call).await?.expect_status(200)?.json();
    for (member, value) in change.as_object().unwrap() {
        assert_eq!(&changed[member], value, "{member}");
    }
    assert!(
        text(&changed, "/public_key").starts_with("whpk_"),
        "{changed}"
    );
    assert_eq!(
        changed["basic_user"], "asha",
        "what a change does not name stays"
    );
    assert_eq!(changed.get("secret"), None);
    let same = post(api, &path, &[("payload", "THIN")])
        .await?
        .expect_status(200)?
        .json();
    assert_eq!(same, changed);

    let rotate = format!("{path}/rotate-secret");
    let rotated = post(api, &rotate, &[]).await?.expect_status(200)?.json();
    let new = text(&rotated, "/secret").to_owned();
    assert!(new.starts_with("whsec_") && new != secret);
    assert!(is_time(&rotated["previous_secret_until"]), "{rotated}");
    let hours = [("previous_secret_hours", "0")];
    let rotated = post(api, &rotate, &hours).await?.expect_status(200)?.json();
    assert_eq!(rotated["previous_secret_until"], Value::Null);

    for (verb, status) in [
        ("disable", "DISABLED"),
        ("disable", "DISABLED"),
        ("enable", "ENABLED"),
    ] {
        let reply = post(api, &format!("{path}/{verb}"), &[])
            .await?
            .expect_status(200)?;
        assert_eq!(reply.json()["status"], status);
        let by = if verb == "disable" {
            json!("MERCHANT")
        } else {
            json!(null)
        };
        assert_eq!(reply.json()["disabled_by"], by);
    }
    let deleted = post(api, &format!("{path}/delete"), &[])
        .await?
        .expect_status(200)?;
    assert_eq!(deleted.json()["status"], "DELETED");
    for path in [path.clone(), format!("{path}/deliveries")] {
        assert_error(&path, &get(api, &path).await?, 404, NOT_FOUND);
    }
    assert_error(
        "delete again",
        &post(api, &format!("{path}/delete"), &[]).await?,
        404,
        NOT_FOUND,
    );

    // One line for each change, with the key and no secret. The second disable and the equal change have none.
    let audit = stack
        .database
        .texts("select action from audit_log where subject like 'whe_%' order by id")?;
    let rotation = "webhook.rotate-secret";
    let actions = [
        "webhook.add",
        "webhook.set",
        rotation,
        rotation,
        "webhook.disable",
        "webhook.enable",
        "webhook.delete",
    ];
    assert_eq!(audit, actions);
    let lines = stack
        .database
        .texts("select l::text from audit_log l where subject like 'whe_%'")?;
    assert!(
        lines.iter().all(|line| line.contains("key:key_")),
        "{lines:?}"
    );
    let dump = stack.database.dump()?.join("\n");
    for secret in [&secret[6..], &new[6..], "p4ssw0rd"] {
        assert!(!dump.contains(secret), "{secret}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_endpoint_is_refused_and_another_merchants_is_not_found() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        traces: true,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    for (form, fields) in [
        (&[][..], &["url"][..]),
        (&[("url", "ftp://hooks.example.com/")], &["url"]),
        (&[("url", "https://10.0.0.1/")], &["url"]),
        (&[("url", "https://169.254.169.254/latest")], &["url"]),
        (&[("url", "https://user:pw@hooks.example.com/")], &["url"]),
        (
            &[("url", URL), ("payload", "full"), ("concurrency", "257")],
            &["payload", "concurrency"],
        ),
        (&[("url", URL), ("event_names", "ACTIVE")], &["event_names"]),
        (&[("url", URL), ("secret", "whsec_x")], &["secret"]),
    ] {
        let reply = post(api, "/webhook-endpoints", form).await?;
        assert_faults(&format!("{form:?}"), &reply, fields);
    }
    // In sandbox mode a developer's machine is allowed.
    add_endpoint(api, &[("url", "http://localhost:3000/hooks")]).await?;
    for _ in 1..20 {
        add_endpoint(api, &[("url", URL)]).await?;
    }
    let one_more = post(api, "/webhook-endpoints", &[("url", URL)]).await?;
    assert_faults("21 endpoints", &one_more, &["url"]);
    let list = get(api, "/webhook-endpoints")
        .await?
        .expect_status(200)?
        .json();
    assert_eq!(list["total"], 20);
    let id = text(&list, "/list/0/id");
    post(api, &format!("/webhook-endpoints/{id}/delete"), &[])
        .await?
        .expect_status(200)?;
    add_endpoint(api, &[("url", URL)]).await?;

    let id = text(&list, "/list/1/id");
    let stranger = api.with_key(&stack.issue_key("stranger")?);
    let path = format!("/webhook-endpoints/{id}");
    let before = stack
        .database
        .texts("select w::text from webhook_endpoints w order by 1")?;
    for verb in [
        "",
        "/enable",
        "/disable",
        "/rotate-secret",
        "/test",
        "/delete",
    ] {
        let reply = post(&stranger, &format!("{path}{verb}"), &[]).await?;
        assert_error(verb, &reply, 404, NOT_FOUND);
    }
    assert_error("read", &get(&stranger, &path).await?, 404, NOT_FOUND);
    let after = stack
        .database
        .texts("select w::text from webhook_endpoints w order by 1")?;
    assert_eq!(after, before);
    Ok(())
}

#[tokio::test]
async fn a_repeated_creation_makes_one_endpoint() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    let mut replies = Vec::new();
    for _ in 0..2 {
        let call = api
            .call(Method::POST, "/webhook-endpoints")
            .form(&[("url", URL)]);
        let reply = api
            .send(call.header("Idempotency-Key", "endpoint-1"))
            .await?;
        replies.push(reply.expect_status(200)?);
    }
    assert_eq!(replies[0].text, replies[1].text);
    assert_eq!(replies[1].header("idempotent-replayed"), Some("true"));
    assert_eq!(
        stack
            .database
            .number("select count(*) from webhook_endpoints")?,
        1
    );
    Ok(())
}

#[tokio::test]
async fn a_test_and_a_replay_are_deliveries_of_the_endpoint() -> Result<()> {
    // Without a worker, every delivery stays open.
    let stack = TestStack::start(Setup {
        workers: 0,
        traces: true,
        ..Setup::default()
    })
    .await?;
    let api = &stack.api;
    api.create("earlier", &bank("50000001", "YESB0000262"))
        .await?
        .account()?;
    let endpoint = add_endpoint(api, &[("url", URL)]).await?;
    let other = add_endpoint(
        api,
        &[("url", URL), ("event_names", "CUSTOMER_ACCOUNT_ACTIVE")],
    )
    .await?;
    let (id, other) = (text(&endpoint, "/id"), text(&other, "/id"));
    api.create(CUSTOMER, &bank("026291800001191", "YESB0000262"))
        .await?
        .account()?;
    let test = post(api, &format!("/webhook-endpoints/{id}/test"), &[]).await?;
    let test = test.expect_status(200)?.json();
    assert_eq!(test["event_name"], "WEBHOOK_ENDPOINT_TEST");
    assert_eq!(text(&test, "/content/webhook_endpoint/id"), id);
    let events = events(api, 3).await?;
    let all_names = [
        "CUSTOMER_ACCOUNT_CREATED",
        "CUSTOMER_ACCOUNT_CREATED",
        "WEBHOOK_ENDPOINT_TEST",
    ];
    assert_eq!(names(&events), all_names);
    assert_eq!(events[2], test);
    let event = |place: usize| text(&events[place], "/id").to_owned();

    let path = format!("/webhook-endpoints/{id}/deliveries");
    let page = get(api, &path).await?.expect_status(200)?.json();
    let deliveries = items(&page);
    let of: Vec<&str> = deliveries
        .iter()
        .map(|one| text(one, "/event_id"))
        .collect();
    assert_eq!(
        of,
        [event(2), event(1)],
        "the newest first; none of the time before the endpoint"
    );
    assert_eq!(deliveries[0]["state"], "OPEN");
    assert_eq!(deliveries[0]["attempts"], json!([]));
    assert!(is_time(&deliveries[0]["next_attempt_at"]));
    let first = get(api, &format!("{path}?limit=1&state=OPEN"))
        .await?
        .expect_status(200)?
        .json();
    assert_eq!(
        (items(&first), &first["has_more"]),
        (deliveries[..1].to_vec(), &json!(true))
    );
    let before = format!("{path}?before={}", event(2));
    let second = get(api, &before).await?.expect_status(200)?.json();
    assert_eq!(
        (items(&second), &second["has_more"]),
        (deliveries[1..].to_vec(), &json!(false))
    );
    for (query, field) in [
        ("state=open", "state"),
        ("before=x", "before"),
        ("limit=101", "limit"),
    ] {
        assert_faults(
            query,
            &get(api, &format!("{path}?{query}")).await?,
            &[field],
        );
    }

    let replay = async |event: &str, form: &[(&str, &str)]| {
        post(api, &format!("/events/{event}/replay"), form).await
    };
    // An open delivery goes on.
    let open = replay(&event(1), &[]).await?.expect_status(200)?.json();
    assert_eq!(
        open,
        json!({"object": "event_replay", "event_id": event(1), "deliveries": 0})
    );
    // The event before the endpoint has a delivery now; the other endpoint does not want it.
    let earlier = replay(&event(0), &[]).await?.expect_status(200)?.json();
    assert_eq!(earlier["deliveries"], 1);
    let list = get(api, &format!("/events/{}/deliveries", event(0)))
        .await?
        .expect_status(200)?
        .json();
    let endpoints: Vec<Value> = items(&list)
        .iter()
        .map(|one| one["endpoint_id"].clone())
        .collect();
    assert_eq!(endpoints, [id]);
    let unwanted = replay(&event(0), &[("endpoint_id", other)])
        .await?
        .expect_status(200)?
        .json();
    assert_eq!(unwanted["deliveries"], 0);
    let unknown = [("endpoint_id", "whe_01k82u7s7aeqraoh1tia1a3hc8")];
    assert_faults(
        "unknown",
        &replay(&event(0), &unknown).await?,
        &["endpoint_id"],
    );
    assert_faults(
        "malformed",
        &replay(&event(0), &[("endpoint_id", "x")]).await?,
        &["endpoint_id"],
    );

    post(api, &format!("/webhook-endpoints/{id}/disable"), &[])
        .await?
        .expect_status(200)?;
    let disabled = post(api, &format!("/webhook-endpoints/{id}/test"), &[]).await?;
    assert_error(
        "test",
        &disabled,
        409,
        ["error", "conflict", "INVALID_ACTION", "USER_ERROR"],
    );
    Ok(())
}
