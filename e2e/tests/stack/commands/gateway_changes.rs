//! `khata gateway set`, and what `khata gateway add` does not change.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{GatewayAccount, TestStack};
use serde_json::{Value, json};

use super::{assert_fails, audited, document_of, without_workers};

#[tokio::test]
async fn a_gateway_account_is_changed_by_name_and_never_added_twice() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let credentials = stack.write_file("named.json", GatewayAccount::default().credentials)?;
    let (base_url, elsewhere) = (stack.sandbox.cashfree(), "http://127.0.0.1:9/verification");
    let which = [
        "--merchant",
        "e2e",
        "--gateway",
        "CASHFREE",
        "--reference-id",
        "named",
    ];
    let what = ["--base-url", &base_url, "--credentials-file", &credentials];
    let add = [&["gateway", "add"], &which[..], &what].concat();
    let settings = r#"{"calls_per_minute":60,"hours":["06:00-22:00"]}"#;
    let first = [
        &add[..],
        &["--priority", "7", "--pinned-only", "--settings", settings],
    ]
    .concat();
    let added = document_of(&stack, &first)?;
    let id = text(&added, "/id");
    let listed = || -> Result<Value> {
        let listed = document_of(&stack, &["gateway", "list", "--merchant", "e2e"])?;
        let accounts = listed["gateway_accounts"].as_array().unwrap();
        Ok(accounts.iter().find(|one| one["id"] == id).unwrap().clone())
    };
    let stored = listed()?;

    // Neither form of `add` changes an existing account.
    let names_set = format!("khata gateway set {id}");
    assert_fails(&stack, &first, 1, &names_set)?;
    let same = document_of(&stack, &[&first[..], &["--if-absent"]].concat())?;
    assert_eq!(
        (&same["id"], &same["created"]),
        (&added["id"], &false.into())
    );
    let other = [&add[..], &["--if-absent", "--priority", "2"]].concat();
    assert_fails(&stack, &other, 1, "priority: 7 -> 2")?;
    assert_fails(&stack, &other, 1, &names_set)?;
    let unnamed = document_of(&stack, &[&add[..], &["--if-absent"]].concat())?;
    assert_eq!(
        unnamed["created"], false,
        "options that are not given do not differ"
    );
    assert_eq!(listed()?, stored);

    // A change of one thing keeps everything else.
    let page = stack.command(&["gateway", "set", id, "--priority", "3"])?;
    assert!(page.starts_with("priority: 7 -> 3\n"), "{page}");
    let page = stack.command(&[
        "gateway",
        "set",
        id,
        "--settings",
        r#"{"hours":null,"concurrency":4}"#,
    ])?;
    assert!(
        page.contains("settings.concurrency: null -> 4\n")
            && page.contains("settings.hours: [\"06:00-22:00\"] -> null\n"),
        "{page}"
    );
    let now = listed()?;
    assert_eq!(
        (&now["priority"], &now["pinned_only"]),
        (&3.into(), &true.into())
    );
    assert_eq!(
        now["settings"],
        json!({"calls_per_minute": 60, "concurrency": 4})
    );
    assert_eq!(
        (&now["base_url"], &now["usable"]),
        (&base_url.as_str().into(), &true.into())
    );
    // The credentials follow an address that the operator changes.
    let moved = document_of(&stack, &["gateway", "set", id, "--base-url", elsewhere])?;
    assert_eq!(
        moved["changed"],
        json!({"base_url": {"from": base_url, "to": elsewhere}})
    );
    assert_eq!(listed()?["usable"], true);
    let unchanged = document_of(
        &stack,
        &["gateway", "set", id, "--credentials-file", &credentials],
    )?;
    assert_eq!(unchanged["changed"], json!({}));
    for (arguments, code, says) in [
        (&["--concurrency", "4", "--merchant", "e2e"][..], 0, ""),
        (&[], 2, "--priority"),
        (&["--settings", "[]"], 1, "must be a JSON object"),
        (
            &["--settings", r#"{"bank_flow":"sync"}"#],
            1,
            "bank_flow cannot be changed",
        ),
        (&["--settings", r#"{"poll":[1]}"#], 1, "poll"),
    ] {
        let ran = stack.try_command(&[&["gateway", "set", id], arguments].concat())?;
        assert!(
            ran.code == Some(code) && ran.stderr.contains(says),
            "{arguments:?}: {ran:?}"
        );
    }
    let log = audited(&stack, "gateway.set")?;
    let subjects: Vec<_> = log.iter().map(|line| text(line, "/1")).collect();
    assert_eq!(
        subjects,
        [id, id, id],
        "a change has one line, and no change has none"
    );

    // Every command takes the printed id.
    assert_eq!(
        document_of(&stack, &["gateway", "disable", id])?["enabled"],
        false
    );
    assert_eq!(
        document_of(&stack, &["gateway", "enable", id, "--merchant", "e2e"])?["enabled"],
        true
    );
    assert_fails(&stack, &["gateway", "test", id], 1, "no response")?;
    stack.issue_key("shop")?;
    assert_fails(
        &stack,
        &["gateway", "enable", id, "--merchant", "shop"],
        1,
        "shop has no gateway account",
    )?;

    // New credentials go to no address that SQL has written.
    let thief = "update gateway_accounts set base_url = 'http://127.0.0.1:9/thief' where reference_id = 'named'";
    stack.database.execute(thief)?;
    let set = ["gateway", "set", id, "--credentials-file", &credentials];
    assert_fails(&stack, &set, 1, "which SQL may have changed: base_url")?;
    assert_fails(
        &stack,
        &["gateway", "set", id, "--priority", "4"],
        1,
        "--credentials-file",
    )?;
    stack.command(&[&set[..], &["--base-url", &base_url]].concat())?;
    assert_eq!(
        document_of(&stack, &["gateway", "test", id])?["outcome"],
        "ACCEPTED"
    );
    Ok(())
}

/// The local stack and compose run the script at each start.
#[tokio::test]
async fn the_sandboxs_script_keeps_what_an_operator_changed() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    stack.command(&["merchant", "create", "--name", "local"])?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/sandbox/gateways.sh");
    let (sandbox, api) = (&stack.sandbox.url, &stack.api.url);
    let run = || -> Result<()> {
        let line = format!("bash '{script}' local '{sandbox}' '{api}' khata");
        let ran = stack.shell(&line, &[])?;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        Ok(())
    };
    let listed = || document_of(&stack, &["gateway", "list", "--merchant", "local"]);
    run()?;
    let first = listed()?;
    let accounts = first["gateway_accounts"].as_array().unwrap();
    assert_eq!(accounts.len(), 6, "five of the sandbox, and DUMMY: {first}");
    run()?;
    assert_eq!(listed()?, first);

    let cashfree = accounts
        .iter()
        .find(|one| one["gateway"] == "CASHFREE")
        .unwrap();
    let id = text(cashfree, "/id");
    let wrong = stack.write_file(
        "wrong.json",
        r#"{"client_id":"another","client_secret":"secret"}"#,
    )?;
    let settings = r#"{"calls_per_minute":60}"#;
    let change = [
        "--priority",
        "9",
        "--settings",
        settings,
        "--credentials-file",
        &wrong,
    ];
    let elsewhere = ["--base-url", "http://127.0.0.1:9/cashfree/verification"];
    let set = [&["gateway", "set", id], &change[..], &elsewhere].concat();
    stack.command(&set)?;
    stack.command(&["gateway", "disable", id])?;
    run()?;
    let listed = listed()?;
    let mut accounts = listed["gateway_accounts"].as_array().unwrap().iter();
    let now = accounts.find(|one| one["id"] == id).unwrap();
    assert_eq!(now["base_url"], cashfree["base_url"], "{now}");
    assert_eq!(
        (&now["priority"], &now["enabled"]),
        (&9.into(), &false.into())
    );
    assert_eq!(now["settings"]["calls_per_minute"], 60, "{now}");
    let same = [&["gateway", "set", id], &["--credentials-file", &wrong][..]].concat();
    let same = document_of(&stack, &same)?;
    assert_eq!(
        same["changed"],
        json!({}),
        "the credentials are still those"
    );
    let actors = "select distinct actor from audit_log where action = 'gateway.add'";
    let actors = stack.database.texts(actors)?;
    assert!(actors.contains(&"gateways.sh".to_owned()), "{actors:?}");
    Ok(())
}
