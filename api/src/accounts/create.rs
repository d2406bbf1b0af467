//! `POST /customers/{customer_id}/accounts`: read and validate the request, encrypt, commit with the group, publish wake-ups,
//! and reply at once or when the outcomes are known.

use std::sync::Arc;
use std::time::Instant;

use actix_web::HttpResponse;
use chrono::Utc;
use futures_util::future::join_all;
use khata_domain::{AccountId, ValidationKey};
use khata_store::accounts::{Created, CreatedAccount};
use khata_store::idempotency::ReplyForm;
use khata_telemetry as telemetry;
use tracing::{Instrument, Span, field};

use super::new_accounts::NewAccounts;
use super::request::CreateRequest;
use crate::context::RequestContext;
use crate::create_commits::{Committed, CreateCall};
use crate::error::{ApiError, NO_CUSTOMER};
use crate::idempotency::Written;
use crate::outcomes::Outcome;
use crate::present::{self, CustomerAccount};
use crate::{reply, schema};

/// Create accounts, or create and validate them
///
/// One account in flat fields returns one account; `bank_account_details` and `upi_details` return a list in the order of the
/// call, bank accounts first. The call is all-or-nothing: if one field is invalid, nothing is stored. If the customer already has an
/// account, the existing one is returned. An unknown customer reference is registered. With `command=validate` the call waits
/// for the outcomes, at most `wait_seconds`.
#[utoipa::path(post, path = "/customers/{customer_id}/accounts", operation_id = "createAccounts",
    tag = "Customer accounts", params(schema::CustomerPath),
    request_body(content((schema::CreateAccountsForm = "application/x-www-form-urlencoded"), (schema::CreateAccountsJson = "application/json"))),
    responses((status = 200, description = "The account, or the list of them.", body = present::Created)))]
pub(crate) async fn create(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    let request = CreateRequest::read(&context.receive().await?, Utc::now())?;
    let form = if request.flat {
        ReplyForm::Account
    } else {
        ReplyForm::List
    };
    create_accounts(&context, request, form).await
}

/// Creates the accounts of a call of either family.
pub(crate) async fn create_accounts(
    context: &RequestContext,
    request: CreateRequest,
    form: ReplyForm,
) -> Result<HttpResponse, ApiError> {
    let customer = context.named_customer().ok_or_else(|| {
        ApiError::field(
            "customer_id",
            "must be a customer id, or 1 to 128 visible ASCII characters",
        )
    })?;
    let idempotent = context.idempotent()?;
    let state = &context.state;
    if let Err(error) = context.check_gateway(&request.options.pin).await {
        return idempotent.replay_or(error).await;
    }
    let wait_ends = request.wait.map(|wait| Instant::now() + wait);
    let (new, stored) = NewAccounts::encrypt(context, customer, request);
    let new = Arc::new(new);
    // Register before the commit, so that no outcome of a fast worker is missed.
    let new_outcomes: Vec<Outcome> = wait_ends.map_or_else(Vec::new, |until| {
        context.mark_waiting();
        let wait = |(_, key): &(_, ValidationKey)| state.outcomes.wait_for_new(*key, until);
        new.keys.iter().map(wait).collect()
    });
    let rendered = Arc::clone(&new);
    let submitted = state.creates.submit(CreateCall {
        stored,
        idempotent: idempotent.clone(),
        form,
        render: Box::new(move |created| present::body(form, rendered.present(created)?)),
    });
    let execution = submitted
        .instrument(telemetry::database("commit accounts"))
        .await?;
    let Committed { created, body } = match idempotent.conclude(execution).await? {
        Written::Done(committed) => committed?,
        Written::Reply(reply) => return Ok(reply),
    };
    announce(context, &new, &created)?;
    if let Some(body) = body {
        return Ok(reply::ok(body));
    }
    let mut accounts = new.present(&created)?;
    if let Some(until) = wait_ends {
        accounts = wait_for_outcomes(context, &created, new_outcomes, accounts, until).await?;
    }
    let body = present::body(form, accounts)?;
    if wait_ends.is_none() {
        return Ok(reply::ok(body));
    }
    idempotent.finish(body).await
}

/// Publishes a wake-up for each new validation, or returns why nothing was stored.
fn announce(
    context: &RequestContext,
    new: &NewAccounts,
    created: &Created,
) -> Result<(), ApiError> {
    let accounts = match created {
        Created::Accounts {
            customer, accounts, ..
        } => {
            record_ids(context, customer, &new.keys);
            accounts
        }
        Created::UnknownCustomer => return Err(NO_CUSTOMER),
        Created::TooManyValidations { account, until } => {
            let named = new.requested().get(*account);
            let name = named.map(|account| account.name.clone());
            return Err(ApiError::too_many_validations(name, *until));
        }
    };
    for (((_, key), outcome), account) in new.keys.iter().zip(accounts).zip(new.requested()) {
        if let CreatedAccount::New = outcome {
            context.announce(*key, account.details.kind(), "create");
        }
    }
    Ok(())
}

/// Waits for the outcome of each account, and returns the accounts as they are then.
async fn wait_for_outcomes(
    context: &RequestContext,
    created: &Created,
    new_outcomes: Vec<Outcome>,
    accounts: Vec<CustomerAccount>,
    until: Instant,
) -> Result<Vec<CustomerAccount>, ApiError> {
    let Created::Accounts {
        accounts: outcomes, ..
    } = created
    else {
        return Err(ApiError::Internal);
    };
    let (state, merchant) = (&context.state, context.merchant_id());
    let waits = outcomes
        .iter()
        .zip(new_outcomes)
        .zip(accounts)
        .map(|((outcome, new), account)| {
            let outcome = match outcome {
                CreatedAccount::New => Some(new),
                CreatedAccount::Existing(row) => row
                    .open_validation(merchant)
                    .map(|open| state.outcomes.wait_for_open(open, until)),
            };
            async move {
                let Some(outcome) = outcome else {
                    return Ok(account);
                };
                match outcome.wait().await {
                    Some(row) => present::stored(&state.keyring, merchant, row),
                    // The account is stored even if its current state could not be read.
                    None => Ok(account),
                }
            }
        });
    join_all(waits).await.into_iter().collect()
}

/// Records the ids of the accounts on the request's span.
fn record_ids(
    context: &RequestContext,
    customer: &khata_domain::CustomerId,
    keys: &[(AccountId, ValidationKey)],
) {
    let span = Span::current();
    span.record("khata.customer_id", field::display(customer));
    if context.observed.routing_id.is_none() {
        span.record("khata.routing_id", field::display(customer));
    }
    span.record("khata.accounts", keys.len());
    if let [(account, _)] = keys {
        span.record("khata.account_id", field::display(account));
    }
}
