//! Health of the services, their version, and commands that an operator repeats.

use std::io::Read;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use khata_e2e::{Database, Setup, TIMEOUT, TestStack, eventually, path_of};
use reqwest::Method;

#[tokio::test]
async fn commands_are_repeatable_and_reject_invalid_input() -> Result<()> {
    let stack = TestStack::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let run = |arguments: &[&str]| stack.command(arguments);
    let json = |stdout: &str| serde_json::from_str::<serde_json::Value>(stdout);

    let create = [
        "merchant",
        "create",
        "--name",
        "shop",
        "--if-absent",
        "--json",
    ];
    let first = json(&run(&create)?)?;
    let second = json(&run(&create)?)?;
    assert_eq!(
        (&first["created"], &second["created"]),
        (&true.into(), &false.into())
    );
    assert_eq!(first["id"], second["id"]);
    assert!(run(&["merchant", "create", "--name", "shop"]).is_err());
    assert!(run(&["merchant", "create", "--name", "No Such Name"]).is_err());

    assert!(run(&["key", "issue", "--merchant", "unknown"]).is_err());
    let [one, other] = [stack.issue_key("shop")?, stack.issue_key("shop")?];
    assert!(one != other && one.starts_with("kh_test_"), "{one}");
    for key in [&one, &other] {
        let reply = stack.api.with_key(key).list("unknown", "").await?;
        assert_eq!(reply.status, 404, "both keys work: {}", reply.text);
    }

    let add = [
        "gateway",
        "add",
        "--merchant",
        "shop",
        "--reference-id",
        "r",
        "--gateway",
    ];
    for refused in [
        &["PAYPAL"][..],
        &["CASHFREE"],
        &["DUMMY", "--settings", "{"],
        &["DUMMY", "--settings", r#"{"call_timeout_ms":1}"#],
        &["DUMMY", "--settings", r#"{"poll":[1]}"#],
    ] {
        let arguments = [&add, refused].concat();
        assert!(run(&arguments).is_err(), "{refused:?}");
    }
    let dummy = [&add[..], &["100", "--if-absent", "--json"]].concat();
    assert_eq!(json(&run(&dummy)?)?["created"], true);
    assert_eq!(json(&run(&dummy)?)?["created"], false);

    // Migrating a current schema changes nothing, even twice at once.
    let migrations = std::thread::scope(|scope| {
        let both = [
            scope.spawn(|| run(&["migrate"])),
            scope.spawn(|| run(&["migrate"])),
        ];
        both.map(|thread| thread.join().unwrap())
    });
    assert!(migrations.iter().all(Result::is_ok), "{migrations:?}");
    let empty = Database::create_empty()?;
    let own = [("KHATA_DATABASE_URL", empty.url.as_str())];
    let output = stack.shell("khata migrate", &own)?;
    assert!(output.stdout.contains("Ran "), "{output:?}");
    // A role that does not exist fails a job that requires it, after the migration.
    for (roles, code) in [("khata_api,khata_worker", 0), ("khata_api,khata_absent", 1)] {
        let output = stack.shell(&format!("khata migrate --require-roles {roles}"), &own)?;
        assert_eq!(output.code, Some(code), "{output:?}");
        assert_eq!(
            output.stderr.contains("khata_absent"),
            code == 1,
            "{output:?}"
        );
    }
    Ok(())
}

#[test]
fn a_reader_may_close_the_pipe_of_a_program() -> Result<()> {
    for (program, arguments) in [
        ("khata-api", &["openapi"][..]),
        ("khata", &["completions", "bash"]),
    ] {
        let mut running = Command::new(path_of(program)?)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut pipe = running.stdout.take().context("no standard output")?;
        pipe.read_exact(&mut [0; 10])?;
        drop(pipe);
        let output = running.wait_with_output()?;
        let is_silent = output.status.success() && output.stderr.is_empty();
        assert!(is_silent, "{program}: {output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn health_endpoints_and_healthcheck_report_the_parts() -> Result<()> {
    let stack = TestStack::start(Setup {
        proxies: true,
        ..Setup::default()
    })
    .await?;
    let listen = stack.api.url.trim_start_matches("http://").to_owned();
    let healthcheck_of = |listen: &str| {
        let output = stack.try_program("khata-api", &["healthcheck", "--listen", listen])?;
        anyhow::ensure!(output.code == Some(0), "{output:?}");
        anyhow::Ok(())
    };
    let healthcheck = || healthcheck_of(&listen);
    healthcheck()?;
    let all_well = serde_json::json!({
        "postgres": "up", "schema": "current", "rights": "granted", "keyring": "right", "rabbitmq": "up", "creates": "up",
    });
    eventually(TIMEOUT, "all parts being up", async || {
        let ready = stack
            .api
            .get_path("/health/ready")
            .await?
            .expect_status(200)?;
        anyhow::Ok((ready.json()["checks"] == all_well).then_some(()))
    })
    .await?;
    // Kubernetes asks at the port of the metrics, which no merchant can fill.
    let apart = stack.api.at(&format!("http://{}", stack.apis[0].metrics));
    apart.get_path("/health/live").await?.expect_status(200)?;
    let ready = apart.get_path("/health/ready").await?.expect_status(200)?;
    assert_eq!(ready.json()["checks"], all_well);
    let worker = stack.api.at(&stack.workers[0].url);
    worker.get_path("/health/live").await?.expect_status(200)?;
    worker.get_path("/health/ready").await?.expect_status(200)?;
    let worker_listens = stack.workers[0]
        .url
        .trim_start_matches("http://")
        .to_owned();
    let worker_healthcheck = || {
        let asked = ["healthcheck", "--listen", &worker_listens];
        stack.try_program("khata-worker", &asked)
    };
    let ready = worker_healthcheck()?;
    assert!(
        ready.code == Some(0) && ready.stdout.contains("\"ready\""),
        "{ready:?}"
    );
    stack.proxies()?.postgres.cut();
    assert!(healthcheck().is_err());
    let away = worker_healthcheck()?;
    assert!(
        away.code == Some(1) && away.stderr.contains("\"postgres\":\"down\""),
        "{away:?}"
    );
    assert_eq!(worker.get_path("/health/ready").await?.status, 503);
    worker.get_path("/health/live").await?.expect_status(200)?;
    stack.proxies()?.postgres.restore();
    stack.wait_until_ready(&stack.api.url).await?;
    healthcheck()?;
    assert!(healthcheck_of("127.0.0.1:9").is_err());
    Ok(())
}

#[tokio::test]
async fn the_version_is_public() -> Result<()> {
    let stack = TestStack::start(Setup::default()).await?;
    let services = [
        ("khata-api", &stack.apis[0]),
        ("khata-worker", &stack.workers[0]),
    ];
    for (program, service) in services {
        let version = stack.api.at(&service.url).get_path("/version").await?;
        let version = version.expect_status(200)?.json();
        let field = |name: &str| version[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            version.as_object().map(serde_json::Map::len),
            Some(4),
            "{version}"
        );
        let (commit, built_at) = (field("commit"), field("built_at"));
        assert!(!commit.is_empty() && built_at.ends_with('Z'), "{version}");

        // The same as --version, which shows the beginning of the commit's id.
        let stdout = stack.try_program(program, &["--version"])?.stdout;
        let rest = stdout.strip_prefix(&format!("{program} {} (commit ", field("version")));
        let (shown, built) = rest
            .and_then(|rest| rest.split_once(", built "))
            .with_context(|| stdout.clone())?;
        assert_eq!(built, format!("{built_at})"));
        let shown = shown.trim_end_matches("-changed");
        assert!(commit.starts_with(shown), "{stdout} {version}");
        assert_eq!(field("name"), program);
    }
    let posted = stack.api.bare(Method::POST, "/version");
    assert_eq!(stack.api.send(posted).await?.status, 405);
    Ok(())
}
