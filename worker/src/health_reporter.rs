//! Reports what this worker learns about gateway accounts to Postgres, about once a second, and reads what all workers know
//! about those that are down, paused or limited.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::Connection;
use khata_config::shutdown::Shutdown;
use khata_domain::attempt::{Attempt, AttemptState, CallResult};
use khata_domain::circuit::Circuit;
use khata_domain::gateway::GatewayKey;
use khata_domain::score::Bank;
use khata_domain::{CallFailure, Class};
use khata_store::gateway_health::{self, GatewayState, HealthChange, OutcomeCounts, ScoreKey};
use khata_store::{Pool, PooledConnection};
use tokio::sync::Notify;
use tracing::{info, warn};
use uuid::Uuid;

use crate::clock::DatabaseClock;

/// Interval between reports; the maximum age of what a worker knows.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum interval between early reports of failures.
const EARLY_REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// Bounds within which a gateway's `Retry-After` is followed.
const PAUSE: (TimeDelta, TimeDelta) = (TimeDelta::seconds(1), TimeDelta::hours(1));
/// Pause after a gateway rejected a call without a `Retry-After`.
const DEFAULT_PAUSE: TimeDelta = TimeDelta::seconds(10);

/// This worker's view of the gateway accounts.
pub(crate) struct HealthReporter {
    worker: Uuid,
    clock: Arc<DatabaseClock>,
    inner: Mutex<Inner>,
    urgent: Notify,
}

#[derive(Default)]
struct Inner {
    changes: HashMap<GatewayKey, HealthChange>,
    outcomes: HashMap<ScoreKey, OutcomeCounts>,
    /// Gateway accounts that are not simply available, as all workers know them.
    states: HashMap<GatewayKey, GatewayState>,
    calls: HashMap<GatewayKey, u32>,
    /// Calls of awaited validations among them.
    awaited_calls: HashMap<GatewayKey, u32>,
    /// Gateway accounts of which the other workers need the number of calls.
    shared: HashSet<GatewayKey>,
    /// Gateway accounts for which validations wait, as far as this worker knows.
    queues: HashSet<GatewayKey>,
}

impl HealthReporter {
    pub(crate) fn new(clock: Arc<DatabaseClock>) -> Self {
        Self {
            clock,
            worker: Uuid::new_v4(),
            inner: Mutex::default(),
            urgent: Notify::new(),
        }
    }

    /// Identifies this worker among those that share quotas.
    pub(crate) fn worker(&self) -> Uuid {
        self.worker
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the state of a gateway account that is down, paused or limited.
    pub(crate) fn state(&self, gateway: GatewayKey) -> Option<GatewayState> {
        self.lock().states.get(&gateway).cloned()
    }

    /// Returns the number of calls that this worker makes there now.
    pub(crate) fn calls_in_progress(&self, gateway: GatewayKey) -> u32 {
        self.lock().calls.get(&gateway).copied().unwrap_or(0)
    }

    /// Returns the number of calls that count against the gateway account's share of this worker. The worker keeps permits of
    /// their own for awaited validations.
    pub(crate) fn share_used(&self, gateway: GatewayKey) -> u32 {
        let inner = self.lock();
        let calls = |calls: &HashMap<_, _>| calls.get(&gateway).copied().unwrap_or(0);
        calls(&inner.calls).saturating_sub(calls(&inner.awaited_calls))
    }

    /// Returns the same number if the other workers need it.
    pub(crate) fn shared_calls(&self, gateway: GatewayKey) -> Option<u32> {
        let is_shared = self.lock().shared.contains(&gateway);
        is_shared.then(|| self.calls_in_progress(gateway))
    }

    /// Whether validations wait until the gateway account can take their calls.
    pub(crate) fn has_queue(&self, gateway: GatewayKey) -> bool {
        self.lock().queues.contains(&gateway)
    }

    pub(crate) fn set_queue(&self, gateway: GatewayKey, has_queue: bool) {
        let mut inner = self.lock();
        if has_queue {
            inner.queues.insert(gateway);
        } else {
            inner.queues.remove(&gateway);
        }
    }

    /// Counts a call until the returned value is dropped. `is_shared`: the other workers need the number of calls.
    pub(crate) fn begin_call(
        self: &Arc<Self>,
        gateway: GatewayKey,
        is_shared: bool,
        is_awaited: bool,
    ) -> CallInProgress {
        let mut inner = self.lock();
        *inner.calls.entry(gateway).or_default() += 1;
        if is_awaited {
            *inner.awaited_calls.entry(gateway).or_default() += 1;
        }
        if is_shared {
            inner.shared.insert(gateway);
        }
        CallInProgress {
            reporter: Arc::clone(self),
            gateway,
            is_awaited,
        }
    }

    /// Records the result of a call of this attempt, for the next report.
    pub(crate) fn record(
        &self,
        gateway: GatewayKey,
        bank: &Bank,
        attempt: &Attempt,
        result: &CallResult,
    ) {
        let now = self.clock.now();
        let change = change_of(result, now);
        let is_failure = change.served == 0;
        let mut inner = self.lock();
        let had_state = inner.states.contains_key(&gateway);
        if let Some(until) = change.paused_until {
            // This worker follows the pause at once, the others after the report.
            let state = inner.states.entry(gateway);
            state.or_insert_with(|| healthy(gateway, now)).paused_until = Some(until);
        }
        add(inner.changes.entry(gateway).or_default(), change);
        if attempt.state == AttemptState::Settled {
            let outcome = outcome_of(attempt, result, now);
            let bank = bank.as_str().to_owned();
            let key = ScoreKey { gateway, bank };
            add_outcome(inner.outcomes.entry(key).or_default(), &outcome);
        }
        drop(inner);
        if is_failure || had_state {
            self.urgent.notify_one();
        }
    }

    /// Reports until shut down, and once more then.
    pub(crate) async fn run(self: Arc<Self>, pool: Pool, mut shutdown: Shutdown) {
        let mut has_failed = false;
        loop {
            let is_last = tokio::select! {
                () = shutdown.raised() => true,
                () = tokio::time::sleep(REPORT_INTERVAL) => false,
                () = self.urgent.notified() => {
                    tokio::time::sleep(EARLY_REPORT_INTERVAL).await;
                    false
                }
            };
            let (health, pool) = (Arc::clone(&self), pool.clone());
            let result = tokio::task::spawn_blocking(move || health.report(&pool)).await;
            match result.map_err(anyhow::Error::from).flatten() {
                Ok(()) => has_failed = false,
                Err(failure) => {
                    if !has_failed {
                        warn!(error = %failure, "gateway health not reported; retrying");
                    }
                    has_failed = true;
                }
            }
            if is_last {
                return;
            }
        }
    }

    fn report(&self, pool: &Pool) -> anyhow::Result<()> {
        let (changes, outcomes, calls) = self.take_unreported();
        let reported = (|| {
            let mut connection: PooledConnection = pool.get()?;
            connection.transaction(|connection| {
                let now = self.clock.now();
                gateway_health::record_changes(connection, &changes, now)?;
                gateway_health::write_open_calls(connection, self.worker, &calls)?;
                gateway_health::add_outcomes(connection, &outcomes, now)
            })?;
            Ok(gateway_health::impaired(&mut connection)?)
        })();
        let mut inner = self.lock();
        match reported {
            Ok(states) => {
                let states = states.into_iter().map(|state| (state.key, state)).collect();
                log_circuits(&inner.states, &states);
                inner.states = states;
                Ok(())
            }
            Err(failure) => {
                // The next report contains them.
                for (key, change) in changes {
                    add(inner.changes.entry(key).or_default(), change);
                }
                for (key, counts) in outcomes {
                    add_outcome(inner.outcomes.entry(key).or_default(), &counts);
                }
                inner.shared.extend(calls.into_iter().map(|(key, _)| key));
                Err(failure)
            }
        }
    }

    #[allow(clippy::type_complexity, reason = "three lists, read once")]
    fn take_unreported(
        &self,
    ) -> (
        Vec<(GatewayKey, HealthChange)>,
        Vec<(ScoreKey, OutcomeCounts)>,
        Vec<(GatewayKey, u32)>,
    ) {
        let inner = &mut *self.lock();
        let calls_at = |key: &GatewayKey| inner.calls.get(key).copied().unwrap_or(0);
        let calls = inner.shared.iter().map(|key| (*key, calls_at(key)));
        let calls: Vec<_> = calls.collect();
        // A count of zero is reported once, and then no more.
        for (key, _) in calls.iter().filter(|(_, count)| *count == 0) {
            inner.shared.remove(key);
        }
        let changes = inner.changes.drain().collect();
        (changes, inner.outcomes.drain().collect(), calls)
    }
}

/// A call in progress, until dropped.
pub(crate) struct CallInProgress {
    reporter: Arc<HealthReporter>,
    gateway: GatewayKey,
    is_awaited: bool,
}

impl CallInProgress {
    pub(crate) fn gateway(&self) -> GatewayKey {
        self.gateway
    }
}

impl Drop for CallInProgress {
    fn drop(&mut self) {
        let end = |calls: &mut HashMap<GatewayKey, u32>| {
            if let Some(count) = calls.get_mut(&self.gateway) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    calls.remove(&self.gateway);
                }
            }
        };
        let mut inner = self.reporter.lock();
        end(&mut inner.calls);
        if self.is_awaited {
            end(&mut inner.awaited_calls);
        }
    }
}

fn healthy(key: GatewayKey, now: DateTime<Utc>) -> GatewayState {
    GatewayState {
        key,
        circuit: Circuit::new(now),
        paused_until: None,
        next_call_at: None,
        misconfigured: None,
        open_calls: 0,
    }
}

/// Returns what a call says about the gateway's own health. A result about the bank says the gateway works.
fn change_of(result: &CallResult, now: DateTime<Utc>) -> HealthChange {
    let paused = |retry_after: Option<Duration>| {
        let retry_after = retry_after.and_then(|wait| TimeDelta::from_std(wait).ok());
        let pause = retry_after.map_or(DEFAULT_PAUSE, |wait| wait.clamp(PAUSE.0, PAUSE.1));
        HealthChange {
            paused_until: Some(now + pause),
            ..HealthChange::default()
        }
    };
    let failed = HealthChange {
        failed: 1,
        ..HealthChange::default()
    };
    match result {
        Err(CallFailure::Rejected { retry_after }) => paused(*retry_after),
        Err(CallFailure::NotSent(_) | CallFailure::ResponseLost(_)) => failed,
        Ok(response) if response.class == Class::Retryable && response.retry_after.is_some() => {
            paused(response.retry_after)
        }
        Ok(response) if response.class == Class::Misconfigured => HealthChange {
            misconfigured: Some(Some(response.code.clone())),
            ..failed
        },
        Ok(_) | Err(CallFailure::NotReceived) => HealthChange {
            served: 1,
            misconfigured: Some(None),
            ..HealthChange::default()
        },
    }
}

/// Returns the result of a settled attempt, for the gateway account's score.
fn outcome_of(attempt: &Attempt, result: &CallResult, now: DateTime<Utc>) -> OutcomeCounts {
    let is_final = result
        .as_ref()
        .is_ok_and(|response| response.class.is_final());
    #[allow(clippy::cast_precision_loss, reason = "milliseconds")]
    let latency_ms = (now - attempt.started_at).num_milliseconds().max(0) as f64;
    OutcomeCounts {
        conclusive: u32::from(is_final),
        failed: u32::from(!is_final),
        latency_ms: is_final.then_some(latency_ms),
    }
}

fn add(sum: &mut HealthChange, change: HealthChange) {
    sum.served += change.served;
    sum.failed += change.failed;
    sum.paused_until = sum.paused_until.max(change.paused_until);
    if change.misconfigured.is_some() {
        sum.misconfigured = change.misconfigured;
    }
}

fn add_outcome(sum: &mut OutcomeCounts, outcome: &OutcomeCounts) {
    sum.conclusive += outcome.conclusive;
    sum.failed += outcome.failed;
    sum.latency_ms = outcome.latency_ms.or(sum.latency_ms);
}

fn log_circuits(
    before: &HashMap<GatewayKey, GatewayState>,
    after: &HashMap<GatewayKey, GatewayState>,
) {
    let is_open = |states: &HashMap<GatewayKey, GatewayState>, key| {
        let state: Option<&GatewayState> = states.get(key);
        state.is_some_and(|state| !state.circuit.is_closed())
    };
    for (key, state) in after {
        if let Some(until) = state.circuit.open_until
            && !is_open(before, key)
        {
            warn!(
                merchant_id = %key.merchant, gateway_account_id = %key.account, until = %until.to_rfc3339(),
                "gateway circuit opened: most calls to this gateway account fail; other gateway accounts are used"
            );
        }
    }
    for key in before.keys() {
        if is_open(before, key) && !is_open(after, key) {
            info!(merchant_id = %key.merchant, gateway_account_id = %key.account, "gateway circuit closed");
        }
    }
}
