//! Settings that can never work: a service refuses them when it starts, names the variable and what to do, and shows no secret. A service
//! checks its role and its keyring by the database before it is ready.

use anyhow::Result;
use khata_e2e::{Process, Setup, TIMEOUT, TestStack, as_role, eventually};

const SERVICES: [(&str, &[&str]); 2] = [("khata-api", &["serve"]), ("khata-worker", &[])];

async fn without_services() -> Result<TestStack> {
    TestStack::start(Setup {
        apis: 0,
        workers: 0,
        ..Setup::default()
    })
    .await
}

/// Starts a service on free ports with this setting changed.
fn start(
    stack: &mut TestStack,
    (program, arguments): (&str, &[&str]),
    setting: (&str, Option<&str>),
) -> Result<Process> {
    let changes = [
        ("KHATA_LISTEN", Some("127.0.0.1:0")),
        ("KHATA_WORKER_LISTEN", Some("127.0.0.1:0")),
        setting,
    ];
    stack.start_program(program, arguments, &changes)
}

#[tokio::test]
async fn a_setting_that_can_never_work_stops_the_start() -> Result<()> {
    let mut stack = without_services().await?;
    for (variable, value, says) in [
        (
            "KHATA_DATABASE_URL",
            Some("postgres://khata_api:p@hush/w#rd%zz@db/khata"),
            "percent-encode",
        ),
        (
            "KHATA_DATABASE_URL",
            Some("postgres://khata_api:p@hush@db/khata"),
            "percent-encode",
        ),
        (
            "KHATA_DATABASE_URL",
            Some("mysql://a:hush@db"),
            "expected postgres://",
        ),
        ("KHATA_DATABASE_URL", Some(""), "expected postgres://"),
        ("KHATA_DATABASE_URL", None, "not provided"),
        ("KHATA_AMQP_URL", Some("http://hush"), "expected amqp://"),
        ("KHATA_AMQP_URL", Some(""), "expected amqp://"),
        ("KHATA_QUEUE_PREFIX", Some(""), "expected 1 to 200"),
        ("KHATA_LOG", Some("warning"), "`warning` is not a level"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            Some("https://collector:4317"),
            "without TLS",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            Some("collector:4317"),
            "expected http://",
        ),
    ] {
        for service in SERVICES {
            let mut process = start(&mut stack, service, (variable, value))?;
            let status = process.wait(TIMEOUT).await?;
            let log = process.log();
            assert_eq!(status.code(), Some(2), "{variable}={value:?}: {log}");
            for part in [says, &format!("({variable})")] {
                assert!(log.contains(part), "{variable}={value:?}, {part}: {log}");
            }
            assert!(!log.contains("hush"), "a secret is shown: {log}");
        }
    }
    let missing = ("KHATA_KEYRING_FILE", Some("/nowhere/keyring.json"));
    for service in SERVICES {
        let mut process = start(&mut stack, service, missing)?;
        process.wait(TIMEOUT).await?;
        let log = process.log();
        assert_eq!(log.matches("No such file").count(), 1, "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_misspelt_setting_is_named() -> Result<()> {
    let mut stack = without_services().await?;
    for service in SERVICES {
        let process = start(&mut stack, service, ("KHATA_WORKER_CONCURENCY", Some("8")))?;
        eventually(TIMEOUT, "the warning", async || {
            let says =
                "KHATA_WORKER_CONCURENCY is not a setting; did you mean KHATA_WORKER_CONCURRENCY?";
            anyhow::Ok(process.log().contains(says).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_of_the_broker_is_logged_by_khata_alone() -> Result<()> {
    let mut stack = without_services().await?;
    let url = std::env::var("KHATA_TEST_AMQP_URL")?;
    let wrong = url.replacen('@', "-wrong@", 1);
    let worker = start(&mut stack, SERVICES[1], ("KHATA_AMQP_URL", Some(&wrong)))?;
    let log = eventually(TIMEOUT, "the refusal", async || {
        let log = worker.log();
        let says = ["ACCESS_REFUSED", "broker unavailable"];
        anyhow::Ok(says.iter().all(|says| log.contains(says)).then_some(log))
    })
    .await?;
    assert!(!log.contains("lapin::"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_service_in_the_role_of_another_is_not_ready() -> Result<()> {
    let mut stack = without_services().await?;
    let url = |role| as_role(&stack.database.url, role).to_string();
    let (api, worker) = (url("khata_worker"), url("khata_api"));
    stack
        .start_api_with(&[("KHATA_DATABASE_URL", &api)])
        .await?;
    stack
        .start_worker_with(&[("KHATA_DATABASE_URL", &worker)])
        .await?;
    for service in [&stack.apis[0], &stack.workers[0]] {
        let at = stack.api.at(&service.url);
        eventually(TIMEOUT, "the missing rights", async || {
            let ready = at.get_path("/health/ready").await?;
            let missing = ready.json()["checks"]["rights"] == "missing: see the log";
            anyhow::Ok((ready.status == 503 && missing).then_some(()))
        })
        .await?;
        at.get_path("/health/live").await?.expect_status(200)?;
        let log = service.process.log();
        assert!(log.contains("insert on "), "{log}");
    }
    // The worker takes no validation before it has its rights.
    assert!(!stack.workers[0].process.log().contains("query failed"));
    Ok(())
}

#[tokio::test]
async fn a_migration_in_another_role_than_the_owners_says_so() -> Result<()> {
    let stack = without_services().await?;
    let operator = as_role(&stack.database.url, "khata_operator");
    let url = [("KHATA_DATABASE_URL", operator.as_str())];
    let ran = stack.shell("khata migrate", &url)?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for says in ["permission denied", "the URL of the tables' owner"] {
        assert!(ran.stderr.contains(says), "{ran:?}");
    }
    Ok(())
}
