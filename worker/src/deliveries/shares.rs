//! How the calls of a worker are shared out among endpoints.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use khata_domain::MerchantId;
use khata_domain::events::EndpointKey;

use crate::turns::SHARE;

/// An endpoint that can take calls now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) key: EndpointKey,
    pub(super) in_progress: usize,
    pub(super) last_turn: u64,
    pub(super) calls: usize,
}

/// Shares the free calls of a worker out: each to the merchant with the fewest in progress, and there to the endpoint with the fewest.
/// No merchant may have more than [`SHARE`] times the calls that stay free, so that slow endpoints leave calls to the others.
pub(super) fn share_out(
    free: usize,
    ready: &[Ready],
    in_progress: &HashMap<MerchantId, usize>,
) -> Vec<(EndpointKey, usize)> {
    let mut merchants: HashMap<MerchantId, BTreeSet<(usize, u64, usize)>> = HashMap::new();
    for (place, one) in ready.iter().enumerate() {
        let endpoints = merchants.entry(one.key.merchant).or_default();
        endpoints.insert((one.in_progress, one.last_turn, place));
    }
    let last_turn = |endpoints: &BTreeSet<(usize, u64, usize)>| {
        let turns = endpoints.iter().map(|(_, last_turn, _)| *last_turn);
        turns.min().unwrap_or(0)
    };
    let order = merchants.iter().map(|(merchant, endpoints)| {
        let calls = in_progress.get(merchant).copied().unwrap_or(0);
        (calls, last_turn(endpoints), *merchant)
    });
    let mut order: BTreeSet<(usize, u64, MerchantId)> = order.collect();
    let (mut left, mut calls) = (free, BTreeMap::<usize, usize>::new());
    while left > 0
        && let Some((of_merchant, turn, merchant)) = order.pop_first()
    {
        if of_merchant >= left * SHARE {
            break;
        }
        let Some(endpoints) = merchants.get_mut(&merchant) else {
            continue;
        };
        let Some((of_endpoint, last_turn, place)) = endpoints.pop_first() else {
            continue;
        };
        let given = calls.entry(place).or_default();
        *given += 1;
        left -= 1;
        if *given < ready[place].calls {
            endpoints.insert((of_endpoint + 1, last_turn, place));
        }
        if !endpoints.is_empty() {
            order.insert((of_merchant + 1, turn, merchant));
        }
    }
    let given = calls.into_iter();
    given
        .map(|(place, calls)| (ready[place].key, calls))
        .collect()
}
