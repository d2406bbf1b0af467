//! `khata apply`.

use anyhow::Result;
use khata_e2e::{GatewayAccount, TestStack};
use serde_json::{Value, json};

use super::{assert_fails, audited, document_of, without_workers};

#[tokio::test]
async fn a_file_is_shown_before_it_is_applied() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    stack.write_file("cashfree.json", GatewayAccount::default().credentials)?;
    let file = |deadline: &str, priority: u8| {
        let text = format!(
            "merchants:
  - name: declared
    settings: {{ validation-deadline: {deadline}, penny-drops-per-day: 7 }}
    gateways:
      - gateway: CASHFREE
        reference-id: main
        priority: {priority}
        base-url: {}
        credentials-file: cashfree.json
        settings: {{ calls_per_minute: 60, hours: null }}
        enabled: false
  - name: e2e
    settings: {{ penny-drops-per-day: 9 }}
",
            stack.sandbox.cashfree()
        );
        stack.write_file("merchants.yaml", &text)
    };
    let path = file("48h", 1)?;
    let apply = ["apply", "-f", path.as_str()];
    let lines = || stack.database.number("select count(*) from audit_log");
    let before = lines()?;
    let shown = document_of(&stack, &apply)?;
    let (declared, e2e) = (&shown["merchants"][0], &shown["merchants"][1]);
    assert_eq!(
        (&shown["applied"], &declared["created"], &e2e["created"]),
        (&false.into(), &true.into(), &false.into())
    );
    assert_eq!(declared["gateway_accounts"][0]["created"], true);
    assert_eq!(
        e2e["changed"],
        json!({"penny_drops_per_day": {"from": 1_000_000_000, "to": 9}})
    );
    for shown in [&apply[..], &[&apply[..], &["--dry-run"]].concat()] {
        let page = stack.command(shown)?;
        let (new, last) = ("merchant declared: new\n", "Apply this with --yes.");
        assert!(
            page.contains(new) && page.trim_end().ends_with(last),
            "{page}"
        );
    }
    assert_eq!(lines()?, before, "nothing was changed");
    assert_fails(
        &stack,
        &["merchant", "show", "--merchant", "declared"],
        1,
        "does not exist",
    )?;

    let apply_now = [&apply[..], &["--yes"]].concat();
    document_of(&stack, &apply_now)?;
    let listed = document_of(&stack, &["gateway", "list", "--merchant", "declared"])?;
    let accounts = listed["gateway_accounts"].as_array().unwrap();
    let main = accounts
        .iter()
        .find(|one| one["reference_id"] == "main")
        .unwrap();
    assert_eq!(
        (&main["usable"], &main["enabled"], &main["settings"]),
        (
            &false.into(),
            &false.into(),
            &json!({"calls_per_minute": 60})
        )
    );
    assert_eq!(
        audited(&stack, "merchant.create")?.len(),
        2,
        "e2e and declared"
    );
    let before = lines()?;
    let again = document_of(&stack, &apply_now)?;
    assert_eq!(lines()?, before, "nothing to record");
    for merchant in again["merchants"].as_array().unwrap() {
        assert_eq!(
            merchant["changed"],
            json!({}),
            "the same file changes nothing"
        );
    }
    let page = stack.command(&apply)?;
    assert!(page.starts_with("Nothing to change"), "{page}");

    // What the file does not name stays.
    stack.command(&[
        "merchant",
        "set",
        "--merchant",
        "declared",
        "--event-days",
        "9d",
    ])?;
    file("1h", 3)?;
    let page = stack.command(&apply_now)?;
    assert!(
        page.contains("merchant declared: validation_deadline_seconds: 172800 -> 3600"),
        "{page}"
    );
    assert!(
        page.contains("merchant declared, CASHFREE account main: priority: 1 -> 3"),
        "{page}"
    );
    let settings: Value = document_of(&stack, &["merchant", "show", "--merchant", "declared"])?;
    assert_eq!(settings["settings"]["event_days"], 9);
    assert_eq!(audited(&stack, "gateway.set")?.len(), 1);

    // One wrong value, and nothing is changed.
    file("1s", 4)?;
    assert_fails(&stack, &apply_now, 1, "validation-deadline")?;
    assert_eq!(audited(&stack, "gateway.set")?.len(), 1);
    Ok(())
}
