//! `khata account list --double-drops`.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult};
use khata_domain::Class;
use khata_store::doctor;
use khata_store::merchants::{self, Merchant};
use khata_store::penny_drops::{PossibleDoubleDrop, possible_double_drops};
use serde_json::{Value, json};

use crate::attempts;
use crate::gateway::gateway_name;
use crate::output::{NONE, Table, joined_or, or_none, time};

/// Age of the oldest drop, unless the operator says otherwise.
const DEFAULT_AGE: TimeDelta = TimeDelta::hours(24);

/// Returns the drops of the merchant, or of all, as JSON and as a text.
pub(super) fn list(
    connection: &mut PgConnection,
    merchant: Option<Merchant>,
    since: Option<DateTime<Utc>>,
    limit: usize,
) -> QueryResult<(Vec<Value>, String)> {
    let now = Utc::now();
    let since = since.unwrap_or(now - DEFAULT_AGE);
    doctor::prepare(connection)?;
    let merchants = match merchant {
        Some(merchant) => vec![merchant],
        None => merchants::all(connection)?,
    };
    let mut drops: Vec<(&str, PossibleDoubleDrop)> = Vec::new();
    for merchant in &merchants {
        attempts::walk(connection, merchant, since, now, |connection, page| {
            let found = possible_double_drops(connection, merchant.id, page, since, now)?;
            drops.extend(found.into_iter().map(|drop| (merchant.name.as_str(), drop)));
            Ok(drops.len() < limit)
        })?;
    }
    let is_full = drops.len() >= limit;
    drops.truncate(limit);
    let list = drops.iter().map(json_of).collect();
    Ok((list, text(&drops, since, is_full)))
}

fn json_of((merchant, drop): &(&str, PossibleDoubleDrop)) -> Value {
    let attempt = &drop.attempt;
    json!({
        "merchant_id": attempt.key.merchant.to_string(),
        "merchant": merchant,
        "account_id": drop.account.map(|id| id.to_string()),
        "validation_id": attempt.key.id.to_string(),
        "attempt": attempt.number,
        "gateway": gateway_name(attempt.gateway_id),
        "gateway_account_id": attempt.gateway_account.to_string(),
        "gateway_reference_id": drop.gateway_reference_id,
        "reference": attempt.reference,
        "gateway_reference": attempt.gateway_reference,
        "earlier_references": drop.earlier,
        "state": attempt.state,
        "class": attempt.class,
        "started_at": time(attempt.started_at),
    })
}

fn text(drops: &[(&str, PossibleDoubleDrop)], since: DateTime<Utc>, is_full: bool) -> String {
    let since = time(since);
    if drops.is_empty() {
        return format!("No possible double drop began since {since}.");
    }
    let headings = [
        "STARTED",
        "MERCHANT",
        "ACCOUNT",
        "GATEWAY",
        "REFERENCE",
        "RESULT",
        "DROPS BEFORE",
    ];
    let rows = drops.iter().map(|(merchant, drop)| {
        let attempt = &drop.attempt;
        let account = drop.gateway_reference_id.as_deref().unwrap_or(NONE);
        [
            time(attempt.started_at),
            (*merchant).to_owned(),
            or_none(drop.account),
            format!("{} {account}", gateway_name(attempt.gateway_id)),
            attempt.reference.clone(),
            attempt.class.map_or_else(
                || attempt.state.to_string(),
                |class: Class| class.to_string(),
            ),
            joined_or(drop.earlier.iter().cloned(), NONE),
        ]
    });
    let table = Table::rows(headings, rows);
    let more = if is_full {
        format!(
            " Only {} were listed: a later --since lists the others.",
            drops.len()
        )
    } else {
        String::new()
    };
    format!(
        "{table}\n\nEach of these references, and of the drops before, may have paid a rupee: the gateways' reports decide \
         (`khata doctor --statement`).{more}"
    )
}
