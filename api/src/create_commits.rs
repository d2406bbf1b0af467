//! The group commit of create calls: many calls, one transaction. The reply of a call with an `Idempotency-Key` is rendered
//! and recorded in that transaction.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, QueryResult};
use khata_store::accounts::{self, CreateAccounts, Created, CreatedAccount};
use khata_store::group_commit::Commit;
use khata_store::idempotency::{IdempotentCall, Record, ReplyForm};

use crate::error::ApiError;
use crate::idempotency::{self, Execution, Idempotent};
use crate::metrics::Metrics;

/// Renders the reply. `Fn`, because a batch may be committed again after a rollback.
pub(crate) type Render = Box<dyn Fn(&Created) -> Result<Vec<u8>, ApiError> + Send>;

/// A create call, ready to store.
pub(crate) struct CreateCall {
    pub(crate) stored: CreateAccounts,
    pub(crate) idempotent: Idempotent,
    /// Time until which the call waits for outcomes before it replies.
    pub(crate) waits_until: Option<DateTime<Utc>>,
    pub(crate) form: ReplyForm,
    pub(crate) render: Render,
}

impl CreateCall {
    fn key(&self) -> Option<&IdempotentCall> {
        self.idempotent.call()
    }
}

/// A committed call.
pub(crate) struct Committed {
    pub(crate) created: Created,
    /// The reply, if the transaction recorded it.
    pub(crate) body: Option<Vec<u8>>,
}

pub(crate) struct CreateCommits {
    pub(crate) metrics: Arc<Metrics>,
}

impl Commit for CreateCommits {
    type Request = CreateCall;
    type Output = Execution<Result<Committed, ApiError>>;

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
    ) -> QueryResult<Vec<Self::Output>> {
        idempotency::execute(connection, calls, CreateCall::key, |connection, calls| {
            let wanted: Vec<&CreateAccounts> = calls.iter().map(|call| &call.stored).collect();
            let created = accounts::create(connection, &wanted)?;
            Ok(calls
                .iter()
                .zip(created)
                .map(|(call, created)| commit_one(call, created))
                .collect())
        })
    }
}

/// The result and the record of one call.
fn commit_one(
    call: &CreateCall,
    created: Created,
) -> (Result<Committed, ApiError>, Option<Record>) {
    let unrecorded = |created| {
        (
            Ok(Committed {
                created,
                body: None,
            }),
            None,
        )
    };
    let Created::Accounts { accounts, .. } = &created else {
        return unrecorded(created);
    };
    if call.idempotent.call().is_none() {
        return unrecorded(created);
    }
    let now = call.stored.terms.now;
    if let Some(until) = call.waits_until {
        let ids = accounts
            .iter()
            .zip(&call.stored.accounts)
            .map(|(outcome, new)| match outcome {
                CreatedAccount::New => new.id,
                CreatedAccount::Existing(row) => row.id,
            })
            .collect();
        let record = call.idempotent.waiting(ids, call.form, until, now);
        return (
            Ok(Committed {
                created,
                body: None,
            }),
            record,
        );
    }
    match (call.render)(&created) {
        Ok(body) => {
            let record = call.idempotent.replied(&body, now);
            let body = Some(body);
            (Ok(Committed { created, body }), record)
        }
        Err(error) => (Err(error), None),
    }
}
