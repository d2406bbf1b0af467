//! A database per test: cloned from a template with the schema, dropped when the test ends.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use khata_store::{self as store, Pool};
use uuid::Uuid;

/// Advisory lock for making the template.
const TEMPLATE_LOCK: i64 = 7_016_994_829_332;

/// A database for one test.
pub struct Database {
    name: String,
    url: String,
}

impl Database {
    /// Creates a database with the schema and no rows.
    pub fn new() -> Self {
        static TEMPLATE: OnceLock<String> = OnceLock::new();
        let template = TEMPLATE.get_or_init(template);
        Self::create(&format!("template \"{template}\""))
    }

    /// Creates a database without a schema.
    pub fn empty() -> Self {
        Self::create("")
    }

    fn create(options: &str) -> Self {
        let name = format!("khata_test_{}", Uuid::now_v7().simple());
        server()
            .batch_execute(&format!("create database \"{name}\" {options}"))
            .unwrap();
        let url = with_database(&server_url(), &name);
        Self { name, url }
    }

    /// Returns the URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns host and port of the server.
    pub fn address(&self) -> String {
        host(&self.url).to_owned()
    }

    /// Returns the URL for another role. The local stack's roles have one password.
    pub fn url_as(&self, role: &str) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let password = rest.split_once(':').unwrap().1;
        format!("{scheme}://{role}:{password}")
    }

    /// Returns the URL through a proxy on this port.
    pub fn url_through(&self, port: u16) -> String {
        self.url
            .replacen(host(&self.url), &format!("127.0.0.1:{port}"), 1)
    }

    /// Opens a new connection.
    pub fn connect(&self) -> PgConnection {
        PgConnection::establish(&self.url).unwrap()
    }

    /// Opens a pool as the services do.
    pub fn pool(&self) -> Pool {
        store::open(&self.url, "khata-test", 2)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("drop database \"{}\" with (force)", self.name);
        // A pool that still exists may connect again between `force` and the drop.
        let dropped = (0..20).any(|_| {
            let dropped = PgConnection::establish(&server_url())
                .is_ok_and(|mut server| server.batch_execute(&drop).is_ok());
            if !dropped {
                std::thread::sleep(Duration::from_millis(100));
            }
            dropped
        });
        if !dropped {
            eprintln!("cannot drop the test database {}", self.name);
        }
    }
}

/// Returns the template's name. The first test that needs the template makes it; other migrations have another name.
fn template() -> String {
    let name = format!("khata_template_{:016x}", fingerprint_of_migrations());
    let mut server = server();
    diesel::select(sql::<Text>(&format!(
        "pg_advisory_lock({TEMPLATE_LOCK})::text"
    )))
    .execute(&mut server)
    .unwrap();
    let exists: bool = diesel::select(sql::<Bool>(&format!(
        "exists (select from pg_database where datname = '{name}')"
    )))
    .get_result(&mut server)
    .unwrap();
    if !exists {
        // Made under another name and renamed when complete, so that a killed run leaves no incomplete template.
        let draft = format!("{name}_draft");
        for statement in [
            format!("drop database if exists \"{draft}\" with (force)"),
            format!("create database \"{draft}\""),
        ] {
            server.batch_execute(&statement).unwrap();
        }
        store::migrate(&with_database(&server_url(), &draft)).unwrap();
        for statement in [
            format!("alter database \"{draft}\" with allow_connections false"),
            format!("alter database \"{draft}\" rename to \"{name}\""),
        ] {
            server.batch_execute(&statement).unwrap();
        }
        drop_old_templates(&mut server, &name);
    }
    name
}

/// Drops the templates of other migrations.
fn drop_old_templates(server: &mut PgConnection, newest: &str) {
    let names: String = diesel::select(sql::<Text>(&format!(
        "coalesce((select string_agg(datname, ',') from pg_database
          where datname ~ '^khata_template_[0-9a-f]+$' and datname <> '{newest}'), '')"
    )))
    .get_result(server)
    .unwrap();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        // Another process may be cloning it; then the next run drops it.
        let _ = server.batch_execute(&format!("drop database \"{name}\""));
    }
}

fn fingerprint_of_migrations() -> u64 {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations"));
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let folder = entry.unwrap().path();
        if let Ok(sql) = std::fs::read(folder.join("up.sql")) {
            files.insert(folder.file_name().unwrap().to_owned(), sql);
        }
    }
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    store::rights::RIGHTS.hash(&mut hasher);
    hasher.finish()
}

fn server_url() -> String {
    std::env::var("KHATA_TEST_DATABASE_URL").expect(
        "KHATA_TEST_DATABASE_URL is not set: run `make test`, or start the local services and set it to their KHATA_OWNER_URL",
    )
}

fn server() -> PgConnection {
    PgConnection::establish(&server_url()).unwrap()
}

/// Returns `host:port` of a URL.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap();
    authority.rsplit('@').next().unwrap()
}

fn with_database(url: &str, name: &str) -> String {
    let start = url.find(host(url)).unwrap() + host(url).len();
    let query = url[start..]
        .find('?')
        .map_or("", |place| &url[start + place..]);
    format!("{}/{name}{query}", &url[..start])
}

/// Evaluates an SQL expression to a number.
pub fn number(connection: &mut PgConnection, expression: &str) -> i64 {
    diesel::select(sql::<BigInt>(&format!("({expression})::bigint")))
        .get_result(connection)
        .unwrap()
}
