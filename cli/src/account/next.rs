//! The next step of an account's newest validation, in sentences. Pure.

use chrono::{DateTime, Utc};
use khata_domain::ValidationState;
use khata_domain::validation::{AttemptState, FailureCode, Outcome};

use super::gateways::GatewayIssue;
use super::situation::Situation;
use crate::output::time;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NextStep {
    pub(super) sentence: String,
    /// The time that the sentence names.
    pub(super) at: Option<DateTime<Utc>>,
    /// Health issues that may delay the step.
    pub(super) issues: Vec<GatewayIssue>,
}

/// Returns the next step; without a situation the account was never validated.
pub(super) fn next_step(situation: Option<&Situation>, now: DateTime<Utc>) -> NextStep {
    let done = |sentence: String| NextStep {
        sentence,
        at: None,
        issues: Vec::new(),
    };
    let Some(situation) = situation else {
        return done("Nothing: the account was never validated.".into());
    };
    match situation.outcome {
        Some(outcome) => done(final_result(situation, outcome)),
        None => open_step(situation, now),
    }
}

fn final_result(situation: &Situation, outcome: Outcome) -> String {
    let since = situation.completed_at;
    let since = since.map_or(String::new(), |at| format!(" since {}", time(at)));
    let in_review =
        outcome == Outcome::Review && situation.failure == Some(FailureCode::NameMismatch);
    if in_review && situation.deleted_at.is_none() {
        return format!(
            "The account is real{since}, and a person decides about the holder's name."
        );
    }
    let then = match situation.deleted_at {
        Some(at) => format!("The account was deleted at {}.", time(at)),
        None => "The merchant can validate the account again.".to_owned(),
    };
    // The operator may do something about an account that no gateway decided about.
    let nothing = match outcome {
        Outcome::Unavailable => "Nothing by itself",
        _ => "Nothing",
    };
    format!("{nothing}: the validation is {outcome}{since}, and final. {then}")
}

fn open_step(situation: &Situation, now: DateTime<Utc>) -> NextStep {
    let is_leased = situation.leased_until.is_some_and(|until| until > now);
    let is_deleted = situation.deleted_at.is_some();
    // A leased validation, or one with a pending webhook, makes no outgoing call.
    let needs_a_call = !is_leased && !situation.webhook_received && !is_deleted;
    let issues = needs_a_call.then(|| situation.issues.clone());
    let issues = issues.unwrap_or_default();
    let mut sentences = vec![by_state(situation, now)];
    if is_deleted {
        sentences.push("The account is deleted: the worker only cancels the validation.".into());
    } else {
        sentences.extend(recovery(situation.attempt, is_leased).map(str::to_owned));
        sentences.extend(issues.iter().map(GatewayIssue::to_string));
        let deadline = time(situation.deadline_at);
        sentences.push(if situation.deadline_at > now {
            format!("No new attempt begins after {deadline}.")
        } else {
            format!("The deadline was {deadline}: no new attempt begins.")
        });
    }
    NextStep {
        sentence: sentences.join(" "),
        at: situation.leased_until.max(Some(situation.due_at)),
        issues,
    }
}

fn by_state(situation: &Situation, now: DateTime<Utc>) -> String {
    if let Some(until) = situation.leased_until {
        return leased(situation, until, now);
    }
    let due = time(situation.due_at);
    match (situation.state, situation.due_at > now) {
        (ValidationState::Waiting, true) => match (&situation.slot, &situation.queue) {
            (_, Some(gateway)) => format!(
                "Waits in the queue of {gateway}, which limits its calls: a worker claims it as soon as the gateway account \
                 can take the call."
            ),
            (Some((gateway, at)), None) => format!(
                "Waits for a rate-limit slot at {gateway}, which limits calls per minute: reserved for {}.",
                time(*at)
            ),
            (None, None) => format!(
                "The next poll or attempt is due at {due}; `khata account retry` makes it due now."
            ),
        },
        (ValidationState::Waiting, false) => format!(
            "Due since {due}: a worker's scheduler publishes a wake-up within a second; if this does not change, no \
             worker is running."
        ),
        (_, true) if situation.webhook_received => format!(
            "A gateway webhook has arrived and a wake-up was published: a worker processes it now. If the wake-up was \
             lost, the next one is due at {due}."
        ),
        (_, true) => format!(
            "Due, and a wake-up was published: a worker claims it now. If the wake-up was lost, the next one is due at \
             {due}."
        ),
        (_, false) => format!(
            "Due since {due}: a worker's scheduler publishes another wake-up when the queue is short; if this does not \
             change, no worker is running, or all workers are overloaded."
        ),
    }
}

fn leased(situation: &Situation, until: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let until_text = time(until);
    if until <= now {
        return format!(
            "The worker stopped: its lease expired at {until_text}. A worker's scheduler publishes a wake-up within a \
             second; if this does not change, no worker is running."
        );
    }
    let then = if situation.webhook_received {
        " A gateway webhook has arrived meanwhile; a worker processes it next."
    } else {
        ""
    };
    format!("A worker holds the lease until {until_text} at the latest.{then}")
}

/// Returns what the newest attempt needs before any other call.
fn recovery(attempt: Option<AttemptState>, is_leased: bool) -> Option<&'static str> {
    match attempt? {
        // The call of a leased validation may be open right now.
        AttemptState::Started if is_leased => None,
        AttemptState::Started | AttemptState::Unknown => {
            Some("The response to the newest attempt was lost: the worker recovers it first.")
        }
        AttemptState::Pending => {
            Some("The gateway does not know the outcome yet; the worker polls it again.")
        }
        AttemptState::Settled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::situation::fixtures::{at, completed, due, leased, waiting};
    use super::*;
    use crate::gateway::HealthIssue;

    fn step(situation: &Situation, now: &str) -> NextStep {
        next_step(Some(situation), at(now))
    }

    #[test]
    fn each_state_has_its_sentence() {
        let deleted = Situation {
            deleted_at: Some(at("11:30:00")),
            ..waiting()
        };
        for (situation, now, expected, time) in [
            (
                waiting(),
                "12:00:00",
                "The next poll or attempt is due at 2026-11-23T12:00:03Z",
                Some("12:00:03"),
            ),
            (
                waiting(),
                "12:00:04",
                "Due since 2026-11-23T12:00:03Z",
                Some("12:00:03"),
            ),
            (
                leased(),
                "12:00:00",
                "holds the lease until 2026-11-23T12:00:30Z",
                Some("12:00:30"),
            ),
            (leased(), "12:01:00", "The worker stopped", Some("12:00:30")),
            (
                due(),
                "12:00:00",
                "a wake-up was published",
                Some("12:00:03"),
            ),
            (
                due(),
                "12:00:04",
                "publishes another wake-up",
                Some("12:00:03"),
            ),
            (
                completed(Outcome::Valid),
                "12:00:00",
                "VALID since 2026-11-23T11:00:00Z, and final",
                None,
            ),
            (
                completed(Outcome::Unavailable),
                "12:00:00",
                "Nothing by itself: the validation is UNAVAILABLE",
                None,
            ),
            (deleted, "12:00:00", "only cancels", Some("12:00:03")),
        ] {
            let next = step(&situation, now);
            assert!(next.sentence.contains(expected), "{expected}: {next:?}");
            assert_eq!(next.at, time.map(at), "{expected}");
        }
        let never = next_step(None, at("12:00:00"));
        assert_eq!(never.sentence, "Nothing: the account was never validated.");
    }

    #[test]
    fn a_place_in_a_queue_is_reported() {
        let queued = Situation {
            queue: Some("CASHFREE main".into()),
            ..waiting()
        };
        let sentence = by_state(&queued, at("12:00:00"));
        assert!(
            sentence.starts_with("Waits in the queue of CASHFREE main"),
            "{sentence}"
        );
    }

    #[test]
    fn a_reserved_slot_and_a_health_issue_are_reported() {
        let now = "12:00:00";
        let reserved = Situation {
            slot: Some(("CASHFREE main".into(), at("12:00:03"))),
            ..waiting()
        };
        let sentence = step(&reserved, now).sentence;
        assert!(
            sentence.starts_with(
                "Waits for a rate-limit slot at CASHFREE main, which limits calls per minute: reserved for \
                 2026-11-23T12:00:03Z."
            ),
            "{sentence}"
        );
        let issues = vec![GatewayIssue {
            gateway: "CASHFREE".into(),
            reference_id: "main".into(),
            issue: HealthIssue::CircuitOpen {
                until: at("12:00:03"),
            },
        }];
        let with_issue = |situation| Situation {
            issues: issues.clone(),
            ..situation
        };
        let expected = "CASHFREE main: circuit open until 12:00:03 UTC.";
        let sentence = step(&with_issue(waiting()), now).sentence;
        assert!(sentence.contains(expected), "{sentence}");
        // A webhook needs no call.
        let webhook = |situation| Situation {
            webhook_received: true,
            ..with_issue(situation)
        };
        let sentence = step(&webhook(due()), now).sentence;
        assert!(
            sentence.starts_with("A gateway webhook has arrived"),
            "{sentence}"
        );
        assert!(!sentence.contains(expected), "{sentence}");
        let sentence = step(&webhook(leased()), now).sentence;
        assert!(sentence.contains("arrived meanwhile"), "{sentence}");
        let sentence = step(&with_issue(completed(Outcome::Valid)), now).sentence;
        assert!(!sentence.contains(expected), "{sentence}");
    }

    #[test]
    fn an_open_attempt_and_the_deadline_are_reported() {
        let sentence = |situation, attempt, now| {
            let situation = Situation {
                attempt: Some(attempt),
                ..situation
            };
            step(&situation, now).sentence
        };
        let lost = "was lost: the worker recovers it first";
        assert!(sentence(waiting(), AttemptState::Unknown, "12:00:00").contains(lost));
        assert!(!sentence(leased(), AttemptState::Started, "12:00:00").contains(lost));
        assert!(sentence(leased(), AttemptState::Started, "12:01:00").contains(lost));
        assert!(!sentence(waiting(), AttemptState::Settled, "12:00:00").contains(lost));
        let pending = sentence(waiting(), AttemptState::Pending, "12:00:00");
        assert!(pending.contains("the worker polls it again"), "{pending}");
        assert!(pending.ends_with("No new attempt begins after 2026-11-23T20:00:00Z."));
        let late = sentence(waiting(), AttemptState::Settled, "21:00:00");
        assert!(late.contains("The deadline was"), "{late}");
    }
}
