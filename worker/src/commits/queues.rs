//! Claims of the queues of gateway accounts: which queues may go on, and which of their validations come next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_domain::gateway::GatewayKey;
use khata_domain::plan::RateBudgets;
use khata_domain::traffic::{PostponeReason, Postponed, RateBudget};
use khata_domain::{MerchantId, ValidationKey};
use khata_store::validations::{self, Claimed};

use crate::directory::{Entry, MerchantView};
use crate::health_reporter::HealthReporter;
use crate::turns::Urgency;

/// A claim of the queue of a gateway account.
pub(super) type NextAt = (Urgency, GatewayKey);

/// The next validations of queues, locked.
#[derive(Default)]
pub(super) struct NextInQueues {
    pub(super) locked: Vec<Claimed>,
    /// Which claim each of them is for.
    pub(super) sources: HashMap<ValidationKey, Urgency>,
    /// The claims whose queues may have more.
    pub(super) not_empty: Vec<NextAt>,
}

pub(super) fn is_queued_at(claimed: &Claimed, gateway: GatewayKey) -> bool {
    claimed.queued_at == Some(gateway.account) && claimed.key.merchant == gateway.merchant
}

/// Locks the next validations in the queues of gateway accounts: awaited ones first, and none twice. Notes which queues are
/// empty.
pub(super) fn lock_queued(
    connection: &mut PgConnection,
    health: &HealthReporter,
    due: &[Claimed],
    wanted: &[(NextAt, i64)],
) -> QueryResult<NextInQueues> {
    let due: HashSet<ValidationKey> = due.iter().map(|claimed| claimed.key).collect();
    let mut next = NextInQueues::default();
    for urgency in [Urgency::Awaited, Urgency::Other] {
        let of_urgency = wanted.iter().filter(|((of, _), _)| *of == urgency);
        let of_urgency = of_urgency.map(|((_, gateway), calls)| (*gateway, *calls));
        let of_urgency: Vec<_> = of_urgency.collect();
        let is_awaited = urgency == Urgency::Awaited;
        let rows = validations::lock_queued(connection, &of_urgency, is_awaited)?;
        for (gateway, calls) in of_urgency {
            let count = rows.iter().filter(|row| is_queued_at(row, gateway)).count();
            let has_more = i64::try_from(count).is_ok_and(|count| count >= calls);
            if has_more {
                next.not_empty.push((urgency, gateway));
            }
            // A queue without awaited validations may have others.
            if has_more || !is_awaited {
                health.set_queue(gateway, has_more);
            }
        }
        for row in rows {
            if !due.contains(&row.key) && !next.sources.contains_key(&row.key) {
                next.sources.insert(row.key, urgency);
                next.locked.push(row);
            }
        }
    }
    Ok(next)
}

/// Returns how many validations to claim from the queues of these gateway accounts, at most as many as they occur: one for each
/// call that the account, or another account with a limit, can take now. The queue of an account that is disabled or gone is
/// planned again, as another account may take its validations; so is that of one that is down or paused while another one can
/// take a call.
pub(super) fn free_calls(
    merchants: &HashMap<MerchantId, Arc<MerchantView>>,
    budgets: &RateBudgets,
    wanted: &[NextAt],
    now: DateTime<Utc>,
) -> Vec<(NextAt, i64)> {
    let mut left: HashMap<GatewayKey, RateBudget> = HashMap::new();
    let mut take = |urgency: Urgency, entry: &Entry| -> Result<(), Postponed> {
        let Ok(connector) = &entry.connector else {
            return Ok(());
        };
        let traffic = &connector.policy().traffic;
        let budget = left.entry(entry.key());
        let budget = budget.or_insert_with(|| budgets.of(entry.key(), now));
        let mut checked = *budget;
        if urgency == Urgency::Awaited {
            checked.share_left = None;
        }
        checked.check(traffic, 1, None, now)?;
        budget.take(traffic, 1, None, now);
        Ok(())
    };
    let mut calls: HashMap<NextAt, i64> = HashMap::new();
    let (awaited, others): (Vec<&NextAt>, Vec<_>) = wanted
        .iter()
        .partition(|(urgency, _)| *urgency == Urgency::Awaited);
    for next in awaited.into_iter().chain(others) {
        let (urgency, gateway) = *next;
        let merchant = merchants.get(&gateway.merchant);
        let entries = merchant.map_or(&[][..], |merchant| &merchant.entries);
        let mut enabled = entries.iter().filter(|entry| entry.account.enabled);
        let own = enabled.clone().find(|entry| entry.key() == gateway);
        let is_free = match own.map(|entry| take(urgency, entry)) {
            None | Some(Ok(())) => true,
            Some(Err(postponed)) => {
                let is_away =
                    matches!(postponed.why, PostponeReason::Down | PostponeReason::Paused);
                enabled.any(|entry| {
                    let connector = entry.connector.as_deref();
                    let traffic = connector.map(|connector| &connector.policy().traffic);
                    entry.key() != gateway
                        && !entry.account.pinned_only
                        && traffic.is_ok_and(|traffic| is_away || traffic.is_limited())
                        && take(urgency, entry).is_ok()
                })
            }
        };
        *calls.entry(*next).or_default() += i64::from(is_free);
    }
    calls.into_iter().filter(|(_, calls)| *calls > 0).collect()
}
