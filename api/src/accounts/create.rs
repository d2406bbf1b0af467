//! `POST /customers/{customer_id}/accounts`: read and validate the request, encrypt, commit with the group, publish wake-ups,
//! and reply at once or when the outcomes are known.

use std::sync::Arc;
use std::time::Instant;

use actix_web::HttpResponse;
use chrono::{DateTime, SubsecRound, Utc};
use futures_util::future::{OptionFuture, join_all};
use khata_crypto::{Keyring, Purpose};
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountId, MerchantId, ValidationId, ValidationKey};
use khata_store::accounts::{CreateAccounts, Created, CreatedAccount, Limited, NewAccount};
use khata_store::idempotency::ReplyForm;
use khata_telemetry as telemetry;
use tracing::{Instrument, Span, field};

use super::request::{CreateRequest, RequestedAccount};
use crate::context::RequestContext;
use crate::create_commits::{Committed, CreateCall};
use crate::error::{ApiError, NO_CUSTOMER};
use crate::idempotency::Written;
use crate::metrics::StartedBy;
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
    let flat = request.flat;
    let form = if flat {
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
    let reason = "must be a customer id, or 1 to 128 visible ASCII characters";
    let customer = context.named_customer();
    let customer = customer.ok_or_else(|| ApiError::field("customer_id", reason))?;
    context.take_accounts(request.accounts.len())?;
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
    let outcomes = announce(context, &new, &created)?;
    if let Some(body) = body {
        return Ok(reply::ok(body));
    }
    let mut accounts = new.present(&created)?;
    if let Some(until) = wait_ends {
        accounts = wait_for_outcomes(context, outcomes, new_outcomes, accounts, until).await?;
    }
    let body = present::body(form, accounts)?;
    if wait_ends.is_none() {
        return Ok(reply::ok(body));
    }
    idempotent.finish(body).await
}

/// Publishes a wake-up for each new validation and returns the accounts, or returns why nothing was stored.
fn announce<'a>(
    context: &RequestContext,
    new: &NewAccounts,
    created: &'a Created,
) -> Result<&'a [CreatedAccount], ApiError> {
    let requested = &new.request.accounts;
    let (customer, accounts) = match created {
        Created::Accounts {
            customer, accounts, ..
        } => (customer, accounts),
        Created::UnknownCustomer => return Err(NO_CUSTOMER),
        Created::Limited(Limited::PennyDrops { until }) => {
            return Err(ApiError::budget_exhausted(*until));
        }
        Created::Limited(Limited::Validations { account, until }) => {
            let named = requested.get(*account);
            let name = named.map(|account| account.name.clone());
            return Err(ApiError::too_many_validations(name, *until));
        }
    };
    let span = Span::current();
    span.record("khata.customer_id", field::display(customer));
    if context.observed.routing_id.is_none() {
        span.record("khata.routing_id", field::display(customer));
    }
    span.record("khata.accounts", new.keys.len());
    if let [(account, _)] = &new.keys[..] {
        span.record("khata.account_id", field::display(account));
    }
    for (((_, key), outcome), account) in new.keys.iter().zip(accounts).zip(requested) {
        if let CreatedAccount::New = outcome {
            context.announce(*key, account.details.kind(), StartedBy::Create);
        }
    }
    Ok(accounts)
}

/// Waits for the outcome of each account, and returns the accounts as they are then.
async fn wait_for_outcomes(
    context: &RequestContext,
    created: &[CreatedAccount],
    new_outcomes: Vec<Outcome>,
    accounts: Vec<CustomerAccount>,
    until: Instant,
) -> Result<Vec<CustomerAccount>, ApiError> {
    let (state, merchant) = (&context.state, context.merchant_id());
    let waits = created.iter().zip(new_outcomes).zip(accounts);
    let waits = waits.map(|((created, new), account)| {
        let outcome = match created {
            CreatedAccount::New => Some(new),
            CreatedAccount::Existing(row) => row.open_validation().map(|open| {
                context.hurry(open);
                state.outcomes.wait_for_open(open, until)
            }),
        };
        async move {
            match OptionFuture::from(outcome.map(Outcome::wait))
                .await
                .flatten()
            {
                Some(row) => present::stored(&state.keyring, merchant, row),
                // No validation is open, or the current state of the stored account could not be read.
                None => Ok(account),
            }
        }
    });
    join_all(waits).await.into_iter().collect()
}

/// The accounts of one create call: encrypted for the store, and presented once they are committed.
struct NewAccounts {
    keyring: Arc<Keyring>,
    merchant: MerchantId,
    created_at: DateTime<Utc>,
    request: CreateRequest,
    /// Id and first validation of each account, in the order of the call.
    keys: Vec<(AccountId, ValidationKey)>,
}

impl NewAccounts {
    /// Encrypts the accounts of a call. Returns the call as the store takes it, too.
    fn encrypt(
        context: &RequestContext,
        customer: CustomerRef,
        request: CreateRequest,
    ) -> (Self, CreateAccounts) {
        // Postgres keeps microseconds, and a later read must return the same time.
        let now = Utc::now().trunc_subsecs(6);
        let (keyring, merchant) = (Arc::clone(&context.state.keyring), context.merchant_id());
        let encrypt = |account| encrypt(&keyring, merchant, account);
        let accounts: Vec<_> = request.accounts.iter().map(encrypt).collect();
        let key = |account: &NewAccount| {
            let id = account.validation;
            (account.id, ValidationKey { merchant, id })
        };
        let keys = accounts.iter().map(key).collect();
        let stored = request.to_store(context, customer, accounts, now);
        let new = Self {
            keyring,
            merchant,
            created_at: now,
            request,
            keys,
        };
        (new, stored)
    }

    /// The accounts right after their commit.
    fn present(&self, created: &Created) -> Result<Vec<CustomerAccount>, ApiError> {
        let Created::Accounts {
            customer,
            object_reference_id,
            accounts,
        } = created
        else {
            return Err(ApiError::Internal);
        };
        let request = &self.request;
        let (pin, metadata) = (&request.options.pin, &request.metadata);
        let new = present::created(
            *customer,
            object_reference_id,
            self.created_at,
            pin,
            metadata,
        );
        self.keys
            .iter()
            .zip(&request.accounts)
            .zip(accounts)
            .map(|(((id, _), requested), outcome)| match outcome {
                CreatedAccount::Existing(row) => {
                    present::stored(&self.keyring, self.merchant, (**row).clone())
                }
                CreatedAccount::New => Ok(new(*id, &requested.details, bank_code(requested))),
            })
            .collect()
    }
}

fn bank_code(account: &RequestedAccount) -> Option<String> {
    let code = account.bank_code.as_ref();
    code.map(|code| code.as_str().to_owned())
}

fn encrypt(keyring: &Keyring, merchant: MerchantId, account: &RequestedAccount) -> NewAccount {
    let id = AccountId::new();
    let plaintext = account.details.to_plaintext();
    NewAccount {
        id,
        validation: ValidationId::new(),
        kind: account.details.kind(),
        sealed_details: keyring.encrypt(merchant, id.0, Purpose::Details, &plaintext),
        fingerprint: keyring.fingerprint(merchant, &account.details),
        masked: account.details.masked(),
        bank_code: bank_code(account),
    }
}
