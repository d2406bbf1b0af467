//! The metrics of a worker at `/metrics`: claims, settlements, gateway calls and deliveries of events. Labels are bounded: operators create
//! merchants and gateway accounts, and every other label has a few words. `docs/metrics.md` lists all metrics;
//! `database_metrics` exports what the database knows.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use khata_crypto::RotateBy;
use khata_domain::attempt::{AttemptState, CallResult, not_understood};
use khata_domain::events::DisabledBy;
use khata_domain::traffic::PostponeReason;
use khata_domain::validation::{Next, Outcome};
use khata_domain::{Gateway, MerchantId, Method};
use khata_store::Pool;
use khata_store::validations::Settlement;
use khata_telemetry::metrics::{
    BATCH_SIZES, Buckets, Build, COMMIT_SECONDS, Exemplar, Histograms, Times, register_pool,
    register_rotate_by, registry,
};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::consumer_load::ConsumerLoad;
use crate::database_metrics::DatabaseMetrics;
use crate::labels::{
    AttemptLabels, AttemptResult, ClaimResult, CompletedLabels, FieldLabels, GatewayAccountLabels,
    GatewayCallLabels, GatewayLabels, MerchantLabels, OutcomeLabels, PartLabels, PennyDropLabels,
    PostponedLabels, QueueLabels, ReasonLabels, ResultLabels, SettleResult, WakeupReason,
};

/// Seconds; a gateway responds within milliseconds or lets the call time out.
const CALL_SECONDS: Buckets =
    Buckets(&[0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
/// Seconds from the request to the outcome: from a VPA lookup to a gateway that is down for a day.
const VALIDATION_SECONDS: Buckets = Buckets(&[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 21_600.0, 86_400.0,
    172_800.0,
]);
/// Seconds from a gateway's response to a final account: the objective is 60.
const SETTLE_SECONDS: Buckets = Buckets(&[
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0,
]);

/// Seconds from an event to its first delivery: the objective is 0.1, and an endpoint may be down for days.
const DELIVERY_SECONDS: Buckets = Buckets(&[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3_600.0, 86_400.0,
]);

type Seconds = Counter<f64, std::sync::atomic::AtomicU64>;

khata_telemetry::metrics! {
    /// The metrics of one worker.
    pub(crate) struct Metrics();
    claims: Family<ResultLabels, Counter> = Family::default(),
        "claims", "Wake-ups for validations, by result of the claim";
    settles: Family<ResultLabels, Counter> = Family::default(),
        "settles", "Settlements, by result";
    batches: Histograms<PartLabels> = Histograms::new_with_constructor(BATCH_SIZES),
        "lane_batch_size", "Claims, and settlements, in one transaction";
    commits: Histogram = COMMIT_SECONDS.new_metric(),
        "lane_commit_duration" in Seconds, "Duration of one transaction of claims and settlements";
    completed: Family<CompletedLabels, Counter> = Family::default(),
        "validations_completed", "Validations completed";
    durations: Times<OutcomeLabels> = Times::new_with_constructor(VALIDATION_SECONDS),
        "validation_duration" in Seconds, "Time from the request for a validation to its outcome";
    settle_delays: HistogramWithExemplars<Exemplar> = SETTLE_SECONDS.new_metric(),
        "settle_delay" in Seconds, "Time from the gateway's response or webhook to the stored outcome";
    without_gateway: Family<MerchantLabels, Counter> = Family::default(),
        "validations_without_gateway", "Times that no gateway account could validate until an operator acts";
    wakeups: Family<ReasonLabels, Counter> = Family::default(),
        "scheduler_wakeups", "Due validations that the scheduler took, to publish their wake-ups or, without a broker, to queue them in this worker";
    queues: Family<QueueLabels, Gauge> = Family::default(),
        "queue_messages", "Messages in the queue";
    clock_offset: Gauge<f64, std::sync::atomic::AtomicU64> = Gauge::default(),
        "clock_offset" in Seconds, "Time by which this machine's clock is ahead of Postgres's";
    calls: Family<GatewayCallLabels, Counter> = Family::default(),
        "gateway_calls", "Calls to gateways, by class of the response";
    latencies: Times<GatewayLabels> = Times::new_with_constructor(CALL_SECONDS),
        "gateway_call_duration" in Seconds, "Duration of a gateway call, with or without a response";
    call_time: Family<GatewayAccountLabels, Seconds> = Family::default(),
        "gateway_account_call_time" in Seconds, "Total duration of the calls to a gateway account";
    postponed: Family<PostponedLabels, Counter> = Family::default(),
        "gateway_waits", "Validations postponed because the gateway account could not take the call";
    penny_drops: Family<PennyDropLabels, Counter> = Family::default(),
        "gateway_penny_drops_completed", "Penny drops whose outcome the gateway reported; class VALID: a rupee was paid";
    unlisted_codes: Family<GatewayLabels, Counter> = Family::default(),
        "gateway_unlisted_codes", "Responses with a code that the connector's tables do not list";
    not_understood: Family<FieldLabels, Counter> = Family::default(),
        "gateway_fields_not_understood", "Fields of responses that could not be read, and were left out";
    possible_double_drops: Family<GatewayAccountLabels, Counter> = Family::default(),
        "gateway_possible_double_drops", "Attempts that may have paid a rupee after a lost penny drop that may have paid its own";
    webhooks: Family<GatewayLabels, Counter> = Family::default(),
        "gateway_webhooks_recorded", "Gateway webhooks whose outcome was used";
    attempts: Family<AttemptLabels, Counter> = Family::default(),
        "webhook_attempts", "Attempts to deliver an event to a webhook endpoint, by result, and by failure";
    attempts_repeated: Counter = Counter::default(),
        "webhook_attempts_repeated", "Attempts that repeat one whose result was lost: the endpoint may get the event twice";
    first_attempts: HistogramWithExemplars<Exemplar> = DELIVERY_SECONDS.new_metric(),
        "webhook_first_attempt_delay" in Seconds, "Time from an event to the first attempt to deliver it";
    endpoints_disabled: Family<ReasonLabels, Counter> = Family::default(),
        "webhook_endpoints_disabled", "Webhook endpoints that a rule disabled";
    endpoints_owned: Gauge = Gauge::default(),
        "webhook_endpoints_owned", "Webhook endpoints whose calls this worker makes";
    endpoints_unreadable: Gauge = Gauge::default(),
        "webhook_endpoints_unreadable", "Webhook endpoints of this worker that get no calls, because their settings are unusable";
    endpoint_circuits: Gauge = Gauge::default(),
        "webhook_circuits_open", "Webhook endpoints of this worker of which most calls fail, so that only test calls are made";
    webhook_calls: Gauge = Gauge::default(),
        "webhook_calls_in_progress", "Deliveries that this worker makes now";
    alert_posts: Family<ResultLabels, Counter> = Family::default(),
        "operator_alert_posts", "Posts of alerts to the receiver of operators, by result";
}

/// When things happened to a validation.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    pub(crate) created_at: DateTime<Utc>,
    /// When the gateway's response or webhook was received.
    pub(crate) received_at: DateTime<Utc>,
    /// W3C trace context of the account's trace.
    pub(crate) trace_parent: Option<String>,
}

impl Metrics {
    pub(crate) fn new(
        pool: Pool,
        load: Arc<ConsumerLoad>,
        database: Arc<DatabaseMetrics>,
        rotate_by: RotateBy,
    ) -> Self {
        let mut metrics = Self::register(registry(Build {
            service: "khata-worker",
            version: khata_version::VERSION,
            commit: khata_version::COMMIT,
        }));
        let registry = &mut metrics.registry;
        register_pool(registry, move || khata_store::connections(&pool));
        if let Some(seconds) = rotate_by.unix_seconds() {
            register_rotate_by(registry, seconds);
        }
        registry.register_collector(Box::new(load));
        registry.register_collector(Box::new(database));
        metrics
    }

    /// Counts a claim.
    pub(crate) fn claimed(&self, result: ClaimResult) {
        let result = result.as_str();
        self.claims.get_or_create(&ResultLabels { result }).inc();
    }

    /// Counts a committed transaction.
    pub(crate) fn committed(&self, claims: usize, settles: usize, took: Duration) {
        for (part, count) in [("claims", claims), ("settles", settles)] {
            if count > 0 {
                let labels = PartLabels { part };
                #[allow(clippy::cast_precision_loss, reason = "256 at most")]
                self.batches.get_or_create(&labels).observe(count as f64);
            }
        }
        self.commits.observe(took.as_secs_f64());
    }

    /// Counts a settlement that is stored now.
    pub(crate) fn settled(&self, settlement: &Settlement, timeline: &Timeline, now: DateTime<Utc>) {
        let result = match &settlement.next {
            Next::Complete { outcome, failure } => {
                let failure = failure.map_or("", |failure| failure.as_str());
                self.complete(settlement, *outcome, failure, (timeline, now));
                SettleResult::Completed
            }
            Next::Wait { .. } => SettleResult::Waiting,
        };
        self.count_settlement(result);
        self.count_penny_drop(settlement);
    }

    fn complete(
        &self,
        settlement: &Settlement,
        outcome: Outcome,
        failure: &'static str,
        (timeline, now): (&Timeline, DateTime<Utc>),
    ) {
        let is_decided = outcome.is_decided();
        let outcome = outcome.as_str();
        let labels = CompletedLabels {
            merchant_id: settlement.key.merchant.to_string(),
            outcome,
            failure,
        };
        self.completed.get_or_create(&labels).inc();
        let exemplar = Exemplar::of(timeline.trace_parent.as_deref());
        let durations = self.durations.get_or_create(&OutcomeLabels { outcome });
        durations.observe(seconds(now - timeline.created_at), exemplar.clone(), None);
        if is_decided && settlement.attempt.is_some() {
            let delay = seconds(now - timeline.received_at);
            self.settle_delays.observe(delay, exemplar, None);
        }
    }

    /// Counts a settlement by its result alone.
    pub(crate) fn count_settlement(&self, result: SettleResult) {
        let result = result.as_str();
        self.settles.get_or_create(&ResultLabels { result }).inc();
    }

    fn count_penny_drop(&self, settlement: &Settlement) {
        let (Some(attempt), Some(provenance)) = (&settlement.attempt, &settlement.provenance)
        else {
            return;
        };
        let Some(class) = attempt.end.class.filter(|class| class.is_final()) else {
            return;
        };
        if attempt.end.state != AttemptState::Settled || !provenance.method.moves_money() {
            return;
        }
        let account = GatewayAccountLabels {
            merchant_id: settlement.key.merchant.to_string(),
            gateway: Gateway::from_id(provenance.gateway_id).map_or("", Gateway::name),
            gateway_account: provenance.gateway_reference_id.clone(),
        };
        let class = class.as_str();
        let labels = PennyDropLabels { account, class };
        self.penny_drops.get_or_create(&labels).inc();
    }

    /// Counts a validation that no gateway account can take until an operator acts.
    pub(crate) fn no_gateway(&self, merchant: MerchantId) {
        let merchant_id = merchant.to_string();
        let labels = MerchantLabels { merchant_id };
        self.without_gateway.get_or_create(&labels).inc();
    }

    /// Counts a validation postponed because of a gateway account.
    pub(crate) fn postponed(&self, account: GatewayAccountLabels, reason: PostponeReason) {
        let why = reason.as_str();
        let labels = PostponedLabels { account, why };
        self.postponed.get_or_create(&labels).inc();
    }

    /// Counts due validations that the scheduler took.
    pub(crate) fn wakeups_published(&self, reason: WakeupReason, count: usize) {
        let why = reason.as_str();
        let wakeups = self.wakeups.get_or_create(&ReasonLabels { why });
        wakeups.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// Sets the time by which this machine's clock is ahead of Postgres's.
    pub(crate) fn clock_offset(&self, offset: TimeDelta) {
        self.clock_offset.set(offset.as_seconds_f64());
    }

    /// Sets the number of messages in a queue.
    pub(crate) fn queue_depth(&self, queue: &'static str, messages: u32) {
        let depth = self.queues.get_or_create(&QueueLabels { queue });
        depth.set(i64::from(messages));
    }

    /// Counts a call to a gateway.
    pub(crate) fn called(
        &self,
        account: GatewayAccountLabels,
        method: Method,
        result: &CallResult,
        took: Duration,
        trace_parent: Option<&str>,
    ) {
        let gateway = GatewayLabels {
            gateway: account.gateway,
        };
        let (class, is_unlisted) = match result {
            Ok(response) => (response.class.as_str(), response.unlisted),
            Err(_) => ("NO_ANSWER", false),
        };
        if is_unlisted {
            self.unlisted_codes.get_or_create(&gateway).inc();
        }
        for field in not_understood(result) {
            let labels = FieldLabels {
                account: account.clone(),
                field: field.clone(),
            };
            self.not_understood.get_or_create(&labels).inc();
        }
        let took = took.as_secs_f64();
        let exemplar = Exemplar::of(trace_parent);
        let latencies = self.latencies.get_or_create(&gateway);
        latencies.observe(took, exemplar, None);
        self.call_time.get_or_create(&account).inc_by(took);
        let labels = GatewayCallLabels {
            account,
            method: method.as_str(),
            class,
        };
        self.calls.get_or_create(&labels).inc();
    }

    /// Counts a webhook whose outcome was used.
    pub(crate) fn webhook_used(&self, gateway: Gateway) {
        let gateway = gateway.name();
        let labels = GatewayLabels { gateway };
        self.webhooks.get_or_create(&labels).inc();
    }

    /// Counts an attempt to deliver an event; `failure`: why it failed.
    pub(crate) fn attempted(&self, result: AttemptResult, failure: Option<&'static str>) {
        let labels = AttemptLabels {
            result: result.as_str(),
            failure: failure.unwrap_or_default(),
        };
        self.attempts.get_or_create(&labels).inc();
    }

    /// Counts an attempt that repeats a lost one.
    pub(crate) fn attempt_repeated(&self) {
        self.attempts_repeated.inc();
    }

    /// Observes the time from an event to its first attempt.
    pub(crate) fn first_attempt(&self, delay: TimeDelta, trace_parent: Option<&str>) {
        let exemplar = Exemplar::of(trace_parent);
        self.first_attempts.observe(seconds(delay), exemplar, None);
    }

    /// Counts an endpoint that a rule disabled.
    pub(crate) fn endpoint_disabled(&self, by: DisabledBy) {
        let why = by.as_str();
        let labels = ReasonLabels { why };
        self.endpoints_disabled.get_or_create(&labels).inc();
    }

    /// Counts a post of alerts to operators.
    pub(crate) fn alerts_posted(&self, is_accepted: bool) {
        let result = if is_accepted { "accepted" } else { "failed" };
        self.alert_posts
            .get_or_create(&ResultLabels { result })
            .inc();
    }

    /// Sets the numbers of endpoints of this worker: all, those with unusable settings, and those with an open circuit; and of calls
    /// in progress.
    pub(crate) fn endpoints(&self, owned: usize, unreadable: usize, circuits: usize, calls: usize) {
        for (gauge, number) in [
            (&self.endpoints_owned, owned),
            (&self.endpoints_unreadable, unreadable),
            (&self.endpoint_circuits, circuits),
            (&self.webhook_calls, calls),
        ] {
            gauge.set(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of days")]
fn seconds(time: TimeDelta) -> f64 {
    time.num_milliseconds().max(0) as f64 / 1_000.0
}

#[cfg(test)]
mod tests;
