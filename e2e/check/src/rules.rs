//! The rules: one function each, with a name, a sentence, and the promise that it guards.

mod accounts;
mod events;
mod money;
mod replies;
mod time;
mod webhooks;

use crate::findings::Findings;
use crate::history::History;

pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) sentence: &'static str,
    /// The page and section that makes the promise. A test checks that `docs/proof.md` lists the rule with it.
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) guards: &'static str,
    /// Whether every history must give the rule something to check.
    pub(crate) is_core: bool,
    pub(crate) check: fn(&History, &mut Findings),
}

const fn optional(
    name: &'static str,
    guards: &'static str,
    sentence: &'static str,
    check: fn(&History, &mut Findings),
) -> Rule {
    Rule {
        name,
        sentence,
        guards,
        is_core: false,
        check,
    }
}

const fn core(
    name: &'static str,
    guards: &'static str,
    sentence: &'static str,
    check: fn(&History, &mut Findings),
) -> Rule {
    Rule {
        is_core: true,
        ..optional(name, guards, sentence, check)
    }
}

/// All rules, in the order in which they are printed.
#[rustfmt::skip]
pub(crate) const RULES: &[Rule] = &[
    core("accepted-is-stored", "reliability.md, promise 1",
        "An account that a 200 returned is a row at the end.", accounts::accepted_is_stored),
    core("one-outcome", "reliability.md, promise 1",
        "Every validation is completed, an accepted account has one and is final, and each has at most one final event.", accounts::one_outcome),
    core("outcome-as-scripted", "reliability.md, promise 1",
        "Every final state is the one that the gateways' script dictates.", accounts::outcome_as_scripted),
    core("status-fits-outcome", "architecture.md, The state machines",
        "An account that is not DELETED has the status that the outcome of its newest validation gives it.", accounts::status_fits_outcome),
    optional("rejected-is-not-stored", "reliability.md, promise 2",
        "Nothing is stored by a rejected call, unless its reply says that it may be.", accounts::rejected_is_not_stored),
    core("state-never-goes-back", "reliability.md, promise 4; api.md, `version`",
        "A call that begins after another one ended shows no older version of an account, and one version has one status.", accounts::state_never_goes_back),
    optional("deleted-stays-deleted", "api.md, Delete",
        "After a deletion was confirmed the account is DELETED, and no list shows it.", accounts::deleted_stays_deleted),
    optional("reference-paid-once", "reliability.md, After a lost response",
        "No gateway paid two rupees under one reference.", money::reference_paid_once),
    core("rupees-per-validation", "reliability.md, promise 3",
        "The rupees of a validation are at most one, and one for each flagged attempt and each attempt after a known result.", money::rupees_per_validation),
    core("rupee-has-attempt", "architecture.md, Claim and plan",
        "Every rupee has an attempt at its gateway that was begun before the rupee was paid.", money::rupee_has_attempt),
    core("attempt-has-rupee", "architecture.md, The state machines",
        "Every penny drop with a conclusive result has its rupee in the gateway's ledger.", money::attempt_has_rupee),
    core("same-key-same-reply", "api.md, Idempotency-Key",
        "All 200 of one idempotency key are equal byte for byte.", replies::same_key_same_reply),
    core("same-call-one-effect", "api.md, Idempotency-Key; Create accounts",
        "A customer has as many live accounts with given details as calls sent different ones, and never two of the same.", replies::same_call_one_effect),
    core("reply-shows-what-was-sent", "api.md, Create accounts",
        "A create call's reply has one account for each that was sent, in order, with its details.", replies::reply_shows_what_was_sent),
    core("writes-are-read", "api.md, List",
        "A list that begins after an account was accepted shows the account, unless a deletion began.", replies::writes_are_read),
    core("versions-grow-by-one", "webhooks.md, Events",
        "An account has exactly the events 1, 2, … up to its version.", events::versions_grow_by_one),
    core("status-machine", "architecture.md, The state machines",
        "Each event's status may follow the one before, and the last one is the account's.", events::status_machine),
    core("cursor-complete", "webhooks.md, The cursor",
        "The reader of the cursor got each event exactly once.", events::cursor_complete),
    core("cursor-in-order", "webhooks.md, The cursor",
        "The reader of the cursor got the events of an account in the order of its versions.", events::cursor_in_order),
    core("webhook-delivered", "webhooks.md, Retries",
        "Each endpoint accepted each event at least once.", webhooks::delivered),
    core("webhook-in-order", "webhooks.md, Duplicates and order",
        "An endpoint gets an event of an account only after it accepted the one before.", webhooks::in_order),
    core("webhook-signature", "webhooks.md, Verify a request",
        "Every webhook verifies with the endpoint's secret, and its timestamp is that of the attempt.", webhooks::signature),
    core("webhook-body", "webhooks.md, Requests",
        "All webhooks of one event have the same bytes, which show the event as the cursor does.", webhooks::body),
    optional("webhook-duplicates", "webhooks.md, Duplicates and order",
        "An event comes again after it was accepted only if a fault of a worker or of Postgres can have lost the result.", webhooks::duplicates),
    core("outcome-in-time", "reliability.md, How soon each fault heals",
        "Every validation is completed in time, counted from its call or from the end of the faults that it met.", time::outcome_in_time),
    core("available", "reliability.md, How soon each fault heals",
        "A call that meets no fault that may stop the API gets a reply, and no 5xx.", time::available),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::RULES;

    #[test]
    fn the_page_lists_every_rule_with_its_sentence_and_promise() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/proof.md");
        let page = std::fs::read_to_string(page).unwrap_or_default();
        for rule in RULES {
            let row = format!("| `{}` | {} | {} |", rule.name, rule.sentence, rule.guards);
            assert!(page.contains(&row), "docs/proof.md lacks the row\n{row}");
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
}
