//! `khata key`.

use std::time::Instant;

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{TestStack, eventually};

use super::{CACHE_TTL, SLACK, assert_fails, audited, document_of, without_workers};

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
        eventually(CACHE_TTL + SLACK, "the key being rejected", async || {
            anyhow::Ok((status(key).await? == 401).then_some(()))
        })
        .await?;
        eprintln!("rejected after {:?}", since.elapsed());
        anyhow::Ok(())
    };

    let leaked = run("issue", &["--expires-in-days", "30"])?;
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
    // An earlier expiry stays, and so does the merchant's other key.
    let sooner = run(
        "rotate",
        &["--prefix", text(&first, "/prefix"), "--overlap-hours", "48"],
    )?;
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
