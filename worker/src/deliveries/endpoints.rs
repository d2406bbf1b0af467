//! The endpoints that this worker owns: how many calls each can take now.

mod owned_endpoint;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use khata_domain::MerchantId;
use khata_domain::circuit::CircuitState;
use khata_domain::events::EndpointKey;
use khata_store::webhooks::{Endpoint, LOST_AFTER, Owned, Wanted};

use super::call_budget::CallBudget;
use super::sender::EndpointSender;
use super::shares::{Ready, share_out};
use super::slot::Settled;
use crate::turns::share_of_one;
use owned_endpoint::{OwnedEndpoint, free_calls};

/// Time without open deliveries after which an endpoint is given up.
const IDLE_TIME: Duration = Duration::from_mins(1);
/// An attempt counts as lost by Postgres's clock; the claim comes this much later.
const LOST_MARGIN: Duration = Duration::from_secs(1);

/// Pause after a claim that was not committed.
const CLAIM_RETRY: Duration = Duration::from_millis(500);

/// The endpoints of one worker.
#[derive(Default)]
pub(super) struct Endpoints {
    all: HashMap<EndpointKey, OwnedEndpoint>,
    /// Maximum number of calls at once.
    concurrency: usize,
    /// Calls in progress.
    calls: usize,
    /// Attempts without a stored result.
    attempts: usize,
    turns: u64,
}

/// A claim at one endpoint.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) wanted: Wanted,
    pub(super) sender: Arc<EndpointSender>,
}

/// A change of an endpoint's circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CircuitChange {
    Opened(DateTime<Utc>),
    Closed,
}

/// Numbers for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) owned: usize,
    /// Owned, but the settings are unusable.
    pub(super) unreadable: usize,
    pub(super) open_circuits: usize,
    pub(super) calls: usize,
}

impl Endpoints {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            concurrency,
            ..Self::default()
        }
    }

    /// Returns the owned endpoints, with the versions of their settings.
    pub(super) fn owned(&self) -> Vec<(EndpointKey, i32)> {
        let owned = self.all.iter().filter(|(_, endpoint)| endpoint.is_owned);
        owned
            .map(|(key, endpoint)| (*key, endpoint.version))
            .collect()
    }

    pub(super) fn merchants(&self) -> HashSet<MerchantId> {
        self.owned().iter().map(|(key, _)| key.merchant).collect()
    }

    /// Returns the calls that this worker can make besides those in progress.
    pub(super) fn free(&self) -> usize {
        free_calls(self.concurrency, self.calls, self.attempts)
    }

    /// Returns the attempts without a stored result.
    pub(super) fn attempts(&self) -> usize {
        self.attempts
    }

    /// Owns an endpoint with due deliveries. The attempts of the owner before may be lost.
    pub(super) fn own(&mut self, key: EndpointKey, now: Instant, time: DateTime<Utc>) {
        let endpoint = self.all.entry(key);
        let endpoint = endpoint.or_insert_with(|| OwnedEndpoint::new(now, time));
        endpoint.is_owned = true;
        endpoint.is_enabled = true;
        endpoint.due_at = Some(now);
        endpoint.lost_at = Some(now + LOST_AFTER + LOST_MARGIN);
        endpoint.busy_at = now;
    }

    /// Takes new settings; `sender`: `None` if they are unusable.
    pub(super) fn configure(
        &mut self,
        settings: &Endpoint,
        sender: Option<Arc<EndpointSender>>,
        now: Instant,
    ) {
        let Some(endpoint) = self.all.get_mut(&settings.key()) else {
            return;
        };
        endpoint.version = settings.version;
        endpoint.is_enabled = settings.disabled_at.is_none();
        endpoint.sender = sender;
        let concurrency = usize::try_from(settings.concurrency).unwrap_or(1).max(1);
        // A slow endpoint leaves a part of its merchant's calls to the merchant's others.
        endpoint.concurrency = concurrency.min(share_of_one(share_of_one(self.concurrency)));
        let limit = settings.calls_per_second;
        let limit = limit.and_then(|limit| u32::try_from(limit).ok());
        endpoint.budget = limit.map(|limit| CallBudget::new(limit, now));
    }

    /// Takes the result of a renewal of `asked`; returns the endpoints that other workers own now.
    pub(super) fn renewed(&mut self, asked: &[EndpointKey], renewed: &[Owned]) -> Vec<EndpointKey> {
        for owned in renewed {
            if let Some(endpoint) = self.all.get_mut(&owned.key) {
                endpoint.is_enabled = owned.is_enabled;
            }
        }
        let kept: HashSet<EndpointKey> = renewed.iter().map(|owned| owned.key).collect();
        let lost = asked.iter().copied().filter(|key| !kept.contains(key));
        let lost: Vec<EndpointKey> = lost.collect();
        for key in &lost {
            self.give_up(*key);
        }
        lost
    }

    /// Claims nothing more. The calls in progress end.
    fn give_up(&mut self, key: EndpointKey) {
        if let Some(endpoint) = self.all.get_mut(&key) {
            endpoint.is_owned = false;
            if endpoint.is_idle() {
                self.all.remove(&key);
            }
        }
    }

    /// Gives up the endpoints that need no owner any more: those that are disabled, and those without open deliveries.
    pub(super) fn take_idle(&mut self, now: Instant) -> Vec<EndpointKey> {
        let is_done = |endpoint: &OwnedEndpoint| {
            let is_quiet =
                now.duration_since(endpoint.busy_at) > IDLE_TIME && endpoint.claims_at().is_none();
            endpoint.is_owned && endpoint.is_idle() && (!endpoint.is_enabled || is_quiet)
        };
        let done = self.all.iter().filter(|(_, endpoint)| is_done(endpoint));
        let done: Vec<EndpointKey> = done.map(|(key, _)| *key).collect();
        for key in &done {
            self.all.remove(key);
        }
        done
    }

    /// Gives up all endpoints; returns them.
    pub(super) fn take_all(&mut self) -> Vec<EndpointKey> {
        let owned = self.owned().into_iter().map(|(key, _)| key);
        let owned: Vec<EndpointKey> = owned.collect();
        for key in &owned {
            self.give_up(*key);
        }
        owned
    }

    /// Claims at the endpoints of these merchants; returns whether one of them has no endpoint here.
    pub(super) fn wake(
        &mut self,
        merchants: &HashSet<MerchantId>,
        now: Instant,
    ) -> Vec<MerchantId> {
        let mut unknown = merchants.clone();
        for (key, endpoint) in &mut self.all {
            if endpoint.is_owned && merchants.contains(&key.merchant) {
                endpoint.due_at = Some(now);
                unknown.remove(&key.merchant);
            }
        }
        unknown.into_iter().collect()
    }

    /// Notes when the next deliveries are due.
    pub(super) fn set_due(&mut self, next_due: &[(EndpointKey, Duration)], now: Instant) {
        for (key, after) in next_due {
            if let Some(endpoint) = self.all.get_mut(key) {
                let at = now + *after;
                endpoint.due_at = Some(endpoint.due_at.map_or(at, |due_at| due_at.min(at)));
                endpoint.busy_at = now;
            }
        }
    }

    /// Returns what to claim now; otherwise, when there may be something to claim.
    pub(super) fn claims(
        &mut self,
        now: Instant,
        time: DateTime<Utc>,
    ) -> Result<Vec<Claim>, Option<Instant>> {
        let free = self.free();
        if free == 0 {
            return Err(None);
        }
        let (mut ready, mut next) = (Vec::new(), None);
        let mut not_before =
            |at: Instant| next = Some(next.map_or(at, |next: Instant| next.min(at)));
        for (key, endpoint) in &self.all {
            let is_usable = endpoint.is_owned && endpoint.is_enabled && !endpoint.is_claiming;
            let (Some(at), true, Some(_)) = (endpoint.claims_at(), is_usable, &endpoint.sender)
            else {
                continue;
            };
            match endpoint.free(now, time) {
                _ if at > now => not_before(at),
                Ok(calls) => ready.push(Ready {
                    key: *key,
                    in_progress: endpoint.calls,
                    last_turn: endpoint.last_turn,
                    calls,
                }),
                Err(Some(at)) => not_before(at),
                Err(None) => {}
            }
        }
        let mut in_progress: HashMap<MerchantId, usize> = HashMap::new();
        for (key, endpoint) in &self.all {
            *in_progress.entry(key.merchant).or_default() += endpoint.calls;
        }
        let claims: Vec<Claim> = share_out(free, &ready, &in_progress)
            .into_iter()
            .filter_map(|(key, calls)| self.claim(key, calls, now, time))
            .collect();
        if claims.is_empty() {
            return Err(next);
        }
        Ok(claims)
    }

    fn claim(
        &mut self,
        key: EndpointKey,
        calls: usize,
        now: Instant,
        time: DateTime<Utc>,
    ) -> Option<Claim> {
        self.turns += 1;
        let endpoint = self.all.get_mut(&key)?;
        let sender = Arc::clone(endpoint.sender.as_ref()?);
        endpoint.last_turn = self.turns;
        endpoint.is_claiming = true;
        let due_from = endpoint.next_scan(now);
        endpoint.due_at = None;
        endpoint.lost_at = endpoint.lost_at.filter(|at| *at > now);
        if endpoint.circuit.state(time) == CircuitState::HalfOpen {
            endpoint.circuit.probed_at = Some(time);
        }
        let wanted = Wanted {
            endpoint: key,
            calls: i64::try_from(calls).unwrap_or(i64::MAX),
            due_from,
        };
        Some(Claim { wanted, sender })
    }

    /// Notes from where the next claims of an endpoint look.
    pub(super) fn scan_from(&mut self, key: EndpointKey, due_from: Option<DateTime<Utc>>) {
        if let Some(endpoint) = self.all.get_mut(&key) {
            endpoint.due_from = due_from.or(endpoint.due_from);
        }
    }

    /// Takes the number of calls that a claim began; `None`: it is unknown whether it was committed, so that it may have begun
    /// attempts that no call follows.
    pub(super) fn claimed(&mut self, claim: &Claim, calls: Option<usize>, now: Instant) {
        let key = claim.wanted.endpoint;
        let Some(endpoint) = self.all.get_mut(&key) else {
            return;
        };
        endpoint.is_claiming = false;
        if let Some(calls) = calls {
            endpoint.calls += calls;
            endpoint.attempts += calls;
            self.calls += calls;
            self.attempts += calls;
            if let Some(budget) = &mut endpoint.budget {
                budget.take(calls, now);
            }
            if i64::try_from(calls).is_ok_and(|calls| calls >= claim.wanted.calls) {
                endpoint.due_at = Some(now);
            }
        } else {
            endpoint.due_at = Some(now + CLAIM_RETRY);
            endpoint.lost_at = Some(now + LOST_AFTER + LOST_MARGIN);
        }
        if calls != Some(0) {
            endpoint.busy_at = now;
        }
        if !endpoint.is_owned && endpoint.is_idle() {
            self.all.remove(&key);
        }
    }

    /// Ends a call; `is_success`: `None` if none was made. Its result is stored later.
    pub(super) fn called(
        &mut self,
        key: EndpointKey,
        is_success: Option<bool>,
        time: DateTime<Utc>,
    ) -> Option<CircuitChange> {
        self.calls = self.calls.saturating_sub(1);
        let endpoint = self.all.get_mut(&key)?;
        endpoint.calls = endpoint.calls.saturating_sub(1);
        let was_closed = endpoint.circuit.is_closed();
        if let Some(is_success) = is_success {
            let (served, failed) = (u32::from(is_success), u32::from(!is_success));
            endpoint.circuit = endpoint.circuit.after(served, failed, time);
        }
        match (was_closed, endpoint.circuit.open_until) {
            (true, Some(until)) => Some(CircuitChange::Opened(until)),
            (false, None) => Some(CircuitChange::Closed),
            _ => None,
        }
    }

    /// Ends an attempt.
    pub(super) fn settled(&mut self, key: EndpointKey, settled: Settled, now: Instant) {
        self.attempts = self.attempts.saturating_sub(1);
        let Some(endpoint) = self.all.get_mut(&key) else {
            return;
        };
        endpoint.attempts = endpoint.attempts.saturating_sub(1);
        endpoint.busy_at = now;
        if settled.has_successor {
            endpoint.due_at = Some(now);
        }
        if !settled.is_stored {
            endpoint.lost_at = Some(now + LOST_AFTER + LOST_MARGIN);
        }
        if !endpoint.is_owned && endpoint.is_idle() {
            self.all.remove(&key);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts {
            calls: self.calls,
            ..Counts::default()
        };
        for endpoint in self.all.values().filter(|endpoint| endpoint.is_owned) {
            counts.owned += 1;
            counts.unreadable += usize::from(endpoint.version > 0 && endpoint.sender.is_none());
            counts.open_circuits += usize::from(!endpoint.circuit.is_closed());
        }
        counts
    }
}

#[cfg(test)]
mod tests;
