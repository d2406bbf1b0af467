//! `khata doctor`: finds each kind of bad row by its rule, and nothing in a sound database. And the validations that were set aside.

use anyhow::{Context, Result};
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack, eventually};
use serde_json::{Value, json};

use super::{assert_fails, audited, document_of};
use crate::requests::named;

const NUMBER: &str = "918273645546372819";
const NAME: &str = "Zebulon Quixote";
const REFERENCE: &str = "cust-zq-4713";

/// Runs `khata doctor` with these options. Returns the exit code and the document.
pub(super) fn doctor(stack: &TestStack, options: &[&str]) -> Result<(Option<i32>, Value)> {
    let ran = stack.try_command(&[&["doctor", "--json"][..], options].concat())?;
    for quiet in [NUMBER, "Zebulon", "Quixote", REFERENCE] {
        assert!(!ran.stdout.contains(quiet), "{quiet}: {ran:?}");
    }
    let document = serde_json::from_str(&ran.stdout).with_context(|| format!("{ran:?}"))?;
    Ok((ran.code, document))
}

/// The rules that have findings, with their numbers of findings.
pub(super) fn rules(document: &Value) -> Vec<(&str, u64)> {
    let rules = document["rules"].as_array().unwrap().iter();
    rules
        .map(|rule| (text(rule, "/rule"), rule["count"].as_u64().unwrap()))
        .collect()
}

fn assert_sound(stack: &TestStack) -> Result<Value> {
    let (code, document) = doctor(stack, &[])?;
    assert_eq!((code, rules(&document)), (Some(0), vec![]), "{document}");
    Ok(document)
}

/// Changes rows, asserts that one row breaks this rule and no other one, and takes the change back. Returns the finding.
async fn finds(stack: &TestStack, rule: &str, change: &str, undo: &str) -> Result<Value> {
    stack.database.execute(change)?;
    // Transactions of other databases keep newer events out of the check for some time.
    let finding = eventually(TIMEOUT, rule, async || {
        let (code, document) = doctor(stack, &["--merchant", "e2e"])?;
        if rules(&document).is_empty() {
            anyhow::bail!("nothing was found: {document}");
        }
        assert_eq!(
            (code, rules(&document)),
            (Some(1), vec![(rule, 1)]),
            "{document}"
        );
        anyhow::Ok(Some(document["rules"][0]["findings"][0].clone()))
    })
    .await?;
    let ran = stack.try_command(&["doctor"])?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.starts_with(&format!("{rule}: 1\n")), "{ran:?}");
    assert!(ran.stdout.contains("\nRepair: "), "{ran:?}");
    stack.database.execute(undo)?;
    Ok(finding)
}

/// A stack without a worker, with one ACTIVE account and one that waits until tomorrow. Returns the id of the first one.
pub(super) async fn stack_with_accounts() -> Result<(TestStack, String)> {
    let mut stack = TestStack::start(Setup::default()).await?;
    let form = named(NUMBER, "AABF0008032", NAME);
    let created = stack.api.create(REFERENCE, &form).await?.account()?;
    let id = text(&created, "/id").to_owned();
    stack
        .api
        .wait_for(REFERENCE, &id, &["ACTIVE"], TIMEOUT)
        .await?;
    stack.workers.clear();
    let form = named("500000000001", "AABF0008032", NAME);
    stack.api.create(REFERENCE, &form).await?.account()?;
    let later = "update validations set state = 'WAITING', due_at = now() + interval '1 day' where completed_at is null";
    stack.database.execute(later)?;
    Ok((stack, id))
}

#[tokio::test]
async fn each_bad_row_is_found_by_its_rule_and_a_sound_database_has_none() -> Result<()> {
    let (stack, id) = stack_with_accounts().await?;
    stack.command(&[
        "webhook",
        "add",
        "--merchant",
        "e2e",
        "--url",
        "https://shop.example/khata",
    ])?;
    let sound = assert_sound(&stack)?;
    assert_eq!(
        (&sound["read"]["accounts"], &sound["read"]["validations"]),
        (&2.into(), &2.into())
    );
    assert!(
        sound["read"]["encrypted_values"].as_u64() > Some(3),
        "{sound}"
    );
    assert_eq!(
        doctor(&stack, &["--decrypt-all", "--limit", "1"])?.0,
        Some(0)
    );

    let active = "account_id = (select id from customer_accounts where status = 'ACTIVE')";
    let validation = stack
        .database
        .texts(&format!("select id from validations where {active}"))?
        .remove(0);
    let of_attempt = |column: &str| {
        let value = format!("select {column} from validation_attempts");
        Ok::<_, anyhow::Error>(stack.database.texts(&value)?.remove(0))
    };
    let (reference, theirs) = (of_attempt("reference")?, of_attempt("gateway_reference")?);
    let account = stack
        .database
        .texts("select id from customer_accounts where status = 'ACTIVE'")?
        .remove(0);
    let altered = |byte: u8| {
        format!(
            "update customer_accounts set sealed_details = set_byte(sealed_details, 20, get_byte(sealed_details, 20) # {byte})
             where id = '{account}'"
        )
    };
    let shows = format!("khata account show {id}");
    let shows = shows.as_str();
    for (rule, change, undo, command) in [
        (
            "account-without-validation",
            format!("update customer_accounts set validation_id = gen_random_uuid() where id = '{account}'"),
            format!("update customer_accounts set validation_id = '{validation}' where id = '{account}'"),
            shows,
        ),
        (
            "status-differs",
            format!("update customer_accounts set status = 'FAILURE' where id = '{account}'"),
            format!("update customer_accounts set status = 'ACTIVE' where id = '{account}'"),
            shows,
        ),
        (
            "validation-without-account",
            "insert into validations (merchant_id, id, account_id, state, due_at, deadline_at, created_at)
             select merchant_id, gen_random_uuid(), gen_random_uuid(), 'WAITING', now() + interval '2 h', now() + interval '1 day', now()
             from validations limit 1"
                .to_owned(),
            "delete from validations where account_id not in (select id from customer_accounts)".to_owned(),
            "",
        ),
        (
            "unfinished-attempt",
            "update validation_attempts set state = 'PENDING', settled_at = null".to_owned(),
            "update validation_attempts set state = 'SETTLED', settled_at = now()".to_owned(),
            shows,
        ),
        (
            "attempt-without-validation",
            "insert into validation_attempts (merchant_id, validation_id, number, gateway_account_id, gateway_id, method, reference,
                choice, state)
             select merchant_id, gen_random_uuid(), number, gateway_account_id, gateway_id, method, reference, choice, 'STARTED'
             from validation_attempts"
                .to_owned(),
            "delete from validation_attempts where validation_id not in (select id from validations)".to_owned(),
            "",
        ),
        (
            "attempt-without-reference",
            "update validation_attempts set reference = 'kh_01'".to_owned(),
            format!("update validation_attempts set reference = '{reference}'"),
            shows,
        ),
        (
            "attempt-without-reference",
            "update validation_attempts set gateway_reference = null, gateway_id = 1001".to_owned(),
            format!("update validation_attempts set gateway_reference = '{theirs}', gateway_id = 70"),
            shows,
        ),
        (
            "lease-expired",
            "update validations set state = 'LEASED', lease_token = gen_random_uuid(), leased_until = now() - interval '3 min',
                due_at = now() - interval '3 min' where completed_at is null"
                .to_owned(),
            "update validations set state = 'WAITING', lease_token = null, leased_until = null, due_at = now() + interval '1 day'
             where completed_at is null"
                .to_owned(),
            "khata account show banh_",
        ),
        (
            "due-and-not-claimed",
            "update validations set due_at = now() - interval '3 min' where completed_at is null".to_owned(),
            "update validations set due_at = now() + interval '1 day' where completed_at is null".to_owned(),
            "khata account show banh_",
        ),
        (
            "set-aside",
            "update validations set failed_steps = 10, due_at = now() + interval '30 min' where completed_at is null".to_owned(),
            "update validations set failed_steps = 0, due_at = now() + interval '1 day' where completed_at is null".to_owned(),
            "khata account retry banh_",
        ),
        (
            "delivery-not-attempted",
            "insert into webhook_deliveries (merchant_id, endpoint_id, subject_id, version, event_id, state, due_at, created_at)
             select e.merchant_id, w.id, e.subject_id, e.version, e.id, 'OPEN', now() - interval '11 min', now()
             from events e, webhook_endpoints w limit 1"
                .to_owned(),
            "delete from webhook_deliveries".to_owned(),
            "khata event show evt_",
        ),
        (
            "event-missing",
            "update events set version = -version where name = 'CUSTOMER_ACCOUNT_ACTIVE'".to_owned(),
            "update events set version = -version where name = 'CUSTOMER_ACCOUNT_ACTIVE'".to_owned(),
            shows,
        ),
        (
            "event-missing",
            format!("update events set subject_id = id where version = 1 and subject_id = '{account}'"),
            format!("update events set subject_id = '{account}' where subject_id = id"),
            shows,
        ),
        (
            "drops-not-counted",
            format!("update validations set created_at = created_at - interval '1 day' where {active}"),
            format!("update validations set created_at = created_at + interval '1 day' where {active}"),
            "khata merchant show --merchant e2e",
        ),
        ("undecryptable", altered(1), altered(1), "khata keyring show"),
        (
            "event-clock",
            "update event_clock set cluster_id = cluster_id + 1".to_owned(),
            "update event_clock set cluster_id = cluster_id - 1".to_owned(),
            "khata migrate",
        ),
    ] {
        let finding = finds(&stack, rule, &change, &undo).await?;
        let given = finding["command"].as_str().unwrap_or_default();
        assert!(given.starts_with(command), "{rule}: {finding}");
        assert_eq!(given.is_empty(), command.is_empty(), "{rule}: {finding}");
        if rule != "event-clock" {
            assert_eq!(finding["merchant"], "e2e", "{finding}");
        }
    }
    assert_sound(&stack)?;

    // A deletion cancels the validation, whose attempt may be unfinished.
    let cancelled = format!(
        "update customer_accounts set status = 'DELETED', deleted_at = now() where id = '{account}';
         update validations set outcome = 'CANCELLED', failure_code = null where id = '{validation}';
         update validation_attempts set state = 'PENDING', settled_at = null"
    );
    stack.database.execute(&cancelled)?;
    assert_sound(&stack)?;

    // Events that are as old as those that housekeeping deletes may be missing.
    let old = "update merchants set event_days = 4; update customer_accounts set created_at = now() - interval '5 days', \
               updated_at = now() - interval '5 days'; delete from events where version = 1";
    stack.database.execute(old)?;
    assert_sound(&stack)?;
    // Events are then kept for longer, which brings none of them back.
    let days = "update merchants set event_days = 30";
    stack.database.execute(days)?;
    assert_sound(&stack)?;
    // No number of days lets housekeeping delete an event of the last four.
    let of_account = |days: u8| {
        format!(
            "update customer_accounts set created_at = now() - interval '{days} days' where id = '{account}'"
        )
    };
    finds(&stack, "event-missing", &of_account(3), &of_account(5)).await?;
    // Nor one that is younger than the oldest one that exists.
    let others = |days: u8| {
        format!(
            "update customer_accounts set created_at = now() - interval '{days} days', updated_at = now() - interval '{days} days'
             where id <> '{account}'"
        )
    };
    let older = format!(
        "update events set created_at = now() - interval '10 days'; {}",
        others(20)
    );
    let undo = format!("update events set created_at = now(); {}", others(5));
    finds(&stack, "event-missing", &older, &undo).await?;
    assert_sound(&stack)?;
    assert_fails(
        &stack,
        &["doctor", "--merchant", "nobody"],
        2,
        "does not exist",
    )
}

#[tokio::test]
async fn a_validation_that_was_set_aside_is_listed_and_retried() -> Result<()> {
    let (stack, _) = stack_with_accounts().await?;
    let listed = || document_of(&stack, &["account", "list", "--set-aside"]);
    assert_eq!(listed()?["accounts"], json!([]));
    let set_aside = "update validations set failed_steps = 11, due_at = now() + interval '30 min' where completed_at is null";
    stack.database.execute(set_aside)?;
    let accounts = listed()?["accounts"].clone();
    let [account] = accounts.as_array().unwrap().as_slice() else {
        panic!("{accounts}")
    };
    assert_eq!(
        (&account["merchant"], &account["failed_steps"]),
        (&"e2e".into(), &11.into())
    );
    assert!(text(account, "/masked").ends_with("0001"), "{account}");
    let page = stack.command(&["account", "list", "--set-aside", "--merchant", "e2e"])?;
    assert!(page.contains(text(account, "/account_id")), "{page}");

    // One that waits for another reason is not retried.
    let form = named("500000000002", "AABF0008032", NAME);
    stack.api.create(REFERENCE, &form).await?.account()?;
    let later = "update validations set state = 'WAITING', due_at = now() + interval '1 h' where state = 'DUE'";
    stack.database.execute(later)?;
    let retry = [
        "account",
        "retry",
        "--all",
        "--set-aside",
        "--merchant",
        "e2e",
    ];
    let counted = document_of(&stack, &[&retry[..], &["--dry-run"]].concat())?;
    assert_eq!(
        (&counted["waiting"], &counted["retried"]),
        (&1.into(), &0.into())
    );
    let retried = document_of(&stack, &retry)?;
    assert_eq!(retried["retried"], 1);
    assert_eq!(listed()?["accounts"], json!([]));
    let log = audited(&stack, "account.retry")?;
    assert_eq!(
        (log.len(), &log[0][2]["set_aside"]),
        (1, &true.into()),
        "{log:?}"
    );
    Ok(())
}
