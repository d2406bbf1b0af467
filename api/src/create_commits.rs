//! The group commit of create calls: many calls, one transaction. The reply of a call with an `Idempotency-Key` is rendered
//! and recorded in that transaction.

use std::sync::Arc;
use std::time::Duration;

use diesel::{PgConnection, QueryResult};
use khata_domain::MerchantId;
use khata_store::accounts::{self, CreateAccounts, Created, CreatedAccount};
use khata_store::group_commit::{Commit, Weight};
use khata_store::idempotency::{Record, ReplyForm};

use crate::error::ApiError;
use crate::idempotency::{self, Execution, Idempotent};
use crate::metrics::Metrics;

/// Renders the reply. `Fn`, because a batch may be committed again after a rollback.
pub(crate) type Render = Box<dyn Fn(&Created) -> Result<Vec<u8>, ApiError> + Send>;

/// A create call, ready to store.
pub(crate) struct CreateCall {
    pub(crate) stored: CreateAccounts,
    pub(crate) idempotent: Idempotent,
    pub(crate) form: ReplyForm,
    pub(crate) render: Render,
}

/// A committed call.
pub(crate) struct Committed {
    pub(crate) created: Created,
    /// The reply, if the transaction recorded it.
    pub(crate) body: Option<Vec<u8>>,
}

pub(crate) struct CreateCommits(pub(crate) Arc<Metrics>);

impl Commit for CreateCommits {
    type Request = CreateCall;
    type Output = Execution<Result<Committed, ApiError>>;

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
                .map(|(call, created)| commit_one(call, created))
                .collect())
        };
        idempotency::execute(connection, calls, |call| call.idempotent.call(), work)
    }
}

/// The result and the record of one call.
fn commit_one(
    call: &CreateCall,
    created: Created,
) -> (Result<Committed, ApiError>, Option<Record>) {
    let (idempotent, now) = (&call.idempotent, call.stored.terms.now);
    let (body, record) = match (&created, call.stored.terms.awaited_until) {
        _ if idempotent.call().is_none() => (None, None),
        (Created::Accounts { accounts, .. }, Some(until)) => {
            let ids = accounts.iter().zip(&call.stored.accounts);
            let ids = ids.map(|(outcome, new)| match outcome {
                CreatedAccount::New => new.id,
                CreatedAccount::Existing(row) => row.id,
            });
            (
                None,
                idempotent.waiting(ids.collect(), call.form, until, now),
            )
        }
        (Created::Accounts { .. }, None) => match (call.render)(&created) {
            Ok(body) => {
                let record = idempotent.replied(&body, now);
                (Some(body), record)
            }
            Err(error) => return (Err(error), None),
        },
        _ => (None, None),
    };
    (Ok(Committed { created, body }), record)
}
