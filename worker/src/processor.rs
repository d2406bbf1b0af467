//! Processes one validation: claim, call the gateway, decide, settle. Everything that a restart needs is in Postgres before
//! the next step begins.

mod log;
mod results;
mod spans;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::OptionFuture;
use khata_domain::attempt::{Attempt, AttemptState, CallKind, NextAction};
use khata_domain::backoff::Backoff;
use khata_domain::failpoints::{self, Failpoint};
use khata_domain::gateway::GatewayKey;
use khata_domain::plan::Plan;
use khata_domain::score::Bank;
use khata_domain::validation::Next;
use khata_domain::{CallFailure, GatewayResponse, PendingReason, Recovery};
use khata_gateways::{Advanced, Connector, OpenAttempt};
use khata_queue::Wakeup;
use khata_store::group_commit::{BatchError, Lane};
use khata_store::validations::Settlement;
use khata_telemetry as telemetry;
use tracing::{Instrument, Span, debug, error, field, warn};

pub(crate) use log::ResultLog;
use log::{record_attempt, record_gateway};
pub(crate) use results::Results;
use results::{compare_names, delay_of, is_below, reviewed};

use crate::commits::{ClaimsAndSettles, CommitResult, Request, Work};
use crate::consumer_load::{ConsumerLoad, Permit, QueuedWork, Unclaimed};
use crate::deliveries::Signals;
use crate::directory::Entry;
use crate::health_reporter::{CallInProgress, HealthReporter};
use crate::labels::{ClaimResult, GatewayAccountLabels, SettleResult};
use crate::metrics::{Metrics, Timeline};
use crate::turns::Urgency;

/// A poll that is due this soon is made at once, without a round trip through Postgres.
const IMMEDIATE_POLL: Duration = Duration::from_millis(50);
/// Maximum number of immediate polls.
const MAX_IMMEDIATE_POLLS: u32 = 3;
/// Delay before the next step of an attempt whose lease leaves no time for its call.
const NEXT_LEASE: TimeDelta = TimeDelta::seconds(1);
/// Part of the lease that is reserved for settling.
pub(crate) const SETTLE_RESERVE: Duration = Duration::from_secs(2);
const SETTLE_RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Processes validations; shared by all tasks of the worker.
pub(crate) struct ValidationProcessor {
    pub(crate) lane: Lane<ClaimsAndSettles>,
    pub(crate) results: Results,
    pub(crate) log: ResultLog,
    pub(crate) health: Arc<HealthReporter>,
    pub(crate) load: Arc<ConsumerLoad>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) deliveries: Arc<Signals>,
    pub(crate) lease: Duration,
    pub(crate) queue: String,
}

/// A claimed validation.
struct Held {
    work: Box<Work>,
    lease_ends: Instant,
    /// The gateway account in whose queue it was.
    queue: Option<GatewayKey>,
}

impl ValidationProcessor {
    /// Processes one validation as far as possible now, and those that follow it in the queue of its gateway account: each call
    /// that ends makes room for the next one.
    pub(crate) async fn run(&self, work: QueuedWork, permit: &Permit) {
        let mut next = match work {
            QueuedWork::Wakeup(wakeup, unclaimed) => {
                let span = spans::process(&self.queue, &wakeup);
                self.begin(wakeup, unclaimed, permit).instrument(span).await
            }
            QueuedWork::NextAt(gateway) => self.claim_next(gateway, permit.urgency()).await,
        };
        while let Some(held) = next {
            let claimed = &held.work.claimed;
            let wakeup = Wakeup {
                key: claimed.key,
                trace_parent: claimed.trace_parent.clone(),
            };
            let span = spans::process(&self.queue, &wakeup);
            next = self.process(held, permit).instrument(span).await;
        }
    }

    /// Claims and processes a validation; returns the one that follows it. Drops `unclaimed` when its claim has ended.
    async fn begin(
        &self,
        wakeup: Wakeup,
        unclaimed: Option<Unclaimed>,
        permit: &Permit,
    ) -> Option<Held> {
        let lease_ends = self.lease_ends();
        let work = self.claim(&wakeup).await;
        drop(unclaimed);
        let (work, queue) = (work?, None);
        let held = Held {
            work,
            lease_ends,
            queue,
        };
        self.process(held, permit).await
    }

    /// Returns when the lease of a claim that begins now ends: no later than in Postgres.
    fn lease_ends(&self) -> Instant {
        Instant::now() + self.lease.saturating_sub(SETTLE_RESERVE)
    }

    /// Processes a claimed validation; returns the one that follows it in the queue of its gateway account.
    async fn process(&self, held: Held, permit: &Permit) -> Option<Held> {
        let began = SystemTime::now();
        let Held {
            mut work,
            lease_ends,
            queue,
        } = held;
        let span = Span::current();
        span.record("khata.account_id", field::display(work.claimed.account));
        span.record("khata.routing_id", work.claimed.routing_id());
        let settlement = self.carry_out(&work, lease_ends).await;
        let is_queued = matches!(work.plan, Plan::Settle { queue: Some(_), .. });
        // The call has ended, so that the next validation in the queue can take its place.
        let call = work.call.take();
        let gateway = call.as_ref().map(CallInProgress::gateway).or(queue);
        drop(call);
        let follows = |gateway: &GatewayKey| !is_queued && self.health.has_queue(*gateway);
        let next = OptionFuture::from(
            gateway
                .filter(follows)
                .map(|gateway| self.go_on(gateway, permit)),
        );
        let (unsettled, next) =
            tokio::join!(self.finish(&work, settlement.as_ref(), lease_ends), next);
        let settlement = settlement.as_ref();
        spans::end(&self.queue, &work.claimed, began, settlement, unsettled);
        next.flatten()
    }

    /// Settles; returns `error.type` of the span if nothing was stored.
    async fn finish(
        &self,
        work: &Work,
        settlement: Option<&Settlement>,
        lease_ends: Instant,
    ) -> Option<&'static str> {
        match settlement {
            Some(settlement) => {
                let received_at = work.webhook_received_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
                let timeline = Timeline {
                    created_at: work.claimed.created_at,
                    received_at: received_at.min(self.results.clock.now()),
                    trace_parent: work.claimed.trace_parent.clone(),
                };
                if work.is_settled {
                    self.metrics
                        .settled(settlement, &timeline, self.results.clock.now());
                    return None;
                }
                self.settle(settlement, &timeline, lease_ends).await.err()
            }
            None => Some("not_finished"),
        }
    }

    /// Claims the next validation in the queue of a gateway account under the same permit; or gives the permit back and lets
    /// the queue wait for its merchant's turn.
    async fn go_on(&self, gateway: GatewayKey, permit: &Permit) -> Option<Held> {
        if self.load.should_yield(permit) {
            self.load.queue_next_at(permit.urgency(), gateway);
            return None;
        }
        self.claim_next(gateway, permit.urgency()).await
    }

    /// Claims the first validation in the queue of a gateway account, if the account can take its call and the worker does not
    /// stop. If the account can take more, another claim waits for the merchant's turn. The permits of awaited validations claim
    /// no others.
    async fn claim_next(&self, gateway: GatewayKey, urgency: Urgency) -> Option<Held> {
        if self.load.is_stopped() || !self.results.clock.may_claim() {
            return None;
        }
        let lease_ends = self.lease_ends();
        let claim = self.lane.submit(Request::ClaimNext(gateway, urgency)).await;
        let Ok(CommitResult::ClaimedNext(work, more)) = claim else {
            // The scheduler lists the queue again.
            return None;
        };
        if more || work.is_none() && urgency == Urgency::Awaited {
            self.load.queue_next_at(Urgency::Other, gateway);
        }
        let work = work?;
        failpoints::pass(Failpoint::CLAIM_AFTER_COMMIT).await;
        self.metrics.claimed(ClaimResult::Claimed);
        Some(Held {
            work,
            lease_ends,
            queue: Some(gateway),
        })
    }

    async fn claim(&self, wakeup: &Wakeup) -> Option<Box<Work>> {
        let span = telemetry::database("claim validation");
        let claim = self.lane.submit(Request::Claim(wakeup.key));
        match claim.instrument(span).await {
            Ok(CommitResult::Claimed(Some(work))) => {
                failpoints::pass(Failpoint::CLAIM_AFTER_COMMIT).await;
                self.metrics.claimed(ClaimResult::Claimed);
                // The call that stored the account, or the validation, wrote an event.
                self.deliveries.may_have_deliveries(wakeup.key.merchant);
                return Some(work);
            }
            Ok(_) => {
                self.metrics.claimed(ClaimResult::MovedOn);
                debug!(validation_id = %wakeup.key.id, "wake-up ignored: the validation is not due any more");
            }
            Err(failure) => {
                telemetry::fail(&Span::current(), "not_claimed");
                warn!(
                    validation_id = %wakeup.key.id, error = %failure,
                    "validation not claimed; the scheduler publishes another wake-up"
                );
            }
        }
        None
    }

    /// Carries out the plan; `None` if the validation is left to the scheduler.
    async fn carry_out(&self, work: &Work, lease_ends: Instant) -> Option<Settlement> {
        match &work.plan {
            Plan::Attempt {
                attempt,
                action,
                setbacks,
                reason,
                alternative,
                recovered_until,
            } => {
                let entry = work.merchant.find(attempt.gateway_account);
                let connector = entry.and_then(|entry| entry.connector.as_deref().ok());
                let (Some(entry), Some(connector), Some(details)) =
                    (entry, connector, work.details.as_ref())
                else {
                    error!(validation_id = %work.claimed.key.id, "plan has no account details or no connector");
                    return None;
                };
                let open = OpenAttempt {
                    attempt: attempt.clone(),
                    details,
                    consent: work.consent.as_ref(),
                    deadline_at: work.claimed.deadline_at,
                    setbacks: *setbacks,
                    reason: *reason,
                    alternative: *alternative,
                    recovered_until: *recovered_until,
                };
                self.make_calls(work, entry, connector, open, action.clone(), lease_ends)
                    .await
            }
            Plan::Reuse => self.results.of_earlier(work),
            Plan::Settle {
                next,
                why,
                postponed,
                ..
            } => {
                if let Some((account, reason)) = postponed
                    && let Some(entry) = work.merchant.find(*account)
                {
                    self.metrics
                        .postponed(GatewayAccountLabels::of(entry), *reason);
                    record_gateway(entry);
                }
                self.log_no_call(work, why);
                Some(self.results.without_attempt(work, next.clone()))
            }
        }
    }

    fn log_no_call(&self, work: &Work, why: &str) {
        let (key, account) = (work.claimed.key, work.claimed.account);
        if work.plan.needs_operator() {
            self.metrics.no_gateway(key.merchant);
            warn!(
                merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, why,
                "no gateway available for validation"
            );
        } else {
            debug!(
                merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, why,
                "validation makes no gateway call now"
            );
        }
    }

    /// Makes the calls of an attempt, and the polls that are due immediately.
    async fn make_calls(
        &self,
        work: &Work,
        entry: &Entry,
        connector: &dyn Connector,
        mut open: OpenAttempt<'_>,
        mut action: NextAction,
        lease_ends: Instant,
    ) -> Option<Settlement> {
        record_attempt(entry, &open.attempt);
        // Each call counts against a quota, so a limited gateway account is polled only as planned.
        let is_limited = connector.policy().traffic.is_limited();
        // Where nothing can be looked up by our reference, the gateway's id in a pending response is the only way to the outcome: it
        // is stored before the first poll.
        let can_be_found = open.attempt.gateway_reference.is_some()
            || connector.recovery(open.details, open.attempt.method) != Recovery::None;
        let polls_at_once = !is_limited && can_be_found;
        let mut polls_left = if polls_at_once {
            MAX_IMMEDIATE_POLLS
        } else {
            0
        };
        // Checked before the first call only: once a response is here, it must be settled, and a poll moves no money.
        if action.is_call() && !has_time_for_call(connector, Duration::ZERO, lease_ends) {
            warn!(
                validation_id = %work.claimed.key.id,
                "gateway call skipped: the lease ends too soon; the validation is claimed again"
            );
            let now = self.results.clock.now();
            if action != NextAction::Verify {
                // The attempt stays as it is: this call says nothing about the first one.
                let pending = open.attempt.state == AttemptState::Pending;
                let next = Next::Wait {
                    until: now + NEXT_LEASE,
                    pending,
                    reason: if pending {
                        PendingReason::AwaitingGatewayResult
                    } else {
                        PendingReason::CheckingPreviousAttempt
                    },
                };
                return Some(self.results.without_attempt(work, next));
            }
            // An attempt that stays STARTED would count as a lost call, although nothing was sent.
            let unsent = Err(CallFailure::NotSent("the lease ends too soon".into()));
            let advanced = open.record(
                connector,
                CallKind::Verify,
                unsent,
                false,
                now,
                rand::random(),
            );
            return Some(
                self.results
                    .of_attempt(work, entry, open, advanced, None, None),
            );
        }
        let mut is_uncounted_double_drop = work.is_possible_double_drop;
        loop {
            let is_call = action.is_call();
            let started = Instant::now();
            let now = || self.results.clock.now();
            let mut name_match = None;
            let details = open.details;
            let is_failing_mismatch = |response: &GatewayResponse| {
                name_match = compare_names(details, response.name_at_bank.as_ref());
                is_below(name_match, work.merchant.fail_names_below)
            };
            let mut advanced = open
                .advance(connector, action, now, rand::random(), is_failing_mismatch)
                .await;
            let response = advanced.result.as_ref().ok();
            let name_at_bank = response.and_then(|response| response.name_at_bank.as_ref());
            let next = advanced.decision.next.clone();
            advanced.decision.next = reviewed(next, work, name_match, name_at_bank);
            let took = started.elapsed();
            self.report(work, entry, &open, &advanced, is_call.then_some(took));
            if is_uncounted_double_drop && may_pay(&open, &advanced) {
                let labels = GatewayAccountLabels::of(entry);
                let attempts = &self.metrics.possible_double_drops;
                attempts.get_or_create(&labels).inc();
                is_uncounted_double_drop = false;
            }
            let is_pending = open.attempt.state == AttemptState::Pending && advanced.result.is_ok();
            let delay = delay_of(&advanced.decision.next, now());
            // Without time for the poll, the response is settled first: it may be the only record of a rupee.
            let has_time = has_time_for_call(connector, delay, lease_ends);
            if is_pending && delay <= IMMEDIATE_POLL && polls_left > 0 && has_time {
                polls_left -= 1;
                tokio::time::sleep(delay).await;
                action = NextAction::Poll;
                continue;
            }
            self.log.write(work, entry, &open.attempt, &advanced);
            let latency_ms = i32::try_from(took.as_millis()).unwrap_or(i32::MAX);
            let latency_ms = is_call.then_some(latency_ms);
            return Some(
                self.results
                    .of_attempt(work, entry, open, advanced, name_match, latency_ms),
            );
        }
    }

    /// Counts a call, or a webhook if `took` is `None`, and reports the gateway account's health.
    fn report(
        &self,
        work: &Work,
        entry: &Entry,
        open: &OpenAttempt<'_>,
        advanced: &Advanced,
        took: Option<Duration>,
    ) {
        let Some(took) = took else {
            self.metrics.webhook_used(entry.gateway);
            return;
        };
        self.metrics.called(
            GatewayAccountLabels::of(entry),
            open.attempt.method,
            &advanced.result,
            took,
            work.claimed.trace_parent.as_deref(),
        );
        let (gateway, bank) = (entry.key(), Bank::of(open.details));
        self.health
            .record(gateway, &bank, &open.attempt, &advanced.result);
    }

    /// Settles, and retries until the lease ends, because the result may have cost a rupee. The error is `error.type` of the
    /// span.
    async fn settle(
        &self,
        settlement: &Settlement,
        timeline: &Timeline,
        lease_ends: Instant,
    ) -> Result<(), &'static str> {
        let validation_id = settlement.key.id;
        let mut tries = 0;
        loop {
            let request = Request::Settle(Box::new(settlement.clone()));
            let span = telemetry::database("settle validation");
            let settled = self.lane.submit(request).instrument(span).await;
            let (result, error_type) = match settled {
                Ok(CommitResult::Settled(Some(settled))) => {
                    if settled.has_deliveries {
                        self.deliveries.has_deliveries(settled.key.merchant);
                    }
                    let now = self.results.clock.now();
                    self.metrics.settled(settlement, timeline, now);
                    return Ok(());
                }
                Ok(_) => {
                    warn!(%validation_id, "validation not settled: another worker holds it, because the lease expired");
                    (SettleResult::LeaseLost, "lease_lost")
                }
                Err(BatchError::Rejected(failure)) => {
                    error!(%validation_id, error = %failure, "validation not settled: the database rejected the statement");
                    (SettleResult::Refused, "settlement_refused")
                }
                Err(BatchError::Unavailable | BatchError::QueueFull)
                    if Instant::now() < lease_ends =>
                {
                    tokio::time::sleep(SETTLE_RETRY.wait(tries, rand::random())).await;
                    tries += 1;
                    continue;
                }
                Err(BatchError::Unavailable | BatchError::QueueFull) => {
                    error!(%validation_id, "validation not settled: database unavailable; another worker recovers the attempt");
                    (SettleResult::TooLate, "not_settled")
                }
            };
            self.metrics.count_settlement(result);
            return Err(error_type);
        }
    }
}

/// Whether a call that begins after `delay` ends before the lease, its recovery included. A call that outlives the lease could
/// overlap with another worker's call.
fn has_time_for_call(connector: &dyn Connector, delay: Duration, lease_ends: Instant) -> bool {
    Instant::now() + delay + 2 * connector.policy().call_timeout <= lease_ends
}

/// Whether the attempt may have moved a rupee, or may still move one, after this result.
fn may_pay(open: &OpenAttempt<'_>, advanced: &Advanced) -> bool {
    let attempt = Attempt {
        class: advanced.decision.attempt.class,
        ..open.attempt.clone()
    };
    attempt.may_pay()
}
