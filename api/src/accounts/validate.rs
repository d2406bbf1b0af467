//! `POST …/customer-accounts/{account_id}/validate`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use chrono::TimeDelta;
use diesel::PgConnection;
use futures_util::future::OptionFuture;
use khata_domain::ValidationKey;
use khata_domain::failpoints::{self, Failpoint};
use khata_store::accounts::{self, Revalidation, ValidateAgain};
use khata_store::idempotency::ReplyForm;

use super::request::ValidateRequest;
use crate::context::RequestContext;
use crate::create_commits::BUSY_RETRY;
use crate::error::{ApiError, NO_ACCOUNT};
use crate::idempotency::{Idempotent, Written};
use crate::metrics::StartedBy;
use crate::outcomes::Outcome;
use crate::present::{self, CustomerAccount};
use crate::schema;

/// Longest time in which a call tries to get its locks.
const LOCK_TIME_LIMIT: Duration = Duration::from_millis(2_500);

/// Validate an account again
///
/// Starts another validation and waits for its outcome, at most `wait_seconds`. If a validation is already running, the call
/// waits for that one. Counts against the validations of the same account in 24 hours and
/// the penny drops of the day.
#[utoipa::path(post, path = "/customers/{customer_id}/customer-accounts/{account_id}/validate",
    operation_id = "validateAccount", tag = "Customer accounts", params(schema::CustomerPath, schema::AccountPath),
    request_body(content((schema::ValidateForm = "application/x-www-form-urlencoded"), (schema::ValidateJson = "application/json"))),
    responses((status = 200, description = "The account.", body = CustomerAccount)))]
pub(crate) async fn validate(context: RequestContext) -> Result<HttpResponse, ApiError> {
    validate_account(context, ReplyForm::Account).await
}

/// Validates an account again and replies when the outcome is known, or after the wait.
pub(crate) async fn validate_account(
    mut context: RequestContext,
    form: ReplyForm,
) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let request = ValidateRequest::read(&body, context.state.metrics.database_time())?;
    let (customer, account) = context.account()?;
    let idempotent = context.idempotent()?;
    let (state, merchant) = (context.state.clone(), context.merchant_id());
    if let Err(error) = context.check(&idempotent, request.pin.as_ref()).await {
        return idempotent.earlier_or(error).await?.into_reply();
    }
    let begun = Instant::now();
    let wait_ends = request.wait.map(|wait| begun + wait);
    let again = Arc::new(request.to_store(&context, customer, account, form));
    let key = ValidationKey {
        merchant,
        id: again.validation,
    };
    // Register before the commit, so that no outcome of a fast worker is missed.
    let new_outcome = wait_ends.map(|until| {
        context.mark_waiting();
        state.outcomes.wait_for_new(key, until)
    });
    let mut tries = 0;
    let written = loop {
        let written = store(&idempotent, &again, form).await;
        let written = written.map_err(|error| context.not_found(error))?;
        if !matches!(written, Written::Done(Revalidation::Busy)) {
            break written;
        }
        // Only other calls of the same merchant hold the locks. No connection is held meanwhile.
        let pause = BUSY_RETRY.wait(tries, rand::random());
        if begun.elapsed() + pause >= LOCK_TIME_LIMIT {
            return Err(ApiError::TooMuchInProgress);
        }
        tokio::time::sleep(pause).await;
        tries += 1;
    };
    failpoints::pass(Failpoint::VALIDATE_AFTER_COMMIT).await;
    let (row, outcome) = match written {
        Written::Done(Revalidation::Started {
            row,
            has_deliveries,
        }) => {
            context.announce(key, row.kind, StartedBy::Validate);
            if has_deliveries {
                context.signal_deliveries();
            }
            (row, new_outcome)
        }
        Written::Done(Revalidation::AlreadyOpen(row, open)) => {
            let wait = |until| {
                context.hurry(open);
                state.outcomes.wait_for_open(open, until)
            };
            (row, wait_ends.map(wait))
        }
        earlier => return earlier.into_reply(),
    };
    let settled = OptionFuture::from(outcome.map(Outcome::wait)).await;
    // The validation has started even if its current state could not be read.
    let account = present::stored(&state.keyring, merchant, settled.flatten().unwrap_or(*row))?;
    idempotent.finish(form, vec![account]).await
}

/// Begins the validation in a transaction, if no other one holds its locks.
async fn store(
    idempotent: &Idempotent,
    again: &Arc<ValidateAgain>,
    form: ReplyForm,
) -> Result<Written<Revalidation>, ApiError> {
    let again = Arc::clone(again);
    let work = move |connection: &mut PgConnection, idempotent: &Idempotent| {
        match accounts::validate_again(connection, &again)? {
            done @ (Revalidation::Started { .. } | Revalidation::AlreadyOpen(..)) => {
                // A call that does not wait also records its reply later: the reply is rendered after the commit.
                let wait = again.terms.awaited.unwrap_or(TimeDelta::zero());
                let record = idempotent.waiting(vec![again.account], form, wait);
                failpoints::pass_blocking(Failpoint::VALIDATE_BEFORE_COMMIT);
                Ok((done, record))
            }
            Revalidation::Busy => Ok((Revalidation::Busy, None)),
            Revalidation::Limited(limited) => Err(ApiError::limited(limited, |_| None)),
            Revalidation::Deleted => Err(ApiError::AccountDeleted),
            Revalidation::NotFound => Err(NO_ACCOUNT),
        }
    };
    idempotent.write("insert validation", work).await
}
