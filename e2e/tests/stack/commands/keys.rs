//! `khata key`.

use std::time::Instant;

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{TIMEOUT, TestStack, eventually};

use reqwest::Method;

use super::{APPLIED, assert_fails, audited, document_of, without_workers};
use crate::requests::bank;

#[tokio::test]
async fn a_key_is_listed_revoked_and_rotated() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let merchant = ["--merchant", "e2e"];
    let run = |command: &str, rest: &[&str]| {
        document_of(&stack, &[&["key", command], &merchant[..], rest].concat())
    };
    let refused = |command: &str, rest: &[&str], code, says: &str| {
        assert_fails(
            &stack,
            &[&["key", command], &merchant[..], rest].concat(),
            code,
            says,
        )
    };
    let status =
        async |key: &str| anyhow::Ok(stack.api.with_key(key).list("unknown", "").await?.status);
    let stops = async |key: &str, since: Instant| {
        eventually(APPLIED, "the key being rejected", async || {
            anyhow::Ok((status(key).await? == 401).then_some(()))
        })
        .await?;
        eprintln!("rejected after {:?}", since.elapsed());
        anyhow::Ok(())
    };

    let leaked = run("issue", &["--expires", "30d"])?;
    let (key, prefix) = (text(&leaked, "/key"), text(&leaked, "/prefix"));
    assert_eq!(
        status(key).await?,
        404,
        "the key works, and the API caches that"
    );
    let listed = run("list", &[])?;
    let keys = listed["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(
        (&keys[1]["prefix"], &keys[1]["state"]),
        (&leaked["prefix"], &"ACTIVE".into())
    );
    assert_eq!(keys[1]["expires_at"], leaked["expires_at"]);
    assert!(keys[0]["expires_at"].is_null() && !leaked["expires_at"].is_null());

    // An ambiguous or unknown prefix revokes no key.
    refused(
        "revoke",
        &["--prefix", "kh_test_"],
        1,
        "has 2 keys beginning with",
    )?;
    refused("revoke", &["--prefix", "kh_live_"], 1, "key list")?;
    refused("revoke", &[], 2, "--prefix")?;
    let ran =
        stack.try_command(&[&["key", "revoke"], &merchant[..], &["--prefix", key]].concat())?;
    assert!(
        ran.code == Some(1) && !ran.stderr.contains(&key[12..]),
        "{ran:?}"
    );
    assert_eq!(status(key).await?, 404);

    let began = Instant::now();
    let revoked = run("revoke", &["--prefix", prefix])?;
    assert_eq!(revoked["changed"], true);
    stops(key, began).await?;
    let again = run("revoke", &["--prefix", prefix])?;
    assert_eq!(
        (&again["changed"], &again["revoked_at"]),
        (&false.into(), &revoked["revoked_at"])
    );
    let by_id = ["--id", text(&leaked, "/id")];
    assert!(
        stack
            .command(&[&["key", "revoke"], &merchant[..], &by_id].concat())?
            .contains("already")
    );
    assert_eq!(audited(&stack, "key.revoke")?.len(), 1);
    refused("rotate", &["--prefix", prefix], 1, "was revoked at")?;

    // Change over: both work.
    let first = run("issue", &[])?;
    let second = run("rotate", &["--prefix", text(&first, "/prefix")])?;
    assert_eq!(second["old"]["prefix"], first["prefix"]);
    for each in [&first, &second] {
        assert_eq!(status(text(each, "/key")).await?, 404, "{each}");
    }
    let hours = stack.database.number(
        "select round(extract(epoch from expires_at - now()) / 3600) from api_keys
         where expires_at is not null and revoked_at is null",
    )?;
    assert_eq!(hours, 24);
    // A further key would end with the old one, if it had no time of its own.
    let replaced = format!(
        "is already being replaced by key {}",
        text(&second, "/prefix")
    );
    let again = ["--prefix", text(&first, "/prefix")];
    refused("rotate", &again, 1, &replaced)?;
    let keys = run("list", &[])?["keys"].as_array().unwrap().len();
    assert_eq!(keys, 4, "no key was issued");
    // An earlier expiry stays, and so does the merchant's other key.
    let with_time = ["--overlap-hours", "48", "--expires", "30d"];
    let sooner = run("rotate", &[&again[..], &with_time].concat())?;
    assert!(text(&sooner, "/expires_at") > text(&second, "/old/expires_at"));
    assert_eq!(sooner["old"]["expires_at"], second["old"]["expires_at"]);
    let began = Instant::now();
    let third = run(
        "rotate",
        &["--id", text(&second, "/id"), "--overlap-hours", "0"],
    )?;
    stops(text(&second, "/key"), began).await?;
    assert_eq!(status(text(&third, "/key")).await?, 404);
    assert_eq!(status(&stack.api.key).await?, 404, "unchanged");
    refused("rotate", &["--id", text(&second, "/id")], 1, "expired at")?;
    assert_eq!(audited(&stack, "key.rotate")?.len(), 3);
    assert_eq!(audited(&stack, "key.issue")?.len(), 1 + 2 + 3);

    // Only the command that issued a key shows it.
    let table = stack.command(&[&["key", "list"], &merchant[..]].concat())?;
    for state in ["ACTIVE", "EXPIRED", "REVOKED"] {
        assert!(table.contains(state), "{table}");
    }
    let rows = stack.database.dump()?.join("\n");
    for each in [&leaked, &first, &second, &third] {
        let secret = &text(each, "/key")[12..];
        assert!(!table.contains(secret) && !rows.contains(secret));
    }
    Ok(())
}

#[tokio::test]
async fn a_key_can_do_what_its_scope_includes() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let account = bank("50000001", "AABF0008032");
    let created = stack.api.create("scoped", &account).await?.account()?;
    let path = format!(
        "/customers/scoped/customer-accounts/{}",
        text(&created, "/id")
    );
    let key_of = |scope: &str| {
        let issue = ["key", "issue", "--merchant", "e2e", "--scope", scope];
        document_of(&stack, &issue)
    };
    for (scope, may_create, may_delete) in [
        ("read", false, false),
        ("create", true, false),
        ("admin", true, true),
    ] {
        let key = key_of(scope)?;
        assert_eq!(key["scope"], scope.to_uppercase());
        let api = stack.api.with_key(text(&key, "/key"));
        for reading in [Method::GET, Method::HEAD] {
            let read = api.send(api.call(reading, &path)).await?;
            assert_ne!(read.status, 403, "{scope}: {}", read.text);
        }
        assert_eq!(api.list("scoped", "").await?.status, 200, "{scope}");
        let with = |path: &str, form: &[(&str, &str)]| api.call(Method::POST, path).form(form);
        let validate = format!("{path}/validate");
        let calls = [
            (may_create, api.creation("scoped").form(&account)),
            (
                may_create,
                with("/customers", &[("object_reference_id", scope)]),
            ),
            (
                may_create,
                with("/customers/scoped", &[("first_name", "Asha")]),
            ),
            (may_create, with(&validate, &[])),
            (
                may_create,
                with("/customers/scoped/bank-accounts", &account),
            ),
            (may_delete, with(&path, &[("command", "delete")])),
            (
                may_delete,
                with(
                    "/webhook-endpoints",
                    &[("url", "https://hooks.example.com/")],
                ),
            ),
        ];
        for (may, call) in calls {
            let reply = api.send(call).await?;
            assert_eq!(reply.status == 403, !may, "{scope}: {}", reply.text);
            if !may {
                let error = reply.json();
                assert_eq!(error["error_info"]["code"], "INSUFFICIENT_SCOPE", "{error}");
                assert!(text(&error, "/error_info/developer_message").contains("ADMIN"));
            }
        }
    }
    // A rotated key keeps its scope.
    let read = key_of("read")?;
    let rotate = [
        "key",
        "rotate",
        "--merchant",
        "e2e",
        "--id",
        text(&read, "/id"),
    ];
    let rotated = document_of(&stack, &rotate)?;
    assert_eq!(rotated["scope"], "READ");
    assert!(rotated["expires_at"].is_null(), "as the old key: {rotated}");
    let listed = document_of(&stack, &["key", "list", "--merchant", "e2e"])?;
    let scopes: Vec<_> = listed["keys"].as_array().unwrap().iter().collect();
    assert_eq!(scopes[0]["scope"], "ADMIN");
    assert_eq!(scopes.last().unwrap()["scope"], "READ");
    // A rotated key ends when the old key would have, unless the operator gives another time.
    let month = ["key", "issue", "--merchant", "e2e", "--expires", "30d"];
    let month = document_of(&stack, &month)?;
    let rotate = [
        "key",
        "rotate",
        "--merchant",
        "e2e",
        "--id",
        text(&month, "/id"),
    ];
    let rotated = document_of(&stack, &rotate)?;
    assert_eq!(rotated["expires_at"], month["expires_at"]);
    let never = [&rotate[..5], &[text(&rotated, "/id"), "--expires", "never"]].concat();
    assert!(document_of(&stack, &never)?["expires_at"].is_null());
    Ok(())
}

#[tokio::test]
async fn a_cached_key_stops_at_its_expiry() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let key = document_of(
        &stack,
        &["key", "issue", "--merchant", "e2e", "--expires", "1h"],
    )?;
    let id = text(&key, "/id");
    let sooner =
        "update api_keys set expires_at = now() + interval '4 s' where expires_at is not null";
    stack.database.execute(sooner)?;
    let api = stack.api.with_key(text(&key, "/key"));
    // The API reads the key's row now, and caches it for five seconds.
    assert_eq!(api.list("unknown", "").await?.status, 404);
    let has_expired = "select count(*) from api_keys where expires_at <= clock_timestamp()";
    eventually(TIMEOUT, "the key expiring", async || {
        anyhow::Ok((stack.database.number(has_expired)? == 1).then_some(()))
    })
    .await?;
    let is_cached =
        "select count(*) from api_keys where expires_at > clock_timestamp() - interval '1 s'";
    let status = api.list("unknown", "").await?.status;
    let was_cached = stack.database.number(is_cached)? == 1;
    assert_eq!(status, 401, "{id}");
    eprintln!("rejected while the row was cached: {was_cached}");
    Ok(())
}
