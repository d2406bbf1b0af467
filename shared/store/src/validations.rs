//! Validations and their attempts: claimed, settled and rung in batches. Each statement is fenced: a row that has
//! moved on is left alone.

mod attempt;
mod claim;
mod due;
mod reuse;
mod settle;

pub use attempt::{Attempt, NewAttempt, attempts, give_up_attempts, insert_attempts};
pub use claim::{Claimed, claim};
pub use due::{DueRow, take_due};
pub use reuse::{Reusable, reusable};
pub use settle::{AttemptReport, Provenance, Settlement, settle};

use uuid::Uuid;

use khata_domain::ValidationKey;
pub use khata_domain::traffic::Slot;

/// Proof of holding a validation: only who shows it can settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseToken(pub Uuid);

fn merchants(keys: &[ValidationKey]) -> Vec<Uuid> {
    keys.iter().map(|key| key.merchant.0).collect()
}

fn ids(keys: &[ValidationKey]) -> Vec<Uuid> {
    keys.iter().map(|key| key.id.0).collect()
}
