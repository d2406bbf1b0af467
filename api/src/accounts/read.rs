//! `GET …/customer-accounts/{account_id}` and `…/list`.

use actix_web::{HttpResponse, web};
use khata_crypto::secret_buf as wiped;
use khata_domain::ids::CustomerRef;
use khata_domain::{AccountId, AccountKind, MerchantId};
use khata_store::accounts;
use tracing::{Span, field};

use super::present::{CustomerAccount, List, stored};
use crate::auth::Caller;
use crate::error::{ApiError, FieldFault};
use crate::idempotency;
use crate::openapi;
use crate::state::State;

pub(crate) const NO_ACCOUNT: ApiError = ApiError::NotFound("There is no such account.");
const NO_CUSTOMER: ApiError = ApiError::NotFound("There is no such customer.");
const MAX_COUNT: i64 = 100;
const DEFAULT_COUNT: i64 = 10;
/// More accounts than any customer has.
const MAX_OFFSET: i64 = 1_000_000_000;

/// Get an account
///
/// The account as it stands.
#[utoipa::path(
    get,
    path = "/customers/{customer_id}/customer-accounts/{account_id}",
    operation_id = "getAccount",
    tag = "Customer accounts",
    params(openapi::AccountPath),
    responses((status = 200, description = "The account.", body = CustomerAccount), openapi::ReadErrors),
)]
pub(crate) async fn get(
    Caller(merchant): Caller,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let account = one(&state, merchant.id, &path.0, &path.1).await?;
    Ok(idempotency::first(wiped::json(&account)))
}

/// The customer's live account.
pub(crate) async fn one(
    state: &State,
    merchant: MerchantId,
    customer: &str,
    account: &str,
) -> Result<CustomerAccount, ApiError> {
    let (customer, account) = names(customer, account)?;
    let row = state
        .read("find account", move |connection| {
            accounts::find(connection, merchant, &customer, account)
        })
        .await?
        .ok_or(NO_ACCOUNT)?;
    let span = Span::current();
    span.record("khata.account_id", field::display(account));
    span.record("khata.customer_id", field::display(row.customer));
    stored(&state.keyring, merchant, row)
}

/// What a path names; what cannot be a name is not there.
pub(super) fn names(customer: &str, account: &str) -> Result<(CustomerRef, AccountId), ApiError> {
    let customer = CustomerRef::parse(customer).ok_or(NO_CUSTOMER)?;
    let account = AccountId::parse(account).ok_or(NO_ACCOUNT)?;
    Ok((customer, account))
}

/// Which page of a list is wanted, as the query says it.
#[derive(serde::Deserialize)]
pub(crate) struct Paging {
    count: Option<String>,
    offset: Option<String>,
}

/// List a customer's accounts
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/customers/{customer_id}/customer-accounts/list",
    operation_id = "listAccounts",
    tag = "Customer accounts",
    params(openapi::CustomerPath, openapi::PagingQuery),
    responses((status = 200, description = "A page.", body = openapi::CustomerAccountList), openapi::ReadErrors),
)]
pub(crate) async fn list(
    Caller(merchant): Caller,
    state: web::Data<State>,
    path: web::Path<String>,
    paging: Result<web::Query<Paging>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    let list = page(&state, merchant.id, &path, paging, None).await?;
    Ok(idempotency::first(wiped::json(&list)))
}

/// A page of the customer's live accounts of this kind.
pub(crate) async fn page(
    state: &State,
    merchant: MerchantId,
    customer: &str,
    paging: Result<web::Query<Paging>, actix_web::Error>,
    kind: Option<AccountKind>,
) -> Result<List<CustomerAccount>, ApiError> {
    let paging =
        paging.map_err(|_| ApiError::field("query", "count and offset may be given once each"))?;
    let mut faults = Vec::new();
    let count = whole_number(
        "count",
        paging.count.as_deref(),
        DEFAULT_COUNT,
        1..=MAX_COUNT,
        &mut faults,
    );
    let offset = whole_number(
        "offset",
        paging.offset.as_deref(),
        0,
        0..=MAX_OFFSET,
        &mut faults,
    );
    if !faults.is_empty() {
        return Err(ApiError::Invalid(faults));
    }
    let customer = CustomerRef::parse(customer).ok_or(NO_CUSTOMER)?;
    let page = state
        .read("list accounts", move |connection| {
            accounts::list(connection, merchant, &customer, kind, count, offset)
        })
        .await?
        .ok_or(NO_CUSTOMER)?;
    let list = page
        .accounts
        .into_iter()
        .map(|row| stored(&state.keyring, merchant, row))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(List {
        object: "list",
        count: list.len(),
        offset,
        total: page.total,
        list,
    })
}

fn whole_number(
    name: &str,
    text: Option<&str>,
    default: i64,
    range: std::ops::RangeInclusive<i64>,
    faults: &mut Vec<FieldFault>,
) -> i64 {
    let Some(text) = text else { return default };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|number| digits && range.contains(number))
        .unwrap_or_else(|| {
            let reason = format!(
                "must be a whole number from {} to {}",
                range.start(),
                range.end()
            );
            faults.push(FieldFault {
                field_name: name.to_owned(),
                reason,
            });
            default
        })
}
