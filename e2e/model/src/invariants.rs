//! The properties that hold in every state, and on every path.

use khata_domain::validation::{AttemptState, FailureCode, Next, Outcome};
use khata_domain::{AccountStatus, Class};
use stateright::Property;

use crate::events::dictated;
use crate::scenario::{Repair, Scenario};
use crate::state::{AttemptRow, Broken, State, Validation};

/// Returns the properties, in the order in which they are printed.
pub fn all() -> Vec<Property<Scenario>> {
    vec![
        eventually("every validation reaches an outcome", |_, state| {
            state.validations.iter().all(Validation::is_completed)
        }),
        always("nothing is left undone at the end", |scenario, state| {
            state.validations.iter().all(Validation::is_completed) || !scenario.is_over(state)
        }),
        always("each validation ends within its time", ends_in_time),
        always("an outcome is the one that a gateway dictates", is_dictated),
        always("an outcome is final", |_, state| {
            state.broken != Some(Broken::OutcomeChanged)
        }),
        always("a stored outcome is used", |_, state| {
            state.broken != Some(Broken::OutcomeIgnored)
        }),
        always(
            "no call moves two rupees under one reference",
            |_, state| {
                state.received.iter().all(|received| received.rupees <= 1)
                    && state.received.iter().all(|received| {
                        received.reference.repetition == 0 || is_only(state, received)
                    })
            },
        ),
        always("each second rupee is flagged", second_rupees_are_flagged),
        always("no rupee is without an attempt", |_, state| {
            state.broken != Some(Broken::RupeeWithoutAttempt)
        }),
        always("no more rupees than the merchant allows", |_, state| {
            (0..state.validations.len()).all(|index| rupees(state, index) <= 3)
        }),
        always(
            "a call that was not sent does not count as lost",
            |_, state| state.broken != Some(Broken::UnsentCountsAsLost),
        ),
        always(
            "a completed validation has no unfinished attempt",
            |_, state| state.validations.iter().all(has_ended),
        ),
        always("an account follows its newest validation", follows_newest),
        always("no status goes back", |_, state| {
            state.broken != Some(Broken::StatusWentBack)
        }),
    ]
}

type Condition = fn(&Scenario, &State) -> bool;

fn always(name: &'static str, condition: Condition) -> Property<Scenario> {
    Property::always(name, condition)
}

fn eventually(name: &'static str, condition: Condition) -> Property<Scenario> {
    Property::eventually(name, condition)
}

fn is_only(state: &State, received: &crate::state::Received) -> bool {
    let of = received.reference;
    let mut others = state.received.iter();
    !others.any(|other| {
        other != received
            && (other.reference.validation, other.reference.number) == (of.validation, of.number)
    })
}

/// The rupees that gateways have paid for a validation.
fn rupees(state: &State, index: usize) -> u8 {
    let of = state.received.iter();
    of.filter(|received| received.reference.validation == index)
        .map(|received| received.rupees)
        .sum()
}

fn ends_in_time(scenario: &Scenario, state: &State) -> bool {
    let mut validations = state.validations.iter();
    validations.all(|validation| {
        validation.is_completed() || state.now <= validation.began_at + scenario.ends_within
    })
}

/// A gateway's result ends the validation. Without one, the validation ends at its deadline, or after the last attempt that is
/// permitted; a deletion cancels it.
fn is_dictated(scenario: &Scenario, state: &State) -> bool {
    let is_dictated = |(index, validation): (usize, &Validation)| {
        let Some((outcome, failure)) = validation.outcome else {
            return true;
        };
        let mut received = state.received.iter();
        match outcome {
            Outcome::Cancelled => state.account.status == AccountStatus::Deleted,
            Outcome::Unavailable => {
                let is_exhausted = failure == Some(FailureCode::AttemptsExhausted);
                let attempts = validation.attempts.iter();
                let spent = attempts.filter(|row| row.attempt().may_have_paid()).count();
                state.now >= validation.deadline_at || is_exhausted && spent >= 2
            }
            _ => received.any(|received| {
                let script = scenario.gateways[received.gateway].script;
                received.reference.validation == index && dictated(script) == Some(outcome)
            }),
        }
    };
    state.validations.iter().enumerate().all(is_dictated)
}

/// A merchant sees the attempts whose gateways gave a result. A rupee after another one whose result was lost is flagged.
fn second_rupees_are_flagged(_: &Scenario, state: &State) -> bool {
    let mut validations = state.validations.iter().enumerate();
    validations.all(|(index, validation)| {
        let has_paid = |row: &&AttemptRow| {
            let mut received = state.received.iter();
            received.any(|received| {
                let of = received.reference;
                (of.validation, of.number) == (index, row.reference.number)
            })
        };
        let paid: Vec<&AttemptRow> = validation.attempts.iter().filter(has_paid).collect();
        let is_known = |row: &&AttemptRow| row.class.is_some_and(|class| class != Class::Retryable);
        paid.iter()
            .enumerate()
            .skip(1)
            .all(|(place, row)| row.is_flagged || paid[..place].iter().all(is_known))
    })
}

/// A deletion cancels a validation whose attempt is unfinished.
fn has_ended(validation: &Validation) -> bool {
    let is_cancelled = matches!(validation.outcome, Some((Outcome::Cancelled, _)));
    let mut attempts = validation.attempts.iter();
    !validation.is_completed()
        || is_cancelled
        || attempts.all(|row| row.state == AttemptState::Settled)
}

fn follows_newest(_: &Scenario, state: &State) -> bool {
    let newest = &state.validations[state.account.validation];
    let Some((outcome, failure)) = newest.outcome else {
        return true;
    };
    let status = Next::Complete { outcome, failure }.account_status();
    state.account.status == AccountStatus::Deleted
        || status.is_none_or(|status| status == state.account.status)
}

/// Returns the property that a scenario without this repair must break.
pub fn broken_without(repair: Repair) -> &'static str {
    match repair {
        Repair::SettlingTime | Repair::LookupTime | Repair::ReferenceReused => {
            "no call moves two rupees under one reference"
        }
        Repair::UnsentIsNotLost | Repair::DueOnly => {
            "a call that was not sent does not count as lost"
        }
        Repair::ExhaustedEnds => "each validation ends within its time",
        Repair::WebhooksReadAgain | Repair::WebhookBeforeEnd => "a stored outcome is used",
        Repair::LeaseToken => "a completed validation has no unfinished attempt",
        Repair::AttemptRowFirst => "no rupee is without an attempt",
        Repair::Scheduler | Repair::LostWakeupsRepeated => "nothing is left undone at the end",
        Repair::Recovery | Repair::LostIsNotUnsent => "each second rupee is flagged",
        Repair::DeletedStays => "no status goes back",
        Repair::NewestOnly => "an account follows its newest validation",
    }
}
