//! `khata merchant`.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{TestStack, eventually};
use serde_json::json;

use super::{APPLIED, assert_fails, audited, document_of, without_workers};
use crate::requests::bank;

/// The runbook's statements print UUIDs.
#[tokio::test]
async fn an_id_may_be_the_uuid_that_sql_prints() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let first = |table: &str| {
        anyhow::Ok(
            stack
                .database
                .texts(&format!("select id from {table}"))?
                .remove(0),
        )
    };
    let merchant = first("merchants")?;
    let named = |merchant: &str| document_of(&stack, &["gateway", "list", "--merchant", merchant]);
    let listed = named(&merchant)?;
    assert_eq!(listed, named("e2e")?);

    let account = first("gateway_accounts")?;
    let set = ["gateway", "set", &account, "--priority", "9"];
    let set = document_of(&stack, &set)?;
    let mut accounts = listed["gateway_accounts"].as_array().unwrap().iter();
    assert!(accounts.any(|one| one["id"] == set["id"]), "{set}");
    let key = first("api_keys")?;
    let rotate = ["key", "rotate", "--merchant", &merchant, "--id", &key];
    assert!(document_of(&stack, &rotate)?["key"].is_string());

    // A name may look like an id.
    let name = "01a22bbc-0000-7000-8000-000000000000";
    let show = ["merchant", "show", "--merchant", name];
    assert_fails(&stack, &show, 1, "does not exist")?;
    stack.command(&["merchant", "create", "--name", name])?;
    assert_eq!(document_of(&stack, &show)?["name"], name);
    Ok(())
}

#[tokio::test]
async fn a_merchants_settings_are_changed_shown_and_applied() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let create = ["merchant", "create", "--name", "shop"];
    let options = ["--requests-per-second", "7", "--validation-deadline", "60"];
    let made = document_of(&stack, &[&create[..], &options].concat())?;
    assert_eq!(made["created"], true);
    assert_eq!(
        made["settings"],
        json!({
            "implicit_customers": true, "validation_deadline_seconds": 60, "requests_per_second": 7,
            "validations_per_account_per_day": 5, "fail_names_below": "NO_MATCH", "review_names_below": "NO_MATCH", "reuse_results_seconds": 0,
            "recovery_patience_seconds": 120, "paid_attempts_per_validation": 3, "penny_drops_per_day": 10_000, "event_days": 30,
        })
    );
    let again = ["--if-absent", "--requests-per-second", "9"];
    let existing = document_of(&stack, &[&create[..], &again].concat())?;
    assert_eq!(
        (&existing["created"], &existing["id"]),
        (&false.into(), &made["id"])
    );
    assert_eq!(existing["settings"]["requests_per_second"], 7, "unchanged");
    assert_fails(&stack, &create, 1, "merchant \"shop\" already exists")?;

    let set = ["merchant", "set", "--merchant", "shop"];
    for (option, value) in [
        ("--requests-per-second", "0"),
        ("--penny-drops-per-day", "-1"),
        ("--penny-drops-per-day", "1000000001"),
        ("--requests-per-second", "1000001"),
        ("--validation-deadline", "59"),
        ("--validation-deadline", "31d"),
        ("--validation-deadline", "1.5h"),
        ("--validation-deadline", "2592001"),
        ("--validations-per-account-per-day", "0"),
        ("--validations-per-account-per-day", "32768"),
        ("--implicit-customers", "maybe"),
        ("--fail-names-below", "maybe"),
        ("--review-names-below", "85"),
        ("--reuse-results", "soon"),
        ("--reuse-results", "31536001"),
        ("--event-days", "3"),
        ("--event-days", "366"),
    ] {
        assert_fails(&stack, &[&set[..], &[option, value]].concat(), 2, option)?;
    }
    assert_fails(&stack, &set, 2, "--requests-per-second")?;
    let unknown = [
        "merchant",
        "set",
        "--merchant",
        "unknown",
        "--requests-per-second",
        "9",
    ];
    assert_fails(&stack, &unknown, 1, "merchant \"unknown\" does not exist")?;
    let most = [
        &set[..],
        &[
            "--requests-per-second",
            "1000000",
            "--validation-deadline",
            "2592000",
        ],
        &[
            "--validations-per-account-per-day",
            "32767",
            "--implicit-customers",
            "true",
        ],
        &[
            "--fail-names-below",
            "POOR_PARTIAL_MATCH",
            "--review-names-below",
            "GOOD_PARTIAL_MATCH",
            "--reuse-results-seconds",
            "31536000",
        ],
    ]
    .concat();
    let changed = document_of(&stack, &most)?;
    assert_eq!(
        changed["changed"]["requests_per_second"],
        json!({"from": 7, "to": 1_000_000})
    );
    assert!(
        changed["changed"]["implicit_customers"].is_null(),
        "{changed}"
    );
    assert_eq!(
        (
            &changed["changed"]["fail_names_below"],
            &changed["changed"]["reuse_results_seconds"]
        ),
        (
            &json!({"from": "NO_MATCH", "to": "POOR_PARTIAL_MATCH"}),
            &json!({"from": 0, "to": 31_536_000})
        )
    );
    let again = stack.command(&most)?;
    assert!(
        again.contains("Nothing to change") && !again.contains("no effect"),
        "{again}"
    );
    let log = audited(&stack, "merchant.%")?;
    let actions: Vec<_> = log.iter().map(|line| text(line, "/0")).collect();
    assert_eq!(
        actions,
        ["merchant.create", "merchant.create", "merchant.set"],
        "{log:?}"
    );
    assert_eq!(log[2][2]["changes"], changed["changed"]);

    // The defaults.
    let plain = document_of(&stack, &["merchant", "create", "--name", "plain"])?;
    assert_eq!(
        plain["settings"],
        json!({
            "implicit_customers": true, "validation_deadline_seconds": 48 * 3600, "requests_per_second": 500,
            "validations_per_account_per_day": 5, "fail_names_below": "NO_MATCH", "review_names_below": "NO_MATCH", "reuse_results_seconds": 0,
            "recovery_patience_seconds": 120, "paid_attempts_per_validation": 3, "penny_drops_per_day": 10_000, "event_days": 30,
        })
    );

    // The services apply the change.
    let shop = stack.api.with_key(&stack.issue_key("shop")?);
    for number in ["50000001", "50000002"] {
        shop.create("known", &bank(number, "AABF0008032"))
            .await?
            .account()?;
    }
    stack.command(&[&set[..], &["--implicit-customers", "false"]].concat())?;
    let tried = std::cell::Cell::new(0);
    eventually(APPLIED, "customers being rejected", async || {
        // The API registers one more customer with each accepted call.
        let nth = tried.replace(tried.get() + 1);
        let number = format!("6000{nth:04}");
        let reply = shop
            .create(&format!("unknown{nth}"), &bank(&number, "AABF0008032"))
            .await?;
        anyhow::Ok((reply.status == 404).then_some(()))
    })
    .await?;
    let accounts = stack
        .database
        .number("select count(*) from customer_accounts")?;
    let shown = document_of(&stack, &["merchant", "show", "--merchant", "shop"])?;
    assert_eq!(
        shown["accounts"],
        json!({"counted": accounts, "all_counted": true, "by_status": {"CREATED": accounts}})
    );
    assert_eq!(shown["keys"], json!({"active": 1}));
    assert_eq!(shown["settings"]["fail_names_below"], "POOR_PARTIAL_MATCH");
    assert_eq!(
        shown["settings"]["review_names_below"],
        "GOOD_PARTIAL_MATCH"
    );
    assert_eq!(shown["settings"]["reuse_results_seconds"], 31_536_000);
    assert_eq!(shown["gateway_accounts"], json!({"enabled": 1, "total": 1}));
    let by_id = ["merchant", "show", "--merchant", text(&made, "/id")];
    assert!(
        stack
            .command(&by_id)?
            .contains(&format!("{accounts} CREATED"))
    );
    assert_fails(
        &stack,
        &["merchant", "show", "--merchant", "unknown"],
        1,
        "merchant list",
    )?;
    let all = document_of(&stack, &["merchant", "list"])?;
    let names: Vec<_> = all["merchants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| text(m, "/name"))
        .collect();
    assert_eq!(names, ["e2e", "plain", "shop"]);
    let table = stack.command(&["merchant", "list"])?;
    // The ids are aligned.
    let ids: Vec<_> = table.lines().filter_map(|line| line.find("mrc_")).collect();
    assert_eq!((ids.len(), ids[0], ids[1]), (3, ids[1], ids[2]), "{table}");
    assert_eq!(table.find("ID"), Some(ids[0]), "{table}");
    for (name, reused) in [("plain", "never"), ("shop", "for 365d")] {
        let row = table.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(row.ends_with(reused), "{table}");
    }
    Ok(())
}
