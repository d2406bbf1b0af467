//! A database per test.

use std::fmt;

use anyhow::Context;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{Connection, PgConnection, RunQueryDsl, select};
use reqwest::Url;

/// A test's own database. Dropping the value drops the database.
pub struct Database {
    /// URL of the database, past any proxy.
    pub url: Url,
    _own: khata_testing::Database,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.path())
    }
}

impl Database {
    /// Creates a database with Khata's schema at the server of `KHATA_TEST_DATABASE_URL`.
    pub(crate) fn create() -> anyhow::Result<Self> {
        Self::of(khata_testing::Database::new())
    }

    /// Creates an empty database at the same server.
    pub fn create_empty() -> anyhow::Result<Self> {
        Self::of(khata_testing::Database::empty())
    }

    fn of(own: khata_testing::Database) -> anyhow::Result<Self> {
        let url = own.url().parse()?;
        Ok(Self { url, _own: own })
    }

    /// Opens a connection.
    pub fn connect(&self) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::establish(self.url.as_str())?)
    }

    /// Returns the number in the only row and column of a query's result.
    pub fn number(&self, query: &str) -> anyhow::Result<i64> {
        select(sql::<BigInt>(&format!("({query})::bigint")))
            .get_result(&mut self.connect()?)
            .with_context(|| query.to_owned())
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

/// Returns the URL for another role. The roles of the local stack have one password.
pub fn as_role(url: &Url, role: &str) -> Url {
    let mut url = url.clone();
    // Every URL of Postgres can hold a user name.
    let _ = url.set_username(role);
    url
}

/// Returns the texts in the only column of a query's result at any database, without nulls.
pub fn texts(url: &str, query: &str) -> anyhow::Result<Vec<String>> {
    let as_text = format!("select t.value::text from ({query}) as t (value)");
    let rows: Vec<Option<String>> = sql::<Nullable<Text>>(&as_text)
        .load(&mut PgConnection::establish(url)?)
        .with_context(|| query.to_owned())?;
    Ok(rows.into_iter().flatten().collect())
}
