//! The write path: creates of many callers, one transaction. A call with an `Idempotency-Key` is looked up, carried out and
//! recorded in that transaction, answer and all.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_crypto::Keyring;
use khata_store::accounts::{self, CreateAccounts, Created, CreatedAccount};
use khata_store::group_commit::Commit;
use khata_store::idempotency::{self, IdempotentCall, PriorCall, ReplyForm};
use zeroize::Zeroizing;

use crate::accounts::render_created;
use crate::accounts::request::CreateRequest;
use crate::metrics::Metrics;

/// A create, ready to store.
pub(crate) struct CreateCall {
    pub(crate) stored: CreateAccounts,
    /// As it was read, for the answer.
    pub(crate) request: Arc<CreateRequest>,
    pub(crate) form: ReplyForm,
    pub(crate) idempotent: Option<IdempotentCall>,
    /// Until when the call waits for outcomes before it answers.
    pub(crate) waits_until: Option<DateTime<Utc>>,
}

/// What became of it.
pub(crate) enum Outcome {
    /// It was carried out, or could not be.
    Done {
        created: Created,
        /// The answer, where it had to be made in the transaction.
        body: Option<Zeroizing<Vec<u8>>>,
    },
    /// It was not carried out: it had been before, or is being.
    Before(PriorCall),
    /// Its answer could not be made.
    Broken,
}

pub(crate) struct Creates {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Commit for Creates {
    type Request = CreateCall;
    type Output = Outcome;

    fn weight(&self, call: &CreateCall) -> usize {
        call.stored.accounts.len()
    }

    fn committed(&self, calls: &[CreateCall], took: Duration) {
        self.metrics.committed(calls.len(), took);
    }

    fn commit(
        &mut self,
        connection: &mut PgConnection,
        calls: &[CreateCall],
    ) -> QueryResult<Vec<Outcome>> {
        let idempotent: Vec<(usize, &IdempotentCall)> = calls
            .iter()
            .enumerate()
            .filter_map(|(index, call)| Some((index, call.idempotent.as_ref()?)))
            .collect();
        let mut before: Vec<PriorCall> = vec![PriorCall::None; calls.len()];
        let looked_up: Vec<&IdempotentCall> = idempotent.iter().map(|(_, call)| *call).collect();
        let found = idempotency::begin(connection, &looked_up)?;
        for ((index, _), found) in idempotent.iter().zip(found) {
            before[*index] = match found {
                // Its place among all calls, not only among those with a key.
                PriorCall::SameAs(same) => PriorCall::SameAs(idempotent[same].0),
                other => other,
            };
        }
        let wanted: Vec<&CreateAccounts> = calls
            .iter()
            .zip(&before)
            .filter(|(_, before)| **before == PriorCall::None)
            .map(|(call, _)| &call.stored)
            .collect();
        let mut created = accounts::create(connection, &wanted)?.into_iter();
        let mut records = Vec::new();
        let mut outcomes: Vec<Outcome> = Vec::with_capacity(calls.len());
        for (call, before) in calls.iter().zip(before) {
            outcomes.push(match before {
                PriorCall::None => match created.next() {
                    Some(created) => self.record(call, created, &mut records),
                    None => Outcome::Broken,
                },
                PriorCall::SameAs(index) => {
                    Outcome::Before(same_as(&outcomes[index], &records, &calls[index]))
                }
                other => Outcome::Before(other),
            });
        }
        idempotency::insert(connection, &records)?;
        Ok(outcomes)
    }
}

impl Creates {
    /// Keeps the record of a call that was carried out and carries a key.
    fn record(
        &self,
        call: &CreateCall,
        created: Created,
        records: &mut Vec<idempotency::Record>,
    ) -> Outcome {
        let (Some(idempotent), Created::Accounts { accounts, .. }) = (&call.idempotent, &created)
        else {
            return Outcome::Done {
                created,
                body: None,
            };
        };
        let now = call.stored.created_at;
        if let Some(until) = call.waits_until {
            let ids = accounts
                .iter()
                .zip(&call.stored.accounts)
                .map(|(outcome, new)| match outcome {
                    CreatedAccount::New => new.id,
                    CreatedAccount::Existing(row) => row.id,
                })
                .collect();
            records.push(crate::idempotency::awaited(
                idempotent, ids, call.form, until, now,
            ));
            return Outcome::Done {
                created,
                body: None,
            };
        }
        let Ok(body) = render_created(&self.keyring, call, &created) else {
            return Outcome::Broken;
        };
        records.push(crate::idempotency::answered(
            idempotent,
            &self.keyring,
            &body,
            now,
        ));
        Outcome::Done {
            created,
            body: Some(body),
        }
    }
}

/// What a call is told that came in the same batch as the same call.
fn same_as(first: &Outcome, records: &[idempotency::Record], call: &CreateCall) -> PriorCall {
    let record = records
        .iter()
        .find(|record| Some(&record.call) == call.idempotent.as_ref());
    match (first, record.map(|record| &record.reply)) {
        (Outcome::Done { .. }, Some(idempotency::Reply::Ready { sealed })) => PriorCall::Replied {
            sealed_reply: sealed.clone(),
        },
        // It waits for an outcome, or did nothing that can be repeated.
        _ => PriorCall::Running,
    }
}
