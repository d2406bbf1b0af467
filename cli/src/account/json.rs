//! `khata account show --json`. The fields are stable for scripts.

use khata_name_match::NameMatchResult;
use khata_store::inspect::{Attempt, Validation};
use serde_json::{Value, json};

use super::gateways::GatewayIssue;
use super::history::History;
use super::next::NextStep;
use crate::gateway::gateway_name;
use crate::output::time;

pub(super) fn history_json(history: &History, next: &NextStep, advice: &str) -> Value {
    let account = &history.account;
    let validations = history.validations.rows.iter();
    let validations: Vec<Value> = validations
        .map(|validation| validation_json(history, validation))
        .collect();
    json!({
        "id": account.id.to_string(),
        "merchant": account.merchant_name,
        "merchant_id": account.merchant.to_string(),
        "customer_id": account.customer.to_string(),
        "kind": account.kind,
        "masked": account.masked,
        "status": account.status,
        "routing_id": account.routing_id,
        "trace_id": history.trace_id(),
        "pinned_gateway_id": account.pinned_gateway_id,
        "pinned_gateway_reference_id": account.pinned_gateway_reference_id,
        "created_at": time(account.created_at),
        "updated_at": time(account.updated_at),
        "last_validated_at": account.last_validated_at.map(time),
        "name_accepted_in": account.accepted_validation.map(|id| id.to_string()),
        "deleted_at": account.deleted_at.map(time),
        "next": {
            "sentence": next.sentence,
            "at": next.at.map(time),
            "troubles": next.issues.iter().map(GatewayIssue::json).collect::<Vec<_>>(),
        },
        "to_do": advice,
        "validations_24h": {
            "used": history.quota.used,
            "limit": history.quota.limit,
            "refused_until": history.quota.rejected_until().map(time),
        },
        "validations": validations,
        "validations_complete": history.validations.complete,
    })
}

fn validation_json(history: &History, validation: &Validation) -> Value {
    let failure = validation
        .failure_code
        .as_ref()
        .map(|code| json!({ "code": code, "reason": validation.failure_reason }));
    let name_match = validation.name_match_score.map(|score| {
        json!({ "score": score, "result": NameMatchResult::of_stored_score(score).as_str() })
    });
    let slot = validation.slot.map(|slot| {
        json!({
            "gateway": history.gateways.name(slot.gateway_account),
            "gateway_account_id": slot.gateway_account.to_string(),
            "at": time(slot.at),
        })
    });
    let attempts: Vec<Value> = history.attempts_of(validation).map(attempt_json).collect();
    json!({
        "id": validation.id.to_string(),
        "state": validation.state,
        "pending_reason": validation.pending_reason,
        "outcome": validation.outcome,
        "failure": failure,
        "name_match": name_match,
        "gateway_name_match_score": validation.gateway_name_match_score,
        "reused_from": validation.reused_from.map(|id| id.to_string()),
        "fresh": validation.fresh,
        "webhook_received": validation.webhook_received,
        "booked": slot,
        "queued_at": validation.queued_at.map(|account| account.to_string()),
        "due_at": time(validation.due_at),
        "deadline_at": time(validation.deadline_at),
        "leased_until": validation.leased_until.map(time),
        "created_at": time(validation.created_at),
        "completed_at": validation.completed_at.map(time),
        "trace_id": validation.trace_id(),
        "attempts": attempts,
    })
}

fn attempt_json(attempt: &Attempt) -> Value {
    json!({
        "number": attempt.number,
        "gateway": gateway_name(attempt.gateway_id),
        "gateway_id": attempt.gateway_id,
        "gateway_account_id": attempt.gateway_account.to_string(),
        "gateway_reference_id": attempt.gateway_reference_id,
        "method": attempt.method,
        "reference": attempt.reference,
        "choice": attempt.choice,
        "state": attempt.state,
        "class": attempt.class,
        "code": attempt.code,
        "unlisted_code": attempt.unlisted_code,
        "not_understood": attempt.not_understood,
        "failure_code": attempt.failure,
        "gateway_reference": attempt.gateway_reference,
        "polls": attempt.polls,
        "latency_ms": attempt.latency_ms,
        "possible_double_drop": attempt.possible_double_drop,
        "started_at": time(attempt.started_at),
        "settled_at": attempt.settled_at.map(time),
    })
}
