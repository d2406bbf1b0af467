//! The group commit of create calls: many calls, one transaction.

use std::sync::Arc;
use std::time::Duration;

use diesel::{PgConnection, QueryResult};
use khata_domain::{AccountId, MerchantId};
use khata_store::accounts::{self, CreateAccounts, Created, CreatedAccount};
use khata_store::group_commit::{Commit, Weight};
use khata_store::idempotency::{Record, ReplyForm};

use crate::idempotency::{self, Execution, Idempotent};
use crate::metrics::Metrics;

/// A create call, ready to store.
pub(crate) struct CreateCall {
    pub(crate) stored: CreateAccounts,
    pub(crate) idempotent: Idempotent,
    pub(crate) form: ReplyForm,
}

pub(crate) struct CreateCommits(pub(crate) Arc<Metrics>);

impl Commit for CreateCommits {
    type Request = CreateCall;
    type Output = Execution<Created>;

    fn merchant(call: &CreateCall) -> MerchantId {
        call.stored.merchant
    }

    fn weight(call: &CreateCall) -> Weight {
        call.stored.weight()
    }

    fn committed(&self, calls: &[CreateCall], took: Duration) {
        self.0.committed(calls.len(), took);
    }

    fn commit(
        &mut self,
        connection: &mut PgConnection,
        calls: &[CreateCall],
    ) -> QueryResult<Vec<Self::Output>> {
        let work = |connection: &mut PgConnection, calls: &[&CreateCall]| {
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
    let (terms, form) = (&call.stored.terms, call.form);
    let is_new = |outcome: &CreatedAccount| matches!(outcome, CreatedAccount::New);
    match terms.awaited_until {
        None if accounts.iter().all(is_new) => call.idempotent.created(ids, form, terms.now),
        awaited_until => {
            let waits_until = awaited_until.unwrap_or(terms.now);
            call.idempotent.waiting(ids, form, waits_until, terms.now)
        }
    }
}
