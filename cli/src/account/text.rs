//! `khata account show` as text.

use khata_domain::Class;
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
        technical_facts(history).to_string(),
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
    let merchant = format!("{} {}", account.merchant_name, account.merchant);
    let last_validated = or_none(account.last_validated_at.map(time));
    Table::facts()
        .fact("account", account.id)
        .fact("merchant", merchant)
        .fact("customer", account.customer)
        .fact("details", format!("{} {}", account.kind, account.masked))
        .fact("status", account.status)
        .fact("created", time(account.created_at))
        .fact("last validated", last_validated)
        .fact("deleted", or_none(account.deleted_at.map(time)))
}

/// Returns what a developer or an operator needs, and support does not.
fn technical_facts(history: &History) -> Table {
    let account = &history.account;
    let customer = account.customer;
    let routing_id = account
        .routing_id
        .clone()
        .unwrap_or_else(|| format!("{customer} (the customer's id, because the call had none)"));
    let pin = account.pinned_gateway_id.map(|id| {
        let reference = account.pinned_gateway_reference_id.as_deref();
        let gateway = gateway_name(id);
        format!("{gateway} {}", reference.unwrap_or("(any account)"))
    });
    Table::facts()
        .fact("validated in 24 h", validated(history))
        .fact("name accepted in", or_none(account.accepted_validation))
        .fact("updated", time(account.updated_at))
        .fact("pinned gateway", or_none(pin))
        .fact("routing id", routing_id)
        .fact("trace id", or_none(history.trace_id()))
}

fn validated(history: &History) -> String {
    let quota = history.quota;
    let (used, limit) = (quota.used, quota.limit);
    let counts = format!("{used} of {limit} allowed for the same details");
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
    let slot = validation.slot.map(|slot| {
        let gateway = history.gateways.name(slot.gateway_account);
        format!("at {gateway}, {}", time(slot.at))
    });
    let queue = validation
        .queued_at
        .map(|account| history.gateways.name(account));
    let facts = Table::facts()
        .fact("outcome", or_none(validation.outcome))
        .fact("failure", or_none(failure))
        .fact("name match", name_match(validation))
        .fact("created", time(validation.created_at))
        .fact("completed", or_none(validation.completed_at.map(time)))
        .fact("deadline", time(validation.deadline_at))
        .fact("reused from", or_none(validation.reused_from))
        .fact("state", validation.state)
        .fact("pending reason", or_none(validation.pending_reason))
        .fact("due", time(validation.due_at))
        .fact("fresh requested", yes_or_no(validation.fresh))
        .fact("rate-limit slot", or_none(slot))
        .fact("queue", or_none(queue))
        .fact("leased until", or_none(validation.leased_until.map(time)))
        .fact("trace id", or_none(validation.trace_id()));
    format!("validation {}\n{}", validation.id, facts.indented(2))
}

/// Formats our score with its word, and the gateway's score.
fn name_match(validation: &Validation) -> String {
    let ours = validation.name_match_score.map(|score| {
        let result = NameMatchResult::of_stored_score(score);
        format!("{score} {}", result.as_str())
    });
    let ours = ours.unwrap_or_else(|| "not compared".to_owned());
    match validation.gateway_name_match_score {
        Some(score) => format!("{ours}; the gateway's own: {score}"),
        None => ours,
    }
}

/// Names the fields of the gateway's responses that could not be read; empty if there are none.
fn not_understood(attempt: &Attempt) -> String {
    let fields = &attempt.not_understood;
    if fields.is_empty() {
        return String::new();
    }
    let word = if fields.len() == 1 { "field" } else { "fields" };
    let names = clean(&fields.join(", "));
    format!("\n    response not understood: {word} {names}")
}

fn attempt_text(attempt: &Attempt) -> String {
    let gateway = gateway_name(attempt.gateway_id);
    let reference_id = attempt.gateway_reference_id.as_deref().unwrap_or(NONE);
    let class = attempt.class.map_or("", Class::as_str);
    let latency = or_none(attempt.latency_ms.map(|ms| format!("{ms} ms")));
    let polls = match attempt.polls {
        1 => "1 poll".to_owned(),
        polls => format!("{polls} polls"),
    };
    let gateway = format!("{gateway} {reference_id}, by {}", attempt.method);
    let gateway_reference = or_none(attempt.gateway_reference.as_ref());
    let calls = format!("{polls}; latency of the newest call: {latency}");
    let possible_double_drop = yes_or_no(attempt.possible_double_drop);
    let facts = Table::facts()
        .fact("gateway", gateway)
        .fact("chosen", &attempt.choice)
        .fact("state", format!("{} {class}", attempt.state))
        .fact("code", or_none(attempt.code.as_ref()))
        .fact("unknown code", yes_or_no(attempt.unlisted_code))
        .fact("reason", or_none(attempt.failure))
        .fact("our reference", &attempt.reference)
        .fact("gateway's reference", gateway_reference)
        .fact("calls", calls)
        .fact("possible double drop", possible_double_drop)
        .fact("started", time(attempt.started_at))
        .fact("settled", or_none(attempt.settled_at.map(time)));
    let not_understood = not_understood(attempt);
    format!(
        "  attempt {}\n{}{not_understood}",
        attempt.number,
        facts.indented(4)
    )
}
