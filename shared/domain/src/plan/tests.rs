//! Plans for a validation in every state that a stopped worker, a gateway or an operator can leave behind.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::*;
use crate::account::AccountKind;
use crate::attempt::{Attempt, AttemptState, NextAction};
use crate::gateway::{
    Gateway, GatewayKey, GatewayResponse, LateCalls, Method, NOT_RECEIVED, NOT_YET_RECEIVED,
    RESPONSE_LOST, Recovery, SETTLING_TIME, UNCLEAR_RESPONSE,
};
use crate::ids::{GatewayAccountId, MerchantId, ValidationId};
use crate::outcome::{Class, Outcome};
use crate::routing::{Ineligible, Pin};
use crate::score::Score;
use crate::traffic::{QueuePlace, Slot, Traffic};
use crate::validation::{Next, unavailable};
use crate::validation_state::PendingReason;

mod invariants;
mod limits;
mod money;
mod new_attempts;
mod unfinished;
mod webhooks;

/// A gateway account of the merchant.
#[derive(Clone, Debug)]
struct TestGateway {
    gateway: Gateway,
    reference_id: String,
    priority: i16,
    enabled: bool,
    pinned_only: bool,
    eligibility: Result<Method, Ineligible>,
    recovery: Recovery,
    late_calls: LateCalls,
    traffic: Traffic,
    score: Score,
}

/// A claimed validation, its attempts and its merchant's gateway accounts.
#[derive(Debug)]
struct Case {
    validation: ClaimedValidation,
    bounds: Bounds,
    kind: Option<AccountKind>,
    attempts: Vec<Attempt>,
    gateways: Vec<TestGateway>,
    webhooks: Vec<WebhookReceived>,
    has_reusable_result: bool,
    budget_renewed_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
}

fn pin(gateway: i16, reference: Option<&str>) -> Pin {
    Pin {
        gateway_id: Some(gateway),
        reference_id: reference.map(str::to_owned),
    }
}

/// A new bank account whose call names no gateway, of a merchant without gateway accounts.
fn case() -> Case {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    Case {
        validation: ClaimedValidation {
            failed_steps: 0,
            id: ValidationId::new(),
            account_is_deleted: false,
            deadline_at: now + TimeDelta::hours(1),
            pin: Pin::default(),
            awaited: false,
            slot: None,
            queued_at: None,
        },
        bounds: Bounds {
            recovery_patience: Duration::from_mins(2),
            paid_attempts: 3,
        },
        kind: Some(AccountKind::Bank),
        attempts: Vec::new(),
        gateways: Vec::new(),
        webhooks: Vec::new(),
        has_reusable_result: false,
        budget_renewed_at: None,
        now,
    }
}

fn pinned(pin: Pin) -> Case {
    let mut case = case();
    case.validation.pin = pin;
    case
}

fn account(index: usize) -> GatewayAccountId {
    GatewayAccountId(Uuid::from_u128(1 + index as u128))
}

fn key(account: GatewayAccountId) -> GatewayKey {
    GatewayKey {
        merchant: MerchantId(Uuid::from_u128(7)),
        account,
    }
}

fn profile((index, gateway): (usize, &TestGateway)) -> GatewayProfile<'_> {
    GatewayProfile {
        key: key(account(index)),
        gateway: gateway.gateway,
        reference_id: &gateway.reference_id,
        priority: gateway.priority,
        pinned_only: gateway.pinned_only,
        enabled: gateway.enabled,
        eligibility: gateway.eligibility,
        recovery: gateway.recovery,
        late_calls: gateway.late_calls,
        traffic: &gateway.traffic,
        score: gateway.score,
    }
}

impl Case {
    /// Adds a gateway account that makes penny drops; the first one has the first priority.
    fn gateway(
        &mut self,
        gateway: Gateway,
        reference_id: &str,
        recovery: Recovery,
    ) -> GatewayAccountId {
        self.gateways.push(TestGateway {
            gateway,
            reference_id: reference_id.to_owned(),
            priority: i16::try_from(self.gateways.len()).unwrap(),
            enabled: true,
            pinned_only: false,
            eligibility: Ok(Method::PennyDrop),
            recovery,
            late_calls: LateCalls::default(),
            traffic: Traffic::default(),
            score: Score::new(self.now),
        });
        account(self.gateways.len() - 1)
    }

    /// Adds one and changes it.
    fn gateway_with(
        &mut self,
        gateway: Gateway,
        reference_id: &str,
        recovery: Recovery,
        change: impl FnOnce(&mut TestGateway),
    ) -> GatewayAccountId {
        let account = self.gateway(gateway, reference_id, recovery);
        change(self.gateways.last_mut().unwrap());
        account
    }

    /// Adds the next penny drop, as a worker left it behind.
    fn attempted(
        &mut self,
        at: GatewayAccountId,
        state: AttemptState,
        class: Option<Class>,
        code: Option<&str>,
    ) {
        let number = i16::try_from(self.attempts.len() + 1).unwrap();
        self.attempts.push(Attempt {
            number,
            gateway_account: at,
            method: Method::PennyDrop,
            reference: format!("written_{number:02}"),
            state,
            class,
            code: code.map(str::to_owned),
            failure: None,
            gateway_reference: Some("34".to_owned()),
            polls: 4,
            started_at: self.now,
            sent_at: self.now,
        });
    }

    /// Adds a penny drop whose response was lost and cannot be looked up.
    fn lost(&mut self, at: GatewayAccountId) {
        let class = Some(Class::Retryable);
        self.attempted(at, AttemptState::Settled, class, Some(RESPONSE_LOST));
    }

    /// Adds a penny drop that the gateway has not received, and cannot receive any more.
    fn not_received(&mut self, at: GatewayAccountId) {
        self.attempted(at, AttemptState::Unknown, None, Some(NOT_RECEIVED));
    }

    /// Adds a penny drop that the gateway has not received so far, and refuses to take twice.
    fn not_yet_received(&mut self, at: GatewayAccountId) {
        self.attempted(at, AttemptState::Unknown, None, Some(NOT_YET_RECEIVED));
    }

    fn pass_deadline(&mut self) {
        self.now = self.validation.deadline_at;
    }

    fn plan(&self) -> Planned {
        self.plan_with(&mut RateBudgets::default())
    }

    fn plan_with(&self, budgets: &mut RateBudgets) -> Planned {
        let gateways: Vec<_> = self.gateways.iter().enumerate().map(profile).collect();
        let input = PlanInput {
            validation: self.validation.clone(),
            bounds: self.bounds,
            kind: self.kind,
            attempts: &self.attempts,
            webhooks: &self.webhooks,
            has_reusable_result: self.has_reusable_result,
            budget_renewed_at: self.budget_renewed_at,
            gateways: &gateways,
            now: self.now,
            jitter: 0.5,
        };
        plan(&input, budgets)
    }
}

/// The attempt that a plan makes calls for.
#[derive(Debug, PartialEq)]
struct Calls {
    action: NextAction,
    number: i16,
    at: GatewayAccountId,
    reference: String,
    setbacks: u32,
    alternative: bool,
}

impl Planned {
    fn calls(&self) -> Calls {
        match &self.plan {
            Plan::Attempt {
                attempt,
                action,
                setbacks,
                alternative,
                ..
            } => Calls {
                action: action.clone(),
                number: attempt.number,
                at: attempt.gateway_account,
                reference: attempt.reference.clone(),
                setbacks: *setbacks,
                alternative: *alternative,
            },
            Plan::Settle { why, .. } => panic!("no call: {why}"),
            Plan::Reuse => panic!("reuses an earlier result"),
        }
    }

    fn settles(&self) -> (&Next, &str) {
        match &self.plan {
            Plan::Settle { next, why, .. } => (next, why),
            Plan::Attempt { .. } | Plan::Reuse => panic!("makes a call or reuses a result"),
        }
    }

    fn slot(&self) -> Option<Slot> {
        match &self.plan {
            Plan::Settle { slot, .. } => *slot,
            Plan::Attempt { .. } | Plan::Reuse => None,
        }
    }

    fn queue(&self) -> Option<QueuePlace> {
        match &self.plan {
            Plan::Settle { queue, .. } => *queue,
            Plan::Attempt { .. } | Plan::Reuse => None,
        }
    }

    /// Returns how long the validation waits, without an outcome and for this reason.
    fn waits(&self, case: &Case, expected: PendingReason) -> Duration {
        match self.settles().0 {
            Next::Wait { until, reason, .. } => {
                assert_eq!(*reason, expected);
                (*until - case.now).to_std().unwrap()
            }
            Next::Complete { .. } => panic!("completes: {}", self.settles().1),
        }
    }

    /// Waits until an operator adds or repairs a gateway account; checks again within half a minute.
    fn has_no_gateway(&self, case: &Case) -> Duration {
        let wait = self.waits(case, PendingReason::NoGatewayAvailable);
        assert!(self.plan.needs_operator() && wait <= Duration::from_secs(30));
        wait
    }
}
