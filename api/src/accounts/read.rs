//! `GET …/customer-accounts/{account_id}` and `…/list`.

use actix_web::{HttpResponse, web};
use khata_shared::domain::AccountId;
use khata_shared::domain::ids::CustomerRef;
use khata_shared::store::accounts;
use tracing::{Span, field};

use super::present::{List, stored};
use crate::auth::Caller;
use crate::error::{ApiError, FieldFault};
use crate::state::State;

const NO_ACCOUNT: ApiError = ApiError::NotFound("There is no such account.");
const NO_CUSTOMER: ApiError = ApiError::NotFound("There is no such customer.");
const MAX_COUNT: i64 = 100;
const DEFAULT_COUNT: i64 = 10;
/// More accounts than any customer has.
const MAX_OFFSET: i64 = 1_000_000_000;

pub(super) async fn get(
    Caller(merchant): Caller,
    state: web::Data<State>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, ApiError> {
    let (customer, account) = path.into_inner();
    let customer = CustomerRef::parse(&customer).ok_or(NO_CUSTOMER)?;
    let account = AccountId::parse(&account).ok_or(NO_ACCOUNT)?;
    let id = merchant.id();
    let row = state
        .read(move |connection| accounts::find(connection, id, &customer, account))
        .await?
        .ok_or(NO_ACCOUNT)?;
    let span = Span::current();
    span.record("khata.account_id", field::display(account));
    span.record("khata.customer_id", field::display(row.customer()));
    Ok(HttpResponse::Ok().json(stored(&state.keyring, id, row)?))
}

#[derive(serde::Deserialize)]
pub(super) struct Paging {
    count: Option<String>,
    offset: Option<String>,
}

pub(super) async fn list(
    Caller(merchant): Caller,
    state: web::Data<State>,
    path: web::Path<String>,
    paging: Result<web::Query<Paging>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
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
    let customer = CustomerRef::parse(&path).ok_or(NO_CUSTOMER)?;
    let id = merchant.id();
    let page = state
        .read(move |connection| accounts::list(connection, id, &customer, count, offset))
        .await?
        .ok_or(NO_CUSTOMER)?;
    let list = page
        .accounts
        .into_iter()
        .map(|row| stored(&state.keyring, id, row))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(HttpResponse::Ok().json(List {
        object: "list",
        count: list.len(),
        offset,
        total: page.total,
        list,
    }))
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
