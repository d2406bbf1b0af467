//! The requests between the callers of a lane and its thread.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use diesel::result::Error as DieselError;
use khata_domain::MerchantId;
use tokio::sync::oneshot;

use super::fair_queue::{FairQueue, Weight};
use crate::watchdog::lock;

/// Why a request was not committed.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The database is unreachable, or its response timed out.
    #[error("the database is not available")]
    Unavailable,
    /// The merchant has as many requests in the queue as it may have; nothing was stored.
    #[error("too many requests of this merchant wait for the database")]
    QueueFull,
    /// The database rejected this request, or the work panicked. This is a bug, as callers validate their input.
    #[error("the request was rejected: {0}")]
    Rejected(DieselError),
}

/// A waiting caller.
pub(super) struct Caller<O> {
    pub(super) until: Instant,
    pub(super) output: oneshot::Sender<Result<O, BatchError>>,
}

impl<O> Caller<O> {
    pub(super) fn waits(&self, now: Instant) -> bool {
        self.until > now && !self.output.is_closed()
    }

    /// Replies; returns the output if the caller has gone.
    pub(super) fn reply(self, output: Result<O, BatchError>) -> Option<O> {
        self.output.send(output).err().and_then(Result::ok)
    }
}

pub(super) struct Submission<R, O> {
    pub(super) request: R,
    pub(super) caller: Caller<O>,
}

/// The queue of a lane, with what wakes its thread.
pub(super) struct Submissions<R, O> {
    queue: Mutex<Queue<R, O>>,
    /// Wakes the thread when it sleeps and the queue changes.
    changed: Condvar,
}

struct Queue<R, O> {
    waiting: FairQueue<Submission<R, O>>,
    /// The thread sleeps. Otherwise no caller has to wake it.
    sleeps: bool,
    /// Every handle is dropped: the thread ends once the queue is empty.
    is_closed: bool,
    /// The thread has ended: no request is committed any more.
    has_ended: bool,
}

impl<R, O> Submissions<R, O> {
    pub(super) fn new(batch: Weight, beside_others: usize) -> Arc<Self> {
        let queue = Queue {
            waiting: FairQueue::new(batch, beside_others),
            sleeps: false,
            is_closed: false,
            has_ended: false,
        };
        Arc::new(Self {
            queue: Mutex::new(queue),
            changed: Condvar::new(),
        })
    }

    /// Adds a request to the queue of its merchant.
    pub(super) fn push(
        &self,
        merchant: MerchantId,
        weight: Weight,
        submission: Submission<R, O>,
    ) -> Result<(), BatchError> {
        let now = Instant::now();
        let waits = |other: &Submission<R, O>| other.caller.waits(now);
        let mut queue = lock(&self.queue);
        if queue.has_ended {
            return Err(BatchError::Unavailable);
        }
        let pushed = queue.waiting.push(merchant, weight, submission, waits);
        let sleeps = std::mem::replace(&mut queue.sleeps, false);
        drop(queue);
        if sleeps {
            self.changed.notify_one();
        }
        pushed.map_err(|_| BatchError::QueueFull)
    }

    /// Waits for requests, until this time at most, and takes the next batch, of at most this many rows; `None` once every handle
    /// is dropped and the queue is empty.
    pub(super) fn take_batch(
        &self,
        rows: usize,
        until: Option<Instant>,
    ) -> Option<Vec<Submission<R, O>>> {
        let mut queue = lock(&self.queue);
        loop {
            let now = Instant::now();
            let waits = |other: &Submission<R, O>| other.caller.waits(now);
            let batch = queue.waiting.take_batch(rows, waits);
            if !batch.is_empty() || until.is_some_and(|until| until <= now) {
                return Some(batch);
            }
            if queue.is_closed {
                return None;
            }
            queue.sleeps = true;
            queue = if let Some(until) = until {
                let woken = self.changed.wait_timeout(queue, until - now);
                woken.unwrap_or_else(PoisonError::into_inner).0
            } else {
                let woken = self.changed.wait(queue);
                woken.unwrap_or_else(PoisonError::into_inner)
            };
            queue.sleeps = false;
        }
    }
}

/// The callers' side of a lane, which all of them share. The thread ends after it is dropped.
pub(super) struct Callers<R, O>(pub(super) Arc<Submissions<R, O>>);

impl<R, O> Drop for Callers<R, O> {
    fn drop(&mut self) {
        lock(&self.0.queue).is_closed = true;
        self.0.changed.notify_one();
    }
}

/// Dropped when the thread ends, also by a panic: the callers that wait get an error at once.
pub(super) struct EndOfThread<R, O>(pub(super) Arc<Submissions<R, O>>);

impl<R, O> Drop for EndOfThread<R, O> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        queue.has_ended = true;
        let abandoned = queue.waiting.take_all();
        drop(queue);
        drop(abandoned);
    }
}
