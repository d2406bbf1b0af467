//! Success scores of gateway accounts, by bank or UPI handle.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::column::row;
use crate::statement::{rows, statement};
use khata_domain::gateway::GatewayKey;
use khata_domain::score::Score;
use khata_domain::{GatewayAccountId, MerchantId};

/// A gateway account at one bank or UPI handle.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScoreKey {
    pub gateway: GatewayKey,
    /// `domain::score::Bank`.
    pub bank: String,
}

/// Outcomes of attempts since the last report.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutcomeCounts {
    /// Attempts with a conclusive result.
    pub conclusive: u32,
    /// Attempts without one.
    pub failed: u32,
    /// Milliseconds from the start of the newest attempt to its outcome.
    pub latency_ms: Option<f64>,
}

/// Reads the scores of a merchant's gateway accounts, by bank.
pub fn scores(
    connection: &mut PgConnection,
    merchant: MerchantId,
) -> QueryResult<HashMap<GatewayAccountId, HashMap<String, Score>>> {
    row! {
        struct Row {
            gateway_account_id: GatewayAccountId,
            bank: String,
            told: f64,
            failed: f64,
            latency_ms: Option<f64>,
            counted_at: DateTime<Utc>,
        }
    }
    let rows: Vec<Row> = statement(
        "select gateway_account_id, bank, told, failed, latency_ms, counted_at from gateway_scores where merchant_id = $1",
    )
    .bind(merchant)
    .load(connection)?;
    let mut scores: HashMap<_, HashMap<_, _>> = HashMap::new();
    for row in rows {
        let score = Score {
            conclusive: row.told,
            failed: row.failed,
            latency_ms: row.latency_ms,
            counted_at: row.counted_at,
        };
        let of_account = scores.entry(row.gateway_account_id).or_default();
        of_account.insert(row.bank, score);
    }
    Ok(scores)
}

/// Adds outcomes to the scores of gateway accounts. Call it in a transaction.
pub fn add_outcomes(
    connection: &mut PgConnection,
    outcomes: &[(ScoreKey, OutcomeCounts)],
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let mut by_merchant: BTreeMap<MerchantId, BTreeMap<&ScoreKey, OutcomeCounts>> = BTreeMap::new();
    for (key, counts) in outcomes {
        let of_merchant = by_merchant.entry(key.gateway.merchant).or_default();
        of_merchant.insert(key, *counts);
    }
    for (merchant, outcomes) in by_merchant {
        // The lock makes the scores that are read here the ones that are replaced below.
        // Negative: no key of `locks`.
        statement(
            "select pg_advisory_xact_lock(hashtextextended('gateway_scores ' || $1::text, 0) | (1::bigint << 63))",
        )
        .bind(merchant)
        .run(connection)?;
        let before = scores(connection, merchant)?;
        let scored: Vec<(&ScoreKey, Score)> = outcomes
            .into_iter()
            .map(|(key, counts)| {
                let of_account = before.get(&key.gateway.account);
                let score = of_account.and_then(|scores| scores.get(&key.bank)).copied();
                let score = score.unwrap_or_else(|| Score::new(now));
                let after = score.after(counts.conclusive, counts.failed, counts.latency_ms, now);
                (key, after)
            })
            .collect();
        statement(
            "insert into gateway_scores (merchant_id, counted_at, gateway_account_id, bank, told, failed, latency_ms)
             select $1, $2, gateway_account_id, bank, told, failed, latency_ms from $3 as input
             on conflict (merchant_id, gateway_account_id, bank) do update
             set told = excluded.told, failed = excluded.failed, latency_ms = excluded.latency_ms,
                counted_at = excluded.counted_at",
        )
        .bind(merchant)
        .bind(now)
        .rows(rows!(&scored, (key, score) => {
            gateway_account_id = key.gateway.account,
            bank = key.bank.as_str(),
            told = score.conclusive,
            failed = score.failed,
            latency_ms = score.latency_ms,
        }))
        .run(connection)?;
    }
    Ok(())
}
