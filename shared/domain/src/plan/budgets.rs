//! The rate budgets that a batch of plans takes its calls from.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use crate::gateway::GatewayKey;
use crate::traffic::{RateBudget, Traffic};

/// Rate budgets by gateway account: read at the beginning of a batch, taken from plan by plan, written back at its end.
#[derive(Debug, Default)]
pub struct RateBudgets {
    entries: HashMap<GatewayKey, Entry>,
    queues: HashSet<GatewayKey>,
}

#[derive(Debug)]
struct Entry {
    budget: RateBudget,
    /// Whether its row is locked, so that changes must be written back.
    is_locked: bool,
    is_changed: bool,
}

impl RateBudgets {
    /// Adds the budget of a gateway account, as read from its locked row or as this worker knows it.
    pub fn put(&mut self, gateway: GatewayKey, budget: RateBudget, is_locked: bool) {
        let entry = Entry {
            budget,
            is_locked,
            is_changed: false,
        };
        self.entries.insert(gateway, entry);
    }

    /// Returns the budget of a gateway account; a full one if none was added.
    pub fn of(&self, gateway: GatewayKey, now: DateTime<Utc>) -> RateBudget {
        let entry = self.entries.get(&gateway);
        entry.map_or_else(|| RateBudget::new(now), |entry| entry.budget)
    }

    /// Notes that validations wait for the gateway account, so that others wait behind them.
    pub fn add_queue(&mut self, gateway: GatewayKey) {
        self.queues.insert(gateway);
    }

    /// Whether validations wait for the gateway account.
    pub(super) fn has_queue(&self, gateway: GatewayKey) -> bool {
        self.queues.contains(&gateway)
    }

    /// Takes calls. `booked`: the time that an earlier plan booked for the first of them.
    pub(super) fn take(
        &mut self,
        gateway: GatewayKey,
        traffic: &Traffic,
        calls: u32,
        booked: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) {
        if let Some(entry) = self.entries.get_mut(&gateway) {
            entry.budget.take(traffic, calls, booked, now);
            entry.is_changed = true;
        }
    }

    /// Books a later call.
    pub(super) fn book(
        &mut self,
        gateway: GatewayKey,
        traffic: &Traffic,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let entry = self.entries.get_mut(&gateway)?;
        entry.is_changed = true;
        entry.budget.book(traffic, now)
    }

    /// Returns the budgets to write back.
    pub fn changed(&self) -> Vec<(GatewayKey, RateBudget)> {
        let entries = self.entries.iter();
        entries
            .filter(|(_, entry)| entry.is_locked && entry.is_changed)
            .map(|(gateway, entry)| (*gateway, entry.budget))
            .collect()
    }
}
