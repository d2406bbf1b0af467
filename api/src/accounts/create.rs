//! `POST /customers/{customer_id}/accounts`: read and validate the request, encrypt, commit with the group, publish wake-ups,
//! and reply at once or when the outcomes are known.

use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use chrono::{DateTime, Utc};
use futures_util::future::{OptionFuture, join_all};
use khata_crypto::{Keyring, Purpose};
use khata_domain::failpoints::{self, Failpoint};
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountId, CustomerId, MerchantId, ValidationId, ValidationKey};
use khata_store::accounts::{
    self, AccountRow, CreateAccounts, Created, CreatedAccount, NewAccount,
};
use khata_store::idempotency::ReplyForm;
use khata_store::webhooks::AccountUrl;
use khata_telemetry as telemetry;
use tracing::{Instrument, Span, field};

use super::request::{CreateRequest, RequestedAccount};
use crate::context::RequestContext;
use crate::create_commits::CreateCall;
use crate::error::{ApiError, NO_CUSTOMER};
use crate::idempotency::Written;
use crate::metrics::StartedBy;
use crate::outcomes::Outcome;
use crate::present::{self, CustomerAccount};
use crate::{reply, schema};

/// Longest time from the start of a commit to a reply that needs no wait.
const REPLY_WITHIN: Duration = Duration::from_millis(2_800);

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
    let body = context.receive().await?;
    let state = &context.state;
    let now = state.metrics.database_time();
    let request = CreateRequest::read(&body, now, state.sandbox_mode)?;
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
    let customer = context.new_customer()?;
    context.take_accounts(request.accounts.len())?;
    let idempotent = context.idempotent()?;
    let state = &context.state;
    let checked = async {
        let pin = Some(&request.options.pin);
        context.check(&idempotent, pin).await?;
        context.account_url(request.webhook_url.as_ref()).await
    };
    let account_url = match checked.await {
        Ok(account_url) => account_url,
        Err(error) => {
            return match idempotent.earlier_or(error).await? {
                Written::Created(rows) => reply_again(&request, form, &rows),
                earlier => earlier.into_reply(),
            };
        }
    };
    let begun = Instant::now();
    let wait_ends = request.wait.map(|wait| begun + wait);
    let (new, stored) = NewAccounts::encrypt(context, customer, request, account_url.as_ref());
    let mut memory = wait_ends.map(|_| state.in_progress.bodies.of(context.merchant_id()));
    if let Some(memory) = &mut memory {
        // A call that waits keeps its accounts.
        memory.take_memory(stored.weight().bytes)?;
    }
    // Register before the commit, so that no outcome of a fast worker is missed.
    let new_outcomes: Vec<Outcome> = wait_ends.map_or_else(Vec::new, |until| {
        context.mark_waiting();
        let wait = |(_, key): &(_, ValidationKey)| state.outcomes.wait_for_new(*key, until);
        new.keys.iter().map(wait).collect()
    });
    let submitted = state.creates.submit(CreateCall {
        stored,
        idempotent: idempotent.clone(),
        form,
        shows_validations: new.request.validates,
    });
    let execution = submitted
        .instrument(telemetry::database("commit accounts"))
        .await?;
    let created = match idempotent.conclude(execution).await? {
        Written::Done(created) => created,
        Written::Created(rows) => return reply_again(&new.request, form, &rows),
        earlier @ Written::Reply(_) => return earlier.into_reply(),
    };
    failpoints::pass(Failpoint::CREATE_BEFORE_PUBLISH).await;
    let stored = announce(context, &new, created)?;
    let large = read_large(context, &stored.accounts, begun + REPLY_WITHIN).await?;
    let mut accounts = new.present(&stored, large)?;
    if let Some(until) = wait_ends {
        accounts =
            wait_for_outcomes(context, &stored.accounts, new_outcomes, accounts, until).await?;
    } else if stored.are_new() && !new.request.validates {
        // The transaction recorded the reply.
        return Ok(reply::ok(present::body(form, accounts)?));
    }
    idempotent.finish(form, accounts).await
}

/// The reply of an earlier call with the same body, which created these accounts: as they were then.
fn reply_again(
    request: &CreateRequest,
    form: ReplyForm,
    rows: &[AccountRow],
) -> Result<HttpResponse, ApiError> {
    if rows.len() != request.accounts.len() {
        tracing::error!("an account of a recorded reply does not exist any more");
        return Err(ApiError::Internal);
    }
    let (pin, metadata) = (&request.options.pin, &request.metadata);
    let created = |(row, requested): (&AccountRow, &RequestedAccount)| {
        let reference = &row.object_reference_id;
        let created = present::created(row.customer, reference, row.created_at, pin, metadata);
        created(row.id, &requested.details, bank_code(requested), None)
    };
    let accounts = rows.iter().zip(&request.accounts).map(created).collect();
    Ok(reply::replayed(present::body(form, accounts)?))
}

/// Reads the existing accounts with large metadata, after the commit. The time limit is that of the whole call.
async fn read_large(
    context: &RequestContext,
    outcomes: &[CreatedAccount],
    until: Instant,
) -> Result<Vec<AccountRow>, ApiError> {
    let large = outcomes.iter().filter_map(|outcome| match outcome {
        CreatedAccount::Existing(row) if row.lacks_metadata() => Some(row.id),
        CreatedAccount::New | CreatedAccount::Existing(_) => None,
    });
    let large: Vec<AccountId> = large.collect();
    if large.is_empty() {
        return Ok(Vec::new());
    }
    let merchant = context.merchant_id();
    let read = context.database.read("find accounts", move |connection| {
        accounts::find_many(connection, merchant, &large)
    });
    let read = tokio::time::timeout_at(until.into(), read).await;
    // The accounts are stored already.
    read.unwrap_or(Err(ApiError::Unavailable))
        .map_err(|_| ApiError::Unknown)
}

/// The stored accounts of a call.
struct Stored {
    customer: CustomerId,
    object_reference_id: String,
    /// When the new accounts were created.
    created_at: DateTime<Utc>,
    /// One per requested account.
    accounts: Vec<CreatedAccount>,
}

impl Stored {
    /// Whether the call created all of its accounts.
    fn are_new(&self) -> bool {
        let mut accounts = self.accounts.iter();
        accounts.all(|account| matches!(account, CreatedAccount::New))
    }
}

/// Publishes a wake-up for each new validation, signals the deliveries of events, and returns the accounts, or returns why nothing was
/// stored.
fn announce(
    context: &RequestContext,
    new: &NewAccounts<'_>,
    created: Created,
) -> Result<Stored, ApiError> {
    let requested = &new.request.accounts;
    let stored = match created {
        Created::Accounts {
            customer,
            object_reference_id,
            created_at,
            accounts,
            has_deliveries,
        } => {
            if has_deliveries {
                context.signal_deliveries();
            }
            Stored {
                customer,
                object_reference_id,
                created_at,
                accounts,
            }
        }
        Created::UnknownCustomer => return Err(NO_CUSTOMER),
        Created::Limited(limited) => {
            let name = |account: usize| Some(requested.get(account)?.name.clone());
            return Err(ApiError::limited(limited, name));
        }
        // `Creates` submits the call again.
        Created::Busy => return Err(ApiError::Internal),
    };
    let customer = stored.customer.to_string();
    let span = Span::current();
    span.record("khata.customer_id", &*customer);
    if context.observed.routing_id.is_none() {
        span.record("khata.routing_id", &*customer);
    }
    span.record("khata.accounts", new.keys.len());
    if let [(account, _)] = &new.keys[..] {
        span.record("khata.account_id", field::display(account));
    }
    let outcomes = new.keys.iter().zip(&stored.accounts);
    for (((_, key), outcome), account) in outcomes.zip(requested) {
        if let CreatedAccount::New = outcome {
            context.announce(*key, account.details.kind(), StartedBy::Create);
        }
    }
    Ok(stored)
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
struct NewAccounts<'a> {
    context: &'a RequestContext,
    request: CreateRequest,
    /// Id and first validation of each account, in the order of the call.
    keys: Vec<(AccountId, ValidationKey)>,
}

impl<'a> NewAccounts<'a> {
    /// Encrypts the accounts of a call. Returns the call as the store takes it, too.
    fn encrypt(
        context: &'a RequestContext,
        customer: CustomerRef,
        request: CreateRequest,
        url: Option<&AccountUrl>,
    ) -> (Self, CreateAccounts) {
        let (keyring, merchant) = (&context.state.keyring, context.merchant_id());
        let encrypt = |account| encrypt(keyring, merchant, account, url);
        let accounts: Vec<_> = request.accounts.iter().map(encrypt).collect();
        let key = |account: &NewAccount| {
            let id = account.validation;
            (account.id, ValidationKey { merchant, id })
        };
        let keys = accounts.iter().map(key).collect();
        let stored = request.to_store(context, customer, accounts);
        let new = Self {
            context,
            request,
            keys,
        };
        (new, stored)
    }

    /// The accounts after their commit: new ones as they were created, existing ones as they were read, `large` ones afterwards.
    fn present(
        &self,
        stored: &Stored,
        large: Vec<AccountRow>,
    ) -> Result<Vec<CustomerAccount>, ApiError> {
        let (keyring, merchant) = (&self.context.state.keyring, self.context.merchant_id());
        let request = &self.request;
        let (pin, metadata) = (&request.options.pin, &request.metadata);
        let reference = &stored.object_reference_id;
        let new = present::created(stored.customer, reference, stored.created_at, pin, metadata);
        let mut large = large.into_iter();
        self.keys
            .iter()
            .zip(&request.accounts)
            .zip(&stored.accounts)
            .map(|(((id, key), requested), outcome)| match outcome {
                CreatedAccount::New => {
                    let validation = request.validates.then_some(key.id);
                    Ok(new(
                        *id,
                        &requested.details,
                        bank_code(requested),
                        validation,
                    ))
                }
                CreatedAccount::Existing(row) if row.lacks_metadata() => {
                    let whole = large.next().filter(|whole| whole.id == row.id);
                    present::stored(keyring, merchant, whole.ok_or(ApiError::Internal)?)
                }
                CreatedAccount::Existing(row) => {
                    present::stored(keyring, merchant, (**row).clone())
                }
            })
            .collect()
    }
}

fn bank_code(account: &RequestedAccount) -> Option<String> {
    let code = account.bank_code.as_ref();
    code.map(|code| code.as_str().to_owned())
}

fn encrypt(
    keyring: &Keyring,
    merchant: MerchantId,
    account: &RequestedAccount,
    url: Option<&AccountUrl>,
) -> NewAccount {
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
        sealed_webhook_url: url.map(|url| url.seal(keyring, merchant, id)),
    }
}
