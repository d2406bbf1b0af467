//! Statements of the deliveries, committed together: results, claims, and who owns which endpoint.

use std::collections::HashSet;
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::{PgConnection, QueryResult};
use khata_domain::MerchantId;
use khata_domain::events::{DisabledBy, EndpointId, EndpointKey};
use khata_domain::failpoints::{self, Failpoint};
use khata_store::events;
use khata_store::group_commit::{Commit, MAX_BATCH, Weight};
use khata_store::webhooks::{
    self, Attempted, Endpoint, Owned, SettledDelivery, StartedDelivery, Wanted,
};
use uuid::Uuid;

use super::body::{Started, Subject};
use super::disable::disable;

/// Time for which a worker owns an endpoint after it renewed the ownership.
const LEASE: Duration = Duration::from_secs(15);
/// Requests in one batch from which on the lane counts as busy, and how long it then waits for more.
const BUSY_BATCH: usize = 16;
const LINGER: Duration = Duration::from_millis(5);

/// A request to the lane.
#[derive(Debug)]
pub(crate) enum Request {
    /// Begin the attempts of due deliveries.
    Claim(Vec<Wanted>),
    Settle(Box<Attempted>),
    /// Own endpoints, and learn what is due at them.
    Own(Box<OwnershipRequest>),
    Disable(EndpointKey, DisabledBy),
}

/// The result of a request.
#[derive(Debug)]
pub(crate) enum CommitResult {
    Claimed(Vec<Started>),
    /// `None`: another attempt has begun, or the result was stored before.
    Settled(Option<SettledDelivery>),
    Owns(Box<Ownership>),
    /// Whether the endpoint was enabled.
    Disabled(bool),
}

impl CommitResult {
    /// Whether this is a claim that begins attempts.
    pub(super) fn has_claimed(&self) -> bool {
        matches!(self, Self::Claimed(started) if !started.is_empty())
    }
}

/// The endpoints that a worker wants to own.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnershipRequest {
    /// The worker's endpoints, with the versions of the settings that it has read.
    pub(super) owned: Vec<(EndpointKey, i32)>,
    /// Own these for longer.
    pub(super) renews: bool,
    pub(super) release: Vec<EndpointKey>,
    /// Maximum number of further endpoints.
    pub(super) acquire: i64,
}

/// The endpoints that a worker owns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ownership {
    /// The endpoints that it still owns, if it renewed them.
    pub(super) renewed: Vec<Owned>,
    pub(super) acquired: Vec<EndpointKey>,
    /// Endpoints with new settings.
    pub(super) changed: Vec<Endpoint>,
    /// Time to the next due delivery of each with an open one.
    pub(super) next_due: Vec<(EndpointKey, Duration)>,
    /// The merchants of which other workers, or none, own an endpoint; read with renewals and new endpoints only.
    pub(super) of_others: Option<HashSet<MerchantId>>,
}

/// The lane of deliveries.
pub(crate) struct DeliveryCommits {
    pub(crate) worker: Uuid,
}

impl Commit for DeliveryCommits {
    type Request = Request;
    type Output = CommitResult;

    fn merchant(request: &Request) -> MerchantId {
        match request {
            Request::Settle(attempted) => attempted.key.merchant,
            Request::Disable(key, _) => key.merchant,
            // The work of all merchants has a turn of its own.
            Request::Claim(_) | Request::Own(_) => MerchantId(Uuid::nil()),
        }
    }

    fn weight(request: &Request) -> Weight {
        match request {
            Request::Settle(attempted) => {
                let sealed = [&attempted.sealed_body, &attempted.sealed_reply];
                let lengths = sealed.into_iter().flatten().map(Vec::len);
                let bytes = lengths.sum();
                Weight { rows: 1, bytes }
            }
            Request::Claim(wanted) => {
                let calls: i64 = wanted.iter().map(|wanted| wanted.calls).sum();
                let rows = usize::try_from(calls).unwrap_or(0).min(MAX_BATCH);
                Weight { rows, bytes: 0 }
            }
            Request::Own(_) | Request::Disable(..) => Weight::ROW,
        }
    }

    fn linger(&self, weight: usize) -> Duration {
        let is_busy = weight >= BUSY_BATCH;
        if is_busy { LINGER } else { Duration::ZERO }
    }

    fn commit(
        &mut self,
        connection: &mut PgConnection,
        requests: &[Request],
    ) -> QueryResult<Vec<CommitResult>> {
        let results = requests.iter().filter_map(|request| match request {
            Request::Settle(attempted) => Some(attempted.as_ref().clone()),
            _ => None,
        });
        let results: Vec<Attempted> = results.collect();
        if requests
            .iter()
            .all(|request| matches!(request, Request::Claim(_)))
        {
            // A claim that a crash of Postgres undoes only lets the delivery be made again, as if the worker had crashed: the call need
            // not wait for the disk.
            connection.batch_execute("set local synchronous_commit = off")?;
        }
        // First, so that the claims find the next events of the same accounts.
        let settled = webhooks::settle(connection, &results)?;
        let mut outputs = Vec::with_capacity(requests.len());
        for request in requests {
            outputs.push(match request {
                Request::Settle(attempted) => {
                    let settled = settled.iter().find(|settled| settled.key == attempted.key);
                    CommitResult::Settled(settled.copied())
                }
                Request::Disable(key, by) => {
                    CommitResult::Disabled(disable(connection, *key, *by)?)
                }
                Request::Own(request) => {
                    CommitResult::Owns(Box::new(self.own(connection, request)?))
                }
                Request::Claim(wanted) => CommitResult::Claimed(self.claim(connection, wanted)?),
            });
        }
        if !results.is_empty() {
            failpoints::pass_blocking(Failpoint::DELIVERY_BEFORE_COMMIT);
        }
        if outputs.iter().any(CommitResult::has_claimed) {
            failpoints::pass_blocking(Failpoint::DELIVERY_CLAIM_BEFORE_COMMIT);
        }
        Ok(outputs)
    }
}

impl DeliveryCommits {
    fn own(
        &self,
        connection: &mut PgConnection,
        request: &OwnershipRequest,
    ) -> QueryResult<Ownership> {
        let worker = self.worker;
        webhooks::release(connection, worker, &request.release)?;
        let mut keys: Vec<_> = request.owned.iter().map(|(key, _)| *key).collect();
        let renewed = if request.renews {
            // In one order, so that statements of two workers do not wait for each other.
            keys.sort_unstable();
            webhooks::renew(connection, worker, &keys, LEASE)?
        } else {
            Vec::new()
        };
        let acquired = if request.acquire > 0 {
            webhooks::acquire(connection, worker, LEASE, request.acquire)?
        } else {
            Vec::new()
        };
        let is_changed = |owned: &&Owned| !request.owned.contains(&(owned.key, owned.version));
        let changed = renewed.iter().filter(is_changed).map(|owned| owned.key);
        let changed: Vec<_> = changed.chain(acquired.iter().copied()).collect();
        keys.extend(&acquired);
        let of_others = if request.renews || !acquired.is_empty() {
            let merchants: HashSet<MerchantId> = keys.iter().map(|key| key.merchant).collect();
            let merchants: Vec<_> = merchants.into_iter().collect();
            let of_others = webhooks::owned_by_others(connection, worker, &merchants)?;
            Some(of_others.into_iter().collect())
        } else {
            None
        };
        Ok(Ownership {
            changed: webhooks::owned(connection, &changed)?,
            next_due: webhooks::next_due(connection, &keys)?,
            renewed,
            acquired,
            of_others,
        })
    }

    fn claim(&self, connection: &mut PgConnection, wanted: &[Wanted]) -> QueryResult<Vec<Started>> {
        let started = webhooks::claim(connection, self.worker, wanted)?;
        let events = started.iter().map(|one| (one.key.merchant, one.event));
        // Several endpoints may get one event.
        let events: HashSet<_> = events.collect();
        let events: Vec<_> = events.into_iter().collect();
        let accounts = events::with_accounts(connection, &events)?;
        let started = started.into_iter().map(|delivery| {
            let account = accounts.iter().find(|of| {
                of.event.id == delivery.event && of.account.merchant == delivery.key.merchant
            });
            let subject = match account {
                Some(account) => Some(Subject::Account(Box::new(account.clone()))),
                None => of_endpoint(connection, &delivery)?,
            };
            Ok(Started { delivery, subject })
        });
        started.collect()
    }
}

/// Reads an event about an endpoint, with the endpoint.
fn of_endpoint(
    connection: &mut PgConnection,
    delivery: &StartedDelivery,
) -> QueryResult<Option<Subject>> {
    let merchant = delivery.key.merchant;
    let event = events::find(connection, merchant, delivery.event)?;
    let Some(event) = event.filter(|event| !event.name.is_of_account()) else {
        return Ok(None);
    };
    let id = EndpointId(event.subject_id);
    let endpoint = webhooks::owned(connection, &[EndpointKey { merchant, id }])?.pop();
    Ok(Some(Subject::Endpoint(
        Box::new(event),
        endpoint.map(Box::new),
    )))
}
