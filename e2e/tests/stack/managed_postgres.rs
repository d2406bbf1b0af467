//! The SQL of docs/deployment.md for a managed Postgres, run by a role with the rights of its master user: CREATEROLE and CREATEDB, and
//! no superuser.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use khata_e2e::{Setup, TestStack, as_role, texts};

use crate::runbook;

/// The role of deploy/local with the rights of a master user.
const MASTER: &str = "khata_master";

/// The database and roles that the SQL creates, under other names than the server has already.
struct Created {
    prefix: String,
    master: String,
}

impl Drop for Created {
    fn drop(&mut self) {
        let Ok(mut master) = PgConnection::establish(&self.master) else {
            return;
        };
        let prefix = &self.prefix;
        let _ = master.batch_execute(&format!("grant {prefix}_owner to current_user"));
        let _ = master.batch_execute(&format!("drop database if exists {prefix} with (force)"));
        for role in ["owner", "api", "worker", "operator", "scaler"] {
            let _ = master.batch_execute(&format!("drop role if exists {prefix}_{role}"));
        }
    }
}

#[tokio::test]
async fn a_master_user_who_is_no_superuser_creates_the_roles() -> Result<()> {
    let stack = TestStack::start(Setup {
        apis: 0,
        workers: 0,
        ..Setup::default()
    })
    .await?;
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(repository.join("docs/deployment.md"))?;
    let section = runbook::section(&page, "### Managed services");
    let commands = runbook::blocks(section, "sh");
    let commands = commands
        .into_iter()
        .find(|block| block.contains("roles.sql"));
    let commands = commands.context("the page has no command with roles.sql")?;

    let prefix = format!(
        "m{}",
        stack.database.url.path().trim_start_matches("/khata_test_")
    );
    let mut server = as_role(&stack.database.url, MASTER);
    server.set_path("/postgres");
    let password = server.password().context("a password")?.to_owned();
    let created = Created {
        prefix: prefix.clone(),
        master: server.to_string(),
    };
    let rights =
        "select rolsuper, rolcreaterole, rolcreatedb from pg_roles where rolname = current_user";
    assert_eq!(
        texts(server.as_str(), &format!("select r from ({rights}) r"))?,
        ["(f,t,t)"]
    );

    let sql = std::fs::read_to_string(repository.join("deploy/postgres/roles.sql"))?;
    stack.write_file("roles.sql", &sql.replace("khata", &prefix))?;
    let master = "\"postgres://postgres@$HOST/postgres\"";
    ensure!(commands.contains(master), "{commands}");
    let commands = commands
        .replace(master, &format!("\"{server}\""))
        .replace("deploy/postgres/roles.sql", "roles.sql")
        .replace('…', &password);
    let ran = stack.shell(&commands, &[])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.stderr.contains("WARNING"), "{ran:?}");

    // Every role of the services and of KEDA connects to the database, and no other role of the server.
    let mut database = server.clone();
    database.set_path(&prefix);
    for role in ["owner", "api", "worker", "operator", "scaler"] {
        let url = as_role(&database, &format!("{}_{role}", created.prefix));
        assert_eq!(texts(url.as_str(), "select 1")?, ["1"], "{role}");
    }
    for other in [MASTER, "khata_operator"] {
        let refused = texts(as_role(&database, other).as_str(), "select 1").unwrap_err();
        assert!(
            format!("{refused:#}").contains("permission denied"),
            "{other}: {refused:#}"
        );
    }
    // The owner migrates, as the Job does.
    let owner = as_role(&database, &format!("{prefix}_owner"));
    let ran = stack.shell("khata migrate", &[("KHATA_DATABASE_URL", owner.as_str())])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    Ok(())
}
