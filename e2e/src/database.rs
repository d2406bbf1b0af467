//! A database per test, cloned from a template that `khata migrate` created.

use std::time::UNIX_EPOCH;

use anyhow::Context;
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use reqwest::Url;
use uuid::Uuid;

use crate::process;
use crate::settings::settings;

/// Advisory lock of the template: a process holds it while it creates or clones the template.
const LOCK: i64 = 0x6b68_6174_6100;

/// A test's own database. Dropping the value drops the database.
#[derive(Debug)]
pub struct Database {
    admin_url: Url,
    name: String,
    /// URL of the database, past any proxy.
    pub url: Url,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Nullable<Text>)]
    value: Option<String>,
}

impl Database {
    /// Creates a database with Khata's schema at the server of `KHATA_TEST_DATABASE_URL`.
    pub(crate) fn create() -> anyhow::Result<Self> {
        let url = std::env::var("KHATA_TEST_DATABASE_URL").context(
            "KHATA_TEST_DATABASE_URL is not set: the end-to-end tests need a Postgres; run them with `make test`",
        )?;
        let admin_url: Url = url
            .parse()
            .context("KHATA_TEST_DATABASE_URL is not a URL")?;
        let template = template_name()?;
        let mut admin = PgConnection::establish(admin_url.as_str())
            .context("cannot reach Postgres at KHATA_TEST_DATABASE_URL")?;
        sql_query("select pg_advisory_lock($1)")
            .bind::<BigInt, _>(LOCK)
            .execute(&mut admin)?;
        // Closing the connection releases the lock.
        make_template(&mut admin, &admin_url, &template)?;
        let name = format!("khata_e2e_{}", Uuid::new_v4().simple());
        admin.batch_execute(&format!("create database {name} template {template}"))?;
        Ok(Self {
            url: named(&admin_url, &name),
            admin_url,
            name,
        })
    }

    /// Creates an empty database at the same server.
    pub fn create_empty(&self) -> anyhow::Result<Self> {
        let name = format!("khata_e2e_{}", Uuid::new_v4().simple());
        let mut admin = PgConnection::establish(self.admin_url.as_str())?;
        admin.batch_execute(&format!("create database {name}"))?;
        Ok(Self {
            url: named(&self.admin_url, &name),
            admin_url: self.admin_url.clone(),
            name,
        })
    }

    /// Opens a connection.
    pub fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::establish(self.url.as_str())?)
    }

    /// Returns the number in the only row and column of a query's result.
    pub fn number(&self, query: &str) -> anyhow::Result<i64> {
        let sql = format!("select ({query})::bigint as value");
        let row: Number = sql_query(sql)
            .get_result(&mut self.connect()?)
            .with_context(|| query.to_owned())?;
        Ok(row.value)
    }

    /// Returns the texts in the only column of a query's result, without nulls.
    pub fn texts(&self, query: &str) -> anyhow::Result<Vec<String>> {
        texts(self.url.as_str(), query)
    }

    /// Executes a statement that changes rows without the services.
    pub fn execute(&self, statement: &str) -> anyhow::Result<()> {
        self.connect()?
            .batch_execute(statement)
            .with_context(|| statement.to_owned())
    }

    /// Returns the number of rows that *Create accounts* wrote: customers, accounts, validations.
    pub fn row_counts(&self) -> anyhow::Result<[i64; 3]> {
        Ok([
            self.number("select count(*) from customers")?,
            self.number("select count(*) from customer_accounts")?,
            self.number("select count(*) from validations")?,
        ])
    }

    /// Returns every row of every table as text, with the table's name in front.
    pub fn dump(&self) -> anyhow::Result<Vec<String>> {
        let tables = self.texts(
            "select table_name from information_schema.tables where table_schema = 'public'",
        )?;
        let mut lines = Vec::new();
        for table in tables {
            let rows = self.texts(&format!("select t::text from \"{table}\" t"))?;
            lines.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
        }
        Ok(lines)
    }
}

/// Returns the texts in the only column of a query's result at any database, without nulls.
pub fn texts(url: &str, query: &str) -> anyhow::Result<Vec<String>> {
    let sql = format!("select t.value::text as value from ({query}) as t (value)");
    let rows: Vec<Line> = sql_query(sql)
        .load(&mut PgConnection::establish(url)?)
        .with_context(|| query.to_owned())?;
    Ok(rows.into_iter().filter_map(|row| row.value).collect())
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Ok(mut admin) = PgConnection::establish(self.admin_url.as_str()) {
            let drop = format!("drop database if exists {} with (force)", self.name);
            let _ = admin.batch_execute(&drop);
        }
    }
}

fn named(url: &Url, database: &str) -> Url {
    let mut url = url.clone();
    url.set_path(database);
    url
}

/// Each build of `khata` has its own template: another build may migrate to another schema.
fn template_name() -> anyhow::Result<String> {
    let built = std::fs::metadata(process::path_of("khata")?)?;
    let age = built.modified()?.duration_since(UNIX_EPOCH)?;
    Ok(format!("khata_e2e_template_{}", age.as_nanos()))
}

fn make_template(admin: &mut PgConnection, url: &Url, name: &str) -> anyhow::Result<()> {
    let there: Vec<Line> = sql_query(
        "select datname::text as value from pg_database where datname like 'khata\\_e2e\\_template\\_%'",
    )
    .load(admin)?;
    for line in there {
        match line.value {
            Some(found) if found == name => return Ok(()),
            Some(older) => admin.batch_execute(&format!("drop database {older} with (force)"))?,
            None => {}
        }
    }
    // The template gets its name last: an interrupted run leaves no template without the full schema.
    let raw = format!("khata_e2e_raw_{}", Uuid::new_v4().simple());
    admin.batch_execute(&format!("create database {raw}"))?;
    let own = settings(&[("KHATA_DATABASE_URL", named(url, &raw).as_str())]);
    process::run("khata", &["migrate"], &own)?;
    admin.batch_execute(&format!("alter database {raw} rename to {name}"))?;
    Ok(())
}
