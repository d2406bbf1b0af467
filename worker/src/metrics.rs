//! What Prometheus reads of a worker at `/metrics`: what it took in hand and settled, the calls it made at gateways, and what
//! came of them. Labels are bounded: gateway accounts and merchants are set up by ops people, everything else is one of a few
//! words. `docs/metrics.md` lists all; `facts` tells what the database knows.

mod labels;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use khata_crypto::RotateBy;
use khata_domain::traffic::PostponeReason;
use khata_domain::validation::{AttemptState, CallResult, Next, Outcome};
use khata_domain::{Class, Gateway, MerchantId, Method};
use khata_store::Pool;
use khata_store::validations::Settlement;
use khata_telemetry::metrics::{
    BATCH_SIZES, Buckets, Build, COMMIT_SECONDS, Exemplar, Histograms, Times, register_pool,
    register_rotate_by, registry, text,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::consumer::InHand;
use crate::database_metrics::Facts;
use labels::{
    Call, Completed, GatewayName, HeldUp, Merchant, OfOutcome, OfResult, Part, Queue, ToldDrop, Why,
};

pub(crate) use labels::Place;

/// Seconds; a gateway answers within milliseconds or hangs until the time-out.
const CALL_SECONDS: Buckets =
    Buckets(&[0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
/// Seconds from asking to knowing: from a VPA look-up to a gateway that is down for a day.
const VALIDATION_SECONDS: Buckets = Buckets(&[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 21_600.0, 86_400.0,
    172_800.0,
]);
/// Seconds from a gateway's answer to a final account: the objective is 60.
const SETTLE_SECONDS: Buckets = Buckets(&[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0,
]);

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Its lease had run out: somebody else decides.
    LeaseLost,
    /// The database refused it.
    Refused,
    /// The database was away until the lease ran out.
    TooLate,
}

/// When things happened to a validation in hand.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// It was asked for.
    pub(crate) created_at: DateTime<Utc>,
    /// The gateway called back with what is being settled, or it was heard.
    pub(crate) answered_at: DateTime<Utc>,
    /// W3C trace context of its trace.
    pub(crate) trace_parent: Option<String>,
}

/// One worker's metrics.
pub(crate) struct Metrics {
    registry: Registry,
    claims: Family<OfResult, Counter>,
    settles: Family<OfResult, Counter>,
    batches: Histograms<Part>,
    commits: Histogram,
    completed: Family<Completed, Counter>,
    durations: Times<OfOutcome>,
    settle_delays: HistogramWithExemplars<Exemplar>,
    nobody: Family<Merchant, Counter>,
    wakeups: Family<Why, Counter>,
    queues: Family<Queue, Gauge>,
    calls: Family<Call, Counter>,
    latencies: Times<GatewayName>,
    seconds: Family<Place, Counter<f64, std::sync::atomic::AtomicU64>>,
    held_up: Family<HeldUp, Counter>,
    drops: Family<ToldDrop, Counter>,
    unlisted_codes: Family<GatewayName, Counter>,
    possible_double_drops: Family<Place, Counter>,
    gateway_webhooks: Family<GatewayName, Counter>,
}

impl Metrics {
    pub(crate) fn new(
        pool: Pool,
        in_hand: Arc<InHand>,
        facts: Arc<Facts>,
        rotate_by: RotateBy,
    ) -> Self {
        let metrics = Self {
            registry: registry(Build {
                service: "khata-worker",
                version: khata_version::VERSION,
                commit: khata_version::COMMIT,
            }),
            claims: Family::default(),
            settles: Family::default(),
            batches: Histograms::new_with_constructor(BATCH_SIZES),
            commits: COMMIT_SECONDS.new_metric(),
            completed: Family::default(),
            durations: Times::new_with_constructor(VALIDATION_SECONDS),
            settle_delays: SETTLE_SECONDS.new_metric(),
            nobody: Family::default(),
            wakeups: Family::default(),
            queues: Family::default(),
            calls: Family::default(),
            latencies: Times::new_with_constructor(CALL_SECONDS),
            seconds: Family::default(),
            held_up: Family::default(),
            drops: Family::default(),
            unlisted_codes: Family::default(),
            possible_double_drops: Family::default(),
            gateway_webhooks: Family::default(),
        };
        let mut metrics = metrics.with_pipeline().with_gateways();
        register_pool(&mut metrics.registry, move || {
            khata_store::connections(&pool).into()
        });
        if let Some(seconds) = rotate_by.unix_seconds() {
            register_rotate_by(&mut metrics.registry, seconds);
        }
        metrics.registry.register_collector(Box::new(in_hand));
        metrics.registry.register_collector(Box::new(facts));
        metrics
    }

    fn with_pipeline(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "claims",
            "Validations that were rung for, by what was found",
            self.claims.clone(),
        );
        registry.register(
            "settles",
            "What was found out, by what became of writing it down",
            self.settles.clone(),
        );
        registry.register(
            "lane_batch_size",
            "Claims, and settles, in one transaction",
            self.batches.clone(),
        );
        registry.register_with_unit(
            "lane_commit_duration",
            "How long one transaction of claims and settles took",
            Unit::Seconds,
            self.commits.clone(),
        );
        registry.register(
            "validations_completed",
            "Validations that are final",
            self.completed.clone(),
        );
        registry.register_with_unit(
            "validation_duration",
            "From a validation's being asked for to its being final",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register_with_unit(
            "settle_delay",
            "From the gateway's answer, or its call-back, to the validation's being final",
            Unit::Seconds,
            self.settle_delays.clone(),
        );
        registry.register(
            "validations_without_gateway",
            "Times that a validation was looked at and nobody could be asked until people change something",
            self.nobody.clone(),
        );
        registry.register(
            "scheduler_rings",
            "Validations that the scheduler rang for",
            self.wakeups.clone(),
        );
        registry.register(
            "queue_messages",
            "Messages that wait in the queue",
            self.queues.clone(),
        );
        self
    }

    fn with_gateways(mut self) -> Self {
        let registry = &mut self.registry;
        registry.register(
            "gateway_calls",
            "Calls made at gateways, by what came of them",
            self.calls.clone(),
        );
        registry.register_with_unit(
            "gateway_call_duration",
            "How long a gateway took to answer, or not to",
            Unit::Seconds,
            self.latencies.clone(),
        );
        registry.register_with_unit(
            "gateway_account_call_time",
            "Time spent waiting for a gateway account's answers",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "gateway_waits",
            "Times that a validation was put off as the gateway account could not be asked then",
            self.held_up.clone(),
        );
        registry.register(
            "gateway_penny_drops_told",
            "Penny drops whose outcome the gateway told; of class VALID: a rupee was paid",
            self.drops.clone(),
        );
        registry.register(
            "gateway_unlisted_codes",
            "Answers whose code stands in none of the connector's tables",
            self.unlisted_codes.clone(),
        );
        registry.register(
            "gateway_possible_double_drops",
            "Attempts begun although the rupee of a lost one may have been dropped",
            self.possible_double_drops.clone(),
        );
        registry.register(
            "gateway_call_backs_heard",
            "Outcomes that a gateway called back with and that were heard",
            self.gateway_webhooks.clone(),
        );
        self
    }

    /// A validation was rung for; `is_mine`: it is in this worker's hand now, and had not moved on.
    pub(crate) fn claimed(&self, is_mine: bool) {
        let result = if is_mine { "claimed" } else { "moved_on" };
        self.claims.get_or_create(&OfResult { result }).inc();
    }

    /// The lane committed so many claims and settles in one transaction.
    pub(crate) fn committed(&self, claims: usize, settles: usize, took: Duration) {
        for (part, count) in [("claims", claims), ("settles", settles)] {
            if count > 0 {
                #[allow(clippy::cast_precision_loss, reason = "256 at most")]
                self.batches
                    .get_or_create(&Part { part })
                    .observe(count as f64);
            }
        }
        self.commits.observe(took.as_secs_f64());
    }

    /// What was found out is written down.
    pub(crate) fn settled(&self, settlement: &Settlement, timeline: &Timeline) {
        let now = Utc::now();
        let result = match &settlement.next {
            Next::Complete { outcome, failure } => {
                let outcome = outcome.as_str();
                self.completed
                    .get_or_create(&Completed {
                        merchant_id: settlement.key.merchant.to_string(),
                        outcome,
                        failure: failure.map_or("", |failure| failure.as_str()),
                    })
                    .inc();
                let exemplar = Exemplar::of(timeline.trace_parent.as_deref());
                self.durations
                    .get_or_create(&OfOutcome { outcome })
                    .observe(seconds(now - timeline.created_at), exemplar.clone(), None);
                let is_told = matches!(
                    settlement.next,
                    Next::Complete {
                        outcome: Outcome::Valid | Outcome::Invalid | Outcome::Review,
                        ..
                    }
                );
                if is_told && settlement.attempt.is_some() {
                    let delay = seconds(now - timeline.answered_at);
                    self.settle_delays.observe(delay, exemplar, None);
                }
                "completed"
            }
            Next::Wait { .. } => "waiting",
        };
        self.settles.get_or_create(&OfResult { result }).inc();
        self.count_drop(settlement);
    }

    /// What was found out is not written down.
    pub(crate) fn not_settled(&self, why: Settled) {
        let result = match why {
            Settled::LeaseLost => "lease_lost",
            Settled::Refused => "refused",
            Settled::TooLate => "too_late",
        };
        self.settles.get_or_create(&OfResult { result }).inc();
    }

    fn count_drop(&self, settlement: &Settlement) {
        let (Some(attempt), Some(provenance)) = (&settlement.attempt, &settlement.provenance)
        else {
            return;
        };
        let Some(class @ (Class::Valid | Class::Invalid | Class::Review)) = attempt.end.class
        else {
            return;
        };
        if attempt.end.state != AttemptState::Settled || !provenance.method.moves_money() {
            return;
        }
        self.drops
            .get_or_create(&ToldDrop {
                merchant_id: settlement.key.merchant.to_string(),
                gateway: Gateway::from_id(provenance.gateway_id).map_or("", Gateway::name),
                gateway_account: provenance.gateway_reference_id.clone(),
                class: class.as_str(),
            })
            .inc();
    }

    /// Nobody can be asked about a validation until people change something.
    pub(crate) fn found_nobody(&self, merchant: MerchantId) {
        let merchant_id = merchant.to_string();
        self.nobody.get_or_create(&Merchant { merchant_id }).inc();
    }

    /// A validation was put off, as the gateway account has no room for its call.
    pub(crate) fn held_up(&self, account: Place, why: PostponeReason) {
        self.held_up
            .get_or_create(&HeldUp {
                merchant_id: account.merchant_id,
                gateway: account.gateway,
                gateway_account: account.gateway_account,
                why: match why {
                    PostponeReason::Down => "down",
                    PostponeReason::Paused => "paused",
                    PostponeReason::Rate => "rate",
                    PostponeReason::Busy => "busy",
                    PostponeReason::Hours => "hours",
                },
            })
            .inc();
    }

    /// The scheduler rang for what waited until now, for what was rung for and never claimed, and for what a dead worker held.
    pub(crate) fn rang(&self, waited: usize, lost: usize, rescued: usize) {
        for (why, count) in [("waited", waited), ("lost", lost), ("rescued", rescued)] {
            let wakeups = self.wakeups.get_or_create(&Why { why });
            wakeups.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    /// So many messages wait.
    pub(crate) fn depth(&self, messages: u32) {
        let queue = "validations";
        self.queues
            .get_or_create(&Queue { queue })
            .set(i64::from(messages));
    }

    /// So many messages were put aside.
    pub(crate) fn dead_letters(&self, messages: u32) {
        let queue = "dead_letters";
        self.queues
            .get_or_create(&Queue { queue })
            .set(i64::from(messages));
    }

    /// The broker does not say how many messages wait.
    pub(crate) fn depth_unknown(&self) {
        self.queues.clear();
    }

    /// A call was made.
    pub(crate) fn called(
        &self,
        account: Place,
        method: Method,
        heard: &CallResult,
        took: Duration,
        trace_parent: Option<&str>,
    ) {
        let gateway = GatewayName {
            gateway: account.gateway,
        };
        let class = match heard {
            Ok(answer) => answer.class.as_str(),
            Err(_) => "NO_ANSWER",
        };
        if let Ok(answer) = heard
            && answer.unlisted
        {
            self.unlisted_codes.get_or_create(&gateway).inc();
        }
        self.latencies.get_or_create(&gateway).observe(
            took.as_secs_f64(),
            Exemplar::of(trace_parent),
            None,
        );
        self.seconds
            .get_or_create(&account)
            .inc_by(took.as_secs_f64());
        self.calls
            .get_or_create(&Call {
                merchant_id: account.merchant_id,
                gateway: account.gateway,
                gateway_account: account.gateway_account,
                method: method.as_str(),
                class,
            })
            .inc();
    }

    /// A gateway's call-back was heard.
    pub(crate) fn count_webhook(&self, gateway: Gateway) {
        let gateway = GatewayName {
            gateway: gateway.name(),
        };
        self.gateway_webhooks.get_or_create(&gateway).inc();
    }

    /// An attempt was begun that may drop a second rupee.
    pub(crate) fn may_drop_twice(&self, account: &Place) {
        self.possible_double_drops.get_or_create(account).inc();
    }

    /// In the OpenMetrics text format.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        text(&self.registry)
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of days")]
fn seconds(time: TimeDelta) -> f64 {
    time.num_milliseconds().max(0) as f64 / 1_000.0
}

#[cfg(test)]
mod tests;
