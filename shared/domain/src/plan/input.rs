//! Everything a plan depends on.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::budgets::RateBudgets;
use crate::account::AccountKind;
use crate::attempt::Attempt;
use crate::gateway::{Gateway, GatewayKey, GatewayResponse, LateCalls, Method, Recovery};
use crate::ids::{GatewayAccountId, ValidationId};
use crate::outcome::{Class, FailureCode};
use crate::routing::{Ineligible, Pin};
use crate::score::Score;
use crate::traffic::{RateBudget, Slot, Traffic};
use crate::validation::{Next, undecided};

/// A claimed validation.
#[derive(Clone, Debug)]
pub struct ClaimedValidation {
    pub id: ValidationId,
    pub account_is_deleted: bool,
    /// When the validation ends without an outcome.
    pub deadline_at: DateTime<Utc>,
    /// Steps in a row that ended without a settlement.
    pub failed_steps: i16,
    pub pin: Pin,
    /// A caller waits for the outcome.
    pub awaited: bool,
    /// The call that an earlier plan booked.
    pub slot: Option<Slot>,
    /// The gateway account in whose queue it waited.
    pub queued_at: Option<GatewayAccountId>,
}

/// A gateway account of the merchant, in relation to the account to validate.
#[derive(Clone, Debug)]
pub struct GatewayProfile<'a> {
    pub key: GatewayKey,
    pub gateway: Gateway,
    /// The merchant's name for the gateway account.
    pub reference_id: &'a str,
    /// The lowest is tried first.
    pub priority: i16,
    /// Used only by calls that name its gateway.
    pub pinned_only: bool,
    /// A disabled gateway account finishes its attempts and gets no new ones.
    pub enabled: bool,
    /// The method it would use; `NoConnector` if it can make no call at all.
    pub eligibility: Result<Method, Ineligible>,
    /// Recovery after a lost response, by the method of the unfinished attempt if there is one at this gateway account.
    pub recovery: Recovery,
    pub late_calls: LateCalls,
    pub traffic: &'a Traffic,
    /// Recent results for accounts at the same bank.
    pub score: Score,
}

/// A webhook that a gateway sent about an attempt.
#[derive(Clone, Debug)]
pub struct WebhookReceived {
    /// Number of the attempt.
    pub number: i16,
    /// `None`: the webhook announces an outcome that has to be polled.
    pub response: Option<GatewayResponse>,
}

/// The bounds that a merchant sets for each of its validations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long a lost response is looked up before another gateway account may be tried, at the risk of a second rupee.
    pub recovery_patience: Duration,
    /// Maximum attempts that may have moved a rupee.
    pub paid_attempts: usize,
}

/// Everything a plan depends on.
#[derive(Clone, Debug)]
pub struct PlanInput<'a> {
    pub validation: ClaimedValidation,
    pub bounds: Bounds,
    /// Kind of the account; `None` if its details cannot be decrypted.
    pub kind: Option<AccountKind>,
    /// All attempts so far, by number.
    pub attempts: &'a [Attempt],
    /// Webhooks received, oldest first.
    pub webhooks: &'a [WebhookReceived],
    /// When the merchant's next penny drops begin, if those of this day are used up. Until then a validation that may have moved a
    /// rupee moves no other one.
    pub budget_renewed_at: Option<DateTime<Utc>>,
    /// An earlier result for the same details may be used.
    pub has_reusable_result: bool,
    /// The merchant's gateway accounts, by priority.
    pub gateways: &'a [GatewayProfile<'a>],
    pub now: DateTime<Utc>,
    /// Random, `0.0..1.0`.
    pub jitter: f64,
}

impl PlanInput<'_> {
    /// Returns the profile of a gateway account.
    pub(super) fn gateway(&self, account: GatewayAccountId) -> Option<&GatewayProfile<'_>> {
        let mut gateways = self.gateways.iter();
        gateways.find(|profile| profile.key.account == account)
    }

    /// Returns the time that an earlier plan booked at this gateway account.
    pub(super) fn slot_at(&self, account: GatewayAccountId) -> Option<DateTime<Utc>> {
        let slot = self.validation.slot?;
        (slot.gateway_account == account).then_some(slot.at)
    }

    /// Returns the response in the stored webhooks that says more about the attempt than its row. A final outcome is not
    /// replaced by a later webhook that is not final.
    pub(super) fn webhook_response(&self, attempt: &Attempt) -> Option<&GatewayResponse> {
        let webhooks = self.webhooks.iter();
        webhooks
            .filter(|webhook| webhook.number == attempt.number)
            .filter_map(|webhook| webhook.response.as_ref())
            .filter(|response| attempt.takes(response))
            .max_by_key(|response| (response.class.is_final(), response.class != Class::Pending))
    }

    /// Returns when the response to an unfinished attempt is given up as lost, if another gateway account can be tried.
    pub(super) fn recovered_until(
        &self,
        open: &Attempt,
        gateway: &GatewayProfile<'_>,
    ) -> DateTime<Utc> {
        let patience = gateway.traffic.recover_for;
        let patience = patience.unwrap_or(self.bounds.recovery_patience);
        let patience = TimeDelta::from_std(patience).unwrap_or(TimeDelta::MAX);
        let until = open.started_at.checked_add_signed(patience);
        until.unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Returns the quota that is left at a gateway account. A validation that a caller waits for may use more than the
    /// account's share of the worker, as the worker keeps permits for it.
    pub(super) fn budget(&self, budgets: &RateBudgets, gateway: GatewayKey) -> RateBudget {
        let mut budget = budgets.of(gateway, self.now);
        if self.validation.awaited {
            budget.share_left = None;
        }
        budget
    }

    /// Whether another gateway account could validate the account at all.
    pub(super) fn has_other(&self, than: GatewayAccountId) -> bool {
        let pin = &self.validation.pin;
        self.gateways.iter().any(|gateway| {
            gateway.key.account != than
                && gateway.enabled
                && pin.allows(gateway.gateway, gateway.reference_id, gateway.pinned_only)
                && gateway.eligibility.is_ok()
        })
    }

    /// Returns the end of the validation without an outcome, for the newest reason that a gateway gave.
    pub(super) fn unavailable(&self) -> Next {
        undecided(self.failure())
    }

    /// Returns the newest reason that a gateway gave, without deciding, why the account takes no credit.
    pub(super) fn failure(&self) -> Option<FailureCode> {
        self.attempts
            .iter()
            .rev()
            .find_map(|attempt| attempt.failure)
    }

    /// Whether the deadline has passed.
    pub(super) fn is_over(&self) -> bool {
        self.now >= self.validation.deadline_at
    }
}
