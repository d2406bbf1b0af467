//! `khata gateway`.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{GatewayAccount, Setup, TIMEOUT, TestStack, eventually};
use serde_json::{Value, json};

use super::{CACHE_TTL, SLACK, assert_fails, audited, document_of, without_workers};
use crate::requests::bank;

#[tokio::test]
async fn a_disabled_gateway_account_gets_no_new_attempts() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let base_url = stack.sandbox.cashfree();
    stack.set_gateway_account(&GatewayAccount {
        reference_id: "second",
        priority: 2,
        base_url: &base_url,
        ..GatewayAccount::default()
    })?;
    let switch = |command: &str, reference: &str| {
        let which = [
            "--merchant",
            "e2e",
            "--gateway",
            "CASHFREE",
            "--reference-id",
            reference,
        ];
        document_of(&stack, &[&["gateway", command], &which[..]].concat())
    };
    let chosen = async |number: &str| {
        let created = stack
            .api
            .create("chosen", &bank(number, "AABF0008032"))
            .await?
            .account()?;
        let id = text(&created, "/id");
        let account = stack
            .api
            .wait_for("chosen", id, &["ACTIVE"], TIMEOUT)
            .await?;
        anyhow::Ok(text(&account, "/validation/gateway_reference_id").to_owned())
    };
    assert_eq!(chosen("50000001").await?, "cashfree_e2e");
    let off = switch("disable", "cashfree_e2e")?;
    assert_eq!(
        (
            &off["enabled"],
            &off["changed"],
            &off["enabled_for_all_calls"]
        ),
        (&false.into(), &true.into(), &1.into())
    );
    tokio::time::sleep(CACHE_TTL + SLACK).await;
    assert_eq!(chosen("50000002").await?, "second");
    assert_eq!(switch("disable", "cashfree_e2e")?["changed"], false);
    let shown = stack.command(&["gateway", "list", "--merchant", "e2e"])?;
    let usable = shown
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("usable "));
    let usable: Vec<&str> = usable.map(str::trim).collect();
    assert!(
        usable.contains(&"no: disabled") && usable.contains(&"yes"),
        "{shown}"
    );
    assert_eq!(switch("enable", "cashfree_e2e")?["changed"], true);
    tokio::time::sleep(CACHE_TTL + SLACK).await;
    assert_eq!(chosen("50000003").await?, "cashfree_e2e");
    let log = audited(&stack, "gateway.%able")?;
    let actions: Vec<_> = log.iter().map(|line| text(line, "/0")).collect();
    assert_eq!(actions, ["gateway.disable", "gateway.enable"]);

    let list = ["gateway", "list", "--merchant", "e2e"];
    let counted = document_of(&stack, &[&list[..], &["--attempts"]].concat())?;
    let accounts = counted["gateway_accounts"].as_array().unwrap();
    let attempts: Vec<_> = accounts
        .iter()
        .map(|account| (text(account, "/reference_id"), &account["attempts_24h"]))
        .collect();
    assert_eq!(
        attempts,
        [
            ("cashfree_e2e", &json!({"VALID": 2})),
            ("second", &json!({"VALID": 1})),
            ("dummy", &json!({}))
        ]
    );
    assert_eq!(counted["attempts_all_counted"], true);
    assert!(
        stack
            .command(&[&list[..], &["--attempts"]].concat())?
            .contains("2 VALID")
    );

    switch("disable", "second")?;
    let which = [
        "--merchant",
        "e2e",
        "--gateway",
        "70",
        "--reference-id",
        "cashfree_e2e",
    ];
    let none_left = stack.command(&[&["gateway", "disable"], &which[..]].concat())?;
    assert!(
        none_left.contains("no enabled gateway account"),
        "{none_left}"
    );
    Ok(())
}

#[tokio::test]
async fn gateway_accounts_are_listed_and_tested_without_a_payment() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let base_url = stack.sandbox.cashfree();
    let account = |reference_id| GatewayAccount {
        reference_id,
        base_url: &base_url,
        ..GatewayAccount::default()
    };
    stack.set_gateway_account(&GatewayAccount {
        credentials: r#"{"client_id":"sandbox_client","client_secret":"not_this_one"}"#,
        ..account("wrong")
    })?;
    stack.set_gateway_account(&GatewayAccount {
        base_url: "http://127.0.0.1:9",
        ..account("away")
    })?;
    stack.set_gateway_account(&GatewayAccount {
        base_url: stack.sandbox.url.as_str(),
        ..account("elsewhere")
    })?;
    let which = |gateway, reference| {
        [
            "gateway",
            "test",
            "--merchant",
            "e2e",
            "--gateway",
            gateway,
            "--reference-id",
            reference,
        ]
    };
    let good = document_of(&stack, &which("CASHFREE", "cashfree_e2e"))?;
    assert_eq!(
        (&good["outcome"], &good["said"]),
        (&"ACCEPTED".into(), &"user_id_not_found".into()),
        "{good}"
    );
    assert!(
        stack
            .command(&which("100", "dummy"))?
            .contains("accepts the credentials")
    );
    for (reference, outcome, says) in [
        ("wrong", "REFUSED", "the gateway rejected us"),
        ("away", "UNREACHABLE", "no response"),
        ("elsewhere", "UNCLEAR", "check base_url"),
    ] {
        let arguments = which("CASHFREE", reference);
        assert_fails(&stack, &arguments, 1, says)?;
        let ran = stack.try_command(&[&arguments[..], &["--json"]].concat())?;
        let report: Value = serde_json::from_str(&ran.stdout)?;
        assert_eq!(
            (ran.code, text(&report, "/outcome")),
            (Some(1), outcome),
            "{ran:?}"
        );
    }
    for (gateway, reference, says) in [
        ("CASHFREE", "unknown", "gateway list"),
        ("PAYPAL", "dummy", "unknown gateway"),
    ] {
        assert_fails(&stack, &which(gateway, reference), 1, says)?;
    }

    // With another keyring, and outside sandbox mode, the list says why an account cannot be used.
    let list = ["gateway", "list", "--merchant", "e2e"];
    let usable = |listed: &Value| -> Vec<(String, bool)> {
        let accounts = listed["gateway_accounts"].as_array().unwrap();
        let each = accounts.iter().map(|account| {
            assert_eq!(account["usable"], account["fault"].is_null());
            (
                text(account, "/reference_id").to_owned(),
                account["usable"] == true,
            )
        });
        each.collect()
    };
    let listed = document_of(&stack, &list)?;
    assert!(
        usable(&listed).iter().all(|(_, usable)| *usable),
        "{listed}"
    );
    assert!(listed["gateway_accounts"][0]["attempts_24h"].is_null());
    let other = stack.command(&["keyring", "generate"])?;
    let other = stack.write_file("other-keyring.json", &other)?;
    let foreign = [&list[..], &["--keyring-file", &other, "--sandbox", "false"]].concat();
    let listed = document_of(&stack, &foreign)?;
    assert!(
        usable(&listed).iter().all(|(_, usable)| !usable),
        "{listed}"
    );
    let shown = stack.command(&foreign)?;
    assert!(
        shown.contains("not in the keyring") && shown.contains("sandbox mode"),
        "{shown}"
    );
    assert!(!shown.contains("sandbox_secret"), "{shown}");
    let foreign = [
        &which("CASHFREE", "cashfree_e2e")[..],
        &["--keyring-file", &other],
    ]
    .concat();
    assert_fails(&stack, &foreign, 1, "not in the keyring")?;
    assert_eq!(stack.sandbox.drops().await?.total, 0);
    Ok(())
}

#[tokio::test]
async fn gateway_health_is_listed_and_reset_by_an_update() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let base_url = stack.sandbox.cashfree();
    let right = GatewayAccount {
        base_url: &base_url,
        ..GatewayAccount::default()
    };
    let list = ["gateway", "list", "--merchant", "e2e"];
    let listed = |more: &[&str]| -> Result<Value> {
        let listed = document_of(&stack, &[&list[..], more].concat())?;
        let accounts = listed["gateway_accounts"].as_array().unwrap();
        let is_it = |one: &&Value| one["reference_id"] == right.reference_id;
        Ok(accounts.iter().find(is_it).unwrap().clone())
    };
    let new = listed(&[])?;
    assert_eq!(new["health"], json!({"ok": true, "troubles": []}));
    assert!(new["recent"]["success"].is_null(), "{new}");
    let path = format!("/gateways/CASHFREE/webhooks/{}", text(&new, "/id"));
    assert_eq!(text(&new, "/webhook_path"), path);
    let page = stack.command(&list)?;
    assert!(
        page.contains(&path) && page.contains("no recent attempts"),
        "{page}"
    );

    stack.set_gateway_account(&GatewayAccount {
        credentials: r#"{"client_id":"sandbox_client","client_secret":"not_this_one"}"#,
        ..right
    })?;
    let created = stack
        .api
        .create("refused", &bank("50000001", "AABF0008032"))
        .await?
        .account()?;
    let refused = eventually(TIMEOUT, "the rejection being reported", async || {
        let account = listed(&[])?;
        anyhow::Ok((account["health"]["ok"] == false).then_some(account))
    })
    .await?;
    let trouble = &refused["health"]["troubles"][0];
    assert_eq!(
        (text(trouble, "/kind"), text(trouble, "/code")),
        ("MISCONFIGURED", "authentication_failed"),
        "{refused}"
    );
    let page = stack.command(&list)?;
    assert!(
        page.contains("MISCONFIGURED authentication_failed since"),
        "{page}"
    );
    assert!(page.contains("Check its credentials"), "{page}");

    stack.set_gateway_account(&right)?;
    assert_eq!(listed(&[])?["health"]["ok"], true, "reset at once");
    tokio::time::sleep(CACHE_TTL + SLACK).await;
    let id = text(&created, "/id");
    document_of(&stack, &["account", "retry", id])?;
    stack
        .api
        .wait_for("refused", id, &["ACTIVE"], TIMEOUT)
        .await?;
    let recent = eventually(TIMEOUT, "both attempts being counted", async || {
        let recent = listed(&[])?["recent"].clone();
        let attempts = recent["attempts"].as_f64().unwrap();
        anyhow::Ok((attempts > 1.5).then_some(recent))
    })
    .await?;
    let success = recent["success"].as_f64().unwrap();
    assert!((0.4..0.7).contains(&success), "one of two: {recent}");
    assert!(recent["latency_ms"].is_number(), "{recent}");

    let counted = listed(&["--attempts"])?;
    assert_eq!(
        counted["attempts_24h"],
        json!({"MISCONFIGURED": 1, "VALID": 1})
    );
    assert_eq!(counted["possible_double_drops_24h"], 0);
    assert_eq!(counted["unlisted_codes_24h"], json!({}));
    stack.database.execute(
        "update validation_attempts set unlisted_code = true, code = 'brand_new', possible_double_drop = true
         where class = 'VALID'",
    )?;
    let counted = listed(&["--attempts"])?;
    assert_eq!(counted["possible_double_drops_24h"], 1);
    assert_eq!(counted["unlisted_codes_24h"], json!({"brand_new": 1}));
    let page = stack.command(&[&list[..], &["--attempts"]].concat())?;
    assert!(page.contains("1 brand_new"), "{page}");
    Ok(())
}

#[tokio::test]
async fn a_gateway_accounts_limits_are_listed() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let credentials = stack.write_file("limited.json", GatewayAccount::default().credentials)?;
    let settings =
        r#"{"calls_per_minute":100,"concurrency":20,"hours":["06:00-22:00"],"recover_for_s":900}"#;
    let base_url = stack.sandbox.cashfree();
    let add = [
        "gateway",
        "add",
        "--merchant",
        "e2e",
        "--gateway",
        "CASHFREE",
        "--reference-id",
        "limited",
        "--base-url",
        &base_url,
        "--credentials-file",
        &credentials,
        "--settings",
        settings,
    ];
    stack.command(&add)?;
    let list = ["gateway", "list", "--merchant", "e2e"];
    let listed = document_of(&stack, &list)?;
    let accounts = listed["gateway_accounts"].as_array().unwrap();
    let limited = accounts
        .iter()
        .find(|account| account["reference_id"] == "limited");
    assert_eq!(
        limited.unwrap()["limits"],
        json!({
            "calls_per_minute": 100, "concurrency": 20, "hours": ["06:00-22:00"], "upi_penny_drop_hours": [],
            "recover_for_s": 900,
        })
    );
    let page = stack.command(&list)?;
    assert!(
        page.contains("100 calls a minute, 20 at once, 06:00-22:00 IST"),
        "{page}"
    );
    Ok(())
}
