//! Sealing keys come and go while Khata runs, and none that could be guessed is taken into use.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use khata_e2e::client::text;
use khata_e2e::{PATIENCE, Process, Setup, World, eventually};
use serde_json::{Value, json};

const TABLES: [&str; 3] = ["customer_accounts", "validations", "gateway_accounts"];

/// How many values of these tables this key sealed.
fn sealed_under(world: &World, key: u32) -> Result<[i64; 3]> {
    let columns = ["sealed_details", "sealed_result", "sealed_credentials"];
    let mut counts = [0; 3];
    for ((count, table), column) in counts.iter_mut().zip(TABLES).zip(columns) {
        *count = world.database.number(&format!(
            "select count(*) from {table} where substring({column} from 2 for 4) = '\\x{key:08x}'"
        ))?;
    }
    Ok(counts)
}

/// Creates so many accounts, whose numbers are this one and those after it, and waits until all are validated.
async fn create(world: &World, customer: &str, first: u64, count: u64) -> Result<()> {
    let details: Vec<Value> = (first..first + count)
        .map(|number| {
            json!({"account_number": number.to_string(), "ifsc": "AABF0008032", "beneficiary_name": "Asha \"A\" Rao"})
        })
        .collect();
    let body = json!({ "bank_account_details": details });
    let created = world.api.create_json(customer, &body).await?;
    assert_eq!(created.accounts()?.len() as u64, count);
    world
        .wait_until_none_is(&["CREATED", "PENDING"], PATIENCE)
        .await
}

/// Asserts that every one of these accounts is told as it was given, and what the bank said of it.
async fn assert_readable(world: &World, customer: &str, first: u64, count: u64) -> Result<()> {
    let listed = world.api.list(customer, "?count=100").await?.accounts()?;
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

/// A rolling restart: the new ones are up before the old ones go.
async fn restart(world: &mut World) -> Result<()> {
    let (api, worker) = (world.apis.remove(0), world.workers.remove(0));
    let url = world.start_api().await?.url.clone();
    world.api.url.clone_from(&url);
    world.wait_until_ready(&url).await?;
    let url = world.start_worker().await?.url.clone();
    world.wait_until_ready(&url).await?;
    for mut old in [api, worker] {
        old.process.terminate()?;
        assert!(old.process.wait(PATIENCE).await?.success());
    }
    Ok(())
}

/// Runs a command and answers whether it succeeded, and all it said.
async fn finished(mut process: Process) -> Result<(bool, String)> {
    let status = process.wait(PATIENCE).await?;
    Ok((status.success(), process.log()))
}

#[tokio::test]
async fn a_sealing_key_is_replaced_while_accounts_are_created() -> Result<()> {
    let mut world = World::start(Setup::default()).await?;
    let file = world.keyring_file();
    let file = file.to_str().unwrap();
    let replace = |world: &World, command: &str| {
        world.command(&["keyring", command, "--output", file, "--force"])
    };
    create(&world, "before", 500_000, 100).await?;
    assert_eq!(sealed_under(&world, 1)?, [100, 100, 1]);

    // A key that is known and not yet the primary seals nothing.
    replace(&world, "add")?;
    restart(&mut world).await?;
    create(&world, "known", 600_000, 2).await?;
    assert_eq!(sealed_under(&world, 2)?, [0, 0, 0]);

    replace(&world, "promote")?;
    restart(&mut world).await?;
    create(&world, "promoted", 700_000, 2).await?;
    assert_eq!(sealed_under(&world, 2)?, [2, 2, 0]);
    assert_eq!(sealed_under(&world, 1)?, [102, 102, 1]);

    // While values remain under it the old key stays, whoever asks.
    let pruned = world.begin("khata-api", &["keyring", "prune"], &[])?;
    let (success, said) = finished(pruned).await?;
    assert!(success && said.contains("kept sealing key 1"), "{said}");
    assert!(said.contains("\"id\": 1") && said.contains("\"id\": 2"));

    // Killed on the way, and twice at once; all the while accounts are created.
    let slowly = ["keyring", "rotate", "--batch", "5", "--pause-ms", "150"];
    let mut killed = world.begin("khata-api", &slowly, &[])?;
    eventually(PATIENCE, "a part being sealed anew", async || {
        anyhow::Ok((sealed_under(&world, 2)?[0] > 12).then_some(()))
    })
    .await?;
    create(&world, "meanwhile", 800_000, 10).await?;
    killed.kill()?;
    let [accounts, _, _] = sealed_under(&world, 1)?;
    assert!(accounts > 0, "it was done before it was killed");
    let quickly = ["keyring", "rotate", "--batch", "5"];
    let one = world.begin("khata-api", &quickly, &[])?;
    let other = world.begin("khata-api", &quickly, &[])?;
    create(&world, "again", 900_000, 10).await?;
    for rotation in [one, other] {
        let (success, said) = finished(rotation).await?;
        assert!(
            success && said.contains("Sealed anew under key 2"),
            "{said}"
        );
    }
    assert_eq!(sealed_under(&world, 1)?, [0, 0, 0]);
    assert_eq!(sealed_under(&world, 2)?, [124, 124, 1]);
    let told = world.database.number(
        "select sum((detail #>> '{resealed,customer_accounts}')::int) from audit_log where action = 'keyring.rotate'",
    )?;
    assert_eq!(
        told, 102,
        "the audit log has what each of them did, the killed one too"
    );

    let shown: Value = serde_json::from_str(&world.command(&["keyring", "show", "--json"])?)?;
    assert_eq!(shown["primary"], 2);
    assert_eq!(shown["sealing"][0]["id"], 1);
    assert_eq!(shown["sealing"][0]["seals"]["customer_accounts"], 0);
    assert_eq!(shown["sealing"][1]["seals"]["customer_accounts"], 124);
    let time = |told: &Value| -> Result<DateTime<Utc>> { Ok(told.as_str().unwrap_or("").parse()?) };
    let (made, due) = (
        time(&shown["sealing"][1]["created_at"])?,
        time(&shown["rotate_by"])?,
    );
    assert_eq!((due - made).num_days(), 365, "{shown}");

    replace(&world, "prune")?;
    let shown = world.command(&["keyring", "show"])?;
    assert!(
        shown.starts_with("key 2, primary, made ")
            && shown.contains(", 0 days old, to be replaced by ")
            && !shown.contains("key 1"),
        "{shown}"
    );
    restart(&mut world).await?;
    for (customer, first, count) in [
        ("before", 500_000, 100),
        ("known", 600_000, 2),
        ("promoted", 700_000, 2),
        ("meanwhile", 800_000, 10),
        ("again", 900_000, 10),
    ] {
        assert_readable(&world, customer, first, count).await?;
    }
    // The gateway's credentials were sealed anew too.
    create(&world, "after", 950_000, 2).await?;
    assert_readable(&world, "after", 950_000, 2).await?;
    assert!(!world.logs()?.contains("does not open"));
    Ok(())
}

#[tokio::test]
async fn a_value_that_does_not_open_is_named_and_left_alone() -> Result<()> {
    let mut world = World::start(Setup::default()).await?;
    let file = world.keyring_file();
    create(&world, "some", 500_000, 3).await?;
    let altered = "update customer_accounts set sealed_details = set_byte(sealed_details, 30, get_byte(sealed_details, 30) # 1)
        where masked = 'XXXXXXX1'";
    world.database.execute(altered)?;
    let bad = world
        .database
        .texts("select id from customer_accounts where masked = 'XXXXXXX1'")?;
    for command in ["add", "promote"] {
        let file = file.to_str().unwrap();
        world.command(&["keyring", command, "--output", file, "--force"])?;
    }
    let rotation = world.begin("khata-api", &["keyring", "rotate"], &[])?;
    let (success, said) = finished(rotation).await?;
    assert!(!success, "{said}");
    assert!(
        said.contains("customer_accounts") && said.contains(&bad[0]),
        "{said}"
    );
    assert!(said.contains("1 values do not open"), "{said}");
    assert_eq!(sealed_under(&world, 1)?, [1, 0, 0]);
    assert_eq!(sealed_under(&world, 2)?, [2, 3, 1]);
    Ok(())
}

#[tokio::test]
async fn a_rotation_says_what_it_had_to_leave() -> Result<()> {
    let mut world = World::start(Setup::default()).await?;
    create(&world, "some", 500_000, 3).await?;
    let file = world.keyring_file();
    for command in ["add", "promote"] {
        let file = file.to_str().unwrap();
        world.command(&["keyring", command, "--output", file, "--force"])?;
    }
    let rotate = ["keyring", "rotate"];
    let mut holder = world.database.connect()?;
    holder.batch_execute(
        "begin; update customer_accounts set metadata = '{}' where masked = 'XXXXXXX1'",
    )?;
    let (success, said) = finished(world.begin("khata-api", &rotate, &[])?).await?;
    assert!(
        !success && said.contains("1 values have been sealed under another key"),
        "{said}"
    );
    assert!(said.contains("2 in customer_accounts"), "{said}");
    holder.batch_execute("commit")?;
    // The services still have the keyring of before: what they seal now is sealed under the old key.
    create(&world, "late", 600_000, 1).await?;
    let (success, said) = finished(world.begin("khata-api", &rotate, &[])?).await?;
    assert!(
        success && said.contains("2 in customer_accounts, 1 in validations."),
        "{said}"
    );
    assert_eq!(sealed_under(&world, 1)?, [0, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn keys_that_could_be_guessed_or_are_missing_stop_a_start() -> Result<()> {
    let mut world = World::start(Setup {
        apis: 0,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let good = std::fs::read_to_string(world.keyring_file())?;
    let parsed: Value = serde_json::from_str(&good)?;
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
            "somebody typed",
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
                    &mut world,
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
    let file = world.keyring_file();
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
                &mut world,
                program,
                arguments,
                "false",
                file,
                keyring,
                why.is_some(),
            )
            .await?;
            assert!(said.contains(why.unwrap_or("is up")), "{program}: {said}");
            assert!(
                !said.contains(parsed["fingerprint"].as_str().unwrap()),
                "{said}"
            );
        }
    }
    // Help tells of the settings, and of no value.
    let help = world.begin(
        "khata-api",
        &["serve", "--help"],
        &[("KHATA_KEYRING", Some(&good))],
    )?;
    let (_, said) = finished(help).await?;
    assert!(said.contains("KHATA_KEYRING_FILE") && said.contains("KHATA_KEYRING"));
    assert!(!said.contains(parsed["fingerprint"].as_str().unwrap()));
    Ok(())
}

/// Starts a service with this keyring and answers what it said: until it ended, if it must refuse, or was up.
async fn start(
    world: &mut World,
    program: &str,
    arguments: &[&str],
    sandbox: &str,
    file: Option<&Path>,
    keyring: Option<&str>,
    refused: bool,
) -> Result<String> {
    let amqp = std::env::var("KHATA_TEST_AMQP_URL")?;
    let file = file.map(|file| file.to_str().unwrap());
    let mut process = world.begin(
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
    eventually(PATIENCE, &format!("{program} being up"), async || {
        if let Some(status) = process.ended() {
            bail!("{program} ended, {status}: {}", process.log());
        }
        Ok(process.log().contains(" is up").then_some(()))
    })
    .await?;
    tokio::time::sleep(Duration::from_millis(50)).await;
    process.kill()?;
    Ok(process.log())
}

/// What both services tell of when the key that seals is to be replaced.
async fn rotate_by_told(world: &World) -> Result<[Option<String>; 2]> {
    let mut told = [None, None];
    for (told, service) in told.iter_mut().zip([&world.apis[0], &world.workers[0]]) {
        let text = reqwest::get(format!("http://{}/metrics", service.metrics))
            .await?
            .text()
            .await?;
        let metric = "khata_sealing_key_rotate_by_timestamp_seconds ";
        let mut lines = text.lines();
        *told = lines.find_map(|line| line.strip_prefix(metric).map(str::to_owned));
    }
    Ok(told)
}

#[tokio::test]
async fn a_key_that_seals_for_too_long_is_told_of() -> Result<()> {
    let mut world = World::start(Setup {
        worker_settings: &[("KHATA_KEY_MAX_AGE_DAYS", "0")],
        ..Setup::default()
    })
    .await?;
    let file = world.keyring_file();
    let mut keyring: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let made: DateTime<Utc> = text(&keyring, "/sealing/0/created_at").parse()?;
    let due = (made.timestamp() + 365 * 24 * 60 * 60).to_string();
    // Where there is no limit, nothing is told.
    assert_eq!(rotate_by_told(&world).await?, [Some(due), None]);

    // A keyring from before times were written: nobody knows, so it counts as overdue.
    keyring["sealing"][0]
        .as_object_mut()
        .context("no key")?
        .remove("created_at");
    std::fs::write(&file, keyring.to_string())?;
    restart(&mut world).await?;
    assert_eq!(rotate_by_told(&world).await?, [Some("0".to_owned()), None]);
    create(&world, "some", 500_000, 1).await?;
    let shown = world.command(&["keyring", "show"])?;
    assert!(
        shown.starts_with("key 1, primary, of unknown age, TO BE REPLACED: "),
        "{shown}"
    );
    Ok(())
}
