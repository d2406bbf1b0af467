//! Calls that wait for the outcome of a validation: one thread and one connection serve all of them. Postgres notifies the
//! thread of finished validations; the thread reads their accounts in one statement and hands one to each call. Because a
//! notification may be lost, the thread also polls. While Postgres is away it keeps the calls until their wait ends.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::RecvTimeoutError;
#[cfg(not(test))]
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use diesel::QueryResult;
use khata_domain::{ValidationId, ValidationKey};
use khata_store::accounts::{self, AccountRow};
use khata_store::{Pool, PooledConnection, outcomes};
use prometheus_client::metrics::gauge::Gauge;
// In tests shuttle decides which thread runs next.
#[cfg(test)]
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

use crate::metrics::Counted;

/// Pause after a call arrives, so that calls which arrive together are read together.
const GATHER_DELAY: Duration = Duration::from_millis(2);
/// Interval between reads of notifications while calls wait. A call ends at most this long after the worker settles.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Interval while no call waits, so that notifications do not pile up.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// Interval between reads of every waiting validation, notified or not.
const FULL_READ_INTERVAL: Duration = Duration::from_secs(2);
/// Delay after the database could not be reached.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// More than the longest wait of a call.
const LONGEST_WAIT: chrono::TimeDelta = chrono::TimeDelta::minutes(1);
/// Validations in one statement.
const CHUNK: usize = 500;
/// Time after the end of a wait for the last read of its account.
const LAST_READ: Duration = Duration::from_millis(1_500);

#[derive(Debug)]
enum Message {
    Wait(ValidationKey, Waiter),
    Stop,
}

#[derive(Debug)]
struct Waiter {
    until: Instant,
    /// Whether another call started the validation.
    joins: bool,
    account: oneshot::Sender<AccountRow>,
}

/// Handle of the thread.
#[derive(Clone, Debug)]
pub(crate) struct Outcomes {
    sender: Sender<Message>,
    waiters: Gauge,
}

/// The future outcome of one validation.
#[derive(Debug)]
pub(crate) struct Outcome {
    until: Instant,
    account: oneshot::Receiver<AccountRow>,
    _counted: Counted,
}

impl Outcome {
    /// Returns the account once the validation is finished, or its current state when the wait ends; `None` if the account
    /// could not be read.
    pub(crate) async fn wait(self) -> Option<AccountRow> {
        let deadline = self.until + LAST_READ;
        let account = tokio::time::timeout_at(deadline.into(), self.account);
        account.await.ok()?.ok()
    }
}

impl Outcomes {
    /// Starts the thread. The thread ends once every handle is dropped. `waiters` counts waiting calls.
    pub(crate) fn start(
        pool: Pool,
        waiters: Gauge,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = channel();
        let listener = OutcomeListener::new(pool);
        let thread = std::thread::Builder::new().name("outcomes".to_owned());
        let thread = thread.spawn(move || listener.run(&receiver))?;
        Ok((Self { sender, waiters }, thread))
    }

    /// Waits for a validation that this call starts. Call this before the commit, so that no outcome is missed.
    pub(crate) fn wait_for_new(&self, key: ValidationKey, until: Instant) -> Outcome {
        self.enter(key, until, false)
    }

    /// Waits for a validation that is already running.
    pub(crate) fn wait_for_open(&self, key: ValidationKey, until: Instant) -> Outcome {
        self.enter(key, until, true)
    }

    fn enter(&self, key: ValidationKey, until: Instant, joins: bool) -> Outcome {
        let (sender, account) = oneshot::channel();
        let waiter = Waiter {
            until,
            joins,
            account: sender,
        };
        // If the thread has ended, the wait ends at once, and the call replies with the account as stored.
        let _ = self.sender.send(Message::Wait(key, waiter));
        Outcome {
            until,
            account,
            _counted: Counted::new(&self.waiters),
        }
    }

    /// Ends every wait, because the service stops.
    pub(crate) fn stop(&self) {
        let _ = self.sender.send(Message::Stop);
    }
}

struct OutcomeListener {
    pool: Pool,
    connection: Option<PooledConnection>,
    retry_at: Instant,
    full_read_at: Instant,
    stopping: bool,
    waiting: HashMap<ValidationId, (ValidationKey, Vec<Waiter>)>,
    joining: HashSet<ValidationKey>,
}

impl OutcomeListener {
    fn new(pool: Pool) -> Self {
        let now = Instant::now();
        Self {
            pool,
            connection: None,
            retry_at: now,
            full_read_at: now,
            stopping: false,
            waiting: HashMap::new(),
            joining: HashSet::new(),
        }
    }

    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let is_idle = self.waiting.is_empty();
            let interval = if is_idle {
                IDLE_INTERVAL
            } else {
                POLL_INTERVAL
            };
            match receiver.recv_timeout(interval) {
                Ok(message) => {
                    self.accept(message);
                    std::thread::sleep(GATHER_DELAY);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= self.retry_at
                && (self.connection.is_some() || !self.waiting.is_empty())
                && let Err(error) = self.poll(receiver)
            {
                tracing::warn!(%error, calls = self.waiting.len(), "cannot read validation outcomes; retrying");
                self.connection = None;
                self.retry_at = Instant::now() + RETRY_DELAY;
            }
            self.accept_all(receiver);
            self.drop_expired();
        }
    }

    fn accept_all(&mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.try_recv() {
            self.accept(message);
        }
    }

    fn accept(&mut self, message: Message) {
        match message {
            Message::Wait(key, mut waiter) => {
                if self.stopping {
                    waiter.until = Instant::now();
                }
                if waiter.joins {
                    self.joining.insert(key);
                }
                let entry = self.waiting.entry(key.id);
                entry.or_insert_with(|| (key, Vec::new())).1.push(waiter);
            }
            Message::Stop => {
                self.stopping = true;
                let now = Instant::now();
                let waiters = self.waiting.values_mut().flat_map(|(_, waiters)| waiters);
                waiters.for_each(|waiter| waiter.until = now);
            }
        }
    }

    /// Opens a connection that receives notifications. Earlier ones were missed, so every waiting validation is read.
    fn listen(&mut self) -> anyhow::Result<PooledConnection> {
        let mut connection = self.pool.get()?;
        outcomes::listen(&mut connection)?;
        self.full_read_at = Instant::now();
        Ok(connection)
    }

    /// Reads the accounts of finished validations, and of those whose wait is over.
    fn poll(&mut self, receiver: &Receiver<Message>) -> anyhow::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.listen()?,
        };
        let mut finished = self.notified(receiver, || outcomes::received(&mut connection))?;
        if !self.joining.is_empty() {
            let joining: Vec<ValidationKey> = self.joining.iter().copied().collect();
            let joined = outcomes::subscribe(&mut connection, &joining, LONGEST_WAIT)?;
            finished.extend(joining);
            // A validation that a worker holds right now is joined at the next poll, unless it is finished then.
            self.joining
                .retain(|key| !joined.contains(key) && self.waiting.contains_key(&key.id));
        }
        let now = Instant::now();
        if now >= self.full_read_at {
            finished.extend(self.waiting.values().map(|(key, _)| *key));
            self.full_read_at = now + FULL_READ_INTERVAL;
        }
        let finished: Vec<ValidationKey> = finished.into_iter().collect();
        self.deliver(&mut connection, &finished, None)?;
        let is_over = |waiters: &[Waiter]| waiters.iter().any(|waiter| waiter.until <= now);
        let expired = self
            .waiting
            .values()
            .filter(|(_, waiters)| is_over(waiters));
        let expired: Vec<ValidationKey> = expired.map(|(key, _)| *key).collect();
        self.deliver(&mut connection, &expired, Some(now))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Returns the validations that calls wait for, among those that `read` returns.
    fn notified(
        &mut self,
        receiver: &Receiver<Message>,
        read: impl FnOnce() -> QueryResult<Vec<ValidationId>>,
    ) -> QueryResult<HashSet<ValidationKey>> {
        let notified = read()?;
        // Accept messages after reading notifications: a call registers before its validation can be notified.
        self.accept_all(receiver);
        let waiting = |id| Some(self.waiting.get(&id)?.0);
        Ok(notified.into_iter().filter_map(waiting).collect())
    }

    /// Sends the accounts of finished validations to the calls that wait for them; with `over`, of any validation to the
    /// calls whose wait ended by that time.
    fn deliver(
        &mut self,
        connection: &mut PooledConnection,
        keys: &[ValidationKey],
        over: Option<Instant>,
    ) -> QueryResult<()> {
        for chunk in keys.chunks(CHUNK) {
            for (key, row) in accounts::of_validations(connection, chunk, over.is_none())? {
                let Some((_, waiters)) = self.waiting.get_mut(&key.id) else {
                    continue;
                };
                let is_due = |waiter: &mut Waiter| over.is_none_or(|now| waiter.until <= now);
                for waiter in waiters.extract_if(.., is_due) {
                    // The call may have been cancelled.
                    let _ = waiter.account.send(row.clone());
                }
            }
        }
        Ok(())
    }

    /// Drops cancelled calls, and calls that waited too long for the database.
    fn drop_expired(&mut self) {
        let now = Instant::now();
        self.waiting.retain(|_, (_, waiters)| {
            waiters.retain(|waiter| !waiter.account.is_closed() && waiter.until + LAST_READ > now);
            !waiters.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use khata_domain::MerchantId;
    use khata_testing::in_many_orders;
    use shuttle::sync::Mutex;
    use shuttle::thread;

    use super::*;

    #[test]
    fn no_notification_of_a_validation_is_missed_whenever_its_calls_come_and_go() {
        // Never connects.
        let pool = khata_store::open("postgres://khata@127.0.0.1:9/none", "test", 1);
        in_many_orders(move || {
            let (sender, receiver) = channel();
            let outcomes = Outcomes {
                sender,
                waiters: Gauge::default(),
            };
            // The notifications on the connection of the thread.
            let sent = Arc::new(Mutex::new(Vec::new()));
            let until = Instant::now() + Duration::from_hours(1);
            let calls = (0..3).map(|_| {
                let (outcomes, sent) = (outcomes.clone(), Arc::clone(&sent));
                thread::spawn(move || {
                    let key = ValidationKey {
                        merchant: MerchantId::new(),
                        id: ValidationId::new(),
                    };
                    let outcome = outcomes.wait_for_new(key, until);
                    drop(outcomes.wait_for_open(key, until));
                    // The call commits, and a worker completes the validation.
                    sent.lock().unwrap().push(key.id);
                    (key, outcome)
                })
            });
            let calls: Vec<_> = calls.collect();
            let mut listener = OutcomeListener::new(pool.clone());
            let mut finished = HashSet::new();
            let mut turn = || {
                let read = || Ok(std::mem::take(&mut *sent.lock().unwrap()));
                finished.extend(listener.notified(&receiver, read).unwrap());
                listener.drop_expired();
            };
            for _ in 0..3 {
                turn();
            }
            let calls = calls.into_iter().map(|call| call.join().unwrap());
            let calls: Vec<_> = calls.collect();
            turn();
            let keys = calls.iter().map(|(key, _)| *key);
            assert_eq!(finished, keys.collect::<HashSet<_>>());
        });
    }
}
