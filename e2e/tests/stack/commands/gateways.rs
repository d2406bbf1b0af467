//! `khata-api gateway`.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{GatewayAccount, PATIENCE, Setup, World, eventually};
use serde_json::{Value, json};

use super::{FRESH, assert_refused, audited, told, without_workers};
use crate::calls::bank;

#[tokio::test]
async fn a_disabled_gateway_is_not_chosen_until_it_is_enabled() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    let base_url = world.sandbox.cashfree();
    world.set_gateway_account(&GatewayAccount {
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
        told(&world, &[&["gateway", command], &which[..]].concat())
    };
    let chosen = async |number: &str| {
        let created = world
            .api
            .create("chosen", &bank(number, "AABF0008032"))
            .await?
            .account()?;
        let id = text(&created, "/id");
        let account = world
            .api
            .wait_for("chosen", id, &["ACTIVE"], PATIENCE)
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
    tokio::time::sleep(FRESH).await;
    assert_eq!(chosen("50000002").await?, "second");
    assert_eq!(switch("disable", "cashfree_e2e")?["changed"], false);
    assert_eq!(switch("enable", "cashfree_e2e")?["changed"], true);
    tokio::time::sleep(FRESH).await;
    assert_eq!(chosen("50000003").await?, "cashfree_e2e");
    let log = audited(&world, "gateway.%able")?;
    let actions: Vec<_> = log.iter().map(|line| text(line, "/0")).collect();
    assert_eq!(actions, ["gateway.disable", "gateway.enable"]);

    let list = ["gateway", "list", "--merchant", "e2e"];
    let counted = told(&world, &[&list[..], &["--attempts"]].concat())?;
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
        world
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
    let none_left = world.command(&[&["gateway", "disable"], &which[..]].concat())?;
    assert!(
        none_left.contains("no enabled gateway account"),
        "{none_left}"
    );
    Ok(())
}

#[tokio::test]
async fn a_gateway_account_is_listed_and_tested_without_paying_anybody() -> Result<()> {
    let world = World::start(without_workers()).await?;
    let base_url = world.sandbox.cashfree();
    let account = |reference_id| GatewayAccount {
        reference_id,
        base_url: &base_url,
        ..GatewayAccount::default()
    };
    world.set_gateway_account(&GatewayAccount {
        credentials: r#"{"client_id":"sandbox_client","client_secret":"not_this_one"}"#,
        ..account("wrong")
    })?;
    world.set_gateway_account(&GatewayAccount {
        base_url: "http://127.0.0.1:9",
        ..account("away")
    })?;
    world.set_gateway_account(&GatewayAccount {
        base_url: world.sandbox.url.as_str(),
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
    let good = told(&world, &which("CASHFREE", "cashfree_e2e"))?;
    assert_eq!(
        (&good["outcome"], &good["said"]),
        (&"ACCEPTED".into(), &"user_id_not_found".into()),
        "{good}"
    );
    assert!(
        world
            .command(&which("100", "dummy"))?
            .contains("accepts the credentials")
    );
    for (reference, outcome, says) in [
        ("wrong", "REFUSED", "turns us away"),
        ("away", "UNREACHABLE", "no answer"),
        ("elsewhere", "UNCLEAR", "look at base_url"),
    ] {
        let arguments = which("CASHFREE", reference);
        assert_refused(&world, &arguments, 1, says)?;
        let ran = world.try_command(&[&arguments[..], &["--json"]].concat())?;
        let report: Value = serde_json::from_str(&ran.printed)?;
        assert_eq!(
            (ran.code, text(&report, "/outcome")),
            (Some(1), outcome),
            "{ran:?}"
        );
    }
    for (gateway, reference, says) in [
        ("CASHFREE", "nobody", "gateway list"),
        ("PAYPAL", "dummy", "is no gateway"),
    ] {
        assert_refused(&world, &which(gateway, reference), 1, says)?;
    }

    // With another keyring, and outside of sandbox mode, what cannot be used is told why.
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
    let listed = told(&world, &list)?;
    assert!(
        usable(&listed).iter().all(|(_, usable)| *usable),
        "{listed}"
    );
    assert!(listed["gateway_accounts"][0]["attempts_24h"].is_null());
    let other = world.command(&["keyring", "generate"])?;
    let other = world.keep("other-keyring.json", &other)?;
    let foreign = [&list[..], &["--keyring-file", &other, "--sandbox", "false"]].concat();
    let listed = told(&world, &foreign)?;
    assert!(
        usable(&listed).iter().all(|(_, usable)| !usable),
        "{listed}"
    );
    let shown = world.command(&foreign)?;
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
    assert_refused(&world, &foreign, 1, "not in the keyring")?;
    assert_eq!(world.sandbox.drops().await?.total, 0);
    Ok(())
}

#[tokio::test]
async fn what_is_known_of_a_gateway_account_is_listed_and_forgotten_once_it_is_put_right()
-> Result<()> {
    let world = World::start(Setup::default()).await?;
    let base_url = world.sandbox.cashfree();
    let right = GatewayAccount {
        base_url: &base_url,
        ..GatewayAccount::default()
    };
    let list = ["gateway", "list", "--merchant", "e2e"];
    let listed = |more: &[&str]| -> Result<Value> {
        let listed = told(&world, &[&list[..], more].concat())?;
        let accounts = listed["gateway_accounts"].as_array().unwrap();
        let is_it = |one: &&Value| one["reference_id"] == right.reference_id;
        Ok(accounts.iter().find(is_it).unwrap().clone())
    };
    let new = listed(&[])?;
    assert_eq!(new["health"], json!({"ok": true, "troubles": []}));
    assert!(new["recent"]["success"].is_null(), "{new}");
    let path = format!("/gateways/CASHFREE/webhooks/{}", text(&new, "/id"));
    assert_eq!(text(&new, "/call_back_path"), path);
    let page = world.command(&list)?;
    assert!(
        page.contains(&path) && page.contains("nothing to go by"),
        "{page}"
    );

    world.set_gateway_account(&GatewayAccount {
        credentials: r#"{"client_id":"sandbox_client","client_secret":"not_this_one"}"#,
        ..right
    })?;
    let created = world
        .api
        .create("refused", &bank("50000001", "AABF0008032"))
        .await?
        .account()?;
    let refused = eventually(PATIENCE, "the refusal being told", async || {
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
    let page = world.command(&list)?;
    assert!(
        page.contains("MISCONFIGURED authentication_failed since"),
        "{page}"
    );
    assert!(page.contains("look at its credentials"), "{page}");

    world.set_gateway_account(&right)?;
    assert_eq!(listed(&[])?["health"]["ok"], true, "forgotten at once");
    tokio::time::sleep(FRESH).await;
    let id = text(&created, "/id");
    told(&world, &["account", "retry", id])?;
    world
        .api
        .wait_for("refused", id, &["ACTIVE"], PATIENCE)
        .await?;
    let recent = eventually(PATIENCE, "both attempts being counted", async || {
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
    world.database.execute(
        "update validation_attempts set unlisted_code = true, code = 'brand_new', possible_double_drop = true
         where class = 'VALID'",
    )?;
    let counted = listed(&["--attempts"])?;
    assert_eq!(counted["possible_double_drops_24h"], 1);
    assert_eq!(counted["unlisted_codes_24h"], json!({"brand_new": 1}));
    let page = world.command(&[&list[..], &["--attempts"]].concat())?;
    assert!(page.contains("1 brand_new"), "{page}");
    Ok(())
}

#[tokio::test]
async fn a_gateway_accounts_limits_are_listed() -> Result<()> {
    let world = World::start(without_workers()).await?;
    let credentials = world.keep("limited.json", GatewayAccount::default().credentials)?;
    let settings =
        r#"{"calls_per_minute":100,"concurrency":20,"hours":["06:00-22:00"],"recover_for_s":900}"#;
    let base_url = world.sandbox.cashfree();
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
    world.command(&add)?;
    let list = ["gateway", "list", "--merchant", "e2e"];
    let listed = told(&world, &list)?;
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
    let page = world.command(&list)?;
    assert!(
        page.contains("100 calls a minute, 20 at once, 06:00-22:00 IST"),
        "{page}"
    );
    Ok(())
}
