//! What is left of the gateway accounts that a batch of plans may use.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use khata_shared::domain::traffic::{Allowance, Traffic};
use khata_shared::store::gateway_health::GatewayKey;

/// Read at the beginning of a batch, taken from plan by plan, written back at its end where anything was taken.
#[derive(Default)]
pub(crate) struct Allowances {
    kept: HashMap<GatewayKey, Kept>,
}

struct Kept {
    allowance: Allowance,
    /// Whether the row is locked, so that what is taken must be written back.
    is_locked: bool,
    is_changed: bool,
}

impl Allowances {
    /// What is left of one, as it stands in Postgres under a lock, or as this worker knows it.
    pub(crate) fn put(&mut self, gateway: GatewayKey, allowance: Allowance, is_locked: bool) {
        let kept = Kept {
            allowance,
            is_locked,
            is_changed: false,
        };
        self.kept.insert(gateway, kept);
    }

    /// What is left; of what nobody put in, everything.
    pub(crate) fn of(&self, gateway: GatewayKey, now: DateTime<Utc>) -> Allowance {
        self.kept
            .get(&gateway)
            .map_or_else(|| Allowance::new(now), |kept| kept.allowance)
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
            kept.allowance.take(traffic, calls, booked, now);
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
        kept.allowance.book(traffic, now)
    }

    /// Somebody was turned away as too many calls are under way: the next one waits behind.
    pub(crate) fn turn_away(&mut self, gateway: GatewayKey) {
        if let Some(kept) = self.kept.get_mut(&gateway) {
            kept.allowance.turned_away = kept.allowance.turned_away.saturating_add(1);
        }
    }

    /// What has to be written back.
    pub(crate) fn changed(&self) -> Vec<(GatewayKey, Allowance)> {
        self.kept
            .iter()
            .filter(|(_, kept)| kept.is_locked && kept.is_changed)
            .map(|(gateway, kept)| (*gateway, kept.allowance))
            .collect()
    }
}
