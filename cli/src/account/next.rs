//! What happens next with an account, in a sentence, and what is to be done about it. Pure.

use chrono::{DateTime, Utc};
use khata_domain::Class;
use khata_domain::validation::{AttemptState, FailureCode, Outcome};
use khata_store::inspect::{Account, Attempt, Validation};

use super::super::table::time;
use super::gateways::{Gateways, Troubled};
use super::to_do::{Case, Quota, to_do};

/// A sentence, and the time it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) sentence: String,
    pub(super) at: Option<DateTime<Utc>>,
    /// What may keep it from coming about.
    pub(super) troubled: Vec<Troubled>,
}

/// Where the account's newest validation stands, as far as it decides what comes next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand<'a> {
    pub(super) deleted_at: Option<DateTime<Utc>>,
    pub(super) state: &'a str,
    pub(super) outcome: Option<&'a str>,
    pub(super) due_at: DateTime<Utc>,
    pub(super) deadline_at: DateTime<Utc>,
    pub(super) leased_until: Option<DateTime<Utc>>,
    pub(super) completed_at: Option<DateTime<Utc>>,
    /// A gateway has called back, and nobody has looked since.
    pub(super) webhook_received: bool,
    /// Where a call is booked, and when.
    pub(super) booked: Option<(&'a str, DateTime<Utc>)>,
    /// What may keep the next call from being made.
    pub(super) troubled: &'a [Troubled],
    /// State of its newest attempt.
    pub(super) attempt: Option<AttemptState>,
}

/// What happens next, and what a person has to do.
pub(super) fn next(
    account: &Account,
    newest: Option<&Validation>,
    attempt: Option<&Attempt>,
    gateways: &Gateways,
    quota: Quota,
    now: DateTime<Utc>,
) -> (Next, String) {
    let Some(validation) = newest else {
        let next = Next {
            sentence: "Nothing: no validation was ever asked for.".into(),
            at: None,
            troubled: Vec::new(),
        };
        return (next, "Nothing: the merchant can validate it.".into());
    };
    let under_way = attempt.filter(|attempt| !is_settled(attempt));
    let troubled = gateways.troubled(under_way.map(|attempt| attempt.gateway_account));
    let slot = validation.slot;
    let slot = slot.map(|slot| (gateways.name(slot.gateway_account), slot.at));
    let stand = Stand {
        deleted_at: account.deleted_at,
        state: validation.state.as_str(),
        outcome: validation.outcome.map(Outcome::as_str),
        due_at: validation.due_at,
        deadline_at: validation.deadline_at,
        leased_until: validation.leased_until,
        completed_at: validation.completed_at,
        webhook_received: validation.webhook_received,
        booked: slot.as_ref().map(|(name, at)| (name.as_str(), *at)),
        troubled: &troubled,
        attempt: attempt.map(|attempt| attempt.state),
    };
    let case = Case {
        account: &account.id.to_string(),
        merchant: &account.merchant_name,
        failure: validation.failure_code.map(FailureCode::as_str),
        class: attempt.and_then(|attempt| attempt.class.map(Class::as_str)),
        code: attempt.and_then(|attempt| attempt.code.as_deref()),
        room: gateways.room(),
        quota,
    };
    (stand.next(now), to_do(&stand, &case, now))
}

fn is_settled(attempt: &Attempt) -> bool {
    attempt.state == AttemptState::Settled
}

impl Stand<'_> {
    fn next(self, now: DateTime<Utc>) -> Next {
        if let Some(outcome) = self.outcome {
            return self.over(outcome);
        }
        let held_until = self.leased_until.filter(|until| *until > now);
        let at = self
            .leased_until
            .map_or(self.due_at, |until| until.max(self.due_at));
        // Who is held or has been told makes no call that anything could keep from being made.
        let needs_a_call =
            held_until.is_none() && !self.webhook_received && self.deleted_at.is_none();
        let troubled = if needs_a_call { self.troubled } else { &[] };
        let mut sentences = vec![self.turn(now)];
        if self.deleted_at.is_some() {
            sentences.push("The account is deleted: the look only cancels the validation.".into());
        } else {
            sentences.extend(self.before(held_until.is_some()).map(str::to_owned));
            sentences.extend(troubled.iter().map(Troubled::to_string));
            let deadline = time(self.deadline_at);
            sentences.push(if self.deadline_at > now {
                format!("No new attempt is begun after {deadline}.")
            } else {
                format!("Its deadline was {deadline}: no new attempt is begun.")
            });
        }
        Next {
            sentence: sentences.join(" "),
            at: Some(at),
            troubled: troubled.to_vec(),
        }
    }

    /// Whose turn it is.
    fn turn(self, now: DateTime<Utc>) -> String {
        let due = time(self.due_at);
        match (self.state, self.leased_until) {
            (_, Some(until)) if until > now => {
                let then = if self.webhook_received {
                    " A gateway has called back meanwhile: it is looked at again right after."
                } else {
                    ""
                };
                format!(
                    "A worker holds it until {} at the latest.{then}",
                    time(until)
                )
            }
            (_, Some(until)) => format!(
                "Its worker died: the lease ran out at {}. A worker's scheduler wakeups for it within a second; if this \
                 stays so, no worker runs.",
                time(until)
            ),
            ("WAITING", None) if self.due_at > now => match self.booked {
                Some((gateway, at)) => format!(
                    "Waits for its call at {gateway}, which takes only so many calls a minute: one is booked for {}.",
                    time(at)
                ),
                None => format!(
                    "Waits for a look at {due}; `khata-api account retry` has it looked at now."
                ),
            },
            ("WAITING", None) => format!(
                "Due since {due}: a worker's scheduler wakeups for it within a second; if this stays so, no worker runs."
            ),
            (_, None) if self.due_at > now && self.webhook_received => format!(
                "A gateway has called back, and a worker was called: it takes it up now. If the call was lost, the next is \
                 at {due}."
            ),
            (_, None) if self.due_at > now => format!(
                "Due, and a worker was called: it takes it up now. If the call was lost, the next is at {due}."
            ),
            (_, None) => format!(
                "Due since {due}: a worker's scheduler calls for it again, once the queue is not deep; if this stays so, \
                 no worker runs, or they have more to do than they can."
            ),
        }
    }

    /// What the newest attempt asks for before anything else.
    fn before(self, is_held: bool) -> Option<&'static str> {
        match self.attempt? {
            // While a worker holds it the call may just be under way.
            AttemptState::Started if is_held => None,
            AttemptState::Started | AttemptState::Unknown => Some(
                "The newest attempt's answer is lost: what became of it is found out before anything else.",
            ),
            AttemptState::Pending => {
                Some("The gateway does not know the outcome yet; it is asked again.")
            }
            AttemptState::Settled => None,
        }
    }

    fn over(self, outcome: &str) -> Next {
        let since = self.completed_at.map(|at| format!(" since {}", time(at)));
        let then = match self.deleted_at {
            Some(at) => format!("The account was deleted at {}.", time(at)),
            None => "The merchant can validate it again.".to_owned(),
        };
        let since = since.unwrap_or_default();
        Next {
            sentence: format!("Nothing: it is {outcome}{since}, and final. {then}"),
            at: None,
            troubled: Vec::new(),
        }
    }
}

/// What the tests of what happens next and of what to do begin with.
#[cfg(test)]
pub(super) mod fixtures {
    use super::*;

    pub(in super::super) fn at(time: &str) -> DateTime<Utc> {
        format!("2026-11-23T{time}Z").parse().unwrap()
    }

    pub(in super::super) fn waiting() -> Stand<'static> {
        Stand {
            deleted_at: None,
            state: "WAITING",
            outcome: None,
            due_at: at("12:00:03"),
            deadline_at: at("20:00:00"),
            leased_until: None,
            completed_at: None,
            webhook_received: false,
            booked: None,
            troubled: &[],
            attempt: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::gateway::health::HealthIssue;
    use super::fixtures::{at, waiting};
    use super::*;

    #[test]
    fn each_state_has_its_sentence() {
        let leased = Stand {
            state: "LEASED",
            leased_until: Some(at("12:00:30")),
            ..waiting()
        };
        let due = Stand {
            state: "DUE",
            ..waiting()
        };
        let completed = Stand {
            state: "COMPLETED",
            outcome: Some("VALID"),
            completed_at: Some(at("11:00:00")),
            ..waiting()
        };
        let deleted = Stand {
            deleted_at: Some(at("11:30:00")),
            ..waiting()
        };
        for (stand, now, says, time) in [
            (
                waiting(),
                "12:00:00",
                "Waits for a look at 2026-11-23T12:00:03Z",
                Some("12:00:03"),
            ),
            (
                waiting(),
                "12:00:04",
                "Due since 2026-11-23T12:00:03Z",
                Some("12:00:03"),
            ),
            (
                leased,
                "12:00:00",
                "holds it until 2026-11-23T12:00:30Z",
                Some("12:00:30"),
            ),
            (leased, "12:01:00", "Its worker died", Some("12:00:30")),
            (due, "12:00:00", "a worker was called", Some("12:00:03")),
            (due, "12:00:04", "calls for it again", Some("12:00:03")),
            (
                completed,
                "12:00:00",
                "VALID since 2026-11-23T11:00:00Z, and final",
                None,
            ),
            (deleted, "12:00:00", "only cancels", Some("12:00:03")),
        ] {
            let next = stand.next(at(now));
            assert!(next.sentence.contains(says), "{says}: {}", next.sentence);
            assert_eq!(next.at, time.map(at), "{says}");
        }
    }

    #[test]
    fn why_it_waits_is_told() {
        let now = at("12:00:00");
        let booked = Stand {
            booked: Some(("CASHFREE main", at("12:00:03"))),
            ..waiting()
        };
        let said = booked.next(now).sentence;
        assert!(
            said.starts_with(
                "Waits for its call at CASHFREE main, which takes only so many calls a minute: one is booked for \
                 2026-11-23T12:00:03Z."
            ),
            "{said}"
        );
        let down = Troubled {
            gateway: "CASHFREE".into(),
            reference_id: "main".into(),
            trouble: HealthIssue::Down {
                until: at("12:00:03"),
            },
        };
        let troubled = Stand {
            troubled: std::slice::from_ref(&down),
            ..waiting()
        };
        let says = "CASHFREE main: down until 12:00:03 UTC.";
        assert!(troubled.next(now).sentence.contains(says));
        let webhook_received = Stand {
            state: "DUE",
            webhook_received: true,
            ..troubled
        };
        let said = webhook_received.next(now).sentence;
        assert!(said.starts_with("A gateway has called back"), "{said}");
        assert!(!said.contains(says), "what was told needs no call: {said}");
        let held = Stand {
            state: "LEASED",
            leased_until: Some(at("12:00:30")),
            ..webhook_received
        };
        assert!(held.next(now).sentence.contains("called back meanwhile"));
        let over = Stand {
            state: "COMPLETED",
            outcome: Some("VALID"),
            ..troubled
        };
        assert!(!over.next(now).sentence.contains(says));
    }

    #[test]
    fn an_open_attempt_and_the_deadline_are_told() {
        let told = |state, attempt, now| {
            let leased_until = (state == "LEASED").then(|| at("12:00:30"));
            let stand = Stand {
                state,
                leased_until,
                attempt: Some(attempt),
                ..waiting()
            };
            stand.next(at(now)).sentence
        };
        let lost = "answer is lost";
        assert!(told("WAITING", AttemptState::Unknown, "12:00:00").contains(lost));
        assert!(!told("LEASED", AttemptState::Started, "12:00:00").contains(lost));
        assert!(told("LEASED", AttemptState::Started, "12:01:00").contains(lost));
        assert!(!told("WAITING", AttemptState::Settled, "12:00:00").contains(lost));
        let pending = told("WAITING", AttemptState::Pending, "12:00:00");
        assert!(pending.contains("is asked again"), "{pending}");
        assert!(pending.ends_with("No new attempt is begun after 2026-11-23T20:00:00Z."));
        let late = told("WAITING", AttemptState::Settled, "21:00:00");
        assert!(late.contains("Its deadline was"), "{late}");
    }
}
