//! Latency of single calls: pages of a long list, and calls that wait for an outcome.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::Utc;
use khata_e2e::Api;
use serde_json::{Value, json};

use crate::load::quantile_ms;
use crate::postgres::Postgres;

/// Accounts of one customer.
pub(crate) const ACCOUNTS: usize = 10_000;
/// Accounts per call.
const ACCOUNTS_PER_CALL: usize = 100;
const PAGE_READS: usize = 300;
const WAITS: usize = 200;
const IFSC: &str = "HDFC0000001";

pub(crate) struct Calls {
    api: Api,
    run: i64,
}

impl Calls {
    pub(crate) fn new(api_url: &str, api_key: &str) -> Result<Self> {
        Ok(Self {
            api: Api::new(api_url, api_key)?,
            run: Utc::now().timestamp(),
        })
    }

    /// Creates accounts, a hundred a call: ten thousand of each customer.
    pub(crate) async fn fill(&self, accounts: usize) -> Result<()> {
        for call in 0..accounts.div_ceil(ACCOUNTS_PER_CALL) {
            let number = |n| format!("{}{:07}00", self.run, call * ACCOUNTS_PER_CALL + n);
            let item = |n| json!({ "ifsc": IFSC, "account_number": number(n) });
            let items: Vec<Value> = (0..ACCOUNTS_PER_CALL).map(item).collect();
            let body = json!({ "gateway_id": 100, "bank_account_details": items });
            let customer = self.customer(call * ACCOUNTS_PER_CALL / ACCOUNTS);
            let reply = self.api.create_json(&customer, &body).await?;
            reply.accounts()?;
        }
        Ok(())
    }

    fn customer(&self, number: usize) -> String {
        format!("bench_list_{}_{number}", self.run)
    }

    /// Returns the median milliseconds of the first, the middle and the last page, read in turn.
    pub(crate) async fn pages(&self) -> Result<[f64; 3]> {
        let offsets = [0, ACCOUNTS / 2, ACCOUNTS - 10];
        let mut took = offsets.map(|_| Vec::with_capacity(PAGE_READS));
        for _ in 0..PAGE_READS {
            for (offset, took) in offsets.iter().zip(&mut took) {
                let query = format!("?count=10&offset={offset}");
                let began = Instant::now();
                let page = self.api.list(&self.customer(0), &query).await?;
                took.push(began.elapsed());
                let count = page.accounts()?.len();
                ensure!(count == 10, "a page has fewer than 10 accounts");
            }
        }
        Ok(took.map(|mut took| {
            took.sort_unstable();
            quantile_ms(&took, 0.5)
        }))
    }

    /// Returns median and 99th percentile of the milliseconds from settling to the reply of the call that waits for it.
    pub(crate) async fn waits(&self, postgres: &mut Postgres) -> Result<(f64, f64)> {
        let mut late: Vec<Duration> = Vec::with_capacity(WAITS);
        for n in 0..WAITS {
            let number = format!("{}{n:07}01", self.run);
            let form = [
                ("ifsc", IFSC),
                ("account_number", &number),
                ("command", "validate"),
            ];
            let since = postgres.mark()?;
            let account = self.api.create("bench_waits", &form).await?.account()?;
            let answered = Utc::now();
            ensure!(
                account["status"] == "ACTIVE",
                "the call did not wait for the outcome"
            );
            let settled = postgres.completed_since(since)?;
            late.push((answered - settled).to_std().unwrap_or_default());
        }
        late.sort_unstable();
        Ok((quantile_ms(&late, 0.5), quantile_ms(&late, 0.99)))
    }
}
