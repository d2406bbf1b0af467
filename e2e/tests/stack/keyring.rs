//! Rotation of encryption keys while Khata runs, and rejection of weak keys.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use khata_e2e::client::text;
use khata_e2e::{Database, Process, Setup, TIMEOUT, TestStack, eventually};
use serde_json::{Value, json};

const TABLES: [&str; 3] = ["customer_accounts", "validations", "gateway_accounts"];

/// Returns the number of values in each table that this key encrypted.
fn sealed_under(stack: &TestStack, key: u32) -> Result<[i64; 3]> {
    let columns = ["sealed_details", "sealed_result", "sealed_credentials"];
    let mut counts = [0; 3];
    for ((count, table), column) in counts.iter_mut().zip(TABLES).zip(columns) {
        *count = stack.database.number(&format!(
            "select count(*) from {table} where substring({column} from 2 for 4) = '\\x{key:08x}'"
        ))?;
    }
    Ok(counts)
}

/// Creates `count` accounts with consecutive numbers from `first`, and waits until all are validated.
async fn create(stack: &TestStack, customer: &str, first: u64, count: u64) -> Result<()> {
    let details: Vec<Value> = (first..first + count)
        .map(|number| {
            json!({"account_number": number.to_string(), "ifsc": "AABF0008032", "beneficiary_name": "Asha \"A\" Rao"})
        })
        .collect();
    let body = json!({ "bank_account_details": details });
    let created = stack.api.create_json(customer, &body).await?;
    assert_eq!(created.accounts()?.len() as u64, count);
    stack
        .wait_until_none_is(&["CREATED", "PENDING"], TIMEOUT)
        .await
}

/// Asserts that the API returns every account as it was sent, with the bank's data.
async fn assert_readable(stack: &TestStack, customer: &str, first: u64, count: u64) -> Result<()> {
    let listed = stack.api.list(customer, "?count=100").await?.accounts()?;
    let mut numbers = Vec::new();
    for account in &listed {
        let details = &account["account_details"]["bank_account_details"];
        assert_eq!(details["beneficiary_name"], "Asha \"A\" Rao", "{account}");
        assert_eq!(account["status"], "ACTIVE", "{account}");
        assert!(
            account["validation"]["name_at_bank"].is_string(),
            "{account}"
        );
        numbers.push(text(details, "/account_number").parse::<u64>()?);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (first..first + count).collect::<Vec<_>>());
    Ok(())
}

/// Restarts the services one by one: the new ones are ready before the old ones stop.
async fn restart(stack: &mut TestStack) -> Result<()> {
    let (api, worker) = (stack.apis.remove(0), stack.workers.remove(0));
    let url = stack.start_api().await?.url.clone();
    stack.api.url.clone_from(&url);
    stack.wait_until_ready(&url).await?;
    let url = stack.start_worker().await?.url.clone();
    stack.wait_until_ready(&url).await?;
    for mut old in [api, worker] {
        old.process.terminate()?;
        assert!(old.process.wait(TIMEOUT).await?.success());
    }
    Ok(())
}

/// Waits for the end of a command. Returns whether it succeeded, and its output.
async fn finished(mut process: Process) -> Result<(bool, String)> {
    let status = process.wait(TIMEOUT).await?;
    Ok((status.success(), process.log()))
}

#[tokio::test]
async fn the_encryption_key_is_rotated_while_accounts_are_created() -> Result<()> {
    let mut stack = TestStack::start(Setup::default()).await?;
    let file = stack.keyring_file();
    let file = file.to_str().unwrap();
    let replace = |stack: &TestStack, command: &str| {
        stack.command(&["keyring", command, "--output", file, "--force"])
    };
    create(&stack, "before", 500_000, 100).await?;
    assert_eq!(sealed_under(&stack, 1)?, [100, 100, 1]);

    // A key that is not yet the primary encrypts nothing.
    replace(&stack, "add")?;
    restart(&mut stack).await?;
    create(&stack, "known", 600_000, 2).await?;
    assert_eq!(sealed_under(&stack, 2)?, [0, 0, 0]);

    replace(&stack, "promote")?;
    restart(&mut stack).await?;
    create(&stack, "promoted", 700_000, 2).await?;
    assert_eq!(sealed_under(&stack, 2)?, [2, 2, 0]);
    assert_eq!(sealed_under(&stack, 1)?, [102, 102, 1]);

    // The old key stays in the keyring while data is encrypted with it.
    let pruned = stack.start_program("khata", &["keyring", "prune"], &[])?;
    let (success, said) = finished(pruned).await?;
    assert!(success && said.contains("kept encryption key 1"), "{said}");
    assert!(said.contains("\"id\": 1") && said.contains("\"id\": 2"));

    // One rotation is killed, and two run at once, while accounts are created.
    let slowly = ["keyring", "rotate", "--batch", "5", "--pause-ms", "4000"];
    let mut killed = stack.start_program("khata", &slowly, &[])?;
    create(&stack, "meanwhile", 800_000, 10).await?;
    eventually(TIMEOUT, "a part being re-encrypted", async || {
        anyhow::Ok((sealed_under(&stack, 2)?[0] > 22).then_some(()))
    })
    .await?;
    killed.kill()?;
    let [accounts, _, _] = sealed_under(&stack, 1)?;
    assert!(accounts > 0, "the rotation ended before it was killed");
    let quickly = ["keyring", "rotate", "--batch", "5"];
    let one = stack.start_program("khata", &quickly, &[])?;
    let other = stack.start_program("khata", &quickly, &[])?;
    create(&stack, "again", 900_000, 10).await?;
    for rotation in [one, other] {
        let (success, said) = finished(rotation).await?;
        assert!(
            success && said.contains("Re-encrypted under key 2"),
            "{said}"
        );
    }
    assert_eq!(sealed_under(&stack, 1)?, [0, 0, 0]);
    assert_eq!(sealed_under(&stack, 2)?, [124, 124, 1]);
    let count = stack.database.number(
        "select sum((detail #>> '{resealed,customer_accounts}')::int) from audit_log where action = 'keyring.rotate'",
    )?;
    assert_eq!(
        count, 102,
        "the audit log has the work of each rotation, the killed one included"
    );

    let shown: Value = serde_json::from_str(&stack.command(&["keyring", "show", "--json"])?)?;
    assert_eq!(shown["primary"], 2);
    assert_eq!(shown["sealing"][0]["id"], 1);
    assert_eq!(shown["sealing"][0]["seals"]["customer_accounts"], 0);
    assert_eq!(shown["sealing"][1]["seals"]["customer_accounts"], 124);
    let time =
        |value: &Value| -> Result<DateTime<Utc>> { Ok(value.as_str().unwrap_or("").parse()?) };
    let (made, due) = (
        time(&shown["sealing"][1]["created_at"])?,
        time(&shown["rotate_by"])?,
    );
    assert_eq!((due - made).num_days(), 365, "{shown}");

    replace(&stack, "prune")?;
    let shown = stack.command(&["keyring", "show"])?;
    assert!(
        shown.starts_with("key 2, primary, created ")
            && shown.contains(", 0 days old, replace by ")
            && !shown.contains("key 1"),
        "{shown}"
    );
    restart(&mut stack).await?;
    for (customer, first, count) in [
        ("before", 500_000, 100),
        ("known", 600_000, 2),
        ("promoted", 700_000, 2),
        ("meanwhile", 800_000, 10),
        ("again", 900_000, 10),
    ] {
        assert_readable(&stack, customer, first, count).await?;
    }
    // The gateway's credentials were re-encrypted too.
    create(&stack, "after", 950_000, 2).await?;
    assert_readable(&stack, "after", 950_000, 2).await?;
    assert!(!stack.logs()?.contains("does not open"));
    Ok(())
}

#[tokio::test]
async fn a_rotation_reports_a_value_that_it_cannot_decrypt() -> Result<()> {
    let mut stack = TestStack::start(Setup::default()).await?;
    let file = stack.keyring_file();
    create(&stack, "some", 500_000, 3).await?;
    let altered = "update customer_accounts set sealed_details = set_byte(sealed_details, 30, get_byte(sealed_details, 30) # 1)
        where masked = 'XXXXXXX1'";
    stack.database.execute(altered)?;
    let bad = stack
        .database
        .texts("select id from customer_accounts where masked = 'XXXXXXX1'")?;
    for command in ["add", "promote"] {
        let file = file.to_str().unwrap();
        stack.command(&["keyring", command, "--output", file, "--force"])?;
    }
    let rotation = stack.start_program("khata", &["keyring", "rotate"], &[])?;
    let (success, said) = finished(rotation).await?;
    assert!(!success, "{said}");
    assert!(
        said.contains("customer_accounts") && said.contains(&bad[0]),
        "{said}"
    );
    assert!(said.contains("cannot decrypt 1 value:"), "{said}");
    assert_eq!(sealed_under(&stack, 1)?, [1, 0, 0]);
    assert_eq!(sealed_under(&stack, 2)?, [2, 3, 1]);
    Ok(())
}

#[tokio::test]
async fn a_rotation_reports_the_rows_it_could_not_re_encrypt() -> Result<()> {
    let mut stack = TestStack::start(Setup::default()).await?;
    create(&stack, "some", 500_000, 3).await?;
    let file = stack.keyring_file();
    for command in ["add", "promote"] {
        let file = file.to_str().unwrap();
        stack.command(&["keyring", command, "--output", file, "--force"])?;
    }
    let rotate = ["keyring", "rotate"];
    let mut holder = stack.database.connect()?;
    holder.batch_execute(
        "begin; update customer_accounts set metadata = '{}' where masked = 'XXXXXXX1'",
    )?;
    let (success, said) = finished(stack.start_program("khata", &rotate, &[])?).await?;
    assert!(
        !success && said.contains("1 value encrypted with another key"),
        "{said}"
    );
    assert!(said.contains("2 in customer_accounts"), "{said}");
    holder.batch_execute("commit")?;
    // The services still have the old keyring: they encrypt with the old key.
    create(&stack, "late", 600_000, 1).await?;
    let (success, said) = finished(stack.start_program("khata", &rotate, &[])?).await?;
    assert!(
        success && said.contains("2 in customer_accounts, 1 in validations."),
        "{said}"
    );
    assert_eq!(sealed_under(&stack, 1)?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn a_service_does_not_start_with_weak_or_missing_keys() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        apis: 0,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let good = std::fs::read_to_string(stack.keyring_file())?;
    let parsed: Value = serde_json::from_str(&good)?;
    // Without a value that was encrypted by another key, which would stop the service later.
    let _used = stack.use_database(Database::create_empty()?);
    let migrated = stack.shell("khata migrate", &[])?;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    // As base64 of 32 bytes: "correct horse battery staple 123", and 0 to 31.
    let typed = "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZSAxMjM=";
    let counted = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let with = |change: &dyn Fn(&mut Value)| {
        let mut keyring = parsed.clone();
        change(&mut keyring);
        keyring.to_string()
    };
    let twice = with(&|keyring| keyring["api_keys"] = keyring["fingerprint"].clone());
    let unknown = with(&|keyring| keyring["primary"] = 7.into());
    for (keyring, in_sandbox, why) in [
        (
            with(&|keyring| keyring["fingerprint"] = typed.into()),
            true,
            "is typed text",
        ),
        (
            with(&|keyring| keyring["sealing"][0]["key"] = counted.into()),
            true,
            "counts or repeats",
        ),
        (twice, true, "the same as"),
        (unknown, false, "primary"),
        ("{}".to_owned(), false, "not the JSON"),
    ] {
        for (program, arguments) in [("khata-api", &["serve"][..]), ("khata-worker", &[])] {
            for sandbox in ["false", "true"] {
                let refused = sandbox == "false" || !in_sandbox;
                let said = start(
                    &mut stack,
                    program,
                    arguments,
                    sandbox,
                    None,
                    Some(&keyring),
                    refused,
                )
                .await?;
                let expected = if refused { why } else { "weak keys" };
                assert!(
                    said.contains(expected),
                    "{program}, sandbox {sandbox}, {why}: {said}"
                );
                assert!(
                    !said.contains(typed) && !said.contains(counted),
                    "a key is shown: {said}"
                );
            }
        }
    }
    let file = stack.keyring_file();
    for (file, keyring, why) in [
        (None, None, Some("there is no keyring")),
        (
            Some(file.as_path()),
            Some(good.as_str()),
            Some("two keyrings"),
        ),
        (
            Some(Path::new("/no_gateway/keyring.json")),
            None,
            Some("cannot read the keyring file"),
        ),
        (Some(file.as_path()), None, None),
        (None, Some(good.as_str()), None),
    ] {
        for (program, arguments) in [("khata-api", &["serve"][..]), ("khata-worker", &[])] {
            let said = start(
                &mut stack,
                program,
                arguments,
                "false",
                file,
                keyring,
                why.is_some(),
            )
            .await?;
            assert!(
                why.map_or(has_started(&said), |why| said.contains(why)),
                "{program}: {said}"
            );
            assert!(
                !said.contains(parsed["fingerprint"].as_str().unwrap()),
                "{said}"
            );
        }
    }
    // The help shows the settings without their values.
    let help = stack.start_program(
        "khata-api",
        &["serve", "--help"],
        &[("KHATA_KEYRING", Some(&good))],
    )?;
    let (_, said) = finished(help).await?;
    assert!(said.contains("KHATA_KEYRING_FILE") && said.contains("KHATA_KEYRING"));
    assert!(!said.contains(parsed["fingerprint"].as_str().unwrap()));
    Ok(())
}

/// Returns whether a service logged its start: `khata-api started`, `khata-worker is up`.
fn has_started(log: &str) -> bool {
    log.contains(" started") || log.contains(" is up")
}

/// Starts a service with this keyring. Returns its output up to its end, if it must not start, or until it is ready.
async fn start(
    stack: &mut TestStack,
    program: &str,
    arguments: &[&str],
    sandbox: &str,
    file: Option<&Path>,
    keyring: Option<&str>,
    refused: bool,
) -> Result<String> {
    let amqp = std::env::var("KHATA_TEST_AMQP_URL")?;
    let file = file.map(|file| file.to_str().unwrap());
    let mut process = stack.start_program(
        program,
        arguments,
        &[
            ("KHATA_KEYRING_FILE", file),
            ("KHATA_KEYRING", keyring),
            ("KHATA_SANDBOX_MODE", Some(sandbox)),
            ("KHATA_LISTEN", Some("127.0.0.1:0")),
            ("KHATA_WORKER_LISTEN", Some("127.0.0.1:0")),
            ("KHATA_AMQP_URL", Some(&amqp)),
        ],
    )?;
    if refused {
        let (success, said) = finished(process).await?;
        assert!(!success, "{program} started: {said}");
        return Ok(said);
    }
    eventually(TIMEOUT, &format!("{program} being up"), async || {
        if let Some(status) = process.ended() {
            bail!("{program} ended, {status}: {}", process.log());
        }
        Ok(has_started(&process.log()).then_some(()))
    })
    .await?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    process.kill()?;
    Ok(process.log())
}

/// Returns the metric of both services for the time by which the encryption key must be replaced.
async fn rotate_by_metrics(stack: &TestStack) -> Result<[Option<String>; 2]> {
    let mut values = [None, None];
    for (value, service) in values.iter_mut().zip([&stack.apis[0], &stack.workers[0]]) {
        let text = reqwest::get(format!("http://{}/metrics", service.metrics))
            .await?
            .text()
            .await?;
        let metric = "khata_encryption_key_rotate_by_timestamp_seconds ";
        let mut lines = text.lines();
        *value = lines.find_map(|line| line.strip_prefix(metric).map(str::to_owned));
    }
    Ok(values)
}

#[tokio::test]
async fn an_overdue_encryption_key_is_reported() -> Result<()> {
    let mut stack = TestStack::start(Setup {
        worker_settings: &[("KHATA_KEY_MAX_AGE_DAYS", "0")],
        ..Setup::default()
    })
    .await?;
    let file = stack.keyring_file();
    let mut keyring: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let made: DateTime<Utc> = text(&keyring, "/sealing/0/created_at").parse()?;
    let due = (made.timestamp() + 365 * 24 * 60 * 60).to_string();
    // Without a limit the metric is missing.
    assert_eq!(rotate_by_metrics(&stack).await?, [Some(due), None]);

    // A keyring without a time of creation counts as overdue.
    keyring["sealing"][0]
        .as_object_mut()
        .context("no key")?
        .remove("created_at");
    std::fs::write(&file, keyring.to_string())?;
    restart(&mut stack).await?;
    assert_eq!(
        rotate_by_metrics(&stack).await?,
        [Some("0".to_owned()), None]
    );
    create(&stack, "some", 500_000, 1).await?;
    let shown = stack.command(&["keyring", "show"])?;
    assert!(
        shown.starts_with("key 1, primary, age unknown, REPLACEMENT OVERDUE: "),
        "{shown}"
    );
    Ok(())
}
