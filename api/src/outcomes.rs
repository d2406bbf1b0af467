//! Calls that wait for an outcome: one thread and one connection for all of them. Postgres tells it of what is finished;
//! it reads what it was told of in one statement and hands each call its account. A telling may be lost, as a ring may, so
//! it also looks by itself now and then; and while Postgres is away it keeps its calls until their time is over.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use chrono::Utc;
use diesel::QueryResult;
use khata_domain::ValidationId;
use khata_domain::ValidationKey;
use khata_store::accounts::{self, AccountRow};
use khata_store::{Pool, PooledConnection, outcomes};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::oneshot;

use crate::metrics::Counted;

/// Many calls arrive together: they are looked at together.
const GATHER: Duration = Duration::from_millis(2);
/// How often what Postgres told is read while calls wait: a call ends so much after the settle at most.
const TICK: Duration = Duration::from_millis(20);
/// How often it is read while none does, so that it does not pile up.
const IDLE: Duration = Duration::from_secs(1);
/// How often every waiting validation is looked at, told of or not.
const LOOK: Duration = Duration::from_secs(2);
/// After the database could not be reached.
const AGAIN: Duration = Duration::from_millis(500);
/// Longer than any call waits.
const LONGEST_WAIT: chrono::TimeDelta = chrono::TimeDelta::minutes(1);
/// Validations in one statement.
const CHUNK: usize = 500;
/// What a call waits beyond its time for the last look at its account.
const LAST_LOOK: Duration = Duration::from_millis(1_500);

enum Message {
    Wait(ValidationKey, Waiter),
    Stop,
}

struct Waiter {
    until: Instant,
    /// The validation began without this call.
    joins: bool,
    answer: oneshot::Sender<AccountRow>,
}

/// Where calls wait.
#[derive(Clone, Debug)]
pub(crate) struct Outcomes {
    sender: Sender<Message>,
    waiters: Gauge,
}

/// The outcome of one validation, to come.
#[derive(Debug)]
pub(crate) struct Outcome {
    until: Instant,
    answer: oneshot::Receiver<AccountRow>,
    _counted: Counted,
}

impl Outcome {
    /// The account once the validation is finished, or as it stands when the time is over; `None` if it could not be
    /// read.
    pub(crate) async fn wait(self) -> Option<AccountRow> {
        let deadline = self.until + LAST_LOOK;
        let answered = tokio::time::timeout_at(deadline.into(), self.answer);
        answered.await.ok()?.ok()
    }
}

impl Outcomes {
    /// Starts the thread; it ends once every handle is dropped. `waiters` counts the outcomes to come.
    pub(crate) fn start(
        pool: Pool,
        waiters: Gauge,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("outcomes".to_owned())
            .spawn(move || Watch::new(pool).run(&receiver))?;
        Ok((Self { sender, waiters }, thread))
    }

    /// Waits for a validation that this call is about to begin: to be called before it is committed.
    pub(crate) fn of_new(&self, key: ValidationKey, until: Instant) -> Outcome {
        self.enter(key, until, false)
    }

    /// Waits for a validation that goes on already.
    pub(crate) fn of_open(&self, key: ValidationKey, until: Instant) -> Outcome {
        self.enter(key, until, true)
    }

    fn enter(&self, key: ValidationKey, until: Instant, joins: bool) -> Outcome {
        let (sender, answer) = oneshot::channel();
        let waiter = Waiter {
            until,
            joins,
            answer: sender,
        };
        // Without the thread the outcome ends at once, and the call answers with what it knows.
        let _ = self.sender.send(Message::Wait(key, waiter));
        Outcome {
            until,
            answer,
            _counted: Counted::new(&self.waiters),
        }
    }

    /// Ends all waiting: the service stops.
    pub(crate) fn stop(&self) {
        let _ = self.sender.send(Message::Stop);
    }
}

struct Watch {
    pool: Pool,
    connection: Option<PooledConnection>,
    retry_at: Instant,
    look_at: Instant,
    stopping: bool,
    waiting: HashMap<ValidationId, (ValidationKey, Vec<Waiter>)>,
    joining: HashSet<ValidationKey>,
}

impl Watch {
    fn new(pool: Pool) -> Self {
        let now = Instant::now();
        Self {
            pool,
            connection: None,
            retry_at: now,
            look_at: now,
            stopping: false,
            waiting: HashMap::new(),
            joining: HashSet::new(),
        }
    }

    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let patience = if self.waiting.is_empty() { IDLE } else { TICK };
            match receiver.recv_timeout(patience) {
                Ok(message) => {
                    self.take(message);
                    std::thread::sleep(GATHER);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= self.retry_at
                && (self.connection.is_some() || !self.waiting.is_empty())
                && let Err(failure) = self.tick(receiver)
            {
                tracing::warn!(%failure, calls = self.waiting.len(), "cannot look at outcomes; trying again");
                self.connection = None;
                self.retry_at = Instant::now() + AGAIN;
            }
            self.take_all(receiver);
            self.forget();
        }
    }

    fn take_all(&mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.try_recv() {
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
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

    /// A connection that hears of outcomes. What was told before was not heard, so everything is looked at.
    fn listen(&mut self) -> anyhow::Result<PooledConnection> {
        let mut connection = self.pool.get()?;
        outcomes::listen(&mut connection)?;
        self.look_at = Instant::now();
        Ok(connection)
    }

    /// Reads what is finished, and what is not but whose time is over.
    fn tick(&mut self, receiver: &Receiver<Message>) -> anyhow::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.listen()?,
        };
        let heard = outcomes::received(&mut connection)?;
        // After hearing, not before: who waits for what was told has said so before it could be told.
        self.take_all(receiver);
        let mut finished: HashSet<ValidationKey> = heard
            .into_iter()
            .filter_map(|id| Some(self.waiting.get(&id)?.0))
            .collect();
        if !self.joining.is_empty() {
            let joining: Vec<ValidationKey> = self.joining.iter().copied().collect();
            let joined = outcomes::subscribe(&mut connection, &joining, Utc::now() + LONGEST_WAIT)?;
            finished.extend(joining);
            // What a worker is at this moment is joined at the next tick, unless it is finished then.
            self.joining
                .retain(|key| !joined.contains(key) && self.waiting.contains_key(&key.id));
        }
        let now = Instant::now();
        if now >= self.look_at {
            finished.extend(self.waiting.values().map(|(key, _)| *key));
            self.look_at = now + LOOK;
        }
        self.answer(
            &mut connection,
            &finished.into_iter().collect::<Vec<_>>(),
            None,
        )?;
        let over: Vec<ValidationKey> = self
            .waiting
            .values()
            .filter(|(_, waiters)| waiters.iter().any(|waiter| waiter.until <= now))
            .map(|(key, _)| *key)
            .collect();
        self.answer(&mut connection, &over, Some(now))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Hands their accounts to the calls that wait for these: those that are finished, or with `over` to those whose time
    /// was over then.
    fn answer(
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
                    // The call may have gone away.
                    let _ = waiter.answer.send(row.clone());
                }
            }
        }
        Ok(())
    }

    /// Forgets calls that have gone away, and those that the database kept waiting for too long.
    fn forget(&mut self) {
        let now = Instant::now();
        self.waiting.retain(|_, (_, waiters)| {
            waiters.retain(|waiter| !waiter.answer.is_closed() && waiter.until + LAST_LOOK > now);
            !waiters.is_empty()
        });
    }
}
