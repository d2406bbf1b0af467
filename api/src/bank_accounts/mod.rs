//! The deprecated family, *bank accounts*: another face of the same accounts, for merchants whose code still calls it. What
//! is stored, validated and limited is what `accounts` does; here are only the paths and the form of the answers.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use khata_shared::store::accounts::Kind;
use khata_shared::store::idempotency::AnswerForm;
use serde::Serialize;
use serde_json::Value;

use crate::accounts::create::carry_out;
use crate::accounts::present::{AccountDetails, CustomerAccount, List};
use crate::accounts::read::{self, Paging};
use crate::accounts::request::CreateRequest;
use crate::accounts::{delete_account, not_allowed, validate_account};
use crate::auth::Caller;
use crate::decode::Body;
use crate::error::ApiError;
use crate::observe::Observed;
use crate::state::State;

/// Adds the routes; each path answers 405 to the methods it does not take.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/customers/{customer_id}/bank-accounts")
                .route(web::post().to(create))
                .default_service(web::to(|| async { not_allowed("POST") })),
        )
        .service(
            web::resource("/customers/{customer_id}/bank-accounts/list")
                .route(web::get().to(list))
                .default_service(web::to(|| async { not_allowed("GET") })),
        )
        .service(
            web::resource("/customers/{customer_id}/bank-accounts/{account_id}")
                .route(web::get().to(get))
                .route(web::post().to(delete))
                .default_service(web::to(|| async { not_allowed("GET, POST") })),
        )
        .service(
            web::resource("/customers/{customer_id}/bank-accounts/{account_id}/validate")
                .route(web::post().to(validate))
                .default_service(web::to(|| async { not_allowed("POST") })),
        );
}

/// An account as this family shows it.
#[derive(Serialize)]
pub(crate) struct BankAccount {
    object: &'static str,
    id: String,
    customer_id: String,
    date_created: String,
    bank_name: Option<String>,
    ifsc: String,
    account_number: String,
    beneficiary_name: Option<String>,
    /// Rupees.
    validation_amount: u8,
    currency: &'static str,
    validation_status: String,
    last_validated: Option<String>,
    metadata: Value,
}

impl BankAccount {
    /// `None` for a UPI address, which this family does not know.
    pub(crate) fn of(account: CustomerAccount) -> Option<Self> {
        let AccountDetails::BankAccountDetails {
            account_number,
            beneficiary_name,
            ifsc,
            bank_name,
            ..
        } = account.account_details
        else {
            return None;
        };
        Some(Self {
            object: "bank_account",
            id: account.id,
            customer_id: account.customer_id,
            date_created: account.date_created,
            bank_name,
            ifsc,
            account_number,
            beneficiary_name,
            validation_amount: account.validation_amount,
            currency: account.currency,
            validation_status: account.status,
            last_validated: account.last_validated,
            metadata: account.metadata,
        })
    }
}

#[derive(Serialize)]
struct DeletedBankAccount {
    bank_account_id: String,
    bank_account_status: &'static str,
}

async fn create(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<String>,
    observed: web::ReqData<Observed>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let body = Body::receive(&request, payload).await?;
    let call = CreateRequest::read_bank_account(&body.decode()?, Utc::now())?;
    let form = AnswerForm::BankAccount;
    carry_out(
        &state, &request, &merchant, &path, &observed, &body, call, form,
    )
    .await
}

async fn get(
    Caller(merchant): Caller,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let account = read::one(&state, merchant.id(), &path.0, &path.1).await?;
    let account = BankAccount::of(account).ok_or(read::NO_ACCOUNT)?;
    Ok(HttpResponse::Ok().json(account))
}

async fn list(
    Caller(merchant): Caller,
    state: web::Data<State>,
    path: web::Path<String>,
    paging: Result<web::Query<Paging>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let page = read::page(&state, merchant.id(), &path, paging, Kind::Bank).await?;
    Ok(HttpResponse::Ok().json(List {
        object: page.object,
        count: page.count,
        offset: page.offset,
        total: page.total,
        list: page.list.into_iter().filter_map(BankAccount::of).collect(),
    }))
}

async fn validate(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    observed: web::ReqData<Observed>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let form = AnswerForm::BankAccount;
    validate_account(&state, &request, &merchant, &path, &observed, payload, form).await
}

async fn delete(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    delete_account(&state, &request, &merchant, &path, payload, |account| {
        // A UPI address is not there for this family: the transaction is rolled back.
        let account = BankAccount::of(account).ok_or(read::NO_ACCOUNT)?;
        serde_json::to_vec(&DeletedBankAccount {
            bank_account_id: account.id,
            bank_account_status: "deleted",
        })
        .map_err(|_| ApiError::Internal)
    })
    .await
}
