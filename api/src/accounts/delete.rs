//! `POST …/customer-accounts/{account_id}` with `command=delete`.

use actix_web::HttpResponse;
use khata_domain::text::trim;
use khata_queue::Wakeup;
use khata_store::accounts::{self, Deleted};
use serde_json::Value;

use crate::context::RequestContext;
use crate::decode::Fields;
use crate::error::{ApiError, Faults, NO_ACCOUNT};
use crate::present::{self, CustomerAccount};
use crate::{reply, schema};

/// Delete an account
///
/// `command` must be `delete`. A running validation ends without an outcome. Get and list no longer show the account.
#[utoipa::path(post, path = "/customers/{customer_id}/customer-accounts/{account_id}", operation_id = "deleteAccount",
    tag = "Customer accounts", params(schema::CustomerPath, schema::AccountPath),
    request_body(content((schema::DeleteBody = "application/x-www-form-urlencoded"), (schema::DeleteBody = "application/json"))),
    responses((status = 200, description = "The account, DELETED.", body = CustomerAccount)))]
pub(crate) async fn delete(context: RequestContext) -> Result<HttpResponse, ApiError> {
    delete_account(context, |account| reply::to_json(&account)).await
}

/// Deletes an account and replies with the JSON that `render` makes of it.
pub(crate) async fn delete_account(
    mut context: RequestContext,
    render: impl FnOnce(CustomerAccount) -> Result<Vec<u8>, ApiError> + Send + 'static,
) -> Result<HttpResponse, ApiError> {
    let body = context.receive().await?;
    let command = body.get(schema::DELETE_COMMAND.name);
    if command.and_then(Value::as_str).map(trim) != Some("delete") {
        return Err(ApiError::InvalidCommand("command must be delete."));
    }
    let mut faults = Faults::default();
    Fields::of(&body, &mut faults).only(&schema::DELETE_FIELDS);
    faults.check()?;
    let (customer, account) = context.account()?;
    let (merchant, keyring) = (context.merchant_id(), context.state.keyring.clone());
    let (reply, deleted) = context
        .idempotent()?
        .write_reply("delete account", move |connection| {
            let deleted = accounts::delete(connection, merchant, &customer, account)?;
            let Deleted {
                account,
                open,
                has_deliveries,
            } = deleted.ok_or(NO_ACCOUNT)?;
            let reply = render(present::stored(&keyring, merchant, account)?)?;
            Ok((reply, (open, has_deliveries)))
        })
        .await
        .map_err(|error| context.not_found(error))?;
    let (open, has_deliveries) = deleted.unwrap_or_default();
    if has_deliveries {
        context.signal_deliveries();
    }
    // The wake-up lets a worker end the validation at once instead of at its scheduled time.
    if let Some((key, trace_parent)) = open {
        let wakeup = Wakeup { key, trace_parent };
        context.state.wakeup_publisher.publish(wakeup);
    }
    Ok(reply)
}
