//! Plans: how a worker continues a validation that it has claimed.
//!
//! Planning is a pure function over plain values. The worker plans inside the claim's transaction, so that the attempt
//! is stored, and its calls are counted against the quota, before the first call is made. `recover` continues an
//! unfinished attempt, `choose` begins a new one, and `wait` postpones the validation.

mod budgets;
mod choose;
mod input;
mod output;
mod recover;
mod wait;

pub use budgets::RateBudgets;
pub use input::{Bounds, ClaimedValidation, GatewayProfile, PlanInput, WebhookReceived};
pub use output::{CallAgain, NewAttempt, Plan, Planned};

use crate::attempt::AttemptState;
use crate::outcome::Outcome;
use crate::validation::{MAX_FAILED_STEPS, Next};

/// Plans, and takes the calls of the plan from the rate budgets.
pub fn plan(input: &PlanInput<'_>, budgets: &mut RateBudgets) -> Planned {
    if input.validation.account_is_deleted {
        let next = Next::Complete {
            outcome: Outcome::Cancelled,
            failure: None,
        };
        return Plan::settle(next, "the account was deleted").into();
    }
    let details = "the account's details cannot be decrypted: is a key missing in the keyring?";
    let kind = input.kind.ok_or(details);
    let last = input.attempts.last();
    // A stored outcome comes before every other end. Its use may fail as well, so it is tried only so often.
    if input.validation.failed_steps < 2 * MAX_FAILED_STEPS
        && let (Ok(kind), Some(last)) = (kind, last)
        && let Some(planned) = recover::by_webhook(input, kind, last, budgets)
    {
        return planned;
    }
    if input.validation.failed_steps >= MAX_FAILED_STEPS && input.is_over() {
        // The validation's steps fail each time, so the last one makes no call.
        return set_aside(input);
    }
    match (kind, last) {
        (Err(why), _) => wait::no_gateway(input, why.to_owned()).into(),
        (Ok(kind), Some(open)) if open.state != AttemptState::Settled => {
            recover::unfinished(input, kind, open, budgets)
        }
        (Ok(_), None) if input.has_reusable_result => Plan::Reuse.into(),
        (Ok(kind), _) => choose::new_attempt(input, kind, None, budgets),
    }
}

/// Ends a validation that was set aside until its deadline. An unfinished attempt is given up as lost.
fn set_aside(input: &PlanInput<'_>) -> Planned {
    let last = input.attempts.last();
    let open = last.filter(|last| last.state != AttemptState::Settled);
    Planned {
        given_up: open.map(|open| open.number),
        ..Plan::settle(
            input.unavailable(),
            "the validation was set aside until its deadline",
        )
        .into()
    }
}

#[cfg(test)]
mod tests;
