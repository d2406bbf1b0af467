//! Claims and settlements, committed together: everything that waits goes into one transaction.

mod queues;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_crypto::{Keyring, Purpose};
use khata_domain::circuit::CircuitState;
use khata_domain::failpoints::{self, Failpoint};
use khata_domain::gateway::GatewayKey;
use khata_domain::plan::{
    CallAgain, ClaimedValidation, Plan, PlanInput, Planned, RateBudgets, plan,
};
use khata_domain::traffic::RateBudget;
use khata_domain::validation::Next;
use khata_domain::{Consent, Details, MerchantId, ValidationKey};
use khata_store::gateway_health;
use khata_store::group_commit::Commit;
use khata_store::validations::{
    self, Claimed, LeaseToken, NewAttempt, Postponement, Reusable, Settled, Settlement,
};
use tracing::error;
use uuid::Uuid;

use queues::{NextAt, free_calls, is_queued_at, lock_queued};

use crate::clock::DatabaseClock;
use crate::consumer_load::ConsumerLoad;
use crate::directory::{Directory, MerchantView};
use crate::health_reporter::{CallInProgress, HealthReporter};
use crate::metrics::Metrics;
use crate::related::Related;
use crate::turns::Urgency;

/// Requests in one batch from which on the lane counts as busy.
const BUSY_BATCH: usize = 16;
/// How long a busy lane waits for more requests. Nothing under load waits for one validation as a caller waits for a reply
/// of the API, so fewer, larger transactions are better.
const LINGER: Duration = Duration::from_millis(8);

/// A request to the lane.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Claim(ValidationKey),
    /// Claim the first validation in the queue of a gateway account, if the account can take its call; if awaited, only one
    /// that a caller waits for.
    ClaimNext(GatewayKey, Urgency),
    Settle(Box<Settlement>),
}

/// Passes the first point if a settlement leaves a validation open after a call, and the second one if a settlement completes one.
fn pass_settlements(requests: &[Request], pending: Failpoint, outcome: Failpoint) {
    for request in requests {
        let Request::Settle(settlement) = request else {
            continue;
        };
        match settlement.next {
            Next::Wait { .. } if settlement.attempt.is_some() => failpoints::pass_blocking(pending),
            Next::Wait { .. } => {}
            Next::Complete { .. } => failpoints::pass_blocking(outcome),
        }
    }
}

/// The result of a request.
pub(crate) enum CommitResult {
    /// `None`: the validation is not due, or another worker holds it.
    Claimed(Option<Box<Work>>),
    /// The claimed validation, and whether more may be claimed now.
    ClaimedNext(Option<Box<Work>>, bool),
    /// `None`: the lease was not valid any more.
    Settled(Option<Settled>),
}

/// A claimed validation with its plan; its attempt is stored.
pub(crate) struct Work {
    pub(crate) claimed: Claimed,
    source: Source,
    /// The plan is to wait, and is stored: the worker holds no lease.
    pub(crate) is_settled: bool,
    pub(crate) token: LeaseToken,
    pub(crate) details: Option<Details>,
    pub(crate) consent: Option<Consent>,
    pub(crate) plan: Plan,
    pub(crate) is_possible_double_drop: bool,
    /// The earlier result to use, if the plan says so.
    pub(crate) reusable: Option<Reusable>,
    /// The name at the bank that a person accepted for the account.
    pub(crate) accepted_name: Option<String>,
    pub(crate) merchant: Arc<MerchantView>,
    /// When the last webhook about the validation was received.
    pub(crate) webhook_received_at: Option<DateTime<Utc>>,
    /// Counts the plan's calls as in progress until it is dropped.
    pub(crate) call: Option<CallInProgress>,
}

/// The source of a claim: `None` is a wake-up, the others are a [`Request::ClaimNext`].
type Source = Option<Urgency>;

/// Writes that a batch of plans needs before its calls.
#[derive(Default)]
struct Writes {
    new_attempts: Vec<NewAttempt>,
    given_up: Vec<(ValidationKey, i16)>,
    /// Unfinished attempts whose calls are made again.
    restarted: Vec<(ValidationKey, CallAgain)>,
}

/// Returns the settlement of a claimed attempt whose call was not sent.
type NotSent = Box<dyn Fn(&Work) -> Option<Settlement> + Send>;

/// The worker's lane: claims, plans and settles in batches.
pub(crate) struct ClaimsAndSettles {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) health: Arc<HealthReporter>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lease: Duration,
    pub(crate) clock: Arc<DatabaseClock>,
    pub(crate) load: Arc<ConsumerLoad>,
    /// Calls that this worker makes at once at a gateway account without a limit of its own.
    pub(crate) share: u32,
    /// Settles an attempt whose call was not sent.
    pub(crate) not_sent: NotSent,
}

impl Commit for ClaimsAndSettles {
    type Request = Request;
    type Output = CommitResult;

    fn merchant(request: &Request) -> MerchantId {
        match request {
            Request::Claim(key) => key.merchant,
            Request::ClaimNext(gateway, _) => gateway.merchant,
            Request::Settle(settlement) => settlement.key.merchant,
        }
    }

    fn linger(&self, weight: usize) -> Duration {
        let is_busy = weight >= BUSY_BATCH;
        if is_busy { LINGER } else { Duration::ZERO }
    }

    fn committed(&self, requests: &[Request], took: Duration) {
        let is_claim = |request: &&Request| !matches!(request, Request::Settle(_));
        let claims = requests.iter().filter(is_claim).count();
        self.metrics
            .committed(claims, requests.len() - claims, took);
        pass_settlements(
            requests,
            Failpoint::PENDING_AFTER_COMMIT,
            Failpoint::OUTCOME_AFTER_COMMIT,
        );
    }

    fn commit(
        &mut self,
        connection: &mut PgConnection,
        requests: &[Request],
    ) -> QueryResult<Vec<CommitResult>> {
        let (mut keys, mut next, mut settlements) = (Vec::new(), Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Claim(key) => keys.push(*key),
                Request::ClaimNext(gateway, urgency) => next.push((*urgency, *gateway)),
                Request::Settle(settlement) => settlements.push(settlement.as_ref().clone()),
            }
        }
        let settled = validations::settle(connection, &settlements)?;
        let (mut work, more) = self.claim(connection, &mut keys, &next)?;
        pass_settlements(
            requests,
            Failpoint::PENDING_BEFORE_COMMIT,
            Failpoint::OUTCOME_BEFORE_COMMIT,
        );
        if !work.is_empty() {
            failpoints::pass_blocking(Failpoint::CLAIM_BEFORE_COMMIT);
        }
        let result = |request: &Request| match request {
            Request::Settle(settlement) => {
                let settled = settled.iter().find(|settled| settled.key == settlement.key);
                CommitResult::Settled(settled.copied())
            }
            Request::Claim(key) => {
                let is_it = |work: &Work| work.source.is_none() && work.claimed.key == *key;
                let index = work.iter().position(is_it);
                CommitResult::Claimed(index.map(|index| Box::new(work.swap_remove(index))))
            }
            Request::ClaimNext(gateway, urgency) => {
                let is_next = |work: &Work| work.is_next(*urgency, *gateway);
                let index = work.iter().position(is_next);
                let work = index.map(|index| Box::new(work.swap_remove(index)));
                CommitResult::ClaimedNext(work, more.contains(&(*urgency, *gateway)))
            }
        };
        Ok(requests.iter().map(result).collect())
    }

    /// Settles a claim whose calls no task makes as not sent: an attempt that stays STARTED would count as a lost call.
    fn abandoned(&mut self, result: &CommitResult) -> Option<Request> {
        let (CommitResult::Claimed(work) | CommitResult::ClaimedNext(work, _)) = result else {
            return None;
        };
        let settlement = (self.not_sent)(work.as_deref()?)?;
        Some(Request::Settle(Box::new(settlement)))
    }

    fn has_taken_back(&self, result: &CommitResult) -> bool {
        !matches!(result, CommitResult::Settled(None))
    }

    /// Claims the validation that makes the work panic, and does nothing with it: the end of the lease counts a failed step.
    fn panicked(&mut self, connection: &mut PgConnection, request: &Request) -> QueryResult<()> {
        let locked = match request {
            Request::Claim(key) => validations::lock_due(connection, &[*key])?,
            Request::ClaimNext(gateway, urgency) => {
                let awaited = *urgency == Urgency::Awaited;
                validations::lock_queued(connection, &[(*gateway, 1)], awaited)?
            }
            // The validation has a lease, which ends.
            Request::Settle(_) => return Ok(()),
        };
        let keys: Vec<_> = locked.iter().map(|claimed| claimed.key).collect();
        let token = LeaseToken(Uuid::new_v4());
        validations::lease(connection, &keys, token, self.lease)
    }
}

impl Work {
    /// Whether a claim of the queue of this gateway account claimed it.
    fn is_next(&self, urgency: Urgency, gateway: GatewayKey) -> bool {
        self.source == Some(urgency) && is_queued_at(&self.claimed, gateway)
    }

    /// The gateway account whose queue it joins.
    fn joins(&self) -> Option<GatewayKey> {
        let Plan::Settle {
            queue: Some(place), ..
        } = &self.plan
        else {
            return None;
        };
        let (merchant, account) = (self.claimed.key.merchant, place.gateway_account);
        let gateway = GatewayKey { merchant, account };
        (self.source.is_none()).then_some(gateway)
    }

    /// How the validation waits, if the plan makes no call now.
    fn postponement(&self, now: DateTime<Utc>) -> Option<Postponement> {
        let Plan::Settle {
            next: Next::Wait { until, reason, .. },
            slot,
            queue,
            ..
        } = &self.plan
        else {
            return None;
        };
        Some(Postponement {
            key: self.claimed.key,
            delay: (*until - now).to_std().unwrap_or_default(),
            reason: *reason,
            slot: *slot,
            queue: *queue,
        })
    }
}

impl ClaimsAndSettles {
    /// Claims these validations, and the next ones in the queues of these gateway accounts. Returns the gateway accounts at which
    /// more may be claimed now, too.
    fn claim(
        &self,
        connection: &mut PgConnection,
        keys: &mut Vec<ValidationKey>,
        next: &[NextAt],
    ) -> QueryResult<(Vec<Work>, HashSet<NextAt>)> {
        // A message may name a validation twice.
        keys.sort_unstable();
        keys.dedup();
        let due = validations::lock_due(connection, keys)?;
        if due.is_empty() && next.is_empty() {
            return Ok((Vec::new(), HashSet::new()));
        }
        let of_due = due.iter().map(|claimed| claimed.key.merchant);
        let ids = of_due.chain(next.iter().map(|(_, gateway)| gateway.merchant));
        let merchants = self.merchants(connection, ids)?;
        let now = self.clock.now();
        let awaited = due.iter().filter(|claimed| claimed.awaited).count();
        let mut budgets = self.budgets(connection, &merchants, awaited, now)?;
        let wanted = free_calls(&merchants, &budgets, next, now);
        let next = lock_queued(connection, &self.health, &due, &wanted)?;
        // Awaited validations take their calls first, then those that have waited.
        let (awaited, others): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|claimed| claimed.awaited);
        let claimed = [awaited, next.locked, others].concat();
        let locked: Vec<_> = claimed.iter().map(|claimed| claimed.key).collect();
        let mut related = Related::read(connection, &self.keyring, &claimed, &merchants)?;
        let mut writes = Writes::default();
        let token = LeaseToken(Uuid::new_v4());
        let work = |claimed: Claimed| {
            let merchant = merchants.get(&claimed.key.merchant)?;
            let batch = (&mut related, &mut budgets, &mut writes);
            // A panic must not break the batch of the others. The lease stays, so that the panic counts as a failed step.
            let key = claimed.key;
            let source = next.sources.get(&key).copied();
            let plan = || self.plan((claimed, source), (token, now), merchant, batch);
            let planned = catch_unwind(AssertUnwindSafe(plan));
            if planned.is_err() {
                error!(merchant_id = %key.merchant, validation_id = %key.id, "planning panicked; the scheduler takes the validation back");
            }
            planned.ok()
        };
        let mut work: Vec<Work> = claimed.into_iter().filter_map(work).collect();
        self.lease(connection, locked, &mut work, token, now)?;
        validations::give_up_attempts(connection, &writes.given_up)?;
        validations::start_attempts(connection, &writes.new_attempts, &writes.restarted)?;
        self.store_budgets(connection, &budgets)?;
        let is_free = |next: &NextAt| !free_calls(&merchants, &budgets, &[*next], now).is_empty();
        for gateway in work.iter().filter_map(Work::joins).collect::<HashSet<_>>() {
            if is_free(&(Urgency::Other, gateway)) {
                // The first one of the queue takes the call in place of those that came just now.
                self.load.queue_next_at(Urgency::Other, gateway);
            }
        }
        let is_postponed = |(urgency, gateway): &NextAt| {
            let is_wait = |work: &Work| work.is_settled && work.is_next(*urgency, *gateway);
            work.iter().any(is_wait)
        };
        let can_take_more = |next: &NextAt| is_free(next) && !is_postponed(next);
        let more = next.not_empty.into_iter().filter(can_take_more);
        let more = more.collect();
        Ok((work, more))
    }

    /// Stores the plans that make no call now, and leases the other locked validations.
    fn lease(
        &self,
        connection: &mut PgConnection,
        mut locked: Vec<ValidationKey>,
        work: &mut [Work],
        token: LeaseToken,
        now: DateTime<Utc>,
    ) -> QueryResult<()> {
        let mut postponements = Vec::new();
        for work in work {
            let postponement = work.postponement(now);
            work.is_settled = postponement.is_some();
            postponements.extend(postponement);
        }
        let waiting: HashSet<_> = postponements.iter().map(|waits| waits.key).collect();
        locked.retain(|key| !waiting.contains(key));
        validations::postpone(connection, &postponements)?;
        validations::lease(connection, &locked, token, self.lease)
    }

    fn plan(
        &self,
        (claimed, source): (Claimed, Source),
        (token, now): (LeaseToken, DateTime<Utc>),
        merchant: &Arc<MerchantView>,
        (related, budgets, writes): (&mut Related, &mut RateBudgets, &mut Writes),
    ) -> Work {
        let key = claimed.key;
        let (details, consent) = (self.decrypt_details(&claimed), claimed.consent());
        let attempts = related.attempts.remove(&key).unwrap_or_default();
        let (webhooks, webhook_received_at) = related.webhooks.remove(&key).unzip();
        let reusable = related.reusable.remove(&key);
        let accepted_name = related.accepted_names.remove(&key);
        let last = attempts.last();
        let gateways = details.as_ref().map_or(Vec::new(), |details| {
            merchant.profiles(details, consent.as_ref(), last, now)
        });
        let input = PlanInput {
            validation: ClaimedValidation {
                id: key.id,
                account_is_deleted: claimed.account_is_deleted(),
                deadline_at: claimed.deadline_at,
                failed_steps: claimed.failed_steps,
                pin: claimed.pin(),
                awaited: claimed.awaited,
                slot: claimed.slot,
                queued_at: claimed.queued_at,
            },
            bounds: merchant.bounds,
            kind: details.as_ref().map(Details::kind),
            attempts: &attempts,
            webhooks: webhooks.as_deref().unwrap_or_default(),
            budget_renewed_at: related.budget_renewed_at(key.merchant, merchant, now),
            has_reusable_result: reusable.is_some(),
            gateways: &gateways,
            now,
            jitter: rand::random(),
        };
        let planned = plan(&input, budgets);
        related.count(key.merchant, &planned);
        let again = planned.sent_again.map(|again| (key, again));
        writes.restarted.extend(again);
        if let Plan::Settle {
            queue: Some(place), ..
        } = &planned.plan
        {
            let (merchant, account) = (key.merchant, place.gateway_account);
            self.health
                .set_queue(GatewayKey { merchant, account }, true);
        }
        let call = self.begin_call(&planned.plan, merchant, claimed.awaited);
        let new_attempt = new_attempt(key, &planned, merchant);
        let new = new_attempt.as_ref();
        let is_possible_double_drop = new.is_some_and(|new| new.possible_double_drop);
        writes.new_attempts.extend(new_attempt);
        let given_up = planned.given_up.map(|number| (key, number));
        writes.given_up.extend(given_up);
        Work {
            claimed,
            source,
            is_settled: false,
            token,
            details,
            consent,
            plan: planned.plan,
            is_possible_double_drop,
            reusable,
            accepted_name,
            merchant: Arc::clone(merchant),
            webhook_received_at,
            call,
        }
    }

    fn decrypt_details(&self, claimed: &Claimed) -> Option<Details> {
        let key = claimed.key;
        let (account, sealed) = (claimed.account.0, &claimed.sealed_details);
        let keyring = &self.keyring;
        let plain = keyring.decrypt(key.merchant, account, Purpose::Details, sealed);
        Details::from_plaintext(&plain.ok()?)
    }

    fn merchants(
        &self,
        connection: &mut PgConnection,
        ids: impl Iterator<Item = MerchantId>,
    ) -> QueryResult<HashMap<MerchantId, Arc<MerchantView>>> {
        let mut merchants = HashMap::new();
        for id in ids {
            if let Entry::Vacant(entry) = merchants.entry(id) {
                let merchant = *entry.key();
                entry.insert(self.directory.of_merchant(connection, merchant)?);
            }
        }
        Ok(merchants)
    }

    /// Reads the rate budgets of the gateway accounts that the batch may use. Rows that all workers share are locked until the
    /// batch is committed: those with a limit, and those whose open circuit may be tested now. `awaited`: awaited claims of the
    /// batch.
    fn budgets(
        &self,
        connection: &mut PgConnection,
        merchants: &HashMap<MerchantId, Arc<MerchantView>>,
        awaited: usize,
        now: DateTime<Utc>,
    ) -> QueryResult<RateBudgets> {
        let (mut shared, mut budgets) = (Vec::new(), RateBudgets::default());
        for entry in merchants.values().flat_map(|merchant| &merchant.entries) {
            let Ok(connector) = &entry.connector else {
                continue;
            };
            let (key, state) = (entry.key(), self.health.state(entry.key()));
            // An open circuit has nothing to take.
            let circuit = state.as_ref().map(|state| state.circuit.state(now));
            let may_be_tested = circuit == Some(CircuitState::HalfOpen);
            let traffic = &connector.policy().traffic;
            // A worker's own share is handed on when a call ends; the calls of a limit become free for all workers, or with time.
            if traffic.is_limited() && self.health.has_queue(key) {
                budgets.add_queue(key);
            }
            if traffic.is_limited() || may_be_tested {
                shared.push(key);
            } else if traffic.shares_worker || state.is_some() {
                let full = RateBudget::new(now);
                let budget = state.map_or(full, |state| state.budget(0));
                budgets.put(key, self.with_share(budget, key, awaited), false);
            }
        }
        if !shared.is_empty() {
            let worker = self.health.worker();
            for state in gateway_health::lock(connection, &shared, worker, self.lease)? {
                let known = self.health.state(state.key);
                let paused_until = known.and_then(|known| known.paused_until);
                let budget = RateBudget {
                    paused_until: state.paused_until.max(paused_until),
                    ..state.budget(self.health.calls_in_progress(state.key))
                };
                budgets.put(state.key, self.with_share(budget, state.key, awaited), true);
            }
        }
        Ok(budgets)
    }

    /// Adds what is left of the account's share of this worker. Awaited validations of the batch take no part of it.
    fn with_share(&self, budget: RateBudget, gateway: GatewayKey, awaited: usize) -> RateBudget {
        let calls = self.health.share_used(gateway);
        let share = self
            .share
            .saturating_add(u32::try_from(awaited).unwrap_or(0));
        RateBudget {
            share_left: Some(share.saturating_sub(calls)),
            ..budget
        }
    }

    /// Counts the calls of a plan as in progress.
    fn begin_call(
        &self,
        plan: &Plan,
        merchant: &MerchantView,
        is_awaited: bool,
    ) -> Option<CallInProgress> {
        let Plan::Attempt { attempt, .. } = plan else {
            return None;
        };
        let entry = merchant.find(attempt.gateway_account)?;
        let connector = entry.connector.as_ref().ok()?;
        let is_shared = connector.policy().traffic.concurrency.is_some();
        let gateway = entry.key();
        Some(self.health.begin_call(gateway, is_shared, is_awaited))
    }

    /// Writes back the rate budgets that all workers share.
    fn store_budgets(
        &self,
        connection: &mut PgConnection,
        budgets: &RateBudgets,
    ) -> QueryResult<()> {
        let changed = budgets.changed();
        gateway_health::store_budgets(connection, &changed)?;
        let shared = |(key, _): &(_, _)| Some((*key, self.health.shared_calls(*key)?));
        let calls: Vec<_> = changed.iter().filter_map(shared).collect();
        gateway_health::write_open_calls(connection, self.health.worker(), &calls)
    }
}

/// Returns the row of the plan's attempt, if it is new.
fn new_attempt(
    key: ValidationKey,
    planned: &Planned,
    merchant: &MerchantView,
) -> Option<NewAttempt> {
    let (Plan::Attempt { attempt, .. }, Some(new)) = (&planned.plan, &planned.new_attempt) else {
        return None;
    };
    Some(NewAttempt {
        key,
        number: attempt.number,
        gateway_account: attempt.gateway_account,
        gateway_id: merchant.find(attempt.gateway_account)?.gateway.id(),
        method: attempt.method,
        reference: attempt.reference.clone(),
        choice: new.choice.clone(),
        possible_double_drop: new.possible_double_drop,
        is_further_drop: new.is_further_drop,
    })
}
