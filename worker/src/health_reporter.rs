//! What this worker hears of gateway accounts, told to Postgres about once a second, and what all workers know of those
//! that cannot simply be asked.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::Connection;
use khata_config::shutdown::Shutdown;
use khata_domain::score::Bank;
use khata_domain::validation::CallResult;
use khata_domain::{CallFailure, Class, GatewayResponse};
use khata_store::gateway_health::{
    self, GatewayKey, GatewayState, HealthChange, OutcomeCounts, ScoreKey,
};
use khata_store::{Pool, PooledConnection};
use tokio::sync::Notify;
use tracing::{info, warn};
use uuid::Uuid;

/// How often it tells and asks; so old is what a worker knows at most.
const EVERY: Duration = Duration::from_secs(1);
/// Bad news is told sooner, but no more often than this.
const AT_ONCE: Duration = Duration::from_millis(100);
/// The bounds of what a gateway's `Retry-After` is believed.
const PAUSE: (TimeDelta, TimeDelta) = (TimeDelta::seconds(1), TimeDelta::hours(1));
/// What is asked of a gateway that said it was asked too often and not for how long.
const PAUSE_UNSAID: TimeDelta = TimeDelta::seconds(10);

/// One worker's view.
pub(crate) struct Watch {
    worker: Uuid,
    inner: Mutex<Inner>,
    bad_news: Notify,
}

#[derive(Default)]
struct Inner {
    news: HashMap<GatewayKey, HealthChange>,
    outcomes: HashMap<ScoreKey, OutcomeCounts>,
    troubled: HashMap<GatewayKey, GatewayState>,
    in_hand: HashMap<GatewayKey, u32>,
    /// Of these the calls in hand are told to the other workers.
    counted: HashSet<GatewayKey>,
}

/// What a call came to.
pub(crate) struct Report<'a> {
    pub(crate) gateway: GatewayKey,
    pub(crate) bank: Bank,
    pub(crate) heard: &'a CallResult,
    /// When the attempt began.
    pub(crate) started_at: DateTime<Utc>,
    /// Nothing more will come of it.
    pub(crate) is_settled: bool,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            worker: Uuid::new_v4(),
            inner: Mutex::default(),
            bad_news: Notify::new(),
        }
    }

    /// Names this worker among those that share limits.
    pub(crate) fn worker(&self) -> Uuid {
        self.worker
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of a gateway account that cannot simply be asked.
    pub(crate) fn trouble(&self, gateway: GatewayKey) -> Option<GatewayState> {
        self.lock().troubled.get(&gateway).cloned()
    }

    /// Calls that this worker has in hand there.
    pub(crate) fn in_hand(&self, gateway: GatewayKey) -> u32 {
        self.lock().in_hand.get(&gateway).copied().unwrap_or(0)
    }

    /// The same, if other workers are to know.
    pub(crate) fn counted(&self, gateway: GatewayKey) -> Option<u32> {
        let inner = self.lock();
        let calls = inner.in_hand.get(&gateway).copied().unwrap_or(0);
        inner.counted.contains(&gateway).then_some(calls)
    }

    /// Counts a call in hand until the answer is dropped. `counted`: other workers are to know.
    pub(crate) fn begin(self: &Arc<Self>, gateway: GatewayKey, counted: bool) -> CallInHand {
        let mut inner = self.lock();
        *inner.in_hand.entry(gateway).or_default() += 1;
        if counted {
            inner.counted.insert(gateway);
        }
        CallInHand {
            watch: Arc::clone(self),
            gateway,
        }
    }

    /// Takes note of what a call came to.
    pub(crate) fn note(&self, report: &Report<'_>) {
        let now = Utc::now();
        let (news, is_bad) = news_of(report.heard, now);
        let outcome = outcome_of(report, now);
        let mut inner = self.lock();
        let was_troubled = inner.troubled.contains_key(&report.gateway);
        if let Some(until) = news.paused_until {
            // Known here at once, elsewhere when it is told.
            inner
                .troubled
                .entry(report.gateway)
                .or_insert_with(|| new_state(report.gateway, now))
                .paused_until = Some(until);
        }
        add(inner.news.entry(report.gateway).or_default(), news);
        if let Some(outcome) = outcome {
            let key = ScoreKey {
                gateway: report.gateway,
                bank: report.bank.as_str().to_owned(),
            };
            let sum = inner.outcomes.entry(key).or_default();
            sum.conclusive += outcome.conclusive;
            sum.failed += outcome.failed;
            sum.latency_ms = outcome.latency_ms.or(sum.latency_ms);
        }
        drop(inner);
        if is_bad || was_troubled {
            self.bad_news.notify_one();
        }
    }

    /// Tells and asks until shut down, and once more then.
    pub(crate) async fn run(self: Arc<Self>, pool: Pool, mut shutdown: Shutdown) {
        let mut failed = false;
        loop {
            let last = tokio::select! {
                () = shutdown.raised() => true,
                () = tokio::time::sleep(EVERY) => false,
                () = self.bad_news.notified() => {
                    tokio::time::sleep(AT_ONCE).await;
                    false
                }
            };
            let (watch, pool) = (Arc::clone(&self), pool.clone());
            let exchanged = tokio::task::spawn_blocking(move || watch.exchange(&pool)).await;
            match exchanged.map_err(anyhow::Error::from).flatten() {
                Ok(()) => failed = false,
                Err(failure) if !failed => {
                    warn!(error = %failure, "cannot share what is known of gateways; trying again");
                    failed = true;
                }
                Err(_) => {}
            }
            if last {
                return;
            }
        }
    }

    fn exchange(&self, pool: &Pool) -> anyhow::Result<()> {
        let (news, outcomes, in_hand) = {
            let mut inner = self.lock();
            let in_hand = inner
                .counted
                .iter()
                .map(|key| (*key, inner.in_hand.get(key).copied().unwrap_or(0)))
                .collect::<Vec<_>>();
            let news: Vec<_> = inner.news.drain().collect();
            let outcomes: Vec<_> = inner.outcomes.drain().collect();
            // What has come to rest is told once more, and then no more.
            for (key, calls) in &in_hand {
                if *calls == 0 {
                    inner.counted.remove(key);
                }
            }
            (news, outcomes, in_hand)
        };
        let told = (|| {
            let mut connection: PooledConnection = pool.get()?;
            connection.transaction(|connection| {
                let now = Utc::now();
                gateway_health::record_changes(connection, &news, now)?;
                gateway_health::write_open_calls(connection, self.worker, &in_hand)?;
                gateway_health::add_outcomes(connection, &outcomes, now)
            })?;
            Ok(gateway_health::impaired(&mut connection)?)
        })();
        let mut inner = self.lock();
        match told {
            Ok(states) => {
                let troubled: HashMap<_, _> =
                    states.into_iter().map(|state| (state.key, state)).collect();
                tell_changes(&inner.troubled, &troubled);
                inner.troubled = troubled;
                Ok(())
            }
            Err(failure) => {
                // It is told with the next.
                for (key, one) in news {
                    add(inner.news.entry(key).or_default(), one);
                }
                Err(failure)
            }
        }
    }
}

/// A call in hand; it is not, any more, once this is dropped.
pub(crate) struct CallInHand {
    watch: Arc<Watch>,
    gateway: GatewayKey,
}

impl Drop for CallInHand {
    fn drop(&mut self) {
        let mut inner = self.watch.lock();
        if let Some(calls) = inner.in_hand.get_mut(&self.gateway) {
            *calls = calls.saturating_sub(1);
            if *calls == 0 {
                inner.in_hand.remove(&self.gateway);
            }
        }
    }
}

fn new_state(key: GatewayKey, now: DateTime<Utc>) -> GatewayState {
    GatewayState {
        key,
        circuit: khata_domain::circuit::Circuit::new(now),
        paused_until: None,
        next_call_at: None,
        misconfigured: None,
        open_calls: 0,
    }
}

/// What a call says of the gateway's own health, and whether others had better know at once. What it says of a bank is
/// no news of the gateway.
fn news_of(heard: &CallResult, now: DateTime<Utc>) -> (HealthChange, bool) {
    let pause = |asked: Option<Duration>| {
        let asked = asked.and_then(|wait| TimeDelta::from_std(wait).ok());
        Some(now + asked.map_or(PAUSE_UNSAID, |wait| wait.clamp(PAUSE.0, PAUSE.1)))
    };
    let served = HealthChange {
        served: 1,
        misconfigured: Some(None),
        ..HealthChange::default()
    };
    match heard {
        Err(CallFailure::Rejected { retry_after }) => {
            let news = HealthChange {
                paused_until: pause(*retry_after),
                ..HealthChange::default()
            };
            (news, true)
        }
        Err(_) => {
            let news = HealthChange {
                failed: 1,
                ..HealthChange::default()
            };
            (news, true)
        }
        Ok(GatewayResponse {
            class: Class::Retryable,
            retry_after: Some(wait),
            ..
        }) => {
            let news = HealthChange {
                paused_until: pause(Some(*wait)),
                ..HealthChange::default()
            };
            (news, true)
        }
        Ok(answer) if answer.class == Class::Misconfigured => {
            let news = HealthChange {
                failed: 1,
                misconfigured: Some(Some(answer.code.clone())),
                ..HealthChange::default()
            };
            (news, true)
        }
        Ok(_) => (served, false),
    }
}

/// How the attempt went, once nothing more will come of it.
fn outcome_of(report: &Report<'_>, now: DateTime<Utc>) -> Option<OutcomeCounts> {
    if !report.is_settled {
        return None;
    }
    let class = match report.heard {
        Ok(answer) => answer.class,
        Err(_) => Class::Retryable,
    };
    #[allow(clippy::cast_precision_loss, reason = "milliseconds")]
    let latency_ms = (now - report.started_at).num_milliseconds().max(0) as f64;
    Some(match class {
        Class::Valid | Class::Invalid | Class::Review => OutcomeCounts {
            conclusive: 1,
            failed: 0,
            latency_ms: Some(latency_ms),
        },
        _ => OutcomeCounts {
            conclusive: 0,
            failed: 1,
            latency_ms: None,
        },
    })
}

fn add(sum: &mut HealthChange, news: HealthChange) {
    sum.served += news.served;
    sum.failed += news.failed;
    sum.paused_until = sum.paused_until.max(news.paused_until);
    if news.misconfigured.is_some() {
        sum.misconfigured = news.misconfigured;
    }
}

fn tell_changes(
    before: &HashMap<GatewayKey, GatewayState>,
    after: &HashMap<GatewayKey, GatewayState>,
) {
    let open = |states: &HashMap<GatewayKey, GatewayState>, key| {
        states
            .get(key)
            .is_some_and(|state: &GatewayState| !state.circuit.is_closed())
    };
    for (key, state) in after {
        if let Some(until) = state.circuit.open_until
            && !open(before, key)
        {
            warn!(
                merchant_id = %key.merchant, gateway_account_id = %key.account, until = %until.to_rfc3339(),
                "most calls to this gateway account fail: it is left alone for a while, and others are asked"
            );
        }
    }
    for key in before.keys() {
        if open(before, key) && !open(after, key) {
            info!(merchant_id = %key.merchant, gateway_account_id = %key.account, "the gateway account answers again");
        }
    }
}
