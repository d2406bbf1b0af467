//! Commands about rupees: the price of a retry, possible double drops, and costs by day.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack};

use super::{assert_fails, audited, document_of};
use crate::requests::named;

const NAME: &str = "Zebulon Quixote";

/// A stack without a worker, with one account that a penny drop of CASHFREE made ACTIVE. Returns its id.
async fn stack_with_a_drop() -> Result<(TestStack, String)> {
    let mut stack = TestStack::start(Setup::default()).await?;
    let form = named("918273645546372819", "AABF0008032", NAME);
    let created = stack.api.create("paid", &form).await?.account()?;
    let id = text(&created, "/id").to_owned();
    stack
        .api
        .wait_for("paid", &id, &["ACTIVE"], TIMEOUT)
        .await?;
    stack.workers.clear();
    Ok((stack, id))
}

/// Makes the account one that no gateway decided about, after an attempt whose response was lost.
fn fail(stack: &TestStack) -> Result<()> {
    stack.database.execute(
        "update validations set outcome = 'UNAVAILABLE', failure_code = 'ATTEMPTS_EXHAUSTED', failure_reason = 'none';
         update customer_accounts set status = 'FAILURE';
         update validation_attempts set class = 'RETRYABLE', code = 'answer_lost'",
    )
}

#[tokio::test]
async fn a_failure_is_validated_again_only_after_its_price_was_named() -> Result<()> {
    let (stack, id) = stack_with_a_drop().await?;
    fail(&stack)?;
    let budget = [
        "merchant",
        "set",
        "--merchant",
        "e2e",
        "--penny-drops-per-day",
        "1",
    ];
    stack.command(&budget)?;
    let reference = stack
        .database
        .texts("select reference from validation_attempts")?
        .remove(0);
    let validations = || stack.database.number("select count(*) from validations");

    let page = stack.command(&["account", "show", &id])?;
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for says in [
        "Next: Nothing by itself: the validation is UNAVAILABLE",
        "may have paid the payee a rupee: kh",
        &reference,
        "--yes` begins another validation, which may pay another rupee",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
    let retry = ["account", "retry", &id];
    let says = "1 of 1 penny drops used on this day in India";
    let dry_run = [&retry[..], &["--dry-run"]].concat();
    let page = stack.command(&dry_run)?;
    for says in [
        says,
        "may pay another rupee",
        &reference,
        "Nothing was changed.",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
    assert_eq!(document_of(&stack, &dry_run)?["begins_validation"], true);
    for says in [says, "To begin it, add --yes"] {
        assert_fails(&stack, &retry, 1, says)?;
    }
    assert_eq!(
        (validations()?, audited(&stack, "account.%")?.len()),
        (1, 0)
    );

    let begun = document_of(&stack, &[&retry[..], &["--yes"]].concat())?;
    assert_eq!(
        (&begun["was"], &begun["price"]["penny_drops_per_day"]),
        (&"COMPLETED".into(), &1.into())
    );
    assert!(
        begun["price"]["may_have_paid"][0]
            .as_str()
            .is_some_and(|paid| paid.starts_with(&format!("{reference} at CASHFREE"))),
        "{begun}"
    );
    assert_eq!(
        (validations()?, audited(&stack, "account.retry")?.len()),
        (2, 1)
    );
    // The open validation is made due, as before: it begins no other one.
    let page = stack.command(&dry_run)?;
    assert!(page.contains("It begins no other one."), "{page}");
    assert_eq!(document_of(&stack, &retry)?["begins_validation"], false);
    let show = stack.command(&["merchant", "show", "--merchant", "e2e"])?;
    assert!(show.contains("1 in a day in India, 2 used until"), "{show}");
    Ok(())
}

#[tokio::test]
async fn possible_double_drops_are_listed_with_their_references() -> Result<()> {
    let (stack, id) = stack_with_a_drop().await?;
    let list = ["account", "list", "--double-drops"];
    let page = stack.command(&list)?;
    assert!(
        page.starts_with("No possible double drop began since"),
        "{page}"
    );
    stack.database.execute(
        "insert into validation_attempts (merchant_id, validation_id, number, gateway_account_id, gateway_id, method, reference, choice,
            state, possible_double_drop)
         select merchant_id, validation_id, 2, gateway_account_id, gateway_id, method, replace(reference, '_01', '_02'), choice,
            'STARTED', true
         from validation_attempts",
    )?;
    let references = stack
        .database
        .texts("select reference from validation_attempts order by number")?;
    for options in [&[][..], &["--merchant", "e2e"], &["--since", "2h"]] {
        let listed = document_of(&stack, &[&list[..], options].concat())?;
        let drops = listed["accounts"].as_array().unwrap();
        assert_eq!(drops.len(), 1, "{options:?}: {listed}");
        let drop = &drops[0];
        assert_eq!(
            (text(drop, "/account_id"), text(drop, "/reference")),
            (id.as_str(), references[1].as_str())
        );
        assert_eq!(text(drop, "/earlier_references/0"), references[0]);
        assert_eq!(
            (text(drop, "/gateway"), text(drop, "/state")),
            ("CASHFREE", "STARTED")
        );
    }
    let page = stack.command(&list)?;
    for says in ["CASHFREE cashfree_e2e", &id, &references[0], &references[1]] {
        assert!(page.contains(says), "{says}: {page}");
    }
    let later = document_of(&stack, &[&list[..], &["--since", "0m"]].concat())?;
    assert_eq!(later["accounts"].as_array().unwrap().len(), 0);
    assert_fails(
        &stack,
        &["account", "list", "--in-review", "--since", "2h"],
        2,
        "--in-review",
    )
}

#[tokio::test]
async fn costs_are_counted_by_day_and_gateway_account() -> Result<()> {
    let (stack, _) = stack_with_a_drop().await?;
    stack.issue_key("other")?;
    let costs = ["gateway", "costs"];
    let rows = |options: &[&str]| {
        let document = document_of(&stack, &[&costs[..], options].concat())?;
        anyhow::Ok(document["costs"].as_array().unwrap().clone())
    };
    let today =
        "select (started_at at time zone 'Asia/Kolkata')::date::text from validation_attempts";
    let today = stack.database.texts(today)?.remove(0);
    for options in [&[][..], &["--merchant", "e2e"], &["--since", "2h"]] {
        let counted = rows(options)?;
        assert_eq!(counted.len(), 1, "{options:?}: {counted:?}");
        let row = &counted[0];
        assert_eq!(
            (text(row, "/day"), text(row, "/merchant")),
            (today.as_str(), "e2e")
        );
        assert_eq!(text(row, "/gateway_reference_id"), "cashfree_e2e");
        for (name, count) in [("attempts", 1), ("rupees", 1), ("possible_rupees", 0)] {
            assert_eq!(row[name], count, "{name}: {row}");
        }
    }
    for options in [
        &["--merchant", "other"][..],
        &["--until", "1d"],
        &["--since", "0m"],
    ] {
        assert!(rows(options)?.is_empty(), "{options:?}");
    }
    fail(&stack)?;
    assert_eq!(rows(&[])?[0]["possible_rupees"], 1);
    let page = stack.command(&costs)?;
    assert!(page.contains(": 0, and possibly 1 more."), "{page}");
    // Of another month.
    let earlier = "update validation_attempts set started_at = started_at - interval '40 days'";
    stack.database.execute(earlier)?;
    assert!(rows(&[])?.is_empty());
    let counted = rows(&["--since", "50d", "--until", "30d"])?;
    assert_eq!(counted.len(), 0, "the validation is younger: {counted:?}");
    let counted = rows(&["--since", "50d"])?;
    assert!(text(&counted[0], "/day") < today.as_str(), "{counted:?}");
    Ok(())
}
