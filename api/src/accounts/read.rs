//! `GET …/customer-accounts/{account_id}` and `…/list`.

use actix_web::HttpResponse;
use khata_domain::AccountKind;
use khata_store::accounts;
use tracing::{Span, field};
use utoipa::ToSchema;

use crate::context::RequestContext;
use crate::decode::number_or;
use crate::error::{ApiError, FaultCode, Faults, NO_ACCOUNT, NO_CUSTOMER};
use crate::present::{self, CustomerAccount, CustomerAccountList, List};
use crate::{reply, schema};

const MAX_COUNT: i64 = 100;
const DEFAULT_COUNT: i64 = 10;
/// More accounts than any customer has.
const MAX_OFFSET: i64 = 1_000_000_000;

/// Get an account
///
/// Returns the current state of the account.
#[utoipa::path(get, path = "/customers/{customer_id}/customer-accounts/{account_id}", operation_id = "getAccount",
    tag = "Customer accounts", params(schema::CustomerPath, schema::AccountPath),
    responses((status = 200, description = "The account.", body = CustomerAccount)))]
pub(crate) async fn get(context: RequestContext) -> Result<HttpResponse, ApiError> {
    reply::json(&one(&context).await?)
}

/// The account that the path names.
pub(crate) async fn one(context: &RequestContext) -> Result<CustomerAccount, ApiError> {
    let (customer, account) = context.account()?;
    let merchant = context.merchant_id();
    let read = context.database.read("find account", move |connection| {
        accounts::find(connection, merchant, &customer, account)
    });
    let row = read.await?.ok_or_else(|| context.not_found(NO_ACCOUNT))?;
    Span::current().record("khata.customer_id", field::display(row.customer));
    present::stored(&context.state.keyring, merchant, row)
}

/// List a customer's accounts
///
/// Newest first. Counts as one request for each account of `count`.
#[utoipa::path(get, path = "/customers/{customer_id}/customer-accounts/list", operation_id = "listAccounts",
    tag = "Customer accounts", params(schema::CustomerPath, schema::PagingQuery),
    responses((status = 200, description = "A page.", body = CustomerAccountList)))]
pub(crate) async fn list(context: RequestContext) -> Result<HttpResponse, ApiError> {
    let page = page(&context, None, Some).await?;
    reply::json(&page)
}

/// A page of the customer's accounts of this kind, each in the form that `form` gives it.
pub(crate) async fn page<T: ToSchema>(
    context: &RequestContext,
    kind: Option<AccountKind>,
    form: impl Fn(CustomerAccount) -> Option<T>,
) -> Result<List<T>, ApiError> {
    let paging: schema::PagingQuery = context.query().ok_or_else(|| {
        let reason = "may have count and offset once each";
        ApiError::field("query", FaultCode::Duplicate, reason)
    })?;
    let mut faults = Faults::default();
    let mut number = |name: &str, text: Option<String>, default, range| {
        number_or(name, text.as_deref(), default, &range, &mut faults)
    };
    let count = number("count", paging.count, DEFAULT_COUNT, 1..=MAX_COUNT);
    let offset = number("offset", paging.offset, 0, 0..=MAX_OFFSET);
    faults.check()?;
    context.take_accounts(usize::try_from(count).unwrap_or_default())?;
    let (customer, merchant) = (context.customer()?, context.merchant_id());
    let read = context.database.read("list accounts", move |connection| {
        accounts::list(connection, merchant, &customer, kind, count, offset)
    });
    let page = read.await?.ok_or_else(|| context.not_found(NO_CUSTOMER))?;
    let present = |row| present::stored(&context.state.keyring, merchant, row);
    let rows = page.accounts.into_iter();
    let list: Result<Vec<T>, ApiError> = rows
        .filter_map(|row| present(row).map(&form).transpose())
        .collect();
    Ok(List::new(list?, offset, page.total))
}
