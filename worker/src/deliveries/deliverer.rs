//! Owns endpoints, claims their due deliveries and lets their attempts begin. All that it knows besides the calls in progress is
//! in Postgres.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::OptionFuture;
use khata_config::shutdown::Shutdown;
use khata_domain::MerchantId;
use khata_domain::events::EndpointKey;
use khata_domain::failpoints::{self, Failpoint};
use khata_store::group_commit::{BatchError, Lane};
use khata_store::webhooks::{Endpoint, Wanted};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tracing::{error, info, warn};

use super::attempt::Attempts;
use super::body::Started;
use super::commits::{CommitResult, DeliveryCommits, Ownership, OwnershipRequest, Request};
use super::endpoints::{CircuitChange, Claim, Endpoints};
use super::sender::EndpointSender;
use super::signals::Signals;
use super::slot::{EndpointStep, Slot, Step};
use crate::clock::DatabaseClock;
use crate::metrics::Metrics;

/// Interval at which the worker asks for due deliveries, and for endpoints without an owner.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Interval of renewals; the ownership lasts three of them.
const RENEW_INTERVAL: Duration = Duration::from_secs(5);
/// Endpoints that a worker takes at once at most, so that other workers get some.
const MAX_ACQUIRED: usize = 64;
/// After a claim that began this many calls, the next one waits this long: it then takes the place of those that end soon, in the same
/// commit as their results, and not only of those that had ended before.
const BUSY_CLAIM: usize = 16;
const GATHER_INTERVAL: Duration = Duration::from_millis(3);
/// How long a claim may wait for its commit. Its deliveries would count as lost if it was given up and committed all the same.
const COMMIT_TIMEOUT: Duration = Duration::from_mins(1);

type Committed = Result<CommitResult, BatchError>;

/// Delivers events to the endpoints that this worker owns.
pub(crate) struct Deliverer {
    lane: Lane<DeliveryCommits>,
    attempts: Arc<Attempts>,
    signals: Arc<Signals>,
    metrics: Arc<Metrics>,
    clock: Arc<DatabaseClock>,
    endpoints: Endpoints,
    steps: (
        mpsc::UnboundedSender<EndpointStep>,
        mpsc::UnboundedReceiver<EndpointStep>,
    ),
    drain: Duration,
    /// When to ask for ownership next, and when it was renewed.
    ask_at: Instant,
    renewed_at: Instant,
    /// No claim before this time.
    claim_at: Instant,
    /// The log says that Postgres is unavailable.
    has_failed: bool,
    /// Merchants that other workers serve: a signal of theirs needs no question.
    of_others: HashSet<MerchantId>,
}

/// A request that waits for its commit.
struct Waiting<T> {
    what: T,
    result: JoinHandle<Committed>,
}

impl Deliverer {
    /// `concurrency`: maximum number of calls at once. `drain`: how long they may take to finish after the shutdown began.
    pub(crate) fn new(
        attempts: Arc<Attempts>,
        signals: Arc<Signals>,
        concurrency: u16,
        drain: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            lane: attempts.lane.clone(),
            metrics: Arc::clone(&attempts.metrics),
            clock: Arc::clone(&attempts.clock),
            attempts,
            signals,
            endpoints: Endpoints::new(concurrency.into()),
            steps: mpsc::unbounded_channel(),
            drain,
            ask_at: now,
            renewed_at: now,
            claim_at: now,
            has_failed: false,
            of_others: HashSet::new(),
        }
    }

    /// Delivers until shut down; then waits for the calls in progress and gives the endpoints up.
    pub(crate) async fn run(mut self, mut shutdown: Shutdown) {
        let mut claim: Option<Waiting<Vec<Claim>>> = None;
        let mut asked: Option<Waiting<OwnershipRequest>> = None;
        let signals = Arc::clone(&self.signals);
        loop {
            let now = Instant::now();
            if asked.is_none() && now >= self.ask_at {
                asked = Some(self.ask(now));
            }
            let mut wake_at = self.ask_at;
            if claim.is_none() && now < self.claim_at {
                wake_at = wake_at.min(self.claim_at);
            } else if claim.is_none() {
                match self.endpoints.claims(now, self.clock.now()) {
                    Ok(claims) => claim = Some(self.claim(claims)),
                    Err(next) => wake_at = next.map_or(wake_at, |next| wake_at.min(next)),
                }
            }
            let counts = self.endpoints.counts();
            self.metrics.endpoints(
                counts.owned,
                counts.unreadable,
                counts.open_circuits,
                counts.calls,
            );
            tokio::select! {
                biased;
                () = shutdown.raised() => break,
                Some((key, step)) = self.steps.1.recv() => {
                    self.step(key, step);
                    while let Ok((key, step)) = self.steps.1.try_recv() {
                        self.step(key, step);
                    }
                }
                Some(result) = OptionFuture::from(claim.as_mut().map(|claim| &mut claim.result)) => {
                    if let Some(claim) = claim.take() {
                        self.begin(claim.what, result);
                    }
                }
                Some(result) = OptionFuture::from(asked.as_mut().map(|asked| &mut asked.result)) => {
                    if let Some(asked) = asked.take() {
                        self.owns(&asked.what, result);
                    }
                }
                due = signals.due() => self.wake(&due),
                // While a question is under way, its result wakes.
                () = tokio::time::sleep_until(wake_at.into()), if asked.is_none() || wake_at < self.ask_at => {}
            }
        }
        let drain = self.drain;
        let finish = async {
            if let Some(claim) = claim {
                let result = claim.result.await;
                self.begin(claim.what, result);
            }
            if let Some(asked) = asked {
                let result = asked.result.await;
                self.owns(&asked.what, result);
            }
            while self.endpoints.attempts() > 0
                && let Some((key, step)) = self.steps.1.recv().await
            {
                self.step(key, step);
            }
        };
        if tokio::time::timeout(drain, finish).await.is_err() {
            error!(
                calls = self.endpoints.attempts(),
                "shutdown left webhook calls unfinished; another worker repeats them"
            );
        }
        self.release().await;
    }

    fn submit(&self, request: Request) -> JoinHandle<Committed> {
        let lane = self.lane.clone();
        tokio::spawn(async move {
            let until = Instant::now() + COMMIT_TIMEOUT;
            let committed = lane.submit_until(request, until).await;
            if committed.as_ref().is_ok_and(CommitResult::has_claimed) {
                failpoints::pass(Failpoint::DELIVERY_CLAIM_AFTER_COMMIT).await;
            }
            committed
        })
    }

    /// Begins a claim. There is one at a time, so that its size follows the load.
    fn claim(&self, claims: Vec<Claim>) -> Waiting<Vec<Claim>> {
        let wanted: Vec<Wanted> = claims.iter().map(|claim| claim.wanted).collect();
        Waiting {
            result: self.submit(Request::Claim(wanted)),
            what: claims,
        }
    }

    /// Begins the attempts of a claim.
    fn begin(&mut self, claims: Vec<Claim>, result: Result<Committed, JoinError>) {
        let now = Instant::now();
        let mut started = match result {
            Ok(Ok(CommitResult::Claimed(started))) => started,
            failed => {
                if !self.has_failed
                    && let Ok(Err(failure)) = failed
                {
                    warn!(error = %failure, "deliveries not claimed; retrying");
                }
                self.has_failed = true;
                for claim in &claims {
                    self.endpoints.claimed(claim, None, now);
                }
                return;
            }
        };
        if started.len() >= BUSY_CLAIM {
            self.claim_at = now + GATHER_INTERVAL;
        }
        for claim in claims {
            let is_its = |one: &mut Started| one.delivery.key.endpoint() == claim.wanted.endpoint;
            let of_endpoint: Vec<Started> = started.extract_if(.., is_its).collect();
            let due_from = of_endpoint.first().and_then(|one| one.delivery.due_from);
            self.endpoints.scan_from(claim.wanted.endpoint, due_from);
            self.endpoints.claimed(&claim, Some(of_endpoint.len()), now);
            for one in of_endpoint {
                let (attempts, sender) = (Arc::clone(&self.attempts), Arc::clone(&claim.sender));
                let slot = Slot::new(claim.wanted.endpoint, self.steps.0.clone());
                tokio::spawn(async move { attempts.make(&sender, one, slot).await });
            }
        }
    }

    fn step(&mut self, key: EndpointKey, step: Step) {
        let is_success = match step {
            Step::Called(is_success) => is_success,
            Step::Settled(settled) => {
                self.endpoints.settled(key, settled, Instant::now());
                return;
            }
        };
        match self.endpoints.called(key, is_success, self.clock.now()) {
            Some(CircuitChange::Opened(until)) => warn!(
                merchant_id = %key.merchant, webhook_endpoint_id = %key.id, until = %until.to_rfc3339(),
                "webhook circuit opened: most calls to this endpoint fail; its deliveries wait for test calls"
            ),
            Some(CircuitChange::Closed) => info!(
                merchant_id = %key.merchant, webhook_endpoint_id = %key.id, "webhook circuit closed"
            ),
            None => {}
        }
    }

    /// Claims for merchants with new deliveries, and asks for their endpoints if no worker is known to own them.
    fn wake(&mut self, due: &HashSet<MerchantId>) {
        let now = Instant::now();
        let unknown = self.endpoints.wake(due, now);
        if unknown
            .iter()
            .any(|merchant| !self.of_others.contains(merchant))
        {
            self.ask_at = now;
        }
        self.of_others.extend(unknown);
    }

    /// Asks for ownership, and for what is due.
    fn ask(&mut self, now: Instant) -> Waiting<OwnershipRequest> {
        self.ask_at = now + POLL_INTERVAL;
        let release = self.endpoints.take_idle(now);
        let acquire = self.endpoints.free().min(MAX_ACQUIRED);
        let request = OwnershipRequest {
            owned: self.endpoints.owned(),
            renews: now.duration_since(self.renewed_at) >= RENEW_INTERVAL,
            release,
            acquire: i64::try_from(acquire).unwrap_or(0),
        };
        if request.renews {
            self.renewed_at = now;
            // Another worker may have given them up.
            self.of_others.clear();
        }
        Waiting {
            result: self.submit(Request::Own(Box::new(request.clone()))),
            what: request,
        }
    }

    fn owns(&mut self, asked: &OwnershipRequest, result: Result<Committed, JoinError>) {
        let own = match result {
            Ok(Ok(CommitResult::Owns(own))) => *own,
            failed => {
                if !self.has_failed
                    && let Ok(Err(failure)) = failed
                {
                    warn!(error = %failure, "webhook endpoints not renewed; retrying");
                }
                self.has_failed = true;
                // Soon enough to keep them: a second after this one.
                self.renewed_at = self
                    .renewed_at
                    .checked_sub(RENEW_INTERVAL)
                    .unwrap_or(self.renewed_at);
                return;
            }
        };
        self.has_failed = false;
        self.apply(asked, &own);
    }

    fn apply(&mut self, asked: &OwnershipRequest, own: &Ownership) {
        let (now, time) = (Instant::now(), self.clock.now());
        if asked.renews {
            let keys: Vec<EndpointKey> = asked.owned.iter().map(|(key, _)| *key).collect();
            for key in self.endpoints.renewed(&keys, &own.renewed) {
                warn!(
                    merchant_id = %key.merchant, webhook_endpoint_id = %key.id,
                    "webhook endpoint lost to another worker: this one did not renew it in time"
                );
            }
        }
        for key in &own.acquired {
            self.endpoints.own(*key, now, time);
        }
        for endpoint in &own.changed {
            let sender = self.sender(endpoint);
            self.endpoints.configure(endpoint, sender, now);
        }
        self.endpoints.set_due(&own.next_due, now);
        if let Some(of_others) = &own.of_others {
            let merchants = self.endpoints.merchants();
            self.signals.set_owned(merchants, of_others.clone());
        }
    }

    fn sender(&self, endpoint: &Endpoint) -> Option<Arc<EndpointSender>> {
        let attempts = &self.attempts;
        let sender = EndpointSender::new(endpoint, &attempts.keyring, attempts.sandbox_mode);
        sender
            .inspect_err(|failure| {
                error!(
                    merchant_id = %endpoint.merchant, webhook_endpoint_id = %endpoint.id, error = %failure,
                    "webhook endpoint gets no calls: its settings are unusable"
                );
            })
            .ok()
            .map(Arc::new)
    }

    /// Gives all endpoints up, so that other workers take them at once.
    async fn release(mut self) {
        let release = self.endpoints.take_all();
        if release.is_empty() {
            return;
        }
        let request = OwnershipRequest {
            release,
            ..OwnershipRequest::default()
        };
        let released = self.lane.submit(Request::Own(Box::new(request))).await;
        if let Err(failure) = released {
            warn!(error = %failure, "webhook endpoints not given up; other workers take them over in 15 s");
        }
    }
}
