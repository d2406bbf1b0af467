//! The legacy *bank accounts* endpoints: the same accounts and rules as `accounts`, with other paths and another form of the
//! replies.

use actix_web::HttpResponse;
use khata_domain::AccountKind;
use khata_store::idempotency::ReplyForm;

use crate::accounts::create::create_accounts;
use crate::accounts::delete::delete_account;
use crate::accounts::read;
use crate::accounts::request::CreateRequest;
use crate::accounts::validate::validate_account;
use crate::context::RequestContext;
use crate::error::{ApiError, NO_ACCOUNT};
use crate::present::{BankAccount, BankAccountList, DeletedBankAccount};
use crate::{reply, schema};

/// Create, or create and validate, a bank account
///
/// Same as *create accounts* with one bank account in flat fields.
#[utoipa::path(post, path = "/customers/{customer_id}/bank-accounts", operation_id = "createBankAccount",
    tag = "Bank accounts (deprecated)", params(schema::CustomerPath),
    request_body(content((schema::BankAccountForm = "application/x-www-form-urlencoded"), (schema::OneBankAccount = "application/json"))),
    responses((status = 200, description = "The account.", body = BankAccount)))]
pub(crate) async fn create(mut context: RequestContext) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let state = &context.state;
    let now = state.metrics.database_time();
    let request = CreateRequest::read_bank_account(&body, now, state.sandbox_mode)?;
    create_accounts(&context, request, ReplyForm::BankAccount).await
}

/// Get a bank account
///
/// Returns 404 for a UPI address.
#[utoipa::path(get, path = "/customers/{customer_id}/bank-accounts/{account_id}", operation_id = "getBankAccount",
    tag = "Bank accounts (deprecated)", params(schema::CustomerPath, schema::AccountPath),
    responses((status = 200, description = "The account.", body = BankAccount)))]
pub(crate) async fn get(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let account = BankAccount::of(read::one(&context).await?);
    reply::json(&account.ok_or(NO_ACCOUNT)?)
}

/// List a customer's bank accounts
///
/// Newest first, without UPI addresses.
#[utoipa::path(get, path = "/customers/{customer_id}/bank-accounts/list", operation_id = "listBankAccounts",
    tag = "Bank accounts (deprecated)", params(schema::CustomerPath, schema::PagingQuery),
    responses((status = 200, description = "A page.", body = BankAccountList)))]
pub(crate) async fn list(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let page = read::page(&context, Some(AccountKind::Bank), BankAccount::of).await?;
    reply::json(&page)
}

/// Validate a bank account again
///
/// Same as *validate* of customer accounts.
#[utoipa::path(post, path = "/customers/{customer_id}/bank-accounts/{account_id}/validate",
    operation_id = "validateBankAccount", tag = "Bank accounts (deprecated)", params(schema::CustomerPath, schema::AccountPath),
    request_body(content((schema::ValidateForm = "application/x-www-form-urlencoded"), (schema::ValidateJson = "application/json"))),
    responses((status = 200, description = "The account.", body = BankAccount)))]
pub(crate) async fn validate(context: RequestContext) -> Result<HttpResponse, ApiError> {
    validate_account(context, ReplyForm::BankAccount).await
}

/// Delete a bank account
///
/// `command` must be `delete`.
#[utoipa::path(post, path = "/customers/{customer_id}/bank-accounts/{account_id}", operation_id = "deleteBankAccount",
    tag = "Bank accounts (deprecated)", params(schema::CustomerPath, schema::AccountPath),
    request_body(content((schema::DeleteBody = "application/x-www-form-urlencoded"), (schema::DeleteBody = "application/json"))),
    responses((status = 200, description = "The deleted account's id.", body = DeletedBankAccount)))]
pub(crate) async fn delete(context: RequestContext) -> Result<HttpResponse, ApiError> {
    delete_account(context, |account| {
        // A UPI address does not exist in this family: the error rolls the transaction back.
        let account = BankAccount::of(account).ok_or(NO_ACCOUNT)?;
        reply::to_json(&account.deleted())
    })
    .await
}
