//! Answers made of accounts: their forms, and those that come after a wait.

use actix_web::HttpResponse;
use khata_domain::AccountId;
use khata_store::accounts;
use khata_store::idempotency::{self as records, IdempotentCall, ReplyForm};

use khata_crypto::secret_buf as wiped;
use zeroize::Zeroizing;

use super::present::{self, CustomerAccount, List};
use crate::bank_accounts;
use crate::error::ApiError;
use crate::idempotency;
use crate::state::State;

/// The JSON of these accounts in this form.
pub(crate) fn body(
    form: ReplyForm,
    mut accounts: Vec<CustomerAccount>,
) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    Ok(match form {
        ReplyForm::List => wiped::json(&List {
            object: "list",
            count: accounts.len(),
            offset: 0,
            total: i64::try_from(accounts.len()).unwrap_or(i64::MAX),
            list: accounts,
        }),
        ReplyForm::Account => wiped::json(&accounts.pop().ok_or(ApiError::Internal)?),
        ReplyForm::BankAccount => {
            let account = accounts.pop().ok_or(ApiError::Internal)?;
            wiped::json(&bank_accounts::BankAccount::of(account).ok_or(ApiError::Internal)?)
        }
    })
}

/// Answers a call that waited. With an `Idempotency-Key` the answer is kept first, and what is kept is answered.
pub(crate) async fn late(
    state: &State,
    call: Option<&IdempotentCall>,
    body: Zeroizing<Vec<u8>>,
) -> Result<HttpResponse, ApiError> {
    let Some(call) = call.cloned() else {
        return Ok(idempotency::first(body));
    };
    let sealed = idempotency::seal(&state.keyring, &call, &body);
    let kept = {
        let call = call.clone();
        state
            .read("record answer", move |connection| {
                records::add_reply(connection, &call, &sealed)
            })
            .await
    };
    match kept {
        Ok(Some(kept)) => Ok(idempotency::first(idempotency::open(
            &state.keyring,
            &call,
            &kept,
        )?)),
        // The work is done, so the call is answered; the next one with this key answers anew.
        Ok(None) | Err(_) => Ok(idempotency::first(body)),
    }
}

/// Answers in the place of a call that died while it waited: with the accounts it made, as they stand now.
pub(crate) async fn in_the_place_of(
    state: &State,
    call: &IdempotentCall,
    accounts: Vec<AccountId>,
    form: ReplyForm,
) -> Result<HttpResponse, ApiError> {
    let merchant = call.merchant;
    let rows = state
        .read("find accounts", move |connection| {
            accounts::find_many(connection, merchant, &accounts)
        })
        .await?;
    let accounts = rows
        .into_iter()
        .map(|row| present::stored(&state.keyring, merchant, row))
        .collect::<Result<_, _>>()?;
    late(state, Some(call), body(form, accounts)?).await
}
