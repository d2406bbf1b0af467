//! One endpoint: how many calls it can take now.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use khata_domain::circuit::{Circuit, CircuitState};

use crate::deliveries::call_budget::CallBudget;
use crate::deliveries::sender::EndpointSender;

/// Interval at which claims scan the due deliveries from the beginning.
const SCAN_INTERVAL: Duration = Duration::from_secs(10);

/// An endpoint that this worker owns, or at which it still has calls in progress.
pub(super) struct OwnedEndpoint {
    pub(super) is_owned: bool,
    pub(super) is_enabled: bool,
    /// The version of the settings; 0 until they are read.
    pub(super) version: i32,
    /// `None`: the settings are unusable.
    pub(super) sender: Option<Arc<EndpointSender>>,
    pub(super) concurrency: usize,
    pub(super) budget: Option<CallBudget>,
    /// Calls in progress.
    pub(super) calls: usize,
    /// Attempts without a stored result: the calls in progress, and those that have ended since the last commit.
    pub(super) attempts: usize,
    /// A claim is under way.
    pub(super) is_claiming: bool,
    /// When a claim may find a due delivery.
    pub(super) due_at: Option<Instant>,
    /// When a claim may find an attempt that was lost.
    pub(super) lost_at: Option<Instant>,
    /// Claims scan from this due time on, until they scan from the beginning again.
    pub(super) due_from: Option<DateTime<Utc>>,
    pub(super) scans_again_at: Instant,
    pub(super) busy_at: Instant,
    pub(super) circuit: Circuit,
    pub(super) last_turn: u64,
}

impl OwnedEndpoint {
    pub(super) fn new(now: Instant, time: DateTime<Utc>) -> Self {
        Self {
            is_owned: false,
            is_enabled: true,
            version: 0,
            sender: None,
            concurrency: 1,
            budget: None,
            calls: 0,
            attempts: 0,
            is_claiming: false,
            due_at: None,
            lost_at: None,
            due_from: None,
            scans_again_at: now,
            busy_at: now,
            circuit: Circuit::new(time),
            last_turn: 0,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.attempts == 0 && !self.is_claiming
    }

    /// Returns when a claim may find something.
    pub(super) fn claims_at(&self) -> Option<Instant> {
        let times = [self.due_at, self.lost_at];
        times.into_iter().flatten().min()
    }

    /// Returns the due time from which a claim scans; `None`: from the beginning, where it finds lost attempts, and deliveries of
    /// transactions that took long.
    pub(super) fn next_scan(&mut self, now: Instant) -> Option<DateTime<Utc>> {
        let is_lost = self.lost_at.is_some_and(|at| at <= now);
        if is_lost || now >= self.scans_again_at {
            self.scans_again_at = now + SCAN_INTERVAL;
            return None;
        }
        self.due_from
    }

    /// Returns the calls that the endpoint can take now; otherwise, from when on it can take one, if no call has to end first.
    pub(super) fn free(&self, now: Instant, time: DateTime<Utc>) -> Result<usize, Option<Instant>> {
        let mut calls = free_calls(self.concurrency, self.calls, self.attempts);
        match self.circuit.state(time) {
            CircuitState::Closed => {}
            CircuitState::HalfOpen if self.calls == 0 => calls = calls.min(1),
            CircuitState::HalfOpen => return Err(None),
            CircuitState::Open(until) => {
                return Err(Some(now + (until - time).to_std().unwrap_or_default()));
            }
        }
        if calls == 0 {
            return Err(None);
        }
        let Some(budget) = &self.budget else {
            return Ok(calls);
        };
        match budget.free(now) {
            0 => Err(Some(budget.free_at())),
            free => Ok(calls.min(free)),
        }
    }
}

/// Returns the calls that are free. A call is free when it has ended, so that one transaction stores its result and begins the next
/// attempt. Results that are not stored take the place of calls once they are as many, as while Postgres is away.
pub(super) fn free_calls(concurrency: usize, calls: usize, attempts: usize) -> usize {
    let free = concurrency.saturating_sub(calls);
    free.min((2 * concurrency).saturating_sub(attempts))
}
