//! The scenarios, and the rule of each: what should come of it at any gateway.

use std::time::Duration;

use khata_domain::validation::{AttemptState, FailureCode, Outcome};
use khata_domain::{Class, Recovery};

use crate::story::{Action, Name, Record, Story, Word};
use crate::subject::{Kind, Subject, Tells, TellsUtr};

/// How long a gateway that has had enough asks us to stay away.
pub(crate) const STAY_AWAY: Duration = Duration::from_secs(7);

macro_rules! rows {
    ($($row:ident = $name:literal),+ $(,)?) => {
        /// One scenario.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Row { $($row),+ }

        impl Row {
            /// All of them, as the summary lists them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$row),+];

            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$row => $name),+ }
            }
        }
    };
}

rows! {
    Valid = "valid",
    NameMissing = "valid, no name told",
    NameVerified = "valid, name VERIFIED",
    NameNotAvailable = "valid, name NA",
    OtherName = "valid, another's name",
    Invalid = "invalid",
    InvalidAgain = "invalid, asked again",
    InvalidIfsc = "invalid IFSC",
    Closed = "closed",
    Blocked = "blocked",
    Nre = "non-resident",
    Fraud = "suspected of fraud",
    Inconclusive = "inconclusive",
    Technical = "technical failure",
    UnknownCode = "a code nobody knows",
    PendingThenValid = "pending, then valid",
    PendingThenInvalid = "pending, then invalid",
    PendingForever = "pending for ever",
    NobodyListens = "nobody listens",
    ErrorBefore = "500, nothing done",
    ErrorAfter = "500, it was done",
    Reset = "reset after send",
    Hang = "no answer in time",
    Malformed = "half an answer",
    Killed = "killed after send",
    TooMany = "429",
    TooManyRecoveries = "429 to the recovery",
    TooManyLooks = "429 to a look",
    Credentials = "401",
    CredentialsGone = "401 to the recovery",
    AddressRefused = "our IP is refused",
    Balance = "too little balance",
    Check = "check of credentials",
    WebhookRequest = "call-back",
}

impl Row {
    /// What the account number, or the address before its `@`, ends in.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::NameMissing => "99009921",
            Self::NameVerified => "99009922",
            Self::NameNotAvailable => "99009923",
            Self::OtherName => "99009924",
            Self::Invalid | Self::InvalidAgain => "99009931",
            Self::InvalidIfsc => "99009932",
            Self::Closed => "99009933",
            Self::Blocked => "99009934",
            Self::Fraud => "99009935",
            Self::Nre => "99009936",
            Self::Inconclusive => "99009941",
            Self::Technical => "99009942",
            Self::PendingThenValid | Self::TooManyLooks => "99009911",
            Self::PendingThenInvalid => "99009912",
            Self::PendingForever => "99009913",
            _ => "10203040",
        }
    }

    /// Whether the gateway is well, and only the account, or its word for it, is special.
    pub(crate) fn is_outcome(self) -> bool {
        match self {
            Self::Valid | Self::UnknownCode => true,
            Self::TooManyLooks => false,
            _ => self.ending() != Self::Valid.ending(),
        }
    }

    /// What should come of it at this connector, but for what is done between its calls.
    pub(crate) fn rule(self, subject: &Subject) -> Story {
        let no = match subject.kind {
            Kind::Bank => FailureCode::InvalidAccount,
            Kind::Upi { .. } => FailureCode::InvalidVpa,
        };
        match self {
            Self::Valid => valid(subject, Name::Somebody),
            Self::PendingThenValid => at_first_pending(valid(subject, Name::Somebody)),
            Self::PendingThenInvalid => at_first_pending(invalid(subject, no)),
            Self::NameMissing | Self::NameVerified | Self::NameNotAvailable => {
                valid(subject, Name::Nobody)
            }
            Self::OtherName if matches!(subject.kind, Kind::Bank) => Story {
                action: Action::Complete(Outcome::Invalid, Some(FailureCode::NameMismatch)),
                ..valid(subject, Name::Another)
            },
            // A UPI address comes without a name to compare with.
            Self::OtherName => valid(subject, Name::Another),
            Self::Invalid | Self::InvalidAgain => invalid(subject, no),
            Self::InvalidIfsc => invalid(subject, FailureCode::InvalidIfsc),
            Self::Closed | Self::Blocked => invalid(subject, FailureCode::AccountBlocked),
            Self::Nre => invalid(subject, FailureCode::NreAccount),
            Self::Fraud => Story {
                action: Action::Complete(Outcome::Review, Some(FailureCode::SuspectedFraud)),
                ..ended(subject, Class::Review)
            },
            Self::Inconclusive => Story {
                action: Action::Elsewhere,
                ..ended(subject, Class::Inconclusive)
            },
            Self::Technical => Story {
                action: Action::Again(AGAIN),
                ..ended(subject, Class::Retryable)
            },
            Self::UnknownCode => {
                let mut story = valid(subject, Name::Somebody);
                says(&mut story, Class::Inconclusive, Action::Elsewhere);
                story.record.listed = false;
                story
            }
            Self::PendingForever => pending_for_ever(subject),
            Self::NobodyListens => Story {
                heard: vec![Word::NotSent],
                ..refused(Class::Retryable, Action::Again(AGAIN))
            },
            Self::ErrorBefore => recovered(subject, Done::Nothing),
            Self::ErrorAfter | Self::Reset | Self::Hang | Self::Malformed => {
                recovered(subject, Done::Everything)
            }
            Self::Killed => killed(subject),
            Self::TooMany => refused(Class::Retryable, Action::Again(STAY_AWAY)),
            Self::TooManyRecoveries | Self::CredentialsGone => recovered_late(self, subject),
            Self::TooManyLooks => turned_away(subject),
            Self::Credentials | Self::AddressRefused | Self::Balance => {
                refused(Class::Misconfigured, Action::Elsewhere)
            }
            Self::Check | Self::WebhookRequest => panic!("no attempt is made"),
        }
    }
}

/// What is done after each call but the last of what is heard in this row.
pub(crate) fn meantime(row: Row, subject: &Subject, heard: &[Word]) -> Vec<Action> {
    // Who goes on after another was killed asks first.
    let asked = usize::from(row == Row::Killed);
    let between = |(place, word): (usize, &Word)| {
        let looks = place + asked;
        let own = RECOVER * 2_u32.pow(u32::try_from(looks).unwrap_or(u32::MAX));
        match word {
            Word::Said(_) => Action::Look(subject.polls[looks]),
            Word::Rejected => Action::Recover(STAY_AWAY.max(own)),
            Word::Lost | Word::NotSent => Action::Recover(own),
        }
    };
    let before_the_last = &heard[..heard.len().saturating_sub(1)];
    before_the_last.iter().enumerate().map(between).collect()
}

/// Before a new attempt, where nobody asked for more.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);
/// Before the first recovery of a lost answer; twice as long before each next one.
const RECOVER: Duration = Duration::from_secs(2);

const NOTHING_TOLD: Record = Record {
    state: AttemptState::Started,
    class: None,
    listed: true,
    reference: false,
    name: Name::Nobody,
    utr: false,
};

/// Replaces the last word of a story, and what follows from it.
pub(crate) fn says(story: &mut Story, class: Class, action: Action) {
    story.heard.pop();
    story.heard.push(Word::Said(class));
    story.record.class = Some(class);
    story.action = action;
}

fn ended(subject: &Subject, class: Class) -> Story {
    let mut heard = Vec::new();
    if subject.tells == Tells::Later {
        heard.push(Word::Said(Class::Pending));
    }
    heard.push(Word::Said(class));
    Story {
        heard,
        meantime: Vec::new(),
        action: Action::Elsewhere,
        record: Record {
            state: AttemptState::Settled,
            class: Some(class),
            reference: subject.has_ids,
            utr: subject.tells_utr == TellsUtr::Always,
            ..NOTHING_TOLD
        },
        rupees: u64::from(subject.method.moves_money()),
    }
}

fn valid(subject: &Subject, name: Name) -> Story {
    let mut story = ended(subject, Class::Valid);
    story.action = Action::Complete(Outcome::Valid, None);
    story.record.name = name;
    story.record.utr = subject.tells_utr != TellsUtr::Never;
    story
}

fn invalid(subject: &Subject, failure: FailureCode) -> Story {
    Story {
        action: Action::Complete(Outcome::Invalid, Some(failure)),
        ..ended(subject, Class::Invalid)
    }
}

fn at_first_pending(mut story: Story) -> Story {
    story.heard = vec![
        Word::Said(Class::Pending),
        story.heard[story.heard.len() - 1],
    ];
    story
}

fn pending_for_ever(subject: &Subject) -> Story {
    let mut story = ended(subject, Class::Pending);
    story.heard = vec![Word::Said(Class::Pending); 2];
    story.action = Action::Look(subject.polls[1]);
    story.record.state = AttemptState::Pending;
    story.record.utr = false;
    story
}

fn refused(class: Class, action: Action) -> Story {
    Story {
        heard: vec![Word::Said(class)],
        meantime: Vec::new(),
        action,
        record: Record {
            state: AttemptState::Settled,
            class: Some(class),
            ..NOTHING_TOLD
        },
        rupees: 0,
    }
}

/// What the gateway had done when its answer was lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Done {
    Nothing,
    Everything,
}

/// Found out what became of it: by a look, by the same call once more, or not at all.
fn recovered(subject: &Subject, done: Done) -> Story {
    let moves_money = subject.method.moves_money();
    if !moves_money || subject.recovery == Recovery::None {
        // Asking again costs nothing, or nothing can be found out: a new attempt.
        return given_up(u64::from(moves_money && done == Done::Everything));
    }
    let mut story = valid(subject, Name::Somebody);
    story.heard = vec![Word::Lost];
    let is_told_later = match (subject.recovery, done) {
        (Recovery::Lookup, Done::Everything) => false,
        (Recovery::Resubmit, Done::Everything) => true,
        _ => subject.tells == Tells::Later,
    };
    if is_told_later {
        story.heard.push(Word::Said(Class::Pending));
    }
    story.heard.push(Word::Said(Class::Valid));
    story
}

/// The worker died with the call under way: nothing was heard, and what is known is the attempt's row.
fn killed(subject: &Subject) -> Story {
    let told_later = match subject.recovery {
        Recovery::None => return recovered(subject, Done::Everything),
        Recovery::Lookup => false,
        Recovery::Resubmit => subject.tells == Tells::Later || subject.method.moves_money(),
    };
    let mut story = valid(subject, Name::Somebody);
    story.heard = vec![Word::Said(Class::Valid)];
    if told_later {
        story.heard.insert(0, Word::Said(Class::Pending));
    }
    story
}

/// The first recovery is turned away, which says nothing about the call.
fn recovered_late(row: Row, subject: &Subject) -> Story {
    let mut story = recovered(subject, Done::Everything);
    if story.heard == [Word::Lost] {
        return story;
    }
    let word = match (row, subject.recovery) {
        (Row::TooManyRecoveries, Recovery::Lookup) => Word::Rejected,
        _ => Word::Lost,
    };
    story.heard.insert(1, word);
    story
}

/// A look that is turned away leaves the attempt open, for as long as it was told.
fn turned_away(subject: &Subject) -> Story {
    let mut story = pending_for_ever(subject);
    story.heard = vec![Word::Said(Class::Pending), Word::Rejected];
    story.action = Action::Look(STAY_AWAY);
    story.record.class = None;
    story
}

/// A recovery that came to nothing leaves the attempt open.
pub(crate) fn stays_lost(story: &mut Story) {
    *story = Story {
        heard: vec![Word::Lost; 2],
        meantime: Vec::new(),
        action: Action::Recover(2 * RECOVER),
        record: Record {
            state: AttemptState::Unknown,
            ..NOTHING_TOLD
        },
        rupees: 0,
    };
}

/// A call that moves nothing ended without an answer: it is made anew.
pub(crate) fn is_lost_for_nothing(story: &mut Story) {
    *story = given_up(0);
}

fn given_up(rupees: u64) -> Story {
    Story {
        heard: vec![Word::Lost],
        rupees,
        ..refused(Class::Retryable, Action::Again(AGAIN))
    }
}
