//! Postgres: pgbench on rows of the same shape, and queries for the state of accounts.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Double, Timestamptz};
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};

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
    connection: PgConnection,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Latency {
    #[diesel(sql_type = Double)]
    median: f64,
    #[diesel(sql_type = Double)]
    p99: f64,
}

impl Postgres {
    pub(crate) fn connect(url: &str) -> Result<Self> {
        let mut connection = PgConnection::establish(url)?;
        for setting in ["fsync", "synchronous_commit"] {
            #[derive(QueryableByName)]
            struct Setting {
                #[diesel(sql_type = diesel::sql_types::Text)]
                value: String,
            }
            let row: Setting =
                diesel::sql_query(format!("select current_setting('{setting}') as value"))
                    .get_result(&mut connection)?;
            ensure!(
                row.value == "on",
                "{setting} is {}: the figures would be meaningless",
                row.value
            );
        }
        Ok(Self {
            url: url.to_owned(),
            connection,
        })
    }

    /// Returns the single-row commits per second.
    pub(crate) fn pgbench(&mut self, clients: usize, duration: Duration) -> Result<f64> {
        diesel::sql_query("drop table if exists bench_accounts").execute(&mut self.connection)?;
        diesel::sql_query("create table bench_accounts (like customer_accounts including all)")
            .execute(&mut self.connection)?;
        let script = std::env::temp_dir().join(format!("khata-bench-{}.sql", std::process::id()));
        std::fs::File::create(&script)?.write_all(SINGLE_ROW.as_bytes())?;
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
        diesel::sql_query("drop table bench_accounts").execute(&mut self.connection)?;
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
            let open: Count = diesel::sql_query(
                "select count(*) as count from validations where completed_at is null",
            )
            .get_result(&mut self.connection)?;
            match open.count {
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
        #[derive(QueryableByName)]
        struct Now {
            #[diesel(sql_type = Timestamptz)]
            now: DateTime<Utc>,
        }
        let row: Now = diesel::sql_query("select now()").get_result(&mut self.connection)?;
        Ok(row.now)
    }

    /// Returns median and 99th percentile from create to final, for validations created since then.
    pub(crate) fn create_to_final_ms(&mut self, since: DateTime<Utc>) -> Result<(f64, f64)> {
        let row: Latency = diesel::sql_query(
            "select percentile_cont(0.5) within group (order by took) as median,
                    percentile_cont(0.99) within group (order by took) as p99
             from (select extract(epoch from completed_at - created_at)::double precision * 1000 as took
                   from validations where created_at >= $1) as t",
        )
        .bind::<Timestamptz, _>(since)
        .get_result(&mut self.connection)?;
        Ok((row.median, row.p99))
    }

    /// Returns when the newest validation created since then was completed.
    pub(crate) fn completed_since(&mut self, since: DateTime<Utc>) -> Result<DateTime<Utc>> {
        #[derive(QueryableByName)]
        struct Ended {
            #[diesel(sql_type = Timestamptz)]
            at: DateTime<Utc>,
        }
        let row: Ended = diesel::sql_query(
            "select completed_at as at from validations
             where created_at >= $1 and completed_at is not null order by created_at desc limit 1",
        )
        .bind::<Timestamptz, _>(since)
        .get_result(&mut self.connection)?;
        Ok(row.at)
    }

    /// Returns the bytes of the database, and of the write-ahead log so far.
    pub(crate) fn bytes(&mut self) -> Result<(f64, f64)> {
        #[derive(QueryableByName)]
        struct Bytes {
            #[diesel(sql_type = Double)]
            stored: f64,
            #[diesel(sql_type = Double)]
            logged: f64,
        }
        let row: Bytes = diesel::sql_query(
            "select pg_database_size(current_database())::double precision as stored,
                    (pg_current_wal_lsn() - '0/0')::double precision as logged",
        )
        .get_result(&mut self.connection)?;
        Ok((row.stored, row.logged))
    }

    /// Returns the number of the services' connections.
    pub(crate) fn connections(&mut self) -> Result<i64> {
        let row: Count = diesel::sql_query(
            "select count(*) as count from pg_stat_activity
             where datname = current_database() and application_name like 'khata-%'",
        )
        .get_result(&mut self.connection)?;
        Ok(row.count)
    }

    /// Returns the number of accounts that are not ACTIVE.
    pub(crate) fn not_active(&mut self) -> Result<i64> {
        let row: Count = diesel::sql_query(
            "select count(*) as count from customer_accounts where status <> 'ACTIVE'",
        )
        .get_result(&mut self.connection)?;
        Ok(row.count)
    }
}
