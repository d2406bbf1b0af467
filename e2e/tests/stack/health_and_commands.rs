//! What who runs Khata types: the commands of `khata-api`, and health.

use anyhow::{Context, Result};
use khata_e2e::{PATIENCE, Setup, World, eventually};
use reqwest::Method;

#[tokio::test]
async fn commands_can_be_repeated_and_refuse_what_cannot_work() -> Result<()> {
    let world = World::start(Setup {
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let run = |arguments: &[&str]| world.command(arguments);
    let json = |printed: &str| serde_json::from_str::<serde_json::Value>(printed);

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

    assert!(run(&["key", "issue", "--merchant", "nobody"]).is_err());
    let [one, other] = [world.issue_key("shop")?, world.issue_key("shop")?];
    assert!(one != other && one.starts_with("kh_test_"), "{one}");
    for key in [&one, &other] {
        let answer = world.api.with_key(key).list("nobody", "").await?;
        assert_eq!(answer.status, 404, "both keys work: {}", answer.text);
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

    // Migrating what is migrated, also twice at once, is nothing.
    let migrations = std::thread::scope(|scope| {
        let both = [
            scope.spawn(|| run(&["migrate"])),
            scope.spawn(|| run(&["migrate"])),
        ];
        both.map(|thread| thread.join().unwrap())
    });
    assert!(migrations.iter().all(Result::is_ok), "{migrations:?}");
    Ok(())
}

#[tokio::test]
async fn health_is_told_to_machines() -> Result<()> {
    let world = World::start(Setup {
        proxies: true,
        ..Setup::default()
    })
    .await?;
    let listen = world.api.url.trim_start_matches("http://").to_owned();
    let healthcheck = || world.command(&["healthcheck", "--listen", &listen]);
    healthcheck()?;
    let all_well = serde_json::json!({"postgres": "up", "schema": "current", "rabbitmq": "up"});
    eventually(PATIENCE, "all being well", async || {
        let ready = world.api.look("/health/ready").await?.expect_status(200)?;
        anyhow::Ok((ready.json()["checks"] == all_well).then_some(()))
    })
    .await?;
    let worker = world.api.at(&world.workers[0].url);
    worker.look("/health/live").await?.expect_status(200)?;
    worker.look("/health/ready").await?.expect_status(200)?;
    let worker_listens = world.workers[0]
        .url
        .trim_start_matches("http://")
        .to_owned();
    let worker_healthcheck = || {
        let asked = ["healthcheck", "--listen", &worker_listens];
        world.try_program("khata-worker", &asked)
    };
    let ready = worker_healthcheck()?;
    assert!(
        ready.code == Some(0) && ready.printed.contains("\"ready\""),
        "{ready:?}"
    );
    world.proxies()?.postgres.cut();
    assert!(healthcheck().is_err());
    let away = worker_healthcheck()?;
    assert!(
        away.code == Some(1) && away.complaint.contains("\"postgres\":\"down\""),
        "{away:?}"
    );
    assert_eq!(worker.look("/health/ready").await?.status, 503);
    worker.look("/health/live").await?.expect_status(200)?;
    world.proxies()?.postgres.restore();
    world.wait_until_ready(&world.api.url).await?;
    healthcheck()?;
    assert!(
        world
            .command(&["healthcheck", "--listen", "127.0.0.1:9"])
            .is_err()
    );
    Ok(())
}

#[tokio::test]
async fn what_runs_is_told_without_a_key() -> Result<()> {
    let world = World::start(Setup::default()).await?;
    let services = [
        ("khata-api", &world.apis[0]),
        ("khata-worker", &world.workers[0]),
    ];
    for (program, service) in services {
        let told = world.api.at(&service.url).look("/version").await?;
        let told = told.expect_status(200)?.json();
        let field = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            told.as_object().map(serde_json::Map::len),
            Some(4),
            "{told}"
        );
        let (commit, built_at) = (field("commit"), field("built_at"));
        assert!(!commit.is_empty() && built_at.ends_with('Z'), "{told}");

        // The same as --version, where a person is shown the beginning of the commit's id.
        let printed = world.try_program(program, &["--version"])?.printed;
        let rest = printed.strip_prefix(&format!("{program} {} (commit ", field("version")));
        let (shown, built) = rest
            .and_then(|rest| rest.split_once(", built "))
            .with_context(|| printed.clone())?;
        assert_eq!(built, format!("{built_at})"));
        let shown = shown.trim_end_matches("-changed");
        assert!(commit.starts_with(shown), "{printed} {told}");
        assert_eq!(field("name"), program);
    }
    let posted = world.api.bare(Method::POST, "/version");
    assert_eq!(world.api.send(posted).await?.status, 405);
    Ok(())
}
