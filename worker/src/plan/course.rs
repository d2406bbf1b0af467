//! How a validation whose details are known goes on: a new attempt wherever the routing says, or how its attempts so far
//! are to be judged.

use std::sync::Arc;

use chrono::TimeDelta;
use khata_domain::gateway::RESPONSE_LOST;
use khata_domain::ids::AttemptReference;
use khata_domain::routing::{Candidate, Choice, Ineligible, PriorAttempt, choose};
use khata_domain::score::{Bank, Score};
use khata_domain::traffic::{PostponeReason, Postponed, Traffic};
use khata_domain::validation::{AttemptState, unavailable};
use khata_domain::{Class, Details, GatewayAccountId};
use khata_store::validations::{Attempt, NewAttempt};

use super::{Facts, NextAction, OpenAttempt, Plan, Planned, RateBudgets};
use crate::directory::Entry;

/// Lost calls at a gateway that cannot look them up, after which it is not asked again.
const LOST_CALLS: usize = 2;

/// How a validation goes on whose details are known.
pub(super) struct Course<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) details: &'a Details,
    pub(super) bank: Bank,
    /// The open attempt whose answer is lost for good.
    pub(super) given_up: Option<i16>,
}

impl<'a> Course<'a> {
    /// A new attempt, wherever the routing says.
    pub(super) fn begin(&self, budgets: &mut RateBudgets) -> Planned {
        let (facts, given_up) = (self.facts, self.given_up);
        let planned = |plan: Plan| Planned {
            given_up,
            ..plan.into()
        };
        let (claimed, now) = (facts.claimed, facts.now);
        if now >= claimed.deadline_at {
            return planned(Plan::ends(unavailable(), "the deadline has passed"));
        }
        let (entries, candidates) = self.candidates(budgets);
        let (index, method, reason) =
            match choose(&candidates, &claimed.pin(), &self.settled(), now) {
                Choice::Use {
                    index,
                    method,
                    reason,
                } => (index, method, reason),
                Choice::Postpone {
                    index,
                    later,
                    reason,
                } => {
                    let entry = entries[index];
                    return planned(match entry.fit(self.details, facts.consent) {
                        Ok((_, traffic)) => {
                            facts.wait(entry, traffic, later, false, budgets, &reason)
                        }
                        Err(_) => facts.no_gateway(reason),
                    });
                }
                Choice::NoCandidate(why) => return planned(facts.no_gateway(why)),
            };
        let entry = entries[index];
        if let Ok((_, traffic)) = entry.fit(self.details, facts.consent) {
            let slot = facts.slot_at(entry.account.id);
            budgets.take(entry.key(), traffic, 1, slot, now);
        }
        let number = facts
            .past
            .last()
            .map_or(0, |attempt| attempt.number)
            .saturating_add(1);
        let reference = AttemptReference {
            validation: claimed.key.id,
            number,
        }
        .to_string();
        let may_drop_twice =
            method.moves_money() && facts.past.last().is_some_and(|last| self.was_lost(last));
        let new_attempt = NewAttempt {
            key: claimed.key,
            number,
            gateway_account: entry.account.id,
            gateway_id: entry.gateway.id(),
            method,
            reference: reference.clone(),
            choice: reason,
            possible_double_drop: may_drop_twice,
        };
        let attempt = OpenAttempt {
            number,
            reference,
            method,
            state: AttemptState::Started,
            polls: 0,
            gateway_reference: None,
            started_at: now,
            may_drop_twice,
            entry: Arc::clone(entry),
        };
        let plan = Plan::Attempt {
            attempt,
            first: NextAction::Verify,
            setbacks: self.setbacks(),
            alternative: self.alternative(entry.account.id, budgets),
        };
        Planned {
            plan,
            new_attempt: Some(new_attempt),
            given_up,
        }
    }

    /// Whether a lost answer has been asked for so long that another gateway account is asked instead.
    pub(super) fn is_beyond_patience(&self, open: &Attempt, traffic: &Traffic) -> bool {
        let patience = TimeDelta::from_std(traffic.recover_for).unwrap_or(TimeDelta::MAX);
        self.facts.now - open.started_at > patience && self.has_other(open.gateway_account)
    }

    /// Whether an attempt's rupee may have been dropped unseen.
    fn was_lost(&self, attempt: &Attempt) -> bool {
        let given_up = Some(attempt.number) == self.given_up;
        let settled_so = attempt.state == AttemptState::Settled
            && attempt.code.as_deref() == Some(RESPONSE_LOST);
        attempt.method.moves_money() && (given_up || settled_so)
    }

    /// The enabled gateway accounts; not fit where two calls were lost already.
    fn candidates(&self, budgets: &RateBudgets) -> (Vec<&'a Arc<Entry>>, Vec<Candidate<'a>>) {
        let facts = self.facts;
        let lost_at = |account| {
            facts
                .past
                .iter()
                .filter(|attempt| attempt.gateway_account == account && self.was_lost(attempt))
                .count()
        };
        let enabled = facts
            .merchant
            .entries
            .iter()
            .filter(|entry| entry.account.enabled);
        let candidate = |entry: &'a Arc<Entry>| {
            let id = entry.account.id;
            let fit = if lost_at(id) < LOST_CALLS {
                entry.fit(self.details, facts.consent)
            } else {
                Err(Ineligible::LostTwice)
            };
            let room = fit.map_or(Ok(()), |(method, traffic)| {
                let is_upi = matches!(self.details, Details::Upi(_));
                traffic
                    .open_at(method, is_upi, facts.now)
                    .map_err(|at| Postponed {
                        at,
                        why: PostponeReason::Hours,
                    })?;
                let budget = budgets.of(entry.key(), facts.now);
                budget.room(traffic, 1, facts.slot_at(id), facts.now)
            });
            let scored = facts.merchant.score(id, &self.bank);
            Candidate {
                id,
                gateway: entry.gateway,
                reference_id: &entry.account.reference_id,
                priority: entry.account.priority,
                pinned_only: entry.account.pinned_only,
                fit: fit.map(|(method, _)| method),
                room,
                score: scored.unwrap_or_else(|| Score::new(facts.now)),
            }
        };
        enabled.map(|entry| (entry, candidate(entry))).unzip()
    }

    /// The attempts that are over, the one given up among them.
    fn settled(&self) -> Vec<PriorAttempt> {
        self.facts
            .past
            .iter()
            .filter_map(|attempt| {
                let class = match attempt.state {
                    // Its rupee may have been dropped: whoever can be asked instead goes first, now and later.
                    _ if self.was_lost(attempt) => Class::Inconclusive,
                    AttemptState::Settled => attempt.class?,
                    _ if Some(attempt.number) == self.given_up => Class::Retryable,
                    _ => return None,
                };
                Some(PriorAttempt {
                    gateway_account: attempt.gateway_account,
                    class,
                    started_at: attempt.started_at,
                })
            })
            .collect()
    }

    pub(super) fn setbacks(&self) -> u32 {
        u32::try_from(self.settled().len()).unwrap_or(u32::MAX)
    }

    /// Whether there is another gateway account that might be asked at all.
    fn has_other(&self, than: GatewayAccountId) -> bool {
        let pin = self.facts.claimed.pin();
        self.facts.merchant.entries.iter().any(|entry| {
            let account = &entry.account;
            account.id != than
                && account.enabled
                && pin.allows(entry.gateway, &account.reference_id, account.pinned_only)
                && entry.fit(self.details, self.facts.consent).is_ok()
        })
    }

    /// Whether somebody else would be asked if `asked` could not tell.
    pub(super) fn alternative(&self, asked: GatewayAccountId, budgets: &RateBudgets) -> bool {
        if !self.has_other(asked) {
            return false;
        }
        let mut then = self.settled();
        then.push(PriorAttempt {
            gateway_account: asked,
            class: Class::Inconclusive,
            started_at: self.facts.now,
        });
        let (_, candidates) = self.candidates(budgets);
        let tried = |id| {
            then.iter()
                .any(|past| past.gateway_account == id && past.class != Class::Retryable)
        };
        match choose(
            &candidates,
            &self.facts.claimed.pin(),
            &then,
            self.facts.now,
        ) {
            Choice::Use { index, .. } => !tried(candidates[index].id),
            Choice::Postpone { .. } | Choice::NoCandidate(_) => false,
        }
    }
}
