//! `POST /customers/{customer_id}/accounts`: decode, validate all, seal, commit with the group, answer; then ring.

use actix_web::{HttpRequest, HttpResponse, web};
use chrono::{SubsecRound, Utc};
use khata_shared::broker::Ring;
use khata_shared::crypto::Purpose;
use khata_shared::domain::ids::CustomerRef;
use khata_shared::domain::{AccountId, ValidationId};
use khata_shared::store::accounts::{CreateAccounts, Created, CreatedAccount, NewAccount};
use khata_shared::store::validations::ValidationKey;
use tracing::{Instrument, Span, field};

use super::present::{self, CustomerAccount, Fresh, List};
use super::request::{CreateRequest, RequestedAccount};
use crate::auth::Caller;
use crate::decode::read_body;
use crate::error::ApiError;
use crate::observe::Observed;
use crate::state::State;

pub(super) async fn create(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
    observed: web::ReqData<Observed>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let body = read_body(&request, payload).await?;
    let customer = CustomerRef::parse(&path).ok_or_else(|| {
        ApiError::field(
            "customer_id",
            "must be a customer id, or 1 to 128 visible ASCII characters",
        )
    })?;
    // Postgres keeps microseconds; what is answered now and what is read later are the same time.
    let now = Utc::now().trunc_subsecs(6);
    let call = CreateRequest::read(&body, now)?;
    check_gateway(&state, merchant.id(), &call).await?;
    let accounts = call
        .accounts
        .iter()
        .map(|account| seal(&state, merchant.id(), account))
        .collect::<Vec<_>>();
    let keys: Vec<(AccountId, ValidationId)> = accounts
        .iter()
        .map(|account| (account.id, account.validation))
        .collect();
    let observed = observed.into_inner();
    let stored = CreateAccounts {
        merchant: merchant.id(),
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
        accounts,
    };
    let created = state
        .lane
        .submit(stored)
        .instrument(commit_span(observed.trace_parent.as_deref()))
        .await?;
    let Created::Accounts {
        customer,
        object_reference_id,
        accounts,
    } = created
    else {
        return Err(ApiError::NotFound("There is no such customer."));
    };
    let customer_id = customer.to_string();
    let span = Span::current();
    span.record("khata.customer_id", customer_id.as_str());
    if observed.routing_id.is_none() {
        span.record("khata.routing_id", customer_id.as_str());
    }
    span.record("khata.accounts", keys.len());
    if let [(account, _)] = keys.as_slice() {
        span.record("khata.account_id", field::display(account));
    }
    let mut answer = Vec::with_capacity(keys.len());
    for ((account, validation), (requested, outcome)) in
        keys.into_iter().zip(call.accounts.iter().zip(accounts))
    {
        answer.push(match outcome {
            CreatedAccount::Standing(row) => present::stored(&state.keyring, merchant.id(), *row)?,
            CreatedAccount::New => {
                let key = ValidationKey {
                    merchant: merchant.id(),
                    id: validation,
                };
                state.ringer.ring(Ring {
                    key,
                    trace_parent: observed.trace_parent.clone(),
                });
                let fresh = Fresh {
                    id: account.to_string(),
                    customer_id: &customer_id,
                    object_reference_id: &object_reference_id,
                    created_at: now,
                    details: &requested.details,
                    bank_code: requested
                        .bank_code
                        .as_ref()
                        .map(|code| code.as_str().to_owned()),
                    gateway_id: call.pin.gateway_id,
                    gateway_reference_id: call.pin.reference_id.clone(),
                    metadata: &call.metadata,
                };
                fresh.present()
            }
        });
    }
    Ok(respond(call.flat, answer))
}

fn respond(flat: bool, mut accounts: Vec<CustomerAccount>) -> HttpResponse {
    if flat && accounts.len() == 1 {
        return HttpResponse::Ok().json(accounts.remove(0));
    }
    let total = i64::try_from(accounts.len()).unwrap_or(i64::MAX);
    HttpResponse::Ok().json(List {
        object: "list",
        count: accounts.len(),
        offset: 0,
        total,
        list: accounts,
    })
}

/// A gateway that the call names must be one the merchant has.
async fn check_gateway(
    state: &State,
    merchant: khata_shared::domain::MerchantId,
    call: &CreateRequest,
) -> Result<(), ApiError> {
    if call.pin.gateway_id.is_none() {
        return Ok(());
    }
    let known = state.gateways(merchant).await?;
    let found = known.iter().any(|known| {
        // A named gateway may be one that is used only when named.
        call.pin.allows(known.gateway, &known.reference_id, true)
            && (state.sandbox_mode || known.gateway != khata_shared::domain::Gateway::Dummy)
    });
    if found {
        Ok(())
    } else {
        Err(ApiError::GatewayNotFound)
    }
}

fn seal(
    state: &State,
    merchant: khata_shared::domain::MerchantId,
    account: &RequestedAccount,
) -> NewAccount {
    let id = AccountId::new();
    NewAccount {
        id,
        validation: ValidationId::new(),
        kind: account.details.kind(),
        sealed_details: state.keyring.seal(
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

fn commit_span(trace_parent: Option<&str>) -> Span {
    if trace_parent.is_some_and(khata_shared::telemetry::is_recorded) {
        tracing::info_span!(
            "commit",
            otel.name = "commit accounts",
            otel.kind = "client",
            db.system.name = "postgresql"
        )
    } else {
        Span::none()
    }
}
