//! `khata account find` and `khata account retry --all`.

use anyhow::Result;
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack};
use serde_json::{Value, json};

use super::{assert_fails, audited, document_of, without_workers};
use crate::requests::{CONSENT, bank, ids, named};

const NUMBER: &str = "918273645546372819";
const NAME: &str = "Zebulon Quixote";
const VPA: &str = "zebulon.quixote77@okpsp";
const REFERENCE: &str = "cust-zq-4712";

/// Returns the ids of the accounts that `account find` lists, and what it has read. Its outputs may contain no personal data.
fn find(stack: &TestStack, options: &[&str]) -> Result<(Vec<String>, Value)> {
    let arguments = [&["account", "find"], options].concat();
    let document = document_of(stack, &arguments)?;
    let page = stack.command(&arguments)?;
    for quiet in [NUMBER, "zebulon", "quixote", REFERENCE] {
        for output in [document.to_string(), page.clone()] {
            assert!(!output.to_lowercase().contains(quiet), "{quiet}: {output}");
        }
    }
    let accounts = document["accounts"].as_array().unwrap();
    Ok((ids(accounts), document["searched"].clone()))
}

#[tokio::test]
async fn accounts_are_found_by_what_others_know_of_them() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    stack.issue_key("other")?;
    let form = named(NUMBER, "AABF0008032", NAME);
    let created = stack.api.create(REFERENCE, &form).await?.account()?;
    let id = text(&created, "/id");
    let form: Vec<_> = CONSENT.into_iter().chain([("vpa", VPA)]).collect();
    let upi = stack.api.create(REFERENCE, &form).await?.account()?;
    let upi = text(&upi, "/id");
    let active = stack
        .api
        .wait_for(REFERENCE, id, &["ACTIVE"], TIMEOUT)
        .await?;
    let utr = text(&active, "/validation/utr");
    let shown = document_of(&stack, &["account", "show", id])?;
    let reference = text(&shown, "/validations/0/attempts/0/gateway_reference");

    let customer = text(&created, "/customer_id");
    let of_e2e = ["--merchant", "e2e"];
    let both = vec![upi.to_owned(), id.to_owned()];
    for (options, found) in [
        (["--customer", REFERENCE], both.clone()),
        (["--customer", customer], both.clone()),
        (["--vpa", "ZEBULON.quixote77@OKPSP"], vec![upi.to_owned()]),
    ] {
        for merchant in [&of_e2e[..], &[]] {
            let searched = find(&stack, &[&options[..], merchant].concat())?;
            assert_eq!(searched, (found.clone(), Value::Null), "{options:?}");
        }
        let of_other = [&options[..], &["--merchant", "other"]].concat();
        assert_eq!(find(&stack, &of_other)?.0, Vec::<String>::new());
    }
    let from_input = "printf '%s\\n' zebulon.quixote77@okpsp | khata account find --vpa - --json";
    let ran = stack.shell(from_input, &[])?;
    assert!(ran.stdout.contains(upi), "{ran:?}");

    // Without an index: the newest rows of one merchant.
    for options in [
        ["--last-four", "2819"],
        ["--utr", utr],
        ["--gateway-reference", reference],
    ] {
        let (found, searched) = find(&stack, &[&options[..], &of_e2e].concat())?;
        assert_eq!(found, [id], "{options:?}");
        assert!(
            searched["complete"] == true && searched["rows"].as_i64() > Some(0),
            "{searched}"
        );
    }
    let none = [&["--utr", utr, "--since", "0m"], &of_e2e[..]].concat();
    let (found, searched) = find(&stack, &none)?;
    assert!(found.is_empty() && searched["rows"] == 0, "{searched}");
    let page =
        stack.command(&[&["account", "find", "--last-four", "2819"], &of_e2e[..]].concat())?;
    assert!(
        page.contains("There is no index for this: 2 accounts were read"),
        "{page}"
    );
    let (found, _) = find(&stack, &["--gateway-reference", reference])?;
    assert!(found.is_empty(), "of any merchant: by index only");
    let page = stack.command(&["account", "find", "--gateway-reference", reference])?;
    assert!(
        page.contains("With --merchant the command also reads"),
        "{page}"
    );
    let page = stack.command(&["account", "find", "--customer", "nobody"])?;
    assert!(page.contains("Only live accounts are searched"), "{page}");
    // A gateway whose webhooks name its own id: the index has it.
    stack.database.execute(
        "insert into gateway_references (merchant_id, gateway_account_id, gateway_reference, validation_id, number)
         select merchant_id, gateway_account_id, gateway_reference, validation_id, number from validation_attempts
         where gateway_reference is not null on conflict do nothing",
    )?;
    let by_index = find(&stack, &["--gateway-reference", reference])?;
    assert_eq!(by_index, (vec![id.to_owned()], Value::Null));

    for (options, code, says) in [
        (&["--last-four", "2819"][..], 2, "--merchant"),
        (&["--last-four", "81", "--merchant", "e2e"], 1, "last four"),
        (&["--vpa", "nobody"], 1, "must be a UPI address"),
        (&["--customer", " "], 1, "is empty"),
        (&["--customer", "a b"], 1, "cst_"),
        (
            &["--customer", "a", "--utr", "b", "--merchant", "e2e"],
            2,
            "cannot be used with",
        ),
        (&[], 2, "--customer"),
    ] {
        assert_fails(
            &stack,
            &[&["account", "find"], options].concat(),
            code,
            says,
        )?;
    }
    Ok(())
}

#[tokio::test]
async fn the_utr_of_a_reused_result_finds_the_account_that_was_paid_first() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let reuse = [
        "merchant",
        "set",
        "--merchant",
        "e2e",
        "--reuse-results",
        "1h",
    ];
    stack.command(&reuse)?;
    let mut accounts = Vec::new();
    for customer in ["paid", "reuses", "reuses_too"] {
        let form = named(NUMBER, "AABF0008032", NAME);
        let created = stack.api.create(customer, &form).await?.account()?;
        let id = text(&created, "/id");
        accounts.push(
            stack
                .api
                .wait_for(customer, id, &["ACTIVE"], TIMEOUT)
                .await?,
        );
    }
    let paid = text(&accounts[0], "/id");
    let utr = text(&accounts[0], "/validation/utr");
    assert_eq!(text(&accounts[2], "/validation/utr"), utr);
    let find = ["account", "find", "--utr", utr, "--merchant", "e2e"];
    let document = document_of(&stack, &find)?;
    let found = document["accounts"].as_array().unwrap();
    assert_eq!(
        (found.len(), text(&found[0], "/id")),
        (3, paid),
        "{document}"
    );
    assert!(found[0]["reused_from"].is_null(), "{document}");
    let from = text(&accounts[0], "/validation/id");
    for reuses in &found[1..] {
        assert_eq!(text(reuses, "/reused_from"), from, "{document}");
    }
    let page = stack.command(&find)?;
    let says = format!("reuses the result of {from}: no rupee was paid to it.");
    assert_eq!(page.matches(&says).count(), 2, "{page}");

    // The validation that was paid is older than those that are read.
    let paid_at = "select to_char(completed_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') from validations order by id limit 1";
    let since = stack.database.texts(paid_at)?.remove(0);
    let document = document_of(&stack, &[&find[..], &["--since", &since]].concat())?;
    assert_eq!(document["searched"]["rows"], 2, "{document}");
    let found = document["accounts"].as_array().unwrap();
    assert_eq!(
        (found.len(), text(&found[0], "/id")),
        (3, paid),
        "{document}"
    );
    Ok(())
}

#[tokio::test]
async fn all_validations_that_wait_for_a_gateway_are_retried() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    for number in ["50000001", "50000002", "50000003", "50000004", "50000005"] {
        let form = bank(number, "AABF0008032");
        stack.api.create("retried", &form).await?.account()?;
    }
    // In the order of their creation: without an attempt, after one at CASHFREE, after one at DUMMY, in a queue, leased.
    let numbered = "(select id, row_number() over (order by id) as place from validations) n where v.id = n.id";
    let attempt = |place: u8, gateway: u8| {
        format!(
            "insert into validation_attempts (merchant_id, validation_id, number, gateway_account_id, gateway_id, method, reference,
                choice, state, class, settled_at)
             select v.merchant_id, v.id, 1, g.id, g.gateway_id, 'PENNY_DROP', 'kh_{place}', 'test', 'SETTLED', 'RETRYABLE', now()
             from validations v join gateway_accounts g on g.merchant_id = v.merchant_id and g.gateway_id = {gateway},
             {numbered} and n.place = {place}"
        )
    };
    for statement in [
        "update validations set state = 'WAITING', due_at = now() + interval '1 h'".to_owned(),
        attempt(2, 70),
        attempt(3, 100),
        format!(
            "update validations v set queued_gateway_account_id = gen_random_uuid(), queue_rank = 2 from {numbered} and n.place = 4"
        ),
        format!(
            "update validations v set state = 'LEASED', lease_token = gen_random_uuid(), leased_until = now() + interval '1 h'
             from {numbered} and n.place = 5"
        ),
    ] {
        stack.database.execute(&statement)?;
    }
    let listed = document_of(&stack, &["gateway", "list", "--merchant", "e2e"])?;
    let accounts = listed["gateway_accounts"].as_array().unwrap();
    let dummy = accounts
        .iter()
        .find(|one| one["gateway"] == "DUMMY")
        .unwrap();

    let all = ["account", "retry", "--all", "--merchant", "e2e"];
    let retry = |options: &[&str]| document_of(&stack, &[&all[..], options].concat());
    let later = || {
        let later = "select count(*) from validations where due_at > now() + interval '1 m'";
        stack.database.number(later)
    };
    for (options, waiting) in [
        (&[][..], 3),
        (&["--gateway", "CASHFREE"], 2),
        (&["--gateway", text(dummy, "/id")], 2),
        (&["--since", "1h"], 3),
        (&["--since", "0m"], 0),
        (&["--set-aside"], 0),
    ] {
        let counted = retry(&[options, &["--dry-run"]].concat())?;
        assert_eq!(
            (
                &counted["waiting"],
                &counted["retried"],
                &counted["complete"]
            ),
            (&waiting.into(), &0.into(), &true.into()),
            "{options:?}"
        );
    }
    assert_eq!((later()?, audited(&stack, "account.%")?.len()), (5, 0));

    let retried = retry(&["--gateway", "cashfree", "--since", "1h"])?;
    assert_eq!(
        (&retried["waiting"], &retried["retried"]),
        (&2.into(), &2.into())
    );
    assert_eq!(later()?, 3);
    let log = audited(&stack, "account.retry")?;
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(
        (&log[0][2]["gateway"], &log[0][2]["validations"]),
        (&"cashfree".into(), &2.into())
    );
    assert_eq!(
        retry(&[])?["retried"],
        1,
        "what is due already is not retried again"
    );
    assert_eq!(retry(&[])?["waiting"], json!(0));

    for (arguments, code, says) in [
        (&["account", "retry", "--all"][..], 2, "--merchant"),
        (&["account", "retry"], 2, "ACCOUNT"),
        (
            &[
                "account",
                "retry",
                "--dry-run",
                "banh_01k82u7s7aeqraoh1tia1a3hc8",
            ],
            1,
            "no merchant has account",
        ),
        (&[&all[..], &["--yes"]].concat(), 2, "--yes"),
        (
            &[&all[..], &["--gateway", "PAYU"]].concat(),
            1,
            "has no gateway account",
        ),
        (&[&all[..], &["--gateway", "paypal"]].concat(), 1, "gwa_"),
    ] {
        assert_fails(&stack, arguments, code, says)?;
    }
    Ok(())
}
