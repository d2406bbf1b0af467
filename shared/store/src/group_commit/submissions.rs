//! The requests between the callers of a lane and its thread.

use std::sync::{Arc, PoisonError};
#[cfg(not(test))]
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use diesel::result::Error as DieselError;
use khata_domain::MerchantId;
// In tests shuttle decides which thread runs next.
#[cfg(test)]
use shuttle::sync::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::fair_queue::{FairQueue, Weight};

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

    /// Locks the queue. A panic of another holder is no reason to stop: each change under the lock is
    /// complete in itself.
    fn lock(&self) -> MutexGuard<'_, Queue<R, O>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut queue = self.lock();
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
        let mut queue = self.lock();
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
        self.0.lock().is_closed = true;
        self.0.changed.notify_one();
    }
}

/// Dropped when the thread ends, also by a panic: the callers that wait get an error at once.
pub(super) struct EndOfThread<R, O>(pub(super) Arc<Submissions<R, O>>);

impl<R, O> Drop for EndOfThread<R, O> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.has_ended = true;
        let abandoned = queue.waiting.take_all();
        drop(queue);
        drop(abandoned);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use khata_testing::in_many_orders;
    use shuttle::future::block_on;
    use shuttle::thread::{self, JoinHandle};

    use super::super::fair_queue::MAX_BATCH;
    use super::*;

    const CALLERS: usize = 3;

    type Handle = Arc<Callers<usize, usize>>;

    /// Starts the thread of a lane, which takes this many batches at most.
    fn start(batches: usize) -> (Handle, JoinHandle<()>) {
        let submissions = Submissions::new(Weight::BATCH, 1);
        let end = EndOfThread(Arc::clone(&submissions));
        let thread = thread::spawn(move || {
            let end = end;
            for _ in 0..batches {
                let Some(batch) = end.0.take_batch(MAX_BATCH, None) else {
                    return;
                };
                for Submission { request, caller } in batch {
                    caller.reply(Ok(request));
                }
            }
        });
        (Arc::new(Callers(submissions)), thread)
    }

    /// Submits a request and waits for its result, however long.
    fn submit(lane: &Handle, request: usize) -> Result<usize, BatchError> {
        let (output, committed) = oneshot::channel();
        let until = Instant::now() + Duration::from_hours(1);
        let caller = Caller { until, output };
        let submission = Submission { request, caller };
        lane.0.push(MerchantId::new(), Weight::ROW, submission)?;
        block_on(committed).unwrap_or(Err(BatchError::Unavailable))
    }

    /// Callers that submit two requests each, one after the other.
    fn callers(lane: &Handle) -> Vec<JoinHandle<[Result<usize, BatchError>; 2]>> {
        let caller = |number: usize| {
            let lane = Arc::clone(lane);
            thread::spawn(move || {
                [2 * number, 2 * number + 1].map(|request| submit(&lane, request))
            })
        };
        (0..CALLERS).map(caller).collect()
    }

    #[test]
    fn every_caller_gets_its_own_output_and_the_thread_ends_after_the_last_handle() {
        in_many_orders(|| {
            let (lane, thread) = start(usize::MAX);
            let callers = callers(&lane);
            drop(lane);
            for (number, caller) in callers.into_iter().enumerate() {
                let outputs = caller.join().unwrap().map(Result::unwrap);
                assert_eq!(outputs, [2 * number, 2 * number + 1]);
            }
            thread.join().unwrap();
        });
    }

    #[test]
    fn no_caller_waits_for_a_thread_that_has_ended() {
        in_many_orders(|| {
            let (lane, thread) = start(1);
            for (number, caller) in callers(&lane).into_iter().enumerate() {
                for (place, result) in caller.join().unwrap().into_iter().enumerate() {
                    match result {
                        Ok(output) => assert_eq!(output, 2 * number + place),
                        Err(error) => assert!(matches!(error, BatchError::Unavailable), "{error}"),
                    }
                }
            }
            thread.join().unwrap();
        });
    }
}
