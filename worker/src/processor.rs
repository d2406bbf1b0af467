//! Processes one validation: claim, call the gateway, decide, settle. Everything that a restart needs is in Postgres before
//! the next step begins.

mod results;
mod spans;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use khata_domain::attempt::{Attempt, AttemptState, NextAction};
use khata_domain::backoff::Backoff;
use khata_domain::plan::Plan;
use khata_domain::score::Bank;
use khata_domain::validation::{Decision, Next};
use khata_domain::{Class, GatewayResponse};
use khata_gateways::{Advanced, Connector, OpenAttempt};
use khata_queue::Wakeup;
use khata_store::group_commit::{BatchError, Lane};
use khata_store::validations::Settlement;
use khata_telemetry as telemetry;
use tracing::{Instrument, Span, debug, error, field, info, warn};

pub(crate) use results::Results;
use results::{compare_names, delay_of, is_mismatch, without_attempt};

use crate::commits::{ClaimsAndSettles, CommitResult, Request, Work};
use crate::directory::Entry;
use crate::health_reporter::HealthReporter;
use crate::labels::{ClaimResult, GatewayAccountLabels, SettleResult};
use crate::metrics::{Metrics, Timeline};

/// A poll that is due this soon is made at once, without a round trip through Postgres.
const IMMEDIATE_POLL: Duration = Duration::from_millis(50);
/// Maximum number of immediate polls.
const MAX_IMMEDIATE_POLLS: u32 = 3;
/// Part of the lease that is reserved for settling.
pub(crate) const SETTLE_RESERVE: Duration = Duration::from_secs(2);
const SETTLE_RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// Processes validations; shared by all tasks of the worker.
pub(crate) struct ValidationProcessor {
    pub(crate) lane: Lane<ClaimsAndSettles>,
    pub(crate) results: Results,
    pub(crate) health: Arc<HealthReporter>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lease: Duration,
    pub(crate) queue: String,
}

impl ValidationProcessor {
    /// Processes one validation as far as possible now.
    pub(crate) async fn run(&self, wakeup: Wakeup) {
        let span = spans::process(&self.queue, &wakeup);
        self.process(wakeup).instrument(span).await;
    }

    async fn process(&self, wakeup: Wakeup) {
        let began = SystemTime::now();
        // Taken before the claim, so that the lease ends here no later than in Postgres.
        let lease_ends = Instant::now() + self.lease.saturating_sub(SETTLE_RESERVE);
        let Some(work) = self.claim(&wakeup).await else {
            return;
        };
        let span = Span::current();
        span.record("khata.account_id", field::display(work.claimed.account));
        span.record("khata.routing_id", work.claimed.routing_id());
        let settlement = self.carry_out(&work, lease_ends).await;
        let unsettled = match &settlement {
            Some(settlement) => {
                let received_at = work.webhook_received_at.unwrap_or(DateTime::<Utc>::MAX_UTC);
                let timeline = Timeline {
                    created_at: work.claimed.created_at,
                    received_at: received_at.min(Utc::now()),
                    trace_parent: work.claimed.trace_parent.clone(),
                };
                self.settle(settlement, &timeline, lease_ends).await.err()
            }
            None => Some("not_finished"),
        };
        let settlement = settlement.as_ref();
        spans::end(&self.queue, &work.claimed, began, settlement, unsettled);
    }

    async fn claim(&self, wakeup: &Wakeup) -> Option<Box<Work>> {
        let span = telemetry::database("claim validation");
        let claim = self.lane.submit(Request::Claim(wakeup.key));
        match claim.instrument(span).await {
            Ok(CommitResult::Claimed(Some(work))) => {
                self.metrics.claimed(ClaimResult::Claimed);
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
                alternative,
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
                    alternative: *alternative,
                };
                self.make_calls(work, entry, connector, open, action.clone(), lease_ends)
                    .await
            }
            Plan::Reuse => self.results.of_earlier(work),
            Plan::Settle {
                next,
                slot,
                why,
                postponed,
            } => {
                if let Some((account, reason)) = postponed
                    && let Some(entry) = work.merchant.find(*account)
                {
                    self.metrics
                        .postponed(GatewayAccountLabels::of(entry), *reason);
                }
                self.log_no_call(work, why);
                Some(Settlement {
                    slot: *slot,
                    ..without_attempt(work, next.clone())
                })
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
        if work.is_possible_double_drop {
            let labels = GatewayAccountLabels::of(entry);
            let attempts = &self.metrics.possible_double_drops;
            attempts.get_or_create(&labels).inc();
        }
        // Each call counts against a quota, so a limited gateway account is polled only as planned.
        let is_limited = connector.policy().traffic.is_limited();
        let mut polls_left = if is_limited { 0 } else { MAX_IMMEDIATE_POLLS };
        // Checked before the first call only: once a response is here, it must be settled, and a poll moves no money.
        if action.calls() > 0 && !has_time_for_call(connector, Duration::ZERO, lease_ends) {
            warn!(
                validation_id = %work.claimed.key.id,
                "gateway call skipped: the lease ends too soon; the scheduler takes the validation back"
            );
            return None;
        }
        loop {
            let is_call = action.calls() > 0;
            let started = Instant::now();
            let mut name_match = None;
            let details = open.details;
            let is_failing_mismatch = |response: &GatewayResponse| {
                name_match = compare_names(details, response.name_at_bank.as_ref());
                work.merchant.fail_on_name_mismatch && is_mismatch(name_match)
            };
            let advanced = open
                .advance(connector, action, rand::random(), is_failing_mismatch)
                .await;
            let took = started.elapsed();
            self.report(work, entry, &open, &advanced, is_call.then_some(took));
            let is_pending = open.attempt.state == AttemptState::Pending && advanced.result.is_ok();
            let delay = delay_of(&advanced.decision.next);
            // Without time for the poll, the response is settled first: it may be the only record of a rupee.
            let has_time = has_time_for_call(connector, delay, lease_ends);
            if is_pending && delay <= IMMEDIATE_POLL && polls_left > 0 && has_time {
                polls_left -= 1;
                tokio::time::sleep(delay).await;
                action = NextAction::Poll;
                continue;
            }
            log_result(work, entry, &open.attempt, &advanced);
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
                Ok(CommitResult::Settled(true)) => {
                    self.metrics.settled(settlement, timeline);
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
                Err(BatchError::Unavailable) if Instant::now() < lease_ends => {
                    tokio::time::sleep(SETTLE_RETRY.wait(tries, rand::random())).await;
                    tries += 1;
                    continue;
                }
                Err(BatchError::Unavailable) => {
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

fn record_attempt(entry: &Entry, attempt: &Attempt) {
    let reference_id = &entry.account.reference_id;
    Span::current()
        .record("khata.gateway", entry.gateway.name())
        .record("khata.gateway_reference_id", reference_id)
        .record("khata.attempt", attempt.number);
}

/// Logs the result of an attempt; louder if an operator has to act.
fn log_result(work: &Work, entry: &Entry, attempt: &Attempt, advanced: &Advanced) {
    let Decision { attempt: end, next } = &advanced.decision;
    let class = end.class.map_or("", Class::as_str);
    let (key, account) = (work.claimed.key, work.claimed.account);
    let (gateway, code) = (entry.gateway.name(), end.code.as_str());
    match (&advanced.result, next) {
        (Ok(response), _) if response.class == Class::Misconfigured => error!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway,
            gateway_account = entry.account.reference_id, code,
            "gateway rejects us: check the credentials, balance and IP allow-list of this gateway account"
        ),
        (Ok(response), _) if response.unlisted => warn!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway, code,
            "gateway returned an unknown code, treated as inconclusive: add it to the connector's table"
        ),
        (Err(failure), _) => warn!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway,
            attempt = attempt.number, %failure, "gateway call failed"
        ),
        (Ok(_), Next::Complete { outcome, .. }) => debug!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway, code,
            outcome = outcome.as_str(), "validation completed"
        ),
        (Ok(_), Next::Wait { until, .. }) => info!(
            merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway, code, class,
            until = %until.to_rfc3339(), "validation not final yet"
        ),
    }
}
