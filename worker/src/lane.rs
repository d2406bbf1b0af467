//! Claims and settles, committed together: whatever waits goes into one transaction.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use diesel::{PgConnection, QueryResult};
use khata_shared::batch::Commit;
use khata_shared::crypto::{Keyring, Purpose};
use khata_shared::domain::{Consent, Details};
use khata_shared::store::validations::{self, Claimed, LeaseToken, Settlement, ValidationKey};
use uuid::Uuid;

use crate::directory::Directory;
use crate::plan::{Plan, plan};

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
}

pub(crate) struct ClaimsAndSettles {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) lease: Duration,
}

impl Commit for ClaimsAndSettles {
    type Request = Request;
    type Answer = Answer;

    fn linger(&self, weight: usize) -> Duration {
        if weight >= BUSY {
            LINGER
        } else {
            Duration::ZERO
        }
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
                        .position(|w| w.claimed.key() == *key)
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
        let keys: Vec<_> = claimed.iter().map(Claimed::key).collect();
        let past = validations::attempts(connection, &keys)?;
        let now = Utc::now();
        let (mut new_attempts, mut given_up, mut work) =
            (Vec::new(), Vec::new(), Vec::with_capacity(claimed.len()));
        for claimed in claimed {
            let key = claimed.key();
            let details = self
                .keyring
                .open(
                    key.merchant,
                    claimed.account().0,
                    Purpose::Details,
                    &claimed.sealed_details,
                )
                .ok()
                .and_then(|plaintext| Details::from_plaintext(&plaintext));
            let consent = claimed.consent();
            let entries = self.directory.of_merchant(connection, key.merchant)?;
            let past = past.get(&key).map_or(&[][..], Vec::as_slice);
            let planned = plan(
                &claimed,
                details.as_ref(),
                consent.as_ref(),
                past,
                &entries,
                now,
            );
            given_up.extend(planned.given_up.map(|number| (key, number)));
            new_attempts.extend(planned.new_attempt);
            work.push(Work {
                claimed,
                token,
                details,
                consent,
                plan: planned.plan,
            });
        }
        validations::give_up_attempts(connection, &given_up)?;
        validations::insert_attempts(connection, &new_attempts)?;
        Ok(work)
    }
}
