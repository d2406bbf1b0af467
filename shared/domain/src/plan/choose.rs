//! New attempts: which gateway account makes the next one.

use super::budgets::RateBudgets;
use super::input::{GatewayProfile, PlanInput};
use super::output::{NewAttempt, Plan, Planned};
use super::wait;
use crate::account::AccountKind;
use crate::attempt::{Attempt, AttemptState, NextAction};
use crate::gateway::Method;
use crate::ids::{AttemptReference, GatewayAccountId};
use crate::mutants::{self, Mutant};
use crate::outcome::{Class, FailureCode, Outcome};
use crate::routing::{Candidate, Choice, Ineligible, PriorAttempt, choose};
use crate::traffic::{PostponeReason, Postponed};
use crate::validation::Next;
use crate::validation_state::PendingReason;

/// Lost calls after which a gateway account that cannot look them up makes no further attempt.
const MAX_LOST_CALLS: usize = 2;

/// Plans a new attempt at the gateway account that the routing chooses. `given_up`: the number of the unfinished attempt
/// that this one replaces.
pub(super) fn new_attempt(
    input: &PlanInput<'_>,
    kind: AccountKind,
    given_up: Option<i16>,
    budgets: &mut RateBudgets,
) -> Planned {
    let planned = |plan: Plan| Planned {
        given_up,
        ..plan.into()
    };
    if input.is_over() {
        return planned(Plan::settle(input.unavailable(), "the deadline has passed"));
    }
    let routes = Routes::new(input, kind, given_up);
    let (gateways, candidates) = routes.candidates(budgets);
    match choose(
        &candidates,
        &input.validation.pin,
        &routes.settled,
        input.now,
    ) {
        Choice::Use {
            index,
            method,
            reason,
        } => {
            let gateway = gateways[index];
            let slot = input.slot_at(gateway.key.account);
            budgets.take(gateway.key, gateway.traffic, 1, slot, input.now);
            let any = |is: &dyn Fn(&Attempt) -> bool| input.attempts.iter().any(is);
            let moves_money = method.moves_money();
            Planned {
                new_attempt: Some(NewAttempt {
                    choice: reason,
                    possible_double_drop: moves_money
                        && any(&|prior| routes.is_lost_payment(prior))
                        && !mutants::is_on(Mutant::NoFlag)
                        && !mutants::is_on(Mutant::NoRecovery),
                    is_further_drop: moves_money && any(&|prior| routes.may_have_paid(prior)),
                }),
                given_up,
                sent_again: None,
                plan: routes.attempt(
                    routes.started(gateway.key.account, method),
                    NextAction::Verify,
                    gateway,
                    budgets,
                ),
            }
        }
        Choice::Postpone {
            index,
            later,
            reason,
        } => planned(wait::postpone(
            input,
            gateways[index],
            later,
            None,
            budgets,
            reason,
        )),
        Choice::NoCandidate(why) => planned(routes.no_candidate(&candidates, why)),
    }
}

/// The gateway accounts that may validate the account, after its attempts so far.
pub(super) struct Routes<'a> {
    input: &'a PlanInput<'a>,
    kind: AccountKind,
    given_up: Option<i16>,
    settled: Vec<PriorAttempt>,
}

impl<'a> Routes<'a> {
    pub(super) fn new(input: &'a PlanInput<'a>, kind: AccountKind, given_up: Option<i16>) -> Self {
        let mut routes = Self {
            input,
            kind,
            given_up,
            settled: Vec::new(),
        };
        let attempts = input.attempts.iter();
        routes.settled = attempts
            .filter_map(|attempt| routes.prior(attempt))
            .collect();
        routes
    }

    /// Returns the number of attempts that are over.
    pub(super) fn setbacks(&self) -> u32 {
        u32::try_from(self.settled.len()).unwrap_or(u32::MAX)
    }

    /// Returns the routing's view of an attempt that is over; `None` for an unfinished one.
    fn prior(&self, attempt: &Attempt) -> Option<PriorAttempt> {
        let class = match attempt.state {
            // The rupee may have been paid: every other gateway account is preferred, now and later.
            _ if self.is_lost_payment(attempt) => Class::Inconclusive,
            AttemptState::Settled => attempt.class?,
            _ if Some(attempt.number) == self.given_up => Class::Retryable,
            _ => return None,
        };
        Some(PriorAttempt {
            gateway_account: attempt.gateway_account,
            class,
            may_have_paid: self.may_have_paid(attempt),
            started_at: attempt.started_at,
        })
    }

    /// Whether the attempt may have dropped a rupee whose result was lost.
    fn is_lost_payment(&self, attempt: &Attempt) -> bool {
        let is_given_up = Some(attempt.number) == self.given_up && !attempt.is_not_received();
        attempt.method.moves_money() && (is_given_up || attempt.is_lost())
    }

    fn may_have_paid(&self, attempt: &Attempt) -> bool {
        let is_settled = attempt.state == AttemptState::Settled;
        self.is_lost_payment(attempt) || is_settled && attempt.may_have_paid()
    }

    /// Plans for a validation that no candidate may validate.
    fn no_candidate(&self, candidates: &[Candidate<'_>], why: String) -> Plan {
        let input = self.input;
        let waits_for_budget = candidates.iter().any(|candidate| {
            let (gateway, pinned_only) = (candidate.gateway, candidate.pinned_only);
            candidate.eligibility == Err(Ineligible::BudgetUsedUp)
                && input
                    .validation
                    .pin
                    .allows(gateway, candidate.reference_id, pinned_only)
        });
        let next = match input.budget_renewed_at.filter(|_| waits_for_budget) {
            Some(at) => Next::Wait {
                until: at.min(input.validation.deadline_at).max(input.now),
                pending: false,
                reason: PendingReason::BudgetExhausted,
            },
            None if self.are_exhausted() => Next::Complete {
                outcome: Outcome::Unavailable,
                failure: input.failure().or(Some(FailureCode::AttemptsExhausted)),
            },
            None if self.lack_imps(candidates) => Next::Complete {
                outcome: Outcome::Unavailable,
                failure: Some(FailureCode::ImpsNotEnabled),
            },
            None => return wait::no_gateway(input, why),
        };
        Plan::settle(next, why)
    }

    /// Whether no further penny drop is allowed, although a gateway account could validate the account.
    fn are_exhausted(&self) -> bool {
        let pin = &self.input.validation.pin;
        self.input.gateways.iter().any(|gateway| {
            gateway.enabled
                && pin.allows(gateway.gateway, gateway.reference_id, gateway.pinned_only)
                && gateway.eligibility.is_ok()
        })
    }

    /// Whether the bank takes no payment by which a gateway account could validate the account, and no operator can change that by
    /// correcting or enabling a gateway account.
    fn lack_imps(&self, candidates: &[Candidate<'_>]) -> bool {
        let pin = &self.input.validation.pin;
        let reasons: Vec<_> = candidates
            .iter()
            .filter(|one| pin.allows(one.gateway, one.reference_id, one.pinned_only))
            .filter_map(|one| one.eligibility.err())
            .collect();
        let may_be_enabled = self.input.gateways.iter().any(|gateway| {
            !gateway.enabled
                && pin.allows(gateway.gateway, gateway.reference_id, gateway.pinned_only)
                && !matches!(
                    gateway.eligibility,
                    Err(Ineligible::WithoutImps | Ineligible::Kind)
                )
        });
        reasons.contains(&Ineligible::WithoutImps)
            && !reasons.contains(&Ineligible::NoConnector)
            && !may_be_enabled
    }

    /// Returns a plan that makes a call of this attempt.
    pub(super) fn attempt(
        &self,
        attempt: Attempt,
        action: NextAction,
        gateway: &GatewayProfile<'_>,
        budgets: &RateBudgets,
    ) -> Plan {
        let input = self.input;
        let until = input.recovered_until(&attempt, gateway);
        let is_new = input
            .attempts
            .iter()
            .all(|prior| prior.number != attempt.number);
        // An unfinished attempt whose time has passed would be given up already, if another gateway account could take it.
        let can_end = until > input.now || is_new && self.leads_elsewhere(&attempt, budgets);
        let recovered_until = (can_end && self.has_other(gateway.key.account)).then_some(until);
        Plan::Attempt {
            setbacks: self.setbacks(),
            reason: input.failure(),
            alternative: self.has_alternative(gateway.key.account, budgets),
            recovered_until,
            attempt,
            action,
        }
    }

    fn started(&self, gateway_account: GatewayAccountId, method: Method) -> Attempt {
        let last = self.input.attempts.last();
        let number = last.map_or(0, |last| last.number).saturating_add(1);
        let reference = AttemptReference {
            validation: self.input.validation.id,
            number,
        };
        Attempt {
            number,
            gateway_account,
            method,
            reference: reference.to_string(),
            state: AttemptState::Started,
            class: None,
            code: None,
            failure: None,
            gateway_reference: None,
            polls: 0,
            started_at: self.input.now,
            sent_at: self.input.now,
        }
    }

    /// Returns the enabled gateway accounts; ineligible if two of their calls were lost already.
    fn candidates(
        &self,
        budgets: &RateBudgets,
    ) -> (Vec<&'a GatewayProfile<'a>>, Vec<Candidate<'a>>) {
        let gateways = self.input.gateways.iter();
        gateways
            .filter(|gateway| gateway.enabled)
            .map(|gateway| (gateway, self.candidate(gateway, budgets)))
            .unzip()
    }

    fn candidate(&self, gateway: &'a GatewayProfile<'a>, budgets: &RateBudgets) -> Candidate<'a> {
        let (id, now) = (gateway.key.account, self.input.now);
        let count = |counts: &dyn Fn(&Attempt) -> bool| {
            let attempts = self.input.attempts.iter();
            attempts.filter(|attempt| counts(attempt)).count()
        };
        let lost = count(&|attempt| attempt.gateway_account == id && self.is_lost_payment(attempt));
        let paid = count(&|attempt| self.may_have_paid(attempt));
        let eligibility = gateway.eligibility.and_then(|method| {
            if lost >= MAX_LOST_CALLS {
                Err(Ineligible::LostTwice)
            } else if method.moves_money() && paid >= self.input.bounds.paid_attempts {
                Err(Ineligible::PaidEnough)
            } else if method.moves_money() && paid > 0 && self.input.budget_renewed_at.is_some() {
                Err(Ineligible::BudgetUsedUp)
            } else {
                Ok(method)
            }
        });
        let is_upi = self.kind == AccountKind::Upi;
        let availability = eligibility.map_or(Ok(()), |method| {
            let opened = gateway.traffic.open_at(method, is_upi, now);
            opened.map_err(|at| Postponed {
                at,
                why: PostponeReason::Hours,
            })?;
            let budget = self.input.budget(budgets, gateway.key);
            budget.check(gateway.traffic, 1, self.input.slot_at(id), now)?;
            // The free call belongs to the first one of those that wait.
            if budgets.has_queue(gateway.key) && !self.goes_before_new(id) {
                return Err(gateway.traffic.used_up(now));
            }
            Ok(())
        });
        Candidate {
            id,
            gateway: gateway.gateway,
            reference_id: gateway.reference_id,
            priority: gateway.priority,
            pinned_only: gateway.pinned_only,
            eligibility,
            availability,
            score: gateway.score,
        }
    }

    /// Whether the validation takes a call before the new attempts in the queue of this gateway account do.
    fn goes_before_new(&self, id: GatewayAccountId) -> bool {
        let validation = &self.input.validation;
        validation.awaited || validation.queued_at == Some(id) || self.given_up.is_some()
    }

    /// Whether another gateway account could validate the account at all.
    pub(super) fn has_other(&self, than: GatewayAccountId) -> bool {
        self.input.has_other(than)
    }

    /// Whether another gateway account would make the next attempt if this one could not decide.
    pub(super) fn has_alternative(&self, current: GatewayAccountId, budgets: &RateBudgets) -> bool {
        if !self.has_other(current) {
            return false;
        }
        let then = self.after_undecided(current);
        let could_not_decide = |id| {
            then.iter()
                .any(|prior| prior.gateway_account == id && prior.class != Class::Retryable)
        };
        let next = self.next_now(&then, budgets);
        next.is_some_and(|next| !could_not_decide(next))
    }

    /// Whether another gateway account makes the next attempt now, if the response to this attempt stays lost.
    pub(super) fn leads_elsewhere(&self, attempt: &Attempt, budgets: &RateBudgets) -> bool {
        let current = attempt.gateway_account;
        let next = if self.given_up == Some(attempt.number) {
            self.next_now(&self.settled, budgets)
        } else {
            self.next_now(&self.after_undecided(current), budgets)
        };
        next.is_some_and(|next| next != current)
    }

    /// Returns the attempts that are over once this gateway account could not decide either.
    fn after_undecided(&self, current: GatewayAccountId) -> Vec<PriorAttempt> {
        let mut then = self.settled.clone();
        then.push(PriorAttempt {
            gateway_account: current,
            class: Class::Inconclusive,
            may_have_paid: true,
            started_at: self.input.now,
        });
        then
    }

    /// Returns the gateway account that makes the next attempt now, after these attempts.
    fn next_now(&self, past: &[PriorAttempt], budgets: &RateBudgets) -> Option<GatewayAccountId> {
        let (_, candidates) = self.candidates(budgets);
        let pin = &self.input.validation.pin;
        match choose(&candidates, pin, past, self.input.now) {
            Choice::Use { index, .. } => Some(candidates[index].id),
            Choice::Postpone { .. } | Choice::NoCandidate(_) => None,
        }
    }
}
