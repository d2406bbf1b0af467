//! What is left of the gateway accounts that a batch of plans may use.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use khata_domain::traffic::{RateBudget, Traffic};
use khata_store::gateway_health::GatewayKey;

/// Read at the beginning of a batch, taken from plan by plan, written back at its end where anything was taken.
#[derive(Default)]
pub(crate) struct RateBudgets {
    kept: HashMap<GatewayKey, Kept>,
}

struct Kept {
    budget: RateBudget,
    /// Whether the row is locked, so that what is taken must be written back.
    is_locked: bool,
    is_changed: bool,
}

impl RateBudgets {
    /// What is left of one, as it stands in Postgres under a lock, or as this worker knows it.
    pub(crate) fn put(&mut self, gateway: GatewayKey, budget: RateBudget, is_locked: bool) {
        let kept = Kept {
            budget,
            is_locked,
            is_changed: false,
        };
        self.kept.insert(gateway, kept);
    }

    /// What is left; of what nobody put in, everything.
    pub(crate) fn of(&self, gateway: GatewayKey, now: DateTime<Utc>) -> RateBudget {
        self.kept
            .get(&gateway)
            .map_or_else(|| RateBudget::new(now), |kept| kept.budget)
    }

    /// Takes room for calls.
    pub(crate) fn take(
        &mut self,
        gateway: GatewayKey,
        traffic: &Traffic,
        calls: u32,
        booked: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        if let Some(kept) = self.kept.get_mut(&gateway) {
            kept.budget.take(traffic, calls, booked, now);
            kept.is_changed = true;
        }
    }

    /// Books a call for later.
    pub(crate) fn book(
        &mut self,
        gateway: GatewayKey,
        traffic: &Traffic,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let kept = self.kept.get_mut(&gateway)?;
        kept.is_changed = true;
        kept.budget.book(traffic, now)
    }

    /// Somebody was turned away as too many calls are under way: the next one waits behind.
    pub(crate) fn reject(&mut self, gateway: GatewayKey) {
        if let Some(kept) = self.kept.get_mut(&gateway) {
            kept.budget.rejected = kept.budget.rejected.saturating_add(1);
        }
    }

    /// What has to be written back.
    pub(crate) fn changed(&self) -> Vec<(GatewayKey, RateBudget)> {
        self.kept
            .iter()
            .filter(|(_, kept)| kept.is_locked && kept.is_changed)
            .map(|(gateway, kept)| (*gateway, kept.budget))
            .collect()
    }
}
