//! The deprecated family, *bank accounts*: another face of the same accounts, for merchants whose code still calls it. What
//! is stored, validated and limited is what `accounts` does; here are only the paths and the form of the answers.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use chrono::Utc;
use khata_crypto::secret_buf as wiped;
use khata_domain::AccountKind;
use khata_store::idempotency::ReplyForm;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::accounts::create::carry_out;
use crate::accounts::present::{AccountDetails, CustomerAccount, List};
use crate::accounts::read::{self, Paging};
use crate::accounts::request::CreateRequest;
use crate::accounts::{delete_account, not_allowed, validate_account};
use crate::auth::Caller;
use crate::decode::Body;
use crate::error::ApiError;
use crate::idempotency;
use crate::observe::Observed;
use crate::openapi::{self, ReadErrors, WriteErrors};
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

/// A bank account, as the deprecated family shows it.
#[derive(Serialize, ToSchema)]
pub(crate) struct BankAccount {
    #[schema(value_type = openapi::BankAccountObject)]
    object: &'static str,
    #[schema(pattern = "^banh_[0-9a-v]{26}$")]
    id: String,
    #[schema(pattern = "^cst_[0-9a-v]{26}$")]
    customer_id: String,
    #[schema(format = DateTime)]
    date_created: String,
    /// The bank that the IFSC belongs to; `null` where it is not known.
    #[schema(required)]
    bank_name: Option<&'static str>,
    ifsc: String,
    #[schema(value_type = String)]
    account_number: String,
    #[schema(required, value_type = Option<String>)]
    beneficiary_name: Option<String>,
    /// What a penny drop pays, in rupees.
    validation_amount: u8,
    #[schema(example = "INR")]
    currency: &'static str,
    #[schema(value_type = openapi::Status)]
    validation_status: String,
    #[schema(required, format = DateTime)]
    last_validated: Option<String>,
    #[schema(value_type = openapi::Metadata)]
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

/// What is left of a deleted bank account.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeletedBankAccount {
    bank_account_id: String,
    #[schema(example = "deleted")]
    bank_account_status: &'static str,
}

/// Create, or create and validate, a bank account
///
/// As *create accounts* with one bank account in flat fields.
#[utoipa::path(
    post,
    path = "/customers/{customer_id}/bank-accounts",
    operation_id = "createBankAccount",
    tag = "Bank accounts (deprecated)",
    params(openapi::CustomerPath),
    request_body(content(
        (openapi::BankAccountForm = "application/x-www-form-urlencoded"),
        (openapi::BankAccountJson = "application/json"),
    )),
    responses((status = 200, description = "The account.", body = BankAccount), WriteErrors),
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
    let call = CreateRequest::read_bank_account(&decoded, Utc::now())?;
    let form = ReplyForm::BankAccount;
    carry_out(
        &state, &request, &merchant, &path, &observed, &body, call, form,
    )
    .await
}

/// Get a bank account
///
/// A UPI address is not found here.
#[utoipa::path(
    get,
    path = "/customers/{customer_id}/bank-accounts/{account_id}",
    operation_id = "getBankAccount",
    tag = "Bank accounts (deprecated)",
    params(openapi::AccountPath),
    responses((status = 200, description = "The account.", body = BankAccount), ReadErrors),
)]
pub(crate) async fn get(
    Caller(merchant): Caller,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let account = read::one(&state, merchant.id, &path.0, &path.1).await?;
    let account = BankAccount::of(account).ok_or(read::NO_ACCOUNT)?;
    Ok(idempotency::first(wiped::json(&account)))
}

/// List a customer's bank accounts
///
/// Newest first; UPI addresses are left out.
#[utoipa::path(
    get,
    path = "/customers/{customer_id}/bank-accounts/list",
    operation_id = "listBankAccounts",
    tag = "Bank accounts (deprecated)",
    params(openapi::CustomerPath, openapi::PagingQuery),
    responses((status = 200, description = "A page.", body = openapi::BankAccountList), ReadErrors),
)]
pub(crate) async fn list(
    Caller(merchant): Caller,
    state: web::Data<State>,
    path: web::Path<String>,
    paging: Result<web::Query<Paging>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let page = read::page(&state, merchant.id, &path, paging, Some(AccountKind::Bank)).await?;
    let list = List {
        object: page.object,
        count: page.count,
        offset: page.offset,
        total: page.total,
        list: page
            .list
            .into_iter()
            .filter_map(BankAccount::of)
            .collect::<Vec<_>>(),
    };
    Ok(idempotency::first(wiped::json(&list)))
}

/// Validate a bank account again
///
/// As *validate* of customer accounts.
#[utoipa::path(
    post,
    path = "/customers/{customer_id}/bank-accounts/{account_id}/validate",
    operation_id = "validateBankAccount",
    tag = "Bank accounts (deprecated)",
    params(openapi::AccountPath),
    request_body(content(
        (openapi::ValidateForm = "application/x-www-form-urlencoded"),
        (openapi::ValidateJson = "application/json"),
    )),
    responses((status = 200, description = "The account.", body = BankAccount), WriteErrors),
)]
pub(crate) async fn validate(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    observed: web::ReqData<Observed>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    let form = ReplyForm::BankAccount;
    validate_account(&state, &request, &merchant, &path, &observed, payload, form).await
}

/// Delete a bank account
///
/// `command` must be `delete`.
#[utoipa::path(
    post,
    path = "/customers/{customer_id}/bank-accounts/{account_id}",
    operation_id = "deleteBankAccount",
    tag = "Bank accounts (deprecated)",
    params(openapi::AccountPath),
    request_body(content(
        (openapi::DeleteBody = "application/x-www-form-urlencoded"),
        (openapi::DeleteBody = "application/json"),
    )),
    responses((status = 200, description = "What is left of it.", body = DeletedBankAccount), WriteErrors),
)]
pub(crate) async fn delete(
    Caller(merchant): Caller,
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, ApiError> {
    delete_account(&state, &request, &merchant, &path, payload, |account| {
        // A UPI address is not there for this family: the transaction is rolled back.
        let account = BankAccount::of(account).ok_or(read::NO_ACCOUNT)?;
        Ok(wiped::json(&DeletedBankAccount {
            bank_account_id: account.id,
            bank_account_status: "deleted",
        }))
    })
    .await
}
