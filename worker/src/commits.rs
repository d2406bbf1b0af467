//! Claims and settlements, committed together: everything that waits goes into one transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_crypto::{Keyring, Purpose};
use khata_domain::circuit::CircuitState;
use khata_domain::plan::{ClaimedValidation, Plan, PlanInput, Planned, RateBudgets, plan};
use khata_domain::traffic::RateBudget;
use khata_domain::{Consent, Details, MerchantId, ValidationKey};
use khata_store::gateway_health;
use khata_store::group_commit::Commit;
use khata_store::validations::{self, Claimed, LeaseToken, NewAttempt, Reusable, Settlement};
use uuid::Uuid;

use crate::directory::{Directory, MerchantView};
use crate::health_reporter::{CallInProgress, HealthReporter};
use crate::metrics::Metrics;
use crate::related::Related;

/// Requests in one batch from which on the lane counts as busy.
const BUSY_BATCH: usize = 16;
/// How long a busy lane waits for more requests. Nothing under load waits for one validation as a caller waits for a reply
/// of the API, so fewer, larger transactions are better.
const LINGER: Duration = Duration::from_millis(5);

/// A request to the lane.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Claim(ValidationKey),
    Settle(Box<Settlement>),
}

/// The result of a request.
pub(crate) enum CommitResult {
    /// `None`: the validation is not due, or another worker holds it.
    Claimed(Option<Box<Work>>),
    /// Whether the lease was still valid.
    Settled(bool),
}

/// A claimed validation with its plan; its attempt is stored.
pub(crate) struct Work {
    pub(crate) claimed: Claimed,
    pub(crate) token: LeaseToken,
    pub(crate) details: Option<Details>,
    pub(crate) consent: Option<Consent>,
    pub(crate) plan: Plan,
    pub(crate) is_possible_double_drop: bool,
    /// The earlier result to use, if the plan says so.
    pub(crate) reusable: Option<Reusable>,
    pub(crate) merchant: Arc<MerchantView>,
    /// When the last webhook about the validation was received.
    pub(crate) webhook_received_at: Option<DateTime<Utc>>,
    /// Counts the plan's calls as in progress until it is dropped.
    pub(crate) _call: Option<CallInProgress>,
}

/// Writes that a batch of plans needs before its calls.
#[derive(Default)]
struct Writes {
    new_attempts: Vec<NewAttempt>,
    given_up: Vec<(ValidationKey, i16)>,
}

/// The worker's lane: claims, plans and settles in batches.
pub(crate) struct ClaimsAndSettles {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) health: Arc<HealthReporter>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lease: Duration,
}

impl Commit for ClaimsAndSettles {
    type Request = Request;
<<<<<<< HEAD
    type Answer = CommitResult;
=======
    type Output = Answer;
>>>>>>> api

    fn linger(&self, weight: usize) -> Duration {
        if weight >= BUSY_BATCH {
            LINGER
        } else {
            Duration::ZERO
        }
    }

    fn committed(&self, requests: &[Request], took: Duration) {
        let is_claim = |request: &&Request| matches!(request, Request::Claim(_));
        let claims = requests.iter().filter(is_claim).count();
        self.metrics
            .committed(claims, requests.len() - claims, took);
    }

    fn commit(
        &mut self,
        connection: &mut PgConnection,
        requests: &[Request],
    ) -> QueryResult<Vec<CommitResult>> {
        let (mut keys, mut settlements) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Claim(key) => keys.push(*key),
                Request::Settle(settlement) => settlements.push(settlement.as_ref().clone()),
            }
        }
        let settled = validations::settle(connection, &settlements)?;
        let mut work = self.claim(connection, &mut keys)?;
<<<<<<< HEAD
        let result = |request: &Request| match request {
            Request::Settle(settlement) => CommitResult::Settled(settled.contains(&settlement.key)),
            Request::Claim(key) => {
                let index = work.iter().position(|work| work.claimed.key() == *key);
                CommitResult::Claimed(index.map(|index| Box::new(work.swap_remove(index))))
            }
        };
        Ok(requests.iter().map(result).collect())
=======
        Ok(requests
            .iter()
            .map(|request| match request {
                Request::Settle(settlement) => Answer::Settled(settled.contains(&settlement.key)),
                Request::Claim(key) => Answer::Claimed(
                    work.iter()
                        .position(|w| w.claimed.key == *key)
                        .map(|index| Box::new(work.swap_remove(index))),
                ),
            })
            .collect())
>>>>>>> api
    }
}

impl ClaimsAndSettles {
    fn claim(
        &self,
        connection: &mut PgConnection,
        keys: &mut Vec<ValidationKey>,
    ) -> QueryResult<Vec<Work>> {
        // A message may name a validation twice.
        keys.sort_unstable();
        keys.dedup();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let token = LeaseToken(Uuid::new_v4());
        let claimed = validations::claim(connection, keys, token, self.lease)?;
        if claimed.is_empty() {
            return Ok(Vec::new());
        }
<<<<<<< HEAD
=======
        let keys: Vec<_> = claimed.iter().map(|claimed| claimed.key).collect();
        let mut past = validations::attempts(connection, &keys)?;
        let mut webhook_received = self.webhook_received(connection, &claimed)?;
>>>>>>> api
        let merchants = self.merchants(connection, &claimed)?;
        let mut related = Related::read(connection, &self.keyring, &claimed, &merchants)?;
        let now = Utc::now();
        let mut budgets = self.budgets(connection, &merchants, now)?;
<<<<<<< HEAD
        let mut writes = Writes::default();
        let work = claimed
            .into_iter()
            .filter_map(|claimed| {
                let merchant = merchants.get(&claimed.key().merchant)?;
                let batch = (&mut related, &mut budgets, &mut writes);
                Some(self.plan(claimed, token, merchant, batch))
            })
            .collect();
        validations::give_up_attempts(connection, &writes.given_up)?;
        validations::insert_attempts(connection, &writes.new_attempts)?;
        self.store_budgets(connection, &budgets)?;
=======
        let (mut new_attempts, mut given_up, mut work) =
            (Vec::new(), Vec::new(), Vec::with_capacity(claimed.len()));
        for claimed in claimed {
            let key = claimed.key;
            let details = self
                .keyring
                .decrypt(
                    key.merchant,
                    claimed.account.0,
                    Purpose::Details,
                    &claimed.sealed_details,
                )
                .ok()
                .and_then(|plaintext| Details::from_plaintext(&plaintext));
            let consent = claimed.consent();
            let Some(merchant) = merchants.get(&key.merchant).map(Arc::clone) else {
                continue;
            };
            let reusable = reusable.remove(&key);
            let facts = Facts {
                claimed: &claimed,
                details: details.as_ref(),
                consent: consent.as_ref(),
                past: &past.remove(&key).unwrap_or_default(),
                notices: &webhook_received.notices.remove(&key).unwrap_or_default(),
                reusable: reusable.as_ref().map(|reusable| reusable.validation),
                merchant: &merchant,
                now,
                jitter: rand::random(),
            };
            let planned = plan(&facts, &mut budgets);
            given_up.extend(planned.given_up.map(|number| (key, number)));
            new_attempts.extend(planned.new_attempt);
            let in_hand = self.begin(&planned.plan);
            work.push(Work {
                claimed,
                token,
                details,
                consent,
                plan: planned.plan,
                reusable,
                merchant,
                webhook_received_at: webhook_received.last_at.remove(&key),
                _in_hand: in_hand,
            });
        }
        validations::give_up_attempts(connection, &given_up)?;
        validations::insert_attempts(connection, &new_attempts)?;
        self.keep(connection, &budgets)?;
>>>>>>> api
        Ok(work)
    }

    fn plan(
        &self,
        claimed: Claimed,
        token: LeaseToken,
        merchant: &Arc<MerchantView>,
        (related, budgets, writes): (&mut Related, &mut RateBudgets, &mut Writes),
    ) -> Work {
        let key = claimed.key();
        let (details, consent) = (self.decrypt_details(&claimed), claimed.consent());
        let attempts = related.attempts.remove(&key).unwrap_or_default();
        let (webhooks, webhook_received_at) = related.webhooks.remove(&key).unzip();
        let reusable = related.reusable.remove(&key);
        let (last, now) = (attempts.last(), Utc::now());
        let gateways = details.as_ref().map_or(Vec::new(), |details| {
            merchant.profiles(details, consent.as_ref(), last, now)
        });
        let input = PlanInput {
            validation: ClaimedValidation {
                id: key.id,
                account_is_deleted: claimed.account_is_deleted(),
                deadline_at: claimed.deadline_at,
                pin: claimed.pin(),
                slot: claimed.slot(),
            },
            kind: details.as_ref().map(Details::kind),
            attempts: &attempts,
            webhooks: webhooks.as_deref().unwrap_or_default(),
            has_reusable_result: reusable.is_some(),
            gateways: &gateways,
            now,
            jitter: rand::random(),
        };
        let planned = plan(&input, budgets);
        let call = self.begin_call(&planned.plan, merchant);
        let new_attempt = new_attempt(key, &planned, merchant);
        let is_possible_double_drop = new_attempt
            .as_ref()
            .is_some_and(|new| new.possible_double_drop);
        writes.new_attempts.extend(new_attempt);
        writes
            .given_up
            .extend(planned.given_up.map(|number| (key, number)));
        Work {
            claimed,
            token,
            details,
            consent,
            plan: planned.plan,
            is_possible_double_drop,
            reusable,
            merchant: Arc::clone(merchant),
            webhook_received_at,
            _call: call,
        }
    }

    fn decrypt_details(&self, claimed: &Claimed) -> Option<Details> {
        let key = claimed.key();
        let (account, purpose) = (claimed.account().0, Purpose::Details);
        let plain = self
            .keyring
            .open(key.merchant, account, purpose, &claimed.sealed_details);
        Details::from_plaintext(&plain.ok()?)
    }

    fn merchants(
        &self,
        connection: &mut PgConnection,
        claimed: &[Claimed],
    ) -> QueryResult<HashMap<MerchantId, Arc<MerchantView>>> {
        let mut merchants = HashMap::new();
        for claimed in claimed {
<<<<<<< HEAD
            if let Entry::Vacant(entry) = merchants.entry(claimed.key().merchant) {
                let merchant = *entry.key();
                entry.insert(self.directory.of_merchant(connection, merchant)?);
=======
            if let Entry::Vacant(place) = merchants.entry(claimed.key.merchant) {
                let merchant = *place.key();
                place.insert(self.directory.of_merchant(connection, merchant)?);
>>>>>>> api
            }
        }
        Ok(merchants)
    }

<<<<<<< HEAD
    /// Reads the rate budgets of the gateway accounts that the batch may use. Rows that all workers share are locked until the
    /// batch is committed: those with a limit, and those whose open circuit may be tested now.
=======
    /// What gateways have called back with, and when they last did.
    fn webhook_received(
        &self,
        connection: &mut PgConnection,
        claimed: &[Claimed],
    ) -> QueryResult<CalledBack> {
        let webhook_received = claimed.iter().filter(|claimed| claimed.webhook_received);
        let keys: Vec<_> = webhook_received.map(|claimed| claimed.key).collect();
        let stored = gateway_webhooks::stored(connection, &keys)?;
        let last_at = stored
            .iter()
            .filter_map(|(key, notices)| Some((*key, notices.last()?.received_at)))
            .collect();
        let opened = stored.into_iter().map(|(key, notices)| {
            let open = |sealed: &[u8]| {
                let plaintext = self.keyring.decrypt(key.merchant, key.id.0, Purpose::Webhook, sealed);
                let answer = plaintext.ok().and_then(|plain| khata_domain::GatewayResponse::from_plaintext(&plain));
                if answer.is_none() {
                    error!(validation_id = %key.id, "a call-back does not open: is a key missing in the keyring?");
                }
                answer
            };
            let notices = notices.iter().map(|notice| Notice {
                number: notice.number,
                // One that does not open still tells that there is something to ask for.
                answer: notice.sealed_response.as_deref().and_then(open),
            });
            (key, notices.collect())
        });
        Ok(CalledBack {
            notices: opened.collect(),
            last_at,
        })
    }

    /// Reads what is left of the gateway accounts that the batch may use. Those on which all workers have to agree are
    /// locked until the batch is committed: limited ones, and those that are tried now whether they are back.
>>>>>>> api
    fn budgets(
        &self,
        connection: &mut PgConnection,
        merchants: &HashMap<MerchantId, Arc<MerchantView>>,
        now: DateTime<Utc>,
    ) -> QueryResult<RateBudgets> {
        let (mut shared, mut budgets) = (Vec::new(), RateBudgets::default());
        for entry in merchants.values().flat_map(|merchant| &merchant.entries) {
            let Ok(connector) = &entry.connector else {
                continue;
            };
            let (key, state) = (entry.key(), self.health.state(entry.key()));
            // An open circuit has nothing to take.
            let may_be_tested = state
                .as_ref()
                .is_some_and(|state| state.circuit.state(now) == CircuitState::HalfOpen);
            if connector.traffic().is_limited() || may_be_tested {
                shared.push(key);
            } else if let Some(state) = state {
                budgets.put(key, state.budget(0), false);
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
                budgets.put(state.key, budget, true);
            }
        }
        Ok(budgets)
    }

    /// Counts the calls of a plan as in progress.
    fn begin_call(&self, plan: &Plan, merchant: &MerchantView) -> Option<CallInProgress> {
        let Plan::Attempt { attempt, .. } = plan else {
            return None;
        };
        let entry = merchant.find(attempt.gateway_account)?;
        let connector = entry.connector.as_ref().ok()?;
        let is_shared = connector.traffic().concurrency.is_some();
        Some(self.health.begin_call(entry.key(), is_shared))
    }

    /// Writes back the rate budgets that all workers share.
    fn store_budgets(
        &self,
        connection: &mut PgConnection,
        budgets: &RateBudgets,
    ) -> QueryResult<()> {
        let changed = budgets.changed();
        gateway_health::store_budgets(connection, &changed)?;
        let calls: Vec<_> = changed
            .iter()
            .filter_map(|(key, _)| Some((*key, self.health.shared_calls(*key)?)))
            .collect();
<<<<<<< HEAD
        gateway_health::write_in_hand(connection, self.health.worker(), &calls)
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
    })
=======
        gateway_health::write_open_calls(connection, self.watch.worker(), &in_hand)
    }
}

/// Results that need not be asked for again: for merchants that want that, and validations that have not been begun.
fn reusable(
    connection: &mut PgConnection,
    claimed: &[Claimed],
    past: &HashMap<ValidationKey, Vec<Attempt>>,
    merchants: &HashMap<MerchantId, Arc<MerchantView>>,
) -> QueryResult<HashMap<ValidationKey, Reusable>> {
    let wanted: Vec<_> = claimed
        .iter()
        .filter(|claimed| !claimed.fresh && !past.contains_key(&claimed.key))
        .filter_map(|claimed| {
            let seconds = merchants.get(&claimed.key.merchant)?.reuse_results_seconds;
            (seconds > 0).then_some((claimed.key, seconds))
        })
        .collect();
    let mut reusable = validations::reusable(connection, &wanted)?;
    // A call that names a gateway wants to hear it from that one.
    for claimed in claimed {
        let named = claimed.pin().gateway_id;
        if named.is_some()
            && reusable
                .get(&claimed.key)
                .is_some_and(|earlier| Some(earlier.gateway_id) != named)
        {
            reusable.remove(&claimed.key);
        }
    }
    Ok(reusable)
>>>>>>> api
}
