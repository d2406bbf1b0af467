//! The audit log, and what a change by SQL cannot do.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{GatewayAccount, Setup, TIMEOUT, TestStack, eventually};
use serde_json::json;
use tokio::net::TcpListener;

use super::{CACHE_TTL, SLACK, assert_fails, audited, document_of, without_workers};
use crate::requests::bank;

const CASHFREE: [&str; 6] = [
    "--merchant",
    "e2e",
    "--gateway",
    "CASHFREE",
    "--reference-id",
    "cashfree_e2e",
];

#[tokio::test]
async fn a_change_names_its_actor_and_the_old_and_new_values() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let base_url = stack.sandbox.cashfree();
    let account = |priority, credentials| GatewayAccount {
        reference_id: "second",
        priority,
        base_url: &base_url,
        credentials,
        ..GatewayAccount::default()
    };
    let first = GatewayAccount::default().credentials;
    stack.set_gateway_account(&account(2, first))?;
    stack.set_gateway_account(&account(3, first))?;
    let other = r#"{"client_id":"sandbox_client","client_secret":"hush-hush"}"#;
    stack.set_gateway_account(&account(3, other))?;
    let log = audited(&stack, "gateway.%")?;
    let of_second: Vec<_> = log
        .iter()
        .filter(|line| line[2]["reference_id"] == "second")
        .collect();
    assert_eq!(of_second.len(), 3, "{log:?}");
    let added = &of_second[0][2]["changes"];
    assert_eq!(added["priority"], json!({"from": null, "to": 2}));
    assert_eq!(added["base_url"], json!({"from": null, "to": base_url}));
    assert_eq!(
        added["settings.calls_per_minute"],
        json!({"from": null, "to": 0})
    );
    assert_eq!(added["credentials"], "changed");
    assert_eq!(
        of_second[1][2]["changes"],
        json!({"priority": {"from": 2, "to": 3}})
    );
    assert_eq!(
        of_second[2][2]["changes"],
        json!({"credentials": "changed"})
    );
    let dump = stack.database.dump()?.join("\n");
    assert!(!dump.contains("hush-hush"));

    // Every command that changes something needs an actor outside sandbox mode, and changes nothing without one.
    let lines = || stack.database.number("select count(*) from audit_log");
    let before = lines()?;
    let live = ("KHATA_SANDBOX_MODE", "false");
    for command in [
        "khata merchant create --name other",
        "khata merchant set --merchant e2e --penny-drops-per-day 5",
        "khata key issue --merchant e2e",
        "khata key rotate --merchant e2e --prefix kh_test_",
        "khata key revoke --merchant e2e --prefix kh_test_",
        "khata gateway enable --merchant e2e --gateway CASHFREE --reference-id second",
        "khata gateway disable --merchant e2e --gateway CASHFREE --reference-id second",
        "khata account retry banh_01k82u7s7aeqraoh1tia1a3hc8",
        "khata keyring rotate",
        "khata gateway add --merchant e2e --gateway CASHFREE --reference-id third --credentials-file second.json",
    ] {
        let ran = stack.shell(command, &[live])?;
        assert_eq!(ran.code, Some(1), "{command}: {ran:?}");
        assert!(ran.stderr.contains("KHATA_ACTOR"), "{command}: {ran:?}");
    }
    assert_eq!(lines()?, before);
    let named = ("KHATA_ACTOR", "asha");
    let set = "khata merchant set --merchant e2e --penny-drops-per-day 5";
    assert_eq!(stack.shell(set, &[live, named])?.code, Some(0));
    let set = "khata merchant set --merchant e2e --penny-drops-per-day 6 --actor ravi";
    assert_eq!(stack.shell(set, &[live, named])?.code, Some(0));
    let actors = stack
        .database
        .texts("select actor from audit_log where action = 'merchant.set' order by id")?;
    assert_eq!(actors, ["asha", "ravi"]);
    the_log_is_listed(&stack)?;
    // Outside sandbox mode the sandbox's address is refused.
    let add = "khata gateway add --merchant e2e --gateway CASHFREE --reference-id third --credentials-file second.json \
         --base-url https://127.0.0.1/cashfree --actor asha";
    let ran = stack.shell(add, &[live])?;
    assert!(
        ran.stderr
            .contains("must be at one of the gateway's own hosts"),
        "{ran:?}"
    );
    Ok(())
}

/// Lists the lines that the test above has caused.
fn the_log_is_listed(stack: &TestStack) -> Result<()> {
    let list = |options: &[&str]| document_of(stack, &[&["audit", "list"], options].concat());
    let sets = list(&[
        "--merchant",
        "e2e",
        "--action",
        "merchant.set",
        "--since",
        "1h",
    ])?;
    let newest = &sets["changes"][0];
    assert_eq!(
        (
            text(newest, "/actor"),
            text(newest, "/merchant"),
            &newest["detail"]["changes"]
        ),
        (
            "ravi",
            "e2e",
            &json!({"penny_drops_per_day": {"from": 5, "to": 6}})
        )
    );
    assert_eq!(sets["changes"].as_array().map(Vec::len), Some(2));
    assert!(sets["next_before"].is_null());
    let all = list(&[])?["changes"].as_array().unwrap().clone();
    // In pages, of all merchants: the same lines in the same order.
    let (mut paged, mut before) = (Vec::new(), None::<String>);
    loop {
        let mut options = vec!["--limit", "2"];
        options.extend(
            before
                .as_deref()
                .map(|id| ["--before", id])
                .iter()
                .flatten(),
        );
        let page = list(&options)?;
        paged.extend(page["changes"].as_array().unwrap().clone());
        match page["next_before"].as_str() {
            Some(id) => before = Some(id.to_owned()),
            None => break,
        }
    }
    assert_eq!(paged, all);
    assert!(all.len() > 5, "{all:?}");
    for (options, lines) in [
        (&["--by", "asha"][..], 1),
        (
            &["--action", "gateway", "--subject", text(newest, "/subject")],
            0,
        ),
        (
            &[
                "--action",
                "merchant",
                "--subject",
                text(newest, "/subject"),
            ],
            3,
        ),
        (&["--until", "2026-01-01 IST"], 0),
        (&["--by", "nobody"], 0),
    ] {
        let listed = list(options)?;
        assert_eq!(
            listed["changes"].as_array().map(Vec::len),
            Some(lines),
            "{options:?}: {listed}"
        );
    }
    // A word that is no action, and an empty list, do not read as if nothing had changed.
    let wrong = ["audit", "list", "--action", "merch"];
    assert_fails(stack, &wrong, 2, "merchant.set, ")?;
    let page = stack.command(&["audit", "list", "--by", "nobody"])?;
    assert_eq!(page.trim(), "No change by exactly \"nobody\".");
    let page = stack.command(&[
        "audit",
        "list",
        "--by",
        "ravi",
        "--timezone",
        "Asia/Kolkata",
    ])?;
    assert!(
        page.contains("+05:30") && page.contains("penny_drops_per_day: 5 -> 6"),
        "{page}"
    );
    let page = stack.command(&["audit", "list", "--action", "gateway"])?;
    assert!(
        page.contains("credentials: changed") && !page.contains("hush-hush"),
        "{page}"
    );
    assert_fails(
        stack,
        &["audit", "list", "--since", "2026-01-01"],
        2,
        "like 30m, 2h or 7d",
    )?;
    Ok(())
}

#[tokio::test]
async fn an_address_that_sql_changes_gets_no_credentials() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let thief = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/verification", thief.local_addr()?);
    for change in [
        format!("update gateway_accounts set base_url = '{address}' where base_url is not null"),
        format!(
            "update gateway_accounts set settings = settings || '{{\"payout_url\":\"{address}\"}}' where base_url is not null"
        ),
    ] {
        stack.database.execute(&change)?;
    }
    let test = [&["gateway", "test"], &CASHFREE[..]].concat();
    assert_fails(&stack, &test, 1, "without `khata gateway set`")?;
    let listed = document_of(&stack, &["gateway", "list", "--merchant", "e2e"])?;
    let accounts = listed["gateway_accounts"].as_array().unwrap();
    let changed = accounts
        .iter()
        .find(|account| account["reference_id"] == "cashfree_e2e");
    assert_eq!(changed.unwrap()["usable"], false);
    // The workers read the change after their cache expires, and make no call.
    tokio::time::sleep(CACHE_TTL + SLACK).await;
    let account = bank("50000001", "AABF0008032");
    let created = stack.api.create("held", &account).await?.account()?;
    let id = text(&created, "/id");
    let stored = "select count(*) from validations where state = 'WAITING'";
    eventually(TIMEOUT, "the validation waiting", async || {
        anyhow::Ok((stack.database.number(stored)? == 1).then_some(()))
    })
    .await?;
    let called = tokio::time::timeout(std::time::Duration::from_millis(200), thief.accept()).await;
    assert!(called.is_err(), "the thief was called");
    let drops = stack.sandbox.drops().await?;
    assert_eq!(drops.total, 0);
    // The operator enters address and credentials again.
    let base_url = stack.sandbox.cashfree();
    stack.set_gateway_account(&GatewayAccount {
        base_url: &base_url,
        ..GatewayAccount::default()
    })?;
    tokio::time::sleep(CACHE_TTL + SLACK).await;
    stack.command(&["account", "retry", id])?;
    stack.api.wait_for("held", id, &["ACTIVE"], TIMEOUT).await?;
    Ok(())
}
