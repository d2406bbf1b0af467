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
pub use output::{NewAttempt, Plan, Planned};

use crate::attempt::AttemptState;
use crate::outcome::Outcome;
use crate::validation::{MAX_FAILED_STEPS, Next, unavailable};

/// Plans, and takes the calls of the plan from the rate budgets.
pub fn plan(input: &PlanInput<'_>, budgets: &mut RateBudgets) -> Planned {
    if input.validation.account_is_deleted {
        let next = Next::Complete {
            outcome: Outcome::Cancelled,
            failure: None,
        };
        return Plan::settle(next, "the account was deleted").into();
    }
    if input.validation.failed_steps >= MAX_FAILED_STEPS && input.is_over() {
        // The validation's steps fail each time, so the last one makes no call.
        return set_aside(input);
    }
    let Some(kind) = input.kind else {
        let why = "the account's details cannot be decrypted: is a key missing in the keyring?";
        return wait::no_gateway(input, why.to_owned()).into();
    };
    match input.attempts.last() {
        Some(open) if open.state != AttemptState::Settled => {
            recover::unfinished(input, kind, open, budgets)
        }
        None if input.has_reusable_result => Plan::Reuse.into(),
        _ => choose::new_attempt(input, kind, None, budgets),
    }
}

/// Ends a validation that was set aside until its deadline. An unfinished attempt is given up as lost.
fn set_aside(input: &PlanInput<'_>) -> Planned {
    let last = input.attempts.last();
    let open = last.filter(|last| last.state != AttemptState::Settled);
    Planned {
        given_up: open.map(|open| open.number),
        ..Plan::settle(
            unavailable(),
            "the validation was set aside until its deadline",
        )
        .into()
    }
}

#[cfg(test)]
mod tests;
