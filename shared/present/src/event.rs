//! Events as webhooks and the list of events show them (contract, *Events and merchant webhooks*): the envelope, and in it the
//! account as it was at the event.

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use khata_crypto::Keyring;
use khata_domain::{EventId, EventName as Name, MerchantId, Payload};
use khata_store::accounts::AccountRow;
use serde::Serialize;
use utoipa::openapi::schema::{AnyOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::account::{self, CustomerAccount};
use crate::error::PresentError;
use crate::masked::{MaskedCustomerAccount, ThinCustomerAccount};
use crate::schema::{enum_of, time};
use crate::snapshot::Snapshot;

/// One change of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountEvent {
    pub id: EventId,
    pub name: Name,
    /// Time of the change.
    pub created_at: DateTime<Utc>,
    /// The account after the change.
    pub snapshot: Snapshot,
}

/// One change of an account, as a webhook or the list of events reports it.
#[derive(Serialize, ToSchema)]
pub struct Event {
    /// Stays the same when the event is sent again.
    #[schema(
        pattern = "^evt_[0-9a-v]{26}$",
        example = "evt_01k82u7s7aeqraoh1tia1a3hc8"
    )]
    id: String,
    #[schema(value_type = EventName)]
    event_name: Name,
    #[schema(format = DateTime, example = "2023-06-06T13:28:21Z")]
    date_created: String,
    content: EventContent,
}

/// The object that changed.
#[derive(Serialize, ToSchema)]
struct EventContent {
    customer_account: EventAccount,
}

/// The account of an event in one of the payloads.
#[derive(Serialize)]
#[serde(untagged)]
enum EventAccount {
    Full(Box<CustomerAccount>),
    Masked(Box<MaskedCustomerAccount>),
    Thin(ThinCustomerAccount),
}

impl PartialSchema for EventAccount {
    fn schema() -> RefOr<Schema> {
        let names = [
            CustomerAccount::name(),
            MaskedCustomerAccount::name(),
            ThinCustomerAccount::name(),
        ];
        let any = AnyOfBuilder::new().description(Some(
            "The account as it was after the change, as the payload `FULL`, `MASKED` or `THIN` shows it.",
        ));
        let names = names.into_iter().map(Ref::from_schema_name);
        names.fold(any, AnyOfBuilder::item).into()
    }
}

impl ToSchema for EventAccount {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        }
        add::<CustomerAccount>(schemas);
        add::<MaskedCustomerAccount>(schemas);
        add::<ThinCustomerAccount>(schemas);
    }
}

named_schema! {
    EventName = enum_of("Kind of change. `CUSTOMER_ACCOUNT_CREATED`: a call stored it. `CUSTOMER_ACCOUNT_PENDING`, `CUSTOMER_ACCOUNT_ACTIVE`, `CUSTOMER_ACCOUNT_FAILURE`, `CUSTOMER_ACCOUNT_DELETED`: it got this status. `CUSTOMER_ACCOUNT_UPDATED`: another value changed.", Name::ALL.iter().map(|one| one.as_str()));
}

/// Returns the JSON of an event, with the account as it was then. `account` is the account as it is now, read with its metadata,
/// and with the validation of the event in place of its newest one. The same arguments give the same bytes.
pub fn event(
    keyring: &Keyring,
    merchant: MerchantId,
    event: &AccountEvent,
    mut account: AccountRow,
    payload: Payload,
) -> Result<Vec<u8>, PresentError> {
    // A thin payload decrypts nothing, which would fail for another merchant.
    if account.merchant != merchant {
        tracing::error!(account_id = %account.id, event_id = %event.id, "the account belongs to another merchant than the event");
        return Err(PresentError::OtherMerchant);
    }
    event.snapshot.restore(&mut account);
    let customer_account = match payload {
        Payload::Full => EventAccount::Full(Box::new(account::stored(keyring, merchant, account)?)),
        Payload::Masked => {
            let (details, result) = account::decrypt(keyring, merchant, &account)?;
            let shown = account::present(account, &details, result);
            EventAccount::Masked(Box::new(MaskedCustomerAccount::of(shown, &details)))
        }
        Payload::Thin => EventAccount::Thin(ThinCustomerAccount::of(&account)),
    };
    let shown = Event {
        id: event.id.to_string(),
        event_name: event.name,
        date_created: time(event.created_at),
        content: EventContent { customer_account },
    };
    serde_json::to_vec(&shown).map_err(|error| {
        tracing::error!(event_id = %event.id, %error, "event is not JSON");
        PresentError::NotJson
    })
}
