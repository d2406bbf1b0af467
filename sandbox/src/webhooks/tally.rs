//! What became of one gateway's call-backs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// The counts since the webhook was set.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Counts {
    /// Requests that went out, retries and duplicates too.
    pub(super) sent: u64,
    /// By the HTTP status they were answered with.
    pub(super) answered: BTreeMap<u16, u64>,
    /// Those that got no answer.
    pub(super) unanswered: u64,
    /// Events that were lost because `drop_rate` has it.
    pub(super) lost: u64,
    /// Events that were given up after the last try.
    pub(super) given_up: u64,
}

/// The counts, shared by all that deliver.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        self.lock().clone()
    }

    pub(super) fn forget(&self) {
        *self.lock() = Counts::default();
    }

    pub(super) fn enter(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
