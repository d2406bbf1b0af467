//! One validation's time in hand: claim, ask, decide, settle. Everything it needs to survive a kill at any line is
//! in Postgres before the line runs.

mod asking;
mod spans;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use khata_crypto::{Keyring, Purpose};
use khata_domain::Class;
use khata_domain::backoff::Backoff;
use khata_domain::score::Bank;
use khata_domain::validation::{
    AttemptState, CallResult, Decision, FailureCode, Next, Outcome, ValidationResult, valid,
};
use khata_gateways::Call;
use khata_name_match::NameMatch;
use khata_queue::ReceivedWakeup;
use khata_store::group_commit::{BatchError, Lane};
use khata_store::validations::{AttemptReport, Claimed, Provenance, Settlement};
use khata_telemetry as telemetry;
use tracing::{Instrument, Span, debug, error, field, info, warn};

use asking::{Case, ask, compare_names, is_mismatch, name_match};
use spans::Ended;

use crate::commits::{Answer, ClaimsAndSettles, Request, Work};
use crate::health_reporter::{Report, Watch};
use crate::metrics::{self, Metrics, Settled, Timeline};
use crate::plan::{NextAction, OpenAttempt, Plan};

/// A next look that is due this soon is made in hand, without going through Postgres.
const SOON: Duration = Duration::from_millis(50);
/// Looks made in hand at most.
const LOOKS_IN_HAND: u32 = 3;
/// Kept of the lease for settling.
pub(crate) const SETTLING: Duration = Duration::from_secs(2);
const SETTLE_RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

/// What every step uses.
pub(crate) struct ValidationProcessor {
    pub(crate) lane: Lane<ClaimsAndSettles>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lease: Duration,
    pub(crate) queue: String,
}

impl ValidationProcessor {
    /// Takes one validation as far as it can be taken now.
    pub(crate) async fn run(&self, wakeup: ReceivedWakeup) {
        let span = spans::process(&self.queue, &wakeup);
        self.advance(wakeup).instrument(span).await;
    }

    async fn advance(&self, wakeup: ReceivedWakeup) {
        let began = SystemTime::now();
        // Before the claim, so that our idea of the lease ends no later than Postgres's.
        let claimed_at = Instant::now();
        let claim = self
            .lane
            .submit(Request::Claim(wakeup.key))
            .instrument(telemetry::database("claim validation"))
            .await;
        let work = match claim {
            Ok(Answer::Claimed(Some(work))) => work,
            Ok(_) => {
                self.metrics.claimed(false);
                debug!(validation_id = %wakeup.key.id, "nothing to do: the validation has moved on");
                return;
            }
            Err(failure) => {
                telemetry::fail(&Span::current(), "not_claimed");
                warn!(validation_id = %wakeup.key.id, error = %failure, "not claimed; the scheduler wakeups again");
                return;
            }
        };
        self.metrics.claimed(true);
        let mut timeline = Timeline {
            created_at: work.claimed.created_at,
            answered_at: work.webhook_received_at.unwrap_or(DateTime::<Utc>::MAX_UTC),
            trace_parent: work.claimed.trace_parent.clone(),
        };
        let span = Span::current();
        span.record("khata.account_id", field::display(work.claimed.account));
        span.record("khata.routing_id", work.claimed.routing_id());
        let lease_ends = claimed_at + self.lease.saturating_sub(SETTLING);
        let settlement = self.follow(&work, lease_ends).await;
        let unsettled = match &settlement {
            Some(settlement) => {
                // It was heard just now, unless the gateway called back with it.
                timeline.answered_at = timeline.answered_at.min(Utc::now());
                self.settle(settlement, &timeline, lease_ends).await.err()
            }
            None => Some("not_finished"),
        };
        spans::end(&Ended {
            queue: &self.queue,
            claimed: &work.claimed,
            began,
            settlement: settlement.as_ref(),
            unsettled,
        });
    }

    async fn follow(&self, work: &Work, lease_ends: Instant) -> Option<Settlement> {
        let key = work.claimed.key;
        let (attempt, first, setbacks, alternative) = match &work.plan {
            Plan::Attempt {
                attempt,
                first,
                setbacks,
                alternative,
            } => (attempt, first, *setbacks, *alternative),
            Plan::Reuse => return self.reuse(work),
            Plan::Settle {
                next,
                delay,
                slot,
                why,
                held_up,
                is_alarming,
            } => {
                let account = work.claimed.account;
                if let Some((entry, why)) = held_up {
                    self.metrics.held_up(metrics::Place::of(entry), *why);
                }
                if *is_alarming {
                    self.metrics.found_nobody(key.merchant);
                    warn!(merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, %why, "no gateway asked");
                } else {
                    debug!(merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, %why, "no gateway asked now");
                }
                let waiting = Settlement::without_attempt(key, work.token, next.clone(), *delay);
                return Some(Settlement {
                    slot: *slot,
                    ..waiting
                });
            }
        };
        let (Some(details), Ok(connector)) = (work.details.as_ref(), &attempt.entry.connector)
        else {
            error!(validation_id = %key.id, "planned an attempt without details or connector");
            return None;
        };
        let connector = connector.as_ref();
        let call = Call {
            reference: &attempt.reference,
            details,
            method: attempt.method,
            consent: work.consent.as_ref(),
            attempt: attempt.number,
            started_at: attempt.started_at,
        };
        let mut case = Case {
            deadline_at: work.claimed.deadline_at,
            setbacks,
            alternative,
            recovery: connector.recovery(details, attempt.method),
            state: attempt.state,
            polls: attempt.polls,
            gateway_reference: attempt.gateway_reference.clone(),
            fail_on_name_mismatch: work.merchant.fail_on_name_mismatch,
        };
        let span = Span::current();
        span.record("khata.gateway", attempt.entry.gateway.name())
            .record(
                "khata.gateway_reference_id",
                &attempt.entry.account.reference_id,
            )
            .record("khata.attempt", attempt.number);
        // Each call of a gateway account with a limit is planned by itself.
        let looks_in_hand = if connector.traffic().is_limited() {
            0
        } else {
            LOOKS_IN_HAND
        };
        if attempt.may_drop_twice && *first == NextAction::Verify {
            self.metrics
                .may_drop_twice(&metrics::Place::of(&attempt.entry));
        }
        let mut next_move = first.clone();
        let mut looks = 0;
        loop {
            // A call that could outlive the lease might meet another worker's.
            let calls = !matches!(next_move, NextAction::UseWebhook(_));
            if calls && Instant::now() + 2 * connector.call_timeout() > lease_ends {
                warn!(validation_id = %key.id, "the lease is too old to call under; it is left to the rescuer");
                return None;
            }
            let started = Instant::now();
            let (asked, heard) = ask(connector, &call, next_move, &mut case).await;
            let latency_ms = i32::try_from(started.elapsed().as_millis()).unwrap_or(i32::MAX);
            let name_match = name_match(details, &heard);
            let decision = case.decide(connector, attempt.method, asked, &heard, name_match);
            let delay = delay_of(&decision.next);
            let pending = decision.attempt.state == AttemptState::Pending && matches!(heard, Ok(_));
            case.learn(&decision, &heard);
            if calls {
                self.metrics.called(
                    metrics::Place::of(&attempt.entry),
                    attempt.method,
                    &heard,
                    started.elapsed(),
                    work.claimed.trace_parent.as_deref(),
                );
                self.watch.note(&Report {
                    gateway: attempt.entry.key(),
                    bank: Bank::of(details),
                    heard: &heard,
                    started_at: attempt.started_at,
                    is_settled: decision.attempt.state == AttemptState::Settled,
                });
            } else {
                self.metrics.count_webhook(attempt.entry.gateway);
            }
            if pending && delay <= SOON && looks < looks_in_hand {
                looks += 1;
                tokio::time::sleep(delay).await;
                next_move = NextAction::Poll;
                continue;
            }
            self.tell(&work.claimed, attempt, &decision, &heard);
            return Some(self.settlement(
                work,
                attempt,
                case,
                decision,
                &heard,
                calls.then_some(latency_ms),
                name_match,
            ));
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn settlement(
        &self,
        work: &Work,
        attempt: &OpenAttempt,
        case: Case,
        decision: Decision,
        heard: &CallResult,
        latency_ms: Option<i32>,
        name_match: Option<NameMatch>,
    ) -> Settlement {
        let answer = match heard {
            Ok(answer) => Some(answer),
            Err(_) => None,
        };
        let claimed = &work.claimed;
        let sealed_result = answer
            .filter(|a| a.name_at_bank.is_some() || a.utr.is_some() || a.account_type.is_some())
            .map(|answer| {
                self.seal(
                    claimed,
                    &ValidationResult {
                        name_at_bank: answer.name_at_bank.clone(),
                        utr: answer.utr.clone(),
                        account_type: answer.account_type,
                    },
                )
            });
        let webhook_names_gateway_reference = attempt
            .entry
            .connector
            .as_ref()
            .is_ok_and(|connector| connector.webhook_names_gateway_reference());
        Settlement {
            attempt: Some(AttemptReport {
                number: attempt.number,
                end: decision.attempt,
                gateway_reference: case.gateway_reference,
                polls: case.polls,
                latency_ms,
                unlisted_code: answer.is_some_and(|answer| answer.unlisted),
                webhook_gateway_account: webhook_names_gateway_reference
                    .then(|| attempt.entry.account.id),
            }),
            provenance: Some(Provenance {
                gateway_id: attempt.entry.gateway.id(),
                gateway_reference_id: attempt.entry.account.reference_id.clone(),
                method: attempt.method,
            }),
            sealed_result,
            name_match_score: name_match.map(|name_match| i16::from(name_match.score)),
            gateway_name_match_score: answer.and_then(|a| a.name_match_score).map(i16::from),
            ..Settlement::without_attempt(
                claimed.key,
                work.token,
                decision.next.clone(),
                delay_of(&decision.next),
            )
        }
    }

    /// An earlier result of the same details is this one's too; the names are compared anew, as another may be given.
    fn reuse(&self, work: &Work) -> Option<Settlement> {
        let (claimed, earlier) = (&work.claimed, work.reusable.as_ref()?);
        let key = claimed.key;
        let owner = earlier.account.0;
        let result = earlier.sealed_result.as_deref().and_then(|sealed| {
            let opened =
                self.keyring
                    .decrypt(key.merchant, owner, Purpose::ValidationResult, sealed);
            ValidationResult::from_plaintext(&opened.ok()?)
        });
        let name_match = work
            .details
            .as_ref()
            .zip(
                result
                    .as_ref()
                    .and_then(|result| result.name_at_bank.as_ref()),
            )
            .and_then(|(details, at_bank)| compare_names(details, at_bank));
        let next = match (earlier.outcome, earlier.failure_code) {
            (Outcome::Valid, _) | (_, Some(FailureCode::NameMismatch)) => {
                valid(work.merchant.fail_on_name_mismatch && is_mismatch(name_match))
            }
            (outcome, failure) => Next::Complete { outcome, failure },
        };
        debug!(merchant_id = %key.merchant, account_id = %claimed.account, validation_id = %key.id,
            reused_from = %earlier.validation, "an earlier result is used again");
        Some(Settlement {
            provenance: Some(earlier.provenance()),
            sealed_result: result.map(|result| self.seal(claimed, &result)),
            name_match_score: name_match.map(|name_match| i16::from(name_match.score)),
            gateway_name_match_score: earlier.gateway_name_match_score,
            reused_from: Some(earlier.validation),
            ..Settlement::without_attempt(key, work.token, next, Duration::ZERO)
        })
    }

    fn seal(&self, claimed: &Claimed, result: &ValidationResult) -> Vec<u8> {
        self.keyring.encrypt(
            claimed.key.merchant,
            claimed.account.0,
            Purpose::ValidationResult,
            &result.to_plaintext(),
        )
    }

    /// Writes to the trace and the log what came of it; what needs people is louder.
    #[allow(clippy::unused_self)]
    fn tell(
        &self,
        claimed: &Claimed,
        attempt: &OpenAttempt,
        decision: &Decision,
        heard: &CallResult,
    ) {
        let class = decision.attempt.class.map_or("", Class::as_str);
        let (key, account) = (claimed.key, claimed.account);
        let (gateway, code) = (attempt.entry.gateway.name(), decision.attempt.code.as_str());
        match heard {
            Ok(answer) if answer.class == Class::Misconfigured => error!(
                merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway,
                gateway_account = attempt.entry.account.reference_id, code,
                "the gateway refuses us: check this gateway account's credentials, balance and IP list"
            ),
            Ok(answer) if answer.unlisted => warn!(
                merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway, code,
                "a code that stands in no table: it was taken for no answer, and belongs into the connector's table"
            ),
            Err(failure) => warn!(
                merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway,
                attempt = attempt.number, %failure, "no answer from the gateway"
            ),
            Ok(_) => match &decision.next {
                Next::Complete { outcome, .. } => debug!(
                    merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway, code,
                    outcome = outcome.as_str(), "validated"
                ),
                Next::Wait { until, .. } => info!(
                    merchant_id = %key.merchant, account_id = %account, validation_id = %key.id, gateway, code, class,
                    until = %until.to_rfc3339(), "not decided yet"
                ),
            },
        }
    }

    /// Settles, trying again while the lease lasts: the answer may have cost a rupee. The error is for `error.type`.
    async fn settle(
        &self,
        settlement: &Settlement,
        timeline: &Timeline,
        lease_ends: Instant,
    ) -> Result<(), &'static str> {
        let key = settlement.key;
        let mut tries = 0;
        loop {
            let request = Request::Settle(Box::new(settlement.clone()));
            match self
                .lane
                .submit(request)
                .instrument(telemetry::database("settle validation"))
                .await
            {
                Ok(Answer::Settled(true)) => {
                    self.metrics.settled(settlement, timeline);
                    return Ok(());
                }
                Ok(_) => {
                    self.metrics.not_settled(Settled::LeaseLost);
                    warn!(validation_id = %key.id, "not settled: the lease was lost, and somebody else decides");
                    return Err("lease_lost");
                }
                Err(BatchError::Rejected(failure)) => {
                    self.metrics.not_settled(Settled::Refused);
                    error!(validation_id = %key.id, error = %failure, "the database refuses the settlement");
                    return Err("settlement_refused");
                }
                Err(BatchError::Unavailable) if Instant::now() < lease_ends => {
                    tokio::time::sleep(SETTLE_RETRY.wait(tries, rand::random())).await;
                    tries += 1;
                }
                Err(BatchError::Unavailable) => {
                    self.metrics.not_settled(Settled::TooLate);
                    error!(validation_id = %key.id, "not settled in time; the rescuer recovers the attempt");
                    return Err("not_settled");
                }
            }
        }
    }
}

fn delay_of(next: &Next) -> Duration {
    match next {
        Next::Wait { until, .. } => (*until - Utc::now()).to_std().unwrap_or_default(),
        Next::Complete { .. } => Duration::ZERO,
    }
}
