//! How gateway accounts fare, by bank or UPI handle.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, Double, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use uuid::Uuid;

use super::GatewayKey;
use crate::statement::statement;
use khata_domain::score::Score;
use khata_domain::{GatewayAccountId, MerchantId};

/// A gateway account at one bank or UPI handle.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScoreKey {
    /// The gateway account.
    pub gateway: GatewayKey,
    /// `domain::score::Bank`.
    pub bank: String,
}

/// Outcomes since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outcomes {
    /// Told.
    pub told: u32,
    /// Attempts that told nothing.
    pub failed: u32,
    /// From the newest attempt's beginning to its outcome.
    pub latency_ms: Option<f64>,
}

#[derive(QueryableByName)]
struct ScoreRow {
    #[diesel(sql_type = SqlUuid)]
    gateway_account_id: Uuid,
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

/// How a merchant's gateway accounts fare, by bank.
pub fn scores(
    connection: &mut PgConnection,
    merchant: MerchantId,
) -> QueryResult<HashMap<GatewayAccountId, HashMap<String, Score>>> {
    let rows: Vec<ScoreRow> = statement(
        "select gateway_account_id, bank, told, failed, latency_ms, counted_at from gateway_scores where merchant_id = $1",
    )
    .bind::<SqlUuid, _>(merchant.0)
    .load(connection)?;
    let mut scores: HashMap<_, HashMap<_, _>> = HashMap::new();
    for row in rows {
        let score = Score {
            told: row.told,
            failed: row.failed,
            latency_ms: row.latency_ms,
            counted_at: row.counted_at,
        };
        let of_account = scores
            .entry(GatewayAccountId(row.gateway_account_id))
            .or_default();
        of_account.insert(row.bank, score);
    }
    Ok(scores)
}

/// Adds outcomes to the scores of a merchant's gateway accounts. In a transaction.
pub fn add_outcomes(
    connection: &mut PgConnection,
    outcomes: &[(ScoreKey, Outcomes)],
    now: DateTime<Utc>,
) -> QueryResult<()> {
    let mut by_merchant: HashMap<MerchantId, Vec<&(ScoreKey, Outcomes)>> = HashMap::new();
    for one in outcomes {
        by_merchant
            .entry(one.0.gateway.merchant)
            .or_default()
            .push(one);
    }
    let mut merchants: Vec<_> = by_merchant.into_iter().collect();
    merchants.sort_unstable_by_key(|(merchant, _)| *merchant);
    for (merchant, mut news) in merchants {
        news.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        // Whoever adds to this merchant's scores waits here: what is read below is what is written back.
        statement(
            "select pg_advisory_xact_lock(hashtextextended('gateway_scores ' || $1::text, 0))",
        )
        .bind::<SqlUuid, _>(merchant.0)
        .execute(connection)?;
        let standing = scores(connection, merchant)?;
        let scored: Vec<_> = news
            .iter()
            .map(|(key, outcomes)| {
                let of_account = standing.get(&key.gateway.account);
                let score = of_account.and_then(|scores| scores.get(&key.bank)).copied();
                let score = score.unwrap_or_else(|| Score::new(now));
                score.after(outcomes.told, outcomes.failed, outcomes.latency_ms, now)
            })
            .collect();
        statement(
            "insert into gateway_scores (merchant_id, counted_at, gateway_account_id, bank, told, failed, latency_ms)
             select $1, $2, t.* from unnest($3::uuid[], $4::text[], $5::float8[], $6::float8[], $7::float8[]) as t
             on conflict (merchant_id, gateway_account_id, bank) do update
             set told = excluded.told, failed = excluded.failed, latency_ms = excluded.latency_ms,
                counted_at = excluded.counted_at",
        )
        .bind::<SqlUuid, _>(merchant.0)
        .bind::<Timestamptz, _>(now)
        .bind::<Array<SqlUuid>, _>(news.iter().map(|(key, _)| key.gateway.account.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(news.iter().map(|(key, _)| key.bank.as_str()).collect::<Vec<_>>())
        .bind::<Array<Double>, _>(scored.iter().map(|score| score.told).collect::<Vec<_>>())
        .bind::<Array<Double>, _>(scored.iter().map(|score| score.failed).collect::<Vec<_>>())
        .bind::<Array<Nullable<Double>>, _>(scored.iter().map(|score| score.latency_ms).collect::<Vec<_>>())
        .execute(connection)?;
    }
    Ok(())
}
