//! `POST /customers/{customer_id}/accounts`: decode, validate all, seal, commit with the group, wakeup, and answer: at once, or
//! when the outcomes are there.

use std::sync::Arc;
use std::time::Instant;

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use chrono::{SubsecRound, TimeDelta, Utc};
use futures_util::future::join_all;
use khata_crypto::{Keyring, Purpose};
use khata_domain::ValidationKey;
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountId, MerchantId, ValidationId};
use khata_queue::Wakeup;
use khata_store::accounts::{CreateAccounts, Created, CreatedAccount, NewAccount};
use khata_store::idempotency::{PriorCall, ReplyForm};
use khata_store::merchants::Merchant;
use khata_telemetry as telemetry;
use tracing::{Instrument, Span, field};
use zeroize::Zeroizing;

use super::answer;
use super::present::{self, CustomerAccount, Fresh};
use super::request::{Command, CreateRequest, RequestedAccount};
use crate::auth::Caller;
use crate::create_commits::{CreateCall, Outcome};
use crate::decode::Body;
use crate::error::ApiError;
use crate::idempotency;
use crate::metrics::AskedBy;
use crate::observe::{Observed, Waits};
use crate::openapi;
use crate::state::State;

/// Create accounts, or create and validate them
///
/// One account in flat fields answers one account; `bank_account_details` and `upi_details` answer a list, in the order of the
/// call, bank accounts first. All or nothing: one fault, and nothing is stored. The same account as a live one of this
/// customer answers that one. A customer reference that is not known is registered. With `command=validate` the call waits for
/// the outcomes, `wait_seconds` at most.
#[utoipa::path(
    post,
    path = "/customers/{customer_id}/accounts",
    operation_id = "createAccounts",
    tag = "Customer accounts",
    params(openapi::CustomerPath),
    request_body(content(
        (openapi::CreateAccountsForm = "application/x-www-form-urlencoded"),
        (openapi::CreateAccountsJson = "application/json"),
    )),
    responses((status = 200, description = "The account, or the list of them.", body = openapi::Created), openapi::WriteErrors),
)]
pub(crate) async fn create(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
    observed: web::ReqData<Observed>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let body = Body::receive(&request, payload).await?;
    let decoded = body.decode()?;
    let call = CreateRequest::read(&decoded, Utc::now())?;
    let form = if call.flat {
        ReplyForm::Account
    } else {
        ReplyForm::List
    };
    carry_out(
        &state, &request, &merchant, &path, &observed, &body, call, form,
    )
    .await
}

/// Carries out a call that has been read, of this family or of the deprecated one.
#[allow(clippy::too_many_arguments)]
pub(crate) async fn carry_out(
    state: &State,
    request: &HttpRequest,
    merchant: &Merchant,
    customer: &str,
    observed: &Observed,
    body: &Body,
    call: CreateRequest,
    form: ReplyForm,
) -> Result<HttpResponse, ApiError> {
    let customer = CustomerRef::parse(customer).ok_or_else(|| {
        ApiError::field(
            "customer_id",
            "must be a customer id, or 1 to 128 visible ASCII characters",
        )
    })?;
    let idempotent = idempotency::call_of(request, merchant.id, &state.keyring, body.bytes())?;
    if let Err(error) = state.check_gateway(merchant.id, &call.pin).await {
        return idempotency::replay_or(state, idempotent, error).await;
    }
    let create = prepare(state, merchant, customer, observed, call, form, idempotent);
    let keys: Vec<(AccountId, ValidationKey)> = create
        .stored
        .accounts
        .iter()
        .map(|account| (account.id, key_of(merchant.id, account.validation)))
        .collect();
    let until = waits_until(create.request.command);
    if until.is_some() {
        request.extensions_mut().insert(Waits);
    }
    // Before the commit: nothing of what a worker may do after it can be missed.
    let begun: Vec<_> = until.map_or_else(Vec::new, |until| {
        keys.iter()
            .map(|(_, key)| state.outcomes.of_new(*key, until))
            .collect()
    });
    let (call, idempotent) = (Arc::clone(&create.request), create.idempotent.clone());
    let now = create.stored.created_at;
    let submitted = state.lane.submit(create);
    let committed = submitted
        .instrument(telemetry::database("commit accounts"))
        .await?;
    let (created, rendered) = match (committed, &idempotent) {
        (Outcome::Done { created, body }, _) => (created, body),
        (Outcome::Before(PriorCall::Interrupted { accounts, form }), Some(idempotent)) => {
            return answer::in_the_place_of(state, idempotent, accounts, form).await;
        }
        (Outcome::Before(before), Some(idempotent)) => {
            return idempotency::refuse_or_replay(&state.keyring, idempotent, &before);
        }
        (Outcome::Before(_), None) | (Outcome::Broken, _) => return Err(ApiError::Internal),
    };
    let outcomes = match &created {
        Created::Accounts { accounts, .. } => accounts,
        Created::UnknownCustomer => return Err(ApiError::NotFound("There is no such customer.")),
        Created::TooManyValidations { account, until } => {
            return Err(ApiError::TooManyValidations {
                field_name: call
                    .accounts
                    .get(*account)
                    .map(|account| account.name.clone()),
                retry_after: seconds_until(*until),
            });
        }
    };
    record(&created, &keys, observed);
    for (((_, key), outcome), account) in keys.iter().zip(outcomes).zip(&call.accounts) {
        if let CreatedAccount::New = outcome {
            let kind = account.details.kind().as_str();
            state.metrics.accepted(key.merchant, kind, AskedBy::Create);
            state.wakeup_publisher.publish(Wakeup {
                key: *key,
                trace_parent: observed.trace_parent.clone(),
            });
        }
    }
    if let Some(body) = rendered {
        return Ok(idempotency::first(body));
    }
    let accounts = present_created(&state.keyring, merchant.id, &keys, &call, now, &created)?;
    let Some(until) = until else {
        return Ok(idempotency::first(answer::body(form, accounts)?));
    };
    let waited = outcomes
        .iter()
        .zip(begun)
        .zip(accounts)
        .map(|((outcome, begun), account)| {
            let awaited = match outcome {
                CreatedAccount::New => Some(begun),
                CreatedAccount::Existing(row) => row
                    .open_validation(merchant.id)
                    .map(|open| state.outcomes.of_open(open, until)),
            };
            async move {
                match awaited {
                    None => Ok(account),
                    Some(outcome) => match outcome.wait().await {
                        Some(row) => present::stored(&state.keyring, merchant.id, row),
                        // Stored all the same; how it stands now could not be read.
                        None => Ok(account),
                    },
                }
            }
        });
    let accounts = join_all(waited)
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    answer::late(state, idempotent.as_ref(), answer::body(form, accounts)?).await
}

/// The call, sealed and ready for the lane.
fn prepare(
    state: &State,
    merchant: &Merchant,
    customer: CustomerRef,
    observed: &Observed,
    call: CreateRequest,
    form: ReplyForm,
    idempotent: Option<khata_store::idempotency::IdempotentCall>,
) -> CreateCall {
    // Postgres keeps microseconds; what is answered now and what is read later are the same time.
    let now = Utc::now().trunc_subsecs(6);
    let waits_until = match call.command {
        Command::Validate(wait) if !wait.is_zero() => {
            Some(now + TimeDelta::from_std(wait).unwrap_or_default())
        }
        _ => None,
    };
    let stored = CreateAccounts {
        merchant: merchant.id,
        customer,
        implicit_customer: merchant.implicit_customers,
        pin: call.pin.clone(),
        metadata: serde_json::to_string(&call.metadata).unwrap_or_else(|_| "{}".into()),
        consent: call
            .consent
            .as_ref()
            .and_then(|consent| serde_json::to_string(consent).ok()),
        routing_id: observed.routing_id.clone(),
        trace_parent: observed.trace_parent.clone(),
        created_at: now,
        deadline_at: now + merchant.validation_deadline(),
        awaited_until: waits_until,
        validations_per_day: merchant.validations_per_account_per_day(),
        fresh: call.fresh,
        accounts: call
            .accounts
            .iter()
            .map(|account| seal(state, merchant.id, account))
            .collect(),
    };
    CreateCall {
        stored,
        request: Arc::new(call),
        form,
        idempotent,
        waits_until,
    }
}

/// The answer to a call that waits for nothing.
pub(crate) fn render_created(
    keyring: &Keyring,
    call: &CreateCall,
    created: &Created,
) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let merchant = call.stored.merchant;
    let accounts = call.stored.accounts.iter();
    let keys: Vec<_> = accounts
        .map(|account| (account.id, key_of(merchant, account.validation)))
        .collect();
    let now = call.stored.created_at;
    let accounts = present_created(keyring, merchant, &keys, &call.request, now, created)?;
    answer::body(call.form, accounts)
}

/// The accounts of a call as they stand right after its commit.
fn present_created(
    keyring: &Keyring,
    merchant: MerchantId,
    keys: &[(AccountId, ValidationKey)],
    call: &CreateRequest,
    now: chrono::DateTime<Utc>,
    created: &Created,
) -> Result<Vec<CustomerAccount>, ApiError> {
    let Created::Accounts {
        customer,
        object_reference_id,
        accounts,
    } = created
    else {
        return Err(ApiError::Internal);
    };
    let customer_id = customer.to_string();
    let present = |(((account, _), requested), outcome): (
        (&(AccountId, ValidationKey), &RequestedAccount),
        &CreatedAccount,
    )| match outcome {
        CreatedAccount::Existing(row) => present::stored(keyring, merchant, (**row).clone()),
        CreatedAccount::New => Ok(Fresh {
            id: account.to_string(),
            customer_id: &customer_id,
            object_reference_id,
            created_at: now,
            details: &requested.details,
            bank_code: requested
                .bank_code
                .as_ref()
                .map(|code| code.as_str().to_owned()),
            gateway_id: call.pin.gateway_id,
            gateway_reference_id: call.pin.reference_id.clone(),
            metadata: &call.metadata,
        }
        .present()),
    };
    keys.iter()
        .zip(&call.accounts)
        .zip(accounts)
        .map(present)
        .collect()
}

/// Names the accounts on the request's span.
fn record(created: &Created, keys: &[(AccountId, ValidationKey)], observed: &Observed) {
    let Created::Accounts { customer, .. } = created else {
        return;
    };
    let span = Span::current();
    span.record("khata.customer_id", field::display(customer));
    if observed.routing_id.is_none() {
        span.record("khata.routing_id", field::display(customer));
    }
    span.record("khata.accounts", keys.len());
    if let [(account, _)] = keys {
        span.record("khata.account_id", field::display(account));
    }
}

fn key_of(merchant: MerchantId, id: ValidationId) -> ValidationKey {
    ValidationKey { merchant, id }
}

/// When a call that validates stops waiting.
fn waits_until(command: Command) -> Option<Instant> {
    match command {
        Command::Validate(wait) if !wait.is_zero() => Some(Instant::now() + wait),
        _ => None,
    }
}

/// Whole seconds from now, at least one.
pub(super) fn seconds_until(time: chrono::DateTime<Utc>) -> u64 {
    let left = (time - Utc::now()).num_seconds() + 1;
    u64::try_from(left).unwrap_or(1).max(1)
}

fn seal(state: &State, merchant: MerchantId, account: &RequestedAccount) -> NewAccount {
    let id = AccountId::new();
    NewAccount {
        id,
        validation: ValidationId::new(),
        kind: account.details.kind(),
        sealed_details: state.keyring.encrypt(
            merchant,
            id.0,
            Purpose::Details,
            &account.details.to_plaintext(),
        ),
        fingerprint: state.keyring.fingerprint(merchant, &account.details),
        masked: account.details.masked(),
        bank_code: account
            .bank_code
            .as_ref()
            .map(|code| code.as_str().to_owned()),
    }
}
