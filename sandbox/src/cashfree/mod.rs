//! Cashfree Secure ID as its public contract has it: bank account verification (sync, async, status),
//! UPI penny drop, and the older UPI look-up. One caller is known: [`CLIENT_ID`], [`CLIENT_SECRET`].

mod bank;
mod branch;
mod call_back;
mod house;
mod limits;
mod name_match;
mod outcome;
mod published;
mod records;
mod refusal;
mod routes;
mod upi;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cashfree::records::Records;

pub(crate) use crate::cashfree::routes::routes;

/// The `x-client-id` that is accepted.
pub const CLIENT_ID: &str = "sandbox_client";

/// The `x-client-secret` that is accepted.
pub const CLIENT_SECRET: &str = "sandbox_secret";

/// Verifications remembered for status look-ups and for telling a used `verification_id`; beyond
/// that the oldest are forgotten.
const REMEMBERED: usize = 500_000;

/// Cashfree's memory.
pub(crate) struct Cashfree {
    records: Mutex<Records>,
}

impl Cashfree {
    pub(crate) fn new() -> Self {
        Self {
            records: Mutex::new(Records::new(REMEMBERED, first_reference_id())),
        }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ids count up from the start's microseconds: after a restart they do not meet those that the
/// ledger's file still holds, and they fit a double exactly.
fn first_reference_id() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_micros()).unwrap_or(1)
}

/// The `utr` of a drop that went through: twelve digits, drawn from the reference id.
fn utr(reference_id: u64) -> String {
    format!("{:012}", reference_id % 1_000_000_000_000)
}
