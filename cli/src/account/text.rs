//! `khata account show` as text.

use khata_name_match::NameMatchResult;
use khata_store::inspect::{Attempt, Validation};

use super::history::{History, SEARCHED_VALIDATIONS};
use super::next::NextStep;
use crate::gateway::gateway_name;
use crate::output::{NONE, Table, clean, or_none, time, yes_or_no};

pub(super) fn history_text(history: &History, next: &NextStep, advice: &str) -> String {
    let mut blocks = vec![
        account_facts(history).to_string(),
        format!("Next: {}", clean(&next.sentence)),
        format!("Action: {}", clean(advice)),
    ];
    if !history.validations.complete {
        blocks.push(format!(
            "There may be more validations: only {SEARCHED_VALIDATIONS} of the merchant's validations from the account's \
             creation on, and {SEARCHED_VALIDATIONS} before the newest, were searched."
        ));
    }
    for validation in &history.validations.rows {
        let mut block = validation_text(history, validation);
        let mut attempts = history.attempts_of(validation).peekable();
        if attempts.peek().is_none() {
            block.push_str("\n  no attempts");
        }
        for attempt in attempts {
            block.push('\n');
            block.push_str(&attempt_text(attempt));
        }
        blocks.push(block);
    }
    blocks.join("\n\n")
}

fn account_facts(history: &History) -> Table {
    let account = &history.account;
    let customer = account.customer().to_string();
    let routing_id = account
        .routing_id
        .clone()
        .unwrap_or_else(|| format!("{customer} (the customer's id, because the call had none)"));
    let pin = account.pinned_gateway_id.map(|id| {
        let reference = account.pinned_gateway_reference_id.as_deref();
        let gateway = gateway_name(id);
        format!("{gateway} {}", reference.unwrap_or("(any account)"))
    });
    let last_validated = account.last_validated_at.map(time);
    Table::facts([
        ("account", account.id().to_string()),
        (
            "merchant",
            format!("{} {}", account.merchant_name, account.merchant()),
        ),
        ("customer", customer),
        ("details", format!("{} {}", account.kind, account.masked)),
        ("status", account.status.clone()),
        ("pinned gateway", or_none(pin)),
        ("routing id", routing_id),
        ("trace id", or_none(history.trace_id())),
        ("created", time(account.created_at)),
        ("updated", time(account.updated_at)),
        ("last validated", or_none(last_validated)),
        ("validated in 24 h", validated(history)),
        ("deleted", or_none(account.deleted_at.map(time))),
    ])
}

fn validated(history: &History) -> String {
    let quota = history.quota;
    let counts = format!(
        "{} of {} allowed for the same details",
        quota.used, quota.limit
    );
    match quota.rejected_until() {
        None => counts,
        Some(until) => format!("{counts}; next from {}", time(until)),
    }
}

fn validation_text(history: &History, validation: &Validation) -> String {
    let failure = validation.failure_code.as_ref().map(|code| {
        let reason = validation.failure_reason.as_deref().unwrap_or_default();
        format!("{code}: {reason}")
    });
    let slot = validation.slot().map(|slot| {
        let gateway = history.gateways.name(slot.gateway_account);
        format!("at {gateway}, {}", time(slot.at))
    });
    let facts = Table::facts([
        ("state", validation.state.clone()),
        ("outcome", or_none(validation.outcome.as_ref())),
        ("failure", or_none(failure)),
        ("name match", name_match(validation)),
        ("reused from", or_none(validation.reused_from())),
        ("fresh requested", yes_or_no(validation.fresh)),
        ("due", time(validation.due_at)),
        ("rate-limit slot", or_none(slot)),
        ("leased until", or_none(validation.leased_until.map(time))),
        ("deadline", time(validation.deadline_at)),
        ("created", time(validation.created_at)),
        ("completed", or_none(validation.completed_at.map(time))),
        ("trace id", or_none(validation.trace_id())),
    ]);
    format!("validation {}\n{}", validation.id(), facts.indented(2))
}

/// Formats our score with its word, and the gateway's score.
fn name_match(validation: &Validation) -> String {
    let ours = validation.name_match_score.map_or_else(
        || "not compared".to_owned(),
        |score| {
            format!(
                "{score} {}",
                NameMatchResult::of_stored_score(score).as_str()
            )
        },
    );
    match validation.gateway_name_match_score {
        Some(score) => format!("{ours}; the gateway's own: {score}"),
        None => ours,
    }
}

fn attempt_text(attempt: &Attempt) -> String {
    let gateway = gateway_name(attempt.gateway_id);
    let reference_id = attempt.gateway_reference_id.as_deref().unwrap_or(NONE);
    let class = attempt.class.as_deref().unwrap_or_default();
    let latency = attempt.latency_ms.map(|ms| format!("{ms} ms"));
    let polls = if attempt.polls == 1 { "poll" } else { "polls" };
    let facts = Table::facts([
        (
            "gateway",
            format!("{gateway} {reference_id}, by {}", attempt.method),
        ),
        ("chosen", attempt.choice.clone()),
        ("state", format!("{} {class}", attempt.state)),
        ("code", or_none(attempt.code.as_ref())),
        ("unknown code", yes_or_no(attempt.unlisted_code)),
        ("our reference", attempt.reference.clone()),
        (
            "gateway's reference",
            or_none(attempt.gateway_reference.as_ref()),
        ),
        (
            "calls",
            format!(
                "{} {polls}; latency of the newest call: {}",
                attempt.polls,
                or_none(latency)
            ),
        ),
        (
            "possible double drop",
            yes_or_no(attempt.possible_double_drop),
        ),
        ("started", time(attempt.started_at)),
        ("settled", or_none(attempt.settled_at.map(time))),
    ]);
    format!("  attempt {}\n{}", attempt.number, facts.indented(4))
}
