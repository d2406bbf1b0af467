//! `POST …/customer-accounts/{account_id}/validate`, and `…/{account_id}` with `command=delete`.

use std::time::{Duration, Instant};

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use chrono::{SubsecRound, TimeDelta, Utc};
use khata_crypto::secret_buf as wiped;
use khata_domain::ValidationKey;
use khata_domain::routing::Pin;
use khata_domain::{AccountId, AccountKind, Consent, ValidationId};
use khata_queue::Wakeup;
use khata_store::accounts::{self, Deleted, Revalidation, ValidateAgain};
use khata_store::idempotency::{PriorCall, ReplyForm};
use khata_store::merchants::Merchant;
use serde_json::{Map, Value};
use tracing::{Span, field};
use zeroize::Zeroizing;

use super::create::seconds_until;
use super::present::{self, CustomerAccount};
use super::{answer, read, request};
use crate::auth::Caller;
use crate::decode::{Body, Fields};
use crate::error::ApiError;
use crate::idempotency;
use crate::metrics::AskedBy;
use crate::observe::{Observed, Waits};
use crate::openapi;
use crate::state::{State, Written};

/// Validate an account again
///
/// Begins another validation and waits for its outcome, `wait_seconds` at most; one that is under way goes on and is waited
/// for. Counts against the validations that the same details may have in 24 hours.
#[utoipa::path(
    post,
    path = "/customers/{customer_id}/customer-accounts/{account_id}/validate",
    operation_id = "validateAccount",
    tag = "Customer accounts",
    params(openapi::AccountPath),
    request_body(content(
        (openapi::ValidateForm = "application/x-www-form-urlencoded"),
        (openapi::ValidateJson = "application/json"),
    )),
    responses((status = 200, description = "The account.", body = CustomerAccount), openapi::WriteErrors),
)]
pub(crate) async fn validate(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    observed: web::ReqData<Observed>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let form = ReplyForm::Account;
    validate_account(&state, &request, &merchant, &path, &observed, payload, form).await
}

/// What *validate again* is asked.
struct ValidateRequest {
    pin: Option<Pin>,
    consent: Option<Consent>,
    fresh: bool,
    wait: Duration,
}

impl ValidateRequest {
    fn read(body: &Map<String, Value>) -> Result<Self, ApiError> {
        let mut faults = Vec::new();
        let fields = &mut Fields::of(body, &mut faults);
        let names_gateway = fields.has("gateway_id") || fields.has("gateway_reference_id");
        let read = Self {
            pin: names_gateway.then(|| request::pin(fields)),
            consent: request::consent(fields, Utc::now()),
            fresh: request::fresh(fields),
            wait: request::wait(fields),
        };
        if faults.is_empty() {
            Ok(read)
        } else {
            Err(ApiError::Invalid(faults))
        }
    }
}

/// Validates an account again and answers when the outcome is there, or after the wait.
pub(crate) async fn validate_account(
    state: &State,
    request: &HttpRequest,
    merchant: &Merchant,
    path: &(String, String),
    observed: &Observed,
    payload: web::Payload,
    form: ReplyForm,
) -> Result<HttpResponse, ApiError> {
    let body = Body::receive(request, payload).await?;
    let decoded = body.decode()?;
    let wanted = ValidateRequest::read(&decoded)?;
    let (customer, account) = read::names(&path.0, &path.1)?;
    Span::current().record("khata.account_id", field::display(account));
    let idempotent = idempotency::call_of(request, merchant.id, &state.keyring, body.bytes())?;
    if let Some(pin) = &wanted.pin
        && let Err(error) = state.check_gateway(merchant.id, pin).await
    {
        return idempotency::replay_or(state, idempotent, error).await;
    }
    let now = Utc::now().trunc_subsecs(6);
    let until = Instant::now() + wanted.wait;
    let waits_until = (!wanted.wait.is_zero())
        .then(|| now + TimeDelta::from_std(wanted.wait).unwrap_or_default());
    let again = ValidateAgain {
        merchant: merchant.id,
        customer,
        account,
        kind: match form {
            ReplyForm::BankAccount => Some(AccountKind::Bank),
            ReplyForm::Account | ReplyForm::List => None,
        },
        validation: ValidationId::new(),
        pin: wanted.pin,
        consent: wanted
            .consent
            .and_then(|consent| serde_json::to_string(&consent).ok()),
        trace_parent: observed.trace_parent.clone(),
        now,
        deadline_at: now + merchant.validation_deadline(),
        awaited_until: waits_until,
        validations_per_day: merchant.validations_per_account_per_day(),
        fresh: wanted.fresh,
    };
    let key = ValidationKey {
        merchant: merchant.id,
        id: again.validation,
    };
    // Before the commit: nothing of what a worker may do after it can be missed.
    if waits_until.is_some() {
        request.extensions_mut().insert(Waits);
    }
    let begun = waits_until.map(|_| state.outcomes.of_new(key, until));
    let record = idempotent.clone().map(|call| {
        // Also without a wait: the answer is added once it is made.
        idempotency::awaited(&call, vec![account], form, waits_until.unwrap_or(now), now)
    });
    let written = state
        .write_once("insert validation", idempotent.clone(), move |connection| {
            match accounts::validate_again(connection, &again)? {
                done @ (Revalidation::Started(_) | Revalidation::AlreadyOpen(..)) => {
                    Ok((done, record))
                }
                Revalidation::TooMany(until) => Err(ApiError::TooManyValidations {
                    field_name: None,
                    retry_after: seconds_until(until),
                }),
                Revalidation::Deleted => Err(ApiError::AccountDeleted),
                Revalidation::NotFound => Err(read::NO_ACCOUNT),
            }
        })
        .await?;
    let (row, outcome) = match (written, &idempotent) {
        (Written::Done(Revalidation::Started(row)), _) => {
            let kind = row.kind.as_str();
            state.metrics.accepted(merchant.id, kind, AskedBy::Validate);
            state.wakeup_publisher.publish(Wakeup {
                key,
                trace_parent: observed.trace_parent.clone(),
            });
            (row, begun)
        }
        (Written::Done(Revalidation::AlreadyOpen(row, open)), _) => {
            let joined = waits_until.map(|_| state.outcomes.of_open(open, until));
            (row, joined)
        }
        (Written::Before(PriorCall::Interrupted { accounts, form }), Some(call)) => {
            return answer::in_the_place_of(state, call, accounts, form).await;
        }
        (Written::Before(before), Some(call)) => {
            return idempotency::refuse_or_replay(&state.keyring, call, &before);
        }
        _ => return Err(ApiError::Internal),
    };
    let outcome = match outcome {
        Some(outcome) => outcome.wait().await,
        None => None,
    };
    // Begun all the same, where how it stands now could not be read.
    let row = outcome.unwrap_or(*row);
    let account = present::stored(&state.keyring, merchant.id, row)?;
    answer::late(
        state,
        idempotent.as_ref(),
        answer::body(form, vec![account])?,
    )
    .await
}

/// Delete an account
///
/// `command` must be `delete`. A validation that is under way ends without an outcome; get and list no longer show the account.
#[utoipa::path(
    post,
    path = "/customers/{customer_id}/customer-accounts/{account_id}",
    operation_id = "deleteAccount",
    tag = "Customer accounts",
    params(openapi::AccountPath),
    request_body(content(
        (openapi::DeleteBody = "application/x-www-form-urlencoded"),
        (openapi::DeleteBody = "application/json"),
    )),
    responses((status = 200, description = "The account, DELETED.", body = CustomerAccount), openapi::WriteErrors),
)]
pub(crate) async fn delete(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    delete_account(&state, &request, &merchant, &path, payload, |account| {
        Ok(wiped::json(&account))
    })
    .await
}

/// Deletes an account and answers with what `render` makes of it.
pub(crate) async fn delete_account(
    state: &State,
    request: &HttpRequest,
    merchant: &Merchant,
    path: &(String, String),
    payload: web::Payload,
    render: impl FnOnce(CustomerAccount) -> Result<Zeroizing<Vec<u8>>, ApiError> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let body = Body::receive(request, payload).await?;
    match body.decode()?.get("command") {
        Some(Value::String(command)) if command == "delete" => {}
        _ => {
            return Err(ApiError::InvalidCommand {
                known: "command must be delete.",
            });
        }
    }
    let (customer, account): (_, AccountId) = read::names(&path.0, &path.1)?;
    Span::current().record("khata.account_id", field::display(account));
    let idempotent = idempotency::call_of(request, merchant.id, &state.keyring, body.bytes())?;
    let (call, keyring) = (idempotent.clone(), state.keyring.clone());
    let (merchant, now) = (merchant.id, Utc::now().trunc_subsecs(6));
    let written = state
        .write_once("delete account", idempotent.clone(), move |connection| {
            let deleted = accounts::delete(connection, merchant, &customer, account, now)?;
            let Deleted { account, open } = deleted.ok_or(read::NO_ACCOUNT)?;
            let body = render(present::stored(&keyring, merchant, account)?)?;
            let record = call.map(|call| idempotency::answered(&call, &keyring, &body, now));
            Ok(((body, open), record))
        })
        .await?;
    match (written, idempotent) {
        (Written::Done((body, open)), _) => {
            // A worker then ends the validation at once and not when its time comes.
            if let Some((key, trace_parent)) = open {
                state.wakeup_publisher.publish(Wakeup { key, trace_parent });
            }
            Ok(idempotency::first(body))
        }
        (Written::Before(before), Some(call)) => {
            idempotency::refuse_or_replay(&state.keyring, &call, &before)
        }
        (Written::Before(_), None) => Err(ApiError::Internal),
    }
}
