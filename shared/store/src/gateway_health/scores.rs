//! Success scores of gateway accounts, by bank or UPI handle.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Double, Nullable, Text, Timestamptz, Uuid as SqlUuid};

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

#[derive(QueryableByName)]
struct ScoreRow {
    #[diesel(sql_type = SqlUuid, column_name = gateway_account_id)]
    account: GatewayAccountId,
    #[diesel(sql_type = Text)]
    bank: String,
    #[diesel(sql_type = Double)]
    told: f64,
    #[diesel(sql_type = Double)]
    failed: f64,
    #[diesel(sql_type = Nullable<Double>)]
    latency_ms: Option<f64>,
    #[diesel(sql_type = Timestamptz)]
    counted_at: DateTime<Utc>,
}

/// Reads the scores of a merchant's gateway accounts, by bank.
pub fn scores(
    connection: &mut PgConnection,
    merchant: MerchantId,
) -> QueryResult<HashMap<GatewayAccountId, HashMap<String, Score>>> {
    let rows: Vec<ScoreRow> = statement(
        "select gateway_account_id, bank, told, failed, latency_ms, counted_at from gateway_scores where merchant_id = $1",
    )
    .bind::<SqlUuid, _>(merchant)
    .load(connection)?;
    let mut scores: HashMap<_, HashMap<_, _>> = HashMap::new();
    for row in rows {
        let score = Score {
            conclusive: row.told,
            failed: row.failed,
            latency_ms: row.latency_ms,
            counted_at: row.counted_at,
        };
        let of_account = scores.entry(row.account).or_default();
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
        statement(
            "select pg_advisory_xact_lock(hashtextextended('gateway_scores ' || $1::text, 0))",
        )
        .bind::<SqlUuid, _>(merchant)
        .execute(connection)?;
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
        .bind::<SqlUuid, _>(merchant)
        .bind::<Timestamptz, _>(now)
        .rows(rows!(&scored, (key, score) => {
            gateway_account_id: SqlUuid = key.gateway.account,
            bank: Text = key.bank.as_str(),
            told: Double = score.conclusive,
            failed: Double = score.failed,
            latency_ms: Nullable<Double> = score.latency_ms,
        }))
        .execute(connection)?;
    }
    Ok(())
}
