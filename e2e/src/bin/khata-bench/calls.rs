//! Latency of single calls: pages of a long list, and calls that wait for an outcome.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};
use khata_e2e::Api;
use serde_json::{Value, json};

use crate::postgres::Postgres;

const ACCOUNTS: usize = 10_000;
/// Accounts per call.
const ACCOUNTS_PER_CALL: usize = 100;
const PAGE_READS: usize = 300;
const WAITS: usize = 200;
const IFSC: &str = "HDFC0000001";

pub(crate) struct Calls {
    api: Api,
    runtime: tokio::runtime::Runtime,
    run: i64,
}

impl Calls {
    pub(crate) fn new(api_url: &str, api_key: &str) -> Result<Self> {
        Ok(Self {
            api: Api::new(api_url, api_key)?,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            run: Utc::now().timestamp(),
        })
    }

    /// Creates a customer with ten thousand accounts.
    pub(crate) fn fill(&self) -> Result<()> {
        let items = |call: usize| -> Vec<Value> {
            let number = |n: usize| format!("{}{:07}00", self.run, call * ACCOUNTS_PER_CALL + n);
            let item = |n| json!({ "ifsc": IFSC, "account_number": number(n) });
            (0..ACCOUNTS_PER_CALL).map(item).collect()
        };
        self.runtime.block_on(async {
            for call in 0..ACCOUNTS / ACCOUNTS_PER_CALL {
                let body = json!({ "gateway_id": 100, "bank_account_details": items(call) });
                self.api
                    .create_json(&self.customer(), &body)
                    .await?
                    .accounts()?;
            }
            Ok(())
        })
    }

    fn customer(&self) -> String {
        format!("bench_list_{}", self.run)
    }

    /// Returns the median milliseconds of the first, the middle and the last page, read in turn.
    pub(crate) fn pages(&self) -> Result<[f64; 3]> {
        let offsets = [0, ACCOUNTS / 2, ACCOUNTS - 10];
        let mut took = offsets.map(|_| Vec::with_capacity(PAGE_READS));
        self.runtime.block_on(async {
            for _ in 0..PAGE_READS {
                for (offset, took) in offsets.iter().zip(&mut took) {
                    let query = format!("?count=10&offset={offset}");
                    let began = Instant::now();
                    let page = self.api.list(&self.customer(), &query).await?;
                    took.push(began.elapsed());
                    anyhow::ensure!(
                        page.accounts()?.len() == 10,
                        "a page has fewer than 10 accounts"
                    );
                }
            }
            anyhow::Ok(())
        })?;
        Ok(took.map(median_ms))
    }

    /// Returns median and 99th percentile of the milliseconds from settling to the reply of the call that waits for it.
    pub(crate) fn waits(&self, postgres: &mut Postgres) -> Result<(f64, f64)> {
        let mut late = Vec::with_capacity(WAITS);
        for n in 0..WAITS {
            let number = format!("{}{n:07}01", self.run);
            let form = [
                ("ifsc", IFSC),
                ("account_number", &number),
                ("command", "validate"),
            ];
            let since = postgres.mark()?;
            let answered: DateTime<Utc> = self.runtime.block_on(async {
                let account = self.api.create("bench_waits", &form).await?.account()?;
                let answered = Utc::now();
                anyhow::ensure!(
                    account["status"] == "ACTIVE",
                    "the call did not wait for the outcome"
                );
                Ok(answered)
            })?;
            let settled = postgres.completed_since(since)?;
            late.push((answered - settled).to_std().unwrap_or_default());
        }
        late.sort_unstable();
        let p99 = late[WAITS * 99 / 100];
        Ok((median_ms(late), p99.as_secs_f64() * 1_000.0))
    }
}

fn median_ms(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took.get(took.len() / 2)
        .map_or(0.0, |median| median.as_secs_f64() * 1_000.0)
}
