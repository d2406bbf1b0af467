//! `POST …/customer-accounts/{account_id}/validate`.

use std::time::Instant;

use actix_web::HttpResponse;
use chrono::{SubsecRound, Utc};
use futures_util::future::OptionFuture;
use khata_domain::ValidationKey;
use khata_store::accounts::{self, Revalidation};
use khata_store::idempotency::ReplyForm;

use super::request::ValidateRequest;
use crate::context::RequestContext;
use crate::error::{ApiError, NO_ACCOUNT};
use crate::idempotency::Written;
use crate::metrics::StartedBy;
use crate::outcomes::Outcome;
use crate::present::{self, CustomerAccount};
use crate::schema;

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
    let request = ValidateRequest::read(&context.receive().await?)?;
    let (customer, account) = context.account()?;
    let idempotent = context.idempotent()?;
    let (state, merchant) = (context.state.clone(), context.merchant_id());
    if let Some(pin) = &request.pin
        && let Err(error) = context.check_gateway(pin).await
    {
        return idempotent.earlier_or(error).await?.into_reply();
    }
    let now = Utc::now().trunc_subsecs(6);
    let wait_ends = request.wait.map(|wait| Instant::now() + wait);
    let again = request.to_store(&context, customer, account, form, now);
    // A call that does not wait also records its reply later: the reply is rendered after the commit.
    let waits_until = again.terms.awaited_until.unwrap_or(now);
    let key = ValidationKey {
        merchant,
        id: again.validation,
    };
    // Register before the commit, so that no outcome of a fast worker is missed.
    let new_outcome = wait_ends.map(|until| {
        context.mark_waiting();
        state.outcomes.wait_for_new(key, until)
    });
    let written = idempotent
        .write(
            "insert validation",
            move |connection, idempotent| match accounts::validate_again(connection, &again)? {
                done @ (Revalidation::Started(_) | Revalidation::AlreadyOpen(..)) => {
                    let record = idempotent.waiting(vec![account], form, waits_until, now);
                    Ok((done, record))
                }
                Revalidation::TooMany(until) => Err(ApiError::too_many_validations(None, until)),
                Revalidation::BudgetExhausted(until) => Err(ApiError::budget_exhausted(until)),
                Revalidation::Deleted => Err(ApiError::AccountDeleted),
                Revalidation::NotFound => Err(NO_ACCOUNT),
            },
        )
        .await?;
    let (row, outcome) = match written {
        Written::Done(Revalidation::Started(row)) => {
            context.announce(key, row.kind, StartedBy::Validate);
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
