//! The rule of each scenario: the story that every connector must have, unless its profile says otherwise.

use std::time::Duration;

use khata_domain::validation::{AttemptState, FailureCode, Outcome};
use khata_domain::{Class, Recovery};

use crate::conformance::profile::{Kind, Profile, Reports, ReportsUtr};
use crate::conformance::scenario::{RETRY_AFTER, Scenario};
use crate::conformance::story::{Action, CallOutcome, Name, Record, Story};

/// Returns the story that this connector must have, without the actions between its calls.
pub(crate) fn rule(scenario: Scenario, profile: &Profile) -> Story {
    let default = match profile.kind {
        Kind::Bank => FailureCode::InvalidAccount,
        Kind::Upi { .. } => FailureCode::InvalidVpa,
    };
    match scenario {
        Scenario::Valid => valid(profile, Name::Given),
        Scenario::PendingThenValid => at_first_pending(valid(profile, Name::Given)),
        Scenario::PendingThenInvalid => at_first_pending(invalid(profile, default)),
        Scenario::NameMissing | Scenario::NameVerified | Scenario::NameNotAvailable => {
            valid(profile, Name::Missing)
        }
        Scenario::OtherName if matches!(profile.kind, Kind::Bank) => Story {
            action: Action::Complete(Outcome::Invalid, Some(FailureCode::NameMismatch)),
            ..valid(profile, Name::Another)
        },
        // The merchant gives no name with a UPI address to compare with.
        Scenario::OtherName => valid(profile, Name::Another),
        Scenario::Invalid | Scenario::InvalidRetried => invalid(profile, default),
        Scenario::InvalidIfsc => invalid(profile, FailureCode::InvalidIfsc),
        Scenario::Closed => invalid(profile, FailureCode::AccountClosed),
        Scenario::Blocked => invalid(profile, FailureCode::AccountBlocked),
        Scenario::Nre => invalid(profile, FailureCode::NreAccount),
        Scenario::Fraud => Story {
            action: Action::Complete(Outcome::Review, Some(FailureCode::SuspectedFraud)),
            ..ended(profile, Class::Review)
        },
        Scenario::Inconclusive => Story {
            action: Action::Elsewhere,
            ..ended(profile, Class::Inconclusive)
        },
        Scenario::Technical => Story {
            action: Action::Again(RETRY_DELAY),
            ..ended(profile, Class::Retryable)
        },
        Scenario::UnknownCode => {
            let mut story = valid(profile, Name::Given);
            ends_with(&mut story, Class::Inconclusive, Action::Elsewhere);
            story.record.listed = false;
            story
        }
        Scenario::PendingForever => pending_for_ever(profile),
        Scenario::RefusedConnection => Story {
            results: vec![CallOutcome::NotSent],
            ..refused(Class::Retryable, Action::Again(RETRY_DELAY))
        },
        Scenario::ErrorBefore => recovered(profile, Done::Nothing),
        Scenario::ErrorAfter | Scenario::Reset | Scenario::Hang | Scenario::Malformed => {
            recovered(profile, Done::Everything)
        }
        Scenario::WorkerKilled => killed(profile),
        Scenario::TooMany => refused(Class::Retryable, Action::Again(RETRY_AFTER)),
        Scenario::TooManyRecoveries | Scenario::CredentialsRevoked => {
            recovered_late(scenario, profile)
        }
        Scenario::TooManyPolls => rejected(profile),
        Scenario::Credentials | Scenario::IpRejected | Scenario::Balance => {
            refused(Class::Misconfigured, Action::Elsewhere)
        }
        Scenario::Check | Scenario::Webhook | Scenario::ChangedFields => {
            panic!("the scenario makes no attempt")
        }
    }
}

/// Returns the worker's action after each call but the last.
pub(crate) fn meantime(
    scenario: Scenario,
    profile: &Profile,
    results: &[CallOutcome],
) -> Vec<Action> {
    // The worker that takes over from a killed one starts with a lookup.
    let lookups_before = usize::from(scenario == Scenario::WorkerKilled);
    let between = |(place, word): (usize, &CallOutcome)| {
        // A call that was not received is made again, which is no lookup.
        let made_again = results[..place].contains(&CallOutcome::NotReceived);
        let looks = place + lookups_before - usize::from(made_again);
        let exceptions = RECOVERY_DELAY * 2_u32.pow(u32::try_from(looks).unwrap_or(u32::MAX));
        match word {
            CallOutcome::Response(_) => Action::Look(profile.polls[looks]),
            CallOutcome::Rejected => Action::Recover(RETRY_AFTER.max(exceptions)),
            CallOutcome::NotReceived => Action::Recover(Duration::ZERO),
            CallOutcome::Lost | CallOutcome::NotSent => Action::Recover(exceptions),
        }
    };
    let before_the_last = &results[..results.len().saturating_sub(1)];
    before_the_last.iter().enumerate().map(between).collect()
}

/// Delay before a new attempt, if the gateway asks for no other.
pub(crate) const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Delay before the first recovery of a lost response; doubles for each further one.
const RECOVERY_DELAY: Duration = Duration::from_secs(2);

const EMPTY_RECORD: Record = Record {
    state: AttemptState::Started,
    class: None,
    listed: true,
    reference: false,
    name: Name::Missing,
    utr: false,
};

/// Replaces the last result of a story, and the action.
pub(crate) fn ends_with(story: &mut Story, class: Class, action: Action) {
    story.results.pop();
    story.results.push(CallOutcome::Response(class));
    story.record.class = Some(class);
    story.action = action;
}

fn ended(profile: &Profile, class: Class) -> Story {
    let mut results = Vec::new();
    if profile.reports == Reports::Later {
        results.push(CallOutcome::Response(Class::Pending));
    }
    results.push(CallOutcome::Response(class));
    Story {
        results,
        meantime: Vec::new(),
        action: Action::Elsewhere,
        record: Record {
            state: AttemptState::Settled,
            class: Some(class),
            reference: profile.has_ids,
            utr: profile.reports_utr == ReportsUtr::Always,
            ..EMPTY_RECORD
        },
        rupees: u64::from(profile.method.moves_money()),
    }
}

fn valid(profile: &Profile, name: Name) -> Story {
    let mut story = ended(profile, Class::Valid);
    story.action = Action::Complete(Outcome::Valid, None);
    story.record.name = name;
    story.record.utr = profile.reports_utr != ReportsUtr::Never;
    story
}

fn invalid(profile: &Profile, failure: FailureCode) -> Story {
    Story {
        action: Action::Complete(Outcome::Invalid, Some(failure)),
        ..ended(profile, Class::Invalid)
    }
}

fn at_first_pending(mut story: Story) -> Story {
    story.results = vec![
        CallOutcome::Response(Class::Pending),
        story.results[story.results.len() - 1],
    ];
    story
}

fn pending_for_ever(profile: &Profile) -> Story {
    let mut story = ended(profile, Class::Pending);
    story.results = vec![CallOutcome::Response(Class::Pending); 2];
    story.action = Action::Look(profile.polls[1]);
    story.record.state = AttemptState::Pending;
    story.record.utr = false;
    story
}

fn refused(class: Class, action: Action) -> Story {
    Story {
        results: vec![CallOutcome::Response(class)],
        meantime: Vec::new(),
        action,
        record: Record {
            state: AttemptState::Settled,
            class: Some(class),
            ..EMPTY_RECORD
        },
        rupees: 0,
    }
}

/// Work that the gateway had done when its response was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Nothing,
    Everything,
}

/// The story of a recovered call: by a lookup, by the same call again, or not at all.
fn recovered(profile: &Profile, done: Done) -> Story {
    let moves_money = profile.method.moves_money();
    if !moves_money || profile.recovery == Recovery::None {
        // A repeated call costs nothing, or no recovery exists: a new attempt.
        return given_up(u64::from(moves_money && done == Done::Everything));
    }
    let mut story = valid(profile, Name::Given);
    story.results = vec![CallOutcome::Lost];
    if profile.recovery == Recovery::Lookup && done == Done::Nothing {
        story.results.push(CallOutcome::NotReceived);
    }
    let pending_first = match (profile.recovery, done) {
        (Recovery::Lookup, Done::Everything) => false,
        (Recovery::Resubmit, Done::Everything) => true,
        _ => profile.reports == Reports::Later,
    };
    if pending_first {
        story.results.push(CallOutcome::Response(Class::Pending));
    }
    story.results.push(CallOutcome::Response(Class::Valid));
    story
}

/// The story of a worker that was killed with the call under way: only the attempt's row is known.
fn killed(profile: &Profile) -> Story {
    let pending_first = match profile.recovery {
        Recovery::None => return recovered(profile, Done::Everything),
        Recovery::Lookup => false,
        Recovery::Resubmit => profile.reports == Reports::Later || profile.method.moves_money(),
    };
    let mut story = valid(profile, Name::Given);
    story.results = vec![CallOutcome::Response(Class::Valid)];
    if pending_first {
        story
            .results
            .insert(0, CallOutcome::Response(Class::Pending));
    }
    story
}

/// The story of a first recovery that is rejected, which says nothing about the call.
fn recovered_late(scenario: Scenario, profile: &Profile) -> Story {
    let mut story = recovered(profile, Done::Everything);
    if story.results == [CallOutcome::Lost] {
        return story;
    }
    let word = match (scenario, profile.recovery) {
        (Scenario::TooManyRecoveries, Recovery::Lookup) => CallOutcome::Rejected,
        _ => CallOutcome::Lost,
    };
    story.results.insert(1, word);
    story
}

/// The story of a rejected poll: the attempt stays open, and the worker waits as long as the gateway asks.
fn rejected(profile: &Profile) -> Story {
    let mut story = pending_for_ever(profile);
    story.results = vec![CallOutcome::Response(Class::Pending), CallOutcome::Rejected];
    story.action = Action::Look(RETRY_AFTER);
    story.record.class = None;
    story
}

/// Replaces the story: beside a word that is in no table, the status decides.
pub(crate) fn status_decides(story: &mut Story) {
    let complete = Action::Complete(Outcome::Valid, None);
    ends_with(story, Class::Valid, complete);
}

/// Replaces the story: a recovery without a result leaves the attempt open.
pub(crate) fn stays_lost(story: &mut Story) {
    *story = Story {
        results: vec![CallOutcome::Lost; 2],
        meantime: Vec::new(),
        action: Action::Recover(2 * RECOVERY_DELAY),
        record: Record {
            state: AttemptState::Unknown,
            ..EMPTY_RECORD
        },
        rupees: 0,
    };
}

/// Replaces the story: the gateway does not know the call, which is made again.
pub(crate) fn is_never_received(story: &mut Story) {
    stays_lost(story);
    story.results[1] = CallOutcome::NotReceived;
    story.action = Action::Recover(Duration::ZERO);
}

/// Replaces the story: a call that moves no money got no response, and a new attempt follows.
pub(crate) fn is_lost_without_cost(story: &mut Story) {
    *story = given_up(0);
}

fn given_up(rupees: u64) -> Story {
    Story {
        results: vec![CallOutcome::Lost],
        rupees,
        ..refused(Class::Retryable, Action::Again(RETRY_DELAY))
    }
}
