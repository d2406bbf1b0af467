//! The group commit of create calls: many calls, one transaction. Heavy calls have a lane of their own, so that a light one never
//! waits for the commit of a heavy one.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use diesel::{PgConnection, QueryResult};
use khata_domain::backoff::Backoff;
use khata_domain::failpoints::{self, Failpoint};
use khata_domain::{AccountId, MerchantId};
use khata_store::Pool;
use khata_store::accounts::{self, CreateAccounts, Created, CreatedAccount};
use khata_store::group_commit::{Commit, Lane, MAX_BATCH, Weight};
use khata_store::idempotency::{Record, ReplyForm};

use crate::error::ApiError;
use crate::idempotency::{self, Execution, Idempotent};
use crate::metrics::Metrics;

/// Longest wait of a create for its commit. With the rest of the call, the reply comes within 3 s.
const COMMIT_TIME_LIMIT: Duration = Duration::from_millis(2_500);
/// Maximum of a light call.
const LIGHT: Weight = Weight {
    rows: MAX_BATCH,
    bytes: 16 * 1024,
};
/// Maximum of a transaction of light calls: few enough bytes that a call with much metadata delays the others little.
const LIGHT_BATCH: Weight = Weight {
    rows: MAX_BATCH,
    bytes: 96 * 1024,
};
/// Maximum of a transaction of heavy calls. A heavier call has a transaction of its own.
const HEAVY_BATCH: Weight = Weight {
    rows: MAX_BATCH,
    bytes: 64 * 1024,
};
/// Rows of a busy merchant in a transaction that has the last call of another merchant: the other one then waits for little more than
/// the transaction before.
const BESIDE_OTHERS: usize = 16;
/// Calls in one batch from which on the lane counts as busy.
const BUSY_BATCH: usize = 8;
/// How long a busy lane waits for more calls: fewer, larger transactions take less time than they wait.
const LINGER: Duration = Duration::from_millis(1);
/// Pauses of a call whose lock another transaction holds.
pub(crate) const BUSY_RETRY: Backoff =
    Backoff::new(Duration::from_millis(5), Duration::from_millis(100));

/// A create call, ready to store.
pub(crate) struct CreateCall {
    pub(crate) stored: CreateAccounts,
    pub(crate) idempotent: Idempotent,
    pub(crate) form: ReplyForm,
    /// Whether the reply shows the validations of new accounts.
    pub(crate) shows_validations: bool,
}

/// The lanes of create calls.
pub(crate) struct Creates {
    light: Lane<CreateCommits>,
    heavy: Lane<CreateCommits>,
}

impl Creates {
    /// Starts the lanes. Their threads end once the handle is dropped.
    pub(crate) fn start(
        pool: &Pool,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<(Self, [JoinHandle<()>; 2])> {
        let start = |name: &str, batch| {
            let work = CreateCommits(Arc::clone(metrics));
            let pool = pool.clone();
            Lane::start_with(name, pool, work, COMMIT_TIME_LIMIT, batch, BESIDE_OTHERS)
        };
        let (light, light_thread) = start("creates", LIGHT_BATCH)?;
        let (heavy, heavy_thread) = start("heavy-creates", HEAVY_BATCH)?;
        Ok((Self { light, heavy }, [light_thread, heavy_thread]))
    }

    /// Whether a commit has been under way for longer than this: a lane stores nothing now.
    pub(crate) fn is_committing_for(&self, limit: Duration) -> bool {
        let mut lanes = [&self.light, &self.heavy].into_iter();
        lanes.any(|lane| lane.is_committing_for(limit))
    }

    /// Stores a call. Submits it again while other transactions hold locks that it needs, as only this call may wait for them.
    pub(crate) async fn submit(&self, call: CreateCall) -> Result<Execution<Created>, ApiError> {
        let until = Instant::now() + COMMIT_TIME_LIMIT;
        let is_light = call.stored.weight().fits(LIGHT);
        let lane = if is_light { &self.light } else { &self.heavy };
        let call = Arc::new(call);
        for tries in 0.. {
            let execution = lane.submit_until(Arc::clone(&call), until).await?;
            if !matches!(execution, Ok(Created::Busy)) {
                return Ok(execution);
            }
            let pause = BUSY_RETRY.wait(tries, rand::random());
            if Instant::now() + pause >= until {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        // Only other calls of the same merchant hold the locks.
        Err(ApiError::TooMuchInProgress)
    }
}

struct CreateCommits(Arc<Metrics>);

impl Commit for CreateCommits {
    type Request = Arc<CreateCall>;
    type Output = Execution<Created>;

    fn merchant(call: &Arc<CreateCall>) -> MerchantId {
        call.stored.merchant
    }

    fn weight(call: &Arc<CreateCall>) -> Weight {
        call.stored.weight()
    }

    fn linger(&self, calls: usize) -> Duration {
        let is_busy = calls >= BUSY_BATCH;
        if is_busy { LINGER } else { Duration::ZERO }
    }

    fn committed(&self, calls: &[Arc<CreateCall>], took: Duration) {
        self.0.committed(calls.len(), took);
        failpoints::pass_blocking(Failpoint::CREATE_AFTER_COMMIT);
    }

    fn commit(
        &mut self,
        connection: &mut PgConnection,
        calls: &[Arc<CreateCall>],
    ) -> QueryResult<Vec<Self::Output>> {
        let work = |connection: &mut PgConnection, calls: &[&Arc<CreateCall>]| {
            let wanted: Vec<&CreateAccounts> = calls.iter().map(|call| &call.stored).collect();
            let created = accounts::create(connection, &wanted)?.into_iter();
            let results = calls.iter().zip(created);
            Ok(results
                .map(|(call, created)| {
                    let record = record(call, &created);
                    (created, record)
                })
                .collect())
        };
        idempotency::execute(connection, calls, |call| call.idempotent.call(), work)
            .inspect(|_| failpoints::pass_blocking(Failpoint::CREATE_BEFORE_COMMIT))
    }
}

/// The record of one call. The call itself renders the reply, after the commit. A reply that shows new accounts only needs no
/// more than their ids; the others are recorded afterwards.
fn record(call: &CreateCall, created: &Created) -> Option<Record> {
    let Created::Accounts { accounts, .. } = created else {
        return None;
    };
    call.idempotent.call()?;
    let ids = accounts.iter().zip(&call.stored.accounts);
    let ids: Vec<AccountId> = ids
        .map(|(outcome, new)| match outcome {
            CreatedAccount::New => new.id,
            CreatedAccount::Existing(row) => row.id,
        })
        .collect();
    let is_new = |outcome: &CreatedAccount| matches!(outcome, CreatedAccount::New);
    match call.stored.terms.awaited {
        None if !call.shows_validations && accounts.iter().all(is_new) => {
            call.idempotent.created(ids, call.form)
        }
        wait => {
            let wait = wait.unwrap_or(TimeDelta::zero());
            call.idempotent.waiting(ids, call.form, wait)
        }
    }
}
