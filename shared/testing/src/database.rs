//! A database per test: cloned from a template that is migrated once, dropped when the test ends.

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

/// The advisory lock of who makes the template.
const TEMPLATE_LOCK: i64 = 7_016_994_829_332;

/// A database of the test's own.
pub struct Database {
    name: String,
    url: String,
}

impl Database {
    /// One with the schema and nothing in it.
    pub fn new() -> Self {
        static TEMPLATE: OnceLock<String> = OnceLock::new();
        let template = TEMPLATE.get_or_init(template);
        Self::create(&format!("template \"{template}\""))
    }

    /// One without a schema.
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

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host and port of its server.
    pub fn address(&self) -> String {
        host(&self.url).to_owned()
    }

    /// Where it is, seen through a proxy on this port.
    pub fn url_through(&self, port: u16) -> String {
        self.url
            .replacen(host(&self.url), &format!("127.0.0.1:{port}"), 1)
    }

    /// A connection of its own.
    pub fn connect(&self) -> PgConnection {
        PgConnection::establish(&self.url).unwrap()
    }

    /// A pool as the services have it.
    pub fn pool(&self) -> Pool {
        store::open(&self.url, "khata-test", 2)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("drop database \"{}\" with (force)", self.name);
        // A pool that is not gone yet may connect again between being thrown out and the drop.
        let dropped = (0..20).any(|_| {
            let dropped = PgConnection::establish(&server_url())
                .is_ok_and(|mut server| server.batch_execute(&drop).is_ok());
            if !dropped {
                std::thread::sleep(Duration::from_millis(100));
            }
            dropped
        });
        if !dropped {
            eprintln!("the test's database {} is left behind", self.name);
        }
    }
}

/// The template's name. It is made by the first test of the first process that needs it; one of other migrations has
/// another name.
fn template() -> String {
    let name = format!("khata_template_{:016x}", fingerprint_of_migrations());
    let mut server = server();
    diesel::select(sql::<Text>(&format!(
        "pg_advisory_lock({TEMPLATE_LOCK})::text"
    )))
    .execute(&mut server)
    .unwrap();
    let stands: bool = diesel::select(sql::<Bool>(&format!(
        "exists (select from pg_database where datname = '{name}')"
    )))
    .get_result(&mut server)
    .unwrap();
    if !stands {
        // Made beside its name and renamed when whole, so that a run that is killed leaves no half of it.
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

/// Of migrations as they were before.
fn drop_old_templates(server: &mut PgConnection, newest: &str) {
    let names: String = diesel::select(sql::<Text>(&format!(
        "coalesce((select string_agg(datname, ',') from pg_database
          where datname ~ '^khata_template_[0-9a-f]+$' and datname <> '{newest}'), '')"
    )))
    .get_result(server)
    .unwrap();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        // Somebody may be cloning it just now; then the next one drops it.
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
    hasher.finish()
}

fn server_url() -> String {
    std::env::var("KHATA_TEST_DATABASE_URL").expect(
        "KHATA_TEST_DATABASE_URL is not set: say `make test`, or start `deploy/local/stack.sh services` and set it to \
         that KHATA_DATABASE_URL",
    )
}

fn server() -> PgConnection {
    PgConnection::establish(&server_url()).unwrap()
}

/// `host:port` of a URL.
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

/// What this SQL expression counts to.
pub fn number(connection: &mut PgConnection, expression: &str) -> i64 {
    diesel::select(sql::<BigInt>(&format!("({expression})::bigint")))
        .get_result(connection)
        .unwrap()
}
