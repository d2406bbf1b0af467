//! An endpoint of a merchant: switched by the operator's commands, and read from its rows.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use diesel::sql_query;
use diesel::sql_types::{Bool, Integer, Text, Timestamptz};
use khata_e2e::khata;

use super::receiver::Receiver;
use crate::postgres::Postgres;

/// Writes one more event of each account of the endpoint's merchant, and its delivery, as Khata's statements do: a copy of the account's
/// last event but for the columns that it names.
const FILL: &str = "
    with endpoint as (
        select merchant_id, id from webhook_endpoints where url = $1
    ), event as (
        insert into events
        select n.* from endpoint w
        join customer_accounts a on a.merchant_id = w.merchant_id
        join events e on e.merchant_id = a.merchant_id and e.subject_id = a.id and e.version = a.version
        cross join lateral jsonb_populate_record(e, jsonb_build_object(
            'id', (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
                || substr(md5(random()::text), 1, 20))::uuid,
            'version', e.version + $2,
            'created_at', clock_timestamp(),
            'position', (select base from event_clock where is_only) + pg_current_xact_id()::text::bigint)) n
        returning merchant_id, id, subject_id, version, created_at
    )
    insert into webhook_deliveries (merchant_id, endpoint_id, subject_id, version, event_id, state, due_at, created_at)
    select e.merchant_id, w.id, e.subject_id, e.version, e.id, 'OPEN', e.created_at, e.created_at from event e cross join endpoint w";

pub(crate) struct Endpoint {
    merchant: String,
    id: String,
    /// The address of its row.
    url: String,
}

#[derive(diesel::QueryableByName)]
struct IsOpen {
    #[diesel(sql_type = Bool)]
    is_open: bool,
}

#[derive(diesel::QueryableByName)]
struct Written {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

impl Endpoint {
    /// Adds the endpoint with the settings of one that sets none.
    pub(crate) fn add(merchant: &str, receiver: &Receiver) -> Result<Self> {
        let (merchant, url) = (merchant.to_owned(), receiver.url.clone());
        let added = khata(&["webhook", "add", "--merchant", &merchant, "--url", &url])?;
        let id = added["id"].as_str().context("an endpoint without an id")?;
        let id = id.to_owned();
        Ok(Self { merchant, id, url })
    }

    pub(crate) fn enable(&self, enabled: bool) -> Result<()> {
        let command = if enabled { "enable" } else { "disable" };
        khata(&["webhook", command, &self.id, "--merchant", &self.merchant])?;
        Ok(())
    }

    /// Waits until no delivery is open.
    pub(crate) fn wait_until_delivered(
        &self,
        postgres: &mut Postgres,
        patience: Duration,
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            let query = sql_query(
                "select exists (select from webhook_endpoints w
                    join webhook_deliveries d on d.merchant_id = w.merchant_id and d.endpoint_id = w.id
                    where w.url = $1 and d.state = 'OPEN') as is_open",
            );
            let query = query.bind::<Text, _>(&self.url);
            let open: IsOpen = query.get_result(&mut postgres.connection)?;
            if !open.is_open {
                return Ok(());
            }
            ensure!(
                began.elapsed() < patience,
                "events are not delivered after {patience:?}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Returns the events of the merchant that settles have written since then, by their ids, with the beginning of their transaction.
    pub(crate) fn settled_since(
        &self,
        postgres: &mut Postgres,
        since: DateTime<Utc>,
    ) -> Result<Vec<(u128, DateTime<Utc>)>> {
        let query = sql_query(
            "select replace(e.id::text, '-', '') as id, e.created_at from webhook_endpoints w
             join events e on e.merchant_id = w.merchant_id
             where w.url = $1 and e.created_at >= $2 and e.name <> 'CUSTOMER_ACCOUNT_CREATED'",
        );
        let query = query
            .bind::<Text, _>(&self.url)
            .bind::<Timestamptz, _>(since);
        let written: Vec<Written> = query.load(&mut postgres.connection)?;
        let written = written.into_iter().map(|event| {
            let id = u128::from_str_radix(&event.id, 16)?;
            Ok((id, event.created_at))
        });
        written.collect()
    }

    /// Writes this number of further events of each account of the merchant. Returns the number of the deliveries.
    pub(crate) fn fill(&self, postgres: &mut Postgres, of_account: i32) -> Result<usize> {
        let mut deliveries = 0;
        for further in 1..=of_account {
            let query = sql_query(FILL)
                .bind::<Text, _>(&self.url)
                .bind::<Integer, _>(further);
            deliveries += query.execute(&mut postgres.connection)?;
        }
        sql_query(
            "update customer_accounts a set version = a.version + $2 from webhook_endpoints w
             where w.url = $1 and a.merchant_id = w.merchant_id",
        )
        .bind::<Text, _>(&self.url)
        .bind::<Integer, _>(of_account)
        .execute(&mut postgres.connection)?;
        Ok(deliveries)
    }
}
