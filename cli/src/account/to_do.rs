//! What a person has to do about an account, in sentences that name the commands. Pure.

use chrono::{DateTime, Utc};
use khata_domain::Class;
use khata_domain::validation::{AttemptState, FailureCode, Outcome};

use super::super::gateway::health::HealthIssue;
use super::super::table::time;
use super::gateways::{Room, Troubled};
use super::next::Stand;

/// What is to be known beside where the account stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) account: &'a str,
    /// The merchant's name.
    pub(super) merchant: &'a str,
    /// Why its newest validation failed.
    pub(super) failure: Option<&'a str>,
    /// Class and code of the newest attempt.
    pub(super) class: Option<&'a str>,
    pub(super) code: Option<&'a str>,
    pub(super) room: Room,
    pub(super) quota: Quota,
}

/// How often the same details were validated in 24 hours, and may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    pub(super) used: i64,
    pub(super) limit: i16,
    /// When the oldest of them does not count any more.
    pub(super) until: Option<DateTime<Utc>>,
}

impl Quota {
    /// When there is room again; `None` where there is now.
    pub(super) fn refused_until(self) -> Option<DateTime<Utc>> {
        self.until.filter(|_| self.used >= i64::from(self.limit))
    }
}

/// What to do, whatever state it is in.
pub(super) fn to_do(stand: &Stand<'_>, case: &Case<'_>, now: DateTime<Utc>) -> String {
    if stand.deleted_at.is_some() {
        return "Nothing: the account is deleted.".into();
    }
    let Some(outcome) = stand.outcome else {
        return open(stand, case, now);
    };
    let about_outcome = over(outcome, case);
    match case.quota.refused_until() {
        None => about_outcome,
        Some(until) => format!(
            "{about_outcome} A call to validate it now is refused until {} (429, TOO_MANY_VALIDATIONS): it is the merchant's \
             own limit. If the merchant asks for more, and it is sound: `khata-api merchant set --merchant {} \
             --validations-per-account-per-day …`.",
            time(until),
            case.merchant
        ),
    }
}

fn over(outcome: &str, case: &Case<'_>) -> String {
    let (account, merchant) = (case.account, case.merchant);
    let failure = case.failure.unwrap_or_default();
    match (Outcome::parse(outcome), FailureCode::parse(failure)) {
        (_, Some(FailureCode::NameMismatch)) => format!(
            "Nothing of ours: the account is real, and its holder has another name. The merchant asks its payee whose it is. \
             That such accounts fail is the merchant's own setting: `khata-api merchant set --merchant {merchant} \
             --fail-on-name-mismatch false`."
        ),
        (Some(Outcome::Invalid), _) => format!(
            "Nothing of ours: the gateway has answered, and it is {failure}. The merchant has its payee correct the details, \
             and creates the account anew."
        ),
        (Some(Outcome::Review), _) => {
            "Nothing of ours: the gateway suspects fraud or has blocked the account. The merchant looks into it.".into()
        }
        (Some(Outcome::Unavailable), _) => format!(
            "No gateway could tell before the deadline, which says nothing about the account. `khata-api gateway list \
             --merchant {merchant}` tells whether one can now; then `khata-api account retry {account}`."
        ),
        (Some(Outcome::Valid | Outcome::Cancelled) | None, _) => "Nothing.".into(),
    }
}

fn open(stand: &Stand<'_>, case: &Case<'_>, now: DateTime<Utc>) -> String {
    match (stand.state, stand.leased_until) {
        (_, Some(until)) if until > now => {
            return "Nothing now: look again in a few seconds.".into();
        }
        ("WAITING", None) if stand.due_at > now => {}
        (_, None) if stand.due_at > now => {
            return "Nothing now: look again in a few seconds.".into();
        }
        _ => {
            return "Look again in a minute. If it still stands so, nobody works: docs/operations.md, \
                    KhataValidationsStuck, tells what to look at."
                .into();
        }
    }
    let (account, merchant) = (case.account, case.merchant);
    let refused = |one: &&Troubled| matches!(one.trouble, HealthIssue::Misconfigured { .. });
    if let Some(one) = stand.troubled.iter().find(refused) {
        return format!(
            "Have the gateway asked what it has against us: `khata-api gateway test --merchant {merchant} --gateway {} \
             --reference-id {}`. Put it right, with `khata-api gateway add … --if-absent` or at the gateway. The account \
             then goes on by itself, or at once with `khata-api account retry {account}`.",
            one.gateway, one.reference_id
        );
    }
    let is_under_way = stand
        .attempt
        .is_some_and(|state| state != AttemptState::Settled);
    if !stand.troubled.is_empty() && (is_under_way || case.room == Room::OnlyTroubled) {
        return format!(
            "Nothing for this account: it goes on by itself once the gateway is back. Ask the gateway, or look at its \
             status page. `khata-api gateway list --merchant {merchant}` tells whether the merchant has another gateway; \
             `khata-api gateway add` sets one up. When the gateway says that it is back: `khata-api account retry {account}`."
        );
    }
    match stand.attempt {
        Some(AttemptState::Pending) => format!(
            "Nothing: the bank takes its time, and the gateway is asked again by itself. Call-backs would be quicker: \
             `khata-api gateway list --merchant {merchant}` tells the path that the gateway is to call."
        ),
        Some(AttemptState::Started | AttemptState::Unknown) => {
            "Nothing: it is found out by itself, before anybody could be paid twice.".into()
        }
        _ if stand.booked.is_some() => {
            "Nothing: its turn comes by itself. If the gateway takes more calls a minute than it is set up with: \
             `calls_per_minute`, by `khata-api gateway add … --if-absent`."
                .into()
        }
        _ if case.room == Room::NoCandidate => format!(
            "There is no gateway account that this account could go to: `khata-api gateway list --merchant {merchant}` \
             shows those that there are; `khata-api gateway enable` or `khata-api gateway add` gives it one."
        ),
        _ if case.class == Some(Class::Misconfigured.as_str()) => format!(
            "The gateway refused us ({}), and nothing is known against it any more. If that has been put right: `khata-api \
             account retry {account}`.",
            case.code.unwrap_or_default()
        ),
        _ => "Nothing: it is tried again by itself.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::next::fixtures::{at, waiting};
    use super::*;

    const CASE: Case<'static> = Case {
        account: "banh_1",
        merchant: "acme",
        failure: None,
        class: None,
        code: None,
        room: Room::Some,
        quota: Quota {
            used: 1,
            limit: 5,
            until: None,
        },
    };

    fn over_as(outcome: &'static str) -> Stand<'static> {
        Stand {
            state: "COMPLETED",
            outcome: Some(outcome),
            completed_at: Some(at("11:00:00")),
            ..waiting()
        }
    }

    fn told(stand: &Stand<'_>, case: &Case<'_>) -> String {
        to_do(stand, case, at("12:00:00"))
    }

    fn troubled(trouble: HealthIssue) -> [Troubled; 1] {
        [Troubled {
            gateway: "CASHFREE".into(),
            reference_id: "main".into(),
            trouble,
        }]
    }

    #[test]
    fn what_is_over_is_the_merchants_matter_unless_nobody_could_tell() {
        let failed = |failure| Case {
            failure: Some(failure),
            ..CASE
        };
        for (outcome, case, says) in [
            ("VALID", CASE, "Nothing."),
            (
                "INVALID",
                failed("INVALID_ACCOUNT"),
                "it is INVALID_ACCOUNT. The merchant has its payee",
            ),
            (
                "INVALID",
                failed("NAME_MISMATCH"),
                "--merchant acme --fail-on-name-mismatch false",
            ),
            ("REVIEW", failed("SUSPECTED_FRAUD"), "suspects fraud"),
            (
                "UNAVAILABLE",
                failed("VALIDATION_UNAVAILABLE"),
                "account retry banh_1",
            ),
            ("CANCELLED", CASE, "Nothing."),
        ] {
            let said = told(&over_as(outcome), &case);
            assert!(said.contains(says), "{outcome}: {said}");
        }
        let deleted = Stand {
            deleted_at: Some(at("11:30:00")),
            ..waiting()
        };
        assert_eq!(told(&deleted, &CASE), "Nothing: the account is deleted.");
    }

    #[test]
    fn a_limit_that_is_used_up_is_told_of_what_could_be_validated() {
        let full = Case {
            quota: Quota {
                used: 5,
                limit: 5,
                until: Some(at("18:00:00")),
            },
            ..CASE
        };
        let said = told(&over_as("VALID"), &full);
        assert!(
            said.contains("refused until 2026-11-23T18:00:00Z (429, TOO_MANY_VALIDATIONS)"),
            "{said}"
        );
        assert!(
            said.contains("merchant set --merchant acme --validations-per-account-per-day"),
            "{said}"
        );
        // Whoever asks for what is under way is told of that one.
        assert!(!told(&waiting(), &full).contains("429"));
        let some_left = Case {
            quota: Quota {
                used: 4,
                ..full.quota
            },
            ..full
        };
        assert_eq!(told(&over_as("VALID"), &some_left), "Nothing.");
    }

    #[test]
    fn a_gateway_in_trouble_is_somebodys_matter_only_if_it_refuses_us() {
        let refused = troubled(HealthIssue::Misconfigured {
            code: "x".into(),
            since: at("11:00:00"),
        });
        let down = troubled(HealthIssue::Probed);
        let of = |troubled| Stand {
            troubled,
            ..waiting()
        };
        let said = told(&of(&refused), &CASE);
        let test =
            "`khata-api gateway test --merchant acme --gateway CASHFREE --reference-id main`";
        assert!(
            said.contains(test) && said.contains("account retry banh_1"),
            "{said}"
        );
        let only = Case {
            room: Room::OnlyTroubled,
            ..CASE
        };
        let said = told(&of(&down), &only);
        assert!(
            said.starts_with("Nothing for this account: it goes on by itself"),
            "{said}"
        );
        // Another gateway account is in good health.
        assert_eq!(
            told(&of(&down), &CASE),
            "Nothing: it is tried again by itself."
        );
        // What is under way at the one that is down stays there.
        let lost = Stand {
            attempt: Some(AttemptState::Unknown),
            ..of(&down)
        };
        assert!(told(&lost, &CASE).contains("once the gateway is back"));
    }

    #[test]
    fn what_waits_for_its_time_is_left_to_it() {
        let attempt = |state| Stand {
            attempt: Some(state),
            ..waiting()
        };
        let booked = Stand {
            booked: Some(("CASHFREE main", at("12:00:30"))),
            ..waiting()
        };
        let held = Stand {
            state: "LEASED",
            leased_until: Some(at("12:00:30")),
            ..waiting()
        };
        let overdue = Stand {
            due_at: at("11:58:00"),
            ..waiting()
        };
        for (stand, says) in [
            (
                attempt(AttemptState::Pending),
                "Nothing: the bank takes its time",
            ),
            (
                attempt(AttemptState::Unknown),
                "before anybody could be paid twice",
            ),
            (booked, "calls_per_minute"),
            (held, "look again in a few seconds"),
            (
                Stand {
                    state: "DUE",
                    ..waiting()
                },
                "look again in a few seconds",
            ),
            (overdue, "KhataValidationsStuck"),
            (
                Stand {
                    due_at: at("11:58:00"),
                    ..held
                },
                "look again in a few seconds",
            ),
        ] {
            let said = told(&stand, &CASE);
            assert!(said.contains(says), "{says}: {said}");
        }
        let no_gateway = Case {
            room: Room::NoCandidate,
            ..CASE
        };
        assert!(told(&waiting(), &no_gateway).contains("khata-api gateway enable"));
        let put_right = Case {
            class: Some("MISCONFIGURED"),
            code: Some("insufficient_balance"),
            ..CASE
        };
        let said = told(&attempt(AttemptState::Settled), &put_right);
        assert!(said.contains("(insufficient_balance)"), "{said}");
    }
}
