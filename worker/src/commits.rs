//! Claims and settles, committed together: whatever waits goes into one transaction.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_crypto::{Keyring, Purpose};
use khata_domain::ValidationKey;
use khata_domain::circuit::CircuitState;
use khata_domain::traffic::RateBudget;
use khata_domain::{Consent, Details, MerchantId};
use khata_store::group_commit::Commit;
use khata_store::validations::{self, Attempt, Claimed, LeaseToken, Reusable, Settlement};
use khata_store::{gateway_health, gateway_webhooks};
use tracing::error;
use uuid::Uuid;

use crate::directory::{Directory, MerchantView};
use crate::health_reporter::{CallInHand, Watch};
use crate::metrics::Metrics;
use crate::plan::{Facts, Notice, Plan, RateBudgets, plan};

/// A batch of so many claims and settles means that it is busy.
const BUSY: usize = 16;
/// Nobody waits for a validation under load as for an answer of the API: the processor and the disk are better used.
const LINGER: Duration = Duration::from_millis(5);

/// What a step asks of the lane.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Claim(ValidationKey),
    Settle(Box<Settlement>),
}

/// What it gets.
pub(crate) enum Answer {
    /// `None`: the validation has moved on.
    Claimed(Option<Box<Work>>),
    /// Whether the lease still held.
    Settled(bool),
}

/// A claimed validation with its plan; attempts are written down.
pub(crate) struct Work {
    pub(crate) claimed: Claimed,
    pub(crate) token: LeaseToken,
    pub(crate) details: Option<Details>,
    pub(crate) consent: Option<Consent>,
    pub(crate) plan: Plan,
    /// The earlier result that is the answer, where the plan says so.
    pub(crate) reusable: Option<Reusable>,
    pub(crate) merchant: Arc<MerchantView>,
    /// When the gateway called back with what has not been heard yet.
    pub(crate) webhook_received_at: Option<DateTime<Utc>>,
    /// Counts the plan's calls among those in hand until it is dropped.
    pub(crate) _in_hand: Option<CallInHand>,
}

/// By validation.
struct CalledBack {
    notices: HashMap<ValidationKey, Vec<Notice>>,
    last_at: HashMap<ValidationKey, DateTime<Utc>>,
}

pub(crate) struct ClaimsAndSettles {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lease: Duration,
}

impl Commit for ClaimsAndSettles {
    type Request = Request;
    type Output = Answer;

    fn linger(&self, weight: usize) -> Duration {
        if weight >= BUSY {
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
    ) -> QueryResult<Vec<Answer>> {
        let (mut keys, mut settlements) = (Vec::new(), Vec::new());
        for request in requests {
            match request {
                Request::Claim(key) => keys.push(*key),
                Request::Settle(settlement) => settlements.push(settlement.as_ref().clone()),
            }
        }
        let settled = validations::settle(connection, &settlements)?;
        let mut work = self.claim(connection, &mut keys)?;
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
    }
}

impl ClaimsAndSettles {
    fn claim(
        &self,
        connection: &mut PgConnection,
        keys: &mut Vec<ValidationKey>,
    ) -> QueryResult<Vec<Work>> {
        // A message may name one twice.
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
        let keys: Vec<_> = claimed.iter().map(|claimed| claimed.key).collect();
        let mut past = validations::attempts(connection, &keys)?;
        let mut webhook_received = self.webhook_received(connection, &claimed)?;
        let merchants = self.merchants(connection, &claimed)?;
        let mut reusable = reusable(connection, &claimed, &past, &merchants)?;
        let now = Utc::now();
        let mut budgets = self.budgets(connection, &merchants, now)?;
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
        Ok(work)
    }

    fn merchants(
        &self,
        connection: &mut PgConnection,
        claimed: &[Claimed],
    ) -> QueryResult<HashMap<MerchantId, Arc<MerchantView>>> {
        let mut merchants = HashMap::new();
        for claimed in claimed {
            if let Entry::Vacant(place) = merchants.entry(claimed.key.merchant) {
                let merchant = *place.key();
                place.insert(self.directory.of_merchant(connection, merchant)?);
            }
        }
        Ok(merchants)
    }

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
            let (key, trouble) = (entry.key(), self.watch.trouble(entry.key()));
            // While it is shut there is nothing to take of it.
            let may_be_tried = trouble
                .as_ref()
                .is_some_and(|state| state.circuit.state(now) == CircuitState::HalfOpen);
            if connector.traffic().is_limited() || may_be_tried {
                shared.push(key);
            } else if let Some(state) = trouble {
                budgets.put(key, state.budget(0), false);
            }
        }
        if !shared.is_empty() {
            let worker = self.watch.worker();
            for state in gateway_health::lock(connection, &shared, worker, self.lease)? {
                let known_here = self
                    .watch
                    .trouble(state.key)
                    .and_then(|state| state.paused_until);
                let budget = RateBudget {
                    paused_until: state.paused_until.max(known_here),
                    ..state.budget(self.watch.in_hand(state.key))
                };
                budgets.put(state.key, budget, true);
            }
        }
        Ok(budgets)
    }

    /// Counts a plan's calls among those in hand.
    fn begin(&self, plan: &Plan) -> Option<CallInHand> {
        let Plan::Attempt { attempt, .. } = plan else {
            return None;
        };
        let connector = attempt.entry.connector.as_ref().ok()?;
        let is_counted = connector.traffic().concurrency.is_some();
        Some(self.watch.begin(attempt.entry.key(), is_counted))
    }

    /// Writes back what was taken of shared gateway accounts.
    fn keep(&self, connection: &mut PgConnection, budgets: &RateBudgets) -> QueryResult<()> {
        let changed = budgets.changed();
        gateway_health::store_budgets(connection, &changed)?;
        let in_hand: Vec<_> = changed
            .iter()
            .filter_map(|(key, _)| Some((*key, self.watch.counted(*key)?)))
            .collect();
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
}
