//! Postgres: pgbench on rows of the same shape, and queries for the state of accounts.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::sql_types::{BigInt, Double, Text, Timestamptz};
use diesel::{Connection, PgConnection, RunQueryDsl, select};

/// One account's row, inserted and committed alone: the minimum for a service without a group commit (which would also
/// insert the validation). Ids are ordered by time and details have the length of encrypted ones, as in Khata.
const SINGLE_ROW: &str = "
insert into bench_accounts (merchant_id, customer_id, id, kind, sealed_details, fingerprint, masked, bank_code, status,
    metadata, routing_id, validation_id, created_at, updated_at)
values ('01900000-0000-7000-8000-000000000000', gen_random_uuid(),
    (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || substr(md5(random()::text), 1, 20))::uuid,
    'BANK', decode(repeat('a5', 110), 'hex'), sha256(random()::text::bytea), 'XXXXXXX1191', 'JP_HDFC', 'CREATED', '{}',
    'bench_1', gen_random_uuid(), now(), now());
";

pub(crate) struct Postgres {
    url: String,
    pub(crate) connection: PgConnection,
}

impl Postgres {
    pub(crate) fn connect(url: &str) -> Result<Self> {
        let mut connection = PgConnection::establish(url)?;
        for setting in ["fsync", "synchronous_commit"] {
            let value: String = select(sql::<Text>(&format!("current_setting('{setting}')")))
                .get_result(&mut connection)?;
            ensure!(
                value == "on",
                "{setting} is {value}: the figures would be meaningless"
            );
        }
        Ok(Self {
            url: url.to_owned(),
            connection,
        })
    }

    /// Returns the single-row commits per second.
    pub(crate) fn pgbench(&mut self, clients: u32, duration: Duration) -> Result<f64> {
        self.connection.batch_execute(
            "drop table if exists bench_accounts;
             create table bench_accounts (like customer_accounts including all)",
        )?;
        let script = std::env::temp_dir().join(format!("khata-bench-{}.sql", std::process::id()));
        std::fs::write(&script, SINGLE_ROW)?;
        let output = Command::new("pgbench")
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
            .arg(format!("--client={clients}"))
            .arg(format!("--time={}", duration.as_secs()))
            .arg(format!("--file={}", script.display()))
            .arg(&self.url)
            .output()
            .context("cannot run pgbench");
        std::fs::remove_file(&script)?;
        let output = output?;
        self.connection.batch_execute("drop table bench_accounts")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.with_context(|| {
            format!(
                "pgbench printed: {text}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        })
    }

    /// Waits until no validation is open.
    pub(crate) fn wait_until_final(&mut self, patience: Duration) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.count("validations where completed_at is null")? {
                0 => return Ok(()),
                left if began.elapsed() > patience => {
                    bail!("{left} validations are not final after {patience:?}")
                }
                // Each query costs time of the server that is measured.
                left => std::thread::sleep(Duration::from_millis(if left > 100 { 200 } else { 5 })),
            }
        }
    }

    /// Returns the time of the server's clock.
    pub(crate) fn mark(&mut self) -> Result<DateTime<Utc>> {
        Ok(select(sql::<Timestamptz>("now()")).get_result(&mut self.connection)?)
    }

    /// Returns median and 99th percentile from create to final, for validations created since then.
    pub(crate) fn create_to_final_ms(&mut self, since: DateTime<Utc>) -> Result<(f64, f64)> {
        let query = sql::<(Double, Double)>(
            "select percentile_cont(0.5) within group (order by took),
                    percentile_cont(0.99) within group (order by took)
             from (select extract(epoch from completed_at - created_at)::double precision * 1000 as took
                   from validations where created_at >= ",
        );
        Ok(query
            .bind::<Timestamptz, _>(since)
            .sql(") as t")
            .get_result(&mut self.connection)?)
    }

    /// Returns when the newest validation created since then was completed.
    pub(crate) fn completed_since(&mut self, since: DateTime<Utc>) -> Result<DateTime<Utc>> {
        let query = sql::<Timestamptz>(
            "select completed_at from validations where completed_at is not null and created_at >= ",
        );
        Ok(query
            .bind::<Timestamptz, _>(since)
            .sql(" order by created_at desc limit 1")
            .get_result(&mut self.connection)?)
    }

    /// Returns the bytes of the database, and of the write-ahead log so far.
    pub(crate) fn bytes(&mut self) -> Result<(f64, f64)> {
        let query = select((
            sql::<Double>("pg_database_size(current_database())::double precision"),
            sql::<Double>("(pg_current_wal_lsn() - '0/0')::double precision"),
        ));
        Ok(query.get_result(&mut self.connection)?)
    }

    /// Returns the number of the services' connections.
    pub(crate) fn connections(&mut self) -> Result<i64> {
        self.count(
            "pg_stat_activity where datname = current_database() and application_name like 'khata-%'",
        )
    }

    /// Returns the number of accounts that are not ACTIVE.
    pub(crate) fn not_active(&mut self) -> Result<i64> {
        self.count("customer_accounts where status <> 'ACTIVE'")
    }

    fn count(&mut self, rows: &str) -> Result<i64> {
        let query = sql::<BigInt>(&format!("select count(*) from {rows}"));
        Ok(query.get_result(&mut self.connection)?)
    }
}
