//! Validations and their attempts: claimed, settled and made due in batches. Each statement checks the state that it
//! expects and leaves a row alone that has changed since.

mod attempt;
mod claim;
mod due;
mod queue;
mod reuse;
mod settle;

pub use attempt::{
    Attempt, NewAttempt, attempts, budget_renewed_at, give_up_attempts, insert_attempts,
    penny_drops_today, start_attempts,
};
pub(crate) use attempt::{COLUMNS as ATTEMPT_COLUMNS, MAY_PAY, with_not_understood};
pub use claim::{Claimed, LeaseToken, Postponement, claim, lease, lock_due, postpone};
pub(crate) use due::is_set_aside;
pub use due::{DueRow, DueTurns, Taken, Wanted};
pub use queue::{GatewayQueue, lock_queued, queues};
pub use reuse::{Accepted, Reusable, accepted, reusable};
pub use settle::{AttemptReport, Provenance, Settled, Settlement, settle};

pub use khata_domain::traffic::{QueuePlace, QueueRank, Slot};
