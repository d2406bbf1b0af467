//! `khata webhook` and `khata event`.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use khata_e2e::client::text;
use khata_e2e::{Setup, TIMEOUT, TestStack};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::{assert_fails, audited, document_of, without_workers};
use crate::requests::bank;

const MERCHANT: [&str; 2] = ["--merchant", "e2e"];
const URL: &str = "https://hooks.example/khata?token=hush-hush";

fn webhook(stack: &TestStack, command: &[&str], options: &[&str]) -> Result<Value> {
    let group = ["webhook"];
    document_of(stack, &[&group, command, &MERCHANT, options].concat())
}

fn event(stack: &TestStack, command: &[&str], options: &[&str]) -> Result<Value> {
    let group = ["event"];
    document_of(stack, &[&group, command, &MERCHANT, options].concat())
}

#[tokio::test]
async fn an_endpoint_is_added_changed_and_deleted_by_commands() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let password = stack.write_file("password", "open sesame\n")?;
    let options = [
        "--url",
        URL,
        "--type",
        "CUSTOMER_ACCOUNT_ACTIVE,CUSTOMER_ACCOUNT_FAILURE",
        "--payload",
        "masked",
        "--ed25519",
        "true",
        "--basic-user",
        "khata",
        "--basic-password-file",
        &password,
    ];
    let added = webhook(&stack, &["add"], &options)?;
    let id = text(&added, "/id");
    let first_secret = text(&added, "/secret");
    assert!(first_secret.starts_with("whsec_"), "{added}");
    assert!(text(&added, "/public_key").starts_with("whpk_"), "{added}");
    // Only the commands that make a secret show one.
    let shown = webhook(&stack, &["show", id], &[])?;
    assert_eq!(shown["secret"], Value::Null);
    assert_eq!(shown["url"], "https://hooks.example/khata?***");
    assert_eq!(shown["payload"], "MASKED");
    assert_eq!(shown["basic_user"], "khata");
    assert_eq!(
        (&shown["concurrency"], &shown["is_ordered"]),
        (&json!(32), &json!(true))
    );
    assert_eq!(shown["public_key"], added["public_key"]);

    let set = |options: &[&str]| webhook(&stack, &["set", id], options);
    let options = [
        "--payload",
        "thin",
        "--all-types",
        "--concurrency",
        "4",
        "--calls-per-second",
        "50",
    ];
    let changed = set(&options)?;
    assert_eq!(
        changed["changed"]["payload"],
        json!({"from": "MASKED", "to": "THIN"})
    );
    assert_eq!(
        changed["changed"]["calls_per_second"],
        json!({"from": null, "to": 50})
    );
    assert_eq!(changed["event_names"], json!([]));
    let again = stack.command(&[&["webhook", "set", id], &MERCHANT[..], &options].concat())?;
    assert!(again.contains("Nothing to change"), "{again}");
    let changed = set(&[
        "--url",
        "https://hooks.example/khata?token=other",
        "--no-basic",
        "--calls-per-second",
        "0",
    ])?;
    assert_eq!(changed["changed"]["url"], "changed");
    assert_eq!(changed["changed"]["credentials"], "changed");
    assert_eq!(
        changed["changed"]["calls_per_second"],
        json!({"from": 50, "to": null})
    );
    let pair = webhook(&stack, &["rotate-secret", id], &["--ed25519"])?;
    assert_ne!(pair["public_key"], added["public_key"]);
    assert_eq!(pair.get("secret"), None, "the secret stays");
    let shown = webhook(&stack, &["show", id], &[])?;
    assert_eq!(shown["public_key"], pair["public_key"]);
    assert_eq!(shown["old_public_key_until"], pair["old_public_key_until"]);
    assert!(shown["old_public_key_until"].is_string(), "{shown}");
    assert_eq!(set(&["--ed25519", "false"])?["public_key"], Value::Null);
    let none = [
        &["webhook", "rotate-secret", id, "--ed25519"],
        &MERCHANT[..],
    ]
    .concat();
    assert_fails(&stack, &none, 1, "has no key pair")?;

    let rotated = webhook(&stack, &["rotate-secret", id], &[])?;
    assert_ne!(rotated["secret"], added["secret"]);
    let until = webhook(&stack, &["show", id], &[])?["old_secret_until"].clone();
    assert_eq!(until, rotated["old_secret_until"]);
    let at_once = webhook(&stack, &["rotate-secret", id], &["--overlap-hours", "0"])?;
    assert_eq!(at_once["old_secret_until"], Value::Null);

    let disabled = webhook(&stack, &["disable", id], &[])?;
    assert_eq!(
        (&disabled["state"], &disabled["disabled_by"]),
        (&json!("DISABLED"), &json!("OPERATOR"))
    );
    assert_eq!(webhook(&stack, &["disable", id], &[])?["changed"], false);
    let test = [&["webhook", "test", id], &MERCHANT[..]].concat();
    assert_fails(&stack, &test, 1, "is disabled")?;
    let enabled = stack.command(&[&["webhook", "enable", id], &MERCHANT[..]].concat())?;
    assert!(
        enabled.contains("khata event replay --merchant e2e"),
        "{enabled}"
    );
    let waiting = [&test[..], &["--wait", "1"]].concat();
    assert_fails(&stack, &waiting, 1, "no worker made a call within 1 s")?;

    let listed = webhook(&stack, &["list"], &[])?;
    assert_eq!(
        listed["webhook_endpoints"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(webhook(&stack, &["delete", id], &[])?["deleted"], true);
    let show = [&["webhook", "show", id], &MERCHANT[..]].concat();
    assert_fails(&stack, &show, 1, "has no webhook endpoint")?;

    let log = audited(&stack, "webhook.%")?;
    let actions: Vec<&str> = log.iter().map(|line| text(line, "/0")).collect();
    assert_eq!(
        actions,
        [
            "webhook.add",
            "webhook.set",
            "webhook.set",
            "webhook.rotate-secret",
            "webhook.set",
            "webhook.rotate-secret",
            "webhook.rotate-secret",
            "webhook.disable",
            "webhook.enable",
            "webhook.test",
            "webhook.delete"
        ],
        "{log:?}"
    );
    assert_eq!(log[0][2]["changes"]["secret"], "changed");
    // No secret is in the database in plain text.
    let dump = stack.database.dump()?.join("\n");
    for secret in [
        first_secret,
        text(&at_once, "/secret"),
        "hush-hush",
        "open sesame",
    ] {
        assert!(!dump.contains(secret), "{secret}");
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_needs_a_public_url_and_there_are_at_most_twenty() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let add = [&["webhook", "add"], &MERCHANT[..], &["--url"]].concat();
    for (url, says) in [
        ("hooks.example", "the URL must be absolute"),
        ("ftp://hooks.example/", "must begin with https://"),
        (
            "https://user:password@hooks.example/",
            "no user and no password",
        ),
        ("https://10.0.0.1/", "a private address"),
        ("https://169.254.169.254/latest", "a link-local address"),
    ] {
        assert_fails(&stack, &[&add[..], &[url]].concat(), 1, says)?;
    }
    for (option, value) in [
        ("--type", "ACTIVE"),
        ("--payload", "small"),
        ("--concurrency", "257"),
        ("--calls-per-second", "10001"),
    ] {
        assert_fails(
            &stack,
            &[&add[..], &[URL, option, value]].concat(),
            2,
            option,
        )?;
    }
    // Outside sandbox mode, this machine is no public address.
    let local = "khata webhook add --merchant e2e --actor asha --url http://127.0.0.1:8080/";
    let ran = stack.shell(local, &[("KHATA_SANDBOX_MODE", "false")])?;
    assert!(ran.stderr.contains("must begin with https://"), "{ran:?}");
    for _ in 0..20 {
        webhook(&stack, &["add"], &["--url", URL])?;
    }
    assert_fails(
        &stack,
        &[&add[..], &[URL]].concat(),
        1,
        "20 webhook endpoints",
    )
}

#[tokio::test]
async fn events_are_listed_shown_and_replayed() -> Result<()> {
    let stack = TestStack::start(without_workers()).await?;
    let added = webhook(&stack, &["add"], &["--url", URL])?;
    let endpoint = text(&added, "/id");
    let account = stack
        .api
        .create("known", &bank("50000001", "AABF0008032"))
        .await?;
    let account = account.account()?;

    let listed = event(&stack, &["list"], &["--since", "1h"])?;
    let created = &listed["events"][0];
    assert_eq!(created["event_name"], "CUSTOMER_ACCOUNT_CREATED");
    assert_eq!(created["subject_id"], account["id"]);
    assert_eq!(created["version"], 1);
    let id = text(created, "/id");
    for options in [
        ["--type", "CUSTOMER_ACCOUNT_ACTIVE"],
        ["--until", "1h"],
        ["--before", id],
    ] {
        let none = event(&stack, &["list"], &options)?;
        assert_eq!(none["events"], json!([]), "{options:?}");
    }
    assert_eq!(listed["next_before"], Value::Null, "the list is whole");
    let one = [&["event", "list"], &MERCHANT[..], &["--limit", "1"]].concat();
    let cut = stack.command(&one)?;
    let hint = format!("There may be earlier events: add --before {id}.");
    assert!(cut.ends_with(&hint), "{cut}");
    assert_eq!(document_of(&stack, &one)?["next_before"], id);
    let table = stack.command(&["webhook", "list"])?;
    let line = table.lines().find(|line| line.contains(endpoint)).unwrap();
    assert_eq!(line.split_whitespace().nth(1), Some("e2e"), "{table}");

    let shown = event(&stack, &["show", id], &[])?;
    assert_eq!(document_of(&stack, &["event", "show", id])?, shown);
    let delivery = &shown["deliveries"][0];
    assert_eq!(delivery["endpoint_id"], endpoint);
    assert_eq!(
        (&delivery["state"], &delivery["attempts"]),
        (&json!("OPEN"), &json!(0))
    );
    let open = webhook(&stack, &["deliveries"], &["--state", "open", "--attempts"])?;
    assert_eq!(open["deliveries"][0]["event_id"], id);
    let other = "evt_01k82u7s7aeqraoh1tia1a3hc8";
    let show = [&["event", "show", other], &MERCHANT[..]].concat();
    assert_fails(&stack, &show, 1, "has no event")?;
    assert_fails(&stack, &show[..3], 1, "no merchant has event")?;

    // What is due is not opened again; what waits for its next attempt becomes due.
    let replay = |options: &[&str]| event(&stack, &["replay"], options);
    assert_eq!(replay(&["--since", "1h"])?["deliveries"], 0);
    let later = "update webhook_deliveries set attempts = 9, failures = 9, due_at = now() + interval '10 hours'";
    stack.database.execute(later)?;
    assert_eq!(
        replay(&["--since", "1h", "--undelivered", "--dry-run"])?["deliveries"],
        1
    );
    assert_eq!(
        replay(&["--since", "1h", "--undelivered"])?["deliveries"],
        1
    );
    let due = "select count(*) from webhook_deliveries where due_at <= now() and attempts = 9 and failures = 0";
    assert_eq!(stack.database.number(due)?, 1);
    let delivered = "update webhook_deliveries set state = 'DELIVERED', delivered_at = now()";
    stack.database.execute(delivered)?;
    assert_eq!(
        replay(&["--since", "1h", "--undelivered"])?["deliveries"],
        0
    );
    assert_eq!(replay(&[id, "--endpoint", endpoint])?["deliveries"], 1);
    let which = [&["event", "replay"], &MERCHANT[..]].concat();
    assert_fails(&stack, &which, 2, "--since")?;

    let log = audited(&stack, "event.%")?;
    let subjects: Vec<&str> = log.iter().map(|line| text(line, "/1")).collect();
    assert_eq!(subjects.len(), 4, "{log:?}");
    assert_eq!(subjects[3], id);
    assert_eq!(log[1][2]["undelivered"], true);

    // Another merchant has neither the event nor the endpoint.
    stack.issue_key("other")?;
    let shown = stack.command(&["webhook", "show", endpoint, "--json"])?;
    assert!(shown.contains(endpoint), "an id needs no merchant: {shown}");
    for command in [["event", "show", id], ["webhook", "show", endpoint]] {
        let command = [&command[..], &["--merchant", "other"]].concat();
        assert_fails(&stack, &command, 1, "other has no")?;
    }
    Ok(())
}

/// The running sample for Python.
struct Sample {
    url: String,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Sample {
    async fn start(stack: &TestStack, secret: &str) -> Result<Self> {
        let file = "../docs/samples/webhooks/python/receiver.py";
        let mut process = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
            .env("KHATA_WEBHOOK_SECRET", secret)
            .env("PORT", "0")
            .env(
                "DATABASE",
                stack
                    .folder()
                    .join(format!("{}.db", &secret[6..14].replace(['/', '+'], "_"))),
            )
            .current_dir(stack.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().context("no output")?;
        let mut sample = Self {
            url: String::new(),
            lines: BufReader::new(output).lines(),
            _process: process,
        };
        let line = sample.line().await?;
        sample.url = line.replace("listening on ", "");
        Ok(sample)
    }

    async fn line(&mut self) -> Result<String> {
        let line = tokio::time::timeout(TIMEOUT, self.lines.next_line()).await;
        line.context("the sample prints nothing")??
            .context("the sample has ended")
    }

    /// Returns the versions of the account that the sample got, up to this event.
    async fn versions(&mut self, account: &str, last: &str) -> Result<Vec<u32>> {
        let mut versions = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((before, version)) = line.split_once(" version ") else {
                continue;
            };
            if before.ends_with(account) {
                versions.push(version.parse()?);
                if before.contains(last) {
                    return Ok(versions);
                }
            }
        }
    }
}

#[tokio::test]
async fn the_python_sample_gets_what_workers_and_listen_send() -> Result<()> {
    let mut stack = TestStack::start(Setup::default()).await?;
    let added = webhook(&stack, &["add"], &["--url", "http://127.0.0.1:2000/"])?;
    let id = text(&added, "/id").to_owned();
    let mut sample = Sample::start(&stack, text(&added, "/secret")).await?;
    webhook(&stack, &["set", &id], &["--url", &sample.url])?;
    let tested = webhook(&stack, &["test", &id], &[])?;
    assert_eq!(tested["outcome"], "DELIVERED", "{tested}");
    assert_eq!(tested["delivery"]["status"], 204);
    let expected = format!("{} WEBHOOK_ENDPOINT_TEST", text(&tested, "/event_id"));
    assert_eq!(sample.line().await?, expected);

    let form = bank("50000001", "AABF0008032");
    let account = stack.api.create("known", &form).await?.account()?;
    let account = text(&account, "/id");
    let active = "CUSTOMER_ACCOUNT_ACTIVE";
    let versions = sample.versions(account, active).await?;
    let expected: Vec<u32> = (1..).take(versions.len()).collect();
    assert_eq!(versions, expected, "in order, and none is missing");
    assert!(versions.len() >= 2);

    drop(sample);
    let test = [&["webhook", "test", &id], &MERCHANT[..]].concat();
    assert_fails(&stack, &test, 1, "the attempt failed (connect")?;

    // A developer who has no public address.
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let mut sample = Sample::start(&stack, secret).await?;
    let key_file = stack.write_file("key", &stack.api.key)?;
    let (api, target) = (stack.api.url.clone(), sample.url.clone());
    let listen = [
        "webhook",
        "listen",
        "--api",
        &api,
        "--key-file",
        &key_file,
        "--forward-to",
        &target,
        "--since",
        "1h",
    ];
    let settings = [("KHATA_WEBHOOK_SECRET", Some(secret))];
    let listening = stack.start_program("khata", &listen, &settings)?;
    assert_eq!(sample.versions(account, active).await?, versions);
    assert!(listening.log().contains(" -> 204 ("), "{}", listening.log());
    Ok(())
}
