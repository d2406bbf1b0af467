//! The operator's action for an account, in sentences that name the commands. Pure.

use chrono::{DateTime, Utc};
use khata_domain::validation::{AttemptState, FailureCode, Outcome};
use khata_domain::{Class, ValidationState};

use super::gateways::Candidates;
use super::situation::Situation;
use crate::output::time;

/// Returns the action; without a situation the account was never validated.
pub(super) fn advice(situation: Option<&Situation>, now: DateTime<Utc>) -> String {
    let Some(situation) = situation else {
        return "Nothing. The merchant can validate the account.".into();
    };
    if situation.deleted_at.is_some() {
        return "Nothing: the account is deleted.".into();
    }
    let Some(outcome) = situation.outcome else {
        return open(situation, now);
    };
    let action = completed(situation, outcome);
    match situation.quota.rejected_until() {
        None => action,
        Some(until) => format!(
            "{action} A call to validate it now is rejected until {} (429, TOO_MANY_VALIDATIONS): this is the merchant's \
             own limit. To raise the limit: `khata merchant set --merchant {} --validations-per-account-per-day …`.",
            time(until),
            situation.merchant
        ),
    }
}

fn completed(situation: &Situation, outcome: Outcome) -> String {
    let (account, merchant) = (&situation.account, &situation.merchant);
    match (outcome, situation.failure) {
        (Outcome::Review, Some(FailureCode::NameMismatch)) => format!(
            "A person compares the names: the merchant's call shows `beneficiary_name`, `name_at_bank` and `name_match`. Then \
             run `khata account accept {validation}` or `khata account reject {validation}`. The merchant's own setting makes \
             such an account wait; to change it: `khata merchant set --merchant {merchant} --review-names-below …`.",
            validation = situation.validation
        ),
        (_, Some(FailureCode::NameMismatch)) => format!(
            "Nothing for the operator: the account is real, but its holder has another name. The merchant asks the payee \
             whose account it is. The merchant's own setting makes such an account fail; to change it: `khata merchant \
             set --merchant {merchant} --fail-names-below NO_MATCH`."
        ),
        (Outcome::Invalid, failure) => format!(
            "Nothing for the operator: the gateway reports {}. The merchant asks the payee to correct the details, and \
             creates the account again.",
            failure.map_or("INVALID", FailureCode::as_str)
        ),
        (Outcome::Review, _) => {
            "Nothing for the operator: the gateway suspects fraud or has blocked the account. The merchant investigates."
                .into()
        }
        (Outcome::Unavailable, Some(failure @ FailureCode::LimitReached)) => format!(
            "Nothing for the operator: no gateway could decide, and one reports {failure}. The merchant asks the payee to settle it \
             with the bank or to give another account. A method that moves no money may decide: docs/gateways.md lists those of each \
             gateway, `khata gateway list --merchant {merchant}` the merchant's gateway accounts."
        ),
        (Outcome::Unavailable, Some(FailureCode::ImpsNotEnabled)) => format!(
            "The bank or the account takes no IMPS, by which penny drops are paid. Add a gateway account with the method PENNILESS \
             with `khata gateway add --merchant {merchant}`, then run `khata account retry {account} --yes`; or the merchant asks the \
             payee for another account.{}",
            paid(situation)
        ),
        (Outcome::Unavailable, Some(FailureCode::AttemptsExhausted)) => format!(
            "No gateway gave a result within the number of paid attempts that the merchant allows (`--paid-attempts-per-validation`), \
             which says nothing about the account.{} Check whether a gateway works now with `khata gateway list --merchant {merchant}`. \
             Then `khata account retry {account} --yes` begins another validation, which may pay another rupee.",
            paid(situation)
        ),
        (Outcome::Unavailable, _) => format!(
            "No gateway gave a result before the deadline, which says nothing about the account.{} Check whether a gateway \
             works now with `khata gateway list --merchant {merchant}`. Then `khata account retry {account} --yes` begins another \
             validation, which may pay another rupee.",
            paid(situation)
        ),
        (Outcome::Valid | Outcome::Cancelled, _) => "Nothing.".into(),
    }
}

/// Returns the sentence about rupees that the payee may have.
fn paid(situation: &Situation) -> String {
    match situation.may_have_paid.as_slice() {
        [] => String::new(),
        attempts => format!(
            " Each of these penny drops may have paid the payee a rupee: {}. Search their references in the gateways' reports first.",
            attempts.join(", ")
        ),
    }
}

fn open(situation: &Situation, now: DateTime<Utc>) -> String {
    let is_scheduled = situation.leased_until.is_none() && situation.due_at > now;
    if situation.leased_until.is_some_and(|until| until > now)
        || is_scheduled && situation.state != ValidationState::Waiting
    {
        return "Nothing now: check again in a few seconds.".into();
    }
    if !is_scheduled {
        return "Check again in a minute. If nothing has changed, no worker is running: see KhataValidationsStuck in \
                docs/operations.md."
            .into();
    }
    gateway_action(situation).unwrap_or_else(|| waiting_action(situation))
}

/// Returns the action if health issues of the gateways delay the validation.
fn gateway_action(situation: &Situation) -> Option<String> {
    let (account, merchant) = (&situation.account, &situation.merchant);
    let mut issues = situation.issues.iter();
    if let Some(one) = issues.find(|one| one.issue.is_misconfigured()) {
        return Some(format!(
            "Ask the gateway why it rejects us: `khata gateway test --merchant {merchant} --gateway {} --reference-id {}`. \
             Correct the settings with `khata gateway set`, or at the gateway. The account then continues \
             automatically, or at once with `khata account retry {account}`.",
            one.gateway, one.reference_id
        ));
    }
    let is_open = situation
        .attempt
        .is_some_and(|state| state != AttemptState::Settled);
    let is_delayed = is_open || situation.candidates == Candidates::OnlyWithIssues;
    (is_delayed && !situation.issues.is_empty()).then(|| {
        format!(
            "Nothing for this account: it continues automatically when the gateway is back. Ask the gateway, or check its \
             status page. `khata gateway list --merchant {merchant}` shows whether the merchant has another gateway; \
             `khata gateway add` adds one. When the gateway is back (optional): `khata account retry {account}`."
        )
    })
}

/// Returns the action for a validation that waits although no gateway has a health issue.
fn waiting_action(situation: &Situation) -> String {
    let (account, merchant) = (&situation.account, &situation.merchant);
    match situation.attempt {
        Some(AttemptState::Pending) => format!(
            "Nothing: the bank needs time, and the worker polls the gateway. Webhooks are faster: `khata gateway list \
             --merchant {merchant}` shows the path for the gateway's webhooks."
        ),
        Some(AttemptState::Started | AttemptState::Unknown) => {
            "Nothing: the worker recovers the attempt before it makes another, so that the account is not paid twice.".into()
        }
        _ if situation.slot.is_some() => {
            "Nothing: the call is made at the reserved time. If the gateway allows more calls per minute, raise \
             `calls_per_minute` with `khata gateway set`."
                .into()
        }
        _ if situation.queue.is_some() => {
            "Nothing: a worker makes the call as soon as the gateway account can take it. If the gateway allows more calls, \
             raise `concurrency` or `calls_per_minute` with `khata gateway set`."
                .into()
        }
        _ if situation.candidates == Candidates::None => format!(
            "No gateway account may validate this account. `khata gateway list --merchant {merchant}` shows the \
             merchant's gateway accounts; enable one with `khata gateway enable`, or add one with `khata gateway add`."
        ),
        _ if situation.class == Some(Class::Misconfigured) => format!(
            "The gateway rejected us ({}), but no problem is known now. If it is corrected: `khata account retry \
             {account}`.",
            situation.code.as_deref().unwrap_or_default()
        ),
        _ => "Nothing: the worker retries automatically.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::gateways::GatewayIssue;
    use super::super::situation::Quota;
    use super::super::situation::fixtures::{at, completed, due, leased, waiting};
    use super::*;
    use crate::gateway::HealthIssue;

    fn advise(situation: &Situation) -> String {
        advice(Some(situation), at("12:00:00"))
    }

    fn with_issue(issue: HealthIssue) -> Situation {
        Situation {
            issues: vec![GatewayIssue {
                gateway: "CASHFREE".into(),
                reference_id: "main".into(),
                issue,
            }],
            ..waiting()
        }
    }

    #[test]
    fn a_final_result_is_the_merchants_matter_unless_no_gateway_gave_one() {
        let failed = |outcome, failure| Situation {
            failure: Some(failure),
            ..completed(outcome)
        };
        for (situation, expected) in [
            (completed(Outcome::Valid), "Nothing."),
            (
                failed(Outcome::Invalid, FailureCode::InvalidAccount),
                "reports INVALID_ACCOUNT. The merchant asks the payee",
            ),
            (
                failed(Outcome::Invalid, FailureCode::NameMismatch),
                "--merchant acme --fail-names-below NO_MATCH",
            ),
            (
                failed(Outcome::Review, FailureCode::NameMismatch),
                "`khata account accept val_1` or `khata account reject val_1`",
            ),
            (
                failed(Outcome::Review, FailureCode::SuspectedFraud),
                "suspects fraud",
            ),
            (
                failed(Outcome::Unavailable, FailureCode::ValidationUnavailable),
                "account retry banh_1",
            ),
            (
                failed(Outcome::Unavailable, FailureCode::ImpsNotEnabled),
                "the method PENNILESS",
            ),
            (completed(Outcome::Cancelled), "Nothing."),
            (
                Situation {
                    may_have_paid: vec!["kh1_01 at SETU main".into(), "kh1_02 at SETU main".into()],
                    ..failed(Outcome::Unavailable, FailureCode::AttemptsExhausted)
                },
                "may have paid the payee a rupee: kh1_01 at SETU main, kh1_02 at SETU main. Search",
            ),
            (
                failed(Outcome::Unavailable, FailureCode::AttemptsExhausted),
                "about the account. Check whether a gateway works now",
            ),
        ] {
            let text = advise(&situation);
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let deleted = Situation {
            deleted_at: Some(at("11:30:00")),
            ..waiting()
        };
        assert_eq!(advise(&deleted), "Nothing: the account is deleted.");
        let never = advice(None, at("12:00:00"));
        assert_eq!(never, "Nothing. The merchant can validate the account.");
    }

    #[test]
    fn a_used_up_limit_is_reported_for_final_results_only() {
        let full = |used, situation| Situation {
            quota: Quota {
                used,
                limit: 5,
                until: Some(at("18:00:00")),
            },
            ..situation
        };
        let text = advise(&full(5, completed(Outcome::Valid)));
        assert!(
            text.contains("rejected until 2026-11-23T18:00:00Z (429, TOO_MANY_VALIDATIONS)"),
            "{text}"
        );
        assert!(
            text.contains("merchant set --merchant acme --validations-per-account-per-day"),
            "{text}"
        );
        // A call for an open validation returns that one.
        assert!(!advise(&full(5, waiting())).contains("429"));
        assert_eq!(advise(&full(4, completed(Outcome::Valid))), "Nothing.");
    }

    #[test]
    fn only_a_misconfigured_gateway_needs_the_operator() {
        let misconfigured = HealthIssue::Misconfigured {
            code: "x".into(),
            since: at("11:00:00"),
        };
        let text = advise(&with_issue(misconfigured));
        let command = "`khata gateway test --merchant acme --gateway CASHFREE --reference-id main`";
        assert!(
            text.contains(command) && text.contains("account retry banh_1"),
            "{text}"
        );
        let half_open = with_issue(HealthIssue::CircuitHalfOpen);
        let only = Situation {
            candidates: Candidates::OnlyWithIssues,
            ..half_open.clone()
        };
        let text = advise(&only);
        assert!(
            text.starts_with("Nothing for this account: it continues automatically"),
            "{text}"
        );
        // Another gateway account is healthy.
        assert_eq!(
            advise(&half_open),
            "Nothing: the worker retries automatically."
        );
        // An open attempt stays at its gateway account.
        let lost = Situation {
            attempt: Some(AttemptState::Unknown),
            ..half_open
        };
        assert!(advise(&lost).contains("when the gateway is back"));
    }

    #[test]
    fn a_waiting_validation_needs_no_action() {
        let attempt = |state| Situation {
            attempt: Some(state),
            ..waiting()
        };
        let reserved = Situation {
            slot: Some(("CASHFREE main".into(), at("12:00:30"))),
            ..waiting()
        };
        let overdue = |situation| Situation {
            due_at: at("11:58:00"),
            ..situation
        };
        for (situation, expected) in [
            (
                attempt(AttemptState::Pending),
                "Nothing: the bank needs time",
            ),
            (attempt(AttemptState::Unknown), "is not paid twice"),
            (reserved, "calls_per_minute"),
            (leased(), "check again in a few seconds"),
            (due(), "check again in a few seconds"),
            (overdue(waiting()), "KhataValidationsStuck"),
            (overdue(leased()), "check again in a few seconds"),
        ] {
            let text = advise(&situation);
            assert!(text.contains(expected), "{expected}: {text}");
        }
        let no_gateway = Situation {
            candidates: Candidates::None,
            ..waiting()
        };
        assert!(advise(&no_gateway).contains("khata gateway enable"));
        let corrected = Situation {
            class: Some(Class::Misconfigured),
            code: Some("insufficient_balance".into()),
            ..attempt(AttemptState::Settled)
        };
        let text = advise(&corrected);
        assert!(text.contains("(insufficient_balance)"), "{text}");
    }
}
